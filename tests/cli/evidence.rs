//! Evidence is read and nothing else: not a byte, not a time, not a name of it changes.

use std::{
    collections::BTreeMap,
    fs::{self, File, FileTimes},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, SystemTime},
};

use crate::run::{folder, made, tool, vmglean};

/// Everything that a look from outside can tell of a file or folder.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    content: Option<Vec<u8>>,
    length: u64,
    mode: u32,
    inode: u64,
    links: u64,
}

fn look(root: &Path) -> BTreeMap<PathBuf, Seen> {
    let entries = walkdir::WalkDir::new(root).into_iter().map(Result::unwrap);
    // Times first: reading the content is a read like any other.
    let metas: Vec<_> =
        entries.map(|entry| (entry.path().to_path_buf(), entry.metadata().unwrap())).collect();
    metas
        .into_iter()
        .map(|(path, meta)| {
            let seen = Seen {
                content: meta.is_file().then(|| fs::read(&path).unwrap()),
                length: meta.len(),
                mode: meta.mode(),
                inode: meta.ino(),
                links: meta.nlink(),
            };
            (path, seen)
        })
        .collect()
}

#[test]
fn sweeping_and_inspecting_leave_every_file_as_it_was() {
    let place = folder();
    let root = place.path().join("ds");
    made().write(&root).unwrap();
    // The look itself reads; times are set back and looked at once more behind it.
    let before = look(&root);
    age(&root);
    let reset = look_times(&root);
    for args in [
        &["sweep", "ds"][..],
        &["sweep", "--full", "--json", "--state", "state", "--html", "page.html", "ds"],
        &["sweep", "--jsonl", "--jobs", "4", "ds"],
    ] {
        assert_eq!(vmglean(place.path(), args).code, Some(1), "{args:?}");
    }
    let files: Vec<String> = before
        .iter()
        .filter(|(_, seen)| seen.content.is_some())
        .map(|(path, _)| path.to_str().unwrap().to_owned())
        .collect();
    let mut args = vec!["inspect", "--jsonl"];
    args.extend(files.iter().map(String::as_str));
    assert_eq!(vmglean(place.path(), &args).code, Some(1));
    assert_eq!(look_times(&root), reset, "access times changed");
    let after = look(&root);
    assert_eq!(after.keys().collect::<Vec<_>>(), before.keys().collect::<Vec<_>>());
    for (path, seen) in &after {
        let was = &before[path];
        assert!(seen.content == was.content, "{} has other content", path.display());
        let facts = |s: &Seen| (s.length, s.mode, s.inode, s.links);
        assert_eq!(facts(seen), facts(was), "{}", path.display());
    }
}

/// Makes every file last read and written long ago, so that any read would show.
fn age(root: &Path) {
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_600_000_000);
    for entry in walkdir::WalkDir::new(root).into_iter().map(Result::unwrap) {
        if entry.file_type().is_file() {
            let times = FileTimes::new().set_accessed(long_ago).set_modified(long_ago);
            File::options().write(true).open(entry.path()).unwrap().set_times(times).unwrap();
        }
    }
}

/// Access, content and status times of every file, without reading one.
fn look_times(root: &Path) -> BTreeMap<PathBuf, [i64; 6]> {
    walkdir::WalkDir::new(root)
        .into_iter()
        .map(Result::unwrap)
        .filter(|entry| entry.file_type().is_file())
        .map(|entry| {
            let m = entry.metadata().unwrap();
            let times =
                [m.atime(), m.atime_nsec(), m.mtime(), m.mtime_nsec(), m.ctime(), m.ctime_nsec()];
            (entry.path().to_path_buf(), times)
        })
        .collect()
}

/// Calls that change a file or folder by its name or descriptor.
const CHANGING: [&str; 24] = [
    "unlink",
    "rename",
    "mkdir",
    "rmdir",
    "chmod",
    "chown",
    "truncate",
    "utime",
    "mknod",
    "symlink",
    "link(",
    "linkat",
    "setxattr",
    "removexattr",
    "fallocate",
    "creat(",
    "pwrite",
    "futimesat",
    "lchown",
    "fchmod",
    "fchown",
    "ftruncate",
    "copy_file_range",
    "sendfile",
];

#[test]
fn the_system_sees_no_call_that_could_change_evidence() {
    let place = folder();
    let root = place.path().join("evidence-root");
    made().write(&root).unwrap();
    let victim = place.path().join("victim.bin");
    fs::write(&victim, vec![b'V'; 4096]).unwrap();
    let text = crate::run::descriptor(8, victim.to_str().unwrap(), 1, crate::run::BASE);
    fs::create_dir(root.join("trap")).unwrap();
    fs::write(root.join("trap/disk.vmdk"), text).unwrap();
    let commands: [&[&str]; 2] = [
        &["sweep", "--full", "--state", "state", "--html", "page.html", "evidence-root"],
        &["inspect", "evidence-root/trap/disk.vmdk", "evidence-root/ds-lyon/hr01/hr01-000001.vmdk"],
    ];
    for (n, args) in commands.into_iter().enumerate() {
        let log = place.path().join(format!("trace-{n}"));
        let status = Command::new("strace")
            .args(["-f", "-y", "-s", "4096", "-e", "trace=%file,%desc", "-o"])
            .arg(&log)
            .arg(env!("CARGO_BIN_EXE_vmglean"))
            .args(args)
            .current_dir(place.path())
            .output();
        let status = status.expect("strace (see tests/run)").status;
        assert_eq!(status.code(), Some(1), "{args:?}");
        let trace = fs::read_to_string(&log).unwrap();
        let opened = trace.lines().filter(|line| line.contains("evidence-root")).count();
        assert!(opened > 3, "the trace is not that of a run: {opened} lines");
        for line in trace.lines() {
            let call = line.split_once(' ').map_or(line, |(_, call)| call.trim_start());
            // What is written may speak of the evidence, where it goes may not lie in it.
            if call.starts_with("write") {
                let to = call.split(',').next().unwrap_or_default();
                assert!(!to.contains("evidence-root"), "{line}");
            } else if call.contains("evidence-root") {
                let writes = ["O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC", "O_APPEND"];
                assert!(!writes.iter().any(|flag| call.contains(flag)), "{line}");
                assert!(!CHANGING.iter().any(|name| call.starts_with(name)), "{line}");
            }
            // What a descriptor names outside the source is not even looked at.
            assert!(!call.contains("victim.bin\"") || call.starts_with("read"), "{line}");
        }
    }
    assert_eq!(tool(place.path(), "cat", &["victim.bin"]), "V".repeat(4096));
}
