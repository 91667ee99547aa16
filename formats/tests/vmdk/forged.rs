//! Forged extents read back as what was written.

use vmglean_forge::vmdk::{GrainTruth, seeds, sesparse};
use vmglean_formats::{
    ByteOffset, Bytes, Sectors,
    vmdk::{
        BackmapEntry, BackmapMeaning, CowdExtent, CowdLayout, ExtentFormat, RunKind,
        SeSparseExtent, SeSparseLayout, SparseExtent, SparseLayout, open_extent,
    },
};

use crate::reading::{State, named_bytes, read_whole};

fn expected_state(truth: GrainTruth) -> State {
    match truth {
        GrainTruth::Absent => State::Absent,
        GrainTruth::Zero => State::Zero,
        GrainTruth::Data => State::Data,
    }
}

#[test]
fn every_forged_extent_reads_back_byte_for_byte_with_the_right_state_of_each_sector() {
    for seed in seeds::extents() {
        let file = seed.forged.image.to_bytes();
        let opened = open_extent(&file).unwrap_or_else(|error| panic!("{}: {error}", seed.name));
        for portion in [1, 3, 10_000] {
            let whole = read_whole(opened.value.map.as_ref(), &file, portion);
            assert_eq!(whole.defects, [], "{}", seed.name);
            assert!(whole.bytes == seed.forged.truth(), "{} bytes differ", seed.name);
            for (nth, state) in (0u64..).zip(&whole.states) {
                // A kind without a word for zeros has none in its truth either, but for plain
                // KDMV without the flag.
                let truth = seed.forged.grain_truth(nth * 512 / seed.forged.grain);
                let expected = match (seed.name, truth) {
                    ("kdmv-v2-zeroed-grains", truth) => truth,
                    (name, GrainTruth::Zero) if name.starts_with("kdmv") => GrainTruth::Absent,
                    (_, truth) => truth,
                };
                assert_eq!(*state, expected_state(expected), "{} sector {nth}", seed.name);
            }
        }
        let named = named_bytes(opened.value.map.as_ref(), &file);
        assert_eq!(opened.value.unnamed_grains(&file, named), None, "{}", seed.name);
        let expected: &[(&str, &str)] = match seed.name {
            "stream-trailing" => &[("SparseExtentFooter", "position")],
            "sesparse-dirty" => &[("SESparseVolatileHeader", "replayJournal")],
            _ => &[],
        };
        let found: Vec<_> =
            opened.defects.iter().map(|defect| (defect.structure, defect.field)).collect();
        assert_eq!(found, expected, "{}", seed.name);
        assert!(!opened.value.fields.is_empty());
        let format = match seed.family {
            "sparse" => ExtentFormat::HostedSparse,
            "stream" => ExtentFormat::StreamOptimized,
            "cowd" => ExtentFormat::Cowd,
            _ => ExtentFormat::SeSparse,
        };
        assert_eq!(opened.value.format, format);
    }
}

#[test]
fn an_answer_for_a_range_does_not_depend_on_what_else_was_asked() {
    for seed in seeds::extents() {
        let file = seed.forged.image.to_bytes();
        let opened = open_extent(&file).unwrap().value;
        let whole = read_whole(opened.map.as_ref(), &file, 10_000);
        let capacity = opened.map.capacity().0;
        for from in (0..capacity).step_by(509 * 512) {
            let runs = opened.map.runs(&file, ByteOffset(from), Bytes(8192), 100).unwrap().value;
            for run in runs {
                let first = usize::try_from(run.offset.0 / 512).unwrap();
                let state = match run.kind {
                    RunKind::Stored { .. } | RunKind::Compressed { .. } => State::Data,
                    RunKind::Zero => State::Zero,
                    RunKind::Absent => State::Absent,
                    RunKind::Lost => State::Lost,
                };
                assert_eq!(whole.states[first], state, "{} at {from}", seed.name);
            }
        }
    }
}

#[test]
fn a_lost_header_is_replaced_by_the_layout_of_the_capacity() {
    for seed in seeds::extents() {
        let mut file = seed.forged.image.to_bytes();
        let capacity = Sectors(seed.forged.capacity / 512);
        let grain = Sectors(seed.forged.grain / 512);
        file[..512].fill(0x5a);
        let whole = match (seed.family, seed.name) {
            ("sparse", "kdmv-v1-both-copies" | "kdmv-v3-reversed") => {
                let descriptor =
                    (seed.name == "kdmv-v1-both-copies").then_some((Sectors(1), Sectors(20)));
                let layout = SparseLayout::from_capacity(capacity, grain, descriptor).unwrap();
                read_whole(&SparseExtent::from_layout(&layout), &file, 1000)
            }
            ("cowd", _) => {
                let layout = CowdLayout::from_capacity(capacity, grain).unwrap();
                read_whole(&CowdExtent::from_layout(&layout), &file, 1000)
            }
            ("sesparse", _) => {
                let layout = SeSparseLayout::from_capacity(capacity).unwrap();
                let extent = SeSparseExtent::from_layout(&file, &layout).value;
                assert!(extent.header().inferred);
                read_whole(&extent, &file, 1000)
            }
            _ => continue,
        };
        assert!(whole.bytes == seed.forged.truth(), "{}", seed.name);
        assert_eq!(whole.defects, [], "{}", seed.name);
    }
}

#[test]
fn the_backmap_tells_by_itself_what_its_owners_are() {
    for (name, expected) in [
        ("sesparse-clean", BackmapMeaning::Either),
        ("sesparse-reversed", BackmapMeaning::TableSlot),
        ("sesparse-by-grain", BackmapMeaning::VirtualGrain),
    ] {
        let seed = seeds::extents().into_iter().find(|seed| seed.name == name).unwrap();
        let file = seed.forged.image.to_bytes();
        let extent = SeSparseExtent::open(&file).unwrap().value;
        assert_eq!(extent.backmap_meaning(&file, 100).unwrap(), expected, "{name}");
        let used = extent.in_use(&file, 0, 16).unwrap();
        let owned = extent.backmap(&file, 0, 16).unwrap();
        for (used, owner) in used.iter().zip(&owned) {
            assert_eq!(*used, matches!(owner, BackmapEntry::Owner(_)), "{name}");
        }
        assert_eq!(used.iter().filter(|used| **used).count(), 6, "{name}");
    }
}

#[test]
fn computed_sesparse_layouts_equal_those_printed_by_hosts() {
    const MIB: u64 = 2048;
    for (gib, bitmap, backmap, grains) in [
        (10, 23, 24, 44),
        (100, 203, 207, 407),
        (500, 1003, 1019, 2019),
        (1024, 2051, 2083, 4131),
        (2048, 4099, 4163, 8259),
    ] {
        let layout = SeSparseLayout::from_capacity(Sectors(gib * 1024 * MIB)).unwrap();
        assert_eq!(layout.bitmap.offset.0, bitmap * MIB);
        assert_eq!(layout.backmap.offset.0, backmap * MIB);
        assert_eq!(layout.grains.offset.0, grains * MIB);
        let forged = sesparse::places(gib * 1024 * MIB);
        assert_eq!(forged[4], grains * MIB);
    }
}

#[test]
fn a_redo_logs_length_alone_gives_its_capacity_within_two_gibibytes() {
    for (length, gib) in [(20_480, 8), (24_576, 10), (45_056, 20), (33_579_008, 10)] {
        let (least, most) = CowdLayout::capacity_from_length(length).unwrap();
        let sectors = gib * 1024 * 2048;
        assert!(least.0 <= sectors && sectors <= most.0, "{length}: {least:?} {most:?}");
        assert!(most.0 - least.0 <= 2 * 1024 * 2048);
    }
}

#[test]
fn grains_that_a_zeroed_table_no_longer_names_are_counted() {
    for (name, at) in [("kdmv-v1-one-copy", 1024), ("cowd", 2560), ("stream-front", 1024)] {
        let seed = seeds::extents().into_iter().find(|seed| seed.name == name).unwrap();
        let mut file = seed.forged.image.to_bytes();
        let zeroed = (at..file.len()).step_by(512).find(|at| {
            seed.forged.is_metadata(*at as u64)
                && file[*at..*at + 512].iter().any(|byte| *byte != 0)
        });
        let at = zeroed.unwrap();
        file[at..at + 512].fill(0);
        let opened = open_extent(&file).unwrap().value;
        let named = named_bytes(opened.map.as_ref(), &file);
        let unnamed = opened.unnamed_grains(&file, named).unwrap_or_else(|| panic!("{name}"));
        assert!(unnamed.bytes > 0);
        let words = unnamed.defect.to_string();
        assert!(words.contains("are named by no entry"), "{words}");
    }
}
