//! Sums over a sweep: what the first line of an answer says.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{MachineRecord, MachineVerdict, Route};

/// Sums of one class of machines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassTotal {
    /// How many machines.
    pub machines: u64,
    /// How many disks they have.
    pub disks: u64,
    /// Sum of the disks' capacities, where known.
    pub capacity_bytes: u64,
    /// Sum of what the disks' files hold, where known.
    pub allocated_bytes: u64,
}

impl ClassTotal {
    fn add(&mut self, machine: &MachineRecord) {
        self.machines += 1;
        self.disks += machine.disks.len() as u64;
        for disk in &machine.disks {
            self.capacity_bytes =
                self.capacity_bytes.saturating_add(disk.capacity_bytes.unwrap_or(0));
            self.allocated_bytes =
                self.allocated_bytes.saturating_add(disk.allocated_bytes.unwrap_or(0));
        }
    }
}

/// Sums over a whole sweep.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// All machines.
    pub all: ClassTotal,
    /// By verdict; every verdict is there, with zeros where there is none.
    pub by_verdict: BTreeMap<MachineVerdict, ClassTotal>,
    /// By route; every route is there.
    pub by_route: BTreeMap<Route, ClassTotal>,
    /// Files that belong to no machine found.
    pub orphans: u64,
    /// Ransom notes.
    pub notes: u64,
    /// Places that could not be read.
    pub unreadable: u64,
    /// Files looked at.
    pub files: u64,
}

impl Totals {
    /// The sums of `machines`; the four counts of files are the caller's to fill.
    #[must_use]
    pub fn of(machines: &[MachineRecord]) -> Self {
        let mut totals = Self {
            by_verdict: MachineVerdict::ALL.map(|v| (v, ClassTotal::default())).into(),
            by_route: Route::ALL.map(|r| (r, ClassTotal::default())).into(),
            ..Self::default()
        };
        for machine in machines {
            totals.all.add(machine);
            totals.by_verdict.entry(machine.verdict).or_default().add(machine);
            totals.by_route.entry(machine.route).or_default().add(machine);
        }
        totals
    }
}
