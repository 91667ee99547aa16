//! The grammar of single lines.
//!
//! ```text
//! extent = access SP sectors SP type [ SP name [ SP offset [ SP partitionUUID [ SP deviceId ]]]]
//! key    = name "=" value            name without blanks; value bare or in double quotes
//! ```

use nom::{
    IResult, Parser,
    branch::alt,
    bytes::complete::{tag, take_till, take_till1},
    character::complete::{char, space0, space1, u64 as number},
    combinator::{all_consuming, map, opt, rest, verify},
    sequence::{delimited, preceded, terminated},
};

/// The words of one extent line.
pub(super) struct ExtentWords<'a> {
    pub(super) access: &'a str,
    pub(super) sectors: u64,
    pub(super) kind: &'a str,
    pub(super) name: Option<&'a str>,
    pub(super) offset: Option<u64>,
    pub(super) partition_uuid: Option<&'a str>,
    pub(super) device_id: Option<&'a str>,
}

/// A key, its value, and whether the value was written by the rules.
pub(super) struct KeyWords<'a> {
    pub(super) name: &'a str,
    pub(super) value: &'a str,
    pub(super) clean: bool,
}

fn word(input: &str) -> IResult<&str, &str> {
    take_till1(|c: char| c == ' ' || c == '\t')(input)
}

fn quoted(input: &str) -> IResult<&str, &str> {
    delimited(char('"'), take_till(|c| c == '"'), char('"')).parse(input)
}

fn quoted_or_word(input: &str) -> IResult<&str, &str> {
    alt((quoted, verify(word, |text: &str| !text.starts_with('"')))).parse(input)
}

/// An extent line whose first word is one of the three access words.
pub(super) fn extent(line: &str) -> Option<ExtentWords<'_>> {
    let (_, found) = all_consuming(terminated(
        (
            preceded(space0, word),
            preceded(space1, number),
            preceded(space1, word),
            opt(preceded(space1, quoted_or_word)),
            opt(preceded(space1, number)),
            opt(preceded(space1, quoted_or_word)),
            opt(preceded(space1, quoted_or_word)),
        ),
        space0,
    ))
    .parse(line)
    .ok()?;
    let (access, sectors, kind, name, offset, partition_uuid, device_id) = found;
    Some(ExtentWords { access, sectors, kind, name, offset, partition_uuid, device_id })
}

/// Whether a line means to be an extent line, whatever is wrong with the rest of it.
pub(super) fn starts_like_extent(line: &str) -> bool {
    let mut words = line.split_ascii_whitespace();
    let access = words.next().unwrap_or_default();
    let known = ["RW", "RDONLY", "NOACCESS"].iter().any(|word| access.eq_ignore_ascii_case(word));
    known && !words.next().unwrap_or_default().starts_with('=')
}

fn value_in_quotes(input: &str) -> IResult<&str, (&str, bool)> {
    let (input, value) = quoted(input)?;
    let (input, tail) = rest(input)?;
    let tail = tail.trim();
    Ok((input, (value, tail.is_empty() || tail.starts_with('#'))))
}

fn value_unclosed(input: &str) -> IResult<&str, (&str, bool)> {
    map(preceded(char('"'), rest), |value: &str| (value, false)).parse(input)
}

fn value_bare(input: &str) -> IResult<&str, (&str, bool)> {
    map(rest, |value: &str| (value.trim_end(), !value.contains('"'))).parse(input)
}

/// A `name = value` line.
pub(super) fn key(line: &str) -> Option<KeyWords<'_>> {
    let name = take_till1(|c: char| c == '=' || c == ' ' || c == '\t' || c == '"' || c == '#');
    let (_, (name, _, (value, clean))) = (
        preceded(space0::<&str, nom::error::Error<&str>>, name),
        delimited(space0, tag("="), space0),
        alt((value_in_quotes, value_unclosed, value_bare)),
    )
        .parse(line)
        .ok()?;
    Some(KeyWords { name, value, clean })
}
