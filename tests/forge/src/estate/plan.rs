//! The machines of the estate, one for each thing a sweep must tell apart.

use super::{
    Estate, Expected,
    attack::{self, share},
    guest,
    machine::Made,
    older,
};
use crate::{
    damage::{Geometry, family_cases},
    vm::{sealed, text},
    vmdk::{
        Disk,
        descriptor::ExtentLine,
        sesparse::{self, SeSparseSpec},
    },
};

const KIB: usize = 1 << 10;
pub(super) const MIB: usize = 1 << 20;
const BERLIN: &str = "ds-berlin";
const LYON: &str = "ds-lyon";

/// Makes it.
#[must_use]
pub fn make() -> Estate {
    let mut estate = Estate::default();
    berlin(&mut estate);
    berlin_not_hit(&mut estate);
    lyon(&mut estate);
    older::old(&mut estate);
    older::hosted(&mut estate);
    estate
}

/// Verdict, route, and state of the configuration.
pub(super) type Answer = (&'static str, &'static str, &'static str);

impl Made {
    pub(super) fn expect(
        &self,
        answer: Answer,
        source: Option<&str>,
        disks: &[&'static str],
    ) -> Expected {
        let (verdict, route, config) = answer;
        Expected {
            folder: self.folder.clone(),
            name: self.name.clone(),
            story: String::new(),
            verdict,
            route,
            config,
            config_source: source.map(|file| file.replace("{}", &self.name)),
            disks: disks.to_vec(),
            encrypted_share: None,
            family: None,
        }
    }
}

impl Expected {
    pub(super) fn told(self, estate: &mut Estate, story: &str) {
        estate.machines.push(Self { story: story.to_owned(), ..self });
    }

    pub(super) fn hit(self, share: f64, family: Option<&'static str>) -> Self {
        Self { encrypted_share: Some(share), family, ..self }
    }

    pub(super) fn clean(self) -> Self {
        Self { encrypted_share: Some(0.0), ..self }
    }
}

pub(super) const REDEPLOY: Answer = ("untouched", "redeploy", "intact");

fn berlin(estate: &mut Estate) {
    let akira = attack::akira();
    akira.leave_note(estate, BERLIN);

    let machine = Made { efi: true, ..Made::new(BERLIN, "db01", 2, "windows2019srv-64") };
    let link = machine.flat(estate, "{}", guest::windows(2 * MIB, 2, &[]));
    machine.small_files(estate, &[link]);
    let spots = family_cases(2 * MIB as u64);
    let spots = spots.iter().find(|case| case.name == "Akira spot 50");
    let spots = spots.map_or(Geometry::None, |case| case.geometry.clone());
    let truth = akira.hit(estate, &machine.path("{}-flat.vmdk"), spots);
    akira.hit_small(estate, &machine, &["{}.vmdk", "{}.vmx", "{}.nvram", "{}.vmsd"]);
    akira.leave_note(estate, &machine.folder);
    machine
        .expect(
            ("partly-encrypted", "salvage-disk", "encrypted"),
            Some("vmware.log"),
            &["partly-encrypted"],
        )
        .hit(share(&truth), Some("Akira (C++)"))
        .told(
            estate,
            "Windows, GPT. Akira 2023, spots at 50 percent over the flat disk, whole .vmdk, .vmx, \
             .nvram and .vmsd; logs left",
        );

    let machine = Made::new(BERLIN, "app01", 3, "debian11-64");
    let link = machine.flat(estate, "{}", guest::linux_mbr(MIB, "app01", 3));
    machine.small_files(estate, &[link]);
    for file in ["{}.vmdk", "{}-flat.vmdk", "{}.vmx", "{}.vmxf", "{}.vmsd", "{}.nvram"] {
        let path = machine.path(file);
        estate.rename(&path, &format!("{path}.akira"));
    }
    akira.leave_note(estate, &machine.folder);
    machine
        .expect(("untouched", "rebuild-config", "intact"), Some("{}.vmx.akira"), &["untouched"])
        .clean()
        .told(
            estate,
            "Linux, MBR. Every file renamed to .akira, nothing encrypted: the locker was stopped",
        );

    let mut machine = Made::new(BERLIN, "Büro-PC Müller", 4, "windows9-64");
    machine.efi = true;
    let link = machine.flat(estate, "{}", guest::windows(MIB, 4, &[]));
    machine.small_files(estate, &[link]);
    estate.take(&machine.path("{}.vmx"));
    akira.leave_note(estate, &machine.folder);
    machine
        .expect(
            ("config-lost", "rebuild-config", "missing"),
            Some("vmware.log"),
            &["untouched"],
        )
        .clean()
        .told(estate, "Windows, GPT, name with umlauts and a space. The .vmx is gone, logs and disk are whole");
}

fn berlin_not_hit(estate: &mut Estate) {
    let machine = Made::new(BERLIN, "web01", 1, "debian11-64");
    let link = machine.flat(estate, "{}", guest::linux(MIB, "web01", 1));
    machine.small_files(estate, &[link]);
    machine.change_tracking(estate, MIB as u64);
    machine
        .expect(REDEPLOY, Some("{}.vmx"), &["untouched"])
        .clean()
        .told(estate, "Linux, GPT, changed block tracking. Nothing done to it");
    let orphan = machine.path("{}_1-flat.vmdk");
    estate.put(orphan.clone(), guest::linux_mbr(512 * KIB, "old-share", 9));
    estate.orphans.push((orphan, machine.name));

    let machine = Made::new(BERLIN, "files01", 5, "windows2019srv-64");
    let documents: Vec<(&str, Vec<u8>)> = (0..4_u64)
        .zip(["2020.csv", "2021.csv", "letters.txt", "stock.csv"])
        .map(|(n, name)| (name, guest::prose(50 + n, 700 * KIB)))
        .collect();
    let archive = guest::zip(&documents);
    let dump = guest::gzip(&guest::prose(60, 1100 * KIB));
    let more = [("archive.zip", archive), ("dump.sql.gz", dump)];
    let link = machine.flat(estate, "{}", guest::windows(2 * MIB, 5, &more));
    machine.small_files(estate, &[link]);
    machine.expect(REDEPLOY, Some("{}.vmx"), &["untouched"]).clean().told(
        estate,
        "Windows, GPT, most of its data a zip and a gzip: looks random, is not encrypted",
    );

    let machine = Made::new(BERLIN, "bde01", 6, "windows2019srv-64");
    let link = machine.flat(estate, "{}", guest::bitlocker(MIB, 6));
    machine.small_files(estate, &[link]);
    machine.expect(("undetermined", "examine", "intact"), Some("{}.vmx"), &["undetermined"]).told(
        estate,
        "Windows, MBR, one BitLocker volume: random by its owner's will, not by the attack",
    );

    let mut machine = Made { efi: true, ..Made::new(BERLIN, "vdi-007", 7, "windows11-64") };
    let key_safe =
        format!("vmware:key/list/(pair/(fqid/a/NKP/key-7,HMAC%2dSHA%2d256,{}))", sealed::SECRET);
    machine.extra = [
        ("vmx.encryptionType", "partial"),
        ("vtpm.present", "TRUE"),
        ("encryption.keySafe", key_safe.as_str()),
        ("encryption.data", sealed::SECRET),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into();
    let link = machine.flat(estate, "{}", guest::windows(MIB, 7, &[]));
    machine.small_files(estate, &[link]);
    estate.put(machine.path("{}.nvram"), sealed::container(20_000));
    machine.expect(REDEPLOY, Some("{}.vmx"), &["untouched"]).clean().told(
        estate,
        "Windows with a virtual TPM: VMware encrypts its secrets and .nvram, the disk is clear",
    );
}

fn lyon(estate: &mut Estate) {
    let qilin = attack::qilin();
    qilin.leave_note(estate, LYON);

    let machine = Made::new(LYON, "mail01", 10, "centos8-64");
    let link = machine.flat(estate, "{}", guest::linux(2 * MIB, "mail01", 10));
    machine.small_files(estate, &[link]);
    let comb = Geometry::Periodic { start: 0, run: 1 << 20, period: 2 << 20, stop: None };
    let truth = qilin.hit(estate, &machine.path("{}-flat.vmdk"), comb);
    qilin.hit_small(estate, &machine, &["{}.vmdk", "{}.vmx", "{}.vmxf", "{}.vmsd", "{}.nvram"]);
    qilin.leave_note(estate, &machine.folder);
    machine
        .expect(
            ("partly-encrypted", "salvage-disk", "encrypted"),
            Some("vmware.log"),
            &["partly-encrypted"],
        )
        .hit(share(&truth), Some("Qilin"))
        .told(
            estate,
            "Linux, GPT. Qilin with a suffix made for this victim, 1 MiB of every 2 MiB; small \
             files whole, logs left",
        );

    let machine = Made::new(LYON, "dc01", 11, "windows2019srv-64");
    let link = machine.flat(estate, "{}", guest::windows(MIB, 11, &[]));
    machine.small_files(estate, &[link]);
    qilin.hit_small(estate, &machine, &["{}.vmx", "{}.vmsd", "{}.nvram"]);
    qilin.leave_note(estate, &machine.folder);
    machine
        .expect(
            ("config-lost", "rebuild-config", "encrypted"),
            Some("vmware.log"),
            &["untouched"],
        )
        .clean()
        .told(estate, "Windows, GPT. Disk locked by its host and left; .vmx, .vmsd and .nvram encrypted, logs whole");

    let mut machine = Made::new(LYON, "hr01", 12, "windows2019srv-64");
    let content = guest::windows(MIB, 12, &[]);
    let link = machine.flat(estate, "{}", content);
    machine.small_files(estate, &[link]);
    machine.snapshot(estate, "before patch day");
    let sectors = MIB as u64 / 512;
    let delta = Disk::new(sectors)
        .write(300 << 10, guest::rows(120, 40 << 10))
        .write(600 << 10, guest::prose(121, 60 << 10));
    let extent = "hr01-000001-sesparse.vmdk";
    estate.put(
        machine.path(extent),
        sesparse::write(&delta, &SeSparseSpec::default()).image.to_bytes(),
    );
    let text = machine.describe("seSparse", ExtentLine::new(sectors, "SESPARSE", extent), 1);
    estate.put(machine.path("{}-000001.vmdk"), text.text());
    machine
        .expect(REDEPLOY, Some("{}.vmx"), &["untouched"])
        .clean()
        .told(estate, "Windows, GPT, one snapshot on an seSparse delta. Nothing done to it");

    let machine = Made::new(LYON, "vault01", 13, "windows2019srv-64");
    let content = guest::sealed(512 * KIB, 13);
    let extent = ExtentLine::new(content.len() as u64 / 512, "VMFS", "vault01-flat.vmdk");
    let mut text = machine.describe("vmfs", extent, 0);
    text.ddb.push(("encryptionKeys".into(), "vmware:key/list/(pair/(fqid/a/NKP/key-13))".into()));
    text.ddb.push(("iofilters".into(), "vmwarevmcrypt".into()));
    estate.put(machine.path("{}.vmdk"), text.text());
    estate.put(machine.path("{}-flat.vmdk"), content);
    estate.put(machine.path("{}.vmx"), sealed::key_server_vmx("vault01"));
    estate.put(machine.path("{}.vmxf"), text::vmxf("vault01.vmx"));
    estate.put(machine.path("{}.vmsd"), text::vmsd(&[], 0, false));
    estate.put(machine.path("{}.nvram"), sealed::container(8684));
    machine
        .expect(
            ("undetermined", "examine", "vmware-encrypted"),
            Some("{}.vmx"),
            &["guest-encrypted"],
        )
        .told(estate, "Encrypted whole by VMware itself, under a key server");
}
