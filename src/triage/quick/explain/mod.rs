//! Whether random-looking bytes are compressed data, shown by their structure.
//!
//! A statistic cannot tell good compression from ciphertext, and a header nearby says nothing of
//! bytes that a locker wrote over later. What proves data intact is structure that runs through
//! the very bytes in question: chunk headers that lead from one to the next, deflate blocks that
//! decode one after the other, JPEG stuffing.

mod chain;
mod deflate;
mod header;
mod known;

use std::ops::Range;

pub(super) use header::{DataKind, is_jpeg_data, magic, nearest};
pub(super) use known::known;

/// The structure that runs through `part` of `window`, in words. Deflate is looked for only if
/// `may_be_loose`: its blocks of 4 KiB do not look random for long.
pub(super) fn structure(
    window: &[u8],
    part: &Range<usize>,
    may_be_loose: bool,
) -> Option<&'static str> {
    if chain::lzma2(window, part) {
        return Some("LZMA2 chunks (xz, 7-Zip) lead from one to the next through it");
    }
    if chain::zstd(window, part) {
        return Some("zstd blocks lead from one to the next through it");
    }
    if may_be_loose && deflate::runs_through(window, part) {
        return Some("deflate blocks (zip, gzip, PNG) decode one after the other through it");
    }
    None
}
