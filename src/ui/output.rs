//! Standard output as data's way out.

use std::{
    error::Error,
    io::{self, BufWriter, Write},
};

use anstream::{AutoStream, ColorChoice};
use indicatif::MultiProgress;

/// A buffered writer whose flushes do not tear a progress bar. Style codes written into it come
/// out only where colour is wanted.
pub struct Output {
    inner: BufWriter<AutoStream<io::Stdout>>,
    bars: MultiProgress,
}

impl std::fmt::Debug for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Output")
    }
}

impl Output {
    pub(super) fn stdout(color: ColorChoice, bars: MultiProgress) -> Self {
        let stream = AutoStream::new(io::stdout(), color);
        Self { inner: BufWriter::with_capacity(64 * 1024, stream), bars }
    }

    /// Writes one line and flushes: a reader at the other end of a pipe sees it at once.
    ///
    /// # Errors
    /// As the write says; see [`ends_quietly`] for a reader that went away.
    pub fn line(&mut self, line: &str) -> io::Result<()> {
        self.inner.write_all(line.as_bytes())?;
        self.inner.write_all(b"\n")?;
        self.flush()
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.inner.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        let Self { inner, bars } = self;
        bars.suspend(|| inner.flush())
    }
}

/// Whether `error` only says that the reader of a pipe went away (`vmglean … | head`): no one
/// is left to complain to, and nothing is wrong with the run.
#[must_use]
pub fn ends_quietly(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(e) = next {
        let kind = match e.downcast_ref::<serde_json::Error>() {
            Some(json) => json.io_error_kind(),
            None => e.downcast_ref::<io::Error>().map(io::Error::kind),
        };
        if kind == Some(io::ErrorKind::BrokenPipe) {
            return true;
        }
        next = e.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::ends_quietly;

    #[test]
    fn a_reader_that_went_away_is_told_from_a_full_disk() {
        assert!(ends_quietly(&io::Error::from(io::ErrorKind::BrokenPipe)));
        assert!(!ends_quietly(&io::Error::from(io::ErrorKind::StorageFull)));
    }
}
