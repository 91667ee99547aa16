//! Cheap signs that random-looking bytes are compressed data, not ciphertext.

/// Beginnings of formats whose content looks random, by the name a person knows.
const MAGICS: [(&[u8], &str); 24] = [
    (b"PK\x03\x04", "zip"),
    (b"\x1f\x8b\x08", "gzip"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"7z\xbc\xaf\x27\x1c", "7-Zip"),
    (b"BZh", "bzip2"),
    (b"\x04\x22\x4d\x18", "lz4"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF8", "GIF"),
    (b"RIFF", "RIFF (WebP, AVI)"),
    (b"wOF2", "WOFF2"),
    (b"wOFF", "WOFF"),
    (b"MSCF", "cabinet"),
    (b"MSWIM\x00\x00\x00", "WIM"),
    (b"Rar!\x1a\x07", "RAR"),
    (b"%PDF-", "PDF"),
    (b"\x1a\x45\xdf\xa3", "Matroska"),
    (b"OggS", "Ogg"),
    (b"ID3", "MP3"),
    (b"fLaC", "FLAC"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "OLE document"),
    (b"!<arch>\n", "ar archive"),
    (b"hsqs", "SquashFS"),
];

/// The container that begins with these bytes.
pub(super) fn magic(bytes: &[u8]) -> Option<&'static str> {
    if bytes.get(4..8) == Some(b"ftyp") {
        return Some("MP4");
    }
    MAGICS.iter().find(|(magic, _)| bytes.starts_with(magic)).map(|(_, name)| *name)
}

/// Whether every 0xFF is followed as JPEG stuffing demands: by 00 or a restart marker.
pub(super) fn is_jpeg_data(bytes: &[u8]) -> bool {
    let (mut seen, mut right) = (0u32, 0u32);
    for at in memchr::memchr_iter(0xFF, bytes) {
        if let Some(next) = bytes.get(at + 1) {
            seen += 1;
            right += u32::from(matches!(next, 0x00 | 0xD0..=0xD7));
        }
    }
    // Random bytes follow the rule once in 28 times.
    seen >= 32 && right * 100 >= seen * 98
}

/// How many links an LZMA2 chain must have to be no chance.
const LZMA2_LINKS: usize = 5;
/// Encoders end a chunk when it is nearly 64 KiB packed, or nearly 2 MiB unpacked.
const FULL_PACKED: usize = 0xE000;
const FULL_UNPACKED: usize = 0x1F_0000;

/// Whether LZMA2 chunks (xz, 7-Zip) chain through these bytes: each chunk's header states where
/// the next one lies. A link holds by chance once in 52 times, so five from any of 65,542
/// starts do so once in 5,800 windows of ciphertext.
pub(super) fn has_lzma2_chain(bytes: &[u8]) -> bool {
    let starts = bytes.len().min(0x1_0006);
    (0..starts).any(|start| {
        let (mut at, mut links) = (start, 0);
        while let Some(next) = lzma2_chunk(bytes, at) {
            links += 1;
            if links >= LZMA2_LINKS {
                return true;
            }
            at = next;
        }
        false
    })
}

/// Where the chunk at `at` ends, if one can begin there.
fn lzma2_chunk(bytes: &[u8], at: usize) -> Option<usize> {
    let &[control, high, low, packed_high, packed_low] = bytes.get(at..at.checked_add(5)?)? else {
        return None;
    };
    // Chunks that reset nothing are the rule inside a stream; others are too rare to wait for.
    if !(0x80..=0x9F).contains(&control) {
        return None;
    }
    let unpacked =
        (usize::from(control & 0x1F) << 16 | usize::from(high) << 8 | usize::from(low)) + 1;
    let packed = (usize::from(packed_high) << 8 | usize::from(packed_low)) + 1;
    let is_full = packed >= FULL_PACKED || unpacked >= FULL_UNPACKED;
    (unpacked >= packed && is_full).then_some(at + 5 + packed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_bytes_are_no_container() {
        let mut state = 0x1234_5678_9ABC_DEF1u64;
        let bytes: Vec<u8> = (0..1 << 20)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state.to_le_bytes()[3]
            })
            .collect();
        assert!(!has_lzma2_chain(&bytes));
        assert!(!is_jpeg_data(&bytes));
        assert_eq!(magic(&bytes), None);
    }

    #[test]
    fn a_chain_of_chunks_is_seen_from_the_middle() {
        let mut bytes = vec![0xA5; 777];
        for _ in 0..12 {
            bytes.extend_from_slice(&[0x81, 0xFF, 0xFF, 0xEF, 0xFF]);
            bytes.extend((0..0xF000u32).map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()[2]));
        }
        assert!(has_lzma2_chain(&bytes));
    }

    #[test]
    fn stuffed_bytes_are_jpeg_data() {
        let mut bytes = Vec::new();
        for i in 0..200u8 {
            bytes.extend_from_slice(&[i, i.wrapping_mul(31) & 0x7F, 0xFF, 0x00]);
        }
        assert!(is_jpeg_data(&bytes));
    }
}
