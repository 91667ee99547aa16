//! A forged datastore with one machine whose parts can be lost.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use vmglean_forge::{
    damage::{Cipher, KeyStream, Trailer},
    estate::guest,
    scale,
    vm::{
        checkpoint::{MAGICS, disk_only, suspended},
        log::{Form, Log},
        nvram,
        text::{Machine, Snapshot, vmsd, vmxf},
    },
    vmdk::{
        Disk,
        descriptor::{DescriptorSpec, ExtentLine},
        sesparse::{self, SeSparseSpec},
    },
};
use vmglean_formats::dict::Dictionary;

const DISK_BYTES: usize = 2 << 20;

/// A datastore `ds` with the machine `srv`, and a place for output beside it.
pub(crate) struct Estate {
    dir: TempDir,
    /// What the base disk holds.
    pub(crate) content: Vec<u8>,
}

/// Key and value of every line, keys in lower case.
pub(crate) fn keys(text: &[u8]) -> BTreeMap<String, String> {
    let read = Dictionary::parse("vmx", text).value;
    read.effective().map(|(key, entry)| (key.to_owned(), entry.value.clone())).collect()
}

/// Path, length and hash of every file below a folder.
pub(crate) fn tree(folder: &Path) -> BTreeMap<PathBuf, (u64, String)> {
    let mut found = BTreeMap::new();
    for entry in walkdir::WalkDir::new(folder) {
        let entry = entry.unwrap();
        if entry.file_type().is_file() {
            let bytes = fs::read(entry.path()).unwrap();
            let hash = Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect();
            let path = entry.path().strip_prefix(folder).unwrap().to_path_buf();
            found.insert(path, (bytes.len() as u64, hash));
        }
    }
    found
}

pub(crate) fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; length];
    KeyStream::new(seed, Cipher::Stream).encrypt(&mut bytes, 0, 0);
    bytes
}

impl Estate {
    /// One machine with a flat disk, a snapshot list and a checkpoint.
    pub(crate) fn new() -> Self {
        Self::made("srv.vmdk")
    }

    /// The same, running on a seSparse delta.
    pub(crate) fn with_delta() -> Self {
        let estate = Self::made("srv-000001.vmdk");
        let sectors = (DISK_BYTES / 512) as u64;
        let mut delta = DescriptorSpec::new(
            "seSparse",
            ExtentLine::new(sectors, "SESPARSE", "srv-000001-sesparse.vmdk"),
        )
        .child_of(0x1234_5678, "srv.vmdk");
        delta.cid = 0x9abc_def0;
        delta.ddb =
            vec![("longContentID".into(), "000000000000000000000000 9abcdef0".replace(' ', ""))];
        estate.put("srv-000001.vmdk", delta.text().as_bytes());
        let disk = Disk::new(sectors).write(1 << 20, scale::text(9, 64 << 10));
        let forged = sesparse::write(&disk, &SeSparseSpec::default());
        forged.image.write_to(&estate.file("srv-000001-sesparse.vmdk")).unwrap();
        let snapshot = Snapshot {
            uid: 1,
            parent: None,
            file: "srv-Snapshot1.vmsn".into(),
            name: "before patch".into(),
            created_us: 1_600_000_000_000_000,
            disks: vec![("scsi0:0".into(), "srv.vmdk".into())],
        };
        estate.put("srv.vmsd", &vmsd(&[snapshot], 1, false));
        estate
    }

    fn made(leaf: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("ds/srv")).unwrap();
        // One bootable Linux partition with a volume in it, as long as the disk.
        let content = guest::linux_mbr(DISK_BYTES, "srv", 3);
        let estate = Self { dir, content };
        let mut machine = Machine::server("srv");
        machine.disks = vec![("scsi0:0".into(), leaf.into())];
        machine.extra = vec![
            ("scsi0.present".into(), "TRUE".into()),
            ("scsi0.virtualDev".into(), "pvscsi".into()),
        ];
        let vmx = machine.vmx();
        estate.put("srv.vmx", &vmx);
        let store = nvram::efi(&[("BootOrder", &[0, 0])]);
        estate.put("srv.nvram", &store);
        estate.put("srv.vmxf", &vmxf("srv.vmx"));
        estate.put("srv.vmsd", b"");
        estate.put("srv.vmsd", b".encoding = \"UTF-8\"\n");
        estate.put("srv-Snapshot1.vmsn", &disk_only(MAGICS[2], &vmx, &store, &vmxf("srv.vmx")));
        let mut log = Log::new(Form::Bracket);
        log.start()
            .power_on("/vmfs/volumes/ds/srv/srv.vmx", &machine.pairs(), true)
            .line("ConfigDB: Setting cleanShutdown = \"FALSE\"")
            .line("Tools: running");
        estate.put("vmware.log", &log.bytes());
        let sectors = (DISK_BYTES / 512) as u64;
        let mut base =
            DescriptorSpec::new("vmfs", ExtentLine::new(sectors, "VMFS", "srv-flat.vmdk"));
        base.cid = 0x1234_5678;
        estate.put("srv.vmdk", base.text().as_bytes());
        estate.put("srv-flat.vmdk", &estate.content);
        estate
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("ds")
    }

    pub(crate) fn out(&self) -> PathBuf {
        self.dir.path().join("out")
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join("ds/srv").join(name)
    }

    pub(crate) fn put(&self, name: &str, bytes: &[u8]) {
        fs::write(self.file(name), bytes).unwrap();
    }

    /// Encrypts a file of the machine in place, whole.
    pub(crate) fn encrypt(&self, name: &str) {
        let length = fs::metadata(self.file(name)).unwrap().len() as usize;
        self.put(name, &noise(length, 11));
    }

    /// Appends what Babuk appends.
    pub(crate) fn append_footer(&self, name: &str) {
        let mut bytes = fs::read(self.file(name)).unwrap();
        let footer = Trailer::Opaque { random: 32, marker: b"INC".to_vec() };
        bytes.extend(footer.bytes(bytes.len() as u64, 5));
        self.put(name, &bytes);
    }

    /// Adds a copy of the machine in another folder under another display name.
    pub(crate) fn copy_as(&self, folder: &str, name: &str) {
        let to = self.dir.path().join("ds").join(folder);
        fs::create_dir_all(&to).unwrap();
        for entry in fs::read_dir(self.file("")).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
        let machine = Machine::server("srv");
        let mut pairs = machine.pairs();
        for (key, value) in &mut pairs {
            if key == "displayName" {
                name.clone_into(value);
            }
        }
        let text = vmglean_forge::vm::text::dictionary(Some("UTF-8"), &pairs);
        fs::write(to.join("srv.vmx"), text).unwrap();
    }

    /// Adds a state file with memory, inside it or beside it.
    pub(crate) fn suspend(&self, name: &str, inline: bool) {
        let vmx = fs::read(self.file("srv.vmx")).unwrap();
        let (store, foundry) = (nvram::bios(), vmxf("srv.vmx"));
        self.put(name, &suspended(MAGICS[2], [&vmx, &store, &foundry], 256, inline));
        if !inline {
            let image = self.file(name).with_extension("vmem");
            fs::write(image, vec![5; 256 * 4096]).unwrap();
        }
    }
}
