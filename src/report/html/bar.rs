//! Bars and strips of a disk as inline SVG.

use std::fmt::Write as _;

use crate::report::{
    judge,
    record::{DiskRecord, Fraction},
};

/// Width of the drawing in its own units.
const WIDTH: f64 = 200.0;
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
    let slices: Vec<char> = disk.strip.chars().take(4096).collect();
    if slices.is_empty() {
        return None;
    }
    let cell = WIDTH / slices.len() as f64;
    let mut body = String::new();
    let mut from = 0;
    for run in slices.chunk_by(|a, b| a == b) {
        let class = match run.first() {
            Some('.') => "z",
            Some('i') => "i",
            Some('e') => "e",
            Some('u' | 'd') => "d",
            _ => "q",
        };
        body.push_str(&rect(class, from as f64 * cell, run.len() as f64 * cell));
        from += run.len();
    }
    Some(svg("what was seen where, from the start of the disk", &body))
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
