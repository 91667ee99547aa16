//! The tar archive that an OVA is.

use std::io::{self, Read, Write};

/// Bytes of a header, and what every member is filled up to.
const BLOCK: u64 = 512;

/// A ustar header for a plain file; lengths beyond 8 GiB in GNU's base-256 form.
///
/// Times and owners are zero, so that the same package has the same bytes.
fn header(name: &str, length: u64) -> io::Result<[u8; 512]> {
    let mut block = [0_u8; 512];
    let mut put = |at: usize, bytes: &[u8]| {
        if let Some(place) = block.get_mut(at..at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
    };
    if name.is_empty() || name.len() > 100 || !name.is_ascii() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("the name {name:?}")));
    }
    put(0, name.as_bytes());
    put(100, b"0000644\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    if length < 1 << 33 {
        put(124, format!("{length:011o}\0").as_bytes());
    } else {
        let mut wide = [0_u8; 12];
        wide[0] = 0x80;
        wide[4..].copy_from_slice(&length.to_be_bytes());
        put(124, &wide);
    }
    put(136, b"00000000000\0");
    put(148, b"        ");
    put(156, b"0");
    put(257, b"ustar\x0000");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    if let Some(place) = block.get_mut(148..156) {
        place.copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
    Ok(block)
}

/// Appends a member of `length` bytes read from `from`.
pub(super) fn append(
    out: &mut impl Write,
    name: &str,
    length: u64,
    from: impl Read,
) -> io::Result<()> {
    out.write_all(&header(name, length)?)?;
    let copied = io::copy(&mut from.take(length), out)?;
    if copied != length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let fill = length.next_multiple_of(BLOCK) - length;
    out.write_all([0_u8; 512].get(..usize::try_from(fill).unwrap_or(0)).unwrap_or_default())
}

/// The two empty blocks at the end.
pub(super) fn end(out: &mut impl Write) -> io::Result<()> {
    out.write_all(&[0; 1024])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_beyond_octal_is_written_in_base_256() {
        let block = header("a", 10 << 30).unwrap();
        assert_eq!(block[124..136], [0x80, 0, 0, 0, 0, 0, 0, 2, 0x80, 0, 0, 0]);
        assert!(header("ä", 1).is_err() && header("", 1).is_err());
    }
}
