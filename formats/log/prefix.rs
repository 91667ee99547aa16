//! What stands before the message of a line, in every form seen.
//!
//! `Apr 18 00:25:37.603: vmx| msg`, `2012-08-11T02:44:28.797Z| vmx| msg`,
//! `…+05:30| vmx| I120: msg`, `…Z| vmx| | I125: msg` (an operation id, often empty),
//! `…Z In(05) vmx msg` and, on ESXi 8, `…Z In(05) vmx - msg`.

/// A line in its parts.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Parts<'a> {
    pub(super) time: &'a [u8],
    pub(super) message: &'a [u8],
}

pub(super) fn split(line: &[u8]) -> Option<Parts<'_>> {
    if line.first()?.is_ascii_digit() {
        let end = line.iter().take(40).position(|byte| matches!(byte, b'|' | b' '))?;
        let (time, rest) = line.split_at_checked(end)?;
        if time.len() < 19 || time.get(10) != Some(&b'T') {
            return None;
        }
        let message = match rest.strip_prefix(b"| ") {
            Some(rest) => after_bars(rest)?,
            None => after_level(rest.strip_prefix(b" ")?)?,
        };
        Some(Parts { time, message })
    } else if line.first()?.is_ascii_uppercase() {
        // `Mon DD HH:MM:SS[.mmm]: thread| message`
        let end = line.windows(2).take(28).skip(14).position(|pair| pair == b": ")?;
        let (time, rest) = line.split_at_checked(end.checked_add(14)?)?;
        let clock = time.get(3) == Some(&b' ') && time.get(9) == Some(&b':');
        let message = after_bars(rest.strip_prefix(b": ")?)?;
        clock.then_some(Parts { time, message })
    } else {
        None
    }
}

/// Behind `thread| [opid| ][I120: ]`.
fn after_bars(rest: &[u8]) -> Option<&[u8]> {
    let (_, mut rest) = cut(rest, b"| ", 80)?;
    if let Some((_, behind)) = cut(rest, b"| ", 80)
        && strip_level(behind).is_some()
    {
        rest = behind;
    }
    Some(strip_level(rest).unwrap_or(rest))
}

/// `I120: `.
fn strip_level(rest: &[u8]) -> Option<&[u8]> {
    match rest {
        [letter, a, b, c, b':', tail @ ..]
            if letter.is_ascii_uppercase() && [a, b, c].iter().all(|d| d.is_ascii_digit()) =>
        {
            Some(tail.strip_prefix(b" ").unwrap_or(tail))
        }
        _ => None,
    }
}

/// Behind `In(05)[+] thread [- |opID=… ]`.
fn after_level(rest: &[u8]) -> Option<&[u8]> {
    let (level, rest) = cut(rest, b" ", 12)?;
    if !matches!(level, [_, _, b'(', _, _, b')', ..]) {
        return None;
    }
    let (_, rest) = cut(rest, b" ", 80).unwrap_or((rest, b""));
    if let Some(rest) = rest.strip_prefix(b"- ") {
        return Some(rest);
    }
    Some(cut(rest, b" ", 80).filter(|(id, _)| id.starts_with(b"opID=")).map_or(rest, |cut| cut.1))
}

fn cut<'a>(text: &'a [u8], mark: &[u8], within: usize) -> Option<(&'a [u8], &'a [u8])> {
    let at = text.windows(mark.len()).take(within).position(|window| window == mark)?;
    Some((text.get(..at)?, text.get(at.checked_add(mark.len())?..)?))
}
