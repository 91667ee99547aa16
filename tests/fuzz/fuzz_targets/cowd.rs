#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vmglean_formats::vmdk::probe::cowd(bytes));
