//! File names: which part VMware gave, and which part somebody appended.

use serde::{Deserialize, Serialize};

use super::{
    Confidence,
    entry::{Family, SuffixRule, SuffixShape},
    load::Families,
    notes::note_by_name,
};

/// More appended parts than this are one last part.
const MAX_SUFFIXES: usize = 16;

/// What a VMware name says the file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NameKind {
    /// `X.vmdk`: a descriptor, or a hosted disk with its descriptor inside.
    Vmdk,
    /// `X-flat.vmdk` or `X-f001.vmdk`: plain disk content.
    Flat,
    /// `X-s001.vmdk`: one extent of a split hosted sparse disk.
    SparseExtent,
    /// `X-delta.vmdk`: vmfsSparse.
    Delta,
    /// `X-sesparse.vmdk`.
    SeSparse,
    /// `X-ctk.vmdk`: changed block tracking.
    ChangeTracking,
    /// `X-rdm.vmdk`, `X-rdmp.vmdk`: pointer to a raw LUN.
    RawDeviceMap,
    /// `.vmx`.
    Vmx,
    /// `.vmx~`, `.vmx.bak` and other copies of the configuration.
    VmxBackup,
    /// `.vmtx`: template.
    Vmtx,
    /// `.vmxf`.
    Vmxf,
    /// `.vmsd`: snapshot list.
    Vmsd,
    /// `.vmsn`: snapshot state.
    Vmsn,
    /// `.vmss`: suspend state.
    Vmss,
    /// `.vmem`: guest memory.
    Vmem,
    /// `.vswp`: swap.
    Vswp,
    /// `.nvram`.
    Nvram,
    /// `vmware.log`, `vmware-N.log`, `.log`, `.vmlog`.
    Log,
    /// `.lck`, `.lck-…`, `~` locks.
    Lock,
    /// `.ovf`, `.ova`, `.mf`.
    Export,
    /// `.iso`, `.flp`.
    Media,
    /// Other files that VMware writes: `.vmfd`, `.psf`, `.hlog`, `.scoreboard`, …
    OtherVmware,
    /// No VMware name.
    Other,
}

/// How an appended suffix is understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SuffixMeaning {
    /// A family is known to append exactly this.
    Known,
    /// It has the shape that some families make anew for each victim.
    PerVictimRule,
    /// A companion file that a family leaves beside its victim file.
    Sidecar,
    /// A copy or leftover that people and tools make: `.bak`, `.old`, `.gz`.
    Ordinary,
    /// Nobody known to us appends this.
    Unknown,
}

/// A family that appends such a suffix.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SuffixFamily {
    /// Name of the family.
    pub family: String,
    /// Why it fits.
    pub why: String,
    /// How sure the entry is.
    pub confidence: Confidence,
}

/// Something appended to a VMware name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suffix {
    /// The bytes, dot included.
    pub text: Vec<u8>,
    /// How it is understood.
    pub meaning: SuffixMeaning,
    /// Families that append it, the surest first.
    pub families: Vec<SuffixFamily>,
}

/// A file name taken apart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameParts {
    /// The name VMware gave, or the whole name where none is recognised.
    pub stem: Vec<u8>,
    /// What that name says the file is.
    pub kind: NameKind,
    /// What was appended, from the inside out.
    pub suffixes: Vec<Suffix>,
}

impl NameParts {
    /// Whether something was appended that is not an ordinary copy's ending.
    #[must_use]
    pub fn is_renamed(&self) -> bool {
        self.suffixes.iter().any(|suffix| suffix.meaning != SuffixMeaning::Ordinary)
    }

    /// Whether an ordinary copy's ending was appended: `.bak`, `.old`, `.1`.
    #[must_use]
    pub fn is_copy(&self) -> bool {
        self.suffixes.iter().any(|suffix| suffix.meaning == SuffixMeaning::Ordinary)
    }
}

/// Extensions that VMware writes, longest first where one begins with another.
const EXTENSIONS: [(&str, NameKind); 27] = [
    ("scoreboard", NameKind::OtherVmware),
    ("nvram", NameKind::Nvram),
    ("vmlog", NameKind::Log),
    ("hlog", NameKind::OtherVmware),
    ("vmdk", NameKind::Vmdk),
    ("vmxf", NameKind::Vmxf),
    ("vmxa", NameKind::OtherVmware),
    ("vmtx", NameKind::Vmtx),
    ("vmtm", NameKind::OtherVmware),
    ("vmpl", NameKind::OtherVmware),
    ("vmfd", NameKind::OtherVmware),
    ("vmsd", NameKind::Vmsd),
    ("vmsn", NameKind::Vmsn),
    ("vmss", NameKind::Vmss),
    ("vmem", NameKind::Vmem),
    ("vswp", NameKind::Vswp),
    ("redo", NameKind::Delta),
    ("vmx", NameKind::Vmx),
    ("log", NameKind::Log),
    ("lck", NameKind::Lock),
    ("psf", NameKind::OtherVmware),
    ("cpt", NameKind::Vmsn),
    ("ovf", NameKind::Export),
    ("ova", NameKind::Export),
    ("iso", NameKind::Media),
    ("flp", NameKind::Media),
    ("mf", NameKind::Export),
];

/// Endings that people and everyday tools append.
const ORDINARY: [&str; 38] = [
    ".bak",
    ".backup",
    ".old",
    ".orig",
    ".original",
    ".save",
    ".saved",
    ".tmp",
    ".temp",
    ".copy",
    ".new",
    ".gz",
    ".zip",
    ".7z",
    ".xz",
    ".zst",
    ".lz4",
    ".bz2",
    ".tar",
    ".tgz",
    ".sha1",
    ".sha256",
    ".sha512",
    ".md5",
    ".txt",
    ".part",
    ".partial",
    ".filepart",
    ".crdownload",
    ".asc",
    ".sig",
    ".json",
    ".html",
    ".gpg",
    ".pgp",
    ".age",
    ".enc",
    ".aes",
];

/// Takes a file name apart: the name VMware gave, and what was appended to it.
///
/// The rightmost VMware extension ends the stem; what follows is cut at dots outside brackets.
/// Locks, `~` and rotation numbers are VMware's own. A name without VMware extension loses only
/// fixed suffixes of known families. Any bytes will do.
#[must_use]
pub fn split_suffix(file_name: &[u8], families: &Families) -> NameParts {
    let lower = file_name.to_ascii_lowercase();
    if lower.starts_with(b".lck-") {
        return NameParts { stem: file_name.to_vec(), kind: NameKind::Lock, suffixes: Vec::new() };
    }
    match vmware_stem(&lower) {
        Some((end, kind)) => {
            let (stem, rest) = file_name.split_at(end);
            NameParts { stem: stem.to_vec(), kind, suffixes: suffixes(rest, families) }
        }
        None => strip_known(file_name, families),
    }
}

/// Where the VMware name ends, and what it says.
fn vmware_stem(lower: &[u8]) -> Option<(usize, NameKind)> {
    for (dot, _) in lower.iter().enumerate().rev().filter(|(_, byte)| **byte == b'.') {
        let after = lower.get(dot + 1..).unwrap_or_default();
        let Some((extension, kind)) = EXTENSIONS.iter().find(|(extension, _)| {
            after.starts_with(extension.as_bytes())
                && after.get(extension.len()).is_none_or(|next| !next.is_ascii_alphanumeric())
        }) else {
            continue;
        };
        let mut end = dot + 1 + extension.len();
        let mut kind = *kind;
        let base = lower.get(..dot).unwrap_or_default();
        if kind == NameKind::Vmdk {
            kind = vmdk_kind(base);
        }
        if lower.get(end) == Some(&b'~') {
            end += 1;
            kind = if kind == NameKind::Vmx { NameKind::VmxBackup } else { NameKind::Lock };
        }
        return Some((end, kind));
    }
    None
}

fn vmdk_kind(base: &[u8]) -> NameKind {
    let numbered = |letter: u8| {
        base.len() >= 5
            && base.get(base.len() - 5..).is_some_and(|tail| {
                tail.starts_with(&[b'-', letter]) && tail.iter().skip(2).all(u8::is_ascii_digit)
            })
    };
    if base.ends_with(b"-flat") || numbered(b'f') {
        NameKind::Flat
    } else if base.ends_with(b"-sesparse") {
        NameKind::SeSparse
    } else if base.ends_with(b"-delta") {
        NameKind::Delta
    } else if base.ends_with(b"-ctk") {
        NameKind::ChangeTracking
    } else if base.ends_with(b"-rdm") || base.ends_with(b"-rdmp") {
        NameKind::RawDeviceMap
    } else if numbered(b's') {
        NameKind::SparseExtent
    } else {
        NameKind::Vmdk
    }
}

/// Cuts `rest` at dots that do not stand in brackets.
fn suffixes(rest: &[u8], families: &Families) -> Vec<Suffix> {
    let mut parts: Vec<&[u8]> = Vec::new();
    let (mut from, mut depth) = (0usize, 0usize);
    for (i, byte) in rest.iter().enumerate() {
        match byte {
            b'[' | b'(' | b'{' => depth += 1,
            b']' | b')' | b'}' => depth = depth.saturating_sub(1),
            b'.' if depth == 0 && i > from && parts.len() + 1 < MAX_SUFFIXES => {
                parts.push(rest.get(from..i).unwrap_or_default());
                from = i;
            }
            _ => {}
        }
    }
    parts.push(rest.get(from..).unwrap_or_default());
    parts.retain(|part| !part.is_empty());
    parts.into_iter().map(|part| suffix(part, families)).collect()
}

/// A name VMware did not give: only suffixes that a family surely appends come off.
fn strip_known(file_name: &[u8], families: &Families) -> NameParts {
    let mut end = file_name.len();
    let mut found = Vec::new();
    while found.len() < MAX_SUFFIXES {
        let head = file_name.get(..end).unwrap_or_default();
        let Some(dot) = head.iter().rposition(|byte| *byte == b'.').filter(|dot| *dot > 0) else {
            break;
        };
        let part = suffix(head.get(dot..).unwrap_or_default(), families);
        if part.meaning != SuffixMeaning::Known {
            break;
        }
        found.push(part);
        end = dot;
    }
    found.reverse();
    let stem = file_name.get(..end).unwrap_or_default().to_vec();
    NameParts { stem, kind: NameKind::Other, suffixes: found }
}

fn suffix(part: &[u8], families: &Families) -> Suffix {
    let text = String::from_utf8_lossy(part).into_owned();
    let lower = text.to_ascii_lowercase();
    let make = |meaning, mut families: Vec<SuffixFamily>| {
        families.sort_by_key(|family| std::cmp::Reverse(family.confidence));
        Suffix { text: part.to_vec(), meaning, families }
    };
    let named = |family: &Family, why: String| SuffixFamily {
        family: family.name.clone(),
        why,
        confidence: family.confidence,
    };
    let known: Vec<_> = families
        .by_suffix(&lower)
        .map(|family| named(family, format!("it appends {text}")))
        .collect();
    if !known.is_empty() {
        return make(SuffixMeaning::Known, known);
    }
    let sidecars: Vec<_> = families
        .all()
        .iter()
        .filter(|family| is_sidecar(family, &lower))
        .map(|family| named(family, format!("it leaves companion files ending in {text}")))
        .collect();
    if !sidecars.is_empty() {
        return make(SuffixMeaning::Sidecar, sidecars);
    }
    if is_ordinary(&lower) {
        return make(SuffixMeaning::Ordinary, Vec::new());
    }
    let body = text.strip_prefix('.').unwrap_or(&text);
    let shaped: Vec<_> = families
        .all()
        .iter()
        .filter_map(|family| {
            let rule = family.suffix_rules.iter().find(|rule| fits(rule, body))?;
            Some(named(family, format!("its suffixes are {}, made for each victim", words(rule))))
        })
        .collect();
    if text.starts_with('.') && !shaped.is_empty() {
        return make(SuffixMeaning::PerVictimRule, shaped);
    }
    make(SuffixMeaning::Unknown, Vec::new())
}

fn is_sidecar(family: &Family, lower: &str) -> bool {
    family.sidecars.iter().any(|sidecar| {
        let ending = sidecar.strip_prefix("{file}").unwrap_or(sidecar).to_ascii_lowercase();
        if ending.starts_with('.') {
            return lower == ending;
        }
        lower.strip_suffix(&ending).is_some_and(|front| {
            family.suffixes.iter().any(|suffix| suffix.eq_ignore_ascii_case(front))
        })
    })
}

fn is_ordinary(lower: &str) -> bool {
    let number = lower.strip_prefix('.').or_else(|| lower.strip_prefix('-'));
    ORDINARY.contains(&lower)
        || lower == "~"
        || number.is_some_and(|digits| {
            (1..=3).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
        })
}

fn fits(rule: &SuffixRule, body: &str) -> bool {
    let Some(rest) = body
        .get(..rule.prefix.len())
        .filter(|front| front.eq_ignore_ascii_case(&rule.prefix))
        .and_then(|_| body.get(rule.prefix.len()..))
    else {
        return false;
    };
    (rule.min_length..=rule.max_length).contains(&rest.len())
        && rest.bytes().all(|byte| match rule.shape {
            SuffixShape::Alphanumeric => byte.is_ascii_alphanumeric(),
            SuffixShape::Hex => byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte),
            SuffixShape::Digits => byte.is_ascii_digit(),
        })
}

fn words(rule: &SuffixRule) -> String {
    let count = if rule.min_length == rule.max_length {
        rule.min_length.to_string()
    } else {
        format!("{} to {}", rule.min_length, rule.max_length)
    };
    let letters = match rule.shape {
        SuffixShape::Alphanumeric => "letters and digits",
        SuffixShape::Hex => "hexadecimal digits",
        SuffixShape::Digits => "digits",
    };
    if rule.prefix.is_empty() {
        format!("{count} {letters}")
    } else {
        format!("{:?} and {count} {letters}", rule.prefix)
    }
}

/// Takes any bytes apart as a name: the body of the fuzz target.
pub fn exercise(data: &[u8]) {
    let Ok(families) = Families::built_in() else { return };
    let parts = split_suffix(data, &families);
    debug_assert!(parts.stem.len() <= data.len());
    let _ = note_by_name(data, &families);
}
