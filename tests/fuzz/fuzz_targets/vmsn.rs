#![no_main]
use vmglean_formats as f;
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = f::vmsn::Checkpoint::parse(&bytes).map(|found| f::Fields::fields(&found.value));
});
