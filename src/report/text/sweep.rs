//! A sweep on one screen: what can be had back, in the order in which a person can act.

use std::{
    fmt::Write as _,
    io::{self, Write},
};

use super::{
    bar,
    layout::{BOLD, DIM, fit, left, of_verdict, painted, right, wrap},
};
use crate::{
    finding::{Finding, Weight},
    report::{
        judge::{self, ORDER},
        plain::{plain, plain_path},
        record::{
            ClassTotal, DiskRecord, MachineRecord, MachineVerdict, Method, Route, SweepRecord,
        },
        units::{bytes, count, counted},
        word,
    },
};

/// How much to show, and how wide.
#[derive(Clone, Copy, Debug)]
pub struct TextOptions {
    /// Columns of the terminal; taken as 60 where fewer.
    pub columns: usize,
    /// Every machine, disk, finding and file, whatever the length.
    pub all: bool,
}

/// Lines that fit one screen and a turn of the wheel; more are counted, not listed.
const SCREEN_LINES: usize = 78;
/// So few machines are all shown with reason and command, even where that takes more lines.
const FEW: usize = 20;

/// Writes the answer of a sweep.
///
/// # Errors
/// As the write says.
pub fn write_sweep(
    out: &mut dyn Write,
    record: &SweepRecord,
    options: TextOptions,
) -> io::Result<()> {
    let page = Page { record, columns: options.columns.clamp(60, 160), all: options.all };
    let mut lines = page.head();
    let foot = page.foot();
    let room = SCREEN_LINES.saturating_sub(lines.len() + foot.len());
    let groups = page.groups(usize::MAX, true);
    if options.all || groups.len() <= room || record.machines.len() <= FEW {
        lines.extend(groups);
    } else {
        // As many of each group as fit; at least its worst one.
        let most = (1..=8).rev().find(|n| page.groups(*n, false).len() <= room).unwrap_or(1);
        lines.extend(page.groups(most, false));
    }
    lines.extend(foot);
    for line in lines {
        writeln!(out, "{}", line.trim_end())?;
    }
    out.flush()
}

struct Page<'a> {
    record: &'a SweepRecord,
    columns: usize,
    all: bool,
}

impl Page<'_> {
    /// What was swept and the totals by class.
    fn head(&self) -> Vec<String> {
        let totals = &self.record.totals;
        let sources: Vec<String> =
            self.record.sources.iter().map(|s| plain_path(&s.path)).collect();
        let sum = format!(
            "{}, {}, {} ({} stored), {} looked at",
            counted(totals.all.machines, "machine"),
            counted(totals.all.disks, "disk"),
            bytes(totals.all.capacity_bytes),
            bytes(totals.all.allocated_bytes),
            counted(totals.files, "file"),
        );
        let mut lines = vec![painted(BOLD, &fit(&sources.join(", "), self.columns))];
        lines.extend(wrap(&sum, self.columns));
        if totals.all.machines == 0 {
            lines.push(String::new());
            lines.push("No machine was found here.".to_owned());
            return lines;
        }
        lines.push(String::new());
        let bar_cells = self.columns.saturating_sub(2 + 16 + 2 + 8 + 2 + 7 + 2 + 9 + 2).min(40);
        lines.push(painted(
            DIM,
            &format!("  {}  {:>8}  {:>7}  {:>9}", left("", 16), "machines", "disks", "capacity"),
        ));
        for verdict in ORDER {
            let class = self.class(verdict);
            let row = format!(
                "{:>8}  {:>7}  {:>9}",
                count(class.machines),
                count(class.disks),
                bytes(class.capacity_bytes)
            );
            let style = if class.machines == 0 { DIM } else { of_verdict(verdict) };
            let cells = share_cells(class.capacity_bytes, totals.all.capacity_bytes, bar_cells);
            lines.push(format!(
                "  {}  {}  {}",
                painted(style, &left(verdict.word(), 16)),
                if class.machines == 0 { painted(DIM, &row) } else { row },
                painted(style, &"■".repeat(cells))
            ));
        }
        lines
    }

    fn class(&self, verdict: MachineVerdict) -> ClassTotal {
        self.record.totals.by_verdict.get(&verdict).copied().unwrap_or_default()
    }

    /// A block for each verdict that occurs, with at most `most` machines each.
    fn groups(&self, most: usize, details: bool) -> Vec<String> {
        let mut lines = Vec::new();
        for verdict in ORDER {
            let group = judge::worst_first(&self.record.machines, verdict);
            if group.is_empty() {
                continue;
            }
            let class = self.class(verdict);
            let sum = format!(
                "{}, {}: {}",
                counted(class.machines, "machine"),
                bytes(class.capacity_bytes),
                judge::meaning(verdict)
            );
            let word = verdict.word().to_uppercase();
            let mut heading = wrap(&sum, self.columns.saturating_sub(word.len() + 2)).into_iter();
            let first = heading.next().unwrap_or_default();
            lines.push(String::new());
            lines.push(format!("{}  {first}", painted(of_verdict(verdict).bold(), &word)));
            lines.extend(heading.map(|l| format!("  {l}")));
            for machine in group.iter().take(most) {
                lines.push(self.row(machine));
                if details {
                    self.details(machine, &mut lines);
                } else {
                    let reason = fit(&plain(&machine.reason), self.columns - 4);
                    lines.push(painted(DIM, &format!("    {reason}")));
                }
            }
            if !details && let Some(worst) = group.first() {
                // Whole, never shortened: it is to be copied.
                lines.push(format!("    $ {}", plain(&worst.next_command)));
            }
            if group.len() > most {
                lines.push(painted(
                    DIM,
                    &fit(&rest(group.get(most..).unwrap_or_default()), self.columns),
                ));
            }
        }
        lines
    }

    /// One machine: name, disks, capacity, share of the worst disk, route.
    fn row(&self, machine: &MachineRecord) -> String {
        let wide = self.columns >= 88;
        let roomy = self.columns >= 72;
        let fixed =
            2 + 2 + 20 + 2 + 17 + if roomy { 11 } else { 0 } + if wide { 10 + 12 } else { 0 };
        let name_room = self.columns.saturating_sub(fixed).min(40);
        let mut row = format!("  {}", painted(BOLD, &left(&plain(&machine.name), name_room)));
        if wide {
            let disks = counted(machine.disks.len() as u64, "disk");
            let _ = write!(row, "  {}", right(&disks, 8));
        }
        if roomy {
            let (known, unknown) = judge::capacity(machine);
            let size = match (known, unknown) {
                (0, true) => "?".to_owned(),
                (known, true) => format!(">{}", bytes(known)),
                (known, false) => bytes(known),
            };
            let _ = write!(row, "  {}", right(&size, 9));
        }
        let worst = judge::worst_disk(machine);
        if wide {
            let _ = write!(row, "  {}", worst.map_or(" ".repeat(10), |d| bar::share(d, 10)));
        }
        let share = worst.map_or_else(|| "no disk".to_owned(), judge::share);
        let _ = write!(row, "  {}  {}", left(&share, 20), machine.route.word());
        row
    }

    /// Why, each disk, what to do.
    fn details(&self, machine: &MachineRecord, lines: &mut Vec<String>) {
        let width = self.columns - 4;
        lines.extend(wrap(&plain(&machine.reason), width).iter().map(|l| format!("    {l}")));
        if machine.disks.len() > 1 || self.all || machine.disks.iter().any(|d| !d.strip.is_empty())
        {
            for disk in &machine.disks {
                lines.push(self.disk(disk));
            }
        }
        let findings = machine.findings.iter().filter(|f| f.weight > Weight::Note);
        if self.all {
            for finding in &machine.findings {
                lines
                    .extend(wrap(&finding_line(finding), width).iter().map(|l| format!("    {l}")));
            }
        } else if findings.count() > 1 {
            let many = counted(machine.findings.len() as u64, "finding");
            lines.push(painted(DIM, &format!("    {many}, listed with --all")));
        }
        // Whole, never shortened: it is to be copied.
        lines.push(format!("    $ {}", plain(&machine.next_command)));
    }

    fn disk(&self, disk: &DiskRecord) -> String {
        let cells = if self.columns >= 88 { 24 } else { 10 };
        let picture = if disk.strip.is_empty() {
            bar::share(disk, cells)
        } else {
            let drawn = disk.strip.chars().count().min(cells);
            bar::strip(&disk.strip, cells) + &" ".repeat(cells - drawn)
        };
        let name_room = self.columns.saturating_sub(4 + 2 + cells + 2 + 20 + 2 + 8);
        let note = match (&disk.family, disk.method) {
            (Some(family), _) => plain(family).into_owned(),
            (None, Method::Full) => "all read".to_owned(),
            (None, Method::Sampled | Method::None) => String::new(),
        };
        format!(
            "    {}  {picture}  {}  {}",
            left(&plain_path(&disk.leaf.file_name_path()), name_room),
            left(&judge::share(disk), 20),
            painted(DIM, &fit(&note, 8))
        )
    }

    /// Families, notes, orphans, what could not be read.
    fn foot(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let record = self.record;
        self.section(&mut lines, "FAMILIES", record.families.len(), |i| {
            record.families.get(i).map(|f| {
                format!(
                    "{}: {} confidence, {}, by {}: {}",
                    plain(&f.name),
                    word(&f.confidence),
                    counted(f.files, "file"),
                    word(&f.basis),
                    plain(&f.rests_on.join("; "))
                )
            })
        });
        self.section(
            &mut lines,
            "RANSOM NOTES (never open their links)",
            record.notes.len(),
            |i| {
                record.notes.get(i).map(|n| {
                    let mut line = plain_path(&n.path);
                    let _ = match n.families.as_slice() {
                        [] => write!(line, ": no known family"),
                        families => write!(line, ": like {}", plain(&families.join(", "))),
                    };
                    if let Some(id) = &n.victim_id {
                        let _ = write!(line, ", id {}", plain(id));
                    }
                    if let Some(extension) = &n.extension {
                        let _ = write!(line, ", extension {}", plain(extension));
                    }
                    line
                })
            },
        );
        self.section(&mut lines, "FILES OF NO MACHINE", record.orphans.len(), |i| {
            record.orphans.get(i).map(|o| {
                let mut line = format!(
                    "{} ({}, {})",
                    plain_path(&o.path),
                    plain(&o.kind),
                    bytes(o.size_bytes)
                );
                if let Some(first) = o.candidates.first() {
                    let _ = write!(
                        line,
                        ": perhaps of {}, {}",
                        plain(&first.machine),
                        plain(&first.why)
                    );
                }
                line
            })
        });
        self.section(&mut lines, "FINDINGS", record.findings.len(), |i| {
            record.findings.get(i).map(finding_line)
        });
        self.section(&mut lines, "UNREADABLE", record.unreadable.len(), |i| {
            record.unreadable.get(i).map(|u| {
                let mut line = plain_path(&u.path);
                if let Some(at) = u.offset_bytes {
                    let _ = write!(line, " at {at:#x}");
                }
                if let Some(length) = u.length_bytes {
                    let _ = write!(line, ", {}", bytes(length));
                }
                let _ = write!(line, ": {}; {}", plain(&u.error), plain(&u.next));
                line
            })
        });
        if record.totals.all.machines > 0 {
            lines.push(String::new());
            let legend = format!("{}; share and bar: the worst disk's", bar::LEGEND);
            lines.extend(wrap(&legend, self.columns).iter().map(|l| painted(DIM, l)));
        }
        lines
    }

    fn section(
        &self,
        lines: &mut Vec<String>,
        title: &str,
        len: usize,
        line: impl Fn(usize) -> Option<String>,
    ) {
        if len == 0 {
            return;
        }
        lines.push(String::new());
        lines.push(format!("{} ({})", painted(BOLD, title), count(len as u64)));
        let shown = match len {
            _ if self.all => len,
            0..=3 => len,
            _ if self.columns >= 88 => 2,
            _ => 1,
        };
        for text in (0..shown).filter_map(line) {
            let mut wrapped = wrap(&text, self.columns - 4).into_iter();
            lines.extend(wrapped.next().map(|l| format!("  {l}")));
            lines.extend(wrapped.map(|l| format!("    {l}")));
        }
        if shown < len {
            let more = count((len - shown) as u64);
            lines.push(painted(DIM, &format!("  and {more} more, listed with --all")));
        }
    }
}

/// Counts by route of the machines not listed.
fn rest(machines: &[&MachineRecord]) -> String {
    let by_route = Route::ALL
        .iter()
        .map(|route| (machines.iter().filter(|m| m.route == *route).count(), route))
        .filter(|(n, _)| *n > 0)
        .map(|(n, route)| format!("{} {route}", count(n as u64)))
        .collect::<Vec<_>>();
    format!(
        "    and {} more ({}), listed with --all",
        count(machines.len() as u64),
        by_route.join(", ")
    )
}

pub(in crate::report) fn finding_line(finding: &Finding) -> String {
    let mark = if finding.weight == Weight::Note { '-' } else { '!' };
    let mut line = format!("{mark} {}: {}", plain(&finding.path), plain(&finding.what));
    if let Some(at) = finding.offset_bytes {
        let _ = write!(line, " (at {at:#x})");
    }
    if let Some(next) = &finding.next {
        let _ = write!(line, "; {}", plain(next));
    }
    let _ = write!(line, " [{}]", plain(&finding.code));
    line
}

/// Cells of a bar for `part` of `whole`; something shows at least one, not everything leaves one.
fn share_cells(part: u64, whole: u64, cells: usize) -> usize {
    if part == 0 || whole == 0 || cells == 0 {
        return 0;
    }
    let exact = (u128::from(part) * cells as u128 / u128::from(whole)) as usize;
    if part == whole { cells } else { exact.clamp(1, cells.saturating_sub(1).max(1)) }
}
