#![no_main]
use vmglean_formats as f;
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = (
        f::ovf::Envelope::parse(bytes),
        f::ovf::Manifest::parse(bytes),
        f::ovf::TarList::read(&bytes),
    );
});
