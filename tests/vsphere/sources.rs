//! What a plan is made of: records of sweeps, and disks of which nothing else is left.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use crate::bench::{Bench, bench, noise, sha256, text, vmglean};

const SIZE: usize = 256 << 10;

fn estate() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("samples/estate/ds-berlin")
}

fn sweep(source: &Path, record: &Path, form: &str) {
    let said = vmglean().args(["sweep", form]).arg(source).output().unwrap();
    assert!(matches!(said.status.code(), Some(0 | 1)), "{}", text(&said));
    fs::write(record, said.stdout).unwrap();
}

/// One line, no plan, nothing asked of the server.
fn refused(bench: &Bench, said: &Output, code: i32, words: &str) {
    assert_eq!(said.status.code(), Some(code), "{words}: {}", text(said));
    assert!(text(said).contains(words), "{words:?} in {}", text(said));
    assert_eq!(text(said).trim().lines().count(), 1, "{}", text(said));
    assert!(!bench.path("plan.toml").exists());
    assert_eq!(bench.proxy.calls("Login"), 0);
}

#[test]
fn a_sweeps_record_gives_its_sound_machines_and_says_what_the_others_need() {
    for form in ["--json", "--jsonl"] {
        let bench = bench(&["-esx"]);
        let record = bench.path(if form == "--json" { "sweep.json" } else { "sweep.jsonl" });
        sweep(&estate(), &record, form);
        let before = bench.machines().len();
        let planned = bench.plan_of(&[&record]);
        assert_eq!(planned.status.code(), Some(3), "{}", text(&planned));
        let plan = fs::read_to_string(bench.path("plan.toml")).unwrap();
        for name in ["files01", "web01"] {
            assert!(plan.contains(&format!("name = \"{name}\"")), "{plan}");
        }
        for (name, words) in [
            ("app01", "vmglean salvage"),
            ("db01", "next: "),
            ("bde01", "next: "),
            // Sound, but only a host with its keys can take it.
            ("vdi-007", "encrypted by VMware itself"),
        ] {
            assert!(!plan.contains(&format!("name = \"{name}\"")), "{name}: {plan}");
            let line = text(&planned).lines().find(|line| line.contains(name)).map(str::to_owned);
            assert!(line.is_some_and(|line| line.contains(words)), "{name}: {}", text(&planned));
        }
        let applied = bench.apply(&[]);
        assert_eq!(applied.status.code(), Some(0), "{}", text(&applied));
        assert_eq!(bench.machines().len(), before + 2);
        for file in ["files01/files01-flat.vmdk", "web01/web01-flat.vmdk"] {
            let bytes = fs::read(estate().join(file)).unwrap();
            assert!(bench.arrived(file, &bytes), "{file}");
        }
    }
}

#[test]
fn a_record_that_is_cut_foreign_or_out_of_date_makes_no_plan() {
    let bench = bench(&["-esx"]);
    let record = |name: &str, bytes: &[u8]| {
        let path = bench.path(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let good = bench.path("good.jsonl");
    sweep(&estate(), &good, "--jsonl");
    let whole = fs::read(&good).unwrap();
    let cut = record("cut.jsonl", &whole[..whole.len() - 30]);
    refused(&bench, &bench.plan_of(&[&cut]), 74, "cut.jsonl");
    let other = record("other.json", br#"{"schema":"vmglean.map/1"}"#);
    refused(&bench, &bench.plan_of(&[&other]), 74, "vmglean.map/1");
    let none = record("none.json", b"hello");
    refused(&bench, &bench.plan_of(&[&none]), 74, "none.json");
    refused(&bench, &bench.plan_of(&[&bench.path("gone.json")]), 74, "gone.json");
    let itself = vmglean()
        .args(["redeploy", "plan", "--server", "127.0.0.1", "--overwrite", "-o"])
        .args([&good, &good])
        .output()
        .unwrap();
    refused(&bench, &itself, 4, "good.jsonl");
    assert_eq!(fs::read(&good).unwrap(), whole);

    // The disk is written to after the sweep, then the machine goes away.
    let folder = bench.path("src/web01");
    fs::create_dir(&folder).unwrap();
    for entry in fs::read_dir(estate().join("web01")).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), folder.join(entry.file_name())).unwrap();
    }
    let swept = bench.path("swept.json");
    sweep(&bench.path("src"), &swept, "--json");
    let inside = vmglean()
        .args(["redeploy", "plan", "--server", "127.0.0.1", "-o"])
        .args([&bench.path("src/plan.toml"), &swept])
        .output()
        .unwrap();
    refused(&bench, &inside, 4, "src");
    let flat = folder.join("web01-flat.vmdk");
    fs::write(&flat, fs::read(&flat).unwrap()).unwrap();
    refused(&bench, &bench.plan_of(&[&swept]), 74, "sweep again");
    fs::remove_file(folder.join("web01.vmx")).unwrap();
    refused(&bench, &bench.plan_of(&[&swept]), 74, "web01.vmx is not there");
}

/// A disk with an MBR that has a Linux partition, and noise.
fn guest(name: &str) -> Vec<u8> {
    let mut disk = noise(name, SIZE);
    disk[..512].fill(0);
    disk[446] = 0x80;
    disk[450] = 0x83;
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    disk[SIZE / 2..SIZE / 2 + (100 << 10)].fill(0);
    disk
}

/// The same disk in each form that consolidate writes.
fn consolidated(bench: &Bench, form: &str, disk: &[u8]) -> PathBuf {
    let raw = bench.path(&format!("evidence-{form}/disk.raw"));
    fs::create_dir(raw.parent().unwrap()).unwrap();
    fs::write(&raw, disk).unwrap();
    let ending = if form == "raw" { "raw" } else { "vmdk" };
    let folder = bench.path(&format!("disk-{form}"));
    fs::create_dir(&folder).unwrap();
    let out = folder.join(format!("{form}.{ending}"));
    let said = vmglean()
        .args(["consolidate", "--samples", "0", "-O", form, "-o"])
        .args([&out, &raw])
        .output()
        .unwrap();
    assert_eq!(said.status.code(), Some(0), "{}", text(&said));
    out
}

#[test]
fn a_lone_disk_in_any_form_comes_up_with_hardware_that_is_marked_as_guessed() {
    let bench = bench(&["-esx"]);
    let before = bench.machines().len();
    let forms = ["raw", "flat", "sparse", "stream"];
    let disks: Vec<(Vec<u8>, PathBuf)> =
        forms.iter().map(|form| (guest(form), consolidated(&bench, form, &guest(form)))).collect();
    let sources: Vec<&Path> = disks.iter().map(|(_, path)| path.as_path()).collect();
    let planned = bench.plan_of(&sources);
    assert_eq!(planned.status.code(), Some(0), "{}", text(&planned));
    let plan = fs::read_to_string(bench.path("plan.toml")).unwrap();
    let read = vmglean::redeploy::plan::Plan::parse(&plan).unwrap();
    assert_eq!(read.machines.len(), 4);
    for (machine, form) in read.machines.iter().zip(forms) {
        assert_eq!(machine.name, form);
        assert_eq!(machine.hardware.guest_id, "otherLinux64Guest", "{plan}");
        assert_eq!(machine.hardware.firmware, "bios");
        assert!(machine.nics.iter().all(|nic| !nic.connected && nic.mac.is_none()));
        assert!(machine.guessed.iter().any(|why| why.contains("memory_mib")), "{plan}");
        assert!(machine.guessed.iter().any(|why| why.contains("a Linux partition")), "{plan}");
        assert!(text(&planned).contains(&format!("{form}: values of it are guessed")));
    }
    let dry = bench.apply(&["--dry-run"]);
    assert!(text(&dry).contains("raw: values are guessed"), "{}", text(&dry));
    let applied = bench.apply(&[]);
    assert_eq!(applied.status.code(), Some(0), "{}", text(&applied));
    assert_eq!(bench.machines().len(), before + 4);
    for ((data, _), form) in disks.iter().zip(forms) {
        assert_eq!(bench.count(form), 1);
        if form != "stream" {
            assert!(bench.arrived(&format!("/{form}-flat.vmdk"), data), "{form}");
        }
        assert_eq!(sha256(&as_a_host_reads_it(&bench, form)), sha256(data), "{form}");
    }
    let again = bench.apply(&[]);
    assert_eq!(again.status.code(), Some(0), "{}", text(&again));
    let undone = bench.undo(&["--yes"]);
    assert_eq!(undone.status.code(), Some(0), "{}", text(&undone));
    assert_eq!(bench.machines().len(), before);
}

/// What arrived of a disk, read by qemu-img from its descriptor or its stream.
fn as_a_host_reads_it(bench: &Bench, form: &str) -> Vec<u8> {
    let folder = bench.path(&format!("arrived-{form}"));
    fs::create_dir(&folder).unwrap();
    for upload in bench.proxy.uploads() {
        let name = upload.path.rsplit('/').next().unwrap();
        let is_stream = upload.path.starts_with("/nfc") && form == "stream";
        if is_stream || name == format!("{form}.vmdk") || name == format!("{form}-flat.vmdk") {
            let name = if is_stream { "stream.vmdk" } else { name };
            fs::copy(&upload.file, folder.join(name)).unwrap();
        }
    }
    let raw = folder.join("back");
    let done = Command::new("qemu-img")
        .args(["convert", "-f", "vmdk", "-O", "raw"])
        .args([&folder.join(format!("{form}.vmdk")), &raw])
        .status()
        .unwrap();
    assert!(done.success());
    fs::read(raw).unwrap()
}

#[test]
fn what_is_no_whole_disk_is_one_line_and_no_plan() {
    let bench = bench(&["-esx"]);
    fs::create_dir(bench.path("bad")).unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = bench.path("bad").join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let disk = guest("x");
    let sparse = fs::read(consolidated(&bench, "sparse", &disk)).unwrap();
    let stream = fs::read(consolidated(&bench, "stream", &disk)).unwrap();
    let mut wiped = sparse.clone();
    // Its grain directory, and the copy of it.
    let sector = |at: usize| {
        usize::try_from(u64::from_le_bytes(sparse[at..at + 8].try_into().unwrap())).unwrap() << 9
    };
    for at in [sector(48), sector(56)] {
        wiped[at..at + 512].fill(0xff);
    }
    let delta = "# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=00000001\ncreateType=\"vmfsSparse\"\nparentFileNameHint=\"a.vmdk\"\nRW 8 VMFSSPARSE \"a-delta.vmdk\"\n";
    let split = "# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\ncreateType=\"twoGbMaxExtentFlat\"\nRW 8 FLAT \"a-f001.vmdk\" 0\nRW 8 FLAT \"a-f002.vmdk\" 0\n";
    let lost = "# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\ncreateType=\"vmfs\"\nRW 8 VMFS \"lost-flat.vmdk\"\n";
    for (name, bytes, words) in [
        ("empty.raw", &b""[..], "is empty"),
        ("odd.raw", &disk[..1000], "no whole number of sectors"),
        ("notes.txt", b"remember the milk", "is no machine, disk or sweep record"),
        ("packed.raw", b"\x1f\x8b\x08\x00packed", "gzip"),
        ("delta.vmdk", delta.as_bytes(), "a snapshot's disk"),
        ("split.vmdk", split.as_bytes(), "a disk of several parts"),
        ("lost.vmdk", lost.as_bytes(), "lost-flat.vmdk"),
        ("cut.vmdk", &sparse[..sparse.len() / 2], "vmglean map"),
        ("wiped.vmdk", &wiped, "vmglean map"),
        ("cut-stream.vmdk", &stream[..stream.len() / 2], "vmglean map"),
    ] {
        let path = write(name, bytes);
        refused(&bench, &bench.plan_of(&[&path]), 74, words);
        refused(&bench, &bench.plan_of(&[&path]), 74, name);
    }
    refused(&bench, &bench.plan_of(&[&bench.path("disk-sparse")]), 74, "name a disk itself");
}

#[test]
fn a_sparse_disk_that_changed_since_the_plan_is_refused() {
    let bench = bench(&["-esx"]);
    let path = consolidated(&bench, "sparse", &guest("x"));
    let planned = bench.plan_of(&[&path]);
    assert_eq!(planned.status.code(), Some(0), "{}", text(&planned));
    let plan = fs::read_to_string(bench.path("plan.toml")).unwrap();
    for (from, to) in
        [("form = \"sparse\"", "form = \"raw\""), ("form = \"sparse\"", "form = \"odd\"")]
    {
        fs::write(bench.path("plan.toml"), plan.replacen(from, to, 1)).unwrap();
        let said = bench.apply(&[]);
        assert!(matches!(said.status.code(), Some(2 | 4)), "{to}: {}", text(&said));
    }
    fs::write(bench.path("plan.toml"), &plan).unwrap();
    fs::write(&path, fs::read(&path).unwrap()).unwrap();
    let said = bench.apply(&[]);
    assert_eq!(said.status.code(), Some(4), "{}", text(&said));
    assert!(text(&said).contains("changed since the plan was made"), "{}", text(&said));
    assert!(bench.proxy.uploads().is_empty());
}

#[test]
fn what_salvage_says_of_its_files_stands_in_the_plan_and_is_held_against_them() {
    let bench = bench(&["-esx"]);
    let clean = bench.path("clean");
    let made = vmglean().args(["salvage", "--out"]).args([&clean, &estate()]).output().unwrap();
    assert!(matches!(made.status.code(), Some(0 | 1)), "{}", text(&made));
    let planned = bench.plan_of(&[&clean]);
    assert_eq!(planned.status.code(), Some(3), "{}", text(&planned));
    assert!(text(&planned).contains("db01.vmx: its disks are switched off"), "{}", text(&planned));
    assert!(text(&planned).contains("left out as said above"), "{}", text(&planned));
    let plan = fs::read_to_string(bench.path("plan.toml")).unwrap();
    let read = vmglean::redeploy::plan::Plan::parse(&plan).unwrap();
    let machine = |name: &str| read.machines.iter().find(|machine| machine.name == name).unwrap();
    let sum = |path: &str| sha256(&fs::read(clean.join(path)).unwrap());
    let web = machine("web01");
    let manifest = sum("web01/MANIFEST.jsonl");
    assert_eq!(web.manifest.as_deref(), Some(manifest.as_str()));
    let flat = sum("web01/web01-flat.vmdk");
    assert_eq!(web.disks[0].sha256.as_deref(), Some(flat.as_str()));
    // Salvage carries over what nothing speaks against; what it is not sure of is said again.
    let judged = |name: &str| {
        let notes = &machine(name).notes;
        notes.iter().find(|note| note.starts_with("salvage judged it ")).cloned()
    };
    assert!(judged("bde01").is_some_and(|note| note.contains("undetermined")), "{plan}");
    assert!(judged("Büro-PC Müller").is_some_and(|note| note.contains("config-lost")), "{plan}");
    assert_eq!(judged("web01"), None);

    // Other bytes than the list says, with the old time.
    let path = clean.join("web01/web01-flat.vmdk");
    let (bytes, time) =
        (fs::read(&path).unwrap(), fs::metadata(&path).unwrap().modified().unwrap());
    let mut other = bytes.clone();
    other[4096] ^= 1;
    let put = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
    };
    put(&other);
    let said = bench.apply(&["--retries", "0"]);
    assert_eq!(said.status.code(), Some(5), "{}", text(&said));
    assert!(text(&said).contains("the source changed"), "{}", text(&said));
    assert_eq!((bench.count("web01"), bench.count("files01")), (0, 1));
    put(&bytes);
    let said = bench.apply(&["--retries", "0"]);
    assert_eq!(said.status.code(), Some(0), "{}", text(&said));
    assert_eq!(bench.count("web01"), 1);
    let uploads = bench.proxy.uploads();
    let vmx = uploads.iter().rfind(|upload| upload.path.ends_with("/web01.vmx")).unwrap();
    let vmx = fs::read_to_string(&vmx.file).unwrap();
    assert!(vmx.contains(&format!("Manifest: {manifest}")), "{vmx}");

    // Written to after salvage: said, and no longer held against the list.
    fs::write(&path, &other).unwrap();
    let planned = bench.plan_of(&[&clean.join("web01")]);
    let plan = fs::read_to_string(bench.path("plan.toml")).unwrap();
    assert!(plan.contains("was written to after"), "{} {plan}", text(&planned));
    assert!(!plan.contains(&flat), "{plan}");
}
