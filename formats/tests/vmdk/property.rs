//! No bytes make a reader panic, and what the forge writes comes back for any description.

use proptest::{collection::vec, prelude::*};
use vmglean_forge::vmdk::{
    Disk,
    cowd::{self, CowdSpec},
    seeds,
    sesparse::{self, JournalSpec, Owner, SeSparseSpec},
    sparse::{self, SparseSpec},
    stream::{self, StreamLayout, StreamSpec},
};
use vmglean_formats::{
    ByteOffset, detect,
    vmdk::{ChangeTracking, Descriptor, open_descriptor, open_extent},
};

use crate::reading::read_whole;

fn disks(capacity: u64) -> impl Strategy<Value = Disk> {
    vec((0..capacity * 512, 1..30_000u64, any::<u64>()), 0..12).prop_map(move |writes| {
        writes.into_iter().fold(Disk::new(capacity), |disk, (at, length, seed)| {
            disk.pattern(at, length.min(capacity * 512 - at), seed)
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_disk_in_any_hosted_kind_comes_back(
        disk in disks(21_000),
        grain in prop::sample::select(vec![8u64, 16, 128]),
        flags in any::<[bool; 4]>(),
    ) {
        let [redundant, reversed, inside, progress] = flags;
        let descriptor = inside.then(|| seeds::descriptors()[0].1.clone());
        let spec = SparseSpec { grain, redundant, reversed, descriptor: descriptor.clone(), ..SparseSpec::default() };
        let mut forged = vec![sparse::write(&disk, &spec)];
        for layout in [StreamLayout::Footer, StreamLayout::Front, StreamLayout::Qemu] {
            let spec = StreamSpec { grain, layout, progress, descriptor: descriptor.clone(), ..StreamSpec::default() };
            forged.push(stream::write(&disk, &spec));
        }
        for forged in forged {
            let file = forged.image.to_bytes();
            let opened = open_extent(&file).unwrap();
            prop_assert!(opened.defects.is_empty());
            let whole = read_whole(opened.value.map.as_ref(), &file, 7);
            prop_assert!(whole.defects.is_empty(), "{:?}", whole.defects);
            prop_assert!(whole.bytes == forged.truth());
        }
    }

    #[test]
    fn any_disk_in_any_esxi_delta_comes_back(
        disk in disks(36_000),
        grain in prop::sample::select(vec![1u64, 2, 64]),
        flags in any::<[bool; 3]>(),
    ) {
        let [reversed, by_grain, dirty] = flags;
        let owner = if by_grain { Owner::VirtualGrain } else { Owner::TableSlot };
        let journal = if dirty { JournalSpec::Dirty } else { JournalSpec::Clean };
        let spec = SeSparseSpec { reversed, owner, journal, ..SeSparseSpec::default() };
        let cowd = cowd::write(&disk, &CowdSpec { grain, reversed, grown: false });
        for forged in [cowd, sesparse::write(&disk, &spec)] {
            let file = forged.image.to_bytes();
            let opened = open_extent(&file).unwrap();
            let whole = read_whole(opened.value.map.as_ref(), &file, 7);
            prop_assert!(whole.defects.is_empty(), "{:?}", whole.defects);
            prop_assert!(whole.bytes == forged.truth());
        }
    }
}

proptest! {
    #[test]
    fn no_bytes_make_a_reader_panic(bytes in vec(any::<u8>(), 0..4096)) {
        let _ = Descriptor::parse(&bytes, ByteOffset(7));
        let _ = ChangeTracking::parse(&bytes);
        let _ = detect(&bytes);
        let _ = open_descriptor(&bytes);
        for magic in [&b"KDMV\x01\0\0\0\x03\0\0\0"[..], b"COWD\x01\0\0\0", b"\xbe\xba\xfe\xca\0\0\0\0"] {
            let mut bytes = bytes.clone();
            let end = magic.len().min(bytes.len());
            bytes[..end].copy_from_slice(&magic[..end]);
            let _ = open_extent(&bytes);
        }
    }

    #[test]
    fn no_text_makes_the_descriptor_panic(text in "(RW|rdonly|CID|ddb\\.x|createType|#|\"| |=|[0-9]|\n|\\|[0-9a-g]|é){0,80}") {
        let found = Descriptor::parse(text.as_bytes(), ByteOffset(0));
        prop_assert!(found.value.extents.len() <= text.lines().count());
    }
}
