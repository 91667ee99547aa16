//! Footers that state the damage in clear text.
//!
//! Layouts are those of the public decryptors named in the families file; where a layout is only
//! remembered from a report, the entry says so and nothing is read that was not remembered.

use serde::{Deserialize, Serialize};

use crate::families::{Geometry, PatternKind, Prediction};

/// What a footer states in clear text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stated {
    /// Which form was read.
    pub form: Geometry,
    /// The mode in words, with its number.
    pub mode: String,
    /// Percent the operator chose, where stated.
    pub percent: Option<u64>,
    /// Size of the file this layer was laid on, where stated.
    pub size_bytes: Option<u64>,
    /// How far the program says it came, where it keeps count.
    pub progress_bytes: Option<u64>,
}

/// A footer of clear geometry that holds together.
pub(super) struct Found {
    /// Bytes of the footer; `None` where the form does not tell.
    pub(super) length_bytes: Option<u64>,
    /// Whether a field proves it, or only all fields are in range.
    pub(super) is_checked: bool,
    pub(super) stated: Stated,
    pub(super) prediction: Option<Prediction>,
    /// What was seen, for the evidence.
    pub(super) detail: String,
}

/// Reads the form at the end of `bytes`, which are the last ones of a file of `end` bytes.
pub(super) fn parse(form: Geometry, bytes: &[u8], end: u64) -> Option<Found> {
    match form {
        Geometry::Akira2023 => akira(bytes, end),
        Geometry::Conti => conti(bytes, end),
        Geometry::Play => play(bytes, end),
        Geometry::BlackBasta => black_basta(bytes, end),
        Geometry::Royal => royal(bytes, end),
        Geometry::RansomHub => ransom_hub(bytes, end),
        Geometry::MoneyMessage => money_message(bytes, end),
        Geometry::BlackCat => black_cat(bytes, end),
    }
}

/// The `length` bytes that begin `back` bytes before the end.
fn field(bytes: &[u8], back: usize, length: usize) -> Option<&[u8]> {
    let from = bytes.len().checked_sub(back)?;
    bytes.get(from..from.checked_add(length)?)
}

fn byte(bytes: &[u8], back: usize) -> Option<u8> {
    field(bytes, back, 1)?.first().copied()
}

fn u16_at(bytes: &[u8], back: usize) -> Option<u64> {
    Some(u64::from(u16::from_le_bytes(field(bytes, back, 2)?.try_into().ok()?)))
}

fn u32_at(bytes: &[u8], back: usize) -> Option<u32> {
    Some(u32::from_le_bytes(field(bytes, back, 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], back: usize) -> Option<u64> {
    Some(u64::from_le_bytes(field(bytes, back, 8)?.try_into().ok()?))
}

/// Whether wrapped keys can look like this: 512 random bytes have about 221 distinct values.
pub(in crate::triage) fn looks_random(bytes: &[u8]) -> bool {
    let mut seen = [false; 256];
    for byte in bytes {
        if let Some(slot) = seen.get_mut(usize::from(*byte)) {
            *slot = true;
        }
    }
    let distinct = seen.iter().filter(|seen| **seen).count() as f64;
    // Expected number of distinct values among n random bytes, with room of a tenth and two.
    let expected = 256.0 * (1.0 - (-(bytes.len() as f64) / 256.0).exp());
    !bytes.is_empty() && distinct + 2.0 >= expected * 0.9
}

/// 512 B wrapped key, then 22 B: mode at +12, percent at +13, u64 size at +14.
fn mode_percent_size(bytes: &[u8], end: u64) -> Option<(u8, u64, u64)> {
    let (mode, percent, size) = (byte(bytes, 10)?, u64::from(byte(bytes, 9)?), u64_at(bytes, 8)?);
    (size == end.checked_sub(534)? && looks_random(field(bytes, 534, 512)?))
        .then_some((mode, percent, size))
}

fn akira(bytes: &[u8], end: u64) -> Option<Found> {
    let (mode, percent, size) = mode_percent_size(bytes, end)?;
    let (word, kind) = match mode {
        0 => ("full", Some(PatternKind::Whole { from_bytes: 0 })),
        1 if (1..=100).contains(&percent) => ("part", Some(PatternKind::HeadPercent { percent })),
        2 if (1..=100).contains(&percent) && size <= 2_000_000 => {
            ("spot", Some(PatternKind::HeadPercent { percent }))
        }
        2 if (1..=100).contains(&percent) => ("spot", Some(PatternKind::AkiraSpot { percent })),
        _ => return None,
    };
    Some(sized(Geometry::Akira2023, 534, format!("{mode} ({word})"), percent, size, kind.as_ref()))
}

fn conti(bytes: &[u8], end: u64) -> Option<Found> {
    let (mode, percent, size) = mode_percent_size(bytes, end)?;
    let (word, kind) = match mode {
        0x24 => ("full", PatternKind::Whole { from_bytes: 0 }),
        0x25 if (1..=100).contains(&percent) => ("part", PatternKind::ContiPart { percent }),
        0x26 => ("header", PatternKind::Head { bytes: 1 << 20 }),
        _ => return None,
    };
    Some(sized(Geometry::Conti, 534, format!("{mode:#x} ({word})"), percent, size, Some(&kind)))
}

/// 512 B wrapped key, u64 size, u64 percent.
fn royal(bytes: &[u8], end: u64) -> Option<Found> {
    let (size, percent) = (u64_at(bytes, 16)?, u64_at(bytes, 8)?);
    if size != end.checked_sub(528)?
        || !(1..=100).contains(&percent)
        || !looks_random(field(bytes, 528, 512)?)
    {
        return None;
    }
    let kind = PatternKind::RoyalPercent { percent };
    Some(sized(Geometry::Royal, 528, "percent".to_owned(), percent, size, Some(&kind)))
}

fn sized(
    form: Geometry,
    length: u64,
    mode: String,
    percent: u64,
    size: u64,
    kind: Option<&PatternKind>,
) -> Found {
    Found {
        length_bytes: Some(length),
        is_checked: true,
        detail: format!(
            "states mode {mode}, {percent} percent, original size {size}, which is the file's \
             length without these {length} bytes"
        ),
        prediction: kind.and_then(|kind| kind.predict(size)),
        stated: Stated {
            form,
            mode,
            percent: Some(percent),
            size_bytes: Some(size),
            progress_bytes: None,
        },
    }
}

/// 40 B in clear, self-checked by xxHash32 of the marker, then 1,024 B of wrapped key.
fn play(bytes: &[u8], end: u64) -> Option<Found> {
    let marker = field(bytes, 1064, 16)?;
    let padding = u16_at(bytes, 1048)?;
    let step = u16_at(bytes, 1046)?;
    let big = u16_at(bytes, 1044)?;
    let aes = u16_at(bytes, 1042)?;
    let block = u64::from(u32_at(bytes, 1040)?);
    let blocks = u64_at(bytes, 1032)?;
    if u32_at(bytes, 1036)? != xx_hash32_of_16(marker)? || block == 0 {
        return None;
    }
    // Big files keep 16 bytes more behind the data; the padding fills the cipher's block.
    let extra = padding.saturating_add(if big != 0 { 16 } else { 0 });
    let size = end.checked_sub(1064)?.checked_sub(extra)?;
    let kind = PatternKind::PlayBlocks { block_bytes: block, step: step.max(1) };
    Some(Found {
        length_bytes: Some(1064 + extra),
        is_checked: true,
        detail: format!(
            "marker agrees with its xxHash32; states block size {block}, each {step}. block, \
             {blocks} blocks, padding {padding}, cipher mode {aes}"
        ),
        prediction: kind.predict(size),
        stated: Stated {
            form: Geometry::Play,
            mode: if big != 0 { "big file".to_owned() } else { "small file".to_owned() },
            percent: None,
            size_bytes: Some(size),
            progress_bytes: None,
        },
    })
}

/// Version byte 6 at −23, u64 progress at −22, campaign magic in the last 12.
fn black_basta(bytes: &[u8], end: u64) -> Option<Found> {
    let progress = u64_at(bytes, 22)?;
    let magic = field(bytes, 12, 12)?;
    let distinct: std::collections::BTreeSet<_> = magic.iter().collect();
    if byte(bytes, 23)? != 6 || progress == 0 || progress > end || distinct.len() < 6 {
        return None;
    }
    Some(Found {
        length_bytes: None,
        is_checked: false,
        detail: format!(
            "version byte 6, progress counter {progress}, campaign magic {}",
            hex::encode(magic)
        ),
        prediction: None,
        stated: Stated {
            form: Geometry::BlackBasta,
            mode: "by size".to_owned(),
            percent: None,
            size_bytes: None,
            progress_bytes: Some(progress),
        },
    })
}

/// Where Black Basta damages a file of `size`, as far as its counter came.
pub(super) fn black_basta_prediction(size: u64, progress: u64) -> Option<Prediction> {
    let kind = if size < 5000 {
        PatternKind::Whole { from_bytes: 0 }
    } else {
        let large = size > 1 << 30;
        PatternKind::Periodic {
            head_bytes: if large { 5000 } else { 0 },
            start_bytes: if large { 5000 } else { 0 },
            run_bytes: 64,
            step_bytes: if large { 6400 } else { 192 },
            whole_steps: false,
        }
    };
    // What lies behind the counter was not reached.
    kind.predict(size.min(progress)).map(|prediction| Prediction { size_bytes: size, ..prediction })
}

/// 113 bytes; only their length and what they hold in words is remembered.
fn ransom_hub(bytes: &[u8], end: u64) -> Option<Found> {
    let size = end.checked_sub(113)?;
    if size == 0 || !size.is_multiple_of(512) || !looks_random(field(bytes, 113, 64)?) {
        return None;
    }
    let kind = PatternKind::Periodic {
        head_bytes: 0,
        start_bytes: 0,
        run_bytes: 1 << 20,
        step_bytes: 12 << 20,
        whole_steps: false,
    };
    Some(Found {
        length_bytes: Some(113),
        is_checked: false,
        detail: "113 bytes behind the last whole sector; its fields are only remembered, so \
                 none was read"
            .to_owned(),
        prediction: kind.predict(size),
        stated: Stated {
            form: Geometry::RansomHub,
            mode: "unknown".to_owned(),
            percent: None,
            size_bytes: None,
            progress_bytes: None,
        },
    })
}

/// 172 bytes whose last four are the CRC-32 of the 168 before.
fn money_message(bytes: &[u8], end: u64) -> Option<Found> {
    let covered = field(bytes, 172, 168)?;
    let key_bytes = u32_at(bytes, 172)?;
    if u32_at(bytes, 4)? != crc32fast::hash(covered) || !(1..=0x90).contains(&key_bytes) {
        return None;
    }
    let size = end.checked_sub(172)?;
    Some(Found {
        length_bytes: Some(172),
        is_checked: true,
        detail: format!("172 bytes agree with their CRC-32; public key of {key_bytes} bytes"),
        prediction: PatternKind::Whole { from_bytes: 0 }.predict(size),
        stated: Stated {
            form: Geometry::MoneyMessage,
            mode: "whole file".to_owned(),
            percent: None,
            size_bytes: None,
            progress_bytes: None,
        },
    })
}

/// 256 B wrapped key, N × 512 B metadata, u16 N, 32 B campaign marker.
fn black_cat(bytes: &[u8], end: u64) -> Option<Found> {
    let sectors = u16_at(bytes, 34)?;
    let length = 290 + sectors.checked_mul(512)?;
    let size = end.checked_sub(length)?;
    let marker = field(bytes, 32, 32)?;
    let wrapped = field(bytes, usize::try_from(length).ok()?, 256)?;
    if !(1..=8).contains(&sectors)
        || size == 0
        || !size.is_multiple_of(512)
        || !looks_random(marker)
        || !looks_random(wrapped)
    {
        return None;
    }
    Some(Found {
        length_bytes: Some(length),
        is_checked: false,
        detail: format!(
            "states {sectors} sectors of metadata, which with 290 bytes more leaves whole \
             sectors; campaign marker {}",
            hex::encode(marker)
        ),
        prediction: None,
        stated: Stated {
            form: Geometry::BlackCat,
            mode: "not in clear text".to_owned(),
            percent: None,
            size_bytes: None,
            progress_bytes: None,
        },
    })
}

/// xxHash32 with seed 0 of exactly 16 bytes, the only length needed (xxHash specification).
fn xx_hash32_of_16(bytes: &[u8]) -> Option<u32> {
    let [p1, p2, p3] = [0x9E37_79B1u32, 0x85EB_CA77, 0xC2B2_AE3D];
    let starts = [p1.wrapping_add(p2), p2, 0, 0u32.wrapping_sub(p1)];
    let (words, rest) = bytes.as_chunks::<4>();
    if words.len() != 4 || !rest.is_empty() {
        return None;
    }
    let mut hash = 0u32;
    for ((start, word), turn) in starts.iter().zip(words).zip([1, 7, 12, 18]) {
        let lane = start.wrapping_add(u32::from_le_bytes(*word).wrapping_mul(p2));
        hash = hash.wrapping_add(lane.rotate_left(13).wrapping_mul(p1).rotate_left(turn));
    }
    hash = hash.wrapping_add(16);
    hash = (hash ^ (hash >> 15)).wrapping_mul(p2);
    hash = (hash ^ (hash >> 13)).wrapping_mul(p3);
    Some(hash ^ (hash >> 16))
}

#[cfg(test)]
mod tests {
    use super::{looks_random, xx_hash32_of_16};

    #[test]
    fn the_hash_agrees_with_the_reference_implementation() {
        assert_eq!(xx_hash32_of_16(b"0123456789abcdef"), Some(XXH_0_TO_F));
        assert_eq!(xx_hash32_of_16(b"short"), None);
    }

    #[test]
    fn text_and_zeros_are_no_wrapped_key() {
        assert!(!looks_random(&[0; 512]));
        assert!(!looks_random(&b"ransom note text ".repeat(31)));
        assert!(!looks_random(&[]));
    }
    /// From the reference implementation, seed 0.
    const XXH_0_TO_F: u32 = 0xC2C4_5B69;
}
