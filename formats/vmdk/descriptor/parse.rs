//! Reading a descriptor.

use std::collections::HashMap;

use encoding_rs::Encoding;

use super::{
    Access, ContentId, CreateType, Descriptor, DiskExtent, Entry, ExtentKind, Section, grammar,
    text::{self, Line},
};
use crate::{
    defect::{Checked, Defect, DefectKind, FormatError},
    read::ReadAt,
    units::{ByteOffset, Sectors},
    vmdk::{defects::DefectSink, header::SparseHeader},
};

/// Bytes of a descriptor that are read; ESXi's own are below 4 KiB.
pub const DESCRIPTOR_LIMIT: usize = 1 << 20;
/// Keys that are kept of one descriptor.
const ENTRY_LIMIT: usize = 4096;
/// Extents that are kept of one descriptor: 64 TiB in pieces of 2 GiB.
const EXTENT_LIMIT: usize = 32_768;
const STRUCTURE: &str = "Descriptor";

struct Reading {
    at: ByteOffset,
    value: Descriptor,
    sink: DefectSink,
    first_lines: HashMap<String, u32>,
    entries_seen: usize,
    extents_seen: usize,
}

impl Descriptor {
    /// Reads the descriptor text in `bytes`, which lie at `at` of their file. Goes on after every
    /// line it does not understand, so a value always comes, however little it holds. Of more
    /// than [`DESCRIPTOR_LIMIT`] bytes the first are read and the rest is told as a defect.
    #[must_use]
    pub fn parse(bytes: &[u8], at: ByteOffset) -> Checked<Self> {
        let mut reading = Reading {
            at,
            value: Self::default(),
            sink: DefectSink::default(),
            first_lines: HashMap::new(),
            entries_seen: 0,
            extents_seen: 0,
        };
        let all = bytes;
        let whole = text::up_to_nul(bytes);
        let bytes = whole.get(..DESCRIPTOR_LIMIT).unwrap_or(whole);
        if bytes.len() < whole.len() {
            reading.defect("length", 0, limit(whole.len(), DESCRIPTOR_LIMIT));
        }
        if whole.len() < all.len() {
            reading.padding(whole, all);
        }
        let encoding = reading.choose_encoding(bytes);
        reading.value.encoding = encoding.name().to_owned();
        for raw in text::split_lines(bytes) {
            let line = text::decode_line(encoding, raw);
            if !line.faithful {
                let kind = DefectKind::Encoding { encoding: encoding.name().to_owned() };
                reading.defect("line", line.start, kind);
            } else if let Some(at) = raw.2.iter().position(|byte| *byte < 0x20 && *byte != b'\t') {
                let value = raw.2.get(at).copied().map_or(0, u64::from);
                let at = line.start.saturating_add(at);
                reading.defect("line", at, DefectKind::Unknown { value });
            }
            reading.line(&line);
            if line.number > 1 {
                reading.value.text.push('\n');
            }
            reading.value.text.push_str(&line.text);
        }
        reading.finish()
    }
}

fn limit(value: usize, limit: usize) -> DefectKind {
    DefectKind::Limit {
        value: u64::try_from(value).unwrap_or(u64::MAX),
        limit: u64::try_from(limit).unwrap_or(u64::MAX),
    }
}

fn syntax(line: &Line) -> DefectKind {
    DefectKind::Syntax { line: line.number, text: text::quote(&line.text) }
}

/// Whether `rest` is what a text some digits longer left behind `text` and its NUL: qemu-img
/// overwrites the eight digits of a CID with as few as the new one has.
fn is_rest_of_longer(text: &[u8], rest: &[u8]) -> bool {
    let left = rest.get(1..).unwrap_or_default();
    let end = left.iter().rposition(|byte| *byte != 0).map_or(0, |last| last.saturating_add(1));
    let left = left.get(..end).unwrap_or_default();
    text.ends_with(b"\n") && (1..8).contains(&left.len()) && text.ends_with(left)
}

/// Whether the last line ends with the quote that closes its value.
fn is_closed(text: &[u8]) -> bool {
    let line = text.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
    line.ends_with(b"\"") && line.iter().filter(|byte| **byte == b'"').count() == 2
}

impl Reading {
    fn place(&self, start: usize) -> ByteOffset {
        ByteOffset(self.at.0.saturating_add(u64::try_from(start).unwrap_or(u64::MAX)))
    }

    fn defect(&mut self, field: &'static str, start: usize, kind: DefectKind) {
        let at = self.place(start);
        self.sink.add(Defect::new(STRUCTURE, field, at, kind));
    }

    /// Writers fill the last sector with NULs behind a whole line, which one real writer leaves
    /// without its newline behind a quoted value; anything else is torn.
    fn padding(&mut self, text: &[u8], all: &[u8]) {
        let rest = all.get(text.len()..).unwrap_or_default();
        let odd =
            rest.iter().position(|byte| *byte != 0).filter(|_| !is_rest_of_longer(text, rest));
        // One inside a disk, or cut off where reading ended, has a length of its own.
        let is_own_file = self.at == ByteOffset(0) && all.len() < DESCRIPTOR_LIMIT;
        if let Some(odd) = odd {
            let value = rest.get(odd).copied().map_or(0, u64::from);
            let at = text.len().saturating_add(odd);
            self.defect("padding", at, DefectKind::Unknown { value });
        } else if text.is_empty() {
            // Nothing of it is there, which is told by what is missing.
        } else if !(text.ends_with(b"\n") || is_closed(text))
            || (is_own_file && !all.len().is_multiple_of(512))
        {
            let what = "the text, from here on NULs,".to_owned();
            self.defect("line", text.len(), DefectKind::Missing { what });
        }
    }

    fn choose_encoding(&mut self, bytes: &[u8]) -> &'static Encoding {
        let Some((_, start, label)) = text::declared_encoding(bytes) else {
            return text::default_encoding();
        };
        text::encoding_for(&label).unwrap_or_else(|| {
            let feature = format!("encoding {}", text::quote(&label));
            self.defect("encoding", start, DefectKind::Unsupported { feature });
            text::default_encoding()
        })
    }

    fn line(&mut self, line: &Line) {
        let trimmed = line.text.trim();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            return;
        }
        if grammar::starts_like_extent(trimmed) {
            self.extent(line);
        } else if let Some(words) = grammar::key(trimmed) {
            self.key(line, &words);
        } else if let Some(words) = grammar::extent(trimmed)
            && ExtentKind::from_word(words.kind) != ExtentKind::Unknown
        {
            // A known kind behind an access word nobody documented.
            self.extent(line);
        } else {
            self.defect("line", line.start, syntax(line));
        }
    }

    fn extent(&mut self, line: &Line) {
        self.extents_seen = self.extents_seen.saturating_add(1);
        if self.extents_seen > EXTENT_LIMIT {
            return;
        }
        let Some(words) = grammar::extent(&line.text) else {
            return self.defect("extent", line.start, syntax(line));
        };
        let access = Access::from_word(words.access);
        let kind = ExtentKind::from_word(words.kind);
        if access == Access::Unknown {
            let word = text::quote(words.access);
            self.defect("access", line.start, DefectKind::UnknownWord { word });
        }
        if kind == ExtentKind::Unknown {
            let word = text::quote(words.kind);
            self.defect("type", line.start, DefectKind::UnknownWord { word });
        }
        if words.name.is_none() && kind != ExtentKind::Zero && access != Access::NoAccess {
            let what = "the file name".to_owned();
            self.defect("name", line.start, DefectKind::Missing { what });
        }
        if kind == ExtentKind::Flat && words.name.is_some() && words.offset.is_none() {
            let what = "the offset of a FLAT extent".to_owned();
            self.defect("offset", line.start, DefectKind::Missing { what });
        }
        self.value.extents.push(DiskExtent {
            access,
            access_word: words.access.to_owned(),
            length: Sectors(words.sectors),
            kind,
            kind_word: words.kind.to_owned(),
            name: words.name.map(str::to_owned),
            offset: words.offset.map(Sectors),
            partition_uuid: words.partition_uuid.map(str::to_owned),
            device_id: words.device_id.map(str::to_owned),
            raw: line.text.clone(),
            line: line.number,
            at: self.place(line.start),
        });
    }

    fn key(&mut self, line: &Line, words: &grammar::KeyWords<'_>) {
        self.entries_seen = self.entries_seen.saturating_add(1);
        if self.entries_seen > ENTRY_LIMIT {
            return;
        }
        let low = words.name.to_ascii_lowercase();
        if !words.clean {
            self.defect("value", line.start, syntax(line));
        }
        let value = text::unescape(words.value);
        let sound = match low.as_str() {
            "cid" | "parentcid" => ContentId::from_hex(&value).is_some(),
            "version" => value.trim().parse::<u32>().is_ok(),
            _ => true,
        };
        if !sound {
            self.defect("value", line.start, syntax(line));
        }
        if low == "createtype" && CreateType::from_word(value.trim()) == CreateType::Unknown {
            let word = text::quote(&value);
            self.defect("createType", line.start, DefectKind::UnknownWord { word });
        }
        let section = if low.starts_with("ddb.") {
            Section::DiskDatabase
        } else if low == "changetrackpath" {
            Section::ChangeTracking
        } else {
            Section::Header
        };
        if self.first_lines.insert(low, line.number).is_some() {
            let what = text::quote(words.name);
            self.defect("name", line.start, DefectKind::Duplicate { line: line.number, what });
        }
        self.value.entries.push(Entry {
            section,
            name: words.name.to_owned(),
            value,
            raw: line.text.clone(),
            line: line.number,
            at: self.place(line.start),
        });
    }

    fn finish(mut self) -> Checked<Descriptor> {
        if self.entries_seen > ENTRY_LIMIT {
            self.defect("keys", 0, limit(self.entries_seen, ENTRY_LIMIT));
        }
        if self.extents_seen > EXTENT_LIMIT {
            self.defect("extents", 0, limit(self.extents_seen, EXTENT_LIMIT));
        }
        for (field, name) in [
            ("version", "version"),
            ("CID", "CID"),
            ("parentCID", "parentCID"),
            ("createType", "createType"),
        ] {
            if self.value.entry(name).is_none() {
                self.defect(field, 0, DefectKind::Missing { what: name.to_owned() });
            }
        }
        if self.value.extents.is_empty() {
            let what = "every extent line".to_owned();
            self.defect("extents", 0, DefectKind::Missing { what });
        }
        // 2^55 sectors are 2^64 bytes: past that no offset on the disk can be written down.
        let bytes = self.value.capacity().and_then(Sectors::to_bytes);
        if bytes.is_none() {
            let value = self.value.capacity().map_or(u64::MAX, |sectors| sectors.0);
            let max = u64::MAX >> 9;
            self.defect("capacity", 0, DefectKind::OutOfRange { value, min: 1, max });
        }
        Checked { value: self.value, defects: self.sink.finish(STRUCTURE) }
    }
}

/// Reads a descriptor file, or the descriptor inside a hosted sparse extent.
///
/// # Errors
/// Where the medium fails, or a sparse header names no descriptor.
pub fn open_descriptor(file: &dyn ReadAt) -> Result<Checked<Descriptor>, FormatError> {
    let head = file.read_up_to(ByteOffset(0), 512)?;
    if head.starts_with(b"KDMV") {
        let header = SparseHeader::parse(&head, ByteOffset(0))?.value;
        return header.embedded_descriptor(file)?.ok_or_else(|| {
            let what = "the descriptor: it is in a file of its own".to_owned();
            Defect::new(
                "SparseExtentHeader",
                "descriptorOffset",
                ByteOffset(28),
                DefectKind::Missing { what },
            )
            .into()
        });
    }
    // One byte more than is read, so that a longer file is told.
    let bytes = file.read_up_to(ByteOffset(0), DESCRIPTOR_LIMIT.saturating_add(1))?;
    let mut read = Descriptor::parse(&bytes, ByteOffset(0));
    let whole = usize::try_from(file.len_bytes()).unwrap_or(usize::MAX);
    if whole > DESCRIPTOR_LIMIT {
        // Also where zeros follow the text: a descriptor is a small file, whatever fills it up.
        read.defects.retain(|defect| defect.field != "length");
        let kind = limit(whole, DESCRIPTOR_LIMIT);
        read.defects.insert(0, Defect::new(STRUCTURE, "length", ByteOffset(0), kind));
    }
    Ok(read)
}
