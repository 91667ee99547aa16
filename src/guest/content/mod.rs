//! Does a file's content hold together? Tests that need nothing but the bytes.
//!
//! A test contradicts only where the format leaves no room: a checksum that is always kept, a
//! structure that must be there. What it does not understand it leaves untested.

mod archive;
mod evtx;
mod pages;
mod random;
mod small;

use std::io;

use vmglean_formats::{ByteOffset, ReadAt};

pub use super::Content;
pub(in crate::guest) use evtx::{
    CHUNK_BYTES as EVTX_CHUNK_BYTES, HEAD_BYTES as EVTX_HEAD_BYTES, is_chunk_whole,
};

/// What a test found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Kind of file.
    pub kind: &'static str,
    /// What its content says of itself.
    pub content: Content,
    /// In words; empty where nothing is to be said.
    pub detail: String,
    /// Whether the medium failed on the way.
    pub is_unreadable: bool,
}

impl Told {
    fn new(kind: &'static str, content: Content, detail: impl Into<String>) -> Self {
        Self { kind, content, detail: detail.into(), is_unreadable: false }
    }
}

/// Reads a file from front to back.
pub(crate) struct Front<'a> {
    file: &'a dyn ReadAt,
    at: u64,
    end: u64,
}

impl<'a> Front<'a> {
    pub(crate) fn new(file: &'a dyn ReadAt, at: u64, end: u64) -> Self {
        Self { file, at, end: end.min(file.len_bytes()) }
    }
}

impl io::Read for Front<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let left = self.end.saturating_sub(self.at);
        let take = usize::try_from(left).unwrap_or(usize::MAX).min(buf.len());
        let Some(buf) = buf.get_mut(..take).filter(|buf| !buf.is_empty()) else { return Ok(0) };
        self.file.read_exact_at(buf, ByteOffset(self.at)).map_err(io::Error::other)?;
        self.at += take as u64;
        Ok(take)
    }
}

/// First bytes that name a kind, with the endings that such files have.
struct Kind {
    name: &'static str,
    at: usize,
    magic: &'static [u8],
    endings: &'static [&'static str],
}

const fn kind(
    name: &'static str,
    at: usize,
    magic: &'static [u8],
    endings: &'static [&'static str],
) -> Kind {
    Kind { name, at, magic, endings }
}

const KINDS: [Kind; 24] = [
    kind("ese", 4, &[0xEF, 0xCD, 0xAB, 0x89], &["edb", "dit", "jfm", "sdb"]),
    kind("evtx", 0, b"ElfFile\0", &["evtx"]),
    kind("registry", 0, b"regf", &["hive"]),
    kind("sqlite", 0, b"SQLite format 3\0", &["sqlite", "sqlite3"]),
    kind(
        "zip",
        0,
        b"PK\x03\x04",
        &["zip", "docx", "xlsx", "pptx", "docm", "xlsm", "jar", "odt", "ods", "vsdx"],
    ),
    kind("gzip", 0, &[0x1F, 0x8B, 8], &["gz", "tgz"]),
    kind("png", 0, b"\x89PNG\r\n\x1A\n", &["png"]),
    kind("pdf", 0, b"%PDF-", &["pdf"]),
    kind("mssql", 0, &[1, 15], &["mdf", "ndf"]),
    kind("7z", 0, b"7z\xBC\xAF\x27\x1C", &["7z"]),
    kind("xz", 0, b"\xFD7zXZ\0", &["xz"]),
    kind("zstd", 0, &[0x28, 0xB5, 0x2F, 0xFD], &["zst"]),
    kind("bzip2", 0, b"BZh", &["bz2"]),
    kind("rar", 0, b"Rar!\x1A\x07", &["rar"]),
    kind("jpeg", 0, &[0xFF, 0xD8, 0xFF], &["jpg", "jpeg"]),
    kind("gif", 0, b"GIF8", &["gif"]),
    kind(
        "ole2",
        0,
        &[0xD0, 0xCF, 0x11, 0xE0, 0xA1, 0xB1, 0x1A, 0xE1],
        &["doc", "xls", "ppt", "msg"],
    ),
    kind("pst", 0, b"!BDN", &["pst", "ost"]),
    kind("vhdx", 0, b"vhdxfile", &["vhdx"]),
    kind("vmdk", 0, b"KDMV", &[]),
    kind("executable", 0, b"MZ", &["exe", "dll", "sys"]),
    kind("elf", 0, b"\x7FELF", &[]),
    kind("mp4", 4, b"ftyp", &["mp4", "mov", "m4a"]),
    kind("bitmap", 0, b"BM", &["bmp"]),
];

/// Endings of files that are text.
const TEXT: [&str; 14] = [
    "txt", "log", "csv", "xml", "json", "ini", "ps1", "bat", "cmd", "html", "htm", "sql", "conf",
    "config",
];

/// Kind by the name's end alone.
#[must_use]
pub fn kind_by_name(path: &[u8]) -> &'static str {
    let Some(ending) = ending(path) else { return "data" };
    let by_ending = KINDS.iter().find(|kind| kind.endings.contains(&ending.as_str()));
    match by_ending {
        Some(kind) => kind.name,
        None if TEXT.contains(&ending.as_str()) => "text",
        None => "data",
    }
}

/// Whether files with such names carry checksums over all of their content.
#[must_use]
pub(crate) fn is_provable(path: &[u8]) -> bool {
    matches!(kind_by_name(path), "zip" | "gzip" | "png" | "evtx" | "ese")
}

fn ending(path: &[u8]) -> Option<String> {
    let name = path.rsplit(|byte| *byte == b'/').next()?;
    let at = name.iter().rposition(|byte| *byte == b'.')?;
    String::from_utf8(name.get(at + 1..)?.to_ascii_lowercase()).ok()
}

/// Tests the content of the file at `path`.
#[must_use]
pub fn test(file: &dyn ReadAt, path: &[u8]) -> Told {
    let Ok(head) = file.read_up_to(ByteOffset(0), 4096) else {
        let mut told = Told::new(kind_by_name(path), Content::Untested, "");
        told.is_unreadable = true;
        return told;
    };
    let by_magic = KINDS.iter().find(|kind| {
        let rest = head.get(kind.at..).unwrap_or_default();
        // Two bytes alone name no kind.
        let by_name = kind.magic.len() > 2 || kind_by_name(path) == kind.name;
        rest.starts_with(kind.magic) && by_name
    });
    let told = match by_magic.map(|kind| kind.name) {
        Some("ese") => pages::ese(file, &head),
        Some("mssql") => pages::mssql(file),
        Some("evtx") => evtx::test(file, &head),
        Some("registry") => small::registry(file, &head),
        Some("sqlite") => small::sqlite(file, &head),
        Some("zip") => archive::zip(file),
        Some("gzip") => archive::gzip(file),
        Some("png") => small::png(file),
        Some("pdf") => small::pdf(file),
        Some("7z") => archive::seven(file, &head),
        Some("jpeg") => small::jpeg(file),
        Some(name) => Ok(Told::new(name, Content::Untested, "")),
        None => Ok(no_magic(file, path, &head)),
    };
    told.unwrap_or_else(|_| {
        let mut told = Told::new(kind_by_name(path), Content::Untested, "");
        told.is_unreadable = true;
        told
    })
}

/// A file that does not begin as its name says. Only bytes as random as ciphertext contradict.
fn no_magic(file: &dyn ReadAt, path: &[u8], head: &[u8]) -> Told {
    let kind = kind_by_name(path);
    if kind == "data" {
        return Told::new(kind, Content::Untested, "");
    }
    if kind == "text" {
        return match random::foreign_place(file) {
            Ok(Some(at)) => {
                let detail = format!("text by its name, and random bytes at {at:#x}");
                Told::new(kind, Content::Contradicted, detail)
            }
            Ok(None) => Told::new(kind, Content::Untested, ""),
            Err(_) => Told { is_unreadable: true, ..Told::new(kind, Content::Untested, "") },
        };
    }
    if random::is_random(head) {
        let detail = format!("named as {kind}, and begins with random bytes");
        return Told::new(kind, Content::Contradicted, detail);
    }
    Told::new("data", Content::Untested, "")
}
