//! Leaks that show without any key: what repeats that a sound cipher would not repeat.
//!
//! Each answer is a statistic with the value a sound cipher would give. Nothing is decrypted, and
//! finding nothing proves nothing.

use std::collections::HashMap;

use vmglean_formats::{ByteOffset, ReadAt};

use super::{judge::Survey, lanes::FoundLattice};
use crate::finding::{Finding, Weight};

const BLOCK: u64 = 4096;
/// Equal blocks below which a repetition is not told.
const FEWEST: u64 = 8;

fn finding(code: &str, path: &str, at: u64, what: String, next: &str) -> Finding {
    Finding {
        code: code.to_owned(),
        weight: Weight::Damage,
        path: path.to_owned(),
        offset_bytes: Some(at),
        what,
        next: Some(next.to_owned()),
    }
}

/// A lattice whose runs all hold the same bytes over empty space: one key stream for every run.
pub(in crate::triage) fn same_bytes(found: &FoundLattice, path: &str) -> Option<Finding> {
    if !found.same_bytes {
        return None;
    }
    let what = format!(
        "the same {} bytes stand in {} runs of {} looked at; a sound cipher would repeat none: one \
         key stream was used for every run",
        found.lattice.run, found.islands, found.looked
    );
    let next = "where the plaintext is zero these bytes are the key stream: a decryptor that \
                subtracts it exists for this mistake";
    Some(finding("map.same-key-stream", path, found.sure.start, what, next))
}

/// A key stream that begins again after so many bytes, as empty space shows it.
pub(in crate::triage) fn key_stream_period(
    source: &dyn ReadAt,
    survey: &Survey,
    path: &str,
) -> Option<Finding> {
    if survey.repeated_blocks < FEWEST {
        return None;
    }
    let read = |at: u64| source.read_up_to(ByteOffset(at), BLOCK as usize).ok();
    let mut votes: HashMap<u64, u64> = HashMap::new();
    let mut first = None;
    for &at in &survey.repeated {
        let Some(block) = read(at) else { continue };
        let again = (1..=16)
            .filter_map(|back| at.checked_sub(back * BLOCK))
            .find(|before| read(*before).as_deref() == Some(&block[..]));
        if let Some(before) = again {
            *votes.entry(at - before).or_default() += 1;
            first.get_or_insert(before);
        }
    }
    let (period, count) = votes.into_iter().max_by_key(|&(by, count)| (count, by))?;
    if count < FEWEST {
        return None;
    }
    let what = format!(
        "random-like blocks repeat after {period} bytes: {count} of the first {} that measure \
         alike are equal byte for byte, {} measure alike in all; a sound cipher would repeat none",
        survey.repeated.len(),
        survey.repeated_blocks
    );
    let next =
        "over empty space such a block is the key stream itself; tell whoever looks for a key";
    Some(finding("map.key-stream-period", path, first?, what, next))
}
