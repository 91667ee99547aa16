//! Hashes as a list in the form of hashdeep 4.

use std::io::{self, Write};

use crate::report::record::MapRecord;

/// Writes the hashes of the map's files. BLAKE3, which hashdeep does not know, stands in
/// comments. Files that could not be read whole are left out, with a comment.
///
/// # Errors
/// As the write says.
pub fn write_hash_list(out: &mut dyn Write, record: &MapRecord) -> io::Result<()> {
    let first = record.hashes.first();
    let kinds = [
        ("md5", first.is_some_and(|h| h.md5.is_some())),
        ("sha1", first.is_some_and(|h| h.sha1.is_some())),
        ("sha256", first.is_some_and(|h| h.sha256.is_some())),
    ];
    let words: Vec<&str> = kinds.iter().filter(|(_, on)| *on).map(|(word, _)| *word).collect();
    writeln!(out, "%%%% HASHDEEP-1.0")?;
    let columns: Vec<&str> =
        std::iter::once("size").chain(words.iter().copied()).chain(["filename"]).collect();
    writeln!(out, "%%%% {}", columns.join(","))?;
    writeln!(out, "## vmglean {}", env!("CARGO_PKG_VERSION"))?;
    writeln!(out, "##")?;
    for hash in &record.hashes {
        let path = hash.path.lossy();
        if path.contains(['\n', '\r']) {
            writeln!(out, "## a file whose name breaks lines is left out")?;
            continue;
        }
        if let Some(blake3) = &hash.blake3 {
            writeln!(out, "## blake3 {blake3} {path}")?;
        }
        if !hash.is_whole {
            writeln!(out, "## not read whole: {path}")?;
            continue;
        }
        write!(out, "{},", hash.size_bytes)?;
        for value in [&hash.md5, &hash.sha1, &hash.sha256].into_iter().flatten() {
            write!(out, "{value},")?;
        }
        writeln!(out, "{path}")?;
    }
    out.flush()
}
