//! ChaCha20 (RFC 8439 rounds, 64-bit counter), seekable, and the mistakes lockers made with it.

/// How the bytes are encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cipher {
    /// A sound stream cipher.
    Stream,
    /// The same first bytes of key stream in every run (Black Basta 2022–2023: 64).
    SameEveryRun(usize),
    /// Key stream that repeats after so many bytes (Money Message: 8192).
    Period(usize),
    /// 16-byte blocks on their own: equal plaintext gives equal ciphertext (RansomEXX). Trailing
    /// bytes of a run that fill no block stay as they are.
    Ecb,
}

/// One key.
#[derive(Clone, Debug)]
pub struct KeyStream {
    key: [u32; 8],
    cipher: Cipher,
    fixed: Vec<u8>,
}

impl KeyStream {
    /// The key that belongs to `seed`.
    #[must_use]
    pub fn new(seed: u64, cipher: Cipher) -> Self {
        let mut state = seed ^ 0x9e37_79b9_7f4a_7c15;
        let key = std::array::from_fn(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 32) as u32
        });
        let length = match cipher {
            Cipher::SameEveryRun(n) | Cipher::Period(n) => n,
            Cipher::Stream | Cipher::Ecb => 0,
        };
        let mut made = Self { key, cipher, fixed: vec![0; length] };
        let mut fixed = vec![0; length];
        made.xor_stream(&mut fixed, 0);
        made.fixed = fixed;
        made
    }

    /// Encrypts one whole run that lies at `offset` and is the `nth`.
    pub fn encrypt(&self, bytes: &mut [u8], offset: u64, nth: u64) {
        self.encrypt_part(bytes, offset, 0, nth);
    }

    /// Encrypts a piece of a run: `offset` in the file, `into` bytes after the run's start.
    pub fn encrypt_part(&self, bytes: &mut [u8], offset: u64, into: u64, _nth: u64) {
        match self.cipher {
            Cipher::Stream => self.xor_stream(bytes, offset),
            Cipher::SameEveryRun(n) | Cipher::Period(n) => {
                for (i, byte) in bytes.iter_mut().enumerate() {
                    *byte ^= self.fixed[((into + i as u64) % n as u64) as usize];
                }
            }
            Cipher::Ecb => {
                for block in bytes.chunks_exact_mut(16) {
                    self.permute(block);
                }
            }
        }
    }

    /// XORs with the stream as it is from `offset` on.
    fn xor_stream(&self, bytes: &mut [u8], offset: u64) {
        let mut at = 0;
        while at < bytes.len() {
            let place = offset + at as u64;
            let block = self.block(place / 64);
            let skip = (place % 64) as usize;
            let take = (64 - skip).min(bytes.len() - at);
            for (byte, key) in bytes[at..at + take].iter_mut().zip(&block[skip..]) {
                *byte ^= key;
            }
            at += take;
        }
    }

    /// A keyed permutation of 16 bytes: eight Feistel rounds. Good enough to look random.
    fn permute(&self, block: &mut [u8]) {
        let (left, right) = block.split_at_mut(8);
        let mut l = u64::from_le_bytes(left.try_into().unwrap_or_default());
        let mut r = u64::from_le_bytes(right.try_into().unwrap_or_default());
        for key in self.key {
            let mut x = r ^ (u64::from(key) << 17) ^ u64::from(key);
            x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            (l, r) = (r, l ^ x ^ (x >> 31));
        }
        left.copy_from_slice(&l.to_le_bytes());
        right.copy_from_slice(&r.to_le_bytes());
    }

    fn block(&self, counter: u64) -> [u8; 64] {
        let mut state = [0_u32; 16];
        state[..4].copy_from_slice(&[0x6170_7865, 0x3320_646e, 0x7962_2d32, 0x6b20_6574]);
        state[4..12].copy_from_slice(&self.key);
        state[12] = counter as u32;
        state[13] = (counter >> 32) as u32;
        let mut w = state;
        for _ in 0..10 {
            quarter(&mut w, 0, 4, 8, 12);
            quarter(&mut w, 1, 5, 9, 13);
            quarter(&mut w, 2, 6, 10, 14);
            quarter(&mut w, 3, 7, 11, 15);
            quarter(&mut w, 0, 5, 10, 15);
            quarter(&mut w, 1, 6, 11, 12);
            quarter(&mut w, 2, 7, 8, 13);
            quarter(&mut w, 3, 4, 9, 14);
        }
        let mut out = [0; 64];
        for (i, place) in out.chunks_exact_mut(4).enumerate() {
            place.copy_from_slice(&w[i].wrapping_add(state[i]).to_le_bytes());
        }
        out
    }
}

#[inline(always)]
fn quarter(w: &mut [u32; 16], a: usize, b: usize, c: usize, d: usize) {
    w[a] = w[a].wrapping_add(w[b]);
    w[d] = (w[d] ^ w[a]).rotate_left(16);
    w[c] = w[c].wrapping_add(w[d]);
    w[b] = (w[b] ^ w[c]).rotate_left(12);
    w[a] = w[a].wrapping_add(w[b]);
    w[d] = (w[d] ^ w[a]).rotate_left(8);
    w[c] = w[c].wrapping_add(w[d]);
    w[b] = (w[b] ^ w[c]).rotate_left(7);
}

#[cfg(test)]
mod tests {
    use super::{Cipher, KeyStream};

    #[test]
    fn the_stream_is_the_same_however_it_is_cut() {
        let key = KeyStream::new(1, Cipher::Stream);
        let mut whole = vec![0; 1000];
        key.encrypt(&mut whole, 37, 0);
        let mut parts = vec![0; 1000];
        let (a, b) = parts.split_at_mut(333);
        key.encrypt_part(a, 37, 0, 0);
        key.encrypt_part(b, 37 + 333, 333, 0);
        assert_eq!(whole, parts);
    }

    #[test]
    fn equal_blocks_stay_equal_under_ecb_only() {
        let mut data = vec![7; 64];
        KeyStream::new(1, Cipher::Ecb).encrypt(&mut data, 0, 0);
        assert_eq!(data[..16], data[16..32]);
        let mut data = vec![7; 64];
        KeyStream::new(1, Cipher::Stream).encrypt(&mut data, 0, 0);
        assert_ne!(data[..16], data[16..32]);
    }
}
