//! Shannon entropy from counts, by integers, so that every processor says the same.

use std::sync::LazyLock;

use super::{BLOCK_BYTES, histogram::ByteHistogram};

/// Largest count the table knows: a whole block of one value.
const LARGEST_COUNT: usize = BLOCK_BYTES;

/// n·log2(n) in 65,536ths, for n up to one block.
pub(super) type NLogN = [u32; LARGEST_COUNT + 1];

static TABLE: LazyLock<Box<NLogN>> = LazyLock::new(|| {
    let mut table = Box::new([0; LARGEST_COUNT + 1]);
    for (count, entry) in (0u64..).zip(table.iter_mut()) {
        *entry = n_log_n(count);
    }
    table
});

/// The table of n·log2(n).
pub(super) fn n_log_n_table() -> &'static NLogN {
    &TABLE
}

/// n·log2(n)·2^16, rounded to nearest, by repeated squaring of a fixed-point mantissa.
fn n_log_n(n: u64) -> u32 {
    if n < 2 {
        return 0;
    }
    let whole = n.ilog2();
    // Mantissa in [1, 2) with 62 fraction bits, squared once for each bit of the logarithm.
    let mut mantissa = u128::from(n) << (62 - whole);
    let mut log = u64::from(whole);
    for _ in 0..40 {
        mantissa = (mantissa * mantissa) >> 62;
        log <<= 1;
        if mantissa >= 1 << 63 {
            mantissa >>= 1;
            log |= 1;
        }
    }
    // log now has 40 fraction bits; 16 stay.
    let scaled = (u128::from(n) * u128::from(log) + (1 << 23)) >> 24;
    u32::try_from(scaled).unwrap_or(u32::MAX)
}

/// Entropy in 8192ths of a bit per byte, from Σ n·log2(n)·2^16 over N bytes of one block.
pub(super) fn entropy_8192ths(sum_n_log_n: u32, bytes: usize) -> u16 {
    let Some(&all) = TABLE.get(bytes) else { return 0 };
    let Ok(bytes) = u32::try_from(bytes) else { return 0 };
    if bytes == 0 {
        return 0;
    }
    let total = u64::from(all.saturating_sub(sum_n_log_n));
    u16::try_from(total / (8 * u64::from(bytes))).unwrap_or(u16::MAX)
}

/// Entropy in bits per byte of a whole small file or piece, by the `entropy` crate below 64 KiB
/// and from a [`ByteHistogram`] above.
#[must_use]
pub fn entropy_of_small(bytes: &[u8]) -> f64 {
    if bytes.len() < super::SPAN_BYTES {
        f64::from(entropy::shannon_entropy(bytes))
    } else {
        ByteHistogram::of(bytes).entropy_bits()
    }
}

#[cfg(test)]
mod tests {
    use super::{n_log_n, n_log_n_table};

    #[test]
    fn the_integer_table_is_within_half_a_step_of_the_real_logarithm() {
        for n in 2u32..=4096 {
            let real = f64::from(n) * f64::from(n).log2() * 65_536.0;
            let ours = f64::from(n_log_n_table()[n as usize]);
            assert!((ours - real).abs() <= 0.51, "{n}: {ours} against {real}");
        }
        assert_eq!(n_log_n(4096), 4096 * 12 * 65_536);
    }
}
