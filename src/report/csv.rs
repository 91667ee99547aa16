//! A sweep as a table for spreadsheets: one row a disk, the machine's columns beside it.
//!
//! For people. A cell that a spreadsheet would take for a formula starts with an apostrophe, and
//! what could hide text is spelled out; scripts read the JSON, which holds every byte.

use std::io::{self, Write};

use super::{
    plain::{plain, plain_path},
    record::{DiskRecord, Fraction, MachineRecord, SweepRecord},
};

const HEAD: [&str; 19] = [
    "machine",
    "folder",
    "machine_verdict",
    "route",
    "reason",
    "next_command",
    "config_state",
    "disk",
    "disk_verdict",
    "capacity_bytes",
    "allocated_bytes",
    "encrypted_fraction",
    "encrypted_fraction_low",
    "encrypted_fraction_high",
    "zero_fraction",
    "method",
    "samples",
    "family",
    "disk_reason",
];

/// Writes the table with its heading. A machine without a disk has one row.
///
/// # Errors
/// As the write says.
pub fn write_sweep(out: &mut dyn Write, record: &SweepRecord) -> io::Result<()> {
    write_row(out, HEAD.iter().map(|h| (*h).to_owned()))?;
    for machine in &record.machines {
        if machine.disks.is_empty() {
            write_row(out, row(machine, None))?;
        }
        for disk in &machine.disks {
            write_row(out, row(machine, Some(disk)))?;
        }
    }
    out.flush()
}

fn row(machine: &MachineRecord, disk: Option<&DiskRecord>) -> impl Iterator<Item = String> {
    let text = |t: &str| guarded(&plain(t));
    let number = |n: Option<u64>| n.map(|n| n.to_string()).unwrap_or_default();
    let share = |f: Option<Fraction>| f.map(|f| format!("{:.6}", f.value())).unwrap_or_default();
    let mut cells = vec![
        text(&machine.name),
        guarded(&plain_path(&machine.folder)),
        machine.verdict.word().to_owned(),
        machine.route.word().to_owned(),
        text(&machine.reason),
        text(&machine.next_command),
        super::word(&machine.config.state),
    ];
    if let Some(disk) = disk {
        cells.extend([
            guarded(&plain_path(&disk.leaf)),
            disk.verdict.word().to_owned(),
            number(disk.capacity_bytes),
            number(disk.allocated_bytes),
            share(disk.encrypted_fraction),
            share(disk.encrypted_fraction_low),
            share(disk.encrypted_fraction_high),
            share(disk.zero_fraction),
            super::word(&disk.method),
            disk.samples.to_string(),
            disk.family.as_deref().map(text).unwrap_or_default(),
            text(&disk.reason),
        ]);
    }
    cells.resize(HEAD.len(), String::new());
    cells.into_iter()
}

/// Spreadsheets run cells that begin like formulas; ours are text.
fn guarded(text: &str) -> String {
    if text.starts_with(['=', '+', '-', '@']) { format!("'{text}") } else { text.to_owned() }
}

/// One row as RFC 4180 has it.
fn write_row(out: &mut dyn Write, cells: impl Iterator<Item = String>) -> io::Result<()> {
    let quoted = cells.map(|cell| {
        if cell.contains([',', '"', '\n', '\r']) || cell.starts_with(' ') || cell.ends_with(' ') {
            format!("\"{}\"", cell.replace('"', "\"\""))
        } else {
            cell
        }
    });
    let line = quoted.collect::<Vec<_>>().join(",");
    out.write_all(line.as_bytes())?;
    out.write_all(b"\r\n")
}

#[cfg(test)]
mod tests {
    use super::{HEAD, write_sweep};
    use crate::report::made;

    fn table(record: &crate::report::record::SweepRecord) -> String {
        let mut out = Vec::new();
        write_sweep(&mut out, record).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_disk_is_a_row_and_a_machine_without_disks_too() {
        let mut record = made::small();
        record.machines[0].disks.clear();
        let text = table(&record);
        assert_eq!(text.lines().count(), 1 + 1 + 8);
        assert!(text.starts_with(&HEAD.join(",")));
        let sql = text.lines().find(|l| l.contains("SQL01/SQL01.vmdk")).unwrap();
        assert_eq!(
            sql,
            "SQL01,ds01/SQL01,partly-encrypted,salvage-disk,1 MiB of every 8 MiB is encrypted in \
             the first 512 MiB; the file table lies behind,vmglean salvage ds01/SQL01 --out /case,\
             intact,ds01/SQL01/SQL01.vmdk,partly-encrypted,134217728000,65498251264,0.382000,\
             0.310000,0.454000,0.512000,sampled,688,Qilin,random-like runs of 1 MiB every 8 MiB"
        );
    }

    #[test]
    fn a_name_that_is_a_formula_stays_text() {
        let mut record = made::small();
        record.machines[0].name = "=HYPERLINK(\"x\",\"y\")\n@a".into();
        assert!(table(&record).contains("\"'=HYPERLINK(\"\"x\"\",\"\"y\"\")\\n@a\",ds01/DC01"));
    }
}
