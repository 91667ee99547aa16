//! The govmomi simulator, built from Debian's Go packages and started for a test.

use std::{
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::OnceLock,
};

use sha2::{Digest as _, Sha256};

pub fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vsphere")
}

fn binary() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let source = here().join("vcsim/main.go");
        let text = std::fs::read(&source).unwrap();
        let hash: String =
            Sha256::digest(&text).iter().take(6).map(|b| format!("{b:02x}")).collect();
        let binary = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("vcsim-{hash}"));
        if !binary.exists() {
            let half = binary.with_extension("half");
            let built = Command::new("go")
                .args(["build", "-o"])
                .args([&half, &source])
                .env("GO111MODULE", "off")
                .env("GOPATH", "/usr/share/gocode")
                .status()
                .expect("go is missing; tests/run installs it");
            assert!(
                built.success(),
                "the simulator does not build; tests/run installs its packages"
            );
            std::fs::rename(half, &binary).unwrap();
        }
        binary
    })
}

/// A running simulator; it ends when its standard input closes.
pub struct Sim {
    child: Child,
    pub url: String,
}

impl Sim {
    pub fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(binary())
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.starts_with("http"), "the simulator says {line:?}");
        Self { child, url: line.trim().to_owned() }
    }

    pub fn address(&self) -> &str {
        self.url.rsplit('/').next().unwrap()
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}
