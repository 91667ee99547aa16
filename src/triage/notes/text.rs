//! A note's bytes as text, and that text made harmless.

/// Lines quoted and letters of each.
const QUOTED_LINES: usize = 6;
const QUOTED_CHARS: usize = 120;

/// The bytes as text: UTF-16 by its mark, else UTF-8, else one letter a byte. `None` where too
/// little of it is printable.
pub(super) fn decode(bytes: &[u8]) -> Option<String> {
    let text = match bytes {
        [0xFF, 0xFE, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xFE, 0xFF, rest @ ..] => utf16(rest, u16::from_be_bytes),
        [0xEF, 0xBB, 0xBF, rest @ ..] => String::from_utf8_lossy(rest).into_owned(),
        _ => match std::str::from_utf8(bytes) {
            Ok(text) => text.to_owned(),
            Err(_) => bytes.iter().map(|byte| char::from(*byte)).collect(),
        },
    };
    let (mut all, mut odd) = (0usize, 0usize);
    for c in text.chars() {
        all += 1;
        odd += usize::from(
            c.is_control() && !matches!(c, '\n' | '\r' | '\t' | '\u{c}') || c == '\u{fffd}',
        );
    }
    (all > 0 && odd * 20 <= all).then_some(text)
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> String {
    let (pairs, _) = bytes.as_chunks::<2>();
    let units: Vec<u16> = pairs.iter().map(|pair| unit(*pair)).collect();
    String::from_utf16_lossy(&units)
}

/// HTML without its tags, scripts and styles; other text as it is.
pub(super) fn without_tags(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    if !lower.contains("<html") && !lower.contains("<body") && !lower.contains("<hta:") {
        return text.to_owned();
    }
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(open) = rest.find('<') {
        let (before, tag) = rest.split_at(open);
        plain.push_str(before);
        let name = tag.get(1..).unwrap_or_default().to_ascii_lowercase();
        let closing = ["script", "style"].into_iter().find(|block| name.starts_with(block));
        let end = match closing {
            Some(block) => name.find(&format!("</{block}")).and_then(|at| {
                name.get(at..).and_then(|tail| tail.find('>')).map(|by| at + by + 2)
            }),
            None => tag.find('>').map(|at| at + 1),
        };
        plain.push(if name.starts_with(['p', 'b', 'd', 'l', 'h', '/']) { '\n' } else { ' ' });
        rest = end.and_then(|end| tag.get(end..)).unwrap_or_default();
    }
    plain.push_str(rest);
    plain
}

/// The first lines, shortened, with control and direction characters made visible.
pub(super) fn quote(text: &str) -> Vec<String> {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .take(QUOTED_LINES)
        .map(|line| {
            let mut shown = String::new();
            for (i, c) in line.chars().enumerate() {
                if i >= QUOTED_CHARS {
                    shown.push('…');
                    break;
                }
                if c.is_control() || is_direction(c) {
                    shown.extend(c.escape_unicode());
                } else {
                    shown.push(c);
                }
            }
            shown
        })
        .collect()
}

/// Characters that turn the reading direction or show nothing.
fn is_direction(c: char) -> bool {
    matches!(
        c,
        '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}'
    )
}
