#![no_main]
use vmglean_formats as f;
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = f::vmxf::Vmxf::parse(bytes);
});
