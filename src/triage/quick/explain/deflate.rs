//! Deflate blocks found at any bit and decoded from one to the next (RFC 1951).
//!
//! Only the Huffman codes are followed; what they copy is not needed to see that they hold.
//! Ciphertext has no complete code trees by chance: none in 1.7 thousand million bit positions.

use std::ops::Range;

/// How far before a part a block that leads into it may begin.
const BEFORE_BYTES: usize = 64 << 10;
/// Bits between two streams in one file (a zip's local headers, a PNG's chunk heads).
const GAP_BITS: usize = 8 * 2048;
/// Order in which code lengths are stored.
const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
/// Longest code.
const MAX_BITS: usize = 15;

/// Whether deflate blocks lead through `part` of `bytes`, nearly all of it decoded.
pub(super) fn runs_through(bytes: &[u8], part: &Range<usize>) -> bool {
    let mut at = part.start.saturating_sub(BEFORE_BYTES) * 8;
    let (start, end) = (part.start * 8, part.end.min(bytes.len()) * 8);
    let mut reached = start;
    while at < end {
        // A gap too wide: what lies in it is not shown to be deflate.
        if at > reached.saturating_add(GAP_BITS) && at > start {
            return false;
        }
        match walk(bytes, at, end) {
            Some(to) => {
                if at <= reached.saturating_add(GAP_BITS) {
                    reached = reached.max(to);
                }
                at = to;
            }
            None => at += 1,
        }
    }
    reached.saturating_add(GAP_BITS) >= end
}

/// Up to where blocks that begin with a dynamic one at bit `at` hold; `None` where none begins.
///
/// A block is shown only by what follows it: codes are complete, so that bytes written over its
/// middle decode as well, but hardly to a place where the next block begins.
fn walk(bytes: &[u8], at: usize, end: usize) -> Option<usize> {
    let mut bits = Bits { bytes, at };
    // The kind, code counts in range, a complete first code: nearly all places end here.
    let ahead = bits.peek();
    if ahead >> 1 & 3 != 2 || ahead >> 3 & 31 > 29 || ahead >> 8 & 31 > 29 || !bits.has_lengths() {
        return None;
    }
    let mut blocks = 0;
    let mut shown = None;
    loop {
        let begins = bits.at;
        let last = bits.take(1)? == 1;
        let kind = bits.take(2)?;
        let done = match kind {
            // Chains begin with a block whose header proves itself.
            0 if blocks > 0 => stored(&mut bits),
            1 if blocks > 0 => {
                symbols(&mut bits, &Code::fixed_literals(), &Code::fixed_distances())
            }
            2 => dynamic(&mut bits),
            _ => None,
        };
        if done.is_none() {
            // The window ends inside a block whose own codes hold.
            if bits.is_at_end() && blocks > 0 {
                return Some(bytes.len() * 8);
            }
            return shown.filter(|shown| *shown > at);
        }
        blocks += 1;
        if last {
            return Some(bits.at);
        }
        shown = Some(begins);
        if begins >= end {
            return shown;
        }
    }
}

struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    /// Up to 16 bits ahead, zeros behind the end.
    fn peek(&self) -> u32 {
        let from = self.at / 8;
        let byte = |i: usize| self.bytes.get(from + i).copied().unwrap_or(0);
        u32::from_le_bytes([byte(0), byte(1), byte(2), 0]) >> (self.at % 8) & 0xFFFF
    }

    /// Whether the lengths of a dynamic block's first code, which begin 17 bits ahead, are those
    /// of a complete one.
    fn has_lengths(&self) -> bool {
        let at = self.at + 13;
        let Some(bytes) = self.bytes.get(at / 8..at / 8 + 9) else { return false };
        let wide = bytes.iter().rev().fold(0u128, |sum, byte| sum << 8 | u128::from(*byte));
        let count = (wide >> (at % 8)) as u32 & 15;
        let mut lengths = (wide >> (at % 8 + 4)) as u64;
        let mut room = 128u32;
        for _ in 0..count + 4 {
            let length = (lengths & 7) as u32;
            lengths >>= 3;
            // Zero stands for no code, and takes no room.
            room = room.wrapping_sub(128 >> length & 127);
        }
        room == 0
    }

    fn is_at_end(&self) -> bool {
        self.at + 16 >= self.bytes.len() * 8
    }

    fn skip(&mut self, count: usize) -> Option<()> {
        let to = self.at.checked_add(count)?;
        (to <= self.bytes.len() * 8).then(|| self.at = to)
    }

    fn take(&mut self, count: usize) -> Option<u32> {
        let value = self.peek() & ((1 << count) - 1);
        self.skip(count)?;
        Some(value)
    }
}

/// A canonical Huffman code: how many codes of each length, and the symbols in order.
struct Code {
    counts: [u16; MAX_BITS + 1],
    symbols: [u16; 288],
}

impl Code {
    /// `None` where the lengths are no complete code; a single distance of one bit may be alone.
    fn of(lengths: &[u8], may_be_single: bool) -> Option<Self> {
        let mut counts = [0u16; MAX_BITS + 1];
        for length in lengths {
            *counts.get_mut(usize::from(*length))? += 1;
        }
        counts[0] = 0;
        let mut left = 1i32;
        for count in counts.iter().skip(1) {
            left = left * 2 - i32::from(*count);
            if left < 0 {
                return None;
            }
        }
        let used: u16 = counts.iter().sum();
        let is_single = may_be_single && used <= 1;
        if left != 0 && !is_single {
            return None;
        }
        let mut offsets = [0u16; MAX_BITS + 2];
        for length in 1..=MAX_BITS {
            offsets[length + 1] = offsets[length] + counts[length];
        }
        let mut symbols = [0u16; 288];
        for (symbol, length) in (0u16..).zip(lengths) {
            if *length == 0 {
                continue;
            }
            let place = offsets.get_mut(usize::from(*length))?;
            *symbols.get_mut(usize::from(*place))? = symbol;
            *place += 1;
        }
        Some(Self { counts, symbols })
    }

    fn fixed_literals() -> Self {
        let mut lengths = [8u8; 288];
        lengths[144..256].fill(9);
        lengths[256..280].fill(7);
        Self::of(&lengths, false).unwrap_or(Self { counts: [0; 16], symbols: [0; 288] })
    }

    fn fixed_distances() -> Self {
        Self::of(&[5; 32], false).unwrap_or(Self { counts: [0; 16], symbols: [0; 288] })
    }

    fn decode(&self, bits: &mut Bits<'_>) -> Option<u16> {
        let ahead = bits.peek();
        let (mut code, mut first, mut index) = (0i32, 0i32, 0i32);
        for length in 1..=MAX_BITS {
            code |= i32::from(ahead >> (length - 1) & 1 == 1);
            let count = i32::from(self.counts[length]);
            if code - count < first {
                bits.skip(length)?;
                let place = usize::try_from(index + (code - first)).ok()?;
                return self.symbols.get(place).copied();
            }
            index += count;
            first = (first + count) << 1;
            code <<= 1;
        }
        None
    }
}

fn stored(bits: &mut Bits<'_>) -> Option<()> {
    bits.skip((8 - bits.at % 8) % 8)?;
    let (length, inverse) = (bits.take(16)?, bits.take(16)?);
    (length == !inverse & 0xFFFF).then_some(())?;
    bits.skip(length as usize * 8)
}

fn dynamic(bits: &mut Bits<'_>) -> Option<()> {
    let literals = bits.take(5)? as usize + 257;
    let distances = bits.take(5)? as usize + 1;
    let lengths_stored = bits.take(4)? as usize + 4;
    if literals > 286 || distances > 30 {
        return None;
    }
    let mut own = [0u8; 19];
    for place in ORDER.iter().take(lengths_stored) {
        own[*place] = u8::try_from(bits.take(3)?).ok()?;
    }
    let code = Code::of(&own, false)?;
    let mut lengths = [0u8; 286 + 30];
    let all = literals + distances;
    let mut filled = 0;
    while filled < all {
        let symbol = code.decode(bits)?;
        let (value, times) = match symbol {
            0..=15 => (u8::try_from(symbol).ok()?, 1),
            16 => (*lengths.get(filled.checked_sub(1)?)?, 3 + bits.take(2)? as usize),
            17 => (0, 3 + bits.take(3)? as usize),
            _ => (0, 11 + bits.take(7)? as usize),
        };
        lengths.get_mut(filled..filled + times).filter(|_| filled + times <= all)?.fill(value);
        filled += times;
    }
    // Without an end symbol the block could never end.
    if lengths[256] == 0 {
        return None;
    }
    let literal = Code::of(lengths.get(..literals)?, false)?;
    let distance = Code::of(lengths.get(literals..all)?, true)?;
    symbols(bits, &literal, &distance)
}

/// Follows symbols to the end of the block.
fn symbols(bits: &mut Bits<'_>, literal: &Code, distance: &Code) -> Option<()> {
    loop {
        match literal.decode(bits)? {
            0..=255 => {}
            256 => return Some(()),
            symbol @ 257..=285 => {
                bits.skip(length_bits(symbol))?;
                let far = distance.decode(bits)?;
                if far > 29 {
                    return None;
                }
                bits.skip(usize::from((far / 2).saturating_sub(1)))?;
            }
            _ => return None,
        }
    }
}

/// Extra bits of a length symbol.
fn length_bits(symbol: u16) -> usize {
    match symbol {
        257..=264 | 285 => 0,
        _ => usize::from((symbol - 261) / 4),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn noise(length: usize, seed: u64) -> Vec<u8> {
        let mut state = seed | 1;
        (0..length)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state.to_le_bytes()[3]
            })
            .collect()
    }

    /// Varied text, so that deflate makes blocks of some 20 KiB.
    fn packed(level: u32) -> Vec<u8> {
        let mut text = Vec::new();
        for (i, word) in noise(1_500_000, 9).chunks(6).enumerate() {
            writeln!(text, "{i} {:x?} {}", word, i * 7919 % 1013).unwrap();
        }
        let mut encoder =
            flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::new(level));
        encoder.write_all(&text).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn deflate_is_followed_from_any_byte_of_its_middle() {
        for level in [4, 6, 9] {
            let bytes = packed(level);
            for start in [150_000, 222_222, 400_001] {
                assert!(runs_through(&bytes, &(start..start + 65_536)), "{level} {start}");
            }
        }
    }

    #[test]
    fn ciphertext_alone_and_inside_deflate_is_not_followed() {
        assert!(!runs_through(&noise(400_000, 5), &(100_000..165_536)));
        let whole = packed(6);
        for length in [131_072, 200_000] {
            let mut bytes = whole.clone();
            bytes[300_000..300_000 + length].copy_from_slice(&noise(length, 77));
            let part = 310_000..375_536;
            assert!(!runs_through(&bytes, &part), "{length}");
        }
    }
}
