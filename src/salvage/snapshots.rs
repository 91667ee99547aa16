//! The snapshot list of a salvaged machine: what is still true of it at the chosen point.

use std::collections::BTreeMap;

use vmglean_formats::{dict::quote, vmsd::Vmsd};

use crate::source::base_name;

/// A list that fits the disks carried over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CleanedList {
    /// The text; `None` where the list is kept byte for byte.
    pub(super) text: Option<Vec<u8>>,
    /// Uids kept, oldest first.
    pub(super) kept: Vec<u64>,
    /// Uids dropped: taken after the chosen point, or of disks that are not carried over.
    pub(super) dropped: Vec<u64>,
    /// `.vmsn` names of the kept ones, as written.
    pub(super) state_files: Vec<String>,
}

/// The snapshot that froze exactly these disks, by base name in lower case.
#[must_use]
pub(super) fn snapshot_of(vmsd: &Vmsd, disk: &str) -> Option<u64> {
    let wanted = disk.to_lowercase();
    let froze = vmsd.snapshots.iter().filter(|node| {
        node.disks.iter().any(|d| d.file_name.as_deref().is_some_and(|f| base(f) == wanted))
    });
    // A disk may be frozen by several snapshots of one point; the last taken is nearest.
    froze.max_by_key(|node| (node.create_time_us, node.uid)).and_then(|node| node.uid)
}

fn base(name: &str) -> String {
    String::from_utf8_lossy(base_name(name.as_bytes())).to_lowercase()
}

/// Cleans `vmsd` to the disks in `frozen` (base names in lower case of every link below the ones
/// the machine now writes to). A snapshot stays where every disk it froze is among them.
#[must_use]
pub(super) fn clean(vmsd: &Vmsd, frozen: &[String]) -> CleanedList {
    let stays = |node: &vmglean_formats::vmsd::SnapshotNode| {
        !node.disks.is_empty()
            && node.disks.iter().all(|disk| {
                disk.file_name.as_deref().is_some_and(|name| frozen.contains(&base(name)))
            })
    };
    let mut kept: Vec<_> = vmsd.snapshots.iter().filter(|node| stays(node)).collect();
    let dropped: Vec<u64> =
        vmsd.snapshots.iter().filter(|node| !stays(node)).filter_map(|node| node.uid).collect();
    kept.sort_by_key(|node| (node.create_time_us, node.uid));
    let uids: Vec<u64> = kept.iter().filter_map(|node| node.uid).collect();
    let state_files = kept.iter().filter_map(|node| node.file_name.clone()).collect();
    let text = (!dropped.is_empty()).then(|| write(vmsd, &kept, &uids));
    CleanedList { text, kept: uids, dropped, state_files }
}

fn write(vmsd: &Vmsd, kept: &[&vmglean_formats::vmsd::SnapshotNode], uids: &[u64]) -> Vec<u8> {
    let mut out = String::from(".encoding = \"UTF-8\"\n");
    let mut line = |key: &str, value: &str| {
        out.push_str(key);
        out.push_str(" = ");
        out.push_str(&quote(value));
        out.push('\n');
    };
    let last = vmsd.last_uid.or(uids.iter().copied().max()).unwrap_or(0);
    line("snapshot.lastUID", &last.to_string());
    line("snapshot.current", &uids.last().copied().unwrap_or(0).to_string());
    let mut fields: BTreeMap<u32, Vec<(&str, &str, &str)>> = BTreeMap::new();
    for (_, entry) in vmsd.dictionary.with_prefix("snapshot") {
        let Some(rest) = entry.key.get("snapshot".len()..) else { continue };
        let Some((number, field)) = rest.split_once('.') else { continue };
        let Ok(number) = number.parse() else { continue };
        fields.entry(number).or_default().push((field, &entry.key, &entry.value));
    }
    for (index, node) in kept.iter().enumerate() {
        for (field, _, value) in fields.get(&node.index).into_iter().flatten() {
            // A parent that is gone would make the list unreadable.
            let lost_parent = field.eq_ignore_ascii_case("parent")
                && value.parse::<u64>().is_ok_and(|uid| !uids.contains(&uid));
            if !lost_parent {
                line(&format!("snapshot{index}.{field}"), value);
            }
        }
    }
    line("snapshot.numSnapshots", &kept.len().to_string());
    out.into_bytes()
}

#[cfg(test)]
mod tests {
    use vmglean_forge::vm::text::{three_snapshots, vmsd};

    use super::*;

    #[test]
    fn a_list_keeps_what_its_disks_still_hold() {
        let whole = Vmsd::parse(&vmsd(&three_snapshots(), 3, false)).value;
        let all: Vec<String> =
            ["server.vmdk", "server-000001.vmdk", "server-000002.vmdk"].map(str::to_owned).to_vec();
        let same = clean(&whole, &all);
        assert_eq!((same.text, same.kept), (None, vec![1, 2, 3]));

        // The machine now writes to server-000002, so the snapshot that froze it is gone.
        let cleaned = clean(&whole, &all[..2]);
        assert_eq!((cleaned.kept, cleaned.dropped), (vec![1, 2], vec![3]));
        let read = Vmsd::parse(&cleaned.text.unwrap());
        assert_eq!(read.defects, []);
        assert_eq!((read.value.current, read.value.num_snapshots), (Some(2), Some(2)));
        assert_eq!(read.value.by_uid(2).unwrap().parent, Some(1));
        assert_eq!(cleaned.state_files, ["server-Snapshot1.vmsn", "server-Snapshot2.vmsn"]);
        assert_eq!(snapshot_of(&whole, "SERVER-000001.vmdk"), Some(2));

        let none = Vmsd::parse(&clean(&whole, &[]).text.unwrap());
        assert_eq!((none.defects, none.value.num_snapshots), (vec![], Some(0)));
    }
}
