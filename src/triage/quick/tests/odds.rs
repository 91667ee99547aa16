//! Every geometry that is known over every kind of disk: what is hit is never called untouched,
//! what is healthy never encrypted.

use std::ops::Range;

use rayon::prelude::*;
use vmglean_forge::damage::{Case, Cipher, family_cases, random_geometry};

use super::*;

/// Computed, so the size costs nothing; large enough that no rule is cut off.
const SIZE: u64 = 3 << 30;
/// For rules with a run in each few bytes, whose ranges are kept one by one.
const SMALL: u64 = 64 << 20;

/// Name, disk, kind, and what a locker that spares structures would hit.
type Layout = (&'static str, Disk, ExtentKind, Range<u64>);

/// Layouts that a healthy extent shows, each with the part that must stay as it is where only
/// samples are to find the damage.
fn layouts(size: u64) -> Vec<Layout> {
    let text = gpt_disk(size, Fill::Text);
    let half_empty = gpt_disk(size, Fill::Zero).with(size / 8..size / 2, Fill::Text);
    let ends = (2 << 20)..size - (2 << 20);
    vec![
        ("GPT and NTFS", text, ExtentKind::Flat, ends.clone()),
        ("GPT and NTFS, half empty", half_empty, ExtentKind::Flat, ends.clone()),
        ("MBR and ext4", disk::mbr_ext(size), ExtentKind::Flat, ends.clone()),
        ("hosted sparse", disk::sparse(size), ExtentKind::Sparse, ends),
    ]
}

/// The layout under an attack, and the share that is then ciphertext.
fn attack(disk: &Disk, case: &Case, within: Option<&Range<u64>>) -> (Disk, f64) {
    let mut ranges = case.geometry.ranges(disk.length);
    if let Some(within) = within {
        ranges.retain_mut(|range| {
            *range = range.start.max(within.start)..range.end.min(within.end);
            range.start < range.end
        });
    }
    let bytes: u64 = ranges.iter().map(|range| range.end - range.start).sum();
    (disk.clone().encrypted(ranges, case.cipher), bytes as f64 / disk.length as f64)
}

fn judged(disk: &Disk, kind: ExtentKind, samples: u32) -> DiskJudgement {
    let context = DiskContext { path: "db01.vmdk".to_owned(), kind, ..DiskContext::default() };
    judge_disk(disk, &context, &QuickOptions { samples, ..QuickOptions::default() }, families())
}

/// Layouts under attack whose verdict is `untouched` although `least` of them and more is
/// ciphertext, and how many were tried.
fn missed(
    attacks: Vec<(&Case, &Layout)>,
    spares_structures: bool,
    samples: u32,
    least: f64,
) -> (usize, Vec<String>) {
    let told: Vec<Option<String>> = attacks
        .into_par_iter()
        .filter_map(|(case, (name, disk, kind, within))| {
            let (disk, share) = attack(disk, case, spares_structures.then_some(within));
            if share < least {
                return None;
            }
            let judged = judged(&disk, *kind, samples);
            let miss = judged.state == DiskState::Untouched;
            let what = format!("{} on {name}, {share:.4}: {}", case.name, judged.reason);
            Some(miss.then_some(what))
        })
        .collect();
    (told.len(), told.into_iter().flatten().collect())
}

/// Whether some run of it is a whole block and more.
fn is_coarse(case: &Case) -> bool {
    case.geometry.ranges(SMALL).iter().any(|range| range.end - range.start >= 4096)
        && !case.name.contains("Black Basta")
}

#[test]
fn no_known_geometry_leaves_any_kind_of_disk_untouched() {
    let (large, small) = (layouts(SIZE), layouts(SMALL));
    let (coarse, fine): (Vec<_>, Vec<_>) = family_cases(SIZE).into_iter().partition(is_coarse);
    let coarse = coarse.iter().flat_map(|case| large.iter().map(move |layout| (case, layout)));
    let fine = fine.iter().flat_map(|case| small.iter().map(move |layout| (case, layout)));
    // Every known locker hits structures first: few samples are enough.
    let (tried, missed) = missed(coarse.chain(fine).collect(), false, 8, f64::MIN_POSITIVE);
    assert!(missed.is_empty(), "{missed:#?}");
    assert!(tried >= 200, "only {tried}");
}

/// A locker that spared every structure would have only the samples against it.
#[test]
fn one_percent_and_more_is_found_even_where_every_structure_was_spared() {
    let mut cases = family_cases(SIZE);
    cases.extend((0..24).map(|seed| Case {
        name: "made by chance",
        geometry: random_geometry(seed, SIZE),
        cipher: Cipher::Stream,
        trailer: None,
    }));
    cases.retain(is_coarse);
    let layouts = layouts(SIZE);
    let all = cases.iter().zip(layouts.iter().cycle()).collect();
    let (tried, missed) = missed(all, true, 688, 0.01);
    assert!(missed.is_empty(), "{missed:#?}");
    assert!(tried >= 60, "only {tried}");
}

/// Lattices of a few bytes leave every block unlike ciphertext; zeros, lanes and equal bytes tell.
#[test]
fn a_lattice_is_found_in_zeros_and_text_where_every_structure_was_spared() {
    let cases = family_cases(SMALL);
    let layouts = layouts(SMALL);
    let wanted = [
        ("Black Basta up to 1 GiB, sound", "GPT and NTFS"),
        ("Black Basta up to 1 GiB, same key stream", "GPT and NTFS, half empty"),
        ("Black Basta above 1 GiB, sound", "GPT and NTFS, half empty"),
        ("Black Basta above 1 GiB, same key stream", "GPT and NTFS, half empty"),
        ("LockFile", "hosted sparse"),
        ("LockFile", "MBR and ext4"),
    ];
    let all = wanted.map(|(case, layout)| {
        let case = cases.iter().find(|known| known.name == case).unwrap();
        (case, layouts.iter().find(|known| known.0 == layout).unwrap())
    });
    let (tried, missed) = missed(all.to_vec(), true, 172, 0.001);
    assert!(missed.is_empty(), "{missed:#?}");
    assert_eq!(tried, wanted.len());
}
