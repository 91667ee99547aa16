//! The evidence root: the one folder that names found inside evidence may lead to.

use std::{
    ffi::OsStr,
    fs::File,
    io,
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    path::{Component, Path, PathBuf},
    sync::Arc,
};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags};

use super::{
    file::{Access, SourceFile},
    remote::{Remote, RemoteFile, RemoteSource},
};

/// A path below an [`EvidenceRoot`]: relative, without `..`. The root itself is the empty path.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelPath(PathBuf);

/// As [`Path::join`], without room to grow: a sweep keeps two paths for each file.
fn joined(folder: &Path, rest: &Path) -> PathBuf {
    let mut path = folder.join(rest);
    path.shrink_to_fit();
    path
}

/// Why a name found in evidence does not stay inside the root.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Escape {
    /// The name is empty or holds a NUL byte.
    #[error("is no file name")]
    NoName,
    /// The name is absolute (POSIX, drive letter or UNC).
    #[error("is an absolute path")]
    Absolute,
    /// Its `..` leave the root.
    #[error("leads out of the evidence root by \"..\"")]
    Parent,
}

/// Why a file below the root was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A symbolic link on the way or at the end.
    #[error("a symbolic link, which is not followed")]
    Symlink,
    /// A FIFO, device, socket or folder.
    #[error("{0}, not a regular file")]
    Special(&'static str),
    /// It is not there.
    #[error("not found")]
    NotFound,
    /// The system refused or failed.
    #[error("{0}")]
    Io(#[source] io::Error),
}

impl RelPath {
    /// The path that `path` names, if it is relative and stays below its start.
    #[must_use]
    pub fn new(path: &Path) -> Option<Self> {
        let mut clean = PathBuf::new();
        for part in path.components() {
            match part {
                Component::Normal(name) => clean.push(name),
                Component::CurDir => {}
                Component::ParentDir | Component::RootDir | Component::Prefix(_) => return None,
            }
        }
        Some(Self(clean))
    }

    /// As a path relative to the root.
    #[must_use]
    pub fn as_path(&self) -> &Path {
        &self.0
    }

    /// The bytes of the path.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_os_str().as_bytes()
    }

    /// The bytes of the path of the folder this one lies in; none for the root's own entries.
    #[must_use]
    pub fn folder_bytes(&self) -> &[u8] {
        self.0.parent().map_or(&[], |folder| folder.as_os_str().as_bytes())
    }

    /// The last part, empty for the root.
    #[must_use]
    pub fn file_name(&self) -> &OsStr {
        self.0.file_name().unwrap_or_default()
    }

    /// The folder this path lies in.
    #[must_use]
    pub fn folder(&self) -> Self {
        Self(self.0.parent().map(Path::to_path_buf).unwrap_or_default())
    }

    /// `name`, one path part, inside this folder.
    #[must_use]
    pub fn join(&self, name: &OsStr) -> Self {
        Self(joined(&self.0, Path::new(name)))
    }

    /// Where `name`, as written in a file of this folder, leads. Backslashes count as separators
    /// where the name has no slash. `..` is followed as long as it stays below the root.
    ///
    /// # Errors
    /// [`Escape`] when it leads elsewhere.
    pub fn resolve(&self, name: &[u8]) -> Result<Self, Escape> {
        if name.is_empty() || name.contains(&0) {
            return Err(Escape::NoName);
        }
        let windows = !name.contains(&b'/') && name.contains(&b'\\');
        let drive =
            matches!(name, [letter, b':', b'\\' | b'/', ..] if letter.is_ascii_alphabetic());
        if name.first() == Some(&b'/') || drive || (windows && name.first() == Some(&b'\\')) {
            return Err(Escape::Absolute);
        }
        let mut at = self.0.clone();
        for part in name.split(|b| *b == b'/' || (windows && *b == b'\\')) {
            match part {
                b"" | b"." => {}
                b".." => {
                    if !at.pop() {
                        return Err(Escape::Parent);
                    }
                }
                part => at.push(OsStr::from_bytes(part)),
            }
        }
        if at.as_os_str().is_empty() { Err(Escape::NoName) } else { Ok(Self(at)) }
    }
}

/// The last part of a path written in any system's way.
#[must_use]
pub fn base_name(name: &[u8]) -> &[u8] {
    name.rsplit(|b| *b == b'/' || *b == b'\\').next().unwrap_or(name)
}

/// One opened folder of evidence. Nothing outside it can be reached through it.
#[derive(Debug)]
pub struct EvidenceRoot {
    fd: OwnedFd,
    path: PathBuf,
    access: Access,
    remote: Option<Arc<dyn Remote>>,
}

impl EvidenceRoot {
    /// Opens the folder `path`. A symbolic link named by the user is followed, once.
    ///
    /// # Errors
    /// The system's error.
    pub fn open(path: &Path, access: Access) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(CWD, path, flags, Mode::empty())?;
        Ok(Self { fd, path: path.to_path_buf(), access, remote: None })
    }

    /// Opens a source whose bytes lie elsewhere.
    ///
    /// # Errors
    /// The system's error.
    pub fn open_remote(source: &RemoteSource) -> io::Result<Self> {
        let root = Self::open(&source.folder, Access::Read)?;
        let remote = Some(Arc::clone(&source.remote));
        Ok(Self { path: source.given.clone(), remote, ..root })
    }

    /// The path this root was opened by.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of `rel` as a person would open it.
    #[must_use]
    pub fn display(&self, rel: &RelPath) -> PathBuf {
        joined(&self.path, rel.as_path())
    }

    /// What lies at `rel`, without opening it and without following links.
    ///
    /// # Errors
    /// [`OpenError`] as for [`Self::open_file`].
    pub fn kind(&self, rel: &RelPath) -> Result<FileType, OpenError> {
        rustix::fs::statat(&self.fd, rel.as_path(), AtFlags::SYMLINK_NOFOLLOW)
            .map(|stat| FileType::from_raw_mode(stat.st_mode))
            .map_err(|error| open_error(error.into()))
    }

    /// Opens a regular file for reading. No symbolic link is followed anywhere below the root,
    /// and the type is looked at before and after opening, so that no FIFO or device is touched.
    ///
    /// # Errors
    /// [`OpenError`], naming what stands there instead.
    pub fn open_file(&self, rel: &RelPath) -> Result<SourceFile, OpenError> {
        match self.kind(rel)? {
            FileType::RegularFile => self.open_listed(rel),
            other => Err(special(other)),
        }
    }

    /// As [`Self::open_file`], for a file that the folder's listing just called regular.
    ///
    /// # Errors
    /// [`OpenError`], naming what stands there instead.
    pub fn open_listed(&self, rel: &RelPath) -> Result<SourceFile, OpenError> {
        let base = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        // Access times are evidence too; only the owner may ask for them to be left alone.
        let fd = self
            .open_beneath(rel, base | OFlags::NOATIME)
            .or_else(|error| match error.kind() {
                io::ErrorKind::PermissionDenied => self.open_beneath(rel, base),
                _ => Err(error),
            })
            .map_err(open_error)?;
        let file = File::from(fd);
        let meta = file.metadata().map_err(OpenError::Io)?;
        if !meta.is_file() {
            return Err(OpenError::Special("a special file"));
        }
        let file = SourceFile::new(file, &meta, self.access);
        Ok(match &self.remote {
            Some(remote) => file.fetched_by(RemoteFile::new(remote, rel)),
            None => file,
        })
    }

    /// Opens a folder to list it, under the same promise.
    pub(super) fn open_folder(&self, rel: &RelPath) -> io::Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let here = RelPath(PathBuf::from("."));
        self.open_beneath(if rel.0.as_os_str().is_empty() { &here } else { rel }, flags)
    }

    fn open_beneath(&self, rel: &RelPath, flags: OFlags) -> io::Result<OwnedFd> {
        let resolve =
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        match rustix::fs::openat2(&self.fd, rel.as_path(), flags, Mode::empty(), resolve) {
            Err(rustix::io::Errno::NOSYS | rustix::io::Errno::PERM) => {
                self.open_stepwise(rel, flags)
            }
            other => other.map_err(Into::into),
        }
    }

    /// The same promise where the kernel has no `openat2`: one folder at a time, no links.
    fn open_stepwise(&self, rel: &RelPath, flags: OFlags) -> io::Result<OwnedFd> {
        let folder_flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut at: Option<OwnedFd> = None;
        for part in rel.folder().as_path() {
            let here = at.as_ref().unwrap_or(&self.fd);
            at = Some(rustix::fs::openat(here, part, folder_flags, Mode::empty())?);
        }
        let here = at.as_ref().unwrap_or(&self.fd);
        Ok(rustix::fs::openat(here, rel.file_name(), flags | OFlags::NOFOLLOW, Mode::empty())?)
    }
}

fn special(kind: FileType) -> OpenError {
    match kind {
        FileType::Symlink => OpenError::Symlink,
        FileType::Fifo => OpenError::Special("a FIFO"),
        FileType::Socket => OpenError::Special("a socket"),
        FileType::CharacterDevice | FileType::BlockDevice => OpenError::Special("a device"),
        FileType::Directory => OpenError::Special("a folder"),
        FileType::RegularFile | FileType::Unknown => OpenError::Special("of unknown type"),
    }
}

fn open_error(error: io::Error) -> OpenError {
    match rustix::io::Errno::from_io_error(&error) {
        Some(rustix::io::Errno::NOENT) => OpenError::NotFound,
        Some(rustix::io::Errno::LOOP | rustix::io::Errno::XDEV) => OpenError::Symlink,
        _ => OpenError::Io(error),
    }
}

impl From<&str> for RelPath {
    /// The path below the root, or the root itself where `path` leads out of it.
    fn from(path: &str) -> Self {
        Self::new(Path::new(path)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use vmglean_formats::{ByteOffset, ReadAt};

    use super::*;

    #[test]
    fn a_name_is_resolved_only_inside_the_root() {
        let folder = RelPath::from("ds/vm");
        let ok = |name: &[u8]| folder.resolve(name).map(|p| p.0.to_string_lossy().into_owned());
        assert_eq!(ok(b"disk.vmdk"), Ok("ds/vm/disk.vmdk".into()));
        assert_eq!(ok(b"../base/disk.vmdk"), Ok("ds/base/disk.vmdk".into()));
        assert_eq!(ok(b"..\\base\\disk.vmdk"), Ok("ds/base/disk.vmdk".into()));
        assert_eq!(ok(b"a b\\c/d.vmdk"), Ok("ds/vm/a b\\c/d.vmdk".into()));
        assert_eq!(ok(b"../../../etc/passwd"), Err(Escape::Parent));
        assert_eq!(ok(b"/vmfs/volumes/x/y.vmdk"), Err(Escape::Absolute));
        assert_eq!(ok(b"C:\\vm\\y.vmdk"), Err(Escape::Absolute));
        assert_eq!(ok(b"\\\\srv\\share\\y.vmdk"), Err(Escape::Absolute));
        assert_eq!(ok(b""), Err(Escape::NoName));
        assert_eq!(ok(b"a\0b"), Err(Escape::NoName));
        assert_eq!(ok(b"../.."), Err(Escape::NoName));
    }

    #[test]
    fn links_and_special_files_are_named_and_never_opened() {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("secret"), b"outside").unwrap();
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("vm")).unwrap();
        fs::write(dir.path().join("vm/disk"), b"inside").unwrap();
        symlink(outside.path().join("secret"), dir.path().join("link")).unwrap();
        symlink(outside.path(), dir.path().join("linked-folder")).unwrap();
        rustix::fs::mkfifoat(CWD, dir.path().join("fifo"), Mode::RUSR | Mode::WUSR).unwrap();

        let root = EvidenceRoot::open(dir.path(), Access::Read).unwrap();
        let said = |rel: &str| match root.open_file(&RelPath::from(rel)) {
            Ok(file) => {
                let mut buf = vec![0; file.len_bytes() as usize];
                file.read_exact_at(&mut buf, ByteOffset(0)).unwrap();
                String::from_utf8(buf).unwrap()
            }
            Err(error) => error.to_string(),
        };
        assert_eq!(said("vm/disk"), "inside");
        assert_eq!(said("link"), "a symbolic link, which is not followed");
        assert_eq!(said("linked-folder/secret"), "a symbolic link, which is not followed");
        assert_eq!(said("fifo"), "a FIFO, not a regular file");
        assert_eq!(said("vm"), "a folder, not a regular file");
        assert_eq!(said("nothing"), "not found");
        let stepwise = root.open_stepwise(
            &RelPath::from("linked-folder/secret"),
            OFlags::RDONLY | OFlags::CLOEXEC,
        );
        assert!(stepwise.is_err());
    }
}
