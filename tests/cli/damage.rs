//! Every known geometry, on whole machines.

use std::fs;

use serde_json::Value;
use vmglean_forge::{
    damage::{Damage, family_cases},
    estate::guest,
};

use crate::run::{BASE, configure, descriptor, folder, vmglean};

/// Above the two million bytes at which families change their ways.
const DISK_BYTES: usize = 2 << 20;

/// A machine for each case, only its disk hit: no suffix, no note, nothing appended.
fn sweep() -> (Vec<(&'static str, u64)>, Value) {
    let root = folder();
    let mut cases = Vec::new();
    for (n, case) in family_cases(DISK_BYTES as u64).into_iter().enumerate() {
        let place = root.path().join(format!("vm{n:02}"));
        fs::create_dir(&place).unwrap();
        let mut disk = match n % 3 {
            0 => guest::linux(DISK_BYTES, "host", n as u64),
            1 => guest::linux_mbr(DISK_BYTES, "host", n as u64),
            _ => guest::windows(DISK_BYTES, n as u64, &[]),
        };
        let damage =
            Damage { geometry: case.geometry, cipher: case.cipher, seed: n as u64, trailer: None };
        let truth = damage.apply(&mut disk);
        let sectors = DISK_BYTES as u64 / 512;
        fs::write(place.join("disk-flat.vmdk"), disk).unwrap();
        fs::write(place.join("disk.vmdk"), descriptor(sectors, "disk-flat.vmdk", 1, BASE)).unwrap();
        configure(&place, "disk.vmdk");
        cases.push((case.name, truth.encrypted_bytes()));
    }
    let record = vmglean(root.path(), &["sweep", "--json", "."]).json();
    (cases, record)
}

#[test]
fn no_geometry_is_ever_called_untouched_and_no_share_is_told_that_is_not_there() {
    let (cases, record) = sweep();
    let machines = record["machines"].as_array().unwrap();
    assert_eq!(machines.len(), cases.len());
    let mut wrong = Vec::new();
    for ((name, encrypted), machine) in cases.iter().zip(machines) {
        let disk = &machine["disks"][0];
        let (verdict, reason) = (disk["verdict"].as_str().unwrap(), &disk["reason"]);
        if (verdict == "untouched") != (*encrypted == 0) {
            wrong.push(format!("{name}: {verdict}, {reason}"));
        }
        let truth = *encrypted as f64 / DISK_BYTES as f64;
        let off = disk["encrypted_fraction"].as_f64().map(|told| (told - truth).abs());
        if off.is_some_and(|off| off > 0.03) {
            wrong.push(format!("{name}: {} instead of {truth}", disk["encrypted_fraction"]));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
