//! The rest of the plan: older attacks of other lockers, and machines of VMware Workstation.

use super::{
    Estate,
    attack::{self, Locker, share},
    guest,
    machine::Made,
    plan::{MIB, REDEPLOY},
};
use crate::{
    damage::Geometry,
    vmdk::{
        Disk,
        cowd::{self, CowdSpec},
        descriptor::ExtentLine,
        sparse::{self, SparseSpec},
        stream::{self, StreamSpec},
    },
};

const OLD: &str = "ds-old";
const HOSTED: &str = "workstation";

pub(super) fn old(estate: &mut Estate) {
    rollback(estate);

    let babuk = attack::babuk();
    let machine = Made::new(OLD, "legacy02", 21, "windows2012srv-64");
    let link = machine.flat(estate, "{}", guest::windows(MIB, 21, &[]));
    machine.small_files(estate, &[link]);
    let head = Geometry::Head { bytes: 512 << 20 };
    let truth = babuk.hit(estate, &machine.path("{}-flat.vmdk"), head);
    babuk.hit_small(estate, &machine, &["{}.vmdk", "vmware.log", "vmware-1.log"]);
    babuk.leave_note(estate, &machine.folder);
    machine
        .expect(("encrypted", "restore-backup", "intact"), Some("{}.vmx"), &["encrypted"])
        .hit(share(&truth), Some("Babuk ESXi"))
        .told(
            estate,
            "Windows, GPT. Babuk's first 512 MiB are all of this disk; logs encrypted, .vmx left",
        );

    let locker = attack::esxi_args();
    let machine = Made::new(OLD, "web03", 22, "debian11-64");
    let link = machine.flat(estate, "{}", guest::linux_mbr(MIB, "web03", 22));
    machine.small_files(estate, &[link]);
    let copy = machine.vmx();
    let small = ["{}.vmdk", "{}.vmx", "{}.vmxf", "{}.vmsd", "{}.nvram"];
    locker.hit_small(estate, &machine, &small);
    for (n, file) in small.iter().enumerate() {
        let sidecar = guest::sealed(512, 220 + n as u64);
        estate.put(format!("{}.args", machine.path(file)), sidecar);
    }
    estate.put(machine.path("{}.vmx~"), copy);
    locker.leave_note(estate, &machine.folder);
    machine
        .expect(
            ("config-lost", "rebuild-config", "encrypted"),
            Some("{}.vmx~"),
            &["descriptor-lost"],
        )
        .clean()
        .told(
            estate,
            "Linux, MBR. As ESXiArgs leaves many: descriptor and .vmx encrypted under their own \
             names, .args beside them, the flat disk whole, a .vmx~ left",
        );

    let conti = attack::conti();
    let machine = Made::new(OLD, "scan01", 23, "ubuntu-64");
    let link = machine.flat(estate, "{}", guest::linux(2 * MIB, "scan01", 23));
    machine.small_files(estate, &[link]);
    let head = Geometry::Head { bytes: MIB as u64 };
    let truth = conti.hit(estate, &machine.path("{}-flat.vmdk"), head);
    let small = ["{}.vmdk", "{}.vmx", "{}.vmxf", "{}.vmsd", "{}.nvram"];
    conti.hit_small(estate, &machine, &small);
    conti.hit_small(estate, &machine, &["vmware.log", "vmware-1.log"]);
    conti.leave_note(estate, &machine.folder);
    machine
        .expect(("partly-encrypted", "salvage-disk", "encrypted"), None, &["partly-encrypted"])
        .hit(share(&truth), Some("Conti ESXi"))
        .told(
            estate,
            "Linux, GPT. Conti, the first MiB of the disk; every small file and log encrypted",
        );

    let size = 1 << 20;
    let basta = attack::black_basta(size);
    let machine = Made::new(OLD, "sql01", 24, "windows2012srv-64");
    let link = machine.flat(estate, "{}", guest::windows(size as usize, 24, &[]));
    machine.small_files(estate, &[link]);
    let lattice = Geometry::Periodic { start: 0, run: 64, period: 192, stop: None };
    let truth = basta.hit(estate, &machine.path("{}-flat.vmdk"), lattice);
    let sound = Locker { cipher: crate::damage::Cipher::Stream, ..basta.clone() };
    sound.hit_small(estate, &machine, &["{}.vmdk", "{}.vmx", "{}.nvram"]);
    basta.leave_note(estate, &machine.folder);
    machine
        .expect(
            ("partly-encrypted", "salvage-disk", "encrypted"),
            Some("vmware.log"),
            &["partly-encrypted"],
        )
        .hit(share(&truth), Some("Black Basta ELF"))
        .told(estate, "Windows, GPT. Black Basta, 64 bytes of every 192: finer than any block");
}

/// A snapshot's delta is encrypted, the base below it is whole.
fn rollback(estate: &mut Estate) {
    let inc = attack::inc();
    let mut machine = Made::new(OLD, "erp01", 20, "windows2016srv-64");
    let base = machine.flat(estate, "{}", guest::windows(MIB, 20, &[]));
    machine.small_files(estate, std::slice::from_ref(&base));
    machine.snapshot(estate, "before upgrade");
    let sectors = MIB as u64 / 512;
    let delta = Disk::new(sectors)
        .write(200 << 10, guest::rows(200, 150 << 10))
        .write(600 << 10, guest::prose(201, 90 << 10));
    let extent = "erp01-000001-delta.vmdk";
    estate.put(machine.path(extent), cowd::write(&delta, &CowdSpec::default()).image.to_bytes());
    let text = machine.describe("vmfsSparse", ExtentLine::new(sectors, "VMFSSPARSE", extent), 1);
    estate.put(machine.path("{}-000001.vmdk"), text.text());
    let comb = Geometry::Periodic { start: 0, run: 1_000_000, period: 3_000_000, stop: None };
    let truth = inc.hit(estate, &machine.path(extent), comb);
    inc.leave_note(estate, &machine.folder);
    let both = truth.original_bytes + MIB as u64;
    machine
        .expect(
            ("partly-encrypted", "rollback-snapshot", "intact"),
            Some("{}.vmx"),
            &["partly-encrypted"],
        )
        .hit(truth.encrypted_bytes() as f64 / both as f64, Some("INC"))
        .told(estate, "Windows, GPT, one snapshot on a COWD delta. INC encrypted the delta, the base was locked");
}

pub(super) fn hosted(estate: &mut Estate) {
    let sectors = MIB as u64 / 512;
    let content = guest::linux_mbr(MIB, "cad01", 30);
    let machine = Made::new(HOSTED, "cad01", 30, "ubuntu-64");
    let mut top = machine.clone();
    top.disks[0].1 = "cad01-000002.vmdk".to_owned();
    top.small_files(estate, &[]);
    for (file, link, disk) in [
        ("{}.vmdk", 0, filled(&content)),
        ("{}-000002.vmdk", 2, Disk::new(sectors).write(400 << 10, guest::prose(31, 50 << 10))),
    ] {
        let line = ExtentLine::new(sectors, "SPARSE", &file.replace("{}", "cad01"));
        let text = machine.describe("monolithicSparse", line, link).text();
        let spec = SparseSpec { descriptor: Some(text), ..SparseSpec::default() };
        estate.put(machine.path(file), sparse::write(&disk, &spec).image.to_bytes());
    }
    estate.orphans.push((machine.path("{}.vmdk"), machine.name.clone()));
    machine.expect(("incomplete", "examine", "intact"), Some("{}.vmx"), &["incomplete"]).told(
        estate,
        "Linux on VMware Workstation, two snapshots; the delta in the middle is gone",
    );

    let machine = Made::new(HOSTED, "Grafik 2", 31, "windows9-64");
    let content = guest::windows(3 * MIB / 2, 31, &[]);
    machine.small_files(estate, &[]);
    let part = content.len() / 3;
    let mut text = machine.describe("twoGbMaxExtentSparse", ExtentLine::zero(0), 0);
    text.extents.clear();
    for (n, piece) in content.chunks(part).enumerate() {
        let name = format!("Grafik 2-s{:03}.vmdk", n + 1);
        text.extents.push(ExtentLine::new(piece.len() as u64 / 512, "SPARSE", &name));
        let extent = sparse::write(&filled(piece), &SparseSpec::default());
        estate.put(machine.path(&name), extent.image.to_bytes());
    }
    estate.put(machine.path("{}.vmdk"), text.text());
    machine.expect(REDEPLOY, Some("{}.vmx"), &["untouched"]).clean().told(
        estate,
        "Windows on VMware Workstation, a disk split into three sparse extents. Nothing done to it",
    );

    let machine = Made::new(HOSTED, "tpl-ubuntu", 32, "ubuntu-64");
    let content = guest::linux(MIB, "template", 32);
    machine.small_files(estate, &[]);
    let line = ExtentLine::new(sectors, "SPARSE", "tpl-ubuntu.vmdk");
    let text = machine.describe("streamOptimized", line, 0).text();
    let spec = StreamSpec { descriptor: Some(text), ..StreamSpec::default() };
    estate.put(machine.path("{}.vmdk"), stream::write(&filled(&content), &spec).image.to_bytes());
    machine.expect(REDEPLOY, Some("{}.vmx"), &["untouched"]).clean().told(
        estate,
        "Linux, a streamOptimized disk: compressed, so it looks random. Nothing done to it",
    );
}

/// A sparse disk of these bytes, without the grains that are zero.
fn filled(content: &[u8]) -> Disk {
    const GRAIN: usize = 64 << 10;
    let mut disk = Disk::new(content.len() as u64 / 512);
    for (n, piece) in content.chunks(GRAIN).enumerate() {
        if piece.iter().any(|byte| *byte != 0) {
            disk = disk.write((n * GRAIN) as u64, piece);
        }
    }
    disk
}
