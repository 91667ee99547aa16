//! Machines from an OVF with its files, or an OVA, whose disks are streams.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};
use vmglean_formats::{
    ByteOffset, ReadAt as _,
    ovf::{Digest, DigestKind, Envelope, Manifest, OvfItem, OvfSystem, TarList},
    vmdk::{SparseFlags, SparseHeader},
};

use super::{
    Disk, Form, Hardware, Machine, NicPart, Route,
    source::{open, read_small, stamp},
};
use crate::{redeploy::vsphere::Controller, source::SourceFile};

const MAX_ENVELOPE: u64 = 16 << 20;

/// Where the files that an envelope names are.
enum Files<'a> {
    /// Beside it.
    Folder(&'a Path),
    /// In the same archive: name, offset, length.
    Archive { folder: &'a Path, name: &'a Path, members: BTreeMap<String, (u64, u64)> },
}

/// The machines of an `.ovf` or `.ova`.
pub(super) fn machines(file: &Path) -> Result<Vec<Machine>, String> {
    let shown = file.display();
    let name = Path::new(file.file_name().ok_or_else(|| format!("{shown} is no file"))?);
    let folder = match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    if file.extension().is_some_and(|e| e.eq_ignore_ascii_case("ova")) {
        let archive = open(folder, name).map_err(|error| error.to_string())?;
        let list = TarList::read(&archive).value;
        let whole = list.members.iter().filter(|member| member.have == member.length);
        let members: BTreeMap<String, (u64, u64)> =
            whole.map(|m| (m.name.clone(), (m.data_at.0, m.length.0))).collect();
        let envelope = members
            .iter()
            .find(|(name, _)| name.to_ascii_lowercase().ends_with(".ovf"))
            .ok_or_else(|| format!("{shown}: holds no whole .ovf"))?;
        let (at, length) = *envelope.1;
        if length > MAX_ENVELOPE {
            return Err(format!("{shown}: its .ovf is {length} bytes long"));
        }
        let take = usize::try_from(length).unwrap_or_default();
        let bytes = archive.read_up_to(ByteOffset(at), take).map_err(|error| error.to_string())?;
        return of_envelope(file, &bytes, &Files::Archive { folder, name, members });
    }
    let bytes = read_small(folder, name, MAX_ENVELOPE).map_err(|error| error.to_string())?;
    of_envelope(file, &bytes, &Files::Folder(folder))
}

fn of_envelope(file: &Path, bytes: &[u8], files: &Files) -> Result<Vec<Machine>, String> {
    let envelope = Envelope::parse(bytes).value;
    if envelope.systems.is_empty() {
        return Err(format!("{}: describes no machine", file.display()));
    }
    let manifest = manifest(file, files);
    let machine = |system| machine(file, &envelope, system, files, manifest.as_ref());
    envelope.systems.iter().map(machine).collect()
}

/// The manifest beside the envelope, and its own hash.
fn manifest(file: &Path, files: &Files) -> Option<(String, Manifest)> {
    let text = match files {
        Files::Folder(folder) => {
            let name = Path::new(file.file_stem()?).with_extension("mf");
            read_small(folder, &name, MAX_ENVELOPE).ok()?
        }
        Files::Archive { folder, name, members } => {
            let (_, (at, length)) =
                members.iter().find(|(name, _)| name.to_ascii_lowercase().ends_with(".mf"))?;
            let take = usize::try_from(*length).ok().filter(|_| *length <= MAX_ENVELOPE)?;
            open(folder, name).ok()?.read_up_to(ByteOffset(*at), take).ok()?
        }
    };
    Some((hex::encode(Sha256::digest(&text)), Manifest::parse(&text).value))
}

fn machine(
    file: &Path,
    envelope: &Envelope,
    system: &OvfSystem,
    files: &Files,
    manifest: Option<&(String, Manifest)>,
) -> Result<Machine, String> {
    let stem = file.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let name = system.name.clone().or_else(|| system.id.clone()).or(stem).unwrap_or_default();
    let no = |why: String| format!("{}: {name}: {why}", file.display());
    let mut disks = Vec::new();
    for item in system.items.iter().filter(|item| item.resource_type == Some(17)) {
        let (controller, bus) = controller(system, item)
            .ok_or_else(|| no("a disk hangs at a controller that cannot be made".to_owned()))?;
        let unit = item.address_on_parent.as_deref().and_then(|unit| unit.trim().parse().ok());
        let id = item.host_resource.as_deref().and_then(|r| r.rsplit('/').next());
        let disk = envelope
            .disks
            .iter()
            .find(|disk| Some(disk.id.as_str()) == id)
            .ok_or_else(|| no("a disk names no file".to_owned()))?;
        if disk.parent_ref.is_some() {
            return Err(no("a disk is the delta of another".to_owned()));
        }
        let reference =
            envelope.file_of(disk).ok_or_else(|| no(format!("disk {} has no file", disk.id)))?;
        if reference.compression.is_some() || reference.chunk_size.is_some() {
            return Err(no(format!("{} is compressed or in pieces", reference.href)));
        }
        let (source, path, at, size) = opened(files, &reference.href).map_err(no)?;
        let head = source.read_up_to(ByteOffset(at), 512).map_err(|error| no(error.to_string()))?;
        let header = SparseHeader::parse(&head, ByteOffset(at))
            .map_err(|error| no(format!("{}: {error}", reference.href)))?
            .value;
        if !header.flags.contains(SparseFlags::COMPRESSED | SparseFlags::MARKERS) {
            return Err(no(format!("{} is no stream-optimized disk", reference.href)));
        }
        disks.push(Disk {
            controller,
            bus,
            unit: unit.unwrap_or_else(|| u32::try_from(disks.len()).unwrap_or_default()),
            capacity_bytes: header.capacity.to_bytes().map_or(0, |bytes| bytes.0),
            form: Form::AsIs,
            descriptor: None,
            data: path,
            offset_bytes: at,
            size_bytes: size,
            modified: stamp(&source),
            sha256: manifest.and_then(|(_, manifest)| {
                let of = |d: &&Digest| d.name == reference.href && d.kind == DigestKind::Sha256;
                manifest.digests.iter().find(of).map(|digest| digest.hex.clone())
            }),
        });
    }
    if disks.is_empty() {
        return Err(no("it has no disk".to_owned()));
    }
    let quantity = |kind: u64| {
        system.items.iter().find(|item| item.resource_type == Some(kind)).and_then(|i| i.quantity)
    };
    let version = system
        .hardware_version
        .as_deref()
        .and_then(|versions| versions.split_whitespace().next()?.strip_prefix("vmx-"))
        .and_then(|version| version.parse().ok());
    let nics = system.items.iter().filter(|item| item.resource_type == Some(10));
    Ok(Machine {
        wave: 1,
        power_on: false,
        route: Route::Import,
        host: String::new(),
        datastore: String::new(),
        directory: None,
        source: file.to_path_buf(),
        vmx: None,
        nvram: None,
        manifest: manifest.map(|(hash, _)| hash.clone()),
        notes: Vec::new(),
        guessed: Vec::new(),
        hardware: Hardware {
            version,
            guest_id: system.os_type.clone().unwrap_or_else(|| "otherGuest64".to_owned()),
            cpus: quantity(3).and_then(|n| u32::try_from(n).ok()).unwrap_or(1),
            memory_mib: memory(system).unwrap_or(1024),
            firmware: match system.firmware.as_deref() {
                Some(word) if word.eq_ignore_ascii_case("efi") => "efi",
                _ => "bios",
            }
            .to_owned(),
            secure_boot: false,
            uuid: None,
        },
        disks,
        nics: nics
            .map(|item| NicPart {
                kind: item.resource_sub_type.clone().unwrap_or_default().to_ascii_lowercase(),
                network: None,
                mac: None,
                connected: true,
                was: item.connection.clone(),
            })
            .collect(),
        name,
    })
}

fn opened(files: &Files, href: &str) -> Result<(SourceFile, PathBuf, u64, u64), String> {
    match files {
        Files::Folder(folder) => {
            let path = PathBuf::from(href);
            let file = open(folder, &path).map_err(|error| error.to_string())?;
            let size = file.len_bytes();
            Ok((file, path, 0, size))
        }
        Files::Archive { folder, name, members } => {
            let (at, size) = members
                .get(href)
                .copied()
                .ok_or_else(|| format!("{href} is not in the archive, or cut"))?;
            let file = open(folder, name).map_err(|error| error.to_string())?;
            Ok((file, name.to_path_buf(), at, size))
        }
    }
}

/// Memory in MiB, whatever unit it is given in.
fn memory(system: &OvfSystem) -> Option<u64> {
    let item = system.items.iter().find(|item| item.resource_type == Some(4))?;
    let number = item.quantity?.to_string();
    let units = item.allocation_units.as_deref().unwrap_or("byte * 2^20");
    let bytes = vmglean_formats::ovf::capacity_bytes(&number, Some(units))?;
    Some((bytes.0 >> 20).max(4))
}

fn controller(system: &OvfSystem, disk: &OvfItem) -> Option<(Controller, u32)> {
    let parent = disk.parent.as_deref()?;
    let item = system.items.iter().find(|item| item.instance_id.as_deref() == Some(parent))?;
    let word = item.resource_sub_type.as_deref().unwrap_or_default().to_ascii_lowercase();
    let kind = match (item.resource_type, word.as_str()) {
        (Some(5), _) => Controller::Ide,
        (Some(6), "virtualscsi") => Controller::Pvscsi,
        (Some(6), "lsilogicsas") => Controller::LsiSas,
        (Some(6), "buslogic") => Controller::BusLogic,
        (Some(6), _) => Controller::LsiLogic,
        (Some(20), word) if word.contains("nvme") => Controller::Nvme,
        (Some(20), _) => Controller::Sata,
        _ => return None,
    };
    let bus = item.address.as_deref().and_then(|bus| bus.trim().parse().ok()).unwrap_or_default();
    Some((kind, bus))
}
