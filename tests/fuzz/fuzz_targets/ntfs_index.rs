#![no_main]
use vmglean_formats::{ByteOffset, ntfs as f};

fn read(mut bytes: Vec<u8>) {
    let _ = f::IndexBlock::parse(&mut bytes, ByteOffset(0)).map(|block| block.folder());
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    read(bytes.to_vec());
    // Guarded as a file system would, so that more than the guard is reached.
    let mut guarded = bytes.to_vec();
    let at = bytes.get(4).map_or(0, |at| usize::from(*at));
    let number = guarded.get(at..at + 2).map_or([0; 2], |n| [n[0], n[1]]);
    for sector in guarded.chunks_exact_mut(512) {
        sector[510..].copy_from_slice(&number);
    }
    read(guarded);
    let _ = (f::index_root_entries(bytes), f::attribute_list(bytes), f::reparse_kind(bytes));
});
