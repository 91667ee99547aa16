#![no_main]
use vmglean_formats::{ByteOffset, ntfs as f};
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let runs = f::decode_runs(bytes, 0, ByteOffset(0)).value;
    let mut next = 0;
    for run in &runs {
        assert!(run.vcn == next && run.clusters > 0 && run.end() > next);
        next = run.end();
    }
    let _ = f::decode_runs(bytes, u64::MAX - 9, ByteOffset(u64::MAX));
});
