//! Descriptors that contradict what is there, put right in a copy: the parent's CID and name, and
//! the size and name of extents. Evidence is never changed; each repair can be undone.

use std::path::Path;

use serde::Serialize;
use sha2::{Digest as _, Sha256};
use vmglean_formats::{
    ByteOffset, ReadAt,
    vmdk::{SparseHeader, descriptor::looks_like_descriptor, open_descriptor},
};

use crate::{
    disk::{Chain, ChainLink, DescribedBy, ExtentBody},
    source::{EvidenceRoot, RelPath},
};

/// A descriptor is small; more is none.
const MAX_BYTES: usize = 1 << 20;

/// One line put right.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Repair {
    /// The line as it is.
    pub old: String,
    /// The line as it should be.
    pub new: String,
    /// What speaks for it.
    pub why: String,
}

/// The repairs of one descriptor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Patch {
    /// The file that holds the descriptor, below the root.
    pub file: String,
    /// First byte of the descriptor in that file.
    pub offset_bytes: u64,
    /// SHA-256 of the descriptor's bytes as they are.
    pub old_sha256: String,
    /// SHA-256 of its bytes as they should be.
    pub new_sha256: String,
    /// The lines.
    pub repairs: Vec<Repair>,
    /// Its bytes as they are: what undoes the patch.
    pub old_text: String,
    /// Its bytes as they should be.
    pub new_text: String,
}

/// What should be changed in the descriptors of the links from `at` on. A descriptor whose text is
/// no UTF-8 is left alone.
#[must_use]
pub fn patches(root: &EvidenceRoot, chain: &Chain, at: usize) -> Vec<Patch> {
    (at..chain.links.len()).filter_map(|number| patch(root, chain, number)).collect()
}

fn patch(root: &EvidenceRoot, chain: &Chain, number: usize) -> Option<Patch> {
    let link = chain.links.get(number)?;
    let (bytes, offset) = descriptor_bytes(root, link)?;
    let room = bytes.len();
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(room);
    let old_text = std::str::from_utf8(bytes.get(..end)?).ok()?.to_owned();
    let mut repairs = Vec::new();
    let mut lines: Vec<String> = old_text.split_inclusive('\n').map(str::to_owned).collect();
    let mut replace = |is_it: &dyn Fn(&str) -> bool, new: String, why: String| {
        let Some(line) = lines.iter_mut().find(|line| is_it(line.trim())) else { return };
        let old = line.trim_end_matches(['\r', '\n']).to_owned();
        if old == new {
            return;
        }
        let tail = line.get(old.len()..).unwrap_or_default().to_owned();
        *line = format!("{new}{tail}");
        repairs.push(Repair { old, new, why });
    };
    let key = |name: &'static str| {
        move |line: &str| {
            line.split_once('=').is_some_and(|(key, _)| key.trim().eq_ignore_ascii_case(name))
        }
    };
    if let Some(parent) = chain.links.get(number + 1) {
        if let Some(cid) = parent.cid.filter(|cid| Some(*cid) != link.parent_cid) {
            let why = format!("{} has this CID", parent.path.as_path().display());
            replace(&key("parentCID"), format!("parentCID={cid}"), why);
        }
        let there = hint_of(&link.path, &parent.path);
        let hint = link.parent_hint.as_deref().unwrap_or_default();
        let named = crate::source::base_name(hint.as_bytes());
        let same = named == parent.path.file_name().as_encoded_bytes();
        if !same && is_plain(&there) {
            let why = "the parent that was found lies there".to_owned();
            replace(&key("parentFileNameHint"), format!("parentFileNameHint=\"{there}\""), why);
        }
    }
    let disk = chain.disk().links().get(number)?;
    for (facts, extent) in link.extents.iter().zip(&disk.extents) {
        let Some(name) = facts.name.as_deref() else { continue };
        let holds = match &extent.body {
            ExtentBody::Flat { file, at } => {
                chain.disk().file(*file).map(|f| f.source.len_bytes().saturating_sub(*at))
            }
            ExtentBody::Mapped { map, .. } => Some(map.capacity().0),
            _ => None,
        };
        let own = facts.path.as_ref().map(|path| hint_of(&link.path, path));
        let quoted = format!("\"{name}\"");
        let is_it = move |line: &str| line.contains(&quoted) && !line.contains('=');
        // Where a descriptor lies inside its only extent, its name there is of no weight.
        let renamed = own
            .filter(|own| facts.renamed && is_plain(own) && link.described_by == DescribedBy::File);
        let size = holds.filter(|held| {
            // A longer file is not wrong: only what is short or told otherwise by its header is.
            let flat = matches!(extent.body, ExtentBody::Flat { .. });
            held % 512 == 0
                && *held > 0
                && if flat { *held < extent.length } else { *held != extent.length }
        });
        if renamed.is_none() && size.is_none() {
            continue;
        }
        let Some(line) = old_text.lines().map(str::trim).find(|line| is_it(line)) else { continue };
        let mut words: Vec<String> = line.splitn(3, ' ').map(str::to_owned).collect();
        let mut why = Vec::new();
        if let (Some(size), Some(word)) = (size, words.get_mut(1)) {
            *word = (size / 512).to_string();
            why.push(format!("the extent holds {size} bytes"));
        }
        if let (Some(own), Some(rest)) = (renamed, words.get_mut(2)) {
            *rest = rest.replacen(&format!("\"{name}\""), &format!("\"{own}\""), 1);
            why.push("the file has this name now".to_owned());
        }
        replace(&is_it, words.join(" "), why.join("; "));
    }
    if repairs.is_empty() {
        return None;
    }
    let new_text = lines.concat();
    // An embedded descriptor must not outgrow its room.
    if link.described_by == DescribedBy::Embedded && new_text.len() > room {
        return None;
    }
    let whole = |text: &str| {
        let mut bytes = text.as_bytes().to_vec();
        if link.described_by == DescribedBy::Embedded {
            bytes.resize(room, 0);
        }
        hex::encode(Sha256::digest(&bytes))
    };
    Some(Patch {
        file: link.path.as_path().display().to_string(),
        offset_bytes: offset,
        old_sha256: whole(&old_text),
        new_sha256: whole(&new_text),
        repairs,
        old_text,
        new_text,
    })
}

/// The descriptor's bytes as they lie in their file, and where.
fn descriptor_bytes(root: &EvidenceRoot, link: &ChainLink) -> Option<(Vec<u8>, u64)> {
    let file = root.open_file(&link.path).ok()?;
    match link.described_by {
        DescribedBy::File => {
            let bytes = file.read_up_to(ByteOffset(0), MAX_BYTES).ok()?;
            looks_like_descriptor(&bytes).then_some((bytes, 0))
        }
        DescribedBy::Embedded => {
            open_descriptor(&file).ok()?;
            let head = file.read_up_to(ByteOffset(0), 512).ok()?;
            let header = SparseHeader::parse(&head, ByteOffset(0)).ok()?.value;
            let at = header.descriptor_offset.to_offset()?;
            let room = usize::try_from(header.descriptor_size.to_bytes()?.0).ok()?;
            Some((file.read_up_to(at, room.min(MAX_BYTES)).ok()?, at.0))
        }
        DescribedBy::Header | DescribedBy::Raw | DescribedBy::Rebuilt => None,
    }
}

/// `to` as it is named in a file at `from`.
fn hint_of(from: &RelPath, to: &RelPath) -> String {
    let (here, there) = (from.folder(), to.folder());
    if here == there {
        return to.file_name().to_string_lossy().into_owned();
    }
    let ups = here.as_path().components().count();
    let mut path = String::new();
    for _ in 0..ups {
        path.push_str("../");
    }
    path.push_str(&to.as_path().to_string_lossy());
    path
}

/// Whether a name can stand between quotes on one line.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && !name.contains(['"', '\n', '\r', '\u{fffd}'])
}

/// What is written for a patch: for a descriptor file its repaired copy, and for every one the
/// patch itself, which also undoes it.
///
/// # Errors
/// The system's error; nothing that is there is replaced.
pub fn write_patches(folder: &Path, patches: &[Patch]) -> std::io::Result<Vec<std::path::PathBuf>> {
    let mut made = Vec::new();
    for patch in patches {
        let base = Path::new(&patch.file).file_name().unwrap_or_default().to_string_lossy();
        let mut files = vec![(format!("{base}.patch.json"), serde_json::to_vec_pretty(patch)?)];
        if patch.offset_bytes == 0 {
            files.push((base.clone().into_owned(), patch.new_text.as_bytes().to_vec()));
            files.push((format!("{base}.undo"), patch.old_text.as_bytes().to_vec()));
        }
        for (name, content) in files {
            let path = folder.join(name);
            super::target::write_small(&path, &content, false)?;
            made.push(path);
        }
    }
    Ok(made)
}
