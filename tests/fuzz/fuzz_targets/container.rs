#![no_main]
use vmglean_formats as f;
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = (
        f::container::EncryptedFile::parse(&bytes).is_ok(),
        f::container::Envelope::parse(&bytes).is_ok(),
    );
});
