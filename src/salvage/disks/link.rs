//! The files of one chain: surviving descriptors made to fit, lost ones written anew.

use std::collections::HashMap;

use vmglean_formats::vmdk::{ContentId, Descriptor, ExtentFormat, open_descriptor};

use super::Layout;
use crate::{
    catalog::{CatalogFile, ChainLink, Content, FileId, LinkExtent, MachineDisk},
    families::NameKind,
    finding::Weight,
    salvage::{
        config::{Fact, Opener, Rebuilt, from_descriptor},
        descriptor::{Changes, ExtentWord, Lost},
        names::{Unique, safe_bytes},
        plan::{MachinePlan, Origin, PlannedContent, PlannedFile},
    },
    source::{RecordPath, base_name},
};

const SECTOR: u64 = 512;

/// The name of the descriptor that belongs to a disk's file: `srv.vmdk` of `srv-flat.vmdk`.
pub(super) fn descriptor_name(opener: &Opener<'_>, id: FileId) -> String {
    let file = opener.file(id);
    let name = safe_bytes(file.stem());
    let stem = name.strip_suffix(".vmdk").unwrap_or(&name);
    let bare = match file.name.kind {
        NameKind::Flat if !stem.ends_with("-flat") => stem.get(..stem.len().saturating_sub(5)),
        NameKind::Flat => stem.strip_suffix("-flat"),
        NameKind::Delta => stem.strip_suffix("-delta"),
        NameKind::SeSparse => stem.strip_suffix("-sesparse"),
        NameKind::SparseExtent => stem.get(..stem.len().saturating_sub(5)),
        NameKind::RawDeviceMap => stem.strip_suffix("-rdm").or_else(|| stem.strip_suffix("-rdmp")),
        _ => Some(stem),
    };
    format!("{}.vmdk", bare.unwrap_or(stem))
}

/// Plans the files of one chain.
pub(super) struct ChainFiles<'a, 'b> {
    pub(super) layout: &'a Layout<'a>,
    pub(super) disk: &'a MachineDisk,
    pub(super) names: &'b mut Unique,
    /// Names given to files that disks share.
    pub(super) given: &'b mut HashMap<FileId, String>,
}

/// What a link's descriptor becomes, base first.
struct Below {
    name: String,
    cid: Option<ContentId>,
}

impl<'a> ChainFiles<'a, '_> {
    /// Files from link `start` down, and the name of the disk. Base first, so that each child
    /// knows its parent's name and CID.
    pub(super) fn plan(
        &mut self,
        start: usize,
        config: &Rebuilt,
        plan: &mut MachinePlan,
        facts: &mut Vec<Fact>,
    ) -> Result<(String, Vec<PlannedFile>), String> {
        let mut files = Vec::new();
        let mut below: Option<Below> = None;
        for at in (start..self.disk.chain.len()).rev() {
            let Some(link) = self.disk.chain.get(at) else { break };
            let head = link.file.or_else(|| link.extents.iter().find_map(|e| e.file));
            let head = head.ok_or("a link of it has no file")?;
            if let Some(name) = self.given.get(&head) {
                let cid = self.opener().file(head).descriptor().and_then(|d| d.cid);
                below = Some(Below { name: name.clone(), cid });
                continue;
            }
            let file = self.opener().file(head);
            let made = match (&file.content, link.described) {
                (Content::Descriptor(_), true) => {
                    self.surviving(head, link, below.as_ref(), plan, facts)?
                }
                (Content::Sparse { .. }, true) => {
                    self.embedded(head, link, below.as_ref(), plan)?
                }
                _ => self.lost(at, head, link, below.as_ref(), config, plan)?,
            };
            let (next, mut made) = made;
            self.given.insert(head, next.name.clone());
            below = Some(next);
            made.append(&mut files);
            files = made;
        }
        let name = below.ok_or("nothing of it was found")?.name;
        Ok((name, files))
    }

    fn opener(&self) -> &'a Opener<'a> {
        self.layout.opener
    }

    /// The stretch of an extent file that is the disk's own, and why that much.
    fn own_length(&self, plan: &MachinePlan, id: FileId, line: Option<u64>) -> (u64, String) {
        let file = self.opener().file(id);
        let (mut length, mut why) = match plan.condition.original_bytes.get(&id) {
            Some((original, what)) if *original < file.size_bytes => {
                (*original, format!("{} bytes less {what}", file.size_bytes))
            }
            _ => (file.size_bytes, "the whole file".to_owned()),
        };
        if file.name.kind == NameKind::Flat {
            if let Some(line) = line.filter(|line| *line < length) {
                length = line;
                why = format!("as long as its extent line says; the file has {}", file.size_bytes);
            }
            if length % SECTOR != 0 {
                why = format!("{why}, cut to whole sectors ({} bytes over)", length % SECTOR);
                length -= length % SECTOR;
            }
        }
        (length, why)
    }

    fn extent(
        &mut self,
        extent: &LinkExtent,
        line: Option<u64>,
        plan: &MachinePlan,
    ) -> Result<(String, u64, Option<PlannedFile>), String> {
        if extent.is_device() {
            return Err("it is a raw device: a LUN holds its data, no file does".to_owned());
        }
        let Some(id) = extent.file else {
            return Err(format!("its extent {:?} is not there", extent.name));
        };
        let (length, why) = self.own_length(plan, id, line);
        if let Some(name) = self.given.get(&id) {
            return Ok((name.clone(), length, None));
        }
        let name = self.names.take(&safe_bytes(self.opener().file(id).stem()));
        self.given.insert(id, name.clone());
        let content = PlannedContent::Part { file: id, at: 0, length, state: "undetermined" };
        let planned = PlannedFile { name: name.clone(), origin: Origin::Copied, why, content };
        let wanted = !self.layout.options.config_only;
        Ok((name, length, wanted.then_some(planned)))
    }

    /// A descriptor that reads: kept byte for byte where every name in it still holds.
    fn surviving(
        &mut self,
        id: FileId,
        link: &ChainLink,
        below: Option<&Below>,
        plan: &mut MachinePlan,
        facts: &mut Vec<Fact>,
    ) -> Result<(Below, Vec<PlannedFile>), String> {
        let opener = self.opener();
        let file = opener.file(id);
        let source = opener.open(id).map_err(|error| error.to_string())?;
        let descriptor = open_descriptor(&source).map_err(|error| error.to_string())?.value;
        let path = RecordPath::from(file.shown.clone());
        facts.extend(from_descriptor(&path, &descriptor, self.disk.node.as_deref()));
        let name = self.names.take(&safe_bytes(file.stem()));
        let (mut files, mut changes) = (Vec::new(), Changes::default());
        for (extent, line) in link.extents.iter().zip(&descriptor.extents) {
            if !extent.needs_file() {
                changes.extents.push(None);
                continue;
            }
            let (new, length, planned) = self.extent(extent, extent.length_bytes, plan)?;
            changes.extents.push((line.name.as_deref() != Some(&new)).then(|| new.clone()));
            let is_flat = extent.file.is_some_and(|e| opener.file(e).name.kind == NameKind::Flat);
            if is_flat && extent.length_bytes.is_some_and(|wanted| wanted > length) {
                return Err(format!("its extent {new} is shorter than the descriptor says"));
            }
            files.extend(planned);
        }
        if let Some(below) = below
            && descriptor.parent_file_name_hint() != Some(&below.name)
        {
            changes.hint = Some(below.name.clone());
        }
        changes.drop_change_tracking = descriptor.change_track_path().is_some();
        files.insert(0, descriptor_file(opener, id, &name, &descriptor, &changes)?);
        Ok((Below { name, cid: descriptor.cid() }, files))
    }

    /// A sparse file with its descriptor inside: carried as it is, so its names cannot change.
    fn embedded(
        &mut self,
        id: FileId,
        link: &ChainLink,
        below: Option<&Below>,
        plan: &mut MachinePlan,
    ) -> Result<(Below, Vec<PlannedFile>), String> {
        let file = self.opener().file(id);
        let facts = file.descriptor().cloned();
        let own =
            LinkExtent { file: Some(id), ..link.extents.first().cloned().ok_or("no extent")? };
        if link.extents.len() > 1 {
            return Err("a sparse file that names further extents is not taken apart here".into());
        }
        let (name, _, planned) = self.extent(&own, None, plan)?;
        if let (Some(below), Some(facts)) = (below, &facts) {
            let hint = facts.hint.as_deref().map(|hint| base_name(hint.as_bytes()));
            if hint != Some(below.name.as_bytes()) || facts.hint.as_deref() != Some(&below.name) {
                let what = format!(
                    "{name} names its parent {:?} inside; in this folder it is {}",
                    facts.hint.as_deref().unwrap_or_default(),
                    below.name
                );
                let next = Some(
                    "rename the parent in the copy, or put its present name into the descriptor",
                );
                plan.tell("disk.hint-differs", Weight::Damage, what, next);
            }
        }
        Ok((Below { name, cid: facts.and_then(|facts| facts.cid) }, planned.into_iter().collect()))
    }

    /// Bare extents: the descriptor is written anew.
    fn lost(
        &mut self,
        at: usize,
        head: FileId,
        link: &ChainLink,
        below: Option<&Below>,
        config: &Rebuilt,
        plan: &mut MachinePlan,
    ) -> Result<(Below, Vec<PlannedFile>), String> {
        if link.extents.is_empty() {
            return Err("its descriptor is lost and no extent of it is there".into());
        }
        let word = self.word(link)?;
        let is_delta = matches!(word, ExtentWord::VmfsSparse | ExtentWord::SeSparse);
        if is_delta && below.is_none() {
            return Err("its descriptor is lost and its parent is not there".into());
        }
        let (mut files, mut extents, mut sizes) = (Vec::new(), Vec::new(), Vec::new());
        let parent_bytes = self.disk.chain.get(at + 1).and_then(|link| link.capacity_bytes);
        for extent in &link.extents {
            let (name, length, planned) = self.extent(extent, None, plan)?;
            let file = extent.file.map(|id| self.opener().file(id));
            let bytes = match word {
                ExtentWord::Vmfs | ExtentWord::Flat => Some(length),
                _ => file.and_then(CatalogFile::capacity_bytes).or(parent_bytes),
            };
            let bytes = bytes.ok_or_else(|| format!("nothing tells the capacity of {name}"))?;
            sizes.push(match &planned {
                Some(planned) if matches!(word, ExtentWord::Vmfs | ExtentWord::Flat) => {
                    format!("{} sectors: {}", bytes / SECTOR, planned.why)
                }
                _ => format!("{} sectors", bytes / SECTOR),
            });
            extents.push((name, bytes / SECTOR));
            files.extend(planned);
        }
        let name = self.names.take(&descriptor_name(self.opener(), head));
        let total: u64 = extents.iter().map(|(_, sectors)| *sectors).fold(0, u64::saturating_add);
        self.compare_with_logs(&name, total, plan);
        let logged = self.logged(&name);
        let child = at.checked_sub(1).and_then(|up| self.disk.chain.get(up)?.file);
        let wanted = child.and_then(|id| self.opener().file(id).descriptor()?.parent_cid);
        let long =
            logged.long_content_id.filter(|_| at == 0 && self.layout.machine.disks.len() == 1);
        let by_log = long.as_deref().and_then(ContentId::from_long_content_id);
        let (cid, cid_why) = match (wanted, by_log) {
            (Some(cid), _) if cid != ContentId::NO_PARENT => {
                (cid, "CID by the child that stands on it")
            }
            (_, Some(cid)) => (cid, "CID by the log"),
            _ => (ContentId::NEVER_WRITTEN, "CID set as never written"),
        };
        let lost = Lost {
            word,
            extents,
            cid,
            parent: below
                .filter(|_| is_delta)
                .map(|below| (below.name.clone(), below.cid.unwrap_or(ContentId::NEVER_WRITTEN))),
            adapter: self.adapter(config),
            logged_geometry: logged.geometry.filter(|g| covers(*g, total)),
            uuid: logged.uuid,
            long_content_id: long.filter(|_| by_log == Some(cid)),
            hardware_version: config.value("virtualHW.version").map(str::to_owned),
        };
        let geometry_why = if lost.logged_geometry.is_some() {
            "geometry by the log"
        } else {
            "geometry computed"
        };
        let why = format!("{}; {cid_why}; {geometry_why}", sizes.join(", "));
        let content = PlannedContent::Bytes { bytes: lost.write(), source: None };
        let planned = PlannedFile { name: name.clone(), origin: Origin::Rebuilt, why, content };
        files.insert(0, planned);
        Ok((Below { name, cid: Some(cid) }, files))
    }

    fn word(&self, link: &ChainLink) -> Result<ExtentWord, String> {
        let first = link.extents.first().and_then(|extent| extent.file);
        let file = self.opener().file(first.ok_or("its extent is not there")?);
        let hosted = || {
            let mut logs = self.layout.found.logs.iter();
            let split = file.stem().to_ascii_lowercase().ends_with(b"-f001.vmdk");
            split || logs.any(|(_, log)| log.product.as_deref().is_some_and(|p| !p.contains("ESX")))
        };
        Ok(match (&file.content, file.name.kind) {
            (Content::Sparse { format: ExtentFormat::Cowd, .. }, _) => ExtentWord::VmfsSparse,
            (Content::Sparse { format: ExtentFormat::SeSparse, .. }, _) => ExtentWord::SeSparse,
            (
                Content::Sparse { format: ExtentFormat::HostedSparse, .. },
                NameKind::SparseExtent,
            ) => ExtentWord::Sparse,
            (Content::Sparse { .. }, _) => {
                return Err(
                    "a sparse file without its descriptor: vmglean chain tells what it stands on"
                        .into(),
                );
            }
            (_, NameKind::Flat) if hosted() => ExtentWord::Flat,
            (_, NameKind::Flat) => ExtentWord::Vmfs,
            (_, NameKind::Delta) => ExtentWord::VmfsSparse,
            (_, NameKind::SeSparse) => ExtentWord::SeSparse,
            _ => return Err("nothing tells what kind of disk it was".into()),
        })
    }

    fn adapter(&self, config: &Rebuilt) -> &'static str {
        let node = self.disk.node.as_deref().unwrap_or_default().to_lowercase();
        let controller = node.split(':').next().unwrap_or_default();
        let device = config.value(&format!("{controller}.virtualDev")).unwrap_or_default();
        if controller.starts_with("ide") {
            "ide"
        } else if device.eq_ignore_ascii_case("buslogic") {
            "buslogic"
        } else {
            "lsilogic"
        }
    }

    /// What logs say of this disk.
    fn logged(&self, name: &str) -> Logged {
        let mut logged = Logged::default();
        for (_, log) in &self.layout.found.logs {
            let of = log.disks.iter().find(|disk| is_named(&disk.path, name));
            if let Some(disk) = of {
                let as_u64 = |g: vmglean_formats::log::Geometry| {
                    (u64::from(g.cylinders), u64::from(g.heads), u64::from(g.sectors))
                };
                let sane = |g: &(u64, u64, u64)| {
                    g.0 > 0 && (1..=255).contains(&g.1) && (1..=63).contains(&g.2)
                };
                logged.geometry = logged.geometry.or(disk.geometry.map(as_u64).filter(sane));
                logged.uuid =
                    logged.uuid.or_else(|| disk.uuid.clone().filter(|uuid| is_uuid(uuid)));
            }
            if logged.long_content_id.is_none() {
                let is_hex = |id: &str| id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit());
                let last = log.cid_changes.iter().rev().find(|change| is_hex(&change.new));
                logged.long_content_id = last.map(|change| change.new.clone());
            }
        }
        logged
    }

    /// Tells where the length of the file and the capacity in the log disagree.
    fn compare_with_logs(&self, name: &str, sectors: u64, plan: &mut MachinePlan) {
        for (_, log) in &self.layout.found.logs {
            let links = log.chains.iter().flat_map(|chain| &chain.links);
            let by_link =
                links.filter(|link| is_named(&link.path, name)).find_map(|l| l.capacity_sectors);
            let devices = log.devices.iter();
            let by_device = devices
                .filter(|device| device.path.as_deref().is_some_and(|path| is_named(path, name)))
                .find_map(|device| device.capacity_sectors);
            let Some(told) = by_link.or(by_device) else { continue };
            if told.0 != sectors {
                let what = format!(
                    "{name} is written with {sectors} sectors, as its file has; the log of the last \
                     run says {}",
                    told.0
                );
                let next = Some(
                    "a longer file was grown since or carries an unknown footer, a shorter one was cut: compare before it starts",
                );
                plan.tell("disk.size-differs", Weight::Damage, what, next);
            }
            return;
        }
    }
}

#[derive(Default)]
struct Logged {
    geometry: Option<(u64, u64, u64)>,
    uuid: Option<String>,
    long_content_id: Option<String>,
}

/// Whether a geometry is one of a disk of this size: it leaves less than one cylinder over, or
/// stands at the limit of old IDE disks.
fn covers((cylinders, heads, track): (u64, u64, u64), sectors: u64) -> bool {
    let cylinder = heads * track;
    let whole = cylinders.saturating_mul(cylinder);
    whole <= sectors && (sectors - whole < cylinder || cylinders == 16_383)
}

fn is_named(path: &str, name: &str) -> bool {
    base_name(path.as_bytes()).eq_ignore_ascii_case(name.as_bytes())
}

fn is_uuid(text: &str) -> bool {
    text.len() == 47 && text.bytes().all(|b| b.is_ascii_hexdigit() || b == b' ' || b == b'-')
}

fn descriptor_file(
    opener: &Opener<'_>,
    id: FileId,
    name: &str,
    descriptor: &Descriptor,
    changes: &Changes,
) -> Result<PlannedFile, String> {
    let file = opener.file(id);
    let (name, length) = (name.to_owned(), file.size_bytes);
    let text = Changes::default().apply(descriptor).map_or(0, |text| text.len() as u64);
    // What follows the text, such as an appended footer, is not carried over.
    if changes.is_nothing() && text == length {
        let content = PlannedContent::Part { file: id, at: 0, length, state: "intact" };
        let why = "the machine's own".to_owned();
        return Ok(PlannedFile { name, origin: Origin::Copied, why, content });
    }
    let bytes = changes.apply(descriptor).ok_or("its encoding cannot say the new names")?;
    let why = "the machine's own, with names that fit this folder".to_owned();
    let content =
        PlannedContent::Bytes { bytes, source: Some((RecordPath::from(file.shown.clone()), 0)) };
    Ok(PlannedFile { name, origin: Origin::Changed, why, content })
}
