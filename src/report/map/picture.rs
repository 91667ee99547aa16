//! A disk as a picture: rows from its start to its end, one colour a state.
//!
//! Every cell mixes the colours of the bytes it stands for, and a cell with any damage shows at
//! least a third of it, so that small runs do not drown.

use std::io::{self, Write};

use crate::report::{
    record::{MapRecord, MapState},
    units,
};

/// Cells in a row and rows of a picture.
const COLUMNS: u64 = 160;
const ROWS: u64 = 80;
/// Pixels a cell.
const CELL: u64 = 5;

/// Encrypted red, intact green, zero pale, absent white, undetermined amber, unreadable black,
/// damaged violet: told apart by people who do not see red and green, too, by lightness.
fn color(state: MapState) -> [u8; 3] {
    match state {
        MapState::Zero => [222, 226, 230],
        MapState::Absent => [246, 247, 249],
        MapState::Intact => [116, 196, 150],
        MapState::Encrypted => [178, 24, 43],
        MapState::Unreadable => [20, 20, 20],
        MapState::Damaged => [118, 42, 131],
        MapState::Undetermined => [253, 184, 99],
    }
}

const ORDER: [MapState; 7] = [
    MapState::Encrypted,
    MapState::Undetermined,
    MapState::Damaged,
    MapState::Unreadable,
    MapState::Intact,
    MapState::Zero,
    MapState::Absent,
];

/// Least share with which damage shows in a cell that holds any.
const LEAST_SHOWN: f64 = 1.0 / 3.0;

/// The colours of all cells, row by row.
fn cells(record: &MapRecord, columns: u64, rows: u64) -> Vec<[u8; 3]> {
    let count = columns * rows;
    let size = record.size_bytes.max(1);
    let place = |cell: u64| (u128::from(size) * u128::from(cell) / u128::from(count)) as u64;
    let mut out = Vec::new();
    let mut first = 0;
    for cell in 0..count {
        let (from, to) = (place(cell), place(cell + 1).max(place(cell) + 1));
        while record.runs.get(first).is_some_and(|r| r.offset_bytes + r.length_bytes <= from) {
            first += 1;
        }
        let mut shares = [0.0; 7];
        for run in record.runs.iter().skip(first).take_while(|r| r.offset_bytes < to) {
            let end = (run.offset_bytes + run.length_bytes).min(to);
            let bytes = end.saturating_sub(run.offset_bytes.max(from)) as f64;
            let at = ORDER.iter().position(|s| *s == run.state).unwrap_or(0);
            shares[at] += bytes / (to - from) as f64;
        }
        out.push(mixed(shares));
    }
    out
}

fn mixed(mut shares: [f64; 7]) -> [u8; 3] {
    let [encrypted, rest @ ..] = &mut shares;
    if *encrypted > 0.0 && *encrypted < LEAST_SHOWN {
        let scale = (1.0 - LEAST_SHOWN) / (1.0 - *encrypted);
        rest.iter_mut().for_each(|share| *share *= scale);
        *encrypted = LEAST_SHOWN;
    }
    let mut sum = [0.0; 3];
    for (share, state) in shares.iter().zip(ORDER) {
        for (sum, part) in sum.iter_mut().zip(color(state)) {
            *sum += share * f64::from(part);
        }
    }
    sum.map(|value| value.round().clamp(0.0, 255.0) as u8)
}

/// Writes the picture as PNG, 800 by 400 pixels.
///
/// # Errors
/// As the write says.
pub fn write_png(out: &mut dyn Write, record: &MapRecord) -> io::Result<()> {
    let (width, height) = (COLUMNS * CELL, ROWS * CELL);
    let cells = cells(record, COLUMNS, ROWS);
    let mut pixels = Vec::new();
    for y in 0..height {
        for x in 0..width {
            let index = y / CELL * COLUMNS + x / CELL;
            let index = usize::try_from(index).unwrap_or(usize::MAX);
            pixels.extend(cells.get(index).copied().unwrap_or([255; 3]));
        }
    }
    let side = |pixels: u64| u32::try_from(pixels).unwrap_or(u32::MAX);
    let mut encoder = png::Encoder::new(out, side(width), side(height));
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header().map_err(io::Error::other)?;
    writer.write_image_data(&pixels).map_err(io::Error::other)?;
    writer.finish().map_err(io::Error::other)
}

/// Writes the picture as SVG, with a scale and a legend.
///
/// # Errors
/// As the write says.
pub fn write_svg(out: &mut dyn Write, record: &MapRecord) -> io::Result<()> {
    let (left, top) = (90, 34);
    let (width, height) = (COLUMNS * CELL, ROWS * CELL);
    writeln!(
        out,
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {} {}" font-family="sans-serif" font-size="12">"#,
        width + left + 10,
        height + top + 40
    )?;
    writeln!(out, r#"<rect width="100%" height="100%" fill="white"/>"#)?;
    let title = escaped(&record.disk.lossy());
    let size = units::bytes(record.size_bytes);
    writeln!(out, r#"<text x="{left}" y="20">{title}, {size}</text>"#)?;
    let cells = cells(record, COLUMNS, ROWS);
    let row_length = usize::try_from(COLUMNS).unwrap_or(1);
    for (row, cells) in cells.chunks(row_length).enumerate() {
        let y = top + row as u64 * CELL;
        if row % 10 == 0 {
            let at = (u128::from(record.size_bytes) * row as u128 / u128::from(ROWS)) as u64;
            let label = units::bytes(at);
            writeln!(
                out,
                r##"<text x="{}" y="{}" text-anchor="end" fill="#555">{label}</text>"##,
                left - 6,
                y + 9
            )?;
        }
        let mut x = left;
        for same in cells.chunk_by(|a, b| a == b) {
            let [r, g, b] = same.first().copied().unwrap_or_default();
            let wide = same.len() as u64 * CELL;
            writeln!(
                out,
                r##"<rect x="{x}" y="{y}" width="{wide}" height="{CELL}" fill="#{r:02x}{g:02x}{b:02x}"/>"##
            )?;
            x += wide;
        }
    }
    let mut x = left;
    for (state, word) in ORDER.iter().zip([
        "encrypted",
        "undetermined",
        "damaged",
        "unreadable",
        "intact",
        "zero",
        "absent",
    ]) {
        let [r, g, b] = color(*state);
        let y = top + height + 12;
        writeln!(
            out,
            r##"<rect x="{x}" y="{y}" width="12" height="12" stroke="#999" fill="#{r:02x}{g:02x}{b:02x}"/><text x="{}" y="{}">{word}</text>"##,
            x + 17,
            y + 11
        )?;
        x += 112;
    }
    writeln!(out, "</svg>")?;
    out.flush()
}

fn escaped(text: &str) -> String {
    crate::report::plain::plain(text)
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
