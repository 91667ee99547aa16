//! Seeded random attacks: same seed, same attack.

use super::geometry::Geometry;

/// SplitMix64 (Steele, Lea, Flood 2014).
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// A generator whose output belongs to `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number in `low..high`; `low` where the range is empty.
    pub fn within(&mut self, low: u64, high: u64) -> u64 {
        if high > low { low + self.draw() % (high - low) } else { low }
    }

    /// One of `all`, which is not empty.
    pub fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.within(0, all.len() as u64) as usize]
    }
}

/// Units that lockers count in.
const UNITS: [u64; 9] =
    [4096, 16_384, 65_536, 131_072, 524_288, 1 << 20, 1_000_000, 100_000, 65_535];

/// A random attack on a file of `size` bytes: heads, combs of any phase in binary and decimal
/// units, chunks at fractions, percent, lattices, layers, and some that were broken off.
#[must_use]
pub fn random_geometry(seed: u64, size: u64) -> Geometry {
    let mut rng = Rng::new(seed.wrapping_mul(0x2545_f491_4f6c_dd1d) ^ 0xda3a_6e00);
    let made = simple(&mut rng, size);
    match rng.within(0, 10) {
        0 => Geometry::Interrupted { inner: Box::new(made), at: rng.within(size / 8, size) },
        1 => Geometry::Layers(vec![made, Geometry::Head { bytes: length(&mut rng, size / 8) }]),
        _ => made,
    }
}

fn length(rng: &mut Rng, most: u64) -> u64 {
    let unit = *rng.pick(&UNITS);
    let most_units = (most / unit).clamp(1, 64);
    unit * (1 + rng.within(0, most_units))
}

fn comb(rng: &mut Rng, size: u64) -> (u64, u64) {
    let run = length(rng, size / 40).max(8192);
    let unit = *rng.pick(&UNITS);
    let least = run + unit;
    let period =
        least + unit * rng.within(0, ((size / 4).saturating_sub(least) / unit).min(30) + 1);
    (run, period)
}

fn simple(rng: &mut Rng, size: u64) -> Geometry {
    match rng.within(0, 12) {
        0 => Geometry::Whole { start: *rng.pick(&[0, 0, 0x50, 512, 4096]) },
        1 => Geometry::Head { bytes: length(rng, size / 2) },
        2..=5 => {
            let (run, period) = comb(rng, size);
            let start = if rng.within(0, 3) == 0 { rng.within(0, period) } else { 0 };
            let stop = (rng.within(0, 4) == 0).then(|| rng.within(size / 2, size));
            Geometry::Periodic { start, run, period, stop }
        }
        6 | 7 => {
            let (run, period) = comb(rng, size);
            let head = length(rng, size / 8);
            let start = head + period - run;
            Geometry::HeadThenPeriodic { head, start, run, period, stop: None }
        }
        8 => {
            let count = rng.within(3, 9);
            let run = size / 1000 * rng.within(1, 900 / count);
            let step =
                run + (size - run * count) / if rng.within(0, 2) == 0 { count } else { count - 1 };
            Geometry::Chunks { count, run, step }
        }
        9 => Geometry::PercentOfBlocks { blocks: rng.within(4, 30), percent: rng.within(5, 80) },
        10 => Geometry::PlayBlocks {
            block: *rng.pick(&[65_536, 524_288, 1 << 20]),
            step: rng.within(2, 20),
        },
        _ => {
            let run = *rng.pick(&[16, 32, 64, 128, 256, 512]);
            let period = run * rng.within(2, 101);
            Geometry::Periodic { start: 0, run, period, stop: None }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::random_geometry;

    #[test]
    fn a_seed_always_gives_the_same_attack_inside_the_file() {
        let size = 64 << 20;
        for seed in 0..500 {
            let made = random_geometry(seed, size);
            assert_eq!(made, random_geometry(seed, size));
            let ranges = made.ranges(size);
            assert!(!ranges.is_empty(), "{made:?}");
            assert!(ranges.iter().all(|r| r.start < r.end && r.end <= size));
            assert!(ranges.windows(2).all(|w| w[0].end < w[1].start));
        }
    }
}
