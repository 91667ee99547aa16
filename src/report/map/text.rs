//! A map for people.

use std::io::{self, Write};

use crate::finding::Weight;
use crate::report::{
    plain::plain,
    record::{MapRecord, MapRun, MapState, PatternKind},
    text::layout::{BAD, BOLD, DIM, GOOD, painted, right, wrap},
    units,
};

/// Runs listed without `--all`.
const SHOWN_RUNS: usize = 24;

/// What each state's letter in the bar is; the graver wins in a cell.
fn letter(state: MapState) -> (&'static str, anstyle::Style, u8) {
    match state {
        MapState::Encrypted => ("█", BAD, 6),
        MapState::Unreadable => ("!", BAD, 5),
        MapState::Damaged => ("!", BAD, 4),
        MapState::Undetermined => ("?", DIM, 3),
        MapState::Intact => ("░", GOOD, 2),
        MapState::Zero => ("·", DIM, 1),
        MapState::Absent => (" ", DIM, 0),
    }
}

/// The word of the contract.
pub(super) fn word(state: MapState) -> &'static str {
    match state {
        MapState::Zero => "zero",
        MapState::Absent => "absent",
        MapState::Intact => "intact",
        MapState::Encrypted => "encrypted",
        MapState::Unreadable => "unreadable",
        MapState::Damaged => "damaged",
        MapState::Undetermined => "undetermined",
    }
}

/// Writes the map as text for `columns` columns; `all` lists every run.
///
/// # Errors
/// As the write says.
pub fn write_map(
    out: &mut dyn Write,
    record: &MapRecord,
    columns: usize,
    all: bool,
) -> io::Result<()> {
    let columns = columns.clamp(40, 200);
    let disk = record.disk.lossy();
    writeln!(out, "{}", painted(BOLD, &plain(&disk)))?;
    let appended = record.size_bytes.saturating_sub(record.original_size_bytes);
    let behind = match (&record.footer, appended) {
        (Some(footer), 1..) => {
            let whose = footer.family.as_deref().map_or(String::new(), |f| format!(" of {f}"));
            format!(", {} of them a footer{whose} appended to it", units::bytes(appended))
        }
        _ => String::new(),
    };
    writeln!(out, "{} ({} bytes){behind}", units::bytes(record.size_bytes), record.size_bytes)?;
    writeln!(out)?;
    writeln!(out, "{}", bar(record, columns))?;
    let end = units::bytes(record.size_bytes);
    writeln!(out, "{}", painted(DIM, &format!("0{}", right(&end, columns - 1))))?;
    let legend =
        "█ encrypted  ! unreadable or damaged  ? undetermined  ░ intact  · zero  (blank) absent";
    writeln!(out, "{}", painted(DIM, legend))?;
    writeln!(out)?;
    summary(out, record)?;
    writeln!(out)?;
    pattern(out, record, columns)?;
    for finding in &record.findings {
        let next =
            finding.next.as_deref().map_or(String::new(), |next| format!("; {}", plain(next)));
        let what = plain(&finding.what);
        let text = format!("{} {}: {what}{next}", finding.code, plain(&finding.path));
        for line in wrap(&text, columns) {
            writeln!(out, "{line}")?;
        }
    }
    runs(out, record, columns, all)?;
    out.flush()
}

fn bar(record: &MapRecord, cells: usize) -> String {
    let size = u128::from(record.size_bytes.max(1));
    let place = |cell: usize| (size * cell as u128 / cells as u128) as u64;
    let mut out = String::new();
    let mut first = 0;
    for cell in 0..cells {
        let (from, to) = (place(cell), place(cell + 1).max(place(cell) + 1));
        while record.runs.get(first).is_some_and(|r| r.offset_bytes + r.length_bytes <= from) {
            first += 1;
        }
        let inside = record.runs.iter().skip(first).take_while(|r| r.offset_bytes < to);
        let worst = inside.map(|r| letter(r.state)).max_by_key(|(_, _, rank)| *rank);
        let (sign, style, _) = worst.unwrap_or((" ", DIM, 0));
        out.push_str(&painted(style, sign));
    }
    out
}

fn summary(out: &mut dyn Write, record: &MapRecord) -> io::Result<()> {
    let s = &record.summary;
    for (state, bytes) in [
        (MapState::Encrypted, s.encrypted_bytes),
        (MapState::Intact, s.intact_bytes),
        (MapState::Zero, s.zero_bytes),
        (MapState::Absent, s.absent_bytes),
        (MapState::Undetermined, s.undetermined_bytes),
        (MapState::Unreadable, s.unreadable_bytes),
        (MapState::Damaged, s.damaged_bytes),
    ] {
        let always = matches!(state, MapState::Encrypted | MapState::Intact);
        if bytes > 0 || always {
            let share = crate::report::record::Fraction::of(bytes, record.size_bytes);
            let style = if bytes > 0 { letter(state).1 } else { DIM };
            writeln!(
                out,
                "{}  {}  {}",
                painted(style, &format!("{:<12}", word(state))),
                right(&units::bytes(bytes), 10),
                right(&share.to_string(), 7)
            )?;
        }
    }
    Ok(())
}

/// Whether something was found that no word about absent damage may stand beside.
fn is_open(record: &MapRecord) -> bool {
    let s = &record.summary;
    s.undetermined_bytes + s.damaged_bytes + s.unreadable_bytes + s.encrypted_bytes > 0
        || record.original_size_bytes < record.size_bytes
        || record.findings.iter().any(|finding| finding.weight > Weight::Note)
}

fn pattern(out: &mut dyn Write, record: &MapRecord, columns: usize) -> io::Result<()> {
    let Some(pattern) = &record.pattern else { return Ok(()) };
    let text = match (&pattern.sentence, pattern.kind) {
        (_, PatternKind::None) if is_open(record) => {
            "No rule of damage was found; whether there is damage is open.".to_owned()
        }
        (_, PatternKind::None) => "No damage that follows a rule was found.".to_owned(),
        (Some(sentence), _) => format!("Rule of the damage: {sentence}."),
        (None, _) => "The damage follows no rule that was found.".to_owned(),
    };
    for line in wrap(&text, columns) {
        writeln!(out, "{line}")?;
    }
    Ok(())
}

fn runs(out: &mut dyn Write, record: &MapRecord, columns: usize, all: bool) -> io::Result<()> {
    writeln!(out)?;
    let shown = if all { record.runs.len() } else { SHOWN_RUNS.min(record.runs.len()) };
    writeln!(out, "{}  {}  {:<12}  why", right("from", 14), right("bytes", 14), "state")?;
    for run in record.runs.iter().take(shown) {
        let room = columns.saturating_sub(46).max(20);
        let mut why = wrap(&plain(&reason(record, run)), room);
        if !all && why.len() > 1 {
            why.truncate(1);
            if let Some(first) = why.first_mut() {
                first.push('…');
            }
        }
        let mut lines = why.iter();
        writeln!(
            out,
            "{}  {}  {}  {}",
            right(&format!("{:#x}", run.offset_bytes), 14),
            right(&run.length_bytes.to_string(), 14),
            painted(letter(run.state).1, &format!("{:<12}", word(run.state))),
            lines.next().map_or("", String::as_str)
        )?;
        for line in lines {
            writeln!(out, "{:46}{line}", "")?;
        }
    }
    let rest = record.runs.len() - shown;
    if rest > 0 {
        writeln!(out, "… and {}; --all lists them", units::counted(rest as u64, "more run"))?;
    }
    Ok(())
}

fn reason(record: &MapRecord, run: &MapRun) -> String {
    let mut text = String::new();
    if let Some(lattice) = &run.lattice {
        text = format!(
            "{} bytes of every {}, {} between: ",
            lattice.run_bytes,
            lattice.period_bytes,
            word(lattice.between)
        );
    }
    for evidence in run.evidence.iter().filter_map(|index| record.evidence.get(*index)) {
        text.push_str(&evidence.detail);
    }
    text
}
