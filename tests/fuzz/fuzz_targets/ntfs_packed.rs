#![no_main]
use vmglean_formats::{ByteOffset, ntfs as f};
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(unit) = f::decompress(bytes, 65_536, ByteOffset(0)) {
        assert_eq!(unit.len(), 65_536);
    }
});
