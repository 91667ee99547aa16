//! What the name and the end of a file say of who was at work.

use vmglean_formats::{FileKind, ReadAt};

use super::Told;
use crate::{
    families::{Families, NameParts, SuffixMeaning},
    finding::{Weight, in_one_line},
    triage::footer::{FooterProof, FooterQuestion, read_footer},
};

/// Suffixes that no VMware product appends.
pub(super) fn of_name(name: &NameParts, told: &mut Told) {
    for suffix in &name.suffixes {
        let what = match suffix.meaning {
            SuffixMeaning::Ordinary | SuffixMeaning::Unknown => continue,
            SuffixMeaning::Known => "families are known to append it",
            SuffixMeaning::PerVictimRule => "has the shape that families make for each victim",
            SuffixMeaning::Sidecar => "families leave such a file beside what they encrypt",
        };
        let families: Vec<&str> = suffix.families.iter().map(|f| f.family.as_str()).collect();
        let text = String::from_utf8_lossy(&suffix.text);
        let what = format!("the suffix {text}: {what} ({})", families.join(", "));
        told.push("name.suffix", Weight::Damage, None, what, "");
    }
}

/// Bytes appended behind the disk.
pub(super) fn of_end(
    source: &dyn ReadAt,
    kind: Option<FileKind>,
    name: &NameParts,
    families: &Families,
    told: &mut Told,
) {
    let named = name.suffixes.iter().flat_map(|s| s.families.iter().map(|f| f.family.clone()));
    let question = FooterQuestion {
        whole_sectors: kind.is_none() || kind == Some(FileKind::VmdkSparse),
        expected_bytes: None,
        named: named.collect(),
    };
    let reading = match read_footer(source, &question, families) {
        Ok(reading) => reading,
        Err(error) => {
            let at = source.len_bytes().saturating_sub(512);
            let what = in_one_line(&error);
            return told.push("file.unreadable", Weight::Unreadable, Some(at), what, "");
        }
    };
    for layer in &reading.layers {
        let names: Vec<&str> = layer.families.iter().map(|f| f.family.as_str()).collect();
        let by = match layer.proof {
            FooterProof::Length => "its length fits, nothing more",
            FooterProof::Magic => "its magic stands at its place",
            FooterProof::Checked => "it proves itself",
        };
        let mut what =
            format!("{} bytes appended, as by {} ({by})", layer.length_bytes, names.join(", "));
        if names.is_empty() {
            what = format!("{} bytes appended ({by})", layer.length_bytes);
        }
        let weight = if reading.is_proven() || !name.suffixes.is_empty() {
            Weight::Damage
        } else {
            Weight::Note
        };
        told.push("footer.appended", weight, Some(layer.offset_bytes), what, "");
    }
    if question.whole_sectors
        && reading.layers.is_empty()
        && !source.len_bytes().is_multiple_of(512)
    {
        let what = format!(
            "{} bytes are no whole number of sectors: cut, or something is appended",
            source.len_bytes()
        );
        told.push("file.part-of-a-sector", Weight::Damage, None, what, "");
    }
}
