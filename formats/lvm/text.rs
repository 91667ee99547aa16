//! The grammar of LVM2's text: sections, numbers, strings and lists of these.

use nom::{
    IResult, Parser,
    bytes::complete::{tag, take_while, take_while1},
    character::complete::{char, i64 as number},
    combinator::map,
};

/// Deepest nesting: a segment lies in the fourth section.
const DEEPEST: usize = 8;
/// Entries of one text.
const MOST_ENTRIES: usize = 1 << 20;

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Number(i64),
    Text(String),
    List(Vec<Value>),
    Section(Section),
}

/// Keys and values in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Section(pub(super) Vec<(String, Value)>);

impl Section {
    fn find(&self, key: &str) -> Option<&Value> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    pub(super) fn number(&self, key: &str) -> Option<u64> {
        match self.find(key)? {
            Value::Number(number) => u64::try_from(*number).ok(),
            _ => None,
        }
    }

    pub(super) fn text(&self, key: &str) -> Option<&str> {
        match self.find(key)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn list(&self, key: &str) -> Option<&[Value]> {
        match self.find(key)? {
            Value::List(list) => Some(list),
            _ => None,
        }
    }

    pub(super) fn section(&self, key: &str) -> Option<&Self> {
        match self.find(key)? {
            Value::Section(section) => Some(section),
            _ => None,
        }
    }

    /// The sections in it, with their names.
    pub(super) fn sections(&self) -> impl Iterator<Item = (&str, &Self)> {
        self.0.iter().filter_map(|(name, value)| match value {
            Value::Section(section) => Some((name.as_str(), section)),
            _ => None,
        })
    }
}

/// White space and comments.
fn gap(mut input: &[u8]) -> IResult<&[u8], ()> {
    loop {
        let (rest, _) = take_while(|byte: u8| byte.is_ascii_whitespace()).parse(input)?;
        if !rest.starts_with(b"#") {
            return Ok((rest, ()));
        }
        (input, _) = take_while(|byte| byte != b'\n' && byte != 0).parse(rest)?;
    }
}

fn name(input: &[u8]) -> IResult<&[u8], String> {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"._-+/@".contains(&byte);
    map(take_while1(is_name), |name| String::from_utf8_lossy(name).into_owned()).parse(input)
}

fn string(input: &[u8]) -> IResult<&[u8], String> {
    let (mut rest, _) = char('"').parse(input)?;
    let mut text = Vec::new();
    loop {
        let (after, plain) = take_while(|byte| !matches!(byte, b'"' | b'\\' | 0)).parse(rest)?;
        text.extend_from_slice(plain);
        match after {
            [b'"', after @ ..] => return Ok((after, String::from_utf8_lossy(&text).into_owned())),
            [b'\\', byte, after @ ..] => {
                text.push(*byte);
                rest = after;
            }
            _ => return Err(wrong(after)),
        }
    }
}

fn wrong(at: &[u8]) -> nom::Err<nom::error::Error<&[u8]>> {
    nom::Err::Error(nom::error::Error::new(at, nom::error::ErrorKind::Verify))
}

fn simple(input: &[u8]) -> IResult<&[u8], Value> {
    if input.starts_with(b"\"") {
        return map(string, Value::Text).parse(input);
    }
    let (rest, value) = number(input)?;
    // Some numbers of newer versions have a fraction that says nothing here.
    let (rest, _) = take_while(|byte: u8| byte == b'.' || byte.is_ascii_digit()).parse(rest)?;
    Ok((rest, Value::Number(value)))
}

fn list<'a>(input: &'a [u8], left: &mut usize) -> IResult<&'a [u8], Value> {
    let (mut rest, _) = (char('['), gap).parse(input)?;
    let mut all = Vec::new();
    loop {
        if let [b']', after @ ..] = rest {
            return Ok((after, Value::List(all)));
        }
        *left = left.checked_sub(1).ok_or_else(|| wrong(rest))?;
        let (after, (value, ())) = (simple, gap).parse(rest)?;
        all.push(value);
        rest = match after {
            [b',', after @ ..] => gap(after)?.0,
            _ => after,
        };
    }
}

/// Entries up to the section's end, or the text's where `depth` is 0.
fn section<'a>(input: &'a [u8], depth: usize, left: &mut usize) -> IResult<&'a [u8], Section> {
    let mut all = Section::default();
    let (mut rest, ()) = gap(input)?;
    loop {
        match rest {
            [b'}', after @ ..] if depth > 0 => return Ok((after, all)),
            [] | [0, ..] if depth == 0 => return Ok((rest, all)),
            _ => {}
        }
        *left = left.checked_sub(1).ok_or_else(|| wrong(rest))?;
        let (after, (key, ())) = (name, gap).parse(rest)?;
        let (after, value) = match after {
            [b'{', after @ ..] if depth < DEEPEST => {
                let (after, inner) = section(after, depth.saturating_add(1), left)?;
                (after, Value::Section(inner))
            }
            _ => {
                let (after, ()) = map((tag("=".as_bytes()), gap), |_| ()).parse(after)?;
                if after.starts_with(b"[") { list(after, left)? } else { simple(after)? }
            }
        };
        all.0.push((key, value));
        rest = gap(after)?.0;
    }
}

/// Takes a text apart, up to its end or the zero behind it.
pub(super) fn parse(text: &[u8]) -> Option<Section> {
    let mut left = MOST_ENTRIES;
    section(text, 0, &mut left).ok().map(|(_, found)| found)
}
