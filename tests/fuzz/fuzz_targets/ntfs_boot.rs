#![no_main]
use vmglean_formats::{ByteOffset, ntfs as f};
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = f::BootSector::parse(bytes, ByteOffset(0)).map(|boot| boot.volume_bytes());
});
