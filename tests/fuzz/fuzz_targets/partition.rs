#![no_main]
use vmglean_formats::{ByteOffset, partition as f};
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Some(all) = f::mbr(bytes, 1 << 40) {
        assert!(all.iter().all(|one| one.start < one.end && one.end <= 1 << 40));
    }
    // The checksum put right, so that more than the checksum is reached.
    let mut header = bytes.to_vec();
    let length = bytes.get(12..16).map_or(0, |n| u32::from_le_bytes([n[0], n[1], n[2], n[3]]));
    if (92..=512).contains(&length) && header.len() >= length as usize {
        header[16..20].fill(0);
        let crc = crc32fast::hash(&header[..length as usize]);
        header[16..20].copy_from_slice(&crc.to_le_bytes());
    }
    for bytes in [bytes, &header] {
        let Ok(mut header) = f::GptHeader::parse(bytes, ByteOffset(0)) else { continue };
        assert!(header.array_bytes() <= f::MAX_ENTRIES_BYTES);
        let array = bytes.get(512..).unwrap_or_default();
        let _ = header.partitions(array, 512);
        header.entries_crc = crc32fast::hash(array);
        let _ = header.partitions(array, 4096);
        assert!(header.sector_bytes(0).is_none_or(|_| header.my_lba == 0));
    }
});
