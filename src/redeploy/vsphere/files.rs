//! Files on a datastore: folders and listings over the API, contents over HTTP.

use std::{
    io::Read,
    ops::Range,
    sync::atomic::AtomicBool,
    thread,
    time::{Duration, SystemTime},
};

use reqwest::{
    Method, Url,
    header::{COOKIE, HeaderName},
};

use super::{
    error::Error,
    http::{Pace, Sent, Upload, refused},
    inventory::returned,
    server::Server,
    xml::{MoRef, Node},
};

const LIMIT: Duration = Duration::from_secs(60);

/// A file or folder of a datastore.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatastoreFile {
    /// Its name in its folder.
    pub name: String,
    /// Its length; a folder's means nothing.
    pub size_bytes: u64,
    /// Whether it is a folder.
    pub is_folder: bool,
}

/// A file of a datastore, wherever it lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedFile {
    /// Below the datastore, without a leading slash.
    pub path: String,
    /// Its length; that of a disk's descriptor is the disk's.
    pub size_bytes: u64,
    /// When it was changed last, where the server tells.
    pub changed: Option<SystemTime>,
}

/// How an upload is watched and held back.
#[derive(Clone, Copy)]
pub struct Watch<'a> {
    /// Told of each stretch of bytes that went out.
    pub moved: &'a (dyn Fn(u64) + Sync),
    /// Bytes a second, all uploads together.
    pub pace: &'a Pace,
    /// Whether to stop.
    pub stop: &'a AtomicBool,
    /// Gives up when nothing moves for this long.
    pub stall: Duration,
}

impl Server {
    /// Makes one folder, `[datastore] folder`; its parent must be there.
    ///
    /// # Errors
    /// A fault `FileAlreadyExists`, and as the call says.
    pub fn make_folder(&self, path: &str, datacenter: Option<&MoRef>) -> Result<(), Error> {
        self.act("MakeDirectory", &self.content.files, |xml| {
            xml.text("name", path);
            xml.maybe_object("datacenter", datacenter);
            xml.text("createParentDirectories", false);
        })
        .map(|_| ())
    }

    /// What lies directly in a folder; `None` where there is no such folder.
    ///
    /// # Errors
    /// As the call says.
    pub fn folder(
        &self,
        datastore: &MoRef,
        path: &str,
        stop: &AtomicBool,
    ) -> Result<Option<Vec<DatastoreFile>>, Error> {
        let browser = self.properties(datastore, &["browser"])?.object("browser");
        let browser = browser.ok_or_else(|| Error::Unexpected {
            what: "SearchDatastore_Task".to_owned(),
            detail: "the datastore cannot be browsed".to_owned(),
        })?;
        let found = self
            .ask("SearchDatastore_Task", &browser, |xml| {
                xml.text("datastorePath", path);
                xml.element("searchSpec", |xml| {
                    xml.element("details", |xml| {
                        xml.text("fileType", true);
                        xml.text("fileSize", true);
                        xml.text("modification", false);
                        xml.text("fileOwner", false);
                    });
                    xml.text("matchPattern", "*");
                });
            })
            .and_then(|node| {
                let task = returned("SearchDatastore_Task", &node)?;
                self.wait("SearchDatastore_Task", &task, stop)
            });
        match found {
            Ok(result) => Ok(Some(result.map(|node| files(&node)).unwrap_or_default())),
            Err(error) if error.fault_kind() == Some("FileNotFound") => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Every file below `path`, `[datastore] folder`, that the server lists.
    ///
    /// # Errors
    /// As the calls say.
    pub fn files_below(
        &self,
        datastore: &MoRef,
        path: &str,
        stop: &AtomicBool,
    ) -> Result<Vec<ListedFile>, Error> {
        let what = "SearchDatastoreSubFolders_Task";
        let browser = self.properties(datastore, &["browser"])?.object("browser");
        let browser = browser.ok_or_else(|| Error::Unexpected {
            what: what.to_owned(),
            detail: "the datastore cannot be browsed".to_owned(),
        })?;
        let made = self.ask(what, &browser, |xml| {
            xml.text("datastorePath", path);
            xml.element("searchSpec", |xml| {
                xml.element("details", |xml| {
                    xml.text("fileType", true);
                    xml.text("fileSize", true);
                    xml.text("modification", true);
                    xml.text("fileOwner", false);
                });
                xml.text("matchPattern", "*");
            });
        })?;
        let result = self.wait(what, &returned(what, &made)?, stop)?.unwrap_or_default();
        let mut found = Vec::new();
        for folder in &result.children {
            let place = folder.text_at(&["folderPath"]).unwrap_or_default();
            let Some((_, below)) = place.split_once(']') else { continue };
            let below = below.trim_start().trim_matches('/');
            for file in folder.all("file") {
                let Some(name) = file.text_at(&["path"]) else { continue };
                if file.kind.as_deref() == Some("FolderFileInfo") {
                    continue;
                }
                let changed = file.text_at(&["modification"]);
                found.push(ListedFile {
                    path: format!("{below}/{name}").trim_start_matches('/').to_owned(),
                    size_bytes: file.number_at(&["fileSize"]).unwrap_or_default(),
                    changed: changed
                        .and_then(|text| text.parse::<jiff::Timestamp>().ok())
                        .map(SystemTime::from),
                });
            }
        }
        Ok(found)
    }

    /// The files on `datastore` that the machines of the inventory are made of, with the bytes
    /// they take where those are told.
    ///
    /// # Errors
    /// As the calls say.
    pub fn machine_files(&self, datastore: &str) -> Result<Vec<(String, Option<u64>)>, Error> {
        let prefix = format!("[{datastore}] ");
        let found = self.list("VirtualMachine", &["layoutEx.file"])?;
        let lists = found.iter().filter_map(|object| object.properties.get("layoutEx.file"));
        let file = |node: &Node| {
            let path = node.text_at(&["name"])?.strip_prefix(&prefix)?.to_owned();
            Some((path, node.number_at(&["size"]).filter(|size| *size != 0)))
        };
        Ok(lists.flat_map(|list| &list.children).filter_map(file).collect())
    }

    /// Bytes of a file; exactly those of `range`.
    ///
    /// # Errors
    /// As HTTP says; [`Error::Unexpected`] where the server sends something else.
    pub fn fetch_file(
        &self,
        (datacenter, datastore, path): (&str, &str, &str),
        range: Range<u64>,
    ) -> Result<Vec<u8>, Error> {
        if range.is_empty() {
            return Ok(Vec::new());
        }
        let url = self.file_url(datacenter, datastore, path)?;
        let what = format!("GET [{datastore}] {path}");
        self.patiently(|headers| self.http.fetch(&what, &url, headers, &range, LIMIT))
    }

    /// Tries a harmless request again where the line broke or the session was lost.
    fn patiently<T>(
        &self,
        request: impl Fn(&[(HeaderName, String)]) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut tries = 0;
        loop {
            let generation = self.generation();
            let headers: Vec<_> =
                self.cookie().map(|cookie| (COOKIE, cookie)).into_iter().collect();
            let failed = match request(&headers) {
                Ok(done) => return Ok(done),
                Err(failed) => failed,
            };
            tries += 1;
            // A file of days must not be sent again because a question about it was lost.
            if tries > 3 || !failed.may_pass() {
                return Err(failed);
            }
            if matches!(failed, Error::Http { status: 401, .. }) {
                self.log_in(generation)?;
            } else {
                thread::sleep(Duration::from_millis(300 * tries));
            }
        }
    }

    /// Deletes a file or a folder with all it holds; never for disks in use by a machine.
    ///
    /// # Errors
    /// A fault `FileNotFound`, and as the call says.
    pub fn delete_file(
        &self,
        path: &str,
        datacenter: Option<&MoRef>,
        stop: &AtomicBool,
    ) -> Result<(), Error> {
        let made = self.act("DeleteDatastoreFile_Task", &self.content.files, |xml| {
            xml.text("name", path);
            xml.maybe_object("datacenter", datacenter);
        })?;
        let task = returned("DeleteDatastoreFile_Task", &made)?;
        self.wait("DeleteDatastoreFile_Task", &task, stop).map(|_| ())
    }

    /// The address of a datastore's file over HTTP.
    fn file_url(&self, datacenter: &str, datastore: &str, path: &str) -> Result<String, Error> {
        let bad = || Error::Unexpected {
            what: format!("[{datastore}] {path}"),
            detail: "no address can be made of this name".to_owned(),
        };
        let mut url = Url::parse(&self.address().base()).map_err(|_| bad())?;
        {
            let mut parts = url.path_segments_mut().map_err(|()| bad())?;
            parts.push("folder");
            for part in path.split('/') {
                if matches!(part, "" | "." | "..") {
                    return Err(bad());
                }
                parts.push(part);
            }
        }
        url.query_pairs_mut().append_pair("dcPath", datacenter).append_pair("dsName", datastore);
        // A blank in a query is `%20` to every server, `+` only to some.
        Ok(url.to_string().replace('+', "%20"))
    }

    /// Writes a whole file of known length; one that was there is replaced.
    ///
    /// # Errors
    /// [`Error::Line`], [`Error::Stalled`], [`Error::Http`]; part of the file may then be there.
    pub fn put_file<'a>(
        &self,
        (datacenter, datastore, path): (&str, &str, &str),
        source: Box<dyn Read + Send + 'a>,
        length: u64,
        watch: Watch<'a>,
    ) -> Result<Sent, Error> {
        let url = self.file_url(datacenter, datastore, path)?;
        let generation = self.generation();
        let upload = Upload {
            method: Method::PUT,
            url,
            headers: self.cookie().map(|cookie| (COOKIE, cookie)).into_iter().collect(),
            content_type: "application/octet-stream",
            source,
            length,
            moved: watch.moved,
            pace: watch.pace,
            stop: watch.stop,
            stall: watch.stall,
            answer: watch.stall.max(Duration::from_secs(1)),
        };
        let sent = self.http.upload(&format!("PUT [{datastore}] {path}"), upload);
        if let Err(Error::Http { status: 401, .. }) = &sent {
            // The session ended meanwhile; the caller's next try has a new one.
            self.log_in(generation)?;
        }
        sent
    }

    /// The length of a file as the server tells it.
    ///
    /// # Errors
    /// As HTTP says.
    pub fn file_length(
        &self,
        (datacenter, datastore, path): (&str, &str, &str),
    ) -> Result<Option<u64>, Error> {
        let url = self.file_url(datacenter, datastore, path)?;
        let what = format!("HEAD [{datastore}] {path}");
        self.patiently(|headers| {
            let answer = self.http.ask(&what, Method::HEAD, &url, headers, None, LIMIT)?;
            match answer.status {
                200..300 => Ok(answer.length),
                404 => Ok(None),
                _ => Err(refused(&what, &answer)),
            }
        })
    }
}

fn files(result: &Node) -> Vec<DatastoreFile> {
    result
        .all("file")
        .filter_map(|file| {
            Some(DatastoreFile {
                name: file.text_at(&["path"])?.to_owned(),
                size_bytes: file.number_at(&["fileSize"]).unwrap_or_default(),
                is_folder: file.kind.as_deref() == Some("FolderFileInfo"),
            })
        })
        .collect()
}
