//! What could be the parent that is missing.

use std::{os::unix::ffi::OsStrExt, sync::Arc};

use vmglean_formats::{
    ByteOffset, ReadAt,
    vmdk::{
        ContentId, Descriptor, descriptor::looks_like_descriptor, open_descriptor, open_extent,
    },
};

use crate::{
    disk::{Chain, ChainLink},
    families::{Families, NameKind, split_suffix},
    report::{
        chain::{CandidateRecord, MissingRecord},
        record::RecordPath,
        units::count,
    },
    source::{EvidenceRoot, FoundKind, RelPath, SourceFile, base_name, walk},
    triage::footer::{FooterQuestion, read_footer},
};

/// Disks below the root that are looked at.
const MAX_LOOKED_AT: usize = 8192;
/// Candidates told.
const MAX_TOLD: usize = 16;

struct Scored {
    score: u32,
    record: CandidateRecord,
}

/// The parent that the last link lacks, with what could be it. Looks at the disks below `root`.
#[must_use]
pub fn missing(
    root: &Arc<EvidenceRoot>,
    chain: &Chain,
    families: &Families,
) -> Option<MissingRecord> {
    let child = chain.links.last().filter(|link| link.has_parent)?;
    let own: std::collections::HashSet<&RelPath> = chain
        .links
        .iter()
        .flat_map(|link| {
            std::iter::once(&link.path).chain(link.extents.iter().filter_map(|e| e.path.as_ref()))
        })
        .collect();
    let (found, _) = walk(root, &RelPath::default());
    let mut scored: Vec<Scored> = found
        .iter()
        .filter(|file| file.kind == FoundKind::File && !own.contains(&file.path))
        .filter(|file| {
            let name = file.path.file_name().as_bytes().to_ascii_lowercase();
            name.windows(5).any(|part| part == b".vmdk")
        })
        .take(MAX_LOOKED_AT)
        .filter_map(|file| score(root, child, &file.path, families))
        .collect();
    scored.sort_by(|a, b| b.score.cmp(&a.score).then_with(|| a.record.path.cmp(&b.record.path)));
    scored.truncate(MAX_TOLD);
    Some(MissingRecord {
        child: RecordPath(child.path.as_path().to_path_buf()),
        cid: child.parent_cid.map(|cid| cid.to_string()),
        hint: child.parent_hint.clone(),
        capacity_bytes: child.capacity,
        candidates: scored.into_iter().map(|scored| scored.record).collect(),
    })
}

/// What a file says of itself as a disk.
#[derive(Default)]
struct Disk {
    cid: Option<ContentId>,
    long: Option<ContentId>,
    capacity: Option<u64>,
    described: bool,
}

fn look(file: &SourceFile, path: &RelPath, families: &Families) -> Option<Disk> {
    let name = split_suffix(path.file_name().as_bytes(), families);
    if name.kind == NameKind::ChangeTracking {
        return None;
    }
    let of = |descriptor: &Descriptor| Disk {
        cid: descriptor.cid(),
        long: descriptor.long_content_id().and_then(ContentId::from_long_content_id),
        capacity: descriptor.capacity().and_then(|sectors| sectors.to_bytes()).map(|b| b.0),
        described: true,
    };
    let head = file.read_up_to(ByteOffset(0), 4096).ok()?;
    if looks_like_descriptor(&head) {
        return open_descriptor(file).ok().map(|checked| of(&checked.value));
    }
    if let Ok(opened) = open_extent(file) {
        let capacity = opened.value.capacity.to_bytes().map(|bytes| bytes.0);
        return Some(match &opened.value.embedded_descriptor {
            Some(embedded) => of(&embedded.value),
            None => Disk { capacity, ..Disk::default() },
        });
    }
    if name.kind != NameKind::Flat {
        return None;
    }
    // A flat extent is as long as its disk, footers left out.
    let question = FooterQuestion { whole_sectors: true, expected_bytes: None, named: Vec::new() };
    let reading = read_footer(file, &question, families).ok()?;
    Some(Disk { capacity: Some(reading.original_size_bytes), ..Disk::default() })
}

fn score(
    root: &EvidenceRoot,
    child: &ChainLink,
    path: &RelPath,
    families: &Families,
) -> Option<Scored> {
    let file = root.open_file(path).ok()?;
    let disk = look(&file, path, families)?;
    let mut reasons = Vec::new();
    let mut against = Vec::new();
    let mut score = 0;
    let wanted = child
        .parent_cid
        .filter(|cid| *cid != ContentId::NO_PARENT && *cid != ContentId::NEVER_WRITTEN);
    if let Some(wanted) = wanted {
        if disk.cid == Some(wanted) {
            score += 8;
            reasons.push(format!("has CID {wanted}, which the child asks for"));
        } else if disk.long == Some(wanted) {
            score += 6;
            reasons.push(format!("its longContentID ends with {wanted}, which the child asks for"));
        } else if let Some(cid) = disk.cid {
            against.push(format!("has CID {cid}, the child asks for {wanted}"));
        }
    }
    match disk.capacity {
        Some(capacity) if capacity == child.capacity => {
            score += 2;
            reasons.push(format!("holds {} bytes, as the child", count(capacity)));
        }
        Some(capacity) => against.push(format!(
            "holds {} bytes, the child {}",
            count(capacity),
            count(child.capacity)
        )),
        None => {}
    }
    let stem = |name: &[u8]| -> Vec<u8> {
        let lower = base_name(name).to_ascii_lowercase();
        let end = lower.windows(5).position(|part| part == b".vmdk").unwrap_or(lower.len());
        let stem = lower.get(..end).unwrap_or_default();
        let stem = stem.strip_suffix(b"-flat").unwrap_or(stem);
        let stem = stem.strip_suffix(b"-delta").unwrap_or(stem);
        stem.strip_suffix(b"-sesparse").unwrap_or(stem).to_vec()
    };
    let own = stem(path.file_name().as_bytes());
    if let Some(hint) = &child.parent_hint {
        if stem(hint.as_bytes()) == own {
            score += 3;
            reasons.push("has the name that the child gives its parent".to_owned());
        }
    } else if stem(child.path.file_name().as_bytes()).starts_with(&own) && !own.is_empty() {
        score += 1;
        reasons.push("its name begins the child's".to_owned());
    }
    if !disk.described {
        against.push("no descriptor speaks for it; salvage rebuilds one".to_owned());
    }
    (score >= 2).then(|| Scored {
        score,
        record: CandidateRecord {
            path: RecordPath(path.as_path().to_path_buf()),
            reasons,
            against,
        },
    })
}
