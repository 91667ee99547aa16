//! A chain for a terminal: where it stands, its links, what is missing, what to do.

use std::io::{self, Write};

use super::layout::{BAD, BOLD, DIM, GOOD, left, painted, right, wrap};
use crate::report::{
    chain::{ChainRecord, EndKind, LinkRecord, LinkState, PointRecord, PointState},
    plain::{plain, plain_path},
    units::{bytes, counted},
    word,
};

/// Links shown before the middle is left out.
const HEAD_LINKS: usize = 40;
const TAIL_LINKS: usize = 8;
const MAX_POINTS: usize = 12;
const MAX_FINDINGS: usize = 40;

/// Writes the record as text, at least 60 columns wide.
///
/// # Errors
/// As the write says.
pub fn write_text(out: &mut dyn Write, record: &ChainRecord, columns: usize) -> io::Result<()> {
    let columns = columns.clamp(60, 200);
    let mut lines = Vec::new();
    headline(record, columns, &mut lines);
    links(record, columns, &mut lines);
    missing(record, columns, &mut lines);
    snapshots(record, columns, &mut lines);
    points(record, columns, &mut lines);
    if !record.findings.is_empty() {
        lines.push(String::new());
        lines.push(painted(BOLD, "Findings"));
        for finding in record.findings.iter().take(MAX_FINDINGS) {
            let text = super::finding_line(finding);
            lines.extend(indented(&text, 2, columns));
        }
        let more = record.findings.len().saturating_sub(MAX_FINDINGS);
        if more > 0 {
            lines.push(format!("  … {more} more: --json lists them all"));
        }
    }
    for line in lines {
        writeln!(out, "{}", line.trim_end())?;
    }
    out.flush()
}

fn indented(text: &str, indent: usize, columns: usize) -> Vec<String> {
    let lead = " ".repeat(indent);
    wrap(text, columns.saturating_sub(indent)).iter().map(|l| format!("{lead}{l}")).collect()
}

fn headline(record: &ChainRecord, columns: usize, lines: &mut Vec<String>) {
    lines.push(painted(BOLD, &plain_path(&record.leaf)));
    let many = counted(record.links.len() as u64, "link");
    let end = match record.end.kind {
        EndKind::Base => "ends with a base disk".to_owned(),
        _ => format!("broken: {}", plain(record.end.why.as_deref().unwrap_or_default())),
    };
    let whole = record.end.kind == EndKind::Base;
    let text = format!("{}, {many}, {end}", bytes(record.capacity_bytes));
    let style = if whole { DIM } else { BAD };
    lines.extend(wrap(&text, columns).iter().map(|l| painted(style, l)));
    if let Some(attack) = &record.attack {
        let text = format!("attack since {}: {}", attack.since, plain(&attack.rests_on));
        lines.extend(wrap(&text, columns).iter().map(|l| painted(BAD, l)));
    }
}

fn of_state(state: LinkState) -> anstyle::Style {
    match state {
        LinkState::Untouched => GOOD,
        LinkState::Unjudged | LinkState::Undetermined => DIM,
        LinkState::Damaged
        | LinkState::PartlyEncrypted
        | LinkState::Encrypted
        | LinkState::Missing => BAD,
    }
}

fn links(record: &ChainRecord, columns: usize, lines: &mut Vec<String>) {
    lines.push(String::new());
    let head = format!(
        "{} {} {} {} {} {}",
        right("link", 5),
        left("type", 16),
        left("CID", 8),
        left("parent", 8),
        right("serves", 9),
        "state"
    );
    lines.push(painted(BOLD, &head));
    let count = record.links.len();
    for (number, link) in record.links.iter().enumerate() {
        if count > HEAD_LINKS + TAIL_LINKS {
            if number == HEAD_LINKS {
                let skipped = count - HEAD_LINKS - TAIL_LINKS;
                lines.push(format!("    … {skipped} links between: --json lists them all"));
            }
            if (HEAD_LINKS..count - TAIL_LINKS).contains(&number) {
                continue;
            }
        }
        link_lines(record, link, columns, lines);
    }
}

fn link_lines(record: &ChainRecord, link: &LinkRecord, columns: usize, lines: &mut Vec<String>) {
    let kind = link.create_type.clone().or_else(|| {
        let format = link.extents.first().and_then(|extent| extent.format.clone());
        format.map(|format| format!("({format})"))
    });
    lines.push(format!(
        "{} {} {} {} {} {}",
        right(&link.number.to_string(), 5),
        left(&plain(kind.as_deref().unwrap_or("-")), 16),
        left(link.cid.as_deref().unwrap_or("-"), 8),
        left(link.parent_cid.as_deref().unwrap_or("-"), 8),
        right(&link.serves_bytes.map_or_else(|| "-".to_owned(), bytes), 9),
        painted(of_state(link.state), &word(&link.state)),
    ));
    let mut about = plain_path(&link.path);
    if let Some(time) = &link.modified {
        about.push_str(&format!(", {time}"));
    }
    if link.capacity_bytes != record.capacity_bytes {
        about.push_str(&format!(", holds {}", bytes(link.capacity_bytes)));
    }
    lines.extend(indented(&about, 6, columns));
    if link.state != LinkState::Untouched && link.state != LinkState::Unjudged {
        let why = indented(&plain(&link.reason), 6, columns);
        lines.extend(why.iter().map(|l| painted(DIM, l)));
    }
}

fn missing(record: &ChainRecord, columns: usize, lines: &mut Vec<String>) {
    let Some(missing) = &record.missing else { return };
    lines.push(String::new());
    let cid = missing.cid.as_deref().unwrap_or("unknown");
    let hint = missing.hint.as_deref().unwrap_or("no name");
    let text = format!(
        "Missing: the parent of {}: {}, CID {cid}, {}",
        plain_path(&missing.child),
        plain(hint),
        bytes(missing.capacity_bytes)
    );
    lines.extend(wrap(&text, columns).iter().map(|l| painted(BAD, l)));
    if missing.candidates.is_empty() {
        lines.push("  nothing below the root could be it; --root names a wider folder".to_owned());
    }
    for candidate in &missing.candidates {
        let mut text = format!("{}: {}", plain_path(&candidate.path), candidate.reasons.join("; "));
        if !candidate.against.is_empty() {
            text.push_str(&format!("; but {}", candidate.against.join("; ")));
        }
        lines.extend(indented(&plain(&text), 2, columns));
    }
}

fn snapshots(record: &ChainRecord, columns: usize, lines: &mut Vec<String>) {
    let Some(tree) = &record.snapshots else { return };
    lines.push(String::new());
    lines.push(painted(BOLD, &format!("Snapshots by {}", plain_path(&tree.path))));
    for node in &tree.nodes {
        let mut depth = 0;
        let mut up = node.parent_uid;
        while let Some(uid) = up.filter(|_| depth < 12) {
            depth += 1;
            up = tree.nodes.iter().find(|n| n.uid == Some(uid)).and_then(|n| n.parent_uid);
        }
        let uid = node.uid.map_or_else(|| "-".to_owned(), |uid| uid.to_string());
        let name = node.name.as_deref().unwrap_or("without a name");
        let mark = if tree.current_uid.is_some() && node.uid == tree.current_uid {
            ", the running disk grew from it"
        } else {
            ""
        };
        let place = match node.link {
            Some(link) => format!("link {link}"),
            None => "froze no disk of this chain".to_owned(),
        };
        let time = node.time.as_deref().unwrap_or("time unknown");
        let text = format!("{uid} {}: {time}, {place}{mark}", plain(name));
        lines.extend(indented(&text, 2 + 2 * depth, columns));
    }
    if tree.need_consolidate {
        lines.push("  the list says that a consolidation failed".to_owned());
    }
    if !tree.unnamed_links.is_empty() {
        let shown: Vec<String> =
            tree.unnamed_links.iter().take(20).map(ToString::to_string).collect();
        let text = format!(
            "frozen, but named by no snapshot: link {}{}",
            shown.join(", "),
            if tree.unnamed_links.len() > 20 { ", …" } else { "" }
        );
        lines.extend(indented(&text, 2, columns));
    }
}

fn of_point(state: PointState) -> anstyle::Style {
    match state {
        PointState::Whole => GOOD,
        PointState::Unproven => DIM,
        PointState::Damaged | PointState::Lost => BAD,
    }
}

fn points(record: &ChainRecord, columns: usize, lines: &mut Vec<String>) {
    lines.push(String::new());
    lines.push(painted(BOLD, "Points in time, best first"));
    for point in record.points.iter().take(MAX_POINTS) {
        lines.extend(point_lines(point, columns));
    }
    let more = record.points.len().saturating_sub(MAX_POINTS);
    if more > 0 {
        lines.push(format!("  … {more} more: --json lists them all"));
    }
    if let Some(best) = record.points.first().filter(|p| p.state != PointState::Lost) {
        lines.push(painted(BOLD, "Next"));
        // A command is never wrapped: it is there to be copied.
        lines.push(format!("  {}", best.command));
    }
}

fn point_lines(point: &PointRecord, columns: usize) -> Vec<String> {
    let what = match (&point.snapshot, point.link) {
        (Some(name), link) => format!("snapshot {:?}, link {link}", plain(name)),
        (None, 0) => "the running disk".to_owned(),
        (None, link) => format!("link {link}"),
    };
    let before = match point.before_attack {
        Some(true) => ", before the attack",
        Some(false) => ", after the attack began",
        None => "",
    };
    let time = point.time.as_deref().unwrap_or("time unknown");
    let head = format!(
        "{} {} {what}, {time}{before}",
        right(&point.rank.to_string(), 3),
        painted(of_point(point.state), &left(&word(&point.state), 9)),
    );
    let mut lines = vec![head];
    if point.state != PointState::Whole {
        let why = indented(&plain(&point.reason), 14, columns);
        lines.extend(why.iter().map(|l| painted(DIM, l)));
    }
    lines
}
