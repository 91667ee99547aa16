//! The grammar of one line, and the `|xx` escape.

use nom::{
    IResult, Parser,
    branch::alt,
    bytes::complete::{tag, take_while, take_while1},
    combinator::map,
    sequence::delimited,
};

/// What one line without its line end is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum LineShape<'a> {
    /// Nothing but white space or a comment.
    Blank,
    /// Fits no rule; has no name.
    Unnamed,
    /// `key = value`; positions count from the start of the line.
    Entry { key_at: usize, key: &'a [u8], value_at: usize, value: &'a [u8], quoted: bool },
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

fn blanks(input: &[u8]) -> IResult<&[u8], &[u8]> {
    take_while(is_blank).parse(input)
}

fn name(input: &[u8]) -> IResult<&[u8], &[u8]> {
    take_while1(|byte| !is_blank(byte) && byte != b'=' && byte != b'#').parse(input)
}

fn value(input: &[u8]) -> IResult<&[u8], (&[u8], bool)> {
    let quoted = delimited(tag("\""), take_while(|byte| byte != b'"'), tag("\""));
    let bare = take_while(|byte| !is_blank(byte) && byte != b'#' && byte != 0);
    alt((map(quoted, |value| (value, true)), map(bare, |value| (value, false)))).parse(input)
}

/// Takes one line apart. `line` has no line end.
pub(crate) fn parse_line(line: &[u8]) -> LineShape<'_> {
    let Ok((rest, _)) = blanks(line) else { return LineShape::Unnamed };
    if rest.is_empty() || rest.starts_with(b"#") {
        return LineShape::Blank;
    }
    entry(line).map_or(LineShape::Unnamed, |(_, shape)| shape)
}

fn entry(line: &[u8]) -> IResult<&[u8], LineShape<'_>> {
    let (at_key, _) = blanks(line)?;
    let (rest, key) = name(at_key)?;
    let (rest, _) = (blanks, tag("="), blanks).parse(rest)?;
    let at_value = rest;
    let (rest, (found, quoted)) = value(rest)?;
    let (rest, _) = blanks(rest)?;
    // A bare value that begins with a quote is a quoted one whose end was lost.
    if (!rest.is_empty() && !rest.starts_with(b"#")) || (!quoted && found.starts_with(b"\"")) {
        return Err(nom::Err::Error(nom::error::Error::new(rest, nom::error::ErrorKind::Eof)));
    }
    let from_start = |tail: &[u8]| line.len().saturating_sub(tail.len());
    let shape = LineShape::Entry {
        key_at: from_start(at_key),
        key,
        value_at: from_start(at_value).saturating_add(usize::from(quoted)),
        value: found,
        quoted,
    };
    Ok((rest, shape))
}

/// Decodes `|xx`; a bar without two hex digits behind it stays.
pub(crate) fn unescape(raw: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((first, tail)) = rest.split_first() {
        let pair = match tail {
            [high, low, ..] if *first == b'|' => hex(*high).zip(hex(*low)),
            _ => None,
        };
        if let Some((high, low)) = pair {
            out.push((high << 4) | low);
            rest = tail.get(2..).unwrap_or_default();
        } else {
            out.push(*first);
            rest = tail;
        }
    }
    out
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}
