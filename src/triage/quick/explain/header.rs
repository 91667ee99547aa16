//! Beginnings of formats whose content looks random, and what may follow them.

/// What the data behind a header looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum DataKind {
    /// Deflate and its like: a few blocks look random, 64 KiB together never do.
    Loose,
    /// Coded so well that only its own structure tells it from ciphertext.
    Dense,
    /// JPEG, whose every 0xFF is stuffed: what is not, is no JPEG any more.
    Stuffed,
}

use DataKind::{Dense, Loose, Stuffed};

/// Beginnings by the name a person knows.
const MAGICS: [(&[u8], &str, DataKind); 24] = [
    (b"PK\x03\x04", "zip", Loose),
    (b"\x1f\x8b\x08", "gzip", Loose),
    (b"\x28\xb5\x2f\xfd", "zstd", Dense),
    (b"\xfd7zXZ\x00", "xz", Dense),
    (b"7z\xbc\xaf\x27\x1c", "7-Zip", Dense),
    (b"BZh", "bzip2", Dense),
    (b"\x04\x22\x4d\x18", "lz4", Loose),
    (b"\xff\xd8\xff", "JPEG", Stuffed),
    (b"\x89PNG\r\n\x1a\n", "PNG", Loose),
    (b"GIF8", "GIF", Dense),
    (b"RIFF", "RIFF (WebP, AVI)", Dense),
    (b"wOF2", "WOFF2", Dense),
    (b"wOFF", "WOFF", Loose),
    (b"MSCF", "cabinet", Dense),
    (b"MSWIM\x00\x00\x00", "WIM", Dense),
    (b"Rar!\x1a\x07", "RAR", Dense),
    (b"%PDF-", "PDF", Loose),
    (b"\x1a\x45\xdf\xa3", "Matroska", Dense),
    (b"OggS", "Ogg", Dense),
    (b"ID3", "MP3", Dense),
    (b"fLaC", "FLAC", Dense),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "OLE document", Loose),
    (b"!<arch>\n", "ar archive", Dense),
    (b"hsqs", "SquashFS", Dense),
];

/// The container that begins with these bytes.
pub(in super::super) fn magic(bytes: &[u8]) -> Option<(&'static str, DataKind)> {
    if bytes.get(4..8) == Some(b"ftyp") {
        return Some(("MP4", Dense));
    }
    MAGICS.iter().find(|(magic, ..)| bytes.starts_with(magic)).map(|(_, name, kind)| (*name, *kind))
}

/// The nearest header at a start of the `block`-sized blocks from `from` back to `to`.
pub(in super::super) fn nearest(
    bytes: &[u8],
    from: usize,
    to: usize,
    block: usize,
) -> Option<(usize, &'static str, DataKind)> {
    (to..=from).rev().find_map(|number| {
        let (name, kind) = magic(bytes.get(number.checked_mul(block)?..)?)?;
        Some((number, name, kind))
    })
}

/// Whether every 0xFF is followed as JPEG stuffing demands: by 00 or a restart marker.
pub(in super::super) fn is_jpeg_data(bytes: &[u8]) -> bool {
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
        assert!(!is_jpeg_data(&bytes));
        assert_eq!(magic(&bytes), None);
        assert_eq!(nearest(&bytes, 255, 0, 4096), None);
    }

    #[test]
    fn stuffed_bytes_are_jpeg_data() {
        let mut bytes = Vec::new();
        for i in 0..200u8 {
            bytes.extend_from_slice(&[i, i.wrapping_mul(31) & 0x7F, 0xFF, 0x00]);
        }
        assert!(is_jpeg_data(&bytes));
    }

    #[test]
    fn the_nearest_header_at_a_block_is_taken() {
        let mut bytes = vec![7; 5 * 512];
        bytes[512..516].copy_from_slice(b"PK\x03\x04");
        bytes[1024..1030].copy_from_slice(b"\xfd7zXZ\x00");
        assert_eq!(nearest(&bytes, 4, 0, 512), Some((2, "xz", Dense)));
        assert_eq!(nearest(&bytes, 4, 3, 512), None);
    }
}
