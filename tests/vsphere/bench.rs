//! A place to work in: machines to redeploy, a simulator, the proxy before it, the command.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::Mutex,
};

use sha2::{Digest as _, Sha256};

use crate::{
    proxy::Proxy,
    sim::{Sim, here},
};

pub struct Bench {
    pub dir: tempfile::TempDir,
    pub proxy: Proxy,
    pub sim: Sim,
    host: &'static str,
    pin: Option<String>,
}

pub fn bench(arguments: &[&str]) -> Bench {
    let dir = tempfile::tempdir().unwrap();
    let sim = Sim::start(arguments);
    let proxy = Proxy::start(sim.address(), dir.path().join("wire"));
    fs::create_dir(dir.path().join("src")).unwrap();
    // The simulated vCenter makes a port group on one host only.
    let host = if arguments.contains(&"-esx") { "" } else { "DC0_H0" };
    Bench { dir, proxy, sim, host, pin: None }
}

pub const PASSWORD: &str = "secret";

pub fn vmglean() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vmglean"));
    command.env_clear().env("GOVC_USERNAME", "root").env("GOVC_PASSWORD", PASSWORD);
    command
}

pub fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

impl Bench {
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A machine with a flat disk of `size` bytes of its own.
    pub fn flat(&self, name: &str, size: usize) -> Vec<u8> {
        let data = noise(name, size);
        let folder = self.path("src").join(name);
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join(format!("{name}-flat.vmdk")), &data).unwrap();
        let sectors = size / 512;
        let descriptor = format!(
            "# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\ncreateType=\"vmfs\"\nRW {sectors} VMFS \"{name}-flat.vmdk\"\nddb.adapterType = \"lsilogic\"\nddb.virtualHWVersion = \"13\"\n"
        );
        fs::write(folder.join(format!("{name}.vmdk")), descriptor).unwrap();
        fs::write(folder.join(format!("{name}.vmx")), vmx(name)).unwrap();
        data
    }

    /// The same with a stream-optimized disk.
    pub fn stream(&self, name: &str, size: usize) -> Vec<u8> {
        let data = noise(name, size);
        let folder = self.path("src").join(name);
        fs::create_dir(&folder).unwrap();
        let raw = self.path("raw");
        fs::write(&raw, &data).unwrap();
        let made = Command::new("qemu-img")
            .args(["convert", "-f", "raw", "-O", "vmdk", "-o"])
            .arg("subformat=streamOptimized,adapter_type=lsilogic,hwversion=13")
            .arg(&raw)
            .arg(folder.join(format!("{name}.vmdk")))
            .status()
            .expect("qemu-img is missing; tests/run installs it");
        assert!(made.success());
        fs::write(folder.join(format!("{name}.vmx")), vmx(name)).unwrap();
        data
    }

    pub fn plan(&self) -> Output {
        self.plan_of(&[&self.path("src")])
    }

    pub fn plan_of(&self, sources: &[&Path]) -> Output {
        vmglean()
            .env("GOVC_HOST", self.host)
            .args(["redeploy", "plan"])
            .args(sources)
            .args(["--server", &self.proxy.url(), "--case", "C-1", "-o"])
            .arg(self.path("plan.toml"))
            .arg("--overwrite")
            .output()
            .unwrap()
    }

    pub fn edit(&self, change: impl Fn(String) -> String) {
        let path = self.path("plan.toml");
        let text = fs::read_to_string(&path).unwrap();
        fs::write(path, change(text)).unwrap();
    }

    pub fn apply(&self, more: &[&str]) -> Output {
        self.applying(more).output().unwrap()
    }

    pub fn applying(&self, more: &[&str]) -> Command {
        let mut command = vmglean();
        command.args(["redeploy", "apply"]).arg(self.path("plan.toml")).args(more);
        command
    }

    pub fn undo(&self, more: &[&str]) -> Output {
        vmglean()
            .args(["redeploy", "undo"])
            .arg(self.path("redeploy.journal.jsonl"))
            .args(more)
            .output()
            .unwrap()
    }

    /// From now on the machines are those of this server.
    pub fn trusting(&mut self, sim: Sim, thumbprint: &str) {
        (self.sim, self.pin) = (sim, Some(thumbprint.to_owned()));
    }

    /// The machines as our own client lists them.
    pub fn machines(&self) -> Vec<vmglean::redeploy::estate::Existing> {
        use vmglean::redeploy::{
            estate,
            vsphere::{Address, Credentials, Server, Trust},
        };
        let address = Address::parse(&self.sim.url).unwrap();
        let login = Credentials::new("root", PASSWORD);
        let trust =
            self.pin.as_ref().map_or(Trust::Nothing, |pin| Trust::Pin(pin.parse().unwrap()));
        let server = Server::connect(&address, login, trust).unwrap();
        estate::machines(&server).unwrap()
    }

    pub fn count(&self, name: &str) -> usize {
        self.machines().iter().filter(|machine| machine.name == name).count()
    }

    /// Whether a whole upload of exactly these bytes arrived last under a name that ends so.
    pub fn arrived(&self, end: &str, data: &[u8]) -> bool {
        let last = self.proxy.uploads().into_iter().rfind(|upload| upload.path.ends_with(end));
        last.is_some_and(|upload| upload.whole && upload.sha256 == sha256(data))
    }

    /// Runs one of the Python checks; skips with a line where pyvmomi is not installed.
    pub fn python(&self, script: &str, arguments: &[&str]) -> Option<Output> {
        let library = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/pyvmomi");
        if !library.exists() {
            println!("skipped {script}: pyvmomi is not in target/pyvmomi; tests/run puts it there");
            return None;
        }
        let python = Command::new("python3")
            .arg(here().join(script))
            .args(arguments)
            .env("PYTHONPATH", library)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .output()
            .unwrap();
        Some(python)
    }

    /// Every request that went out is in the order and of the types that real servers insist on,
    /// at 6.5, 6.7, 7.0 and 8.0.3. Those that differ in values alone are looked at once.
    fn strict(&self) {
        static SEEN: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
        let wire = self.path("wire");
        let mut shapes = BTreeSet::new();
        for entry in fs::read_dir(&wire).unwrap() {
            let entry = entry.unwrap();
            if entry.file_name().to_string_lossy().starts_with("soap-") {
                shapes.insert(shape(&fs::read_to_string(entry.path()).unwrap()));
            }
        }
        let new: BTreeSet<String> = shapes.difference(&SEEN.lock().unwrap()).cloned().collect();
        if new.is_empty() {
            return;
        }
        if let Some(checked) = self.python("vim_strict.py", &[wire.to_str().unwrap()]) {
            assert!(checked.status.success(), "{}", text(&checked));
            SEEN.lock().unwrap().extend(new);
        }
    }
}

impl Drop for Bench {
    /// No test leaves without its requests being looked at.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.strict();
        }
    }
}

/// A body without its values.
fn shape(body: &str) -> String {
    let tags = body.split('<').map(|part| part.split_inclusive('>').next().unwrap_or_default());
    tags.collect::<Vec<_>>().join("<")
}

pub fn sha256(data: &[u8]) -> String {
    Sha256::digest(data).iter().map(|b| format!("{b:02x}")).collect()
}

/// The address of the card of a machine made here.
pub fn mac(name: &str) -> String {
    let hash = Sha256::digest(name);
    format!("00:50:56:{:02x}:{:02x}:{:02x}", hash[0] & 0x3f, hash[1], hash[2])
}

fn vmx(name: &str) -> String {
    let mac = mac(name);
    format!(
        ".encoding = \"UTF-8\"\nconfig.version = \"8\"\nvirtualHW.version = \"13\"\ndisplayName = \"{name}\"\nguestOS = \"ubuntu-64\"\nmemsize = \"512\"\nnumvcpus = \"2\"\nfirmware = \"efi\"\nscsi0.present = \"TRUE\"\nscsi0.virtualDev = \"pvscsi\"\nscsi0.pciSlotNumber = \"160\"\nscsi0:0.present = \"TRUE\"\nscsi0:0.deviceType = \"scsi-hardDisk\"\nscsi0:0.fileName = \"{name}.vmdk\"\nethernet0.present = \"TRUE\"\nethernet0.virtualDev = \"vmxnet3\"\nethernet0.networkName = \"Production\"\nethernet0.addressType = \"static\"\nethernet0.address = \"{mac}\"\n"
    )
}

/// Bytes that do not compress and differ from name to name.
pub fn noise(seed: &str, size: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(size);
    let mut counter = 0_u64;
    while out.len() < size {
        let mut hash = Sha256::new();
        hash.update(seed);
        hash.update(counter.to_le_bytes());
        out.extend_from_slice(&hash.finalize());
        counter += 1;
    }
    out.truncate(size);
    out
}
