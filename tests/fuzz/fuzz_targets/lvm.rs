#![no_main]
use vmglean_formats::lvm as f;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    // Label and header with their checksums put right, so that more than the checksum is reached.
    let mut sector = bytes.to_vec();
    sector.resize(sector.len().max(512), 0);
    let mut header = sector.clone();
    let sum = f::lvm_crc(&sector[20..512]).to_le_bytes();
    sector[16..20].copy_from_slice(&sum);
    let sum = f::lvm_crc(&header[4..512]).to_le_bytes();
    header[..4].copy_from_slice(&sum);
    let _ = f::Label::parse(&sector);
    if let Some(area) = f::AreaHeader::parse(&header) {
        let pieces = area.pieces();
        let length: u64 = pieces.iter().map(|piece| piece.size).sum();
        assert!(pieces.len() <= 2 && length <= f::MAX_TEXT_BYTES);
        assert!(pieces.iter().all(|piece| piece.offset + piece.size <= area.size));
    }
    let Some(group) = f::VolumeGroup::parse(bytes) else { return };
    for volume in &group.logical {
        let mut next = 0;
        for segment in &volume.segments {
            assert_eq!(segment.first, next);
            next += segment.extents;
            let f::SegmentKind::Striped { stripes, .. } = &segment.kind else { continue };
            let each = segment.extents / stripes.len() as u64;
            for stripe in stripes {
                assert!(stripe.extent + each <= group.physical[stripe.physical].extents);
            }
        }
        assert!(volume.extents() * group.extent_bytes <= 1 << 60);
    }
});
