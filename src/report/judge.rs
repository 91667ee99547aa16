//! What the renderers agree on: order of groups, worst disk, wording of a share.

use super::record::{DiskRecord, DiskVerdict, MachineRecord, MachineVerdict, Method, Route};
use crate::finding::Weight;

/// Verdicts in the order in which a person can act on them.
pub(super) const ORDER: [MachineVerdict; 6] = [
    MachineVerdict::Untouched,
    MachineVerdict::ConfigLost,
    MachineVerdict::PartlyEncrypted,
    MachineVerdict::Incomplete,
    MachineVerdict::Undetermined,
    MachineVerdict::Encrypted,
];

/// What a class means for the person who reads it.
pub(super) fn meaning(verdict: MachineVerdict) -> &'static str {
    match verdict {
        MachineVerdict::Untouched => "no sign of damage: can come back first",
        MachineVerdict::ConfigLost => "disks show no damage: rebuild the small files",
        MachineVerdict::PartlyEncrypted => "part of the data is lost: salvage the rest",
        MachineVerdict::Incomplete => "something is missing: see what fits",
        MachineVerdict::Undetermined => "cannot be said: look first",
        MachineVerdict::Encrypted => "restore from backup",
    }
}

/// What a route means in words.
pub(super) fn way(route: Route) -> &'static str {
    match route {
        Route::Redeploy => "register as it is",
        Route::RebuildConfig => "rebuild the configuration",
        Route::RollbackSnapshot => "roll back to a snapshot",
        Route::SalvageDisk => "salvage the disk",
        Route::RestoreBackup => "restore from backup",
        Route::Examine => "examine first",
    }
}

/// How bad a disk's verdict is, for "worst first".
fn gravity(verdict: DiskVerdict) -> u8 {
    match verdict {
        DiskVerdict::Untouched => 0,
        DiskVerdict::GuestEncrypted => 1,
        DiskVerdict::DescriptorLost => 2,
        DiskVerdict::Undetermined => 3,
        DiskVerdict::Incomplete => 4,
        DiskVerdict::Damaged => 5,
        DiskVerdict::Unreadable => 6,
        DiskVerdict::PartlyEncrypted => 7,
        DiskVerdict::Encrypted => 8,
    }
}

/// The disk a machine is listed by.
pub(super) fn worst_disk(machine: &MachineRecord) -> Option<&DiskRecord> {
    // The first of equals: max_by would give the last.
    machine.disks.iter().rev().max_by_key(|d| (gravity(d.verdict), d.encrypted_fraction_high))
}

/// Machines of one verdict, worst first, then by name.
pub(super) fn worst_first(
    machines: &[MachineRecord],
    verdict: MachineVerdict,
) -> Vec<&MachineRecord> {
    let mut group: Vec<_> = machines.iter().filter(|m| m.verdict == verdict).collect();
    group.sort_by_key(|m| {
        let disk = worst_disk(m).map(|d| (gravity(d.verdict), d.encrypted_fraction));
        let findings = m.findings.iter().filter(|f| f.weight > Weight::Note).count();
        (std::cmp::Reverse((disk, findings)), &m.name, &m.id)
    });
    group
}

/// Capacity of all disks, where known; whether some are not.
pub(super) fn capacity(machine: &MachineRecord) -> (u64, bool) {
    let known = machine.disks.iter().filter_map(|d| d.capacity_bytes);
    let unknown = machine.disks.iter().any(|d| d.capacity_bytes.is_none());
    (known.fold(0, u64::saturating_add), unknown)
}

/// Whether what is not encrypted of `disk` may be shown as good: nothing else is against it.
pub(super) fn rest_is_good(disk: &DiskRecord) -> bool {
    match disk.verdict {
        DiskVerdict::Untouched
        | DiskVerdict::DescriptorLost
        | DiskVerdict::PartlyEncrypted
        | DiskVerdict::Encrypted => true,
        DiskVerdict::GuestEncrypted
        | DiskVerdict::Undetermined
        | DiskVerdict::Incomplete
        | DiskVerdict::Damaged
        | DiskVerdict::Unreadable => false,
    }
}

/// The encrypted share with its interval, or the verdict's word where nothing was measured or
/// no share would tell what is the matter.
pub(super) fn share(disk: &DiskRecord) -> String {
    let Some(share) = disk.encrypted_fraction else { return disk.verdict.word().to_owned() };
    if share.parts_per_million() == 0 && !rest_is_good(disk) {
        return disk.verdict.word().to_owned();
    }
    let (low, high) = interval(disk);
    if disk.method == Method::Full || low == high {
        return share.to_string();
    }
    let (low, high) = (low.to_string(), high.to_string());
    if share.parts_per_million() == 0 {
        return format!("0% (to {high})");
    }
    // "31–45%", but "<0.1%–3.2%": the sign belongs to its own number.
    let low = if low.starts_with(['<', '>']) { low } else { low.replace('%', "") };
    format!("{share} ({low}–{high})")
}

/// The interval's ends; the estimate itself where none is given.
pub(super) fn interval(disk: &DiskRecord) -> (super::record::Fraction, super::record::Fraction) {
    let share = disk.encrypted_fraction.unwrap_or_default();
    let low = disk.encrypted_fraction_low.unwrap_or(share).min(share);
    let high = disk.encrypted_fraction_high.unwrap_or(share).max(share);
    (low, high)
}

#[cfg(test)]
mod tests {
    use super::{share, worst_disk};
    use crate::report::made;

    #[test]
    fn a_machine_is_listed_by_its_worst_disk() {
        let record = made::small();
        let sql = &record.machines[2];
        assert_eq!(worst_disk(sql), sql.disks.first());
        assert_eq!(share(&sql.disks[0]), "38% (31–45%)");
        assert_eq!(share(&sql.disks[1]), "<0.1% (0–0.4%)");
        assert_eq!(share(&record.machines[0].disks[0]), "0% (to 0.4%)");
        assert_eq!(share(&record.machines[0].disks[1]), "guest-encrypted");
        assert_eq!(share(&record.machines[6].disks[0]), "100% (99.6–100%)");
    }
}
