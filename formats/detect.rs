//! Which format begins here, told by the bytes alone.

use serde::Serialize;

use crate::{
    units::{ByteOffset, Bytes},
    vmdk::descriptor::looks_like_descriptor,
};

/// What a file is, by its bytes. Names never decide here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileKind {
    /// A text descriptor.
    VmdkDescriptor,
    /// `KDMV`: hosted sparse or streamOptimized.
    VmdkSparse,
    /// `kdmv`: an output of open-vmdk that was never finished.
    VmdkSparseUnfinished,
    /// `COWD`: an ESXi redo log.
    VmdkCowd,
    /// seSparse.
    VmdkSeSparse,
    /// `-ctk.vmdk`: changed block tracking.
    ChangeTracking,
    /// `.vmsn`, `.vmss`.
    Checkpoint,
    /// `.nvram`.
    Nvram,
    /// A VMware encrypted-file container.
    EncryptedContainer,
    /// `DataTransformEnvelope` of an ESXi host.
    EsxiEnvelope,
    /// A vmtar archive.
    Vmtar,
    /// Dictionary text: `.vmx`, `.vmsd`, `.vmtx`.
    Dictionary,
    /// `.vmxf`.
    Vmxf,
    /// An OVF descriptor.
    Ovf,
    /// A tar archive, an OVA among them.
    Tar,
    /// gzip.
    Gzip,
    /// bzip2.
    Bzip2,
    /// xz.
    Xz,
    /// zstd.
    Zstd,
    /// Zip.
    Zip,
    /// 7z.
    SevenZip,
    /// An ISO 9660 image.
    Iso9660,
    /// EWF (`.E01`).
    Ewf,
    /// qcow2.
    Qcow2,
    /// VHDX.
    Vhdx,
    /// SQLite.
    Sqlite,
    /// A PNG picture.
    Png,
    /// A vmware.log.
    VmwareLog,
}

/// How sure the answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Confidence {
    /// A trace away from the start: the head itself may be overwritten.
    Trace,
    /// Words that fit, no magic.
    Likely,
    /// The format's own magic, with fields that fit.
    Magic,
}

/// A format and the bytes that told it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Detected {
    /// The format.
    pub kind: FileKind,
    /// How sure.
    pub confidence: Confidence,
    /// Where the telling bytes lie.
    #[serde(rename = "offset_bytes")]
    pub at: ByteOffset,
    /// How many they are.
    #[serde(rename = "length_bytes")]
    pub length: Bytes,
}

/// Bytes from the start of a file that [`detect`] looks at: enough for an ISO 9660 mark.
pub const DETECT_BYTES: usize = 36_864;

/// A fixed byte string at a fixed place.
struct Mark {
    at: usize,
    bytes: &'static [u8],
    kind: FileKind,
    confidence: Confidence,
}

const fn magic(bytes: &'static [u8], kind: FileKind) -> Mark {
    Mark { at: 0, bytes, kind, confidence: Confidence::Magic }
}

const fn mark(at: usize, bytes: &'static [u8], kind: FileKind, confidence: Confidence) -> Mark {
    Mark { at, bytes, kind, confidence }
}

/// Tried in order; the first that fits answers, so longer and surer ones stand first.
const MARKS: &[Mark] = &[
    magic(b"KDMV", FileKind::VmdkSparse),
    magic(b"kdmv", FileKind::VmdkSparseUnfinished),
    magic(b"COWD\x01\0\0\0", FileKind::VmdkCowd),
    mark(0, b"COWD", FileKind::VmdkCowd, Confidence::Likely),
    magic(b"\xbe\xba\xfe\xca\0\0\0\0", FileKind::VmdkSeSparse),
    magic(b"\xa2\x72\x19\xf6", FileKind::ChangeTracking),
    magic(b"\xd2\xbe\xd2\xbe", FileKind::Checkpoint),
    magic(b"\xd3\xbe\xd3\xbe", FileKind::Checkpoint),
    magic(b"\xd0\xbe\xd0\xbe", FileKind::Checkpoint),
    magic(b"\xd0\xbe\xd2\xbe", FileKind::Checkpoint),
    magic(b"\xd1\xba\xd1\xba", FileKind::Checkpoint),
    magic(b"\xd2\xba\xd2\xba", FileKind::Checkpoint),
    magic(b"MRVN\x01\0\0\0", FileKind::Nvram),
    mark(0, b"MRVN", FileKind::Nvram, Confidence::Likely),
    magic(b"\x9e\xdd\x43\x89\x01\0\0\0", FileKind::EncryptedContainer),
    magic(b"DataTransformEnvelope", FileKind::EsxiEnvelope),
    mark(257, b"visor  ", FileKind::Vmtar, Confidence::Magic),
    mark(257, b"ustar", FileKind::Tar, Confidence::Magic),
    magic(b"\x1f\x8b\x08", FileKind::Gzip),
    magic(b"BZh", FileKind::Bzip2),
    magic(b"\xfd7zXZ\0", FileKind::Xz),
    magic(b"\x28\xb5\x2f\xfd", FileKind::Zstd),
    magic(b"PK\x03\x04", FileKind::Zip),
    magic(b"7z\xbc\xaf\x27\x1c", FileKind::SevenZip),
    magic(b"EVF\x09\x0d\x0a\xff\0", FileKind::Ewf),
    magic(b"EVF2\x0d\x0a\x81", FileKind::Ewf),
    magic(b"QFI\xfb", FileKind::Qcow2),
    magic(b"vhdxfile", FileKind::Vhdx),
    magic(b"SQLite format 3\0", FileKind::Sqlite),
    magic(b"\x89PNG\r\n\x1a\n", FileKind::Png),
    mark(32_769, b"CD001", FileKind::Iso9660, Confidence::Magic),
    // The head is overwritten, what follows it is not.
    mark(512, b"\xfe\xca\xfe\xca\0\0\0\0", FileKind::VmdkSeSparse, Confidence::Trace),
    mark(1024, b"\xde\xc0\xaf\xde\0\0\0\0", FileKind::VmdkSeSparse, Confidence::Trace),
];

impl Detected {
    fn new(kind: FileKind, confidence: Confidence, at: usize, length: usize) -> Self {
        Self {
            kind,
            confidence,
            at: ByteOffset(u64::try_from(at).unwrap_or(0)),
            length: Bytes(u64::try_from(length).unwrap_or(0)),
        }
    }
}

/// Which format the first bytes of a file tell (give it [`DETECT_BYTES`] or all there are).
/// `None` says only that nothing known begins here: a flat extent, or anything encrypted.
#[must_use]
pub fn detect(head: &[u8]) -> Option<Detected> {
    let hit = MARKS
        .iter()
        .find(|mark| head.get(mark.at..).is_some_and(|rest| rest.starts_with(mark.bytes)));
    // A trace away from the start yields to text at the start.
    if let Some(hit) = hit.filter(|hit| hit.confidence != Confidence::Trace) {
        let sure =
            if hit.kind == FileKind::VmdkSparse { sparse_confidence(head) } else { hit.confidence };
        return Some(Detected::new(hit.kind, sure, hit.at, hit.bytes.len()));
    }
    if looks_like_descriptor(head) {
        let length = head.iter().position(|byte| *byte == b'\n').unwrap_or(head.len());
        return Some(Detected::new(FileKind::VmdkDescriptor, Confidence::Magic, 0, length));
    }
    text(head).or_else(|| {
        // A descriptor whose first lines are gone still shows its keys.
        let found = find_word(head, b"createType=").or_else(|| find_word(head, b"parentCID="));
        if let Some((at, length)) = found {
            return Some(Detected::new(FileKind::VmdkDescriptor, Confidence::Trace, at, length));
        }
        hit.map(|hit| Detected::new(hit.kind, hit.confidence, hit.at, hit.bytes.len()))
    })
}

/// `KDMV` is four bytes that chance can give; the fields behind it make it sure.
fn sparse_confidence(head: &[u8]) -> Confidence {
    let field = |at: usize| {
        let bytes = head.get(at..at.checked_add(4)?)?;
        Some(u32::from_le_bytes(bytes.try_into().ok()?))
    };
    let fits = field(4).is_some_and(|version| (1..=3).contains(&version))
        && field(20).is_some_and(u32::is_power_of_two);
    if fits { Confidence::Magic } else { Confidence::Likely }
}

fn find_word(head: &[u8], word: &[u8]) -> Option<(usize, usize)> {
    let head = head.get(..4096).unwrap_or(head);
    memchr::memmem::find(head, word).map(|at| (at, word.len()))
}

/// Texts are told by the words they begin with.
fn text(head: &[u8]) -> Option<Detected> {
    let skipped = if head.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
    let body = head.get(skipped..)?;
    let first_line = body.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let starts = |prefix: &[u8]| {
        body.get(..prefix.len()).is_some_and(|head| head.eq_ignore_ascii_case(prefix))
    };
    let found =
        |kind, confidence, at: usize, length| Some(Detected::new(kind, confidence, at, length));
    if starts(b".encoding") && first_line.contains(&b'=') {
        return found(FileKind::Dictionary, Confidence::Magic, skipped, first_line.len());
    }
    if starts(b"<?xml") || starts(b"<Foundry") || starts(b"<Envelope") {
        if let Some((at, length)) = find_word(head, b"<Foundry") {
            return found(FileKind::Vmxf, Confidence::Magic, at, length);
        }
        let envelope = find_word(head, b"schemas.dmtf.org/ovf/envelope");
        if let Some((at, length)) = envelope.or_else(|| find_word(head, b"ovf:Envelope")) {
            return found(FileKind::Ovf, Confidence::Magic, at, length);
        }
        return None;
    }
    let log =
        [&b"Log for VMware"[..], b"| vmx| I125: Log for", b"vmx| Log for", b"vmx I120: Log for"];
    for word in log {
        if let Some(at) = memchr::memmem::find(first_line, word) {
            return found(
                FileKind::VmwareLog,
                Confidence::Magic,
                skipped.saturating_add(at),
                word.len(),
            );
        }
    }
    for word in [
        &b"config.version"[..],
        b"displayName",
        b"virtualHW.version",
        b"snapshot.lastUID",
        b"snapshot.numSnapshots",
    ] {
        if let Some((at, length)) = find_word(head, word)
            && is_texty(head)
        {
            return found(FileKind::Dictionary, Confidence::Likely, at, length);
        }
    }
    None
}

/// Whether the first kilobyte holds no control bytes but tabs and line ends.
fn is_texty(head: &[u8]) -> bool {
    let head = head.get(..1024).unwrap_or(head);
    head.iter().all(|byte| *byte >= 0x20 || matches!(byte, b'\t' | b'\n' | b'\r'))
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "fixed test bytes")]
mod tests {
    use super::*;

    fn kind(head: &[u8]) -> Option<(FileKind, Confidence, u64)> {
        detect(head).map(|found| (found.kind, found.confidence, found.at.0))
    }

    #[test]
    fn every_magic_of_the_list_is_told_with_its_place() {
        for mark in MARKS {
            let mut head = vec![0x5au8; 40_000];
            head[mark.at..mark.at + mark.bytes.len()].copy_from_slice(mark.bytes);
            let found = detect(&head).expect("a magic is found");
            assert_eq!(found.kind, mark.kind);
            assert_eq!(usize::try_from(found.at.0).ok(), Some(mark.at));
        }
    }

    #[test]
    fn texts_are_told_by_their_first_words() {
        let cases: &[(&[u8], FileKind)] = &[
            (b"# Disk DescriptorFile\nversion=1\n", FileKind::VmdkDescriptor),
            (b"\n#comment\n  # disk descriptorfile\r\n", FileKind::VmdkDescriptor),
            (b".encoding = \"UTF-8\"\nconfig.version = \"8\"\n", FileKind::Dictionary),
            (b"config.version = \"8\"\nvirtualHW.version = \"19\"\n", FileKind::Dictionary),
            (b"<?xml version=\"1.0\"?>\n<Foundry>\n<VM>", FileKind::Vmxf),
            (b"<?xml version=\"1.0\"?><Envelope xmlns=\"http://schemas.dmtf.org/ovf/envelope/1\">", FileKind::Ovf),
            (b"2021-01-01T00:00:00.000Z| vmx| I125: Log for VMware ESX pid=1", FileKind::VmwareLog),
        ];
        for (head, expected) in cases {
            assert_eq!(
                detect(head).map(|found| found.kind),
                Some(*expected),
                "{}",
                String::from_utf8_lossy(head)
            );
        }
    }

    #[test]
    fn java_classes_and_noise_are_nothing_of_ours() {
        assert_eq!(kind(b"\xca\xfe\xba\xbe\0\0\0\x34"), None);
        assert_eq!(kind(&[0u8; 4096]), None);
        assert_eq!(kind(b""), None);
    }

    #[test]
    fn kdmv_without_fields_that_fit_is_only_likely() {
        assert_eq!(
            kind(b"KDMV\xff\xff\xff\xff"),
            Some((FileKind::VmdkSparse, Confidence::Likely, 0))
        );
    }

    #[test]
    fn a_descriptor_whose_head_is_gone_leaves_a_trace() {
        let mut head = vec![0xf3u8; 64];
        head.extend_from_slice(b"\nparentCID=ffffffff\ncreateType=\"vmfs\"\n");
        assert_eq!(kind(&head), Some((FileKind::VmdkDescriptor, Confidence::Trace, 84)));
    }
}
