//! What those who made a folder say of its files: salvage's and consolidate's manifests and hash
//! lists, and where a rebuilt configuration comes from.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Read as _},
    path::{Path, PathBuf},
};

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use vmglean_formats::ReadAt as _;

use super::{
    Disk, Form, Machine,
    source::{Stretch, open, read_small, stamp},
};

const MAX_LINE: u64 = 1 << 20;
const MAX_LIST: u64 = 64 << 20;
const MAX_GUESSES: usize = 64;
/// States of bytes that are not what they were. What nobody looked at range by range is called
/// undetermined there; of that, the verdict speaks.
const LOST: [&str; 3] = ["encrypted", "damaged", "unreadable"];
/// The line of salvage's page that tells how the machine was judged.
const VERDICT: &str = "  verdict    ";

/// Bytes of a file that are lost, by what they are called.
type Doubts = BTreeMap<String, u64>;
/// Size and SHA-256 by name.
type Hashes = BTreeMap<String, (u64, String)>;

/// Looks for what stands beside the machine's files, and takes it into the plan.
pub(super) fn tell(machine: &mut Machine) {
    let folder = machine.base();
    if let Some((hash, doubts)) = manifest(&folder) {
        machine.manifest = Some(hash);
        for disk in &machine.disks {
            let data = disk.data.to_string_lossy().into_owned();
            // A disk that was made of a chain is all that its manifest is about.
            let of = doubts.get(&data).or_else(|| doubts.get(""));
            for (state, bytes) in of.into_iter().flatten() {
                machine.notes.push(format!(
                    "{data}: {bytes} bytes are {state} by the manifest beside it; read it before the machine starts"
                ));
            }
        }
    }
    if let Some((path, changed, list)) = hashes(&folder) {
        for disk in &mut machine.disks {
            machine.notes.extend(hash(disk, &path, changed, &list));
        }
    }
    machine.notes.extend(verdict(&folder));
    machine.guessed.extend(guesses(&folder));
}

/// The hash of `MANIFEST.jsonl`, and what it doubts of which file; `""` is the file that all of it
/// is about.
fn manifest(folder: &Path) -> Option<(String, BTreeMap<String, Doubts>)> {
    let file = open(folder, Path::new("MANIFEST.jsonl")).ok()?;
    let length = file.len_bytes();
    let mut reader = BufReader::with_capacity(1 << 18, Stretch::new(file, 0, length));
    let mut sum = Sha256::new();
    let mut doubts: BTreeMap<String, Doubts> = BTreeMap::new();
    let mut line = Vec::new();
    loop {
        line.clear();
        if reader.by_ref().take(MAX_LINE).read_until(b'\n', &mut line).ok()? == 0 {
            break;
        }
        sum.update(&line);
        let Ok(read) = serde_json::from_slice::<Value>(&line) else { continue };
        let Some(bytes) = read.get("length_bytes").and_then(Value::as_u64) else { continue };
        // Of small runs at equal distance only those are lost.
        let small = read.get("lattice").and_then(|lattice| lattice.get("encrypted_bytes"));
        let bytes = small.and_then(Value::as_u64).unwrap_or(bytes);
        let state = read.get("state").and_then(Value::as_str).unwrap_or("intact");
        let filled = read.get("filled").and_then(Value::as_bool).unwrap_or_default();
        if !filled && !LOST.contains(&state) {
            continue;
        }
        let word = if filled { format!("{state} and filled") } else { state.to_owned() };
        let of = read.get("output").and_then(Value::as_str).unwrap_or_default().to_owned();
        let count = doubts.entry(of).or_default().entry(word).or_default();
        *count = count.saturating_add(bytes);
    }
    Some((hex::encode(sum.finalize()), doubts))
}

/// Size and SHA-256 of each file by a list of hashdeep's: beside the folder, or in it.
fn hashes(folder: &Path) -> Option<(PathBuf, i128, Hashes)> {
    let named = folder.file_name().map(|name| {
        let mut name = name.to_owned();
        name.push(".hashdeep");
        PathBuf::from(name)
    });
    let beside = folder.parent().zip(named).map(|(parent, name)| (parent.to_path_buf(), name));
    let inside = (folder.to_path_buf(), PathBuf::from("MANIFEST.hashdeep"));
    for (folder, name) in beside.into_iter().chain([inside]) {
        let Ok(file) = open(&folder, &name) else { continue };
        let Ok(text) = read_small(&folder, &name, MAX_LIST) else { continue };
        let changed = stamp(&file).parse().ok()?;
        return Some((folder.join(name), changed, parse(&String::from_utf8_lossy(&text))?));
    }
    None
}

fn parse(text: &str) -> Option<Hashes> {
    let columns = text.lines().find_map(|line| line.strip_prefix("%%%% size,"))?;
    let columns: Vec<&str> = columns.trim_end().split(',').collect();
    let at = columns.iter().position(|column| *column == "sha256")?;
    let lines = text.lines().filter(|line| !line.starts_with(['%', '#']));
    let entry = |line: &str| {
        let parts: Vec<&str> = line.splitn(columns.len().checked_add(1)?, ',').collect();
        let (size, rest) = parts.split_first()?;
        let hash = rest.get(at).filter(|hash| hash.len() == 64)?;
        let name = rest.last()?.trim_start_matches("./");
        Some((name.to_owned(), (size.parse().ok()?, (*hash).to_owned())))
    };
    Some(lines.filter_map(entry).collect())
}

/// Takes the hash of a disk's file from the list; what keeps from that is a note.
fn hash(disk: &mut Disk, path: &Path, changed: i128, list: &Hashes) -> Option<String> {
    if disk.form == Form::Sparse || disk.offset_bytes != 0 {
        return None;
    }
    let data = disk.data.to_string_lossy();
    let (size, sum) = list.get(data.as_ref())?;
    let later = disk.modified.parse::<i128>().map_or(true, |at| at > changed);
    if *size != disk.size_bytes || later {
        return Some(format!(
            "{data} was written to after {}; it is not held against the hash there",
            path.display()
        ));
    }
    disk.sha256 = Some(sum.clone());
    None
}

/// How salvage judged the machine, where that was not untouched.
fn verdict(folder: &Path) -> Option<String> {
    let text = read_small(folder, Path::new("README.txt"), MAX_LINE).ok()?;
    let text = String::from_utf8_lossy(&text).into_owned();
    let said = text.lines().find_map(|line| line.strip_prefix(VERDICT))?.trim();
    (!said.starts_with("untouched")).then(|| format!("salvage judged it {said}"))
}

/// Lines of a rebuilt configuration that nothing tells.
fn guesses(folder: &Path) -> Vec<String> {
    let read = read_small(folder, Path::new("vmx.provenance.json"), MAX_LIST).ok();
    let read = read.and_then(|text| serde_json::from_slice::<Value>(&text).ok());
    let lines = read.as_ref().and_then(|read| read.get("lines")?.as_array());
    let word = |line: &Value, key: &str| Some(line.get(key)?.as_str()?.to_owned());
    lines
        .into_iter()
        .flatten()
        .filter(|line| word(line, "confidence").as_deref() == Some("guessed"))
        .filter_map(|line| {
            let why = word(line, "why").unwrap_or_else(|| "nothing tells".to_owned());
            Some(format!("{} = {}: {why}", word(line, "key")?, word(line, "value")?))
        })
        .take(MAX_GUESSES)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_list_is_read_by_its_own_columns() {
        let sum = "ab".repeat(32);
        let text = format!(
            "%%%% HASHDEEP-1.0\n%%%% size,md5,sha256,filename\n## Invoked\n5,00ff,{sum},./a, b.vmdk\n7,x\n"
        );
        let read = parse(&text).unwrap();
        assert_eq!(read.len(), 1);
        assert_eq!(read["a, b.vmdk"], (5, sum));
        assert!(parse("%%%% size,md5,filename\n").is_none());
    }
}
