#![no_main]
use vmglean_formats as f;
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = f::Fields::fields(&f::log::VmwareLog::parse(&bytes).value);
});
