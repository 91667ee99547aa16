//! Ten small inputs that make readers answer wrongly: each must be named.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use tempfile::TempDir;
use vmglean_forge::{
    damage::{Cipher, KeyStream},
    scale,
};

use crate::run::{codes, configure, folder, machine, tool, vmglean};

const CUT_BYTES: usize = 1_100_000;

/// One trap: its folder, the disk in it, and what must be found.
struct Trap {
    name: &'static str,
    leaf: &'static str,
    /// Verdict of the disk.
    verdict: &'static str,
    sweep: &'static str,
    inspect: &'static str,
}

const fn trap(
    name: &'static str,
    leaf: &'static str,
    verdict: &'static str,
    sweep: &'static str,
    inspect: &'static str,
) -> Trap {
    Trap { name, leaf, verdict, sweep, inspect }
}

const TRAPS: [Trap; 9] = [
    trap("wrong-cid", "child.vmdk", "undetermined", "chain.cid-mismatch", "chain.cid-mismatch"),
    trap("cycle", "a.vmdk", "incomplete", "chain.cycle", "chain.cycle"),
    trap("cut", "cut.vmdk", "damaged", "extent.tables-broken", "file.part-of-a-sector"),
    trap("head-512", "disk.vmdk", "damaged", "file.unfit", "chain.extent-header-rebuilt"),
    trap("head-64k", "disk.vmdk", "partly-encrypted", "file.unfit", "content.partly-encrypted"),
    trap(
        "capacity",
        "disk.vmdk",
        "damaged",
        "chain.extent-capacity-differs",
        "chain.extent-capacity-differs",
    ),
    trap("absolute", "disk.vmdk", "incomplete", "name.outside", "chain.extent-outside-root"),
    trap("dots", "disk.vmdk", "incomplete", "name.outside", "chain.extent-outside-root"),
    trap("link", "disk.vmdk", "incomplete", "chain.extent-refused", "chain.extent-symlink"),
];

fn replace(bytes: &mut [u8], old: &[u8], new: &[u8]) {
    assert_eq!(old.len(), new.len());
    let at = bytes.windows(old.len()).position(|window| window == old).unwrap();
    bytes[at..at + new.len()].copy_from_slice(new);
}

/// Healthy pair and traps below `traps`, a victim beside them.
fn make(with_configuration: bool) -> TempDir {
    let root = folder();
    let traps = root.path().join("traps");
    let make = |name: &str| -> PathBuf {
        let path = traps.join(name);
        fs::create_dir_all(&path).unwrap();
        path
    };
    let healthy = make("healthy");
    tool(&healthy, "qemu-img", &["create", "-q", "-f", "vmdk", "base.vmdk", "64M"]);
    // One byte over and over would look like a wiped disk.
    let words = root.path().join("words");
    fs::write(&words, scale::text(1, 1 << 20)).unwrap();
    let write = |place: &str| format!("write -s {} {place}", words.display());
    let (first, second, third) = (write("0 1M"), write("10M 1M"), write("20M 64k"));
    tool(&healthy, "qemu-io", &["-f", "vmdk", "-c", &first, "-c", &second, "base.vmdk"]);
    tool(
        &healthy,
        "qemu-img",
        &["create", "-q", "-f", "vmdk", "-b", "base.vmdk", "-F", "vmdk", "child.vmdk"],
    );
    tool(&healthy, "qemu-io", &["-f", "vmdk", "-c", &third, "child.vmdk"]);
    let base = fs::read(healthy.join("base.vmdk")).unwrap();
    let child = fs::read(healthy.join("child.vmdk")).unwrap();

    let mut wrong = child.clone();
    // qemu-img writes no leading zeros: the number is as long as it is.
    let at = wrong.windows(10).position(|window| window == b"parentCID=").unwrap() + 10;
    let digits = wrong[at..].iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    wrong[at..at + digits].copy_from_slice(&b"deadbeef"[..digits]);
    let path = make("wrong-cid");
    fs::write(path.join("child.vmdk"), wrong).unwrap();
    fs::write(path.join("base.vmdk"), &base).unwrap();

    for (name, other) in [("a.vmdk", &b"\"b.vmdk\"\n\n\n"[..]), ("b.vmdk", b"\"a.vmdk\"\n\n\n")] {
        let mut disk = child.clone();
        replace(&mut disk, b"\"base.vmdk\"", other);
        fs::write(make("cycle").join(name), disk).unwrap();
    }

    // The whole base lies beside the cut one, under the name that the cut one's descriptor says.
    let path = make("cut");
    fs::write(path.join("base.vmdk"), &base).unwrap();
    fs::write(path.join("cut.vmdk"), &base[..CUT_BYTES]).unwrap();

    for (name, bytes) in [("head-512", 512), ("head-64k", 65_536)] {
        let mut disk = base.clone();
        KeyStream::new(bytes, Cipher::Stream).encrypt(&mut disk[..bytes as usize], 0, 0);
        fs::write(make(name).join("disk.vmdk"), disk).unwrap();
    }

    let mut disk = base;
    disk[12..20].copy_from_slice(&(1_u64 << 40).to_le_bytes());
    fs::write(make("capacity").join("disk.vmdk"), disk).unwrap();

    let victim = root.path().join("victim.bin");
    fs::write(&victim, vec![b'V'; 1 << 20]).unwrap();
    let text = |extent: &str| {
        format!(
            "# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=ffffffff\n\
             createType=\"monolithicFlat\"\n\nRW 2048 FLAT \"{extent}\" 0\n\n\
             ddb.adapterType = \"lsilogic\"\n"
        )
    };
    fs::write(make("absolute").join("disk.vmdk"), text(victim.to_str().unwrap())).unwrap();
    fs::write(make("dots").join("disk.vmdk"), text("../../victim.bin")).unwrap();
    fs::write(make("link").join("disk.vmdk"), text("link.bin")).unwrap();
    symlink(&victim, traps.join("link/link.bin")).unwrap();

    if with_configuration {
        configure(&healthy, "child.vmdk");
        for trap in &TRAPS {
            configure(&traps.join(trap.name), trap.leaf);
        }
    }
    root
}

#[test]
fn a_sweep_names_each_trap_and_only_the_healthy_pair_ends_well() {
    let root = make(true);
    let traps = root.path().join("traps");
    let healthy = vmglean(&traps, &["sweep", "--json", "healthy"]);
    assert_eq!(healthy.code, Some(0), "{}", healthy.text());
    assert_eq!(machine(&healthy.json(), "healthy")["verdict"], "untouched");

    let all = vmglean(root.path(), &["sweep", "--json", "traps"]);
    assert_eq!(all.code, Some(1));
    let record = all.json();
    assert_eq!(machine(&record, "healthy")["verdict"], "untouched");
    for trap in &TRAPS {
        let found = machine(&record, trap.name);
        let codes = codes(found);
        assert!(codes.iter().any(|code| code == trap.sweep), "{}: {codes:?}", trap.name);
        assert_eq!(found["disks"][0]["verdict"], trap.verdict, "{}", trap.name);
        assert_ne!(found["verdict"], "untouched", "{}", trap.name);
        // Alone it must end as it does among others.
        let alone = vmglean(&traps, &["sweep", "--json", trap.name]);
        assert_eq!(alone.code, Some(1), "{}: {}", trap.name, alone.err);
        assert_eq!(machine(&alone.json(), trap.name)["verdict"], found["verdict"]);
    }
}

#[test]
fn without_a_configuration_the_traps_are_named_all_the_same() {
    let root = make(false);
    let record = vmglean(root.path(), &["sweep", "--json", "traps"]).json();
    for trap in &TRAPS {
        let here = |m: &&serde_json::Value| m["folder"].as_str().unwrap().ends_with(trap.name);
        let machines: Vec<_> = record["machines"].as_array().unwrap().iter().filter(here).collect();
        let named = machines.iter().any(|m| codes(m).iter().any(|code| code == trap.sweep));
        assert!(named, "{}: {machines:#?}", trap.name);
    }
}

#[test]
fn inspect_names_each_trap_and_only_the_healthy_pair_ends_well() {
    let root = make(false);
    let traps = root.path().join("traps");
    for healthy in ["healthy/base.vmdk", "healthy/child.vmdk"] {
        let done = vmglean(&traps, &["inspect", "--json", healthy]);
        assert_eq!(done.code, Some(0), "{healthy}: {}", done.text());
    }
    for trap in &TRAPS {
        let path = Path::new(trap.name).join(trap.leaf);
        let done = vmglean(&traps, &["inspect", "--json", path.to_str().unwrap()]);
        assert!(matches!(done.code, Some(1 | 3)), "{}: {:?}", trap.name, done.code);
        let codes = codes(&done.json()["files"][0]);
        assert!(codes.iter().any(|code| code == trap.inspect), "{}: {codes:?}", trap.name);
    }
}

/// The trap that catches most readers: the cut disk's own descriptor names its whole sibling.
#[test]
fn a_cut_disk_is_never_read_from_its_whole_sibling() {
    let root = make(true);
    let record = vmglean(root.path(), &["sweep", "--json", "traps/cut"]).json();
    let disk = &machine(&record, "cut")["disks"][0];
    assert_eq!(disk["chain"].as_array().unwrap().len(), 1, "{disk}");
    assert!(disk["chain"][0].as_str().unwrap().ends_with("cut.vmdk"));
    assert!(disk["reason"].as_str().unwrap().contains("cannot be reached"), "{disk}");
}

#[test]
fn a_name_that_leads_outside_is_followed_once_its_folder_is_allowed() {
    let root = make(true);
    let victims = folder();
    fs::copy(root.path().join("victim.bin"), victims.path().join("victim.bin")).unwrap();
    let descriptor = root.path().join("traps/absolute/disk.vmdk");
    let text = fs::read_to_string(&descriptor).unwrap();
    let (before, after) = (root.path().to_str().unwrap(), victims.path().to_str().unwrap());
    fs::write(&descriptor, text.replace(before, after)).unwrap();
    let args = ["sweep", "--json", "--allow", after, "traps/absolute"];
    let record = vmglean(root.path(), &args).json();
    let found = machine(&record, "absolute");
    assert!(!codes(found).iter().any(|code| code == "name.outside"), "{found:#}");
    assert_eq!(found["disks"][0]["chain"].as_array().unwrap().len(), 2);
}

/// A torn line hides whose child the disk is: the link may hold, but nothing proves it.
#[test]
fn a_parent_cid_that_cannot_be_read_leaves_the_chain_in_doubt() {
    let root = make(true);
    let path = root.path().join("traps/healthy/child.vmdk");
    let mut child = fs::read(&path).unwrap();
    let at = child.windows(10).position(|window| window == b"parentCID=").unwrap() + 10;
    child[at..at + 3].copy_from_slice(b"?!?");
    fs::write(&path, child).unwrap();
    let done = vmglean(root.path(), &["sweep", "--json", "traps/healthy"]);
    assert_eq!(done.code, Some(1));
    let record = done.json();
    let found = machine(&record, "healthy");
    assert_eq!(found["verdict"], "undetermined", "{found:#}");
    assert!(codes(found).contains(&"chain.cid-unread".to_owned()), "{found:#}");
}
