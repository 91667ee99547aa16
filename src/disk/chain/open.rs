//! Opening one link: its description, its extents, and what is wrong with them.

use std::{collections::HashMap, os::unix::ffi::OsStrExt, sync::Arc};

use vmglean_formats::{
    ByteOffset, FormatError, ReadAt,
    vmdk::{
        Descriptor, DiskExtent, ExtentFormat, ExtentKind, OpenedExtent,
        descriptor::looks_like_descriptor, open_descriptor, open_extent,
    },
};

use super::{
    companions::{Candidate, Companions},
    link::{ChainLink, DescribedBy, ExtentFacts},
    parent::Neighbour,
    pool::Pool,
    tell::{Told, name},
};
use crate::{
    disk::{DiskFile, DiskLink, ExtentBody, FileId, LinkExtent},
    source::{RelPath, Source},
};

/// Largest virtual disk that is believed: 4 EiB.
const MAX_CAPACITY_BYTES: u64 = 1 << 62;
/// Extents of a whole chain; a disk of 64 TiB in pieces of 2 GiB has 32,768.
const MAX_EXTENTS: usize = 200_000;

/// Opens links and keeps what they share.
pub(super) struct Opener {
    pub(super) companions: Arc<dyn Companions>,
    pub(super) files: Vec<DiskFile>,
    pub(super) told: Told,
    /// Virtual size that the next link must have, by its child's word.
    pub(super) expected: Option<u64>,
    /// Disks of the folders that were searched by CID.
    pub(super) neighbours: HashMap<RelPath, Arc<Vec<Neighbour>>>,
    pool: Pool,
    ids: HashMap<RelPath, FileId>,
    extents: usize,
}

/// The extent that a file with an embedded descriptor is itself.
struct Own {
    opened: OpenedExtent,
    file: FileId,
    len: u64,
}

impl Opener {
    pub(super) fn new(companions: Arc<dyn Companions>) -> Self {
        Self {
            pool: Pool::new(Arc::clone(&companions)),
            companions,
            files: Vec::new(),
            told: Told::default(),
            expected: None,
            neighbours: HashMap::new(),
            ids: HashMap::new(),
            extents: 0,
        }
    }

    pub(super) fn keep(&mut self, candidate: &Candidate, source: Arc<dyn Source>) -> FileId {
        if let Some(id) = self.ids.get(&candidate.path) {
            return *id;
        }
        let id = FileId(u32::try_from(self.files.len()).unwrap_or(u32::MAX));
        let source = self.pool.keep(candidate, source);
        self.files.push(DiskFile { name: name(&candidate.path), source });
        self.ids.insert(candidate.path.clone(), id);
        id
    }

    /// The descriptor in or of a candidate, if it holds one.
    pub(super) fn descriptor(&self, source: &dyn Source) -> Option<Descriptor> {
        let head = source.read_up_to(ByteOffset(0), 4096).ok()?;
        if !looks_like_descriptor(&head) && sparse_magic(&head) != Some(ExtentFormat::HostedSparse)
        {
            return None;
        }
        open_descriptor(source).ok().map(|checked| checked.value)
    }

    /// Opens the disk that `candidate` begins: a descriptor, a sparse extent, or plain bytes.
    pub(super) fn open(
        &mut self,
        candidate: &Candidate,
        source: Arc<dyn Source>,
    ) -> Result<(ChainLink, DiskLink), String> {
        let path = candidate.path.clone();
        let head = source
            .read_up_to(ByteOffset(0), 4096)
            .map_err(|error| format!("cannot be read: {error}"))?;
        if candidate.renamed {
            self.told.note(
                "chain.renamed",
                &path,
                "is taken for the disk whose name it begins with; something was appended"
                    .to_owned(),
            );
        }
        if looks_like_descriptor(&head) {
            let checked = open_descriptor(&*source).map_err(|error| error.to_string())?;
            self.told.defects("chain.descriptor-defect", &path, &checked.defects);
            let link =
                ChainLink::described(path, candidate.renamed, DescribedBy::File, &checked.value);
            return Ok(self.with_extents(link, &checked.value, None));
        }
        if sparse_magic(&head).is_some() {
            return Ok(self.open_sparse(candidate, source));
        }
        if !names_plain_bytes(&candidate.path) && !begins_like_a_disk(&*source) {
            let why = "begins with no VMDK header";
            if let Some(found) = self.open_headless(candidate, &source, why) {
                return Ok(found);
            }
        }
        Ok(self.open_raw(candidate, source))
    }

    fn open_sparse(
        &mut self,
        candidate: &Candidate,
        source: Arc<dyn Source>,
    ) -> (ChainLink, DiskLink) {
        let path = candidate.path.clone();
        let len = source.len_bytes();
        match open_extent(&*source) {
            Ok(checked) => {
                self.told.defects("chain.extent-defect", &path, &checked.defects);
                let mut opened = checked.value;
                let file = self.keep(candidate, source);
                let embedded = opened.embedded_descriptor.take();
                let Some(embedded) = embedded else {
                    return self.bare(candidate, Own { opened, file, len });
                };
                self.told.defects("chain.descriptor-defect", &path, &embedded.defects);
                let described = DescribedBy::Embedded;
                let link =
                    ChainLink::described(path, candidate.renamed, described, &embedded.value);
                self.with_extents(link, &embedded.value, Some(Own { opened, file, len }))
            }
            Err(error) => {
                let why = format!("its header cannot be used: {error}");
                self.told.damage(
                    "chain.extent-header-lost",
                    &path,
                    why.clone(),
                    "`vmglean inspect` shows every field",
                );
                let described =
                    open_descriptor(&*source).ok().filter(|d| !d.value.extents.is_empty());
                if described.is_none()
                    && let Some(found) = self.open_headless(candidate, &source, &why)
                {
                    return found;
                }
                let Some(described) = described else {
                    let link = ChainLink::bare(path, candidate.renamed, DescribedBy::Header);
                    let disk =
                        DiskLink { name: name(&link.path), capacity: 0, extents: Vec::new() };
                    return (link, disk);
                };
                let by = DescribedBy::Embedded;
                let mut link = ChainLink::described(path, candidate.renamed, by, &described.value);
                let length =
                    described.value.capacity().and_then(vmglean_formats::Sectors::to_bytes);
                link.capacity = length.map_or(0, |bytes| bytes.0.min(MAX_CAPACITY_BYTES));
                let extents = vec![LinkExtent {
                    start: 0,
                    length: link.capacity,
                    body: ExtentBody::Lost { why },
                }];
                let disk = DiskLink { name: name(&link.path), capacity: link.capacity, extents };
                (link, disk)
            }
        }
    }

    /// A sparse extent without a descriptor.
    fn bare(&mut self, candidate: &Candidate, own: Own) -> (ChainLink, DiskLink) {
        let mut link =
            ChainLink::bare(candidate.path.clone(), candidate.renamed, DescribedBy::Header);
        link.has_parent = own.opened.is_delta.unwrap_or(false) || names_a_delta(&candidate.path);
        link.capacity = bytes_of(own.opened.capacity.0);
        self.told.damage(
            "chain.descriptor-missing",
            &candidate.path,
            "no descriptor says to which disk this extent belongs".to_owned(),
            "`vmglean salvage` rebuilds descriptors",
        );
        link.extents.push(ExtentFacts {
            path: Some(candidate.path.clone()),
            name: None,
            renamed: candidate.renamed,
            file_len: Some(own.len),
            format: Some(own.opened.format),
            length: link.capacity,
            rebuilt: false,
            broken: None,
        });
        let extents = vec![LinkExtent {
            start: 0,
            length: link.capacity,
            body: ExtentBody::Mapped {
                file: own.file,
                map: own.opened.map,
                grain_bytes: own.opened.grain_bytes,
            },
        }];
        let disk = DiskLink { name: name(&link.path), capacity: link.capacity, extents };
        (link, disk)
    }

    fn open_raw(
        &mut self,
        candidate: &Candidate,
        source: Arc<dyn Source>,
    ) -> (ChainLink, DiskLink) {
        let mut link = ChainLink::bare(candidate.path.clone(), candidate.renamed, DescribedBy::Raw);
        link.capacity = source.len_bytes();
        if !names_plain_bytes(&candidate.path) && !begins_like_a_disk(&*source) {
            self.told.damage(
                "chain.header-unknown",
                &candidate.path,
                "begins with no VMDK header and no partition table; it is read as plain bytes, \
                 which is wrong if its header was encrypted"
                    .to_owned(),
                "name the descriptor of this disk instead, if there is one",
            );
        }
        let file = self.keep(candidate, source);
        link.extents.push(ExtentFacts {
            path: Some(candidate.path.clone()),
            name: None,
            renamed: candidate.renamed,
            file_len: Some(link.capacity),
            format: None,
            length: link.capacity,
            rebuilt: false,
            broken: None,
        });
        let body = ExtentBody::Flat { file, at: 0 };
        let extents = vec![LinkExtent { start: 0, length: link.capacity, body }];
        let disk = DiskLink { name: name(&link.path), capacity: link.capacity, extents };
        (link, disk)
    }

    fn with_extents(
        &mut self,
        mut link: ChainLink,
        descriptor: &Descriptor,
        mut own: Option<Own>,
    ) -> (ChainLink, DiskLink) {
        let mut extents = Vec::new();
        let mut at = 0_u64;
        for (index, line) in descriptor.extents.iter().enumerate() {
            let length = bytes_of(line.length.0).min(MAX_CAPACITY_BYTES - at);
            if self.extents >= MAX_EXTENTS || length < bytes_of(line.length.0) {
                let what = format!("more than {MAX_EXTENTS} extents or {MAX_CAPACITY_BYTES} bytes");
                self.told.damage("chain.too-large", &link.path, what, "");
                break;
            }
            self.extents += 1;
            let mut facts = ExtentFacts {
                path: None,
                name: line.name.clone(),
                renamed: false,
                file_len: None,
                format: None,
                length,
                rebuilt: false,
                broken: None,
            };
            let is_own = line.kind == ExtentKind::Sparse
                && (descriptor.extents.len() == 1 || names_file(line, &link.path));
            let body = match own.take_if(|_| is_own) {
                Some(own) => {
                    if index == 0 && !names_file(line, &link.path) && !link.renamed {
                        let what = format!(
                            "its descriptor calls the extent {:?}; the file itself is read",
                            line.name.as_deref().unwrap_or_default()
                        );
                        self.told.note("chain.extent-name-differs", &link.path, what);
                    }
                    facts.path = Some(link.path.clone());
                    facts.file_len = Some(own.len);
                    facts.renamed = link.renamed;
                    self.mapped(&mut facts, &link.path, own.file, own.opened, length)
                }
                None => self.line(&link, line, length, &mut facts),
            };
            if let ExtentBody::Lost { why } | ExtentBody::Unreadable { why } = &body {
                facts.broken = Some(why.clone());
            }
            link.extents.push(facts);
            extents.push(LinkExtent { start: at, length, body });
            at += length;
        }
        self.lines(&link, descriptor);
        if let Some(own) = own.filter(|_| extents.is_empty()) {
            self.told.damage(
                "chain.extent-line-missing",
                &link.path,
                "its descriptor names no extent; the size of its header is taken".to_owned(),
                "",
            );
            let length = bytes_of(own.opened.capacity.0);
            let mut facts = ExtentFacts {
                path: Some(link.path.clone()),
                name: None,
                renamed: link.renamed,
                file_len: Some(own.len),
                format: None,
                length,
                rebuilt: false,
                broken: None,
            };
            let body = self.mapped(&mut facts, &link.path.clone(), own.file, own.opened, length);
            link.extents.push(facts);
            extents.push(LinkExtent { start: 0, length, body });
            at = length;
        }
        if at == 0 {
            self.told.damage(
                "chain.no-extents",
                &link.path,
                "its descriptor holds no usable extent line".to_owned(),
                "",
            );
        }
        link.capacity = at;
        let is_redo_log = link.extents.iter().any(|extent| {
            matches!(extent.format, Some(ExtentFormat::Cowd | ExtentFormat::SeSparse))
        });
        if is_redo_log && !link.has_parent {
            self.told.damage(
                "chain.delta-without-parent",
                &link.path,
                "is a delta by its format, yet its parentCID says that it has no parent".to_owned(),
                "a parentCID of ffffffff here makes a host read zeros for all unchanged data: \
                 find the base disk and set parentCID and parentFileNameHint",
            );
        }
        link.has_parent |= is_redo_log;
        let disk = DiskLink { name: name(&link.path), capacity: at, extents };
        (link, disk)
    }
}

pub(super) fn worded(error: &FormatError) -> String {
    match error {
        FormatError::Medium { source, .. } => format!("{error}: {source}"),
        FormatError::Damaged(_) | FormatError::Unsupported { .. } => error.to_string(),
    }
}

pub(super) fn bytes_of(sectors: u64) -> u64 {
    sectors.saturating_mul(vmglean_formats::SECTOR_BYTES)
}

/// Which sparse format the first bytes claim.
fn sparse_magic(head: &[u8]) -> Option<ExtentFormat> {
    match head {
        [b'K', b'D', b'M', b'V', ..] => Some(ExtentFormat::HostedSparse),
        [b'C', b'O', b'W', b'D', ..] => Some(ExtentFormat::Cowd),
        [0xbe, 0xba, 0xfe, 0xca, 0, 0, 0, 0, ..] => Some(ExtentFormat::SeSparse),
        _ => None,
    }
}

fn names_file(line: &DiskExtent, path: &RelPath) -> bool {
    line.name.as_deref().is_some_and(|name| {
        crate::source::base_name(name.as_bytes()) == path.file_name().as_bytes()
    })
}

/// Whether the name is one that VMware gives to deltas: `-delta`, `-sesparse`, `-000001`.
pub(super) fn names_a_delta(path: &RelPath) -> bool {
    let name = path.file_name().as_bytes();
    let numbered = name
        .windows(7)
        .any(|part| part.first() == Some(&b'-') && part.iter().skip(1).all(u8::is_ascii_digit));
    numbered
        || [b"-delta".as_slice(), b"-sesparse"]
            .iter()
            .any(|word| name.windows(word.len()).any(|part| part.eq_ignore_ascii_case(word)))
}

/// Whether the name is one of plain bytes: `-flat.vmdk`, `-f001.vmdk`, or no VMDK at all.
fn names_plain_bytes(path: &RelPath) -> bool {
    let name = path.file_name().as_bytes().to_ascii_lowercase();
    let holds = |word: &[u8]| name.windows(word.len()).any(|part| part == word);
    let numbered = name
        .windows(5)
        .any(|part| part.starts_with(b"-f") && part.iter().skip(2).all(u8::is_ascii_digit));
    holds(b"-flat") || numbered || !holds(b".vmdk")
}

/// Whether a boot sector signature or a GPT header begins these bytes.
fn begins_like_a_disk(source: &dyn Source) -> bool {
    source.read_up_to(ByteOffset(0), 1024).is_ok_and(|head| {
        head.get(510..512) == Some(&[0x55, 0xaa]) || head.get(512..520) == Some(b"EFI PART")
    })
}
