//! Footers one after another from the end of a file.

use serde::{Deserialize, Serialize};
use vmglean_formats::{ByteOffset, MediumError, ReadAt};

use super::geometry::{self, Stated};
use crate::{
    families::{Families, Family, FamilyHint, FooterForm, Geometry, Prediction},
    finding::{Evidence, EvidenceKind},
};

/// How much of a file's end is looked at.
pub const TAIL_BYTES: usize = 16 * 1024;
/// A program run more often than this on one file is past belief.
const MAX_LAYERS: usize = 8;
/// Magics shorter than this, or of one repeated byte, need the length to agree as well.
const STRONG_MAGIC_BYTES: usize = 5;
/// What another witness calls appended must not be longer than any footer.
const LONGEST_FOOTER: u64 = 8192;
const SECTOR: u64 = 512;

/// What is known of the file beforehand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FooterQuestion {
    /// Whether such a file must be a whole number of 512-byte sectors (flat and sparse extents).
    pub whole_sectors: bool,
    /// Its length by another witness, such as the descriptor's extent line.
    pub expected_bytes: Option<u64>,
    /// Families that the file's suffix or the folder's note speak for.
    pub named: Vec<String>,
}

/// On what a footer layer rests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FooterProof {
    /// Its length fits, nothing more.
    Length,
    /// Its magic stands at its place, or its length agrees with the family named by the file.
    Magic,
    /// It checks itself: a size that agrees, a hash, a checksum.
    Checked,
}

/// One appended footer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FooterLayer {
    /// First byte of the footer.
    pub offset_bytes: u64,
    /// Its length.
    pub length_bytes: u64,
    /// On what it rests.
    pub proof: FooterProof,
    /// Families that append it.
    pub families: Vec<FamilyHint>,
    /// What it states in clear text.
    pub stated: Option<Stated>,
    /// Where it says the damage lies.
    pub prediction: Option<Prediction>,
}

/// What the end of a file says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FooterReading {
    /// The file's length now.
    pub file_bytes: u64,
    /// Its length before the attack, by the best witness.
    pub original_size_bytes: u64,
    /// Whether that length is stated or proven; else it is what whole sectors leave at most.
    pub original_size_is_proven: bool,
    /// Footers from the outermost in; empty where none was found.
    pub layers: Vec<FooterLayer>,
    /// Families whose footer would fit by length alone.
    pub candidates: Vec<FamilyHint>,
    /// What was seen.
    pub evidence: Vec<Evidence>,
}

impl FooterReading {
    /// Bytes appended to the original file.
    #[must_use]
    pub fn appended_bytes(&self) -> u64 {
        self.file_bytes.saturating_sub(self.original_size_bytes)
    }

    /// Whether a footer stands there by more than its length.
    #[must_use]
    pub fn is_proven(&self) -> bool {
        self.layers.iter().any(|layer| layer.proof > FooterProof::Length)
    }
}

/// Reads the end of `source`.
///
/// # Errors
/// The medium's error; nothing can then be said.
pub fn read_footer(
    source: &dyn ReadAt,
    question: &FooterQuestion,
    families: &Families,
) -> Result<FooterReading, MediumError> {
    let file_bytes = source.len_bytes();
    let from = file_bytes.saturating_sub(TAIL_BYTES as u64);
    let tail = source.read_up_to(ByteOffset(from), TAIL_BYTES)?;
    Ok(read_tail(file_bytes, &tail, question, families))
}

/// The same for a tail already in memory: the last bytes of a file of `file_bytes`.
#[must_use]
pub fn read_tail(
    file_bytes: u64,
    tail: &[u8],
    question: &FooterQuestion,
    families: &Families,
) -> FooterReading {
    let tail = match tail.len().checked_sub(TAIL_BYTES) {
        Some(past) => tail.get(past..).unwrap_or_default(),
        None => tail,
    };
    // A tail longer than its file is a caller's slip; the file's length is believed.
    let keep = usize::try_from(file_bytes).map_or(tail.len(), |length| length.min(tail.len()));
    let tail = tail.get(tail.len() - keep..).unwrap_or_default();
    let mut reading = FooterReading {
        file_bytes,
        original_size_bytes: file_bytes,
        original_size_is_proven: false,
        layers: Vec::new(),
        candidates: Vec::new(),
        evidence: Vec::new(),
    };
    let (mut end, mut rest) = (file_bytes, tail);
    while reading.layers.len() < MAX_LAYERS {
        let Some((layer, detail)) = one_layer(end, rest, question, families) else { break };
        reading.evidence.push(Evidence {
            kind: EvidenceKind::Footer,
            offset_bytes: layer.offset_bytes,
            length_bytes: layer.length_bytes,
            detail,
        });
        end = layer.offset_bytes;
        let cut = usize::try_from(layer.length_bytes).unwrap_or(usize::MAX);
        rest = rest.get(..rest.len().saturating_sub(cut)).unwrap_or_default();
        reading.layers.push(layer);
    }
    reading.original_size_bytes = end;
    reading.original_size_is_proven =
        !reading.layers.is_empty() && (!question.whole_sectors || end.is_multiple_of(SECTOR));
    settle_length(&mut reading, rest, question, families);
    predict_black_basta(&mut reading);
    reading
}

/// The footer that ends at `end`, with what was seen.
fn one_layer(
    end: u64,
    tail: &[u8],
    question: &FooterQuestion,
    families: &Families,
) -> Option<(FooterLayer, String)> {
    let mut best: Option<(FooterLayer, String)> = None;
    for family in families.all() {
        let named = question.named.contains(&family.name);
        for form in &family.footers {
            let found = match (form.geometry, &form.magic) {
                (Some(geometry), _) => by_geometry(family, geometry, named, end, tail, question),
                (None, Some(magic)) => by_magic(family, form, magic, named, end, tail, question),
                (None, None) => None,
            };
            let Some((layer, detail)) = found else { continue };
            match &mut best {
                Some((known, _)) if known.proof >= layer.proof => {
                    if known.proof == layer.proof && known.length_bytes == layer.length_bytes {
                        known.families.extend(layer.families);
                    }
                }
                _ => best = Some((layer, detail)),
            }
        }
    }
    best
}

fn hint(family: &Family, rests_on: String) -> FamilyHint {
    FamilyHint { family: family.name.clone(), rests_on, confidence: family.confidence }
}

fn by_geometry(
    family: &Family,
    geometry: Geometry,
    named: bool,
    end: u64,
    tail: &[u8],
    question: &FooterQuestion,
) -> Option<(FooterLayer, String)> {
    let found = geometry::parse(geometry, tail, end)?;
    let uneven = question.whole_sectors && !end.is_multiple_of(SECTOR);
    // A form without a check of its own needs the name or the arithmetic to speak for it.
    if !found.is_checked && !named && !uneven {
        return None;
    }
    let length = found.length_bytes.or_else(|| match question.expected_bytes {
        Some(expected) => {
            end.checked_sub(expected).filter(|length| (23..=LONGEST_FOOTER).contains(length))
        }
        // The shortest length that leaves whole sectors and room for the known fields.
        None => {
            let over = end % SECTOR;
            Some(if over < 23 { over + SECTOR } else { over }).filter(|_| question.whole_sectors)
        }
    })?;
    let offset = end.checked_sub(length)?;
    let proof = if found.is_checked {
        FooterProof::Checked
    } else if named || geometry == Geometry::BlackBasta {
        FooterProof::Magic
    } else {
        FooterProof::Length
    };
    let detail = format!("{}: {}", family.name, found.detail);
    let layer = FooterLayer {
        offset_bytes: offset,
        length_bytes: length,
        proof,
        families: vec![hint(family, format!("footer of {length} bytes: {}", found.detail))],
        stated: Some(found.stated),
        prediction: found.prediction,
    };
    Some((layer, detail))
}

fn by_magic(
    family: &Family,
    form: &FooterForm,
    magic: &[u8],
    named: bool,
    end: u64,
    tail: &[u8],
    question: &FooterQuestion,
) -> Option<(FooterLayer, String)> {
    let back = form.magic_from_end_bytes?;
    let from = tail.len().checked_sub(usize::try_from(back).ok()?)?;
    if tail.get(from..from.checked_add(magic.len())?)? != magic {
        return None;
    }
    let length = form.length_bytes.or_else(|| {
        // Only the magic's place is known: the rest up to whole sectors belongs to it.
        let over = end % SECTOR;
        let least = if over < back { over + SECTOR } else { over };
        question.whole_sectors.then_some(least)
    })?;
    let offset = end.checked_sub(length)?;
    let whole = question.whole_sectors && offset.is_multiple_of(SECTOR);
    let uniform = magic.iter().all(|byte| magic.first() == Some(byte));
    let is_strong = magic.len() >= STRONG_MAGIC_BYTES && !uniform;
    if !is_strong && !whole && !named {
        return None;
    }
    // The wrapped key round a weak magic must look like one.
    let body_from = tail.len().checked_sub(usize::try_from(length).ok()?)?;
    let body = tail.get(body_from..)?;
    let random_part: Vec<u8> = if back > magic.len() as u64 {
        body.get(magic.len()..).unwrap_or_default().to_vec()
    } else {
        body.get(..body.len().saturating_sub(magic.len())).unwrap_or_default().to_vec()
    };
    if !is_strong && !geometry::looks_random(&random_part) {
        return None;
    }
    let shown = if magic.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ') {
        format!("{:?}", String::from_utf8_lossy(magic))
    } else {
        hex::encode(magic)
    };
    let seen = format!("magic {shown} {back} bytes before the end of a {length}-byte footer");
    let layer = FooterLayer {
        offset_bytes: offset,
        length_bytes: length,
        proof: FooterProof::Magic,
        families: vec![hint(family, seen.clone())],
        stated: None,
        prediction: None,
    };
    Some((layer, format!("{}: {seen}", family.name)))
}

/// What lengths alone say, once no further footer shows itself.
fn settle_length(
    reading: &mut FooterReading,
    rest: &[u8],
    question: &FooterQuestion,
    families: &Families,
) {
    let end = reading.original_size_bytes;
    let witnessed = question
        .expected_bytes
        .and_then(|expected| end.checked_sub(expected))
        .filter(|length| (1..=LONGEST_FOOTER).contains(length));
    let over = end % SECTOR;
    let uneven = question.whole_sectors && over != 0;
    if witnessed.is_none() && !uneven {
        return;
    }
    let mut lengths: Vec<u64> = Vec::new();
    let mut named_length: Option<(u64, Vec<&str>)> = None;
    for family in families.all() {
        for form in &family.footers {
            let Some(length) = form.length_bytes else { continue };
            let fits = witnessed.map_or(length % SECTOR == over, |w| w == length);
            if form.magic.is_some() || form.geometry.is_some() || !fits {
                continue;
            }
            let from = usize::try_from(length).ok().and_then(|n| rest.len().checked_sub(n));
            let Some(bytes) = from.and_then(|from| rest.get(from..)) else { continue };
            if !geometry::looks_random(bytes) {
                continue;
            }
            let seen = if witnessed.is_some() {
                format!("{length} bytes behind the length that the descriptor gives")
            } else {
                format!("{over} bytes behind the last whole sector fit its {length}-byte footer")
            };
            reading.candidates.push(hint(family, seen));
            if question.named.contains(&family.name) {
                match &mut named_length {
                    Some((known, names)) if *known == length => names.push(&family.name),
                    Some(_) => {}
                    None => named_length = Some((length, vec![&family.name])),
                }
            }
            lengths.push(length);
        }
    }
    lengths.sort_unstable();
    lengths.dedup();
    let appended = witnessed
        .or(named_length.as_ref().map(|(length, _)| *length))
        .or_else(|| lengths.first().copied().filter(|_| lengths.len() == 1))
        .unwrap_or(over);
    let offset = end.saturating_sub(appended);
    let detail = if let Some(length) = witnessed {
        format!("the file is {length} bytes longer than its descriptor says")
    } else {
        format!(
            "length is {over} modulo 512; an extent is whole sectors, so bytes were appended or \
             the end was cut off"
        )
    };
    reading.evidence.push(Evidence {
        kind: EvidenceKind::Footer,
        offset_bytes: offset,
        length_bytes: appended,
        detail,
    });
    if !reading.candidates.is_empty() || witnessed.is_some() {
        let named = named_length.is_some();
        let mut known = reading.candidates.clone();
        if let Some((_, names)) = &named_length {
            known.retain(|hint| names.contains(&hint.family.as_str()));
        }
        reading.layers.push(FooterLayer {
            offset_bytes: offset,
            length_bytes: appended,
            proof: if named { FooterProof::Magic } else { FooterProof::Length },
            families: known,
            stated: None,
            prediction: None,
        });
    }
    reading.original_size_is_proven = witnessed.is_some() || named_length.is_some();
    reading.original_size_bytes = offset;
}

/// Black Basta's geometry follows from the original size, known only now.
fn predict_black_basta(reading: &mut FooterReading) {
    let size = reading.original_size_bytes;
    for layer in &mut reading.layers {
        if let Some(stated) = &mut layer.stated
            && stated.form == Geometry::BlackBasta
            && let Some(progress) = stated.progress_bytes
        {
            layer.prediction = geometry::black_basta_prediction(size, progress);
            if progress < size {
                reading.evidence.push(Evidence {
                    kind: EvidenceKind::Footer,
                    offset_bytes: progress,
                    length_bytes: size - progress,
                    detail: format!(
                        "the progress counter stopped at {progress} of {size}: the run was \
                         interrupted"
                    ),
                });
            }
        }
    }
}

/// Reads any bytes as a file's tail: the body of the fuzz target.
pub fn exercise(data: &[u8]) {
    let Ok(families) = Families::built_in() else { return };
    let (head, tail) = data.split_at(data.len().min(9));
    let mut length = [0u8; 8];
    for (to, from) in length.iter_mut().zip(head) {
        *to = *from;
    }
    let flags = head.last().copied().unwrap_or(0);
    let stated = u64::from_le_bytes(length);
    let question = FooterQuestion {
        whole_sectors: flags & 1 != 0,
        expected_bytes: (flags & 2 != 0).then_some(stated / 2),
        named: families
            .all()
            .iter()
            .filter(|_| flags & 4 != 0)
            .map(|family| family.name.clone())
            .collect(),
    };
    let file_bytes = if flags & 8 != 0 { stated } else { tail.len() as u64 };
    let reading = read_tail(file_bytes, tail, &question, &families);
    debug_assert!(reading.original_size_bytes <= file_bytes);
}
