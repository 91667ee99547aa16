//! Disks for tests: chains as qemu-img makes them, and what is done to them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// Runs a tool that must succeed.
pub(crate) fn tool(folder: &Path, name: &str, args: &[&str]) -> String {
    let output = Command::new(name).args(args).current_dir(folder).output();
    let output = output.unwrap_or_else(|error| panic!("{name} (see tests/run): {error}"));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{name} {args:?}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Runs the program.
pub(crate) fn vmglean(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_vmglean"))
        .args(args)
        .current_dir(folder)
        .env("COLUMNS", "100")
        .output()
        .unwrap()
}

/// Exit code, standard output and standard error.
pub(crate) fn said(output: &Output) -> (i32, String, String) {
    (
        output.status.code().unwrap_or(-1),
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

/// A folder that holds `ds` for the evidence and `out` for what is made.
pub(crate) struct Case {
    folder: tempfile::TempDir,
}

impl Case {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("ds")).unwrap();
        fs::create_dir(folder.path().join("out")).unwrap();
        Self { folder }
    }

    pub(crate) fn root(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn ds(&self) -> PathBuf {
        self.folder.path().join("ds")
    }

    pub(crate) fn out(&self) -> PathBuf {
        self.folder.path().join("out")
    }

    /// A base of 64 MiB with letters in its first MiB and others in the MiB at 10 MiB.
    pub(crate) fn base(&self, options: &str) {
        self.qemu("qemu-img", &["create", "-q", "-f", "vmdk", "-o", options, "base.vmdk", "64M"]);
        self.write("base.vmdk", &[&self.letters(1, "0 1M"), &self.letters(2, "10M 1M")]);
    }

    /// A base of 40 MiB of text, noise and zeros.
    pub(crate) fn mixed_base(&self, subformat: &str) {
        let raw = self.root().join("base.raw");
        fs::write(&raw, mixed(40 << 20, 7)).unwrap();
        let options = format!("subformat={subformat}");
        let raw = raw.to_str().unwrap();
        self.qemu(
            "qemu-img",
            &["convert", "-f", "raw", "-O", "vmdk", "-o", &options, raw, "base.vmdk"],
        );
    }

    /// A child of `parent`, with what `writes` puts into it.
    pub(crate) fn child(&self, parent: &str, name: &str, writes: &[&str]) {
        self.qemu("qemu-img", &["create", "-q", "-f", "vmdk", "-b", parent, "-F", "vmdk", name]);
        self.write(name, writes);
    }

    /// qemu-io's command that writes letters; one byte over and over would look like a wiped disk.
    fn letters(&self, seed: u64, place: &str) -> String {
        let file = self.root().join(format!("letters{seed}"));
        fs::write(&file, letters(1 << 20, seed)).unwrap();
        format!("write -s {} {place}", file.display())
    }

    pub(crate) fn write(&self, name: &str, writes: &[&str]) {
        let mut args = vec!["-f", "vmdk"];
        for write in writes {
            args.extend(["-c", write]);
        }
        args.push(name);
        self.qemu("qemu-io", &args);
    }

    pub(crate) fn qemu(&self, name: &str, args: &[&str]) -> String {
        tool(&self.ds(), name, args)
    }

    /// base, s1 over it, s2 over that, and a snapshot list that names both frozen disks.
    pub(crate) fn three_links(&self) {
        self.base("subformat=monolithicSparse");
        self.child("base.vmdk", "s1.vmdk", &[&self.letters(3, "0 64k")]);
        self.child("s1.vmdk", "s2.vmdk", &[&self.letters(4, "20M 64k")]);
        let mut text = String::from("snapshot.current = \"2\"\nsnapshot.numSnapshots = \"2\"\n");
        for (n, (name, disk, high)) in
            [("before patch", "base.vmdk", 400_000), ("after patch", "s1.vmdk", 400_100)]
                .into_iter()
                .enumerate()
        {
            let (uid, parent) = (n + 1, n);
            text += &format!(
                "snapshot{n}.uid = \"{uid}\"\nsnapshot{n}.parent = \"{parent}\"\n\
                 snapshot{n}.filename = \"vm-{uid}.vmsn\"\nsnapshot{n}.displayName = \"{name}\"\n\
                 snapshot{n}.createTimeHigh = \"{high}\"\nsnapshot{n}.createTimeLow = \"1\"\n\
                 snapshot{n}.numDisks = \"1\"\nsnapshot{n}.disk0.fileName = \"{disk}\"\n\
                 snapshot{n}.disk0.node = \"scsi0:0\"\n"
            );
        }
        fs::write(self.ds().join("vm.vmsd"), text).unwrap();
    }

    /// Replaces a text of equal length inside a file.
    pub(crate) fn patch(&self, name: &str, from: &str, to: &str) {
        assert_eq!(from.len(), to.len());
        let path = self.ds().join(name);
        let mut bytes = fs::read(&path).unwrap();
        let at = bytes
            .windows(from.len())
            .position(|part| part == from.as_bytes())
            .unwrap_or_else(|| panic!("{name} holds no {from:?}"));
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
        fs::write(path, bytes).unwrap();
    }

    /// Gives a disk of qemu-img's another CID. They may differ in length: it leaves leading zeros out.
    pub(crate) fn set_cid(&self, name: &str, from: &str, to: &str) {
        let path = self.ds().join(name);
        let mut bytes = fs::read(&path).unwrap();
        // Where qemu-img embeds the descriptor, and how much room it has there.
        let room = &mut bytes[512..512 + 20 * 512];
        let text = String::from_utf8_lossy(room).trim_end_matches('\0').to_owned();
        let text = text.replacen(&format!("\nCID={from}\n"), &format!("\nCID={to}\n"), 1);
        room.fill(0);
        room[..text.len()].copy_from_slice(text.as_bytes());
        fs::write(path, bytes).unwrap();
    }

    /// The value of a key in the descriptor inside a file.
    pub(crate) fn key(&self, name: &str, key: &str) -> String {
        let bytes = fs::read(self.ds().join(name)).unwrap();
        let text = String::from_utf8_lossy(&bytes[..bytes.len().min(4096)]).into_owned();
        let from = text.find(&format!("\n{key}=")).unwrap() + key.len() + 2;
        text[from..].lines().next().unwrap().to_owned()
    }

    /// The chain record of a leaf, and the exit code.
    pub(crate) fn chain(&self, leaf: &str, more: &[&str]) -> (i32, serde_json::Value) {
        let mut args = vec!["chain", leaf, "--json", "--reproducible"];
        args.extend(more);
        let (code, out, err) = said(&vmglean(&self.ds(), &args));
        let record = serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out}{err}"));
        (code, record)
    }
}

/// Bytes as disks hold them: text, letters at random, zeros, in pieces of odd length. Nothing of it
/// looks encrypted.
pub(crate) fn mixed(length: usize, seed: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(length);
    let mut state = seed | 1;
    let mut piece = 0_u64;
    while out.len() < length {
        piece += 1;
        let take = 3000 + (piece * 7919 % 400_000) as usize;
        let take = take.min(length - out.len());
        match piece % 4 {
            0 => out.resize(out.len() + take, 0),
            1 | 2 => {
                for n in 0..take {
                    state ^= state << 13;
                    state ^= state >> 7;
                    state ^= state << 17;
                    out.push(if piece % 4 == 1 {
                        b'A' + (state >> 32) as u8 % 48
                    } else {
                        b"the quick brown fox "[n % 20]
                    });
                }
            }
            _ => out.extend((0..take).map(|n| (n / 100) as u8)),
        }
    }
    out
}

/// Letters at random: different in every place, yet nothing like ciphertext.
pub(crate) fn letters(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        b'A' + (state >> 32) as u8 % 48
    };
    (0..length).map(|_| next()).collect()
}

/// The lines of a JSONL text.
pub(crate) fn lines(text: &str) -> Vec<serde_json::Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The codes of a record's findings.
pub(crate) fn codes(record: &serde_json::Value) -> Vec<String> {
    let findings = record["findings"].as_array().cloned().unwrap_or_default();
    findings.iter().map(|f| f["code"].as_str().unwrap_or_default().to_owned()).collect()
}
