#![no_main]
use vmglean_formats::{ByteOffset, ntfs as f, partition};
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let at = ByteOffset(0);
    if let Ok(record) = f::FileRecord::parse(bytes.to_vec(), at) {
        let record = record.value;
        for attribute in &record.attributes {
            let Some(value) = record.value(attribute) else { continue };
            let _ = (f::FileName::parse(value), f::index_root_entries(value));
            let _ = (f::attribute_list(value), f::reparse_kind(value));
        }
    }
    let _ = f::IndexBlock::parse(&mut bytes.to_vec(), at).map(|block| block.folder());
    let _ = (f::BootSector::parse(bytes, at), f::decode_runs(bytes, 0, at));
    let _ = f::decompress(bytes, 65_536, at);
    let _ = (partition::GptHeader::parse(bytes, at), partition::mbr(bytes, 1 << 40));
});
