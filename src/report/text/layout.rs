//! Cells, widths and wrapping by what a terminal shows, not by bytes.

use anstyle::{AnsiColor, Style};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::report::record::MachineVerdict;

pub(in crate::report) const DIM: Style = Style::new().dimmed();
pub(in crate::report) const BOLD: Style = Style::new().bold();
pub(in crate::report) const GOOD: Style = color(AnsiColor::Green);
pub(in crate::report) const BAD: Style = color(AnsiColor::Red);

const fn color(color: AnsiColor) -> Style {
    Style::new().fg_color(Some(anstyle::Color::Ansi(color)))
}

/// The colour a verdict has everywhere.
pub(in crate::report) fn of_verdict(verdict: MachineVerdict) -> Style {
    match verdict {
        MachineVerdict::Untouched => GOOD,
        MachineVerdict::ConfigLost => color(AnsiColor::Cyan),
        MachineVerdict::PartlyEncrypted => color(AnsiColor::Yellow),
        MachineVerdict::Incomplete | MachineVerdict::Undetermined => color(AnsiColor::Magenta),
        MachineVerdict::Encrypted => BAD,
    }
}

/// `text` in `style`; nothing at all for nothing.
pub(in crate::report) fn painted(style: Style, text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("{style}{text}{style:#}") }
}

/// `text` shortened in its middle to `width` columns: both ends tell names apart.
pub(in crate::report) fn fit(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let tail_room = width.saturating_sub(1) * 2 / 5;
    let head_room = width.saturating_sub(1 + tail_room);
    let head = take(text.chars(), head_room);
    let tail: String = take(text.chars().rev(), tail_room).chars().rev().collect();
    if width == 0 { String::new() } else { format!("{head}…{tail}") }
}

fn take(chars: impl Iterator<Item = char>, room: usize) -> String {
    let mut used = 0;
    let fits = |c: &char| {
        used += c.width().unwrap_or(0);
        used <= room
    };
    chars.take_while(fits).collect()
}

/// `text` in exactly `width` columns, shortened or filled up at its right.
pub(in crate::report) fn left(text: &str, width: usize) -> String {
    let text = fit(text, width);
    let fill = width.saturating_sub(text.width());
    text + &" ".repeat(fill)
}

/// `text` in exactly `width` columns, filled up at its left.
pub(in crate::report) fn right(text: &str, width: usize) -> String {
    let text = fit(text, width);
    " ".repeat(width.saturating_sub(text.width())) + &text
}

/// `text` in lines of at most `width` columns, broken at spaces, a longer word anywhere.
pub(in crate::report) fn wrap(text: &str, width: usize) -> Vec<String> {
    let width = width.max(8);
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split(' ') {
        let gap = usize::from(!line.is_empty());
        if line.width() + gap + word.width() <= width {
            if gap == 1 {
                line.push(' ');
            }
            line.push_str(word);
            continue;
        }
        if !line.is_empty() {
            lines.push(std::mem::take(&mut line));
        }
        for c in word.chars() {
            if line.width() + c.width().unwrap_or(0) > width {
                lines.push(std::mem::take(&mut line));
            }
            line.push(c);
        }
    }
    if !line.is_empty() || lines.is_empty() {
        lines.push(line);
    }
    lines
}

#[cfg(test)]
mod tests {
    use unicode_width::UnicodeWidthStr;

    use super::{fit, left, wrap};

    #[test]
    fn a_long_name_keeps_both_its_ends() {
        assert_eq!(fit("MAIL-with-a-rather-long-name-01", 16), "MAIL-with…ame-01");
        assert_eq!(fit("DC01", 16), "DC01");
        assert_eq!(fit("DC01", 1), "…");
        assert_eq!(fit("DC01", 0), "");
    }

    #[test]
    fn wide_characters_count_as_two_columns() {
        for width in 0..30 {
            let shown = left("データストア・サーバー-01", width);
            assert_eq!(shown.width(), width, "{shown}");
        }
    }

    #[test]
    fn text_wraps_at_spaces_and_a_long_word_anywhere() {
        assert_eq!(wrap("the quick brown fox", 10), ["the quick", "brown fox"]);
        assert_eq!(wrap("aaaaaaaaaaaaaaaaaaaa b", 8), ["aaaaaaaa", "aaaaaaaa", "aaaa b"]);
        assert_eq!(wrap("", 10), [""]);
    }
}
