//! One file taken apart: what it is, every field with its place, and what does not hold.
//!
//! Three questions, each answered by its own part: what do the bytes say ([`parse`]), does the
//! name or the end say that somebody was at work (`traces`), and do the files it names fit it
//! (`chain`).

mod chain;
mod content;
mod parse;
mod traces;

#[cfg(test)]
mod tests;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use vmglean_formats::FileKind;

use crate::{
    families::{Families, NameKind, split_suffix},
    finding::{Finding, Weight},
    outcome::Outcome,
    report::{inspect::InspectedFile, record::RecordPath},
    source::{Access, EvidenceRoot, RelPath},
};

pub use parse::{Parsed, Spare, parse};

/// How to inspect.
#[derive(Clone, Debug, Default)]
pub struct InspectOptions {
    /// How evidence is read.
    pub access: Access,
    /// The folder that names found in the file may lead to; by default the file's own.
    pub root: Option<PathBuf>,
}

/// One file taken apart.
#[derive(Debug)]
pub struct Inspected {
    /// What it is made of.
    pub file: InspectedFile,
    /// What that means for the exit code.
    pub outcome: Outcome,
    /// Copies of other files that lie inside.
    pub spares: Vec<Spare>,
}

/// Takes the file at `path` apart. Whatever is wrong with it is in the answer.
#[must_use]
pub fn inspect(path: &Path, options: &InspectOptions, families: &Families) -> Inspected {
    let mut file = InspectedFile {
        path: RecordPath(path.to_path_buf()),
        size_bytes: 0,
        format: None,
        rests_on: None,
        fields: Vec::new(),
        defects: Vec::new(),
        findings: Vec::new(),
        error: None,
    };
    let spares = look(path, options, families, &mut file).unwrap_or_else(|why| {
        file.error = Some(why);
        Vec::new()
    });
    Inspected { outcome: outcome(&file), file, spares }
}

/// Damage where a field or finding says so, in part where the medium failed.
fn outcome(file: &InspectedFile) -> Outcome {
    let mut outcome = if file.error.is_some() { Outcome::Partial } else { Outcome::Clean };
    if !file.defects.is_empty() {
        outcome = outcome.and(Outcome::Damage);
    }
    for finding in &file.findings {
        outcome = outcome.and(match finding.weight {
            Weight::Note => Outcome::Clean,
            Weight::Damage => Outcome::Damage,
            Weight::Unreadable => Outcome::Partial,
        });
    }
    outcome
}

fn look(
    path: &Path,
    options: &InspectOptions,
    families: &Families,
    file: &mut InspectedFile,
) -> Result<Vec<Spare>, String> {
    let (root, rel) = place(path, options)?;
    let root = Arc::new(root);
    let source = Arc::new(root.open_file(&rel).map_err(|error| match error {
        crate::source::OpenError::Special("a folder") => {
            "is a folder: name a file, or sweep the folder".to_owned()
        }
        other => other.to_string(),
    })?);
    file.size_bytes = source.stamp().len_bytes;
    let name = split_suffix(rel.file_name().as_encoded_bytes(), families);
    let Parsed { kind, format, rests_on, fields, defects, error, spares } = parse(&*source, &name);
    file.format = format;
    file.rests_on = rests_on;
    file.fields = fields;
    file.defects = defects;
    file.error = error;

    let shown = path.to_string_lossy().into_owned();
    let mut told = Told { path: shown, findings: Vec::new() };
    traces::of_name(&name, &mut told);
    if file.error.is_none() {
        let is_disk = is_disk(kind, name.kind, file.size_bytes);
        if is_disk {
            traces::of_end(&*source, kind, &name, families, &mut told);
        }
        content::judge(&*source, kind, &name, families, is_disk, file, &mut told);
    }
    if has_chain(kind, name.kind) {
        chain::follow(&root, &rel, families, file, &mut told);
    }
    file.findings = told.findings;
    Ok(spares)
}

/// The folder that names may lead to, and the file's place in it.
fn place(path: &Path, options: &InspectOptions) -> Result<(EvidenceRoot, RelPath), String> {
    let own = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let name = path.file_name().ok_or("is no file name")?;
    let open = |folder: &Path| {
        EvidenceRoot::open(folder, options.access)
            .map_err(|error| format!("its folder {}: {error}", folder.display()))
    };
    let Some(root) = &options.root else {
        return Ok((open(own)?, RelPath::default().join(name)));
    };
    let real = |folder: &Path| {
        folder.canonicalize().map_err(|error| format!("{}: {error}", folder.display()))
    };
    let (wide, own) = (real(root)?, real(own)?);
    let below = own.strip_prefix(&wide).ok().and_then(RelPath::new);
    let below = below.ok_or_else(|| format!("does not lie below {}", root.display()))?;
    Ok((open(root)?, below.join(name)))
}

/// Whether the bytes are, or should be, those of a disk.
fn is_disk(kind: Option<FileKind>, name: NameKind, size_bytes: u64) -> bool {
    let by_bytes =
        matches!(kind, Some(FileKind::VmdkSparse | FileKind::VmdkCowd | FileKind::VmdkSeSparse));
    let by_name = match name {
        NameKind::Flat | NameKind::Delta | NameKind::SeSparse | NameKind::SparseExtent => true,
        // Descriptors are small texts; anything longer under this name is a disk of its own.
        NameKind::Vmdk => size_bytes > 64 << 10,
        _ => false,
    };
    by_bytes || (by_name && kind != Some(FileKind::VmdkDescriptor))
}

fn has_chain(kind: Option<FileKind>, name: NameKind) -> bool {
    match kind {
        Some(
            FileKind::VmdkDescriptor
            | FileKind::VmdkSparse
            | FileKind::VmdkCowd
            | FileKind::VmdkSeSparse,
        ) => true,
        None => matches!(name, NameKind::Delta | NameKind::SeSparse | NameKind::SparseExtent),
        Some(_) => false,
    }
}

/// Findings about one file as they are collected.
struct Told {
    path: String,
    findings: Vec<Finding>,
}

impl Told {
    fn push(&mut self, code: &str, weight: Weight, at: Option<u64>, what: String, next: &str) {
        self.findings.push(Finding {
            code: code.to_owned(),
            weight,
            path: self.path.clone(),
            offset_bytes: at,
            what,
            next: (!next.is_empty()).then(|| next.to_owned()),
        });
    }
}
