//! A salvage that is killed, or finds its disk full, goes on and ends with the same bytes.

use std::{fs, path::PathBuf, process::Output};

use crate::{
    make::{Estate, tree},
    package::tool,
    vmglean,
};

struct Faulty {
    estate: Estate,
    shim: PathBuf,
}

impl Faulty {
    fn new() -> Self {
        let estate = Estate::with_delta();
        let shim = estate.path().with_file_name("faults.so");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/disks/faults.c");
        let to = shim.to_str().unwrap();
        tool(&estate.path(), "cc", &["-shared", "-fPIC", "-O1", "-o", to, source, "-ldl"]);
        Self { estate, shim }
    }

    fn run(&self, fault: Option<(&str, u64)>) -> Output {
        let (source, out) = (self.estate.path(), self.estate.out());
        let mut command = vmglean(&["salvage", "--json", "--ova"]);
        command.arg(source).arg("--out").arg(out);
        if let Some((name, value)) = fault {
            command.env("LD_PRELOAD", &self.shim).env(name, value.to_string());
        }
        command.output().unwrap()
    }

    fn fresh(&self) {
        if self.estate.out().exists() {
            fs::remove_dir_all(self.estate.out()).unwrap();
        }
    }
}

#[test]
fn a_salvage_killed_at_any_of_two_hundred_writes_ends_with_the_same_bytes() {
    let faulty = Faulty::new();
    let before = tree(&faulty.estate.path());
    assert!(faulty.run(None).status.success());
    let whole = tree(&faulty.estate.out());
    let (mut seed, mut kills, mut most) = (0x51ed_270b_u64, 0, 400_u64);
    while kills < 200 {
        faulty.fresh();
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let at = 1 + (seed >> 33) % most;
        if faulty.run(Some(("FAULT_KILL_AT_CALL", at))).status.success() {
            // A run makes fewer calls than that.
            most = at.max(2);
            continue;
        }
        kills += 1;
        let done = faulty.run(None);
        assert!(done.status.success(), "{at}: {}", String::from_utf8_lossy(&done.stdout));
        assert!(tree(&faulty.estate.out()) == whole, "killed at {at}");
    }
    assert!(most > 20, "a run makes {most} calls");
    assert_eq!(tree(&faulty.estate.path()), before, "evidence changed");
}

#[test]
fn a_salvage_that_finds_its_disk_full_at_any_of_fifty_places_ends_with_the_same_bytes() {
    let faulty = Faulty::new();
    assert!(faulty.run(None).status.success());
    let whole = tree(&faulty.estate.out());
    // The room in which a run just ends: what the kernel copies by itself is not counted.
    let (mut low, mut high) = (0, whole.values().map(|(length, _)| 2 * length).sum::<u64>());
    while high - low > 512 {
        faulty.fresh();
        let middle = low.midpoint(high);
        match faulty.run(Some(("FAULT_ROOM_BYTES", middle))).status.success() {
            true => high = middle,
            false => low = middle,
        }
    }
    for n in 0..50 {
        faulty.fresh();
        let done = faulty.run(Some(("FAULT_ROOM_BYTES", low * n / 50)));
        let said = String::from_utf8_lossy(&done.stdout).into_owned()
            + &String::from_utf8_lossy(&done.stderr);
        assert_eq!(done.status.code(), Some(74), "{n}: {said}");
        assert!(said.contains("No space left on device"), "{n}: {said}");
        let done = faulty.run(None);
        assert!(done.status.success(), "{n}: {}", String::from_utf8_lossy(&done.stdout));
        assert!(tree(&faulty.estate.out()) == whole, "full after {n} fiftieths");
    }
}
