//! A small file judged whole.

use serde::{Deserialize, Serialize};
use vmglean_formats::{ByteOffset, ReadAt};

use super::{explain, stretch};
use crate::{
    families::{NameKind, Suffix, SuffixMeaning},
    finding::{Evidence, EvidenceKind, in_one_line},
    triage::measure::{BLOCK_BYTES, BlockStats, ByteHistogram},
};

/// Of longer files only this much is read.
const MAX_READ_BYTES: usize = 16 << 20;
/// Text has at least this share of printable bytes; UTF-8 and old code pages need room.
const TEXT_SHARE: f64 = 0.9;

/// What is known of a small file beforehand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SmallContext {
    /// What its name says it is.
    pub kind: NameKind,
    /// What was appended to its name.
    pub suffixes: Vec<Suffix>,
    /// Whether a ransom note lies in its folder.
    pub note_in_folder: bool,
}

/// What a small file's bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SmallState {
    /// Text or binary of the kind its name says.
    Intact,
    /// The right kind, but parts of it are not.
    Damaged,
    /// Random-like, where its kind never is.
    Encrypted,
    /// Random-like, and its kind may be.
    RandomLike,
    /// VMware's own encryption.
    LegitEncrypted,
    /// A known compressed container.
    Compressed,
    /// Nothing but zeros.
    Zero,
    /// No bytes at all.
    Empty,
    /// Readable, but not of a kind that can be checked.
    Unchecked,
    /// Could not be read.
    Unreadable,
}

/// A small file judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SmallJudgement {
    /// The verdict.
    pub state: SmallState,
    /// Why, in one sentence.
    pub reason: String,
    /// Shannon entropy of what was read, in bits a byte.
    pub entropy_bits: f64,
    /// Chi-square of what was read against uniform bytes; 255 ± 23 for random ones.
    pub chi_square: f64,
    /// How many bytes were read.
    pub length_bytes: u64,
    /// What was seen.
    pub evidence: Vec<Evidence>,
}

/// Judges a file read whole; of one longer than 16 MiB only that much.
#[must_use]
pub fn judge_small(source: &dyn ReadAt, context: &SmallContext) -> SmallJudgement {
    let bytes = match source.read_up_to(ByteOffset(0), MAX_READ_BYTES) {
        Ok(bytes) => bytes,
        Err(error) => {
            let reason = format!("could not be read: {}", in_one_line(&error));
            return judgement(SmallState::Unreadable, reason, &[]);
        }
    };
    judge_bytes(&bytes, context)
}

/// The same for bytes already in memory.
#[must_use]
pub fn judge_bytes(bytes: &[u8], context: &SmallContext) -> SmallJudgement {
    let (state, reason) = state(bytes, context);
    let mut found = judgement(state, reason, bytes);
    for suffix in &context.suffixes {
        if matches!(suffix.meaning, SuffixMeaning::Ordinary) {
            continue;
        }
        found.evidence.push(Evidence {
            kind: EvidenceKind::Name,
            offset_bytes: 0,
            length_bytes: found.length_bytes,
            detail: format!("suffix {}", String::from_utf8_lossy(&suffix.text).escape_debug()),
        });
    }
    found
}

fn judgement(state: SmallState, reason: String, bytes: &[u8]) -> SmallJudgement {
    let histogram = ByteHistogram::of(bytes);
    let entropy_bits =
        if bytes.is_empty() { 0.0 } else { f64::from(entropy::shannon_entropy(bytes)) };
    let chi_square = histogram.chi_square().value();
    let detail = format!("entropy {entropy_bits:.4} bits a byte, chi-square {chi_square:.1}");
    let length_bytes = bytes.len() as u64;
    let evidence =
        vec![Evidence { kind: EvidenceKind::Statistic, offset_bytes: 0, length_bytes, detail }];
    SmallJudgement { state, reason, entropy_bits, chi_square, length_bytes, evidence }
}

fn state(bytes: &[u8], context: &SmallContext) -> (SmallState, String) {
    use SmallState::{Compressed, Empty, LegitEncrypted, Zero};
    let say = |text: &str| text.to_owned();
    if bytes.is_empty() {
        return (Empty, say("has no bytes"));
    }
    if bytes.iter().all(|byte| *byte == 0) {
        return (Zero, say("holds nothing but zeros"));
    }
    if bytes.starts_with(&0x8943_DD9E_u32.to_le_bytes()) && bytes.get(4) == Some(&1) {
        return (LegitEncrypted, say("is a container that VMware encrypted"));
    }
    if bytes.starts_with(b"DataTransformEnvelope") {
        return (LegitEncrypted, say("is an envelope that ESXi encrypted"));
    }
    match expectation(context.kind) {
        Expect::Text(what) => {
            // Writers of descriptors fill up the last sector.
            let is_padded = matches!(context.kind, NameKind::Vmdk | NameKind::RawDeviceMap)
                && bytes.len().is_multiple_of(512);
            let end = bytes.iter().rposition(|byte| *byte != 0).filter(|_| is_padded);
            text(end.and_then(|end| bytes.get(..=end)).unwrap_or(bytes), what)
        }
        Expect::Magic(magics, what) => magic(bytes, magics, what, context),
        Expect::Anything => {
            if let Some((name, _)) = explain::magic(bytes) {
                return (Compressed, format!("begins as {name}"));
            }
            open(bytes, context)
        }
    }
}

/// What a kind of file must look like.
enum Expect {
    Text(&'static str),
    Magic(&'static [&'static [u8]], &'static str),
    Anything,
}

fn expectation(kind: NameKind) -> Expect {
    match kind {
        NameKind::Vmdk | NameKind::RawDeviceMap => Expect::Text("a descriptor"),
        NameKind::Vmx | NameKind::VmxBackup | NameKind::Vmtx => Expect::Text("a configuration"),
        NameKind::Vmxf => Expect::Text("a .vmxf"),
        NameKind::Vmsd => Expect::Text("a snapshot list"),
        NameKind::Log => Expect::Text("a log"),
        NameKind::Nvram => Expect::Magic(&[b"MRVN"], "NVRAM"),
        NameKind::Vmsn | NameKind::Vmss => Expect::Magic(
            &[
                b"\xd2\xbe\xd2\xbe",
                b"\xd3\xbe\xd3\xbe",
                b"\xd0\xbe\xd0\xbe",
                b"\xd1\xba\xd1\xba",
                b"\xd2\xba\xd2\xba",
            ],
            "checkpoint",
        ),
        NameKind::ChangeTracking => Expect::Magic(&[b"\xa2\x72\x19\xf6"], "change tracking"),
        NameKind::Flat
        | NameKind::SparseExtent
        | NameKind::Delta
        | NameKind::SeSparse
        | NameKind::Vmem
        | NameKind::Vswp
        | NameKind::Lock
        | NameKind::Export
        | NameKind::Media
        | NameKind::OtherVmware
        | NameKind::Other => Expect::Anything,
    }
}

/// Whether these bytes look random: by chi-square, or by distinct values where they are few.
fn looks_random(bytes: &[u8]) -> bool {
    if bytes.len() >= 2048 {
        return ByteHistogram::of(bytes).chi_square().is_random_like();
    }
    let histogram = ByteHistogram::of(bytes);
    let distinct = histogram.counts().iter().filter(|count| **count > 0).count() as f64;
    let expected = 256.0 * (1.0 - (-(bytes.len() as f64) / 256.0).exp());
    bytes.len() >= 48 && distinct >= expected * 0.9 && histogram.printable_share() < 0.6
}

/// The same where a text footer or a clear head dilutes the ciphertext.
fn random_blocks(bytes: &[u8]) -> (usize, Option<usize>) {
    let mut first = None;
    let mut count = 0;
    for (i, block) in bytes.chunks(BLOCK_BYTES).enumerate() {
        let random = if block.len() >= 2048 {
            BlockStats::of(block).chi_square().is_random_like()
        } else {
            looks_random(block)
        };
        if random {
            first = first.or(Some(i * BLOCK_BYTES));
            count += 1;
        }
    }
    (count, first)
}

/// Share of text: printable ASCII, line ends, and bytes of valid UTF-8 sequences.
fn text_share(bytes: &[u8]) -> f64 {
    let mut good = 0usize;
    for chunk in bytes.utf8_chunks() {
        good += chunk
            .valid()
            .chars()
            .filter(|c| !c.is_control() || matches!(c, '\n' | '\r' | '\t'))
            .map(char::len_utf8)
            .sum::<usize>();
    }
    good as f64 / bytes.len().max(1) as f64
}

/// A text file with a byte order mark of UTF-16, as UTF-8.
fn from_utf16(bytes: &[u8]) -> Option<Vec<u8>> {
    let unit: fn([u8; 2]) -> u16 = match bytes {
        [0xFF, 0xFE, ..] => u16::from_le_bytes,
        [0xFE, 0xFF, ..] => u16::from_be_bytes,
        _ => return None,
    };
    let (pairs, _) = bytes.get(2..)?.as_chunks::<2>();
    let units: Vec<u16> = pairs.iter().map(|pair| unit(*pair)).collect();
    Some(String::from_utf16_lossy(&units).into_bytes())
}

fn text(bytes: &[u8], what: &str) -> (SmallState, String) {
    use SmallState::{Damaged, Encrypted, Intact, LegitEncrypted};
    let converted = from_utf16(bytes).filter(|text| text_share(text) >= TEXT_SHARE);
    let plain = converted.as_deref().unwrap_or(bytes);
    // Old code pages have bytes past ASCII; whole files of them are still mostly ASCII.
    let share = text_share(plain).max(ByteHistogram::of(plain).printable_share());
    let (random, first) = if converted.is_some() { (0, None) } else { random_blocks(bytes) };
    let blocks = bytes.len().div_ceil(BLOCK_BYTES);
    if looks_random(bytes) || (random > 0 && random == blocks) {
        return (Encrypted, format!("random-like from end to end, where {what} is text"));
    }
    if let Some(at) = first {
        return (
            Damaged,
            format!(
                "{random} of {blocks} blocks look random, the first at {at:#x}, where {what} is text"
            ),
        );
    }
    let bad = plain.chunks(BLOCK_BYTES).position(|block| {
        text_share(block).max(ByteHistogram::of(block).printable_share()) < TEXT_SHARE
    });
    if let Some(block) = bad {
        let at = block * BLOCK_BYTES;
        return (Damaged, format!("no text from {at:#x} on, where {what} is text"));
    }
    if share < TEXT_SHARE {
        return (Damaged, format!("too little of it is text, where {what} is"));
    }
    if converted.is_none()
        && let Some(at) = stretch::binary_in_text(bytes)
    {
        return (
            Damaged,
            format!("bytes from {at:#x} on that no text holds, where {what} is text"),
        );
    }
    let has = |key: &[u8]| memchr::memmem::find(plain, key).is_some();
    if has(b"encryption.keySafe") && !has(b"config.version") {
        return (LegitEncrypted, format!("{what} that VMware encrypted, its key safe is intact"));
    }
    (Intact, "text from end to end".to_owned())
}

fn magic(
    bytes: &[u8],
    magics: &[&[u8]],
    what: &str,
    context: &SmallContext,
) -> (SmallState, String) {
    use SmallState::{Damaged, Encrypted, Intact};
    let head = bytes.get(..BLOCK_BYTES).unwrap_or(bytes);
    if magics.iter().any(|magic| bytes.starts_with(magic)) {
        // Compressed memory and keys inside may look random; only most of it speaks.
        let (random, first) = random_blocks(bytes);
        let blocks = bytes.len().div_ceil(BLOCK_BYTES);
        let may_be_compressed = matches!(context.kind, NameKind::Vmsn | NameKind::Vmss);
        return match first {
            Some(at) if !may_be_compressed => {
                (Damaged, format!("{random} of {blocks} blocks look random, the first at {at:#x}"))
            }
            _ if context.kind == NameKind::Nvram => match stretch::random_in_nvram(bytes) {
                Some(at) => (Damaged, format!("random bytes from {at:#x} on")),
                None => (Intact, format!("begins as {what} must")),
            },
            _ => (Intact, format!("begins as {what} must")),
        };
    }
    if looks_random(head) {
        return (Encrypted, format!("random-like where the {what} header must be"));
    }
    (Damaged, format!("no {what} header"))
}

/// A file of no checkable kind.
fn open(bytes: &[u8], context: &SmallContext) -> (SmallState, String) {
    use SmallState::{Encrypted, Intact, RandomLike, Unchecked};
    let head = bytes.get(..64 * 1024).unwrap_or(bytes);
    let own = context
        .suffixes
        .iter()
        .find(|suffix| !matches!(suffix.meaning, SuffixMeaning::Ordinary | SuffixMeaning::Sidecar));
    if looks_random(bytes) {
        return match own {
            Some(suffix) => {
                let text = String::from_utf8_lossy(&suffix.text).escape_debug().to_string();
                (
                    Encrypted,
                    format!("random-like from end to end, and {text} was appended to its name"),
                )
            }
            None => (
                RandomLike,
                "random-like from end to end; compressed and key files look the same".to_owned(),
            ),
        };
    }
    if looks_random(head.get(..BLOCK_BYTES).unwrap_or(head))
        && let Some(suffix) = own
    {
        let text = String::from_utf8_lossy(&suffix.text).escape_debug().to_string();
        return (
            Encrypted,
            format!("its head is random-like, and {text} was appended to its name"),
        );
    }
    if text_share(bytes) >= 0.95 {
        return (Intact, "text from end to end".to_owned());
    }
    (Unchecked, "readable, but of no kind that can be checked".to_owned())
}
