//! Files of an output, and what must hold before the first byte is written.

use std::{
    ffi::OsString,
    fs::File,
    io::{self, Write},
    path::{Path, PathBuf},
};

use super::{Format, Refused};

/// Every file that a run writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    /// What was asked for: the disk, or the descriptor of a flat one.
    pub output: PathBuf,
    /// The file with the disk's bytes.
    pub data: PathBuf,
    /// The same under the name it has until it is proven.
    pub part: PathBuf,
    /// The record that a second run goes on from.
    pub record: PathBuf,
    /// Where every byte comes from.
    pub manifest: PathBuf,
    /// The output's files with their hashes, as hashdeep writes them.
    pub hashes: PathBuf,
    /// The same ranges as a GNU ddrescue map.
    pub map: PathBuf,
}

fn with_tail(path: &Path, tail: &str) -> PathBuf {
    let mut name: OsString = path.as_os_str().to_owned();
    name.push(tail);
    PathBuf::from(name)
}

impl Paths {
    /// The files of an output; `manifest` is [`None`] for `MANIFEST.jsonl` beside it.
    #[must_use]
    pub fn of(output: &Path, format: Format, manifest: Option<&Path>) -> Self {
        let folder = match output.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder.to_path_buf(),
            _ => PathBuf::from("."),
        };
        let data = if format == Format::Flat {
            let name = output.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let stem = match name.to_ascii_lowercase().strip_suffix(".vmdk") {
                Some(stem) => name.get(..stem.len()).unwrap_or(&name).to_owned(),
                None => name.clone(),
            };
            folder.join(format!("{stem}-flat.vmdk"))
        } else {
            output.to_path_buf()
        };
        let manifest = manifest.map_or_else(|| folder.join("MANIFEST.jsonl"), Path::to_path_buf);
        Self {
            part: with_tail(&data, ".part"),
            record: with_tail(output, ".record"),
            hashes: manifest.with_extension("hashdeep"),
            map: with_tail(output, ".map"),
            output: output.to_path_buf(),
            data,
            manifest,
        }
    }

    /// What must not be there before a run begins.
    #[must_use]
    pub fn finals(&self) -> Vec<&Path> {
        let mut all = vec![self.output.as_path()];
        if self.data != self.output {
            all.push(&self.data);
        }
        all.extend([self.manifest.as_path(), &self.hashes, &self.map]);
        all
    }

    /// The manifest until it is whole.
    pub(super) fn manifest_part(&self) -> PathBuf {
        with_tail(&self.manifest, ".part")
    }

    /// The map until it is whole.
    pub(super) fn map_part(&self) -> PathBuf {
        with_tail(&self.map, ".part")
    }
}

/// Refuses outputs that are there.
pub(super) fn check_free(paths: &Paths, overwrite: bool) -> Result<(), Refused> {
    if overwrite {
        return Ok(());
    }
    for path in paths.finals() {
        if path.symlink_metadata().is_ok() {
            return Err(Refused::Exists(path.to_path_buf()));
        }
    }
    // Somebody else's half-done output is not ours to go on from.
    if paths.part.symlink_metadata().is_ok() && paths.record.symlink_metadata().is_err() {
        return Err(Refused::Exists(paths.part.clone()));
    }
    Ok(())
}

/// Refuses a target whose file system has less room than `need` bytes.
pub(super) fn check_room(paths: &Paths, need: u64) -> Result<(), Refused> {
    let folder = match paths.part.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let Ok(stat) = rustix::fs::statvfs(folder) else { return Ok(()) };
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    if free < need {
        return Err(Refused::TooSmall { folder: folder.to_path_buf(), need, free });
    }
    Ok(())
}

/// Bytes that a file takes on its medium.
pub(super) fn allocated(path: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    path.symlink_metadata().map_or(0, |meta| meta.blocks().saturating_mul(512))
}

/// Gives a file its name. Where the name is taken and nothing stands under the old one, an
/// earlier run did it.
pub(super) fn rename(from: &Path, to: &Path, overwrite: bool) -> io::Result<()> {
    match from.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound && to.symlink_metadata().is_ok() => {
            return Ok(());
        }
        _ => {}
    }
    if overwrite {
        std::fs::rename(from, to)?;
    } else {
        let flags = rustix::fs::RenameFlags::NOREPLACE;
        match rustix::fs::renameat_with(rustix::fs::CWD, from, rustix::fs::CWD, to, flags) {
            // File systems without that flag get the plain one; the name was free a moment ago.
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS)
                if to.symlink_metadata().is_err() =>
            {
                std::fs::rename(from, to)?;
            }
            other => other?,
        }
    }
    Ok(())
}

/// Makes the names of a folder durable.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    File::open(folder)?.sync_all()
}

/// Writes a small file whole, under a temporary name first.
pub(super) fn write_small(path: &Path, content: &[u8], overwrite: bool) -> io::Result<()> {
    let part = with_tail(path, ".part");
    let mut file = File::create(&part)?;
    file.write_all(content)?;
    file.sync_all()?;
    drop(file);
    // A file of an earlier try of this very run may stand there already, with the same content.
    if std::fs::read(path).is_ok_and(|there| there == content) {
        return std::fs::remove_file(&part);
    }
    rename(&part, path, overwrite).inspect_err(|_| {
        // Nothing half-done is left behind; that it cannot be removed changes nothing.
        let _left = std::fs::remove_file(&part);
    })
}
