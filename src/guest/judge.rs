//! A file held against map, bitmap and its own content, and the word that follows.

use std::ops::Range;

use vmglean_formats::{ByteOffset, ReadAt as _, ntfs::ReparseKind};

use super::{
    Content, Extents, Ground, GuestFile, RecordFact, Stream, StreamReader, Verdict, content,
};

/// A file and what its bytes are read by.
pub(in crate::guest) type Judged = (GuestFile, Option<Stream>);

/// Reasons listed for one file.
const MOST_REASONS: usize = 16;
/// A file may be this many times as large as its disk, being mostly holes.
const LARGEST_TIMES_DISK: u64 = 64;

/// Which clusters are in use.
#[derive(Debug)]
pub(in crate::guest) struct Bitmap {
    /// Number of the cluster that the first bit tells of.
    first: u64,
    bits: Vec<u8>,
    holes: Vec<Range<u64>>,
}

/// What the bitmap says of clusters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::guest) enum Use {
    /// All in use.
    Used,
    /// None in use.
    Free,
    /// Some of each.
    Mixed,
    /// Its bytes are lost there.
    Unknown,
}

impl Bitmap {
    /// A bitmap of a volume up to 8 TiB at 4 KiB a cluster.
    pub(in crate::guest) fn load(ground: &Ground<'_>, stream: &Stream) -> Option<Self> {
        const LONGEST: u64 = 256 << 20;
        if stream.size > LONGEST {
            return None;
        }
        let (_, holes) = stream.against(ground);
        let mut bits = vec![0; usize::try_from(stream.size).ok()?];
        StreamReader::new(ground, stream).read_exact_at(&mut bits, ByteOffset(0)).ok()?;
        Some(Self { first: 0, bits, holes: holes.into_iter().map(|(range, _)| range).collect() })
    }

    /// A bitmap whose first bit tells of cluster `first`; nothing is known of the bytes in
    /// `holes`.
    pub(in crate::guest) fn of(first: u64, bits: Vec<u8>, holes: Vec<Range<u64>>) -> Self {
        Self { first, bits, holes }
    }

    pub(in crate::guest) fn asks(&self, first: u64, clusters: u64) -> Use {
        let Some(first) = first.checked_sub(self.first) else { return Use::Unknown };
        let end = first.saturating_add(clusters);
        if end.div_ceil(8) > self.bits.len() as u64 {
            return Use::Unknown;
        }
        let bytes = first / 8..end.div_ceil(8);
        if self.holes.iter().any(|hole| hole.start < bytes.end && bytes.start < hole.end) {
            return Use::Unknown;
        }
        let (mut used, mut free) = (false, false);
        let mut at = first;
        while at < end && !(used && free) {
            let byte = usize::try_from(at / 8).ok().and_then(|n| self.bits.get(n)).copied();
            let byte = byte.unwrap_or(0);
            if at.is_multiple_of(8) && at + 8 <= end {
                used |= byte != 0;
                free |= byte != 0xFF;
                at += 8;
            } else {
                let bit = byte >> (at % 8) & 1 == 1;
                used |= bit;
                free |= !bit;
                at += 1;
            }
        }
        match (used, free) {
            (true, false) => Use::Used,
            (false, true) => Use::Free,
            (false, false) => Use::Unknown,
            (true, true) => Use::Mixed,
        }
    }
}

/// Holds a stream against map and bitmap.
pub(in crate::guest) fn against(
    ground: &Ground<'_>,
    bitmap: Option<&Bitmap>,
    stream: &Stream,
    file: &mut GuestFile,
) {
    file.size = stream.size;
    file.doubts.extend(stream.defects.iter().cloned());
    if stream.size > ground.size().saturating_mul(LARGEST_TIMES_DISK) {
        file.doubts.push(format!("{} bytes are past belief on this disk", stream.size));
    }
    (file.tally, file.holes) = stream.against(ground);
    file.places = stream.places();
    let tally = file.tally;
    file.extents = if stream.resident.is_some() || stream.size == 0 {
        Extents::Resident
    } else if tally.bad() == 0 {
        if stream.defects.is_empty() { Extents::Intact } else { Extents::Unknown }
    } else if tally.encrypted.saturating_add(tally.gone) >= stream.size {
        Extents::Encrypted
    } else if tally.encrypted == 0 && tally.gone == 0 {
        Extents::Unknown
    } else {
        Extents::Partial
    };
    if stream.flags & 0x4000 != 0 {
        file.is_withheld = true;
        file.notes.push("encrypted by its owner (EFS)".to_owned());
    }
    if file.extents == Extents::Unknown && tally.undetermined > 0 {
        file.notes.push(format!("the map cannot tell {} bytes of it", tally.undetermined));
    }
    let Some(bitmap) = bitmap else {
        if file.is_deleted && stream.has_clusters() {
            file.doubts
                .push("deleted, and whether its clusters were used again is lost".to_owned());
        }
        return;
    };
    for (first, clusters) in stream.clusters() {
        let used = bitmap.asks(first, clusters);
        if file.is_deleted && used != Use::Free {
            file.doubts.push("deleted, and its clusters may be in use again".to_owned());
            break;
        }
        if !file.is_deleted && matches!(used, Use::Free | Use::Mixed) {
            file.doubts.push("the volume's bitmap calls clusters of it free".to_owned());
            break;
        }
    }
}

/// Tests content whose bytes are there.
pub(in crate::guest) fn tested(ground: &Ground<'_>, stream: &Stream, file: &mut GuestFile) {
    let whole = matches!(file.extents, Extents::Intact | Extents::Resident);
    let perhaps = file.extents == Extents::Unknown && file.tally.encrypted == 0;
    if !(whole || perhaps) || stream.size > ground.size() {
        file.kind = kind_by_name(&file.path, false);
        return;
    }
    let reader = StreamReader::new(ground, stream);
    let told = content::test(&reader, &file.path);
    file.kind = told.kind.to_owned();
    file.content = told.content;
    if !told.detail.is_empty() {
        file.notes.push(told.detail);
    }
    if told.is_unreadable {
        file.extents = Extents::Unknown;
        file.notes.push("its bytes could not be read".to_owned());
    }
}

/// The word that follows from the facts.
pub(in crate::guest) fn settle(file: &mut GuestFile) {
    use ReparseKind::{Deduplicated, Offline, SystemCompressed};
    file.record = if file.doubts.is_empty() { RecordFact::Ok } else { RecordFact::Damaged };
    let stub = matches!(file.reparse, Some(Deduplicated | SystemCompressed | Offline));
    if stub && !file.path.contains(&b':') && !file.is_folder {
        file.is_withheld = true;
        file.extents = Extents::Unknown;
        file.notes.push("its content lies elsewhere; this is only a stub".to_owned());
    }
    let is_sure = file.record == RecordFact::Ok && !file.is_withheld;
    file.verdict = match (file.extents, file.content) {
        (Extents::Partial, _) => Verdict::Partial,
        (Extents::Encrypted, _) => Verdict::Encrypted,
        _ if !is_sure => Verdict::Undetermined,
        (Extents::Intact | Extents::Resident | Extents::Unknown, Content::Proven) => {
            Verdict::Proven
        }
        (Extents::Intact | Extents::Resident, Content::Contradicted) => Verdict::Contradicted,
        (Extents::Intact | Extents::Resident, Content::Consistent | Content::Untested)
            if !file.is_deleted =>
        {
            Verdict::Intact
        }
        _ => Verdict::Undetermined,
    };
    file.doubts.truncate(MOST_REASONS);
    file.notes.truncate(MOST_REASONS);
}

/// A kind by the name's end, where the content says nothing.
pub(in crate::guest) fn kind_by_name(path: &[u8], is_folder: bool) -> String {
    if is_folder { "folder".to_owned() } else { content::kind_by_name(path).to_owned() }
}

/// Why the map misses damage, if so: `told` says of files with checksums whether each was proven
/// and whether it contradicted. One in a thousand was broken long before.
pub(in crate::guest) fn blindness(told: &[(bool, bool)]) -> Option<String> {
    let tested = told.iter().filter(|(proven, alarm)| *proven || *alarm).count();
    let alarms = told.iter().filter(|(_, alarm)| *alarm).count();
    let is_blind =
        (alarms >= 2 && alarms * 50 >= tested) || (alarms >= 3 && alarms * 200 >= tested);
    is_blind.then(|| {
        format!("the map misses damage: {alarms} of {tested} files with checksums contradict it")
    })
}
