//! Maps in the grammar of GNU ddrescue (its manual, "Mapfile structure"), so that other tools
//! can work with them.

use std::io::{self, Write};

use crate::report::record::{MapRecord, MapState};

/// The status of a state: `+` what can be used, `?` what nothing explains, `-` encrypted,
/// `*` unreadable, `/` damaged.
fn status(state: MapState) -> char {
    match state {
        MapState::Zero | MapState::Absent | MapState::Intact => '+',
        MapState::Undetermined => '?',
        MapState::Encrypted => '-',
        MapState::Unreadable => '*',
        MapState::Damaged => '/',
    }
}

/// Writes the map as a ddrescue mapfile.
///
/// # Errors
/// As the write says.
pub fn write_mapfile(out: &mut dyn Write, record: &MapRecord) -> io::Result<()> {
    writeln!(out, "# Mapfile. Created by vmglean {}", env!("CARGO_PKG_VERSION"))?;
    writeln!(
        out,
        "# + intact, zero or absent  ? undetermined  - encrypted  * unreadable  / damaged"
    )?;
    writeln!(out, "# current_pos  current_status  current_pass")?;
    writeln!(out, "0x00000000     +               1")?;
    writeln!(out, "#      pos        size  status")?;
    let mut open: Option<(u64, u64, char)> = None;
    for run in &record.runs {
        let mark = status(run.state);
        match &mut open {
            Some((_, length, last)) if *last == mark => *length += run.length_bytes,
            _ => {
                line(out, open)?;
                open = Some((run.offset_bytes, run.length_bytes, mark));
            }
        }
    }
    line(out, open)?;
    out.flush()
}

fn line(out: &mut dyn Write, run: Option<(u64, u64, char)>) -> io::Result<()> {
    match run {
        Some((at, length, mark)) => writeln!(out, "0x{at:08X}  0x{length:08X}  {mark}"),
        None => Ok(()),
    }
}
