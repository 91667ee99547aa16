//! Healthy chains of every kind and depth, held against qemu-img; long ones and endless ones.

use std::{fs, path::Path, process::Command};

use vmglean_forge::vmdk::{
    Disk, cowd,
    descriptor::{DescriptorSpec, ExtentLine},
    sesparse, sparse,
};

use crate::make::{Case, letters, mixed, said, tool, vmglean};

const SIZE: u64 = 4 << 20;
const KINDS: [&str; 4] = ["raw", "flat", "sparse", "stream"];

/// One link of a chain that a host wrote.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// Redo log with grains of one sector.
    Cowd,
    /// The same, written from the end of the disk on, on VMFS.
    CowdBackwards,
    /// seSparse.
    Se,
    /// seSparse, written from the end of the disk on.
    SeBackwards,
    /// Hosted sparse.
    Sparse,
}

/// A chain in the making: its leaf and what it reads as.
struct Grown<'a> {
    case: &'a Case,
    leaf: String,
    cid: u32,
    truth: Vec<u8>,
}

fn spec(kind: &str, word: &str, extent: &str, cid: u32) -> DescriptorSpec {
    let mut spec = DescriptorSpec::new(kind, ExtentLine::new(SIZE / 512, word, extent));
    spec.cid = cid;
    spec.ddb.retain(|(name, _)| name != "longContentID");
    spec
}

impl<'a> Grown<'a> {
    /// A flat base in one file, or in three of odd lengths.
    fn new(case: &'a Case, split: bool) -> Self {
        let truth = mixed(SIZE as usize, 11);
        let mut base = spec("vmfs", "VMFS", "vm-flat.vmdk", 1);
        if split {
            base = spec("twoGbMaxExtentFlat", "FLAT", "vm-f001.vmdk", 1);
            base.extents.clear();
            let mut at = 0;
            for (n, sectors) in [1001, 4096, SIZE / 512 - 1001 - 4096].into_iter().enumerate() {
                let name = format!("vm-f{:03}.vmdk", n + 1);
                let end = at + sectors as usize * 512;
                fs::write(case.ds().join(&name), &truth[at..end]).unwrap();
                base.extents.push(ExtentLine::new(sectors, "FLAT", &name));
                at = end;
            }
        } else {
            fs::write(case.ds().join("vm-flat.vmdk"), &truth).unwrap();
        }
        fs::write(case.ds().join("vm.vmdk"), base.text()).unwrap();
        Self { case, leaf: "vm.vmdk".to_owned(), cid: 1, truth }
    }

    /// Puts a link on top, with writes that no other link has in the same places.
    fn grow(&mut self, kind: Kind) {
        let n = u64::from(self.cid);
        let mut disk = Disk::new(SIZE / 512)
            .write(n * 77_824 % (SIZE - 65_536) / 4096 * 4096, letters(12_288, n))
            .write(n * 131 * 512 % (SIZE - 4096), letters(1536, n + 100));
        if matches!(kind, Kind::Se | Kind::SeBackwards) {
            disk = disk.zero(n * 9 * 4096 % SIZE);
        }
        let name = format!("vm-{n:06}.vmdk");
        let cid = self.cid + 1;
        let (kind_word, word, extent) = match kind {
            Kind::Cowd | Kind::CowdBackwards => {
                ("vmfsSparse", "VMFSSPARSE", format!("vm-{n:06}-delta.vmdk"))
            }
            Kind::Se | Kind::SeBackwards => {
                ("seSparse", "SESPARSE", format!("vm-{n:06}-sesparse.vmdk"))
            }
            Kind::Sparse => ("monolithicSparse", "SPARSE", name.clone()),
        };
        let spec = spec(kind_word, word, &extent, cid).child_of(self.cid, &self.leaf);
        // What a link does not hold of a grain it takes from the one below, as a host does.
        let grain = match kind {
            Kind::Cowd | Kind::CowdBackwards => 512,
            Kind::Se | Kind::SeBackwards => 4096,
            Kind::Sparse => 65_536,
        };
        for (at, bytes) in &disk.writes {
            self.truth[*at as usize..*at as usize + bytes.len()].copy_from_slice(bytes);
        }
        for at in disk.zeroed.clone() {
            if disk
                .writes
                .iter()
                .all(|(from, bytes)| at + 4096 <= *from || *from + bytes.len() as u64 <= at)
            {
                self.truth[at as usize..at as usize + 4096].fill(0);
            } else {
                disk.zeroed.remove(&at);
            }
        }
        let mut whole = Disk::new(SIZE / 512);
        whole.zeroed.clone_from(&disk.zeroed);
        for (at, bytes) in &disk.writes {
            let from = at / grain * grain;
            let to = (at + bytes.len() as u64).next_multiple_of(grain).min(SIZE);
            whole = whole.write(from, self.truth[from as usize..to as usize].to_vec());
        }
        let image = match kind {
            Kind::Cowd => cowd::write(&whole, &cowd::CowdSpec::default()).image,
            Kind::CowdBackwards => {
                let spec = cowd::CowdSpec { reversed: true, grown: true, grain: 1 };
                cowd::write(&whole, &spec).image
            }
            Kind::Se | Kind::SeBackwards => {
                let spec = sesparse::SeSparseSpec {
                    journal: sesparse::JournalSpec::Empty,
                    reversed: matches!(kind, Kind::SeBackwards),
                    ..sesparse::SeSparseSpec::default()
                };
                sesparse::write(&whole, &spec).image
            }
            Kind::Sparse => {
                let of = sparse::SparseSpec { descriptor: Some(spec.text()), ..Default::default() };
                sparse::write(&whole, &of).image
            }
        };
        image.write_to(&self.case.ds().join(&extent)).unwrap();
        if !matches!(kind, Kind::Sparse) {
            fs::write(self.case.ds().join(&name), spec.text()).unwrap();
        }
        (self.leaf, self.cid) = (name, cid);
    }

    /// What qemu-img makes of it, which must be what the forge wrote.
    fn told(&self) -> std::path::PathBuf {
        let raw = self.case.root().join("truth.raw");
        let _ = fs::remove_file(&raw);
        self.case.qemu(
            "qemu-img",
            &["convert", "-f", "vmdk", "-O", "raw", &self.leaf, raw.to_str().unwrap()],
        );
        assert!(fs::read(&raw).unwrap() == self.truth, "qemu-img reads what the forge wrote");
        raw
    }

    /// Makes it one disk and lets qemu-img check and compare that.
    fn holds(&self, kind: &str, what: &str) {
        let truth = self.told();
        let folder = self.case.out().join("made");
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).unwrap();
        let out = folder.join(if kind == "raw" { "disk.raw" } else { "disk.vmdk" });
        let out = out.to_str().unwrap();
        let args = ["consolidate", &self.leaf, "-q", "-O", kind, "-o", out];
        let (code, _, err) = said(&vmglean(&self.case.ds(), &args));
        assert_eq!(code, 0, "{what} as {kind}: {err}");
        let truth = truth.to_str().unwrap();
        if kind == "raw" {
            assert!(fs::read(out).unwrap() == self.truth, "{what}");
            return;
        }
        if kind != "flat" {
            tool(&folder, "qemu-img", &["check", "-q", "-f", "vmdk", out]);
        }
        tool(&folder, "qemu-img", &["compare", "-q", "-f", "raw", "-F", "vmdk", truth, out]);
    }
}

#[test]
fn every_mix_that_a_host_leaves_equals_qemu_img_in_all_formats() {
    use Kind::{Cowd, CowdBackwards, Se, SeBackwards, Sparse};
    let chains: [(bool, &[Kind]); 8] = [
        (false, &[]),
        (true, &[]),
        (false, &[Cowd]),
        (false, &[Se]),
        (false, &[CowdBackwards, SeBackwards]),
        (true, &[Sparse, Sparse]),
        (true, &[Cowd, Sparse, Se]),
        (false, &[SeBackwards, Cowd, Sparse, CowdBackwards, Se]),
    ];
    for (split, kinds) in chains {
        let case = Case::new();
        let mut chain = Grown::new(&case, split);
        for kind in kinds {
            chain.grow(*kind);
        }
        for kind in KINDS {
            chain.holds(kind, &format!("split {split}, {kinds:?}"));
        }
    }
}

#[test]
fn chains_of_any_depth_up_to_fifty_equal_qemu_img() {
    let case = Case::new();
    let mut chain = Grown::new(&case, false);
    let turns = [Kind::Cowd, Kind::Se, Kind::Sparse, Kind::CowdBackwards, Kind::SeBackwards];
    for links in 1..=50_usize {
        if links > 1 {
            chain.grow(turns[links % turns.len()]);
        }
        chain.holds(KINDS[links % KINDS.len()], &format!("{links} links"));
    }
    for kind in KINDS {
        chain.holds(kind, "50 links");
    }
}

/// `count` descriptors of redo logs over each other; the last leads to the first or to a base.
fn long(case: &Case, count: usize, endless: bool) {
    let sectors = 64;
    let disk = Disk::new(sectors).write(0, letters(512, 1));
    let image = cowd::write(&disk, &cowd::CowdSpec::default()).image;
    for n in 0..count {
        let extent = format!("d{n:05}-delta.vmdk");
        image.write_to(&case.ds().join(&extent)).unwrap();
        let mut link =
            DescriptorSpec::new("vmfsSparse", ExtentLine::new(sectors, "VMFSSPARSE", &extent));
        link.cid = 7;
        link.ddb.clear();
        let below = match (n + 1 == count, endless) {
            (false, _) => format!("d{:05}.vmdk", n + 1),
            (true, true) => "d00000.vmdk".to_owned(),
            (true, false) => "base.vmdk".to_owned(),
        };
        let text = link.child_of(7, &below).text();
        fs::write(case.ds().join(format!("d{n:05}.vmdk")), text).unwrap();
    }
    let mut base = DescriptorSpec::new("vmfs", ExtentLine::new(sectors, "VMFS", "base-flat.vmdk"));
    base.cid = 7;
    base.ddb.clear();
    fs::write(case.ds().join("base.vmdk"), base.text()).unwrap();
    fs::write(case.ds().join("base-flat.vmdk"), letters(sectors as usize * 512, 2)).unwrap();
}

/// Runs the program with at most 1 GiB of addresses and 120 s of the processor.
fn bounded(folder: &Path, args: &[&str]) -> (i32, String, String) {
    let mut command = Command::new("prlimit");
    command.args(["--as=1073741824", "--cpu=120", env!("CARGO_BIN_EXE_vmglean"), "--jobs", "2"]);
    said(&command.args(args).current_dir(folder).output().unwrap())
}

#[test]
fn ten_thousand_links_are_followed_in_bounded_time_and_memory() {
    let case = Case::new();
    long(&case, 10_000, false);
    let args = ["chain", "d00000.vmdk", "--json", "--samples", "0"];
    let (_, out, err) = bounded(&case.ds(), &args);
    let record: serde_json::Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{err}"));
    assert_eq!(record["end"]["kind"], "base", "{err}");
    assert_eq!(record["links"].as_array().unwrap().len(), 10_001);
    let out = case.out().join("x.raw");
    let args = ["consolidate", "d00000.vmdk", "--samples", "0", "-q", "-o", out.to_str().unwrap()];
    let (code, _, err) = bounded(&case.ds(), &args);
    assert_eq!(code, 0, "{err}");
    let mut truth = letters(64 * 512, 2);
    truth[..512].copy_from_slice(&letters(512, 1));
    assert!(fs::read(out).unwrap() == truth);
}

#[test]
fn a_cycle_of_ten_thousand_links_is_named_in_bounded_time_and_memory() {
    let case = Case::new();
    long(&case, 10_000, true);
    let args = ["chain", "d00000.vmdk", "--json", "--samples", "0"];
    let (code, out, err) = bounded(&case.ds(), &args);
    let record: serde_json::Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{err}"));
    assert_eq!((code, record["end"]["kind"].as_str()), (1, Some("cycle")), "{err}");
    let out = case.out().join("x.raw");
    let args = ["consolidate", "d00000.vmdk", "-q", "-o", out.to_str().unwrap()];
    let (code, _, err) = bounded(&case.ds(), &args);
    assert_eq!(code, 4, "{err}");
    assert!(err.contains("is its own ancestor"), "{err}");
    assert!(!out.exists());
}
