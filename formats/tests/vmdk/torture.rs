//! Every truncation and every overwritten sector of every small extent: the right bytes, or a
//! named defect.

use vmglean_forge::vmdk::seeds;
use vmglean_formats::vmdk::open_extent;

use crate::reading::{State, read_whole};

/// Bytes that no field likes: an odd pattern, and noise as an encryptor leaves it.
fn noise(seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..512)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[3]
        })
        .collect()
}

#[derive(Default, Debug)]
struct Count {
    cases: u64,
    refused: u64,
    right: u64,
    told: u64,
}

/// Checks one damaged file. `excused` says which virtual sectors may hold other bytes without a
/// word: those whose guest data itself was overwritten.
fn check(
    name: &str,
    file: &[u8],
    truth: &[u8],
    excused: &dyn Fn(usize) -> bool,
    count: &mut Count,
) {
    count.cases += 1;
    let Ok(opened) = open_extent(&file.to_vec()) else {
        count.refused += 1;
        return;
    };
    if opened.value.map.capacity().0 > 64 << 20 {
        // The capacity field itself was hit: told by the descriptor one level up.
        count.refused += 1;
        return;
    }
    let whole = read_whole(opened.value.map.as_ref(), &file.to_vec(), 5000);
    let told = !opened.defects.is_empty() || !whole.defects.is_empty();
    let mut wrong = None;
    for (nth, state) in whole.states.iter().enumerate() {
        let range = nth * 512..((nth + 1) * 512).min(truth.len()).min(whole.bytes.len());
        if range.start >= range.end {
            break;
        }
        let right = whole.bytes[range.clone()] == truth[range.clone()];
        match state {
            State::Lost => assert!(told, "{name}: sector {nth} is lost without a word"),
            State::Data | State::Zero | State::Absent if !right && !excused(nth) => {
                wrong.get_or_insert((nth, *state));
            }
            _ => {}
        }
    }
    match wrong {
        Some((nth, state)) => {
            assert!(told, "{name}: sector {nth} is wrong as {state:?} and nothing tells it");
            count.told += 1;
        }
        None if told => count.told += 1,
        None => count.right += 1,
    }
}

#[test]
fn every_cut_of_every_small_extent_is_told() {
    let mut count = Count::default();
    for seed in seeds::extents() {
        let file = seed.forged.image.to_bytes();
        let truth = seed.forged.truth();
        // seSparse files begin with megabytes of empty areas: fewer steps there.
        let step = if file.len() > 2 << 20 { 512 * 331 } else { 512 };
        for length in (0..file.len()).step_by(step) {
            let name = format!("{} cut to {length}", seed.name);
            check(&name, &file[..length], &truth, &|_| false, &mut count);
        }
    }
    eprintln!("cuts: {count:?}");
    assert!(count.cases >= 500, "{count:?}");
}

#[test]
fn every_overwritten_sector_of_every_small_extent_gives_right_bytes_or_a_named_defect() {
    let mut count = Count::default();
    for seed in seeds::extents() {
        let file = seed.forged.image.to_bytes();
        let truth = seed.forged.truth();
        let sectors = file.len() / 512;
        let packed = seed.family == "stream";
        for sector in 0..sectors {
            let range = sector * 512..(sector + 1) * 512;
            let at = u64::try_from(range.start).unwrap();
            let meta = seed.forged.is_metadata(at);
            // Unused room says nothing to anybody; one in a thousand is enough.
            let empty = file[range.clone()].iter().all(|byte| *byte == 0);
            if empty && sectors > 4096 && sector % 1009 != 0 {
                continue;
            }
            let mut damaged = file.clone();
            damaged[range.clone()].copy_from_slice(&noise(at + 1));
            let name = format!("{} sector {sector} overwritten", seed.name);
            // Plain guest data that was overwritten cannot be seen by structure.
            let excuse = !meta && !packed;
            check(&name, &damaged, &truth, &|_| excuse, &mut count);
        }
    }
    eprintln!("overwritten sectors: {count:?}");
    assert!(count.cases >= 500, "{count:?}");
}
