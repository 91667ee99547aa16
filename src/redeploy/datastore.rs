//! A datastore as a source to sweep: names and lengths from the API, bytes over ranged reads.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    fs::File,
    io,
    ops::Range,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicBool},
    time::SystemTime,
};

use vmglean_formats::{
    ByteOffset,
    vmdk::{Descriptor, ExtentKind},
};

use super::{
    estate::Estate,
    vsphere::{Error, ListedFile, Server},
};
use crate::source::{RelPath, Remote, RemoteSource};

/// Descriptors that are files of their own are shorter.
const MAX_DESCRIPTOR: u64 = 64 << 10;
/// Kinds of a disk's data file that listings leave out.
const HIDDEN: [&str; 4] = ["-flat.vmdk", "-delta.vmdk", "-sesparse.vmdk", "-ctk.vmdk"];

/// A datastore that was listed.
#[derive(Debug)]
pub struct Listed {
    /// To be swept.
    pub source: RemoteSource,
    /// Files found.
    pub files: usize,
    /// Files that cannot be read or whose names cannot be kept, one line each.
    pub left_out: Vec<String>,
}

/// A datastore that cannot be listed.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// The server, or the way to it.
    #[error(transparent)]
    Server(#[from] Error),
    /// No datastore of that name.
    #[error("there is no datastore {name:?}; known are {known}")]
    Unknown {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// Names and lengths cannot be written down.
    #[error("cannot write the list of files")]
    Io(#[from] io::Error),
}

#[derive(Debug)]
struct Store {
    server: Arc<Server>,
    datacenter: String,
    name: String,
}

impl Store {
    fn place<'a>(&'a self, path: &'a str) -> (&'a str, &'a str, &'a str) {
        (&self.datacenter, &self.name, path)
    }
}

impl Remote for Store {
    fn fetch(&self, path: &RelPath, range: Range<u64>) -> io::Result<Vec<u8>> {
        let path = path.as_path().to_str().ok_or(io::ErrorKind::InvalidFilename)?;
        self.server.fetch_file(self.place(path), range).map_err(io::Error::other)
    }
}

/// Lists the datastore `name` of `server`; `folder`, which must be empty, takes names and lengths.
/// Nothing on the server is changed.
///
/// # Errors
/// [`ListError`].
pub fn list(
    server: &Arc<Server>,
    name: &str,
    given: &Path,
    folder: &Path,
    stop: &AtomicBool,
) -> Result<Listed, ListError> {
    let estate = Estate::read(server)?;
    let found = estate.hosts.iter().find_map(|host| Some((host, estate.datastore(host, name)?)));
    let Some((host, datastore)) = found else {
        let known: Vec<&str> = estate.datastores.iter().map(|d| d.name.as_str()).collect();
        return Err(ListError::Unknown { name: name.to_owned(), known: known.join(", ") });
    };
    let datacenter =
        estate.datacenters.get(&host.datacenter).map(|d| d.path.clone()).unwrap_or_default();
    let store = Store { server: Arc::clone(server), datacenter, name: name.to_owned() };
    let listed = server.files_below(&datastore.mo, &format!("[{name}]"), stop)?;
    let (files, withheld) = lengths(&store, &listed, server.machine_files(name)?)?;
    let mut left_out: Vec<String> = withheld
        .iter()
        .map(|path| format!("[{name}] {path}: the server does not hand it out"))
        .collect();
    let mut count = 0;
    for (path, (length, changed)) in &files {
        match put(folder, path, *length, *changed) {
            Ok(()) => count += 1,
            // A name that this system cannot keep; a full disk fails for every file.
            Err(error) if error.kind() == io::ErrorKind::StorageFull => return Err(error.into()),
            Err(error) => left_out.push(format!("[{name}] {path}: {error}")),
        }
    }
    let remote: Arc<dyn Remote> = Arc::new(store);
    let source = RemoteSource { given: given.into(), folder: folder.into(), remote };
    Ok(Listed { source, files: count, left_out })
}

type Files = BTreeMap<String, (u64, Option<SystemTime>)>;

/// What a server says of a file that is asked for by name.
enum Asked {
    Long(u64),
    Absent,
    /// It cannot be asked for, or a host that uses it keeps it to itself.
    Withheld,
}

/// Listings leave out the data files of disks and tell a disk's size as its descriptor's, so each
/// `.vmdk` is asked for its own, and what a descriptor or a machine names is asked for too. The
/// second part are names of files that are there but of unknown length.
fn lengths(
    store: &Store,
    listed: &[ListedFile],
    of_machines: Vec<(String, Option<u64>)>,
) -> Result<(Files, Vec<String>), Error> {
    let mut files = Files::new();
    let mut withheld = Vec::new();
    let mut guessed = BTreeSet::new();
    // With the length that is told, by a descriptor before the inventory: that may count only what
    // is allocated.
    let mut named: BTreeMap<String, Option<u64>> = of_machines.into_iter().collect();
    for file in listed {
        let mut length = file.size_bytes;
        if let Some(stem) = file.path.strip_suffix(".vmdk") {
            if let Asked::Long(own) = asked(store, &file.path)? {
                length = own;
            }
            guessed.extend(HIDDEN.iter().map(|kind| format!("{stem}{kind}")));
            if length <= MAX_DESCRIPTOR
                && let Ok(bytes) = store.server.fetch_file(store.place(&file.path), 0..length)
            {
                let folder = file.path.rsplit_once('/').map_or("", |(folder, _)| folder);
                for extent in Descriptor::parse(&bytes, ByteOffset(0)).value.extents {
                    let Some(name) = extent.name.filter(|name| !name.contains('/')) else {
                        continue;
                    };
                    let flat = matches!(extent.kind, ExtentKind::Flat | ExtentKind::Vmfs);
                    let first = extent.offset.is_none_or(|offset| offset.0 == 0);
                    let told = extent.length.0.checked_mul(512).filter(|_| flat && first);
                    let path = format!("{folder}/{name}").trim_start_matches('/').to_owned();
                    let known = named.entry(path).or_default();
                    *known = told.or(*known);
                }
            }
        }
        files.insert(file.path.clone(), (length, file.changed));
    }
    for (path, told) in named {
        if files.contains_key(&path) {
            continue;
        }
        match (asked(store, &path)?, told) {
            (Asked::Long(length), _) | (Asked::Withheld, Some(length)) => {
                files.insert(path, (length, None));
            }
            (Asked::Withheld, None) => withheld.push(path),
            (Asked::Absent, _) => {}
        }
    }
    for path in guessed {
        if !files.contains_key(&path)
            && let Asked::Long(length) = asked(store, &path)?
        {
            files.insert(path, (length, None));
        }
    }
    Ok((files, withheld))
}

fn asked(store: &Store, path: &str) -> Result<Asked, Error> {
    match store.server.file_length(store.place(path)) {
        Ok(Some(length)) => Ok(Asked::Long(length)),
        Ok(None) => Ok(Asked::Absent),
        Err(Error::Http { .. } | Error::Unexpected { .. }) => Ok(Asked::Withheld),
        Err(error) => Err(error),
    }
}

fn put(folder: &Path, path: &str, length: u64, changed: Option<SystemTime>) -> io::Result<()> {
    let rel = RelPath::default()
        .resolve(path.as_bytes())
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidFilename, error))?;
    let target: PathBuf = folder.join(OsStr::from_bytes(rel.as_bytes()));
    if let Some(parent) = target.parent() {
        std::fs::create_dir_all(parent)?;
    }
    let file = File::create_new(target)?;
    file.set_len(length)?;
    file.set_modified(changed.unwrap_or(SystemTime::UNIX_EPOCH))
}
