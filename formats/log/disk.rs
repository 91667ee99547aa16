//! What the disk library said while it opened the disks.

use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;

use super::MAX_FACTS;
use crate::units::{ByteOffset, Bytes, Sectors};

/// Cylinders, heads, sectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Geometry {
    /// Cylinders.
    pub cylinders: u32,
    /// Heads.
    pub heads: u32,
    /// Sectors a track.
    pub sectors: u32,
}

/// A storage node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LoggedDevice {
    /// `scsi0:0`.
    pub node: String,
    /// The file opened for it (`DISK: OPEN`), the tip of its chain.
    pub path: Option<String>,
    /// The mode's word, in the host's language.
    pub mode: Option<String>,
    /// `DISKUTIL … capacity=`.
    pub capacity_sectors: Option<Sectors>,
    /// `DISKUTIL … geometry=`.
    pub geometry: Option<Geometry>,
}

/// A disk file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LoggedDisk {
    /// As logged: the host's path.
    pub path: String,
    /// `ddb.uuid`.
    pub uuid: Option<String>,
    /// `Geo (c/h/s)`.
    pub geometry: Option<Geometry>,
    /// `BIOS Geo (c/h/s)`.
    pub bios_geometry: Option<Geometry>,
}

/// An extent file of a link.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LoggedExtent {
    /// As logged: bare name or path.
    pub name: String,
    /// First sector inside the extent file, for flat extents of hosted products.
    pub offset_sectors: Option<Sectors>,
    /// Length of the file, where logged (`DISKLIB-VMFS`).
    pub length_bytes: Option<Bytes>,
    /// VMFS type: 3 flat, 8 or 9 delta, 10 raw device mapping.
    pub kind: Option<u32>,
}

/// One disk of a chain.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LoggedLink {
    /// Descriptor path.
    pub path: String,
    /// `createType`.
    pub create_type: String,
    /// Capacity.
    pub capacity_sectors: Option<Sectors>,
    /// Its extents, in order.
    pub extents: Vec<LoggedExtent>,
}

/// A chain as opened, tip first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LoggedChain {
    /// The links.
    pub links: Vec<LoggedLink>,
}

/// A content ID that changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CidChange {
    /// `longContentID`.
    pub key: String,
    /// The new value.
    pub new: String,
    /// The old value, where told.
    pub old: Option<String>,
    /// Line number, from 1.
    pub line: u32,
    /// Where the line begins.
    #[serde(rename = "offset_bytes")]
    pub at: ByteOffset,
}

#[derive(Debug, Default)]
pub(super) struct DiskFacts {
    pub(super) devices: BTreeMap<String, LoggedDevice>,
    pub(super) disks: BTreeMap<String, LoggedDisk>,
    pub(super) chains: BTreeMap<String, LoggedChain>,
    pub(super) cid_changes: VecDeque<CidChange>,
    extents: Vec<LoggedExtent>,
    lengths: BTreeMap<String, (Bytes, Option<u32>)>,
    links: Vec<LoggedLink>,
    pub(super) dropped: bool,
}

const MAX_LINKS: usize = 256;
const MAX_EXTENTS: usize = 4096;

impl DiskFacts {
    /// Takes one message that begins with `DISK`.
    pub(super) fn take(&mut self, message: &str, line: u32, at: ByteOffset) {
        let Some((tag, rest)) = message.split_once(':') else { return };
        let rest = rest.trim_start();
        match tag.trim_end() {
            "DISK" => self.disk(rest),
            "DISKUTIL" => self.diskutil(rest),
            "DISKLIB-VMFS" => self.vmfs(rest),
            "DISKLIB-DSCPTR" => self.descriptor_extent(rest),
            "DISKLIB-LINK" => self.link(rest),
            "DISKLIB-LIB" => self.chain_done(rest),
            "DISKLIB-DDB" => self.cid(rest, line, at),
            _ => {}
        }
    }

    fn device(&mut self, node: &str) -> Option<&mut LoggedDevice> {
        if self.devices.len() >= MAX_FACTS && !self.devices.contains_key(node) {
            self.dropped = true;
            return None;
        }
        let device = self.devices.entry(node.to_owned()).or_default();
        node.clone_into(&mut device.node);
        Some(device)
    }

    fn file(&mut self, path: &str) -> Option<&mut LoggedDisk> {
        if self.disks.len() >= MAX_FACTS && !self.disks.contains_key(path) {
            self.dropped = true;
            return None;
        }
        let disk = self.disks.entry(path.to_owned()).or_default();
        path.clone_into(&mut disk.path);
        Some(disk)
    }

    /// `OPEN node 'path' mode R[]`, `OPEN 'path' Geo (…) BIOS Geo (…)`, `Disk 'path' has UUID '…'`.
    fn disk(&mut self, rest: &str) {
        if let Some(rest) = rest.strip_prefix("OPEN '") {
            let Some((path, tail)) = rest.split_once("' Geo (") else { return };
            let Some(disk) = self.file(path) else { return };
            disk.geometry = tail.split(')').next().and_then(geometry);
            let bios = tail.split_once("BIOS Geo (").and_then(|(_, tail)| tail.split(')').next());
            disk.bios_geometry = bios.and_then(geometry);
        } else if let Some(rest) = rest.strip_prefix("OPEN ") {
            let Some((node, tail)) = rest.split_once(" '") else { return };
            let Some((path, tail)) = tail.rsplit_once("' ") else { return };
            if let Some(device) = self.device(node) {
                device.path = Some(path.to_owned());
                device.mode = tail.split(" R[").next().map(|mode| mode.trim().to_owned());
            }
        } else if let Some(rest) = rest.strip_prefix("Disk '")
            && let Some((path, uuid)) = rest.rsplit_once("' has UUID '")
            && let Some(disk) = self.file(path)
        {
            disk.uuid = Some(uuid.trim_end_matches(['\'', ' ']).to_owned());
        }
    }

    /// `scsi0:0 : capacity=210672 …`, `scsi0:0 : geometry=836/4/63`.
    fn diskutil(&mut self, rest: &str) {
        let Some((node, facts)) = rest.split_once(" : ") else { return };
        if node.contains(['(', ' ']) {
            return;
        }
        if let Some(count) = facts.strip_prefix("capacity=") {
            let count = count.split(' ').next().and_then(|count| count.parse().ok());
            if let Some(device) = self.device(node) {
                device.capacity_sectors = count.map(Sectors);
            }
        } else if let Some(numbers) = facts.strip_prefix("geometry=")
            && let Some(device) = self.device(node)
        {
            device.geometry = geometry(numbers);
        }
    }

    /// `"extent" : open successful (flags) size = N, hd = H. Type T`.
    fn vmfs(&mut self, rest: &str) {
        let Some((name, tail)) = rest.strip_prefix('"').and_then(|rest| rest.split_once("\" : "))
        else {
            return;
        };
        let after = |mark: &str| {
            let (_, tail) = tail.split_once(mark)?;
            tail.split([',', ' ', '.']).next()
        };
        let Some(length) = after("size = ").and_then(|size| size.parse().ok()) else { return };
        let kind = after("Type ").and_then(|kind| kind.parse().ok());
        if self.lengths.len() < MAX_FACTS {
            self.lengths.insert(name.to_owned(), (Bytes(length), kind));
        } else {
            self.dropped = true;
        }
    }

    /// `Opened [i]: "extent" [offset] (flags)`.
    fn descriptor_extent(&mut self, rest: &str) {
        let Some((index, rest)) =
            rest.strip_prefix("Opened [").and_then(|rest| rest.split_once("]: \""))
        else {
            return;
        };
        let Some((name, tail)) = rest.rsplit_once('"') else { return };
        if index == "0" {
            self.extents.clear();
        }
        if self.extents.len() >= MAX_EXTENTS {
            self.dropped = true;
            return;
        }
        let (length_bytes, kind) = self.length_of(name).unzip();
        self.extents.push(LoggedExtent {
            name: name.to_owned(),
            offset_sectors: tail
                .split_whitespace()
                .next()
                .and_then(|at| at.parse().ok())
                .map(Sectors),
            length_bytes,
            kind: kind.flatten(),
        });
    }

    /// The VMFS line has a path, the descriptor's a bare name.
    fn length_of(&self, name: &str) -> Option<(Bytes, Option<u32>)> {
        let bare = |path: &str| path.rsplit(['/', '\\']).next().map(str::to_owned);
        let wanted = bare(name);
        let exact = self.lengths.get(name);
        exact
            .or_else(|| self.lengths.iter().find(|(path, _)| bare(path) == wanted).map(|(_, f)| f))
            .copied()
    }

    /// `Opened 'path' (flags): createType, N sectors / size.`
    fn link(&mut self, rest: &str) {
        let Some(rest) = rest.strip_prefix("Opened '") else { return };
        let Some((path, tail)) = rest.rsplit_once("' (") else { return };
        let Some((_, tail)) = tail.split_once("): ") else { return };
        let (create_type, tail) = tail.split_once(", ").unwrap_or((tail, ""));
        if self.links.len() >= MAX_LINKS {
            self.dropped = true;
            return;
        }
        let sectors = tail.split(' ').next().and_then(|count| count.parse().ok());
        self.links.push(LoggedLink {
            path: path.to_owned(),
            create_type: create_type.trim_end_matches('.').to_owned(),
            capacity_sectors: sectors.map(Sectors),
            extents: std::mem::take(&mut self.extents),
        });
    }

    /// `Opened "path" (flags f, type t).` ends a chain.
    fn chain_done(&mut self, rest: &str) {
        let Some(rest) = rest.strip_prefix("Opened \"") else { return };
        let Some((path, _)) = rest.rsplit_once("\" (") else { return };
        let links = std::mem::take(&mut self.links);
        if links.is_empty() {
            return;
        }
        if self.chains.len() >= MAX_FACTS && !self.chains.contains_key(path) {
            self.dropped = true;
            return;
        }
        self.chains.insert(path.to_owned(), LoggedChain { links });
    }

    /// `"longContentID" = "new" (was "old")`.
    fn cid(&mut self, rest: &str, line: u32, at: ByteOffset) {
        let mut quoted = rest.split('"').skip(1).step_by(2);
        let (Some(key), Some(new)) = (quoted.next(), quoted.next()) else { return };
        if self.cid_changes.len() >= MAX_FACTS {
            self.cid_changes.pop_front();
        }
        self.cid_changes.push_back(CidChange {
            key: key.to_owned(),
            new: new.to_owned(),
            old: quoted.next().map(str::to_owned),
            line,
            at,
        });
    }
}

fn geometry(text: &str) -> Option<Geometry> {
    let mut numbers = text.trim().split('/').map(|number| number.parse().ok());
    let found = Geometry {
        cylinders: numbers.next()??,
        heads: numbers.next()??,
        sectors: numbers.next()??,
    };
    numbers.next().is_none().then_some(found)
}
