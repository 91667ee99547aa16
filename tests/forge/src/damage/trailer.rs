//! What lockers append: wrapped keys, markers, and now and then the geometry in clear.

use super::keystream::{Cipher, KeyStream};

/// What is appended to the encrypted file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trailer {
    /// So many random bytes and a marker behind them (Babuk: 32 and none; INC: 32 and `INC`).
    Opaque {
        /// Random bytes.
        random: usize,
        /// Bytes after them.
        marker: Vec<u8>,
    },
    /// 512 random bytes, then 22 in clear: +12 mode, +13 percent, +14 original size, little
    /// endian (Akira 2023, Conti).
    ModePercentSize {
        /// Mode byte.
        mode: u8,
        /// Percent byte.
        percent: u8,
    },
    /// 512 random bytes, original size, percent, both u64 little endian (Royal; recalled).
    SizePercent {
        /// Percent.
        percent: u64,
    },
    /// 40 bytes in clear with the hash of their marker, then 1024 random bytes (Play).
    Play {
        /// Every how many blocks.
        block_step: u16,
        /// Block length in bytes.
        block_size: u32,
    },
    /// Random bytes, version byte 0x06 at -23, u64 progress counter at -22, 12 byte campaign
    /// marker at the end (Black Basta).
    Progress {
        /// How far the locker says it came.
        counter: u64,
        /// The campaign's marker.
        marker: [u8; 12],
    },
    /// One behind the other, as after repeated runs.
    Stack(Vec<Trailer>),
}

impl Trailer {
    /// The appended bytes for an original of `size` bytes.
    #[must_use]
    pub fn bytes(&self, size: u64, seed: u64) -> Vec<u8> {
        let key = KeyStream::new(seed ^ 0x5eed_f007, Cipher::Stream);
        let random = |n: usize, nth: u64| {
            let mut bytes = vec![0; n];
            key.encrypt(&mut bytes, nth << 20, 0);
            bytes
        };
        match self {
            Self::Opaque { random: n, marker } => [random(*n, 0), marker.clone()].concat(),
            Self::ModePercentSize { mode, percent } => {
                let mut tail = [0_u8; 22];
                tail[12] = *mode;
                tail[13] = *percent;
                tail[14..].copy_from_slice(&size.to_le_bytes());
                [random(512, 0), tail.to_vec()].concat()
            }
            Self::SizePercent { percent } => {
                [random(512, 0), size.to_le_bytes().to_vec(), percent.to_le_bytes().to_vec()]
                    .concat()
            }
            Self::Play { block_step, block_size } => {
                let marker = random(16, 1);
                let mut out = marker.clone();
                out.extend(0_u16.to_le_bytes());
                out.extend(block_step.to_le_bytes());
                out.extend(1_u16.to_le_bytes());
                out.extend(1_u16.to_le_bytes());
                out.extend(block_size.to_le_bytes());
                out.extend(xxh32(&marker).to_le_bytes());
                out.extend((size / u64::from(*block_size).max(1)).to_le_bytes());
                out.extend(random(1024, 0));
                out
            }
            Self::Progress { counter, marker } => {
                let mut out = random(256, 0);
                out.push(6);
                out.extend(counter.to_le_bytes());
                out.extend([0, 0]);
                out.extend(marker);
                out
            }
            Self::Stack(all) => {
                let mut out = Vec::new();
                for (nth, one) in all.iter().enumerate() {
                    out.extend(one.bytes(size + out.len() as u64, seed + nth as u64));
                }
                out
            }
        }
    }
}

/// xxHash32 of fewer than or exactly 16 bytes and up, seed 0 (Collet's specification).
fn xxh32(bytes: &[u8]) -> u32 {
    const P: [u32; 5] = [0x9E37_79B1, 0x85EB_CA77, 0xC2B2_AE3D, 0x27D4_EB2F, 0x1656_67B1];
    let word = |c: &[u8]| u32::from_le_bytes([c[0], c[1], c[2], c[3]]);
    let mut lanes = [P[0].wrapping_add(P[1]), P[1], 0, 0_u32.wrapping_sub(P[0])];
    let stripes = bytes.chunks_exact(16);
    let rest = stripes.remainder();
    let long = bytes.len() >= 16;
    for stripe in stripes {
        for (lane, chunk) in lanes.iter_mut().zip(stripe.chunks_exact(4)) {
            *lane = lane
                .wrapping_add(word(chunk).wrapping_mul(P[1]))
                .rotate_left(13)
                .wrapping_mul(P[0]);
        }
    }
    let mut h = if long {
        lanes[0]
            .rotate_left(1)
            .wrapping_add(lanes[1].rotate_left(7))
            .wrapping_add(lanes[2].rotate_left(12))
            .wrapping_add(lanes[3].rotate_left(18))
    } else {
        P[4]
    };
    h = h.wrapping_add(bytes.len() as u32);
    let words = rest.chunks_exact(4);
    let tail = words.remainder();
    for chunk in words {
        h = h.wrapping_add(word(chunk).wrapping_mul(P[2])).rotate_left(17).wrapping_mul(P[3]);
    }
    for &byte in tail {
        h = h.wrapping_add(u32::from(byte).wrapping_mul(P[4])).rotate_left(11).wrapping_mul(P[0]);
    }
    h = (h ^ (h >> 15)).wrapping_mul(P[1]);
    h = (h ^ (h >> 13)).wrapping_mul(P[2]);
    h ^ (h >> 16)
}

#[cfg(test)]
mod tests {
    use super::{Trailer, xxh32};

    #[test]
    fn the_hash_is_the_published_one() {
        assert_eq!(xxh32(b""), 0x02CC_5D05);
        assert_eq!(xxh32(b"abc"), 0x32D1_53FF);
        assert_eq!(xxh32(b"Nobody inspects the spammish repetition"), 0xE229_3B2F);
    }

    #[test]
    fn trailers_have_the_lengths_that_are_known_of_them() {
        let length = |t: Trailer| t.bytes(1 << 30, 1).len();
        assert_eq!(length(Trailer::ModePercentSize { mode: 2, percent: 50 }), 534);
        assert_eq!(length(Trailer::SizePercent { percent: 50 }), 528);
        assert_eq!(length(Trailer::Play { block_step: 3, block_size: 1 << 20 }), 1064);
    }
}
