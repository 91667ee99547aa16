//! What the bytes look like where no format explains them.

use vmglean_formats::{ByteOffset, FileKind};

use super::Told;
use crate::{
    families::{Families, NameKind, NameParts},
    finding::Weight,
    report::{
        inspect::{FieldRecord, InspectedFile},
        record::Fraction,
    },
    source::Source,
    triage::{
        notes::{MAX_NOTE_BYTES, judge_note, may_be_note},
        quick::{
            DiskContext, DiskState, ExtentKind, QuickOptions, SmallContext, SmallState, judge_disk,
            judge_small,
        },
    },
};

/// Judges disks by samples, small files whole, and texts as notes.
pub(super) fn judge(
    source: &dyn Source,
    kind: Option<FileKind>,
    name: &NameParts,
    families: &Families,
    is_disk: bool,
    file: &mut InspectedFile,
    told: &mut Told,
) {
    if file.size_bytes == 0 {
        // Hosts leave these empty: a machine without snapshots, a lock without owner.
        let may_be_empty = matches!(
            name.kind,
            NameKind::Other | NameKind::Vmsd | NameKind::Lock | NameKind::OtherVmware
        );
        if !may_be_empty {
            told.push("file.empty", Weight::Damage, None, "has no bytes".to_owned(), "");
        }
        return;
    }
    if is_disk {
        return disk(source, kind, name, families, file, told);
    }
    if kind.is_none() && note(source, name, families, file, told) {
        return;
    }
    let named = !matches!(name.kind, NameKind::Other | NameKind::OtherVmware | NameKind::Lock);
    // Guest memory, swap and media have no form of their own that could be missed.
    let shapeless = matches!(name.kind, NameKind::Vmem | NameKind::Vswp | NameKind::Media);
    if kind.is_none() && file.format.is_none() && !shapeless {
        small(source, name, named, file, told);
    }
}

fn disk(
    source: &dyn Source,
    kind: Option<FileKind>,
    name: &NameParts,
    families: &Families,
    file: &mut InspectedFile,
    told: &mut Told,
) {
    let stream = file.format.as_deref().is_some_and(|f| f.starts_with("streamOptimized"));
    let context = DiskContext {
        path: told.path.clone(),
        kind: match (kind, name.kind) {
            (Some(FileKind::VmdkSparse), _) if stream => ExtentKind::Stream,
            (Some(FileKind::VmdkSparse), _) | (None, NameKind::Vmdk | NameKind::SparseExtent) => {
                ExtentKind::Sparse
            }
            (Some(FileKind::VmdkCowd), _) | (None, NameKind::Delta) => ExtentKind::Cowd,
            (Some(FileKind::VmdkSeSparse), _) | (None, NameKind::SeSparse) => ExtentKind::SeSparse,
            _ => ExtentKind::Flat,
        },
        suffixes: name.suffixes.clone(),
        ..DiskContext::default()
    };
    if name.kind == NameKind::Flat && file.format.is_none() {
        file.format = Some("plain disk content".to_owned());
        file.rests_on = Some("its name".to_owned());
    }
    let judged = judge_disk(source, &context, &QuickOptions::default(), families);
    for seen in &judged.evidence {
        file.fields.push(FieldRecord {
            structure: "content".to_owned(),
            field: serde_json::to_value(seen.kind)
                .ok()
                .and_then(|kind| kind.as_str().map(str::to_owned))
                .unwrap_or_default(),
            offset_bytes: seen.offset_bytes,
            length_bytes: seen.length_bytes,
            value: seen.detail.clone(),
            note: None,
        });
    }
    if let Some(family) = &judged.family {
        let what = format!("{}: {}", family.name, family.rests_on.join("; "));
        told.push("content.family", Weight::Note, None, what, "");
    }
    let share = judged.encrypted.map_or_else(String::new, |share| {
        format!(
            "; {} to {} of it encrypted by {} samples",
            Fraction::new(share.low),
            Fraction::new(share.high),
            judged.samples
        )
    });
    let (code, weight) = match judged.state {
        DiskState::Untouched => ("content.no-sign-of-damage", Weight::Note),
        DiskState::Encrypted => ("content.encrypted", Weight::Damage),
        DiskState::PartlyEncrypted => ("content.partly-encrypted", Weight::Damage),
        DiskState::Damaged => ("content.damaged", Weight::Damage),
        DiskState::Undetermined => ("content.undetermined", Weight::Damage),
    };
    let share = if judged.state == DiskState::Untouched { String::new() } else { share };
    told.push(code, weight, None, format!("{}{share}", judged.reason), "");
    for (at, length, why) in &judged.unreadable {
        let what = format!("{length} bytes cannot be read: {why}");
        let next = "image the disk it lies on first, then read the image";
        told.push("file.unreadable", Weight::Unreadable, Some(*at), what, next);
    }
    if kind.is_none() && name.kind != NameKind::Flat && judged.state == DiskState::Untouched {
        not_what_it_says(name.kind, told);
    }
}

fn not_what_it_says(kind: NameKind, told: &mut Told) {
    let promised = promised(kind);
    let what = format!("named as {promised}, but nothing of one stands where it should");
    told.push("file.no-known-format", Weight::Damage, Some(0), what, "");
}

fn promised(kind: NameKind) -> &'static str {
    match kind {
        NameKind::Vmdk => "a disk",
        NameKind::Flat | NameKind::RawDeviceMap => "plain disk content",
        NameKind::SparseExtent => "a sparse extent",
        NameKind::Delta => "a vmfsSparse delta",
        NameKind::SeSparse => "a seSparse delta",
        NameKind::ChangeTracking => "change tracking",
        NameKind::Vmx | NameKind::VmxBackup | NameKind::Vmtx => "a configuration",
        NameKind::Vmxf => "a team configuration",
        NameKind::Vmsd => "a snapshot list",
        NameKind::Vmsn | NameKind::Vmss => "a checkpoint",
        NameKind::Nvram => "firmware memory",
        NameKind::Log => "a log",
        NameKind::Export => "an export",
        NameKind::Vmem
        | NameKind::Vswp
        | NameKind::Lock
        | NameKind::Media
        | NameKind::OtherVmware
        | NameKind::Other => "a file of a machine",
    }
}

/// Whether the file is a ransom note, told with what it says.
fn note(
    source: &dyn Source,
    name: &NameParts,
    families: &Families,
    file: &mut InspectedFile,
    told: &mut Told,
) -> bool {
    let mut whole = name.stem.clone();
    whole.extend(name.suffixes.iter().flat_map(|suffix| suffix.text.iter().copied()));
    if !may_be_note(&whole, file.size_bytes, families) {
        return false;
    }
    let limit = usize::try_from(MAX_NOTE_BYTES).unwrap_or(usize::MAX);
    let Ok(bytes) = source.read_up_to(ByteOffset(0), limit) else { return false };
    let Some(note) = judge_note(&whole, &bytes, families) else { return false };
    file.format = Some("ransom note".to_owned());
    file.rests_on = Some(note.reasons.join("; "));
    let mut row = |field: &str, value: String| {
        file.fields.push(FieldRecord {
            structure: "note".to_owned(),
            field: field.to_owned(),
            offset_bytes: 0,
            length_bytes: 0,
            value,
            note: None,
        });
    };
    for line in &note.quote {
        row("says", line.clone());
    }
    for id in &note.facts.victim_ids {
        row("victim id", id.clone());
    }
    for extension in &note.facts.extensions {
        row("extension", extension.clone());
    }
    for address in note.facts.onion_addresses.iter().chain(&note.facts.contacts) {
        row("address, never opened", address.clone());
    }
    let families: Vec<&str> = note.families.iter().map(|hint| hint.family.as_str()).collect();
    let by = if families.is_empty() {
        "of no family known here".to_owned()
    } else {
        format!("as {} leave it", families.join(", "))
    };
    told.push("note.ransom", Weight::Damage, None, format!("a ransom note {by}"), "");
    true
}

fn small(
    source: &dyn Source,
    name: &NameParts,
    named: bool,
    file: &mut InspectedFile,
    told: &mut Told,
) {
    let context =
        SmallContext { kind: name.kind, suffixes: name.suffixes.clone(), note_in_folder: false };
    let judged = judge_small(source, &context);
    file.fields.push(FieldRecord {
        structure: "content".to_owned(),
        field: "statistic".to_owned(),
        offset_bytes: 0,
        length_bytes: judged.length_bytes,
        value: format!(
            "entropy {:.3} bits a byte, chi-square {:.0} (255 ± 23 for random bytes)",
            judged.entropy_bits, judged.chi_square
        ),
        note: None,
    });
    let (code, weight) = match judged.state {
        SmallState::Encrypted => ("content.encrypted", Weight::Damage),
        SmallState::Damaged => ("content.damaged", Weight::Damage),
        SmallState::RandomLike => ("content.undetermined", Weight::Damage),
        SmallState::Zero => ("content.zero", Weight::Damage),
        SmallState::Unreadable => ("file.unreadable", Weight::Unreadable),
        SmallState::Intact
        | SmallState::LegitEncrypted
        | SmallState::Compressed
        | SmallState::Empty
        | SmallState::Unchecked => {
            if named {
                not_what_it_says(name.kind, told);
            }
            ("content.looked-at", Weight::Note)
        }
    };
    told.push(code, weight, None, judged.reason, "");
}
