//! Long files that tables of their file system cut in pieces.

use std::{fs, ops::Range};

use serde_json::Value;
use vmglean_forge::damage::Rng;

use crate::{
    lone::{packed, text},
    make::{Case, runs, tool},
};

const BLOCK: u64 = 1024;

/// The disk, its archive's pieces, and what lies between them.
fn made(case: &Case) -> (Vec<u8>, Vec<Range<u64>>, Vec<Range<u64>>) {
    let from = case.root().join("from");
    fs::create_dir(&from).unwrap();
    fs::write(from.join("backup.gz"), packed(&text(120 << 20))).unwrap();
    let root = case.root();
    let arguments = ["-q", "-t", "ext4", "-b", "1024", "-d", "from", "volume", "96M"];
    tool(root, "mke2fs", &arguments);
    let listed = tool(root, "debugfs", &["-R", "blocks /backup.gz", "volume"]);
    let mut blocks: Vec<u64> =
        listed.split_whitespace().map(|word| word.parse().unwrap()).collect();
    // Its tree's node comes first in the list, and lies in the middle of its blocks.
    let node = blocks.remove(0);
    let mut pieces: Vec<Range<u64>> = Vec::new();
    for at in blocks.into_iter().map(|number| number * BLOCK) {
        match pieces.last_mut() {
            Some(last) if last.end == at => last.end += BLOCK,
            _ => pieces.push(at..at + BLOCK),
        }
    }
    let between: Vec<Range<u64>> =
        pieces.windows(2).map(|pair| pair[0].end..pair[1].start).collect();
    assert!(pieces.len() > 4 && between.iter().all(|gap| gap.start < gap.end), "{pieces:?}");
    assert!(between.contains(&(node * BLOCK..(node + 1) * BLOCK)), "{between:?}");
    (fs::read(root.join("volume")).unwrap(), pieces, between)
}

fn cipher(bytes: &mut [u8], range: &Range<u64>) {
    let mut rng = Rng::new(range.start);
    for byte in &mut bytes[range.start as usize..range.end as usize] {
        *byte = rng.draw() as u8;
    }
}

/// Bytes of `ranges` that the map calls intact or empty, and whether the archive is proven.
fn intact(case: &Case, bytes: &[u8], ranges: &[Range<u64>]) -> (u64, bool) {
    fs::write(case.disk("volume.img"), bytes).unwrap();
    let (_, record) = case.map(&["--file", "ds/volume.img"]);
    let mut sum = 0;
    for (at, length, state) in runs(&record) {
        if state == "intact" || state == "zero" {
            let over =
                |range: &Range<u64>| range.end.min(at + length).saturating_sub(range.start.max(at));
            sum += ranges.iter().map(over).sum::<u64>();
        }
    }
    let evidence = record["evidence"].as_array().unwrap();
    (sum, evidence.iter().any(|one: &Value| one["detail"] == "gzip member, CRC-32 right"))
}

#[test]
fn an_archive_is_proven_over_the_tables_of_ext4_that_lie_in_it_and_they_are_not_proven_with_it() {
    let case = Case::new();
    let (disk, pieces, between) = made(&case);
    let all: u64 = pieces.iter().map(|piece| piece.end - piece.start).sum();
    assert!(all > 20 << 20, "{pieces:?}");
    assert_eq!(intact(&case, &disk, &pieces), (all, true), "{pieces:?}");

    // The first superblock, and all that leads to its copies, lost.
    let mut headless = disk.clone();
    cipher(&mut headless, &(0..128 * BLOCK));
    assert_eq!(intact(&case, &headless, &pieces), (all, true));

    // The tables lost: they are not called intact for lying in an archive that is.
    let tables: Vec<Range<u64>> =
        between.into_iter().filter(|gap| gap.end - gap.start > 64 * BLOCK).collect();
    let mut torn = disk.clone();
    for gap in &tables {
        cipher(&mut torn, gap);
    }
    let (kept, is_proven) = intact(&case, &torn, &pieces);
    // Blocks of 4 KiB that a table shares with the archive are undetermined.
    assert!(is_proven && kept + 4096 * 2 * tables.len() as u64 >= all, "{kept} of {all}");
    assert_eq!(intact(&case, &torn, &tables), (0, true));

    // Damage behind a gap.
    let mut damaged = disk;
    let hit = pieces[2].start + 512 * BLOCK..pieces[2].start + 516 * BLOCK;
    cipher(&mut damaged, &hit);
    assert_eq!(intact(&case, &damaged, &[hit]), (0, false));
}
