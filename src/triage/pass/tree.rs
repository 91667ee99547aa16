//! BLAKE3 in subtrees, so that its state between two windows is a short list of chaining values.

use blake3::{
    Hasher,
    hazmat::{ChainingValue, HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root},
};

use crate::triage::measure::WINDOW_BYTES;

const SUBTREE: u64 = WINDOW_BYTES as u64;

/// A BLAKE3 hash whose state can be kept at every multiple of a window.
///
/// Complete subtrees of one window stand in `stack` as in the reference implementation: one
/// entry for each set bit of their count, largest first.
#[derive(Default)]
pub(super) struct Blake3Tree {
    stack: Vec<ChainingValue>,
    complete: u64,
    current: Option<Hasher>,
    /// Bytes in `current`, at most one subtree.
    filled: u64,
}

impl Blake3Tree {
    pub(super) fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.filled == SUBTREE {
                self.complete_subtree();
            }
            let room = usize::try_from(SUBTREE - self.filled).unwrap_or(WINDOW_BYTES);
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            let offset = self.complete.saturating_mul(SUBTREE);
            let current = self.current.get_or_insert_with(|| {
                let mut hasher = Hasher::new();
                hasher.set_input_offset(offset);
                hasher
            });
            current.update(now);
            self.filled += now.len() as u64;
            bytes = later;
        }
    }

    /// Moves the full subtree to the stack; right only when more input follows.
    fn complete_subtree(&mut self) {
        let Some(current) = self.current.take() else { return };
        self.filled = 0;
        let mut value = current.finalize_non_root();
        self.complete += 1;
        let mut count = self.complete;
        while count.is_multiple_of(2) {
            let Some(left) = self.stack.pop() else { break };
            value = merge_subtrees_non_root(&left, &value, Mode::Hash);
            count /= 2;
        }
        self.stack.push(value);
    }

    /// The count of complete subtrees and their chaining values. Only at a multiple of a window,
    /// and only when more input follows.
    pub(super) fn state(&mut self) -> Vec<u8> {
        if self.filled == SUBTREE {
            self.complete_subtree();
        }
        let mut bytes = self.complete.to_le_bytes().to_vec();
        bytes.extend(self.stack.iter().flatten());
        bytes
    }

    pub(super) fn restore(bytes: &[u8]) -> Option<Self> {
        let (count, values) = bytes.split_first_chunk::<8>()?;
        let complete = u64::from_le_bytes(*count);
        let (stack, rest) = values.as_chunks::<32>();
        let fits = rest.is_empty() && stack.len() == usize::try_from(complete.count_ones()).ok()?;
        fits.then(|| Self { stack: stack.to_vec(), complete, current: None, filled: 0 })
    }

    /// The hash; `None` after a [`Self::restore`] that no input followed, against the rule.
    pub(super) fn finish(mut self) -> Option<[u8; 32]> {
        let Some(hasher) = self.current.take() else {
            return (self.complete == 0).then(|| Hasher::new().finalize().into());
        };
        let Some(mut left) = self.stack.pop() else { return Some(hasher.finalize().into()) };
        let mut right = hasher.finalize_non_root();
        while let Some(next) = self.stack.pop() {
            right = merge_subtrees_non_root(&left, &right, Mode::Hash);
            left = next;
        }
        Some(merge_subtrees_root(&left, &right, Mode::Hash).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_and_every_stop_gives_the_hash_that_blake3_gives() {
        let input: Vec<u8> = (0u32..9 << 18).flat_map(u32::to_le_bytes).collect();
        for windows in 0..=9usize {
            for extra in [-1025isize, -1, 0, 1, 1024, 5000] {
                let Some(len) = (windows * WINDOW_BYTES).checked_add_signed(extra) else {
                    continue;
                };
                let Some(input) = input.get(..len) else { continue };
                let mut tree = Blake3Tree::default();
                for piece in input.chunks(300_007) {
                    tree.update(piece);
                }
                assert_eq!(tree.finish().unwrap(), *blake3::hash(input).as_bytes(), "{len}");
                for stop in (WINDOW_BYTES..len).step_by(WINDOW_BYTES) {
                    let mut tree = Blake3Tree::default();
                    tree.update(&input[..stop]);
                    let mut tree = Blake3Tree::restore(&tree.state()).unwrap();
                    tree.update(&input[stop..]);
                    assert_eq!(
                        tree.finish().unwrap(),
                        *blake3::hash(input).as_bytes(),
                        "{stop} {len}"
                    );
                }
            }
        }
    }
}
