//! Where results may be written: never inside a source, never over what is there.

use std::{
    io::{self, Write as _},
    path::{Path, PathBuf},
};

/// Something a safety rule forbids.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The output lies inside a source.
    #[error("{} lies inside the source {}; nothing is written there: name a place outside", output.display(), evidence.display())]
    InsideSource {
        /// The output asked for.
        output: PathBuf,
        /// The source it lies in.
        evidence: PathBuf,
    },
    /// A source lies inside the output.
    #[error("the source {} lies inside {}; nothing is written round it: name a folder of its own", evidence.display(), output.display())]
    AroundSource {
        /// The output asked for.
        output: PathBuf,
        /// The source inside it.
        evidence: PathBuf,
    },
    /// The output's file system has too little room.
    #[error("{} has room for {free} bytes, {needed} are needed; nothing was written", output.display())]
    TooSmall {
        /// The output asked for.
        output: PathBuf,
        /// Bytes that would be written.
        needed: u64,
        /// Bytes there are.
        free: u64,
    },
    /// The output is there already.
    #[error("{} is there already; --overwrite replaces it", .0.display())]
    Exists(PathBuf),
    /// Another rule.
    #[error("{0}")]
    Rule(String),
}

fn folder_of(output: &Path) -> &Path {
    match output.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Checks that `output` may be created: outside every source, and free unless `overwrite`.
///
/// # Errors
/// [`Refusal`], or an I/O error when the folder it is to lie in is not there.
pub fn check_output(output: &Path, sources: &[PathBuf], overwrite: bool) -> anyhow::Result<()> {
    // Compared with links resolved: a link into the evidence is still the evidence.
    let folder = folder_of(output).canonicalize().map_err(|error| {
        anyhow::Error::new(error).context(format!("the folder of {}", output.display()))
    })?;
    let place = output
        .canonicalize()
        .unwrap_or_else(|_| folder.join(output.file_name().unwrap_or_default()));
    for source in sources {
        let Ok(real) = source.canonicalize() else { continue };
        let kept = if real.is_dir() { real } else { real.parent().unwrap_or(&real).to_path_buf() };
        if place.starts_with(&kept) || folder.starts_with(&kept) {
            return Err(Refusal::InsideSource {
                output: output.to_path_buf(),
                evidence: source.clone(),
            }
            .into());
        }
    }
    match output.symlink_metadata() {
        Ok(_) if !overwrite => Err(Refusal::Exists(output.to_path_buf()).into()),
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(anyhow::Error::new(error).context(output.display().to_string()))
        }
        _ => Ok(()),
    }
}

/// Writes a whole file under a temporary name, syncs it, and gives it its name in one step.
///
/// # Errors
/// The system's error, with the path.
pub fn write_whole(output: &Path, content: &[u8], overwrite: bool) -> anyhow::Result<()> {
    let write = || -> io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(folder_of(output))?;
        file.write_all(content)?;
        file.as_file().sync_all()?;
        if overwrite {
            file.persist(output).map_err(|e| e.error)?;
        } else {
            file.persist_noclobber(output).map_err(|e| e.error)?;
        }
        Ok(())
    };
    write().map_err(|error| {
        anyhow::Error::new(error).context(format!("cannot write {}", output.display()))
    })
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn an_output_inside_a_source_or_over_a_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let source = dir.path().join("ds");
        fs::create_dir_all(source.join("vm")).unwrap();
        fs::write(source.join("vm/disk.vmdk"), b"").unwrap();
        fs::write(dir.path().join("there"), b"").unwrap();
        symlink(&source, dir.path().join("link")).unwrap();
        let check = |name: &str, overwrite| {
            check_output(&dir.path().join(name), std::slice::from_ref(&source), overwrite)
                .map_err(|e| e.to_string().replace(&dir.path().display().to_string(), ""))
        };
        assert_eq!(check("new", false), Ok(()));
        assert_eq!(check("there", true), Ok(()));
        let said = check("there", false).unwrap_err();
        assert_eq!(said, "/there is there already; --overwrite replaces it");
        for inside in ["ds/new", "ds/vm/new", "link/new", "ds/vm/disk.vmdk"] {
            assert!(
                check(inside, true).unwrap_err().contains("lies inside the source"),
                "{inside}"
            );
        }
        assert!(check("no-folder/new", false).unwrap_err().contains("the folder of"));
    }
}
