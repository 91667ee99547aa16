//! Buffers that come back when the line is done with them, so that an upload asks the system for
//! memory a few times only.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// Buffers of one length.
#[derive(Clone, Debug)]
pub(super) struct Buffers {
    length: usize,
    free: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Buffers {
    pub(super) fn of(length: usize) -> Self {
        Self { length, free: Arc::default() }
    }

    /// A buffer that is in nobody's hands; what it holds means nothing.
    pub(super) fn take(&self) -> Vec<u8> {
        let kept = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        kept.unwrap_or_else(|| vec![0; self.length])
    }

    /// The first `length` bytes of a buffer, which comes back when nobody holds them any more.
    pub(super) fn lend(&self, buffer: Vec<u8>, length: usize) -> Bytes {
        let length = length.min(buffer.len());
        Bytes::from_owner(Lent { buffer, length, home: Arc::clone(&self.free) })
    }
}

struct Lent {
    buffer: Vec<u8>,
    length: usize,
    home: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        self.buffer.get(..self.length).unwrap_or_default()
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let buffer = std::mem::take(&mut self.buffer);
        self.home.lock().unwrap_or_else(PoisonError::into_inner).push(buffer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_when_the_last_holder_lets_go() {
        let buffers = Buffers::of(4);
        let mut one = buffers.take();
        one.copy_from_slice(b"abcd");
        let lent = buffers.lend(one, 3);
        let other = lent.slice(1..);
        assert_eq!((&lent[..], &other[..]), (&b"abc"[..], &b"bc"[..]));
        drop(lent);
        assert!(buffers.free.lock().unwrap().is_empty());
        drop(other);
        assert_eq!(buffers.take(), b"abcd");
        assert_eq!(buffers.take(), [0; 4]);
    }
}
