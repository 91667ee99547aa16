//! `$ATTRIBUTE_LIST`: which records hold the attributes of a file that needs several.

use serde::Serialize;

use super::{Reference, array, u16_at, u32_at, u64_at, wtf8};

/// One attribute, or one part of one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ListEntry {
    /// Kind of attribute.
    pub kind: u32,
    /// Its name in WTF-8; empty for the unnamed one.
    pub name: Vec<u8>,
    /// First cluster that the part covers.
    pub first_vcn: u64,
    /// Record that holds it.
    pub record: Reference,
    /// Attribute's id in that record.
    pub id: u16,
}

/// Reads a list's content. The flag says whether it was whole: entries that end with the bytes.
#[must_use]
pub fn attribute_list(bytes: &[u8]) -> (Vec<ListEntry>, bool) {
    let mut entries = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let entry = (|| {
            let length = usize::from(u16_at(rest, 4)?);
            if length < 26 {
                return None;
            }
            let (entry, next) = rest.split_at_checked(length)?;
            let [name_length, name_at] = array(entry, 6)?;
            let from = usize::from(name_at);
            let to = from.checked_add(usize::from(name_length).checked_mul(2)?)?;
            let name = if name_length == 0 { Vec::new() } else { wtf8(entry.get(from..to)?) };
            let entry = ListEntry {
                kind: u32_at(entry, 0)?,
                name,
                first_vcn: u64_at(entry, 8)?,
                record: Reference::new(u64_at(entry, 16)?),
                id: u16_at(entry, 24)?,
            };
            Some((entry, next))
        })();
        let Some((entry, next)) = entry else { return (entries, false) };
        entries.push(entry);
        rest = next;
    }
    (entries, true)
}
