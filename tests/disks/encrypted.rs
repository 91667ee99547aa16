//! Chains with encrypted links made one disk: what is encrypted is filled, what may be is named,
//! and no encrypted byte is called good. The forge knows which are.

use std::{fs, ops::Range, process::Command, sync::OnceLock};

use serde_json::Value;
use vmglean::{
    consolidate::{ManifestLine, RangeLine},
    triage::judge::Lattice,
};
use vmglean_forge::{
    damage::{Case as Attack, Damage, Geometry, Truth, family_cases},
    guest,
};

use crate::make::{Case, codes, said, tool, vmglean};

const MIB: u64 = 1 << 20;

/// A disk of ext4 with files of many kinds.
fn clean() -> &'static [u8] {
    static DISK: OnceLock<Vec<u8>> = OnceLock::new();
    DISK.get_or_init(|| {
        let scratch = tempfile::tempdir().unwrap();
        let files = guest::files(1, scratch.path()).unwrap();
        guest::ext4(48 * MIB, &files, scratch.path()).unwrap().bytes
    })
}

/// A descriptor and a flat extent, attacked; what was appended to the file stays behind its end.
fn attacked(case: &Case, attack: &Attack, seed: u64, suffix: &str) -> (Truth, Vec<u8>) {
    let mut bytes = clean().to_vec();
    let damage = Damage {
        geometry: attack.geometry.clone(),
        cipher: attack.cipher,
        seed,
        trailer: attack.trailer.clone(),
    };
    let truth = damage.apply(&mut bytes);
    fs::write(case.ds().join("vm.vmdk"), descriptor(clean().len())).unwrap();
    fs::write(case.ds().join(format!("vm-flat.vmdk{suffix}")), &bytes).unwrap();
    (truth, bytes)
}

fn descriptor(length: usize) -> String {
    format!(
        "# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=ffffffff\ncreateType=\"vmfs\"\n\n\
         RW {} VMFS \"vm-flat.vmdk\"\nddb.adapterType = \"lsilogic\"\n",
        length / 512
    )
}

fn plain(geometry: Geometry) -> Attack {
    let cipher = vmglean_forge::damage::Cipher::Stream;
    Attack { name: "test", geometry, cipher, trailer: None }
}

/// What was made of `vm.vmdk`: exit code, record, output, manifest.
struct Made {
    code: i32,
    record: Value,
    bytes: Vec<u8>,
    lines: Vec<ManifestLine>,
}

impl Made {
    fn ranges(&self) -> impl Iterator<Item = &RangeLine> {
        self.lines.iter().filter_map(|line| match line {
            ManifestLine::Range(range) => Some(range),
            _ => None,
        })
    }

    fn judged(&self) -> Vec<String> {
        let all = self.lines.iter().filter_map(|line| match line {
            ManifestLine::Judged(line) => Some(serde_json::to_value(line.by).unwrap()),
            _ => None,
        });
        all.map(|by| by.as_str().unwrap().to_owned()).collect()
    }
}

fn made(case: &Case, leaf: &str, more: &[&str]) -> Made {
    let folder = case.out().join("one");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir(&folder).unwrap();
    let out = folder.join("disk.raw");
    let mut args = vec!["consolidate", leaf, "-o", out.to_str().unwrap(), "--json"];
    args.extend(["--reproducible", "--no-file-list"]);
    args.extend(more);
    let (code, text, err) = said(&vmglean(&case.ds(), &args));
    assert!(code == 0 || code == 1, "{code} {text} {err}");
    let manifest = fs::read_to_string(folder.join("MANIFEST.jsonl")).unwrap();
    Made {
        code,
        record: serde_json::from_str(&text).unwrap(),
        bytes: fs::read(out).unwrap(),
        lines: manifest.lines().map(|line| serde_json::from_str(line).unwrap()).collect(),
    }
}

/// The map of a disk, written beside the evidence.
fn map_of(case: &Case, leaf: &str, more: &[&str], name: &str) -> String {
    let mut args = vec!["map", leaf, "--json", "--reproducible"];
    args.extend(more);
    let (code, text, err) = said(&vmglean(&case.ds(), &args));
    assert!(code == 0 || code == 1, "{code} {err}");
    let path = case.root().join(name);
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

fn overlap(range: &RangeLine, truth: &Range<u64>) -> u64 {
    let end = range.offset_bytes + range.length_bytes;
    end.min(truth.end).saturating_sub(range.offset_bytes.max(truth.start))
}

/// How the bytes of an output compare with the truth.
#[derive(Debug, Default)]
struct Score {
    /// Encrypted, not filled, and called good.
    silent: u64,
    /// Encrypted, not filled, and named as undetermined.
    named: u64,
    /// Encrypted and filled.
    filled: u64,
    /// Not encrypted and filled all the same.
    lost: u64,
}

fn score(made: &Made, encrypted: &[Range<u64>], source: &[u8]) -> Score {
    let mut score = Score::default();
    let mut next = 0;
    let mut at = 0;
    for range in made.ranges() {
        assert_eq!(range.offset_bytes, at, "a gap or overlap");
        at += range.length_bytes;
        let place = range.offset_bytes as usize..at as usize;
        if let Some(lattice) = &range.lattice {
            assert!(range.filled && range.state == "encrypted", "{range:?}");
            let is_inside = |at: u64| {
                let period = lattice.period_bytes;
                (at % period + period - lattice.phase_bytes) % period < lattice.run_bytes
            };
            let mut hit = 0;
            for at in place {
                let inside = is_inside(at as u64);
                hit += u64::from(inside);
                assert_eq!(made.bytes[at], if inside { 0 } else { source[at] }, "{at}: {range:?}");
            }
            assert_eq!(hit, lattice.encrypted_bytes, "{range:?}");
            let between = Lattice {
                origin: lattice.phase_bytes,
                run: lattice.run_bytes,
                period: lattice.period_bytes,
            };
            let mut inside = 0;
            while let Some(truth) = encrypted.get(next).filter(|truth| truth.start < at) {
                let cut = truth.start.max(range.offset_bytes)..truth.end.min(at);
                let filled = between.encrypted_bytes(&cut);
                inside += filled;
                match lattice.between.as_str() {
                    "undetermined" => score.named += cut.end - cut.start - filled,
                    _ => score.silent += cut.end - cut.start - filled,
                }
                if truth.end > at {
                    break;
                }
                next += 1;
            }
            score.filled += inside;
            score.lost += hit - inside;
            continue;
        }
        if range.filled {
            assert!(made.bytes[place].iter().all(|byte| *byte == 0), "{range:?}");
        } else {
            assert!(made.bytes[place.clone()] == source[place], "{range:?}");
        }
        while encrypted.get(next).is_some_and(|truth| truth.end <= range.offset_bytes) {
            next += 1;
        }
        let hit = encrypted[next..].iter().take_while(|truth| truth.start < at);
        let hit: u64 = hit.map(|truth| overlap(range, truth)).sum();
        match (range.filled, range.state.as_str()) {
            (true, _) => {
                score.filled += hit;
                score.lost += range.length_bytes - hit;
            }
            (false, "undetermined") => score.named += hit,
            (false, _) => score.silent += hit,
        }
    }
    assert_eq!(at as usize, made.bytes.len());
    score
}

#[test]
fn of_every_known_geometry_no_encrypted_byte_is_called_good() {
    let case = Case::new();
    let only = std::env::var("VMGLEAN_TRUTH_ONLY").ok().and_then(|n| n.parse().ok());
    for (number, attack) in family_cases(48 * MIB).iter().enumerate() {
        if only.is_some_and(|only: usize| only != number) {
            continue;
        }
        let (truth, source) = attacked(&case, attack, number as u64, "");
        let map = map_of(&case, "vm.vmdk", &[], "map.json");
        let mapped: Value = serde_json::from_slice(&fs::read(&map).unwrap()).unwrap();
        for mode in [&["--map", map.as_str()] as &[&str], &[], &["--samples", "0"]] {
            // The footer of one states 16 bytes that are not there: then its disk is too short.
            let made = made(&case, "vm.vmdk", &[mode, &["--partial"]].concat());
            let score = score(&made, &truth.encrypted, &source);
            println!("{number} {} {mode:?}: {:?} {score:?}", attack.name, made.judged());
            assert_eq!(score.silent, 0, "{} {mode:?}", attack.name);
            if mode.contains(&"--samples") {
                assert_eq!(made.judged(), ["nothing"], "{}", attack.name);
                assert_eq!(made.record["summary"]["intact_bytes"], 0, "{}", attack.name);
                continue;
            }
            // What the map calls encrypted is filled, to the byte, and nothing else is.
            let judged = made.judged();
            if judged == ["given-map"] || judged == ["map"] {
                let summary = &mapped["summary"];
                let appended = mapped["size_bytes"].as_u64().unwrap() - 48 * MIB;
                let told = summary["encrypted_bytes"].as_u64().unwrap() - appended;
                assert_eq!(score.filled + score.lost, told, "{} {mode:?}", attack.name);
                assert_eq!(made.record["filled_bytes"], told, "{} {mode:?}", attack.name);
                let open = summary["undetermined_bytes"].as_u64().unwrap();
                assert_eq!(made.code, i32::from(told + open > 0), "{} {mode:?}", attack.name);
            }
        }
    }
}

#[test]
fn what_a_map_cannot_tell_is_copied_and_named_or_filled_where_asked() {
    let case = Case::new();
    let head = plain(Geometry::Head { bytes: 3 * MIB / 2 });
    let (truth, source) = attacked(&case, &head, 5, "");
    let map = map_of(&case, "vm.vmdk", &[], "map.json");
    // The last run turned to each word that a map may hold.
    let mut record: Value = serde_json::from_slice(&fs::read(&map).unwrap()).unwrap();
    let intact = |run: &&mut Value| run["state"] == "intact" && run["length_bytes"] != 0;
    for (state, filled) in [("undetermined", false), ("damaged", true), ("unreadable", true)] {
        let run = record["runs"].as_array_mut().unwrap().iter_mut().rev().find(intact).unwrap();
        run["state"] = state.into();
        let place = (run["offset_bytes"].as_u64().unwrap(), run["length_bytes"].as_u64().unwrap());
        fs::write(&map, serde_json::to_vec(&record).unwrap()).unwrap();
        let made = made(&case, "vm.vmdk", &["--map", &map]);
        assert_eq!(made.code, 1);
        assert_eq!(score(&made, &truth.encrypted, &source).silent, 0);
        let inside = |range: &&RangeLine| {
            range.offset_bytes < place.0 + place.1
                && place.0 < range.offset_bytes + range.length_bytes
                && range.state != "zero"
        };
        assert!(made.ranges().filter(inside).count() > 0);
        for range in made.ranges().filter(inside) {
            assert_eq!((range.state.as_str(), range.filled), (state, filled), "{range:?}");
            assert!(range.why.is_some(), "{range:?}");
        }
        let rescue = fs::read_to_string(case.out().join("one/disk.raw.map")).unwrap();
        assert!(rescue.lines().any(|line| line.ends_with("  ?")) && rescue.contains("  -"));
        tool(&case.out().join("one"), "ddrescuelog", &["-t", "disk.raw.map"]);
    }
    let made = made(&case, "vm.vmdk", &["--map", &map, "--fill-undetermined"]);
    let score = score(&made, &truth.encrypted, &source);
    assert_eq!((score.silent, score.named), (0, 0), "{score:?}");
    assert_eq!(score.filled, 3 * MIB / 2);
    let why = |range: &&RangeLine| range.filled && range.state == "undetermined";
    assert!(made.ranges().any(|range| why(&range) && range.why.is_some()));
    assert!(made.record["filled_bytes"].as_u64().unwrap() >= 3 * MIB / 2);
}

#[test]
fn the_summary_says_what_samples_can_miss_and_what_was_not_looked_at() {
    let case = Case::new();
    attacked(&case, &plain(Geometry::None), 1, "");
    let text = |more: &[&str]| {
        let mut args = vec!["consolidate", "vm.vmdk", "--null"];
        args.extend(more);
        let (code, text, err) = said(&vmglean(&case.ds(), &args));
        assert_eq!(code, 0, "{text} {err}");
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let sampled = text(&["--samples", "20"]);
    assert!(sampled.contains("judged by 20 samples, not byte by byte"), "{sampled}");
    assert!(sampled.contains("a lone encrypted run shorter than"), "{sampled}");
    assert!(!sampled.contains("intact"), "{sampled}");
    let unjudged = text(&["--samples", "0"]);
    assert!(unjudged.contains("vm-flat.vmdk: the content was not looked at"), "{unjudged}");
    assert!(!unjudged.contains("intact"), "{unjudged}");
}

#[test]
fn maps_of_a_chain_and_of_its_files_say_the_same() {
    let case = Case::new();
    let attack = plain(Geometry::Periodic { start: 0, run: MIB, period: 4 * MIB, stop: None });
    let (truth, mut source) = attacked(&case, &attack, 3, "");
    let create = ["create", "-q", "-f", "vmdk", "-b", "vm.vmdk", "-F", "vmdk", "s1.vmdk", "48M"];
    case.qemu("qemu-img", &create);
    case.write("s1.vmdk", &["write -P 0x33 0 64k", "write -P 0x44 9M 1M"]);
    source[..64 << 10].fill(0x33);
    source[9 << 20..10 << 20].fill(0x44);
    let of_disk = map_of(&case, "s1.vmdk", &[], "disk.json");
    let of_base = map_of(&case, "vm-flat.vmdk", &["--file"], "base.json");
    let of_leaf = map_of(&case, "s1.vmdk", &["--file"], "leaf.json");
    let whole = made(&case, "s1.vmdk", &["--map", &of_disk]);
    let apart = made(&case, "s1.vmdk", &["--map", &of_base, "--map", &of_leaf]);
    let alone = made(&case, "s1.vmdk", &["--map", &of_base]);
    let own = made(&case, "s1.vmdk", &[]);
    assert_eq!(whole.judged(), ["given-map"]);
    assert_eq!(apart.judged(), ["given-map", "given-map"]);
    assert!(whole.bytes == apart.bytes && whole.bytes == alone.bytes && whole.bytes == own.bytes);
    // What the delta holds was written since, over one run in part.
    let mut encrypted: Vec<Range<u64>> = truth.encrypted.clone();
    encrypted[0].start = 64 << 10;
    for (made, what) in [(&whole, "disk"), (&apart, "files"), (&alone, "base"), (&own, "own")] {
        let score = score(made, &encrypted, &source);
        assert_eq!((score.silent, score.lost), (0, 0), "{what}: {score:?}");
        assert_eq!(made.code, 1, "{what}");
        assert!(codes(&made.record).contains(&"consolidate.content-encrypted".to_owned()));
    }
    // A map of the leaf is none of the disk below it.
    let out = case.out().join("x.raw");
    let out = out.to_str().unwrap();
    let args = ["consolidate", "s1.vmdk", "--at", "vm", "-o", out, "--map", &of_disk];
    let (code, _, err) = said(&vmglean(&case.ds(), &args));
    assert_eq!(code, 4, "{err}");
    assert!(err.contains("at another point in time"), "{err}");
    let args = ["consolidate", "s1.vmdk", "-o", out, "--map", &of_base, "--map", &of_base];
    let (code, _, err) = said(&vmglean(&case.ds(), &args));
    assert_eq!(code, 2, "{err}");
    assert!(!case.out().join("x.raw").exists());
}

#[test]
fn a_map_that_is_of_another_disk_or_none_is_refused_by_name() {
    let case = Case::new();
    attacked(&case, &plain(Geometry::Head { bytes: 4 * MIB }), 2, "");
    let map = map_of(&case, "vm.vmdk", &[], "map.json");
    let good: Value = serde_json::from_slice(&fs::read(&map).unwrap()).unwrap();
    let other = Case::new();
    fs::write(other.ds().join("other-flat.vmdk"), clean()).unwrap();
    let text = descriptor(clean().len()).replace("vm-flat", "other-flat");
    fs::write(other.ds().join("other.vmdk"), text).unwrap();
    let elsewhere = map_of(&other, "other.vmdk", &[], "map.json");
    fs::write(other.ds().join("short-flat.vmdk"), &clean()[..8 << 20]).unwrap();
    let short = map_of(&other, "short-flat.vmdk", &[], "short.json");
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut record = good.clone();
        change(&mut record);
        serde_json::to_vec(&record).unwrap()
    };
    let write = |name: &str, text: &[u8]| {
        let path = case.root().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let cut = fs::read(&map).unwrap();
    let cases = [
        (elsewhere, 4, "was made from other-flat.vmdk"),
        (short, 4, "covers 8388608 bytes, the disk has 50331648"),
        (write("cut", &cut[..cut.len() / 2]), 2, "is no record of vmglean map --json"),
        (
            write("gap", &changed(&|r| drop(r["runs"].as_array_mut().unwrap().remove(1)))),
            2,
            "a gap or overlap",
        ),
        (
            write("end", &changed(&|r| drop(r["runs"].as_array_mut().unwrap().pop()))),
            2,
            "its runs end at byte",
        ),
        (
            write("new", &changed(&|r| r["schema"] = "vmglean.map/9".into())),
            2,
            "says schema \"vmglean.map/9\"",
        ),
        (
            write(
                "lattice",
                &changed(&|r| {
                    r["runs"][0]["lattice"] = serde_json::json!({
                        "origin_bytes": 0, "run_bytes": 64, "period_bytes": 0, "between": "intact"
                    });
                }),
            ),
            2,
            "lattice of the run at byte 0",
        ),
        (case.root().join("nothing").to_str().unwrap().to_owned(), 74, "nothing"),
    ];
    let out = case.out().join("x.raw");
    for (map, wanted, words) in cases {
        let args = ["consolidate", "vm.vmdk", "-o", out.to_str().unwrap(), "--map", &map];
        let (code, _, err) = said(&vmglean(&case.ds(), &args));
        assert_eq!(code, wanted, "{map}: {err}");
        assert!(err.contains(words), "{map}: {err}");
        assert!(!out.exists());
        let (code, _, err) = said(&vmglean(&case.ds(), &["files", "vm.vmdk", "--map", &map]));
        assert_eq!(code, wanted, "files {map}: {err}");
    }
    // Evidence that a record does not hold is no way out of it.
    let odd = write("odd", &changed(&|r| r["runs"][0]["evidence"] = serde_json::json!([999_999])));
    assert_eq!(made(&case, "vm.vmdk", &["--map", &odd]).code, 1);
}

#[test]
fn a_killed_run_goes_on_with_the_same_map_alone() {
    let case = Case::new();
    attacked(&case, &plain(Geometry::Head { bytes: 20 * MIB }), 4, "");
    let map = map_of(&case, "vm.vmdk", &[], "map.json");
    let other = case.root().join("other.json");
    let mut record: Value = serde_json::from_slice(&fs::read(&map).unwrap()).unwrap();
    let runs = record["runs"].as_array_mut().unwrap();
    runs.iter_mut().find(|run| run["state"] == "intact").unwrap()["state"] = "encrypted".into();
    fs::write(&other, serde_json::to_vec(&record).unwrap()).unwrap();
    let shim = case.root().join("faults.so");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/disks/faults.c");
    let shim = shim.to_str().unwrap();
    tool(case.root(), "cc", &["-shared", "-fPIC", "-O1", "-o", shim, source, "-ldl"]);
    let out = case.out().join("disk.raw");
    let run = |maps: &[&str], kill: Option<u32>| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vmglean"));
        command.args(["consolidate", "vm.vmdk", "-q", "--jobs", "2", "--checkpoint", "1MiB", "-o"]);
        command.arg(&out).current_dir(case.ds());
        for map in maps {
            command.args(["--map", map]);
        }
        if let Some(call) = kill {
            command.env("LD_PRELOAD", shim).env("FAULT_KILL_AT_CALL", call.to_string());
        }
        said(&command.output().unwrap())
    };
    let contents = || {
        let mut all: Vec<(String, Vec<u8>)> = fs::read_dir(case.out())
            .unwrap()
            .map(|entry| entry.unwrap())
            .map(|entry| {
                (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())
            })
            .collect();
        all.sort();
        all
    };
    let fresh = || {
        fs::remove_dir_all(case.out()).unwrap();
        fs::create_dir(case.out()).unwrap();
    };
    assert_eq!(run(&[&map], None).0, 1);
    let whole = contents();
    let mut refused = 0;
    for call in (3..30).step_by(3) {
        fresh();
        let (code, _, _) = run(&[&map], Some(call));
        if code != -1 || !case.out().join("disk.raw.record").exists() {
            continue;
        }
        for maps in [&[other.to_str().unwrap()] as &[&str], &[]] {
            let (code, _, err) = run(maps, None);
            assert_eq!(code, 4, "{err}");
            assert!(err.contains("map.json (SHA-256 "), "{err}");
            refused += 1;
        }
        assert_eq!(run(&[&map], None).0, 1);
        assert!(contents() == whole, "killed at call {call}");
    }
    assert!(refused >= 4, "{refused}");
}
