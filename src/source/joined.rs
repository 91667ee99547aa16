//! Stretches of several sources, one behind the other.

use std::{io, ops::Range, sync::Arc};

use vmglean_formats::{ByteOffset, Bytes, MediumError, ReadAt};

use super::Source;

/// What stands behind one stretch.
#[derive(Clone)]
pub enum Part {
    /// The first bytes of a source, as many as the stretch is long.
    Bytes(Arc<dyn Source>),
    /// Zeros.
    Zeros,
    /// Nothing that can be read.
    Missing,
}

/// Stretches joined to one source. Its bytes can be had where they lie in parts that are there.
#[derive(Default)]
pub struct Joined {
    /// Where each part lies, in order and without a gap.
    parts: Vec<(Range<u64>, Part)>,
}

impl Joined {
    /// Adds `length` bytes behind the last.
    pub fn push(&mut self, length: u64, part: Part) {
        let start = self.len_bytes();
        self.parts.push((start..start.saturating_add(length), part));
    }
}

impl ReadAt for Joined {
    fn len_bytes(&self) -> u64 {
        self.parts.last().map_or(0, |(at, _)| at.end)
    }

    fn read_exact_at(&self, buf: &mut [u8], at: ByteOffset) -> Result<(), MediumError> {
        let wanted = at.0.saturating_add(buf.len() as u64);
        let end = self.len_bytes();
        if wanted > end {
            return Err(MediumError::End { end: ByteOffset(end), wanted: ByteOffset(wanted) });
        }
        let mut rest = buf;
        let mut from = at.0;
        let first = self.parts.partition_point(|(part, _)| part.end <= from);
        for (range, part) in self.parts.iter().skip(first) {
            if rest.is_empty() {
                break;
            }
            let left = usize::try_from(range.end.saturating_sub(from)).unwrap_or(usize::MAX);
            let (now, later) = rest.split_at_mut(left.min(rest.len()));
            match part {
                Part::Bytes(source) => {
                    source.read_exact_at(now, ByteOffset(from.saturating_sub(range.start)))?;
                }
                Part::Zeros => now.fill(0),
                Part::Missing => {
                    return Err(MediumError::Io {
                        at: ByteOffset(from),
                        len: Bytes(now.len() as u64),
                        source: io::Error::other("the file that holds them is missing"),
                    });
                }
            }
            from = from.saturating_add(now.len() as u64);
            rest = later;
        }
        Ok(())
    }
}

impl Source for Joined {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_go_over_the_seams_and_end_at_what_is_missing() {
        let mut joined = Joined::default();
        joined.push(4, Part::Bytes(Arc::new(b"abcdef".to_vec())));
        joined.push(0, Part::Zeros);
        joined.push(2, Part::Zeros);
        joined.push(3, Part::Bytes(Arc::new(b"xyz".to_vec())));
        joined.push(1, Part::Missing);
        joined.push(5, Part::Bytes(Arc::new(b"..".to_vec())));
        assert_eq!(joined.len_bytes(), 15);
        assert_eq!(joined.read_up_to(ByteOffset(2), 6).unwrap(), b"cd\0\0xy");
        assert_eq!(joined.read_up_to(ByteOffset(10), 2).unwrap(), b"..");
        assert!(joined.read_up_to(ByteOffset(8), 2).is_err());
        assert!(joined.read_up_to(ByteOffset(10), 5).is_err());
        assert!(joined.read_exact_at(&mut [0; 2], ByteOffset(14)).is_err());
        assert_eq!(joined.read_up_to(ByteOffset(99), 5).unwrap(), b"");
    }
}
