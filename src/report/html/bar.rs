//! Bars and strips of a disk as inline SVG.

use std::fmt::Write as _;

use crate::report::{
    judge,
    record::{DiskRecord, Fraction},
    units::bytes,
};

/// Width of the drawing in its own units.
const WIDTH: f64 = 200.0;
/// Most slices of a strip.
const MOST_SLICES: usize = 4096;
/// Narrower than this nobody sees it.
const SEEN: f64 = 2.0;

/// The encrypted share of `disk`, its interval hatched.
pub(super) fn share(disk: &DiskRecord) -> String {
    let Some(share) = disk.encrypted_fraction else {
        return svg("not measured", &rect("q", 0.0, WIDTH));
    };
    let (low, high) = judge::interval(disk);
    let none = share == Fraction::ZERO;
    let sure = low.value() * WIDTH;
    // Something seen shows; an upper bound of sampling alone is drawn to scale.
    let top = (high.value() * WIDTH).max(if none { 0.0 } else { sure + SEEN }).min(WIDTH);
    let rest = if judge::rest_is_good(disk) { "i" } else { "q" };
    let body = rect(rest, 0.0, WIDTH) + &rect("e", 0.0, sure) + &rect("p", sure, top - sure);
    svg(&format!("encrypted: {}", judge::share(disk)), &body)
}

/// Where along the disk what was seen, or nothing where the record does not say.
pub(super) fn strip(disk: &DiskRecord) -> Option<String> {
    let slices: Vec<char> = disk.strip.chars().take(MOST_SLICES).collect();
    if slices.is_empty() {
        return None;
    }
    let cell = WIDTH / slices.len() as f64;
    let mut body = String::new();
    let mut from = 0;
    for run in slices.chunk_by(|a, b| a == b) {
        let class = class(run.first().copied().unwrap_or('?'));
        body.push_str(&rect(class, from as f64 * cell, run.len() as f64 * cell));
        from += run.len();
    }
    Some(svg("what was seen where, from the start of the disk", &body))
}

/// Columns of a picture.
const COLUMNS: usize = 128;
/// Shorter strips are drawn as a bar.
const LEAST_PICTURE: usize = 8 * COLUMNS;
/// Pixels a cell, and left of the first for the scale.
const CELL: usize = 5;
const LEFT: usize = 72;

/// The strip of a disk of which every byte was mapped, as rows from its start to its end.
pub(super) fn picture(disk: &DiskRecord) -> Option<String> {
    let slices: Vec<char> = disk.strip.chars().take(MOST_SLICES).collect();
    if slices.len() < LEAST_PICTURE {
        return None;
    }
    let rows = slices.len().div_ceil(COLUMNS);
    let (width, height) = (LEFT + COLUMNS * CELL, rows * CELL);
    let mut body = String::new();
    for (row, cells) in slices.chunks(COLUMNS).enumerate() {
        let y = row * CELL;
        if let Some(capacity) = disk.capacity_bytes.filter(|_| row % 8 == 0) {
            let at = u128::from(capacity) * (row * COLUMNS) as u128 / slices.len() as u128;
            let at = bytes(u64::try_from(at).unwrap_or(u64::MAX));
            let _ = write!(body, r#"<text x="{}" y="{}">{at}</text>"#, LEFT - 8, y + 10);
        }
        let mut x = LEFT;
        for run in cells.chunk_by(|a, b| class(*a) == class(*b)) {
            let wide = run.len() * CELL;
            let class = class(run.first().copied().unwrap_or('?'));
            let _ = write!(
                body,
                r#"<rect class="{class}" x="{x}" y="{y}" width="{wide}" height="{CELL}"/>"#
            );
            x += wide;
        }
    }
    Some(format!(
        r#"<svg viewBox="0 0 {width} {height}" role="img" aria-label="map of every byte, from the disk's start at the top left to its end">{body}</svg>"#
    ))
}

/// The colour of a slice.
fn class(letter: char) -> &'static str {
    match letter {
        '.' => "z",
        'i' => "i",
        'e' => "e",
        'u' | 'd' => "d",
        _ => "q",
    }
}

fn svg(label: &str, body: &str) -> String {
    // The label holds our own words and numbers alone; `<0.1%` needs escaping.
    let label = label.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    format!(
        r#"<svg class="bar" viewBox="0 0 200 10" preserveAspectRatio="none" role="img" aria-label="{label}">{body}</svg>"#
    )
}

fn rect(class: &str, x: f64, width: f64) -> String {
    let mut out = String::new();
    if width > 0.0 {
        let _ = write!(out, r#"<rect class="{class}" x="{x:.2}" width="{width:.2}" height="10"/>"#);
    }
    out
}
