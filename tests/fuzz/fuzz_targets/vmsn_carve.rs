#![no_main]
use vmglean_formats as f;
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = f::vmsn::carve(&bytes, f::ByteOffset(0), f::ByteOffset(u64::MAX));
});
