//! The pass as others see it, over sources that have holes, fail, shrink and lie.

use std::{
    io,
    num::NonZeroUsize,
    ops::Range,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use proptest::prelude::*;
use vmglean_formats::{ByteOffset, Bytes, MediumError, ReadAt};

use super::*;
use crate::{
    source::Source,
    triage::measure::{BLOCK_BYTES, BlockClass, BlockRecord, ReadFailure, WINDOW_BYTES},
};

const MIB: usize = 1 << 20;

/// Bytes with holes and with places that fail.
#[derive(Clone, Debug, Default)]
struct Medium {
    bytes: Vec<u8>,
    holes: Vec<Range<u64>>,
    failing: Vec<Range<u64>>,
    /// Where the source really ends, if not where it says.
    ends_at: Option<u64>,
}

impl ReadAt for Medium {
    fn len_bytes(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_exact_at(&self, buf: &mut [u8], at: ByteOffset) -> Result<(), MediumError> {
        let wanted = at.0..at.0 + buf.len() as u64;
        if let Some(end) = self.ends_at
            && wanted.end > end
        {
            return Err(MediumError::End { end: ByteOffset(end), wanted: ByteOffset(wanted.end) });
        }
        if self.failing.iter().any(|bad| bad.start < wanted.end && wanted.start < bad.end) {
            let source = io::Error::from_raw_os_error(5);
            return Err(MediumError::Io { at, len: Bytes(buf.len() as u64), source });
        }
        self.bytes.read_exact_at(buf, at)
    }
}

impl Source for Medium {
    fn next_data(&self, from: u64) -> io::Result<Option<Range<u64>>> {
        let mut at = from;
        while let Some(hole) = self.holes.iter().find(|hole| hole.contains(&at)) {
            at = hole.end;
        }
        let end = self.holes.iter().map(|hole| hole.start).filter(|&start| start > at).min();
        let end = end.unwrap_or(self.len_bytes()).min(self.len_bytes());
        Ok((at < end).then_some(at..end))
    }
}

/// Stops the pass at the n-th read.
struct StopAt<'a> {
    medium: &'a Medium,
    cancel: Cancel,
    left: AtomicUsize,
}

impl ReadAt for StopAt<'_> {
    fn len_bytes(&self) -> u64 {
        self.medium.len_bytes()
    }

    fn read_exact_at(&self, buf: &mut [u8], at: ByteOffset) -> Result<(), MediumError> {
        if self.left.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.cancel.stop();
        }
        self.medium.read_exact_at(buf, at)
    }
}

impl Source for StopAt<'_> {
    fn next_data(&self, from: u64) -> io::Result<Option<Range<u64>>> {
        self.medium.next_data(from)
    }
}

fn noise(bytes: &mut [u8], seed: u64) {
    let mut state = seed | 1;
    for byte in bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        *byte = state.to_le_bytes()[3];
    }
}

/// Text, noise, zeros, constants, a lattice, holes, failures; no whole number of blocks.
fn medium() -> Medium {
    let mut bytes = vec![0; 9 * MIB + 7 * BLOCK_BYTES + 700];
    let text = b"the quick brown fox jumps over the lazy dog 0123456789\n";
    for (byte, letter) in bytes.iter_mut().zip(text.iter().cycle()).take(MIB + 5000) {
        *byte = *letter;
    }
    noise(&mut bytes[2 * MIB + 100_000..3 * MIB + 300_001], 7);
    bytes[4 * MIB..4 * MIB + 8192].fill(0xFF);
    for at in (5 * MIB..6 * MIB).step_by(6400) {
        noise(&mut bytes[at..at + 64], at as u64);
    }
    noise(&mut bytes[9 * MIB..], 9);
    Medium {
        bytes,
        holes: vec![
            (3 * MIB + 400_000) as u64..(4 * MIB) as u64,
            (6 * MIB) as u64..(8 * MIB + 500_000) as u64,
        ],
        failing: vec![
            (2 * MIB + 200_000) as u64..(2 * MIB + 200_001) as u64,
            (5 * MIB + 100_000) as u64..(5 * MIB + 150_000) as u64,
        ],
        ends_at: None,
    }
}

fn options(jobs: usize, hashes: HashKinds) -> PassOptions {
    PassOptions {
        jobs: NonZeroUsize::new(jobs).unwrap(),
        hashes,
        lanes: true,
        ..PassOptions::default()
    }
}

const ALL: HashKinds = HashKinds { md5: true, sha1: true, sha256: true, blake3: true };

fn collect(source: &dyn Source, options: &PassOptions) -> (Vec<Stretch>, PassOutcome) {
    let mut stretches = vec![];
    let mut sink = |stretch: &Stretch| {
        stretches.push(stretch.clone());
        Ok(())
    };
    let outcome = run_pass(source, options, &mut sink, &Cancel::default()).unwrap();
    (stretches, outcome)
}

fn blocks(stretches: &[Stretch]) -> Vec<BlockRecord> {
    let mut all = vec![];
    for stretch in stretches {
        let count = stretch.length_bytes().div_ceil(BLOCK_BYTES as u64) as usize;
        match stretch {
            Stretch::Absent { .. } => all.extend(vec![BlockRecord::ABSENT; count]),
            Stretch::Zero { .. } => all.extend(vec![BlockRecord::ZERO; count]),
            Stretch::Unreadable { .. } => all.extend(vec![BlockRecord::UNREADABLE; count]),
            Stretch::Window(window) => all.extend(&window.blocks),
        }
    }
    all
}

fn assert_covers(stretches: &[Stretch], len: u64) {
    let mut at = 0;
    for stretch in stretches {
        assert_eq!(stretch.offset_bytes(), at);
        assert!(stretch.length_bytes() > 0);
        at = stretch.end_bytes();
    }
    assert_eq!(at, len);
}

#[test]
fn any_number_of_jobs_gives_the_same_stretches_and_hashes() {
    let medium = medium();
    for hashes in [HashKinds::default(), HashKinds { sha256: true, ..Default::default() }, ALL] {
        let expected = collect(&medium, &options(1, hashes));
        assert_covers(&expected.0, medium.len_bytes());
        for jobs in [2, 3, 4, 9] {
            assert_eq!(collect(&medium, &options(jobs, hashes)), expected, "{jobs} {hashes:?}");
        }
    }
}

#[test]
fn hashes_are_those_of_the_whole_source_with_holes_as_zeros() {
    use sha2::{Digest, Sha256};
    let medium = Medium { failing: vec![], ..medium() };
    let mut read = medium.bytes.clone();
    for hole in &medium.holes {
        read[hole.start as usize..hole.end as usize].fill(0);
    }
    for jobs in [1, 2, 6] {
        let digests = collect(&medium, &options(jobs, ALL)).1.digests;
        assert_eq!(digests.md5.unwrap(), <[u8; 16]>::from(md5::Md5::digest(&read)));
        assert_eq!(digests.sha1.unwrap(), <[u8; 20]>::from(sha1::Sha1::digest(&read)));
        assert_eq!(digests.sha256.unwrap(), <[u8; 32]>::from(Sha256::digest(&read)));
        assert_eq!(digests.blake3.unwrap(), *blake3::hash(&read).as_bytes());
    }
}

#[test]
fn a_source_with_holes_measures_like_the_same_source_filled() {
    let holey = Medium { failing: vec![], ..medium() };
    let filled = Medium { holes: vec![], ..holey.clone() };
    let (holey, outcome) = collect(&holey, &options(2, HashKinds::default()));
    let (filled, _) = collect(&filled, &options(1, HashKinds::default()));
    assert!(outcome.absent_bytes > 2 * MIB as u64);
    let as_zero =
        |block: BlockRecord| if block.reads_as_zero() { BlockRecord::ZERO } else { block };
    let zeroed = |blocks: Vec<BlockRecord>| blocks.into_iter().map(as_zero).collect::<Vec<_>>();
    assert_eq!(zeroed(blocks(&holey)), zeroed(blocks(&filled)));
}

#[test]
fn failing_blocks_are_named_one_by_one_and_all_others_are_measured() {
    let medium = medium();
    let (stretches, outcome) = collect(&medium, &options(2, HashKinds::default()));
    let clean = Medium { failing: vec![], ..medium.clone() };
    let clean = blocks(&collect(&clean, &options(1, HashKinds::default())).0);
    for (index, (found, clean)) in blocks(&stretches).into_iter().zip(clean).enumerate() {
        let block = (index * BLOCK_BYTES) as u64..((index + 1) * BLOCK_BYTES) as u64;
        let fails = medium.failing.iter().any(|b| b.start < block.end && block.start < b.end);
        let expected = if fails { BlockRecord::UNREADABLE } else { clean };
        assert_eq!(found, expected, "block {index}");
    }
    assert_eq!(outcome.unreadable_bytes, 14 * BLOCK_BYTES as u64);
    let cause = stretches.iter().find_map(|stretch| match stretch {
        Stretch::Window(window) => window.unreadable.first().map(|run| run.cause),
        _ => None,
    });
    assert_eq!(cause, Some(ReadFailure::Os(5)));
}

#[test]
fn a_source_that_shrank_is_unreadable_from_there_on() {
    let medium = Medium { ends_at: Some((2 * MIB + 5000) as u64), holes: vec![], ..medium() };
    for jobs in [1, 3] {
        let (stretches, outcome) = collect(&medium, &options(jobs, ALL));
        assert_covers(&stretches, medium.len_bytes());
        let missing = medium.len_bytes() - (2 * MIB + 4096) as u64;
        assert_eq!(outcome.unreadable_bytes, missing);
        assert!(matches!(
            stretches.last(),
            Some(Stretch::Unreadable { cause: ReadFailure::Ended, .. })
        ));
    }
}

#[test]
fn a_vast_hole_is_one_stretch_and_reads_nothing() {
    struct Vast;
    impl ReadAt for Vast {
        fn len_bytes(&self) -> u64 {
            (8 << 60) - 1
        }
        fn read_exact_at(&self, buf: &mut [u8], at: ByteOffset) -> Result<(), MediumError> {
            assert!(at.0 < 4096, "read at {at}");
            buf.fill(1);
            Ok(())
        }
    }
    impl Source for Vast {
        fn next_data(&self, from: u64) -> io::Result<Option<Range<u64>>> {
            Ok((from < 4096).then_some(from..4096))
        }
    }
    for jobs in [1, 2] {
        let (stretches, _) = collect(&Vast, &options(jobs, HashKinds::default()));
        assert_covers(&stretches, Vast.len_bytes());
        assert_eq!(stretches.len(), 2);
    }
}

#[test]
fn a_source_that_lies_about_its_data_is_read_whole() {
    struct Liar(Vec<u8>);
    impl ReadAt for Liar {
        fn len_bytes(&self) -> u64 {
            self.0.len() as u64
        }
        fn read_exact_at(&self, buf: &mut [u8], at: ByteOffset) -> Result<(), MediumError> {
            self.0.read_exact_at(buf, at)
        }
    }
    impl Source for Liar {
        fn next_data(&self, from: u64) -> io::Result<Option<Range<u64>>> {
            match from {
                0 => Ok(Some(0..5)),
                _ if from < MIB as u64 => Ok(Some(3..4)),
                _ => Err(io::Error::other("no idea")),
            }
        }
    }
    let liar = Liar(vec![1; 3 * MIB]);
    let (stretches, outcome) = collect(&liar, &options(1, HashKinds::default()));
    assert_covers(&stretches, liar.len_bytes());
    assert_eq!(outcome.absent_bytes, 0);
}

/// Runs with a state file, stopping each run at its n-th read, until the pass is done.
fn run_in_pieces(
    medium: &Medium,
    hashes: HashKinds,
    reads: usize,
    lose_final_checkpoint: bool,
) -> (Vec<Stretch>, PassOutcome) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk.state");
    for run in 0..100 {
        let options = options(1 + run % 3, hashes);
        let identity = SourceIdentity::of(medium, vec![]);
        let mut state = PassState::open(&path, identity, &options).unwrap();
        assert!(!matches!(state.resume(), Resume::Discarded { .. }), "{:?}", state.resume());
        state.set_interval(Duration::ZERO);
        let before = std::fs::read(&path).ok();
        let mut stretches = vec![];
        let mut sink = |stretch: &Stretch| {
            stretches.push(stretch.clone());
            Ok(())
        };
        let cancel = Cancel::default();
        let source = StopAt { medium, cancel: cancel.clone(), left: AtomicUsize::new(reads) };
        let outcome = run_resumable(&source, &options, &mut state, &mut sink, &cancel).unwrap();
        let kept: Vec<Stretch> = state.records().iter().map(Result::unwrap).collect();
        assert_eq!(kept, stretches);
        if outcome.stopped.is_none() {
            return (stretches, outcome);
        }
        assert_eq!(outcome.digests, Digests::default());
        drop(state);
        // As if the process had been killed before the last checkpoint: an older header, and
        // records that go on behind what it vouches for.
        if lose_final_checkpoint
            && run % 2 == 1
            && let Some(before) = before
        {
            std::fs::write(&path, before).unwrap();
        }
    }
    panic!("never done");
}

#[test]
fn a_pass_stopped_at_any_read_and_resumed_ends_like_one_that_was_not() {
    let medium = medium();
    for hashes in [HashKinds::default(), ALL] {
        let (expected, whole) = collect(&medium, &options(1, hashes));
        for reads in 1..40 {
            let (stretches, outcome) = run_in_pieces(&medium, hashes, reads, reads % 2 == 0);
            assert_eq!(stretches, expected, "{reads}");
            assert_eq!(outcome.digests, whole.digests, "{reads}");
            assert_eq!(outcome.covered_bytes, whole.covered_bytes);
            assert_eq!(outcome.unreadable_bytes, whole.unreadable_bytes);
            assert_eq!(outcome.absent_bytes, whole.absent_bytes);
        }
    }
}

#[test]
fn a_finished_state_answers_without_reading() {
    let medium = medium();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk.state");
    let options = options(2, ALL);
    let run = |source: &dyn Source| {
        let identity = SourceIdentity::of(&medium, vec![]);
        let mut state = PassState::open(&path, identity, &options).unwrap();
        let mut count = 0;
        let mut sink = |_: &Stretch| {
            count += 1;
            Ok(())
        };
        let outcome =
            run_resumable(source, &options, &mut state, &mut sink, &Cancel::default()).unwrap();
        (outcome.digests, outcome.covered_bytes, count)
    };
    let first = run(&medium);
    let nothing = Medium { failing: vec![0..u64::MAX], ..medium.clone() };
    assert_eq!(run(&nothing), first);
}

#[test]
fn a_changed_source_other_options_and_damaged_records_start_again_and_say_why() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk.state");
    let medium = medium();
    let with = options(1, ALL);
    let stop = |reads| {
        let mut state = PassState::open(&path, SourceIdentity::of(&medium, vec![]), &with).unwrap();
        let cancel = Cancel::default();
        let source =
            StopAt { medium: &medium, cancel: cancel.clone(), left: AtomicUsize::new(reads) };
        run_resumable(&source, &with, &mut state, &mut |_| Ok(()), &cancel).unwrap();
    };
    let reopened = |medium: &Medium, options: &PassOptions| {
        let state = PassState::open(&path, SourceIdentity::of(medium, vec![]), options).unwrap();
        match state.resume() {
            Resume::Discarded { why } => why.clone(),
            other => panic!("{other:?}"),
        }
    };
    stop(8);
    let mut other = medium.clone();
    other.bytes[5] ^= 1;
    assert_eq!(reopened(&other, &with), "the source begins or ends with other bytes now");
    stop(8);
    other.bytes.truncate(5 * MIB);
    assert_eq!(reopened(&other, &with), "the source has 5242880 bytes now, 9466556 then");
    stop(8);
    assert_eq!(
        reopened(&medium, &options(1, HashKinds::default())),
        "it was made with other options"
    );
    stop(8);
    let records = dir.path().join("disk.state.records");
    let mut bytes = std::fs::read(&records).unwrap();
    bytes[40] ^= 1;
    std::fs::write(&records, bytes).unwrap();
    assert_eq!(reopened(&medium, &with), "its records have changed");
}

#[test]
fn files_that_are_no_state_are_not_touched() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk.state");
    let records = dir.path().join("disk.state.records");
    let identity = || SourceIdentity::of(&medium(), vec![]);
    let open = || PassState::open(&path, identity(), &options(1, ALL)).map(|_| ());
    std::fs::write(&path, "precious").unwrap();
    let message = open().unwrap_err().to_string();
    assert!(
        message.ends_with("it is no state of a pass; name another file or remove it"),
        "{message}"
    );
    assert_eq!(std::fs::read(&path).unwrap(), b"precious");
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&records, "precious records").unwrap();
    let message = open().unwrap_err().to_string();
    assert!(
        message.ends_with("it holds something else; name another file or remove it"),
        "{message}"
    );
    assert_eq!(std::fs::read(&records).unwrap(), b"precious records");
    std::fs::remove_file(&records).unwrap();
    let held = PassState::open(&path, identity(), &options(1, ALL)).unwrap();
    let message = open().unwrap_err().to_string();
    assert!(message.ends_with("another process works on it"), "{message}");
    drop(held);
}

#[test]
fn a_refusing_sink_ends_the_pass_with_its_error_for_any_number_of_jobs() {
    for jobs in [1, 2, 5] {
        for hashes in [HashKinds::default(), ALL] {
            let mut sink = |_: &Stretch| Err(io::Error::other("full"));
            let result = run_pass(&medium(), &options(jobs, hashes), &mut sink, &Cancel::default());
            assert!(matches!(result, Err(PassError::Sink(_))));
        }
    }
}

#[test]
fn records_spill_to_a_file_and_read_back_the_same() {
    let mut records = Records::new();
    let (stretches, _) = collect(&medium(), &options(1, HashKinds::default()));
    let mut pushed = vec![];
    let mut at = 0;
    while records.size_bytes() < 20 << 20 {
        for stretch in &stretches {
            let mut stretch = stretch.clone();
            match &mut stretch {
                Stretch::Absent { offset_bytes, .. }
                | Stretch::Zero { offset_bytes, .. }
                | Stretch::Unreadable { offset_bytes, .. } => *offset_bytes = at,
                Stretch::Window(window) => window.offset_bytes = at,
            }
            at = stretch.end_bytes();
            records.push(&stretch).unwrap();
            pushed.push(stretch);
        }
    }
    for _ in 0..2 {
        assert!(records.iter().map(Result::unwrap).eq(pushed.iter().cloned()));
    }
    assert_eq!(records.covered_bytes(), at);
}

fn medium_of_pieces() -> impl Strategy<Value = Medium> {
    let piece = (0u8..5, 1usize..400_000, any::<u64>());
    (proptest::collection::vec(piece, 1..12), proptest::option::of(0u64..3_000_000)).prop_map(
        |(pieces, ends_at)| {
            let mut medium = Medium { ends_at, ..Medium::default() };
            for (kind, length, seed) in pieces {
                let start = medium.bytes.len();
                medium.bytes.resize(start + length, 0);
                let range = start as u64..(start + length) as u64;
                match kind {
                    0 => {}
                    1 => noise(&mut medium.bytes[start..], seed),
                    2 => medium.bytes[start..].fill(seed.to_le_bytes()[0]),
                    3 => medium.holes.push(range),
                    _ => medium.failing.push(range),
                }
            }
            medium
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_the_source_the_pass_covers_it_without_gap_or_overlap(
        medium in medium_of_pieces(), jobs in 1usize..4, hashed in any::<bool>(),
    ) {
        let hashes = HashKinds { blake3: hashed, ..HashKinds::default() };
        let (stretches, outcome) = collect(&medium, &options(jobs, hashes));
        assert_covers(&stretches, medium.len_bytes());
        prop_assert_eq!(outcome.covered_bytes, medium.len_bytes());
        prop_assert_eq!(collect(&medium, &options(1, hashes)).0, stretches.clone());
        let unreadable = blocks(&stretches).iter()
            .filter(|block| block.class() == BlockClass::Unreadable).count();
        prop_assert_eq!(unreadable == 0, outcome.unreadable_bytes == 0);
        let mut records = Records::new();
        for stretch in &stretches {
            records.push(stretch).unwrap();
        }
        let back: Vec<Stretch> = records.iter().map(Result::unwrap).collect();
        prop_assert_eq!(back, stretches);
    }

    #[test]
    fn no_bytes_make_the_record_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        if let Some(Stretch::Window(window)) = super::codec::decode(&bytes, 0) {
            prop_assert!(window.length_bytes as usize <= WINDOW_BYTES);
        }
    }
}
