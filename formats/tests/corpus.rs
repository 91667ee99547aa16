//! Every real file is read as what it is. `corpus.tsv` says of each which bytes it has and what
//! its reader must find; `UPDATE_CORPUS=1` writes the file anew from the folder that
//! `VMGLEAN_CORPUS` names, for a person to look at.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "tests"
)]

use std::{collections::BTreeSet, env, fs, io::Read as _, path::Path, process::Command};

use vmglean_forge::corpus;
use vmglean_formats::{
    ByteOffset, Bytes, Defect, FormatError,
    container::Envelope,
    esxi::{AutoStart, BackupCounter, EsxConf, LockerConf, ResourcePools, VmInventory, Vmtar},
    log::VmwareLog,
    ntfs::BootSector,
    nvram::Nvram,
    ovf::{self, Manifest, TarList},
    vmdk::{RunKind, inflate_grain, open_descriptor, open_extent},
    vmsd::Vmsd,
    vmsn::{Checkpoint, MAX_SPARE_BYTES},
    vmx::Vmx,
    vmxf::Vmxf,
};

const TABLE: &str = "tests/corpus.tsv";
/// Disks up to this length are hashed.
const HASHED: u64 = 1 << 30;

fn defects(found: &[Defect]) -> String {
    found.first().map_or_else(
        || "no defect".to_owned(),
        |first| format!("{} defects, the first {first}", found.len()),
    )
}

/// Every byte of an extent that its tables tell, absent ones as zeros.
fn disk(file: &[u8]) -> Result<String, FormatError> {
    let file = file.to_vec();
    let opened = open_extent(&file)?;
    let mut wrong = opened.defects;
    let extent = opened.value;
    wrong.extend(extent.embedded_descriptor.iter().flat_map(|inside| inside.defects.clone()));
    let capacity = extent.map.capacity().0;
    let mut bytes =
        if capacity <= HASHED { vec![0; usize::try_from(capacity).unwrap()] } else { Vec::new() };
    let (mut at, mut named, mut lost) = (0, 0, 0);
    while at < capacity {
        let runs = extent.map.runs(&file, ByteOffset(at), Bytes(capacity - at), 4096)?;
        wrong.extend(runs.defects);
        for run in runs.value {
            at = run.offset.0 + run.length.0;
            let length = usize::try_from(run.length.0).unwrap_or(usize::MAX);
            let place = |from: ByteOffset| usize::try_from(from.0).unwrap();
            match run.kind {
                RunKind::Stored { at } => {
                    named += run.length.0;
                    if let Some(out) = bytes.get_mut(place(run.offset)..place(run.offset) + length)
                    {
                        out.copy_from_slice(&file[place(at)..place(at) + length]);
                    }
                }
                RunKind::Compressed { at, stored } => {
                    named += run.length.0;
                    let zlib = &file[place(at)..][..usize::try_from(stored.0).unwrap()];
                    let mut grain = vec![0; usize::try_from(extent.grain_bytes).unwrap()];
                    let grew = inflate_grain(zlib, &mut grain);
                    wrong.extend(grew.err().map(|kind| Defect::new("Grain", "data", at, kind)));
                    if let Some(out) = bytes.get_mut(place(run.offset)..place(run.offset) + length)
                    {
                        out.copy_from_slice(&grain[..length]);
                    }
                }
                RunKind::Lost => lost += run.length.0,
                RunKind::Zero | RunKind::Absent => {}
            }
        }
    }
    if lost == 0 {
        wrong.extend(extent.unnamed_grains(&file, named).map(|unnamed| unnamed.defect));
    }
    let create =
        extent.embedded_descriptor.as_ref().and_then(|inside| inside.value.get("createType"));
    let hash = if bytes.is_empty() { "not hashed".to_owned() } else { corpus::sha256(&bytes) };
    Ok(format!(
        "{:?} {}, {capacity} bytes, {named} stored, {lost} lost, disk {hash}, {}",
        extent.format,
        create.unwrap_or("without a descriptor"),
        defects(&wrong)
    ))
}

fn descriptor(file: &[u8]) -> String {
    let found = open_descriptor(&file.to_vec()).unwrap();
    let value = &found.value;
    let kinds: BTreeSet<String> =
        value.extents.iter().map(|extent| format!("{:?}", extent.kind)).collect();
    format!(
        "{} {} extents of {kinds:?}, {:?}, CID {}, parent {}, in {}, {}",
        value.get("createType").unwrap_or("-"),
        value.extents.len(),
        value.capacity(),
        value.get("CID").unwrap_or("-"),
        value.get("parentCID").unwrap_or("-"),
        value.encoding,
        defects(&found.defects)
    )
}

fn checkpoint(file: &[u8]) -> String {
    let file = file.to_vec();
    let found = Checkpoint::parse(&file).unwrap();
    let value = found.value;
    let text = |block| corpus::sha256(&value.read_text(&file, &block).unwrap());
    let nvram = value.nvram_file.unwrap().read(&file, MAX_SPARE_BYTES).unwrap();
    format!(
        "{:?} version {}, {} groups, {} tags, vmx {}, nvram {}, vmxf {}, {}",
        value.magic,
        value.version,
        value.groups.len(),
        value.tags.len(),
        text(value.cfg_file.unwrap()),
        corpus::sha256(&nvram),
        text(value.extended_config_file.unwrap()),
        defects(&found.defects)
    )
}

fn configuration(file: &[u8]) -> String {
    let found = Vmx::parse(file);
    let vmx = &found.value;
    let disks: Vec<&str> = vmx.disks().filter_map(|disk| disk.file_name.as_deref()).collect();
    format!(
        "{:?} hw {:?}, {:?}, {} keys, {} nics, {} disks, {}, {}",
        vmx.display_name.as_deref().unwrap_or("-"),
        vmx.hardware_version.unwrap_or(0),
        vmx.firmware,
        vmx.dictionary.entries.len(),
        vmx.nics.len(),
        disks.len(),
        if vmx.encryption.key_safe().is_some() { "encrypted by VMware" } else { "clear" },
        defects(&found.defects)
    )
}

fn unpacked(name: &str, file: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    if file.starts_with(b"\x1f\x8b") {
        flate2::read::GzDecoder::new(file).read_to_end(&mut out).unwrap();
    } else if name.ends_with(".bz2") {
        let path = corpus::path(name)?;
        let Ok(done) = Command::new("bzip2").arg("-dc").arg(path).output() else {
            eprintln!("left out: {name}, for want of bzip2");
            return None;
        };
        out = done.stdout;
    } else {
        out = file.to_vec();
    }
    Some(out)
}

/// What the reader of this file finds, in one line.
fn read(name: &str, file: &[u8]) -> String {
    let base = Path::new(name).file_name().unwrap().to_str().unwrap();
    let ending = base.trim_end_matches(".gz").trim_end_matches(".bz2").rsplit('.').next().unwrap();
    match (base, ending) {
        ("vmInventory.xml", _) => {
            let found = VmInventory::parse(file);
            format!("{} machines, {}", found.value.entries.len(), defects(&found.defects))
        }
        ("pools.xml", _) => {
            let found = ResourcePools::parse(file);
            format!("{} pools, {}", found.value.pools.len(), defects(&found.defects))
        }
        ("vmAutoStart.xml", _) => {
            let found = AutoStart::parse(file);
            format!("start delay {:?}, {}", found.value.start_delay_s, defects(&found.defects))
        }
        ("esx.conf", _) => {
            let found = EsxConf::parse(file);
            let conf = &found.value;
            format!(
                "{:?} {:?}, {} keys, {}",
                conf.host_name,
                conf.version,
                conf.dictionary.entries.len(),
                defects(&found.defects)
            )
        }
        ("locker.conf", _) => {
            let found = LockerConf::parse(file);
            format!("volume {:?}, {}", found.value.volume_uuid, defects(&found.defects))
        }
        (".backup.counter", _) => {
            let found = BackupCounter::parse(file);
            format!("count {:?}, {}", found.value.count, defects(&found.defects))
        }
        (_, "ve") => {
            let found = Envelope::parse(&file.to_vec()).unwrap();
            let cipher = found.value.attribute("vmware.cipherName").unwrap_or("-");
            format!(
                "envelope version {}, {cipher}, body of {}, {}",
                found.value.version,
                found.value.body,
                defects(&found.defects)
            )
        }
        (_, "vgz") => {
            let found = Vmtar::read(&file.to_vec());
            format!("{} members, {}", found.value.members.len(), defects(&found.defects))
        }
        (_, "vmsn") => checkpoint(file),
        (_, "vmx") => configuration(file),
        (_, "vmxf") => {
            let found = Vmxf::parse(file);
            format!("{:?}, {}", found.value.vmx_path_name, defects(&found.defects))
        }
        (_, "vmsd") => {
            let found = Vmsd::parse(file);
            format!("{} snapshots, {}", found.value.snapshots.len(), defects(&found.defects))
        }
        (_, "nvram") => {
            let found = Nvram::parse(file);
            format!(
                "{:?}, {} records, {}",
                found.value.firmware,
                found.value.records.len(),
                defects(&found.defects)
            )
        }
        (_, "log") => {
            let found = VmwareLog::parse(&file.to_vec());
            let log = &found.value;
            format!(
                "{:?} {:?}, {} power-ons, {:?}, {}",
                log.product,
                log.version,
                log.power_ons,
                log.end,
                defects(&found.defects)
            )
        }
        (_, "ovf") => {
            let found = ovf::Envelope::parse(file);
            format!(
                "{} files, {} disks, {} machines, {}",
                found.value.files.len(),
                found.value.disks.len(),
                found.value.systems.len(),
                defects(&found.defects)
            )
        }
        (_, "mf") => {
            let found = Manifest::parse(file);
            format!("{} digests, {}", found.value.digests.len(), defects(&found.defects))
        }
        (_, "ova") => {
            let found = TarList::read(&file.to_vec());
            format!("{} members, {}", found.value.members.len(), defects(&found.defects))
        }
        (flat, "vmdk") if flat.ends_with("-flat.vmdk") => {
            format!("{} plain bytes", file.len())
        }
        (_, "vmdk") if file.starts_with(b"KDMV") || file.starts_with(b"\xbe\xba\xfe\xca") => {
            disk(file).unwrap_or_else(|error| format!("refused: {error}"))
        }
        (_, "vmdk") => descriptor(file),
        (_, "bin") => BootSector::parse(file, ByteOffset(0)).map_or_else(
            |defect| defect.to_string(),
            |boot| {
                format!("NTFS, {} bytes a cluster, $MFT at {}", boot.cluster_bytes, boot.mft_lcn)
            },
        ),
        _ => "no file of a machine".to_owned(),
    }
}

fn row(name: &str, file: &[u8]) -> Option<String> {
    Some(format!("{name}\t{}\t{}", corpus::sha256(file), read(name, &unpacked(name, file)?)))
}

#[test]
fn every_real_file_is_read_as_what_it_is() {
    let sources =
        corpus::folder().and_then(|folder| fs::read_to_string(folder.join("SOURCES.tsv")).ok());
    let listed: Vec<&str> = sources
        .iter()
        .flat_map(|text| text.lines().skip(1))
        .filter_map(|line| line.split('\t').next())
        .collect();
    if env::var_os("UPDATE_CORPUS").is_some() {
        let mut names: BTreeSet<&str> = listed.iter().copied().collect();
        names.extend(["esxi/local.tgz.ve", "ntfs/windows.bin.gz"]);
        let rows: Vec<String> =
            names.iter().filter_map(|name| row(name, &corpus::file(name)?)).collect();
        fs::write(TABLE, rows.join("\n") + "\n").unwrap();
    }
    let table = fs::read_to_string(TABLE).unwrap();
    let mut left_out = Vec::new();
    for line in table.lines() {
        let name = line.split('\t').next().unwrap();
        match corpus::file(name).and_then(|file| row(name, &file)) {
            Some(found) => assert_eq!(found, line),
            None => left_out.push(name),
        }
    }
    for name in listed {
        assert!(
            table.lines().any(|line| line.split('\t').next() == Some(name)),
            "{name} is read by no test"
        );
    }
    let count = table.lines().count();
    eprintln!("{} of {count} real files read, left out: {left_out:?}", count - left_out.len());
}
