//! A guest's files for people.

use std::io::{self, Write};

use super::record::{FileLine, FilesSummary, VolumeRecord};
use crate::report::{
    plain::{plain, plain_path},
    text::layout::{BAD, BOLD, DIM, GOOD, left, painted, right},
    units::{bytes, count},
};

/// Folders and kinds listed.
const MOST_GROUPS: usize = 20;

/// Writes the volumes.
///
/// # Errors
/// As the write says.
pub fn write_volumes(out: &mut dyn Write, volumes: &[VolumeRecord]) -> io::Result<()> {
    if volumes.is_empty() {
        writeln!(out, "no volume found: no partition table, boot sector or file record survives")?;
    }
    for volume in volumes {
        let kind = volume.kind.as_deref().unwrap_or("unknown");
        let size = volume.length_bytes.map_or("length unknown".to_owned(), bytes);
        let title =
            format!("volume {}: {kind}, {size} at {:#x}", volume.volume, volume.offset_bytes);
        let name = if volume.name.is_empty() { "" } else { "  " };
        writeln!(out, "{}{name}{}", painted(BOLD, &title), plain(&volume.name))?;
        if let Some(outer) = volume.inside {
            writeln!(
                out,
                "  inside a file of volume {outer}: listed with --volume {}",
                volume.volume
            )?;
        }
        for why in &volume.rests_on {
            writeln!(out, "  {}", painted(DIM, &plain(why)))?;
        }
    }
    Ok(())
}

/// Writes one line a file.
///
/// # Errors
/// As the write says.
pub fn write_files(out: &mut dyn Write, files: &[FileLine]) -> io::Result<()> {
    for file in files {
        let style = match file.verdict.as_str() {
            "proven" | "intact" => GOOD,
            "encrypted" | "lost" | "contradicted" => BAD,
            _ => BOLD,
        };
        let time = file.modified.as_deref().and_then(|time| time.get(..16)).unwrap_or("-");
        let deleted = if file.deleted { " (deleted)" } else { "" };
        writeln!(
            out,
            "{} {} {}  {}{deleted}",
            painted(style, &left(&file.verdict, 12)),
            right(&bytes(file.size_bytes), 9),
            left(time, 16),
            plain_path(&file.path)
        )?;
    }
    Ok(())
}

/// Writes the summary: files by verdict, by folder, by kind.
///
/// # Errors
/// As the write says.
pub fn write_summary(out: &mut dyn Write, summary: &FilesSummary) -> io::Result<()> {
    let whole = summary.whole();
    writeln!(
        out,
        "{}",
        painted(
            BOLD,
            &format!(
                "{} of {} files whole, {}",
                count(whole.files),
                count(summary.all()),
                bytes(whole.bytes)
            )
        )
    )?;
    for (verdict, tallied) in &summary.verdicts {
        writeln!(
            out,
            "  {} {} files  {}",
            left(verdict, 13),
            right(&count(tallied.files), 11),
            right(&bytes(tallied.bytes), 9)
        )?;
    }
    if summary.deleted.files > 0 {
        writeln!(out, "  and {} deleted before, kept apart", count(summary.deleted.files))?;
    }
    if summary.map_alarms > 0 {
        let text = format!(
            "  map alarm: {} files that the map calls intact contradict themselves",
            count(summary.map_alarms)
        );
        writeln!(out, "{}", painted(BAD, &text))?;
    }
    if summary.rebuilt_logs > 0 {
        let logs = count(summary.rebuilt_logs);
        writeln!(out, "  {logs} damaged event logs rebuilt from their chunks that hold")?;
    }
    for (title, groups) in [("by folder", &summary.folders), ("by kind", &summary.kinds)] {
        let mut all: Vec<_> = groups.iter().collect();
        all.sort_by_key(|(name, by)| {
            (std::cmp::Reverse(by.values().map(|t| t.files).sum::<u64>()), (*name).clone())
        });
        writeln!(out, "{title}")?;
        for (name, by) in all.iter().take(MOST_GROUPS) {
            let files: u64 = by.values().map(|tallied| tallied.files).sum();
            let whole: u64 =
                ["proven", "intact"].iter().filter_map(|w| by.get(*w)).map(|t| t.files).sum();
            let name = if name.is_empty() { "(top)" } else { name.as_str() };
            writeln!(
                out,
                "  {} {} of {} whole",
                left(&plain(name), 32),
                right(&count(whole), 9),
                count(files)
            )?;
        }
        if all.len() > MOST_GROUPS {
            writeln!(out, "  and {} more", count((all.len() - MOST_GROUPS) as u64))?;
        }
    }
    Ok(())
}
