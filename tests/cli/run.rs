//! Runs the program and the tools beside it, and makes what it is run on.

use std::{
    ffi::OsStr,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::OnceLock,
};

use serde_json::Value;
use tempfile::TempDir;
use vmglean_forge::{
    estate::{self, Estate},
    vm::text::Machine,
};

/// How a run ended and what it said.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Done {
    pub(crate) code: Option<i32>,
    pub(crate) out: Vec<u8>,
    pub(crate) err: String,
}

impl Done {
    pub(crate) fn of(output: Output) -> Self {
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        Self { code: output.status.code(), out: output.stdout, err }
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.out).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.out).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }
}

/// The program, not yet run.
pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vmglean"));
    command.env("COLUMNS", "100");
    command
}

/// Runs the program in `folder`.
pub(crate) fn vmglean<A: AsRef<OsStr>>(folder: &Path, args: &[A]) -> Done {
    Done::of(program().current_dir(folder).args(args).output().unwrap())
}

/// Runs it as a user whom file modes bind; as root that is somebody else.
pub(crate) fn unprivileged(folder: &Path, args: &[&str]) -> Done {
    if fs::metadata("/proc/self/mem").is_ok() && !is_root() {
        return vmglean(folder, args);
    }
    // The build folder may be closed to others: the program goes where they can reach it.
    static COPY: OnceLock<TempDir> = OnceLock::new();
    let copy = COPY.get_or_init(|| {
        let copy = tempfile::tempdir().unwrap();
        open_to_all(copy.path());
        fs::copy(env!("CARGO_BIN_EXE_vmglean"), copy.path().join("vmglean")).unwrap();
        copy
    });
    let output = Command::new("setpriv")
        .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
        .arg(copy.path().join("vmglean"))
        .args(args)
        .current_dir(folder)
        .env("COLUMNS", "100")
        .output();
    Done::of(output.expect("setpriv (see tests/run)"))
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    fs::metadata("/proc/self").unwrap().uid() == 0
}

pub(crate) fn open_to_all(folder: &Path) {
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
}

/// Runs a tool that must succeed.
pub(crate) fn tool(folder: &Path, name: &str, args: &[&str]) -> String {
    let output = Command::new(name).args(args).current_dir(folder).output();
    let output = output.unwrap_or_else(|error| panic!("{name} (see tests/run): {error}"));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{name} {args:?}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// An empty folder that everybody may enter.
pub(crate) fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    open_to_all(folder.path());
    folder
}

/// Where `samples/estate` lies.
pub(crate) fn samples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("samples/estate")
}

/// The sample estate, made once.
pub(crate) fn made() -> &'static Estate {
    static MADE: OnceLock<Estate> = OnceLock::new();
    MADE.get_or_init(estate::make)
}

/// The sample machine `name` (a part of its folder's path), alone, as `folder/NAME`.
pub(crate) fn sample_machine(folder: &Path, name: &str) {
    let made = made();
    let inside = format!("/{name}/");
    for (path, content) in &made.files {
        if let Some((_, file)) = path.split_once(&inside) {
            // The disk that nobody names stays out: it is no part of the machine.
            if file.contains("_1-flat") {
                continue;
            }
            fs::create_dir_all(folder.join(name)).unwrap();
            fs::write(folder.join(name).join(file), content).unwrap();
        }
    }
}

/// A configuration in `folder` that names `disk`.
pub(crate) fn configure(folder: &Path, disk: &str) {
    let name = folder.file_name().unwrap().to_string_lossy().into_owned();
    let mut machine = Machine::server(&name);
    machine.disks[0].1 = disk.to_owned();
    fs::write(folder.join(format!("{name}.vmx")), machine.vmx()).unwrap();
}

/// A descriptor of `sectors` with one extent, and further header lines.
pub(crate) fn descriptor(sectors: u64, extent: &str, cid: u32, more: &str) -> String {
    format!(
        "# Disk DescriptorFile\nversion=1\nencoding=\"UTF-8\"\nCID={cid:08x}\n{more}\
         createType=\"vmfs\"\n\nRW {sectors} VMFS \"{extent}\"\n\n\
         ddb.adapterType = \"lsilogic\"\nddb.virtualHWVersion = \"14\"\n"
    )
}

/// The line that says "no parent".
pub(crate) const BASE: &str = "parentCID=ffffffff\n";

/// The one machine of the record whose folder ends so.
pub(crate) fn machine<'a>(record: &'a Value, folder: &str) -> &'a Value {
    let fits = |m: &&Value| m["folder"].as_str().is_some_and(|path| path.ends_with(folder));
    let mut found = record["machines"].as_array().unwrap().iter().filter(fits);
    let first = found.next().unwrap_or_else(|| panic!("no machine in {folder}: {record:#}"));
    assert!(found.next().is_none(), "more than one machine in {folder}");
    first
}

/// Codes of the findings in `of`, those of mere notes left out.
pub(crate) fn codes(of: &Value) -> Vec<String> {
    let findings = of["findings"].as_array().map_or(&[][..], Vec::as_slice);
    let heavy = findings.iter().filter(|finding| finding["weight"] != "note");
    heavy.map(|finding| finding["code"].as_str().unwrap().to_owned()).collect()
}

/// Runs the program with something done to it at one of its reads.
pub(crate) fn shimmed(folder: &Path, args: &[&str], file: &str, at: u32, act: &str) -> Done {
    static SHIM: OnceLock<TempDir> = OnceLock::new();
    let shim = SHIM.get_or_init(|| {
        let out = tempfile::tempdir().unwrap();
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cli/shim.c");
        tool(out.path(), "cc", &["-shared", "-fPIC", "-O1", "-o", "shim.so", source, "-ldl"]);
        out
    });
    let output = program()
        .current_dir(folder)
        .args(args)
        .env("LD_PRELOAD", shim.path().join("shim.so"))
        .env("SHIM_FILE", file)
        .env("SHIM_AT", at.to_string())
        .env("SHIM_DO", act)
        .output();
    Done::of(output.unwrap())
}
