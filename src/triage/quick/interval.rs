//! Confidence bounds of a sampled share: Clopper and Pearson's, which never promise too much.

use super::verdict::Share;

/// Probability that the true share lies outside the bounds, both sides together.
const ALPHA: f64 = 0.001;

/// The share `hits / samples` with its bounds at 99.9 %.
///
/// `hits` may be a fraction: a sample hit in part counts in part, which varies less than a coin
/// would, so the bounds only grow too wide.
pub(super) fn share(hits: f64, samples: u64) -> Share {
    let n = samples as f64;
    if samples == 0 {
        return Share { estimate: 0.0, low: 0.0, high: 1.0 };
    }
    let k = hits.clamp(0.0, n);
    let low = if k <= 0.0 { 0.0 } else { quantile(ALPHA / 2.0, k, n - k + 1.0) };
    let high = if k >= n { 1.0 } else { quantile(1.0 - ALPHA / 2.0, k + 1.0, n - k) };
    Share { estimate: k / n, low: low.min(k / n), high: high.max(k / n) }
}

/// Where the beta distribution of these parameters reaches probability `p`, by bisection.
fn quantile(p: f64, a: f64, b: f64) -> f64 {
    let (mut low, mut high) = (0.0f64, 1.0f64);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if beta_cdf(middle, a, b) < p { low = middle } else { high = middle }
    }
    f64::midpoint(low, high)
}

/// The regularised incomplete beta function, by its continued fraction (Lentz's method).
fn beta_cdf(x: f64, a: f64, b: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    if x >= 1.0 {
        return 1.0;
    }
    let front =
        (ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b) + a * x.ln() + b * (1.0 - x).ln()).exp();
    if x < (a + 1.0) / (a + b + 2.0) {
        front * fraction(x, a, b) / a
    } else {
        1.0 - front * fraction(1.0 - x, b, a) / b
    }
}

fn fraction(x: f64, a: f64, b: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let keep = |value: f64| if value.abs() < TINY { TINY } else { value };
    let mut c = 1.0f64;
    let mut d = 1.0 / keep(1.0 - (a + b) * x / (a + 1.0));
    let mut result = d;
    for step in 1..2000u32 {
        let m = f64::from(step);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        d = 1.0 / keep(1.0 + even * d);
        c = keep(1.0 + even / c);
        result *= d * c;
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        d = 1.0 / keep(1.0 + odd * d);
        c = keep(1.0 + odd / c);
        let change = d * c;
        result *= change;
        if (change - 1.0).abs() < 1e-12 {
            break;
        }
    }
    result
}

/// ln Γ by Lanczos' approximation (g = 7, 9 terms), good to 15 digits.
fn ln_gamma(x: f64) -> f64 {
    const TERMS: [f64; 8] = [
        676.520_368_121_885_1,
        -1_259.139_216_722_402_8,
        771.323_428_777_653_1,
        -176.615_029_162_140_6,
        12.507_343_278_686_905,
        -0.138_571_095_265_720_12,
        9.984_369_578_019_572e-6,
        1.505_632_735_149_311_6e-7,
    ];
    let x = x - 1.0;
    let mut sum = 0.999_999_999_999_809_9;
    for (i, term) in (1u32..).zip(TERMS) {
        sum += term / (x + f64::from(i));
    }
    let t = x + 7.5;
    0.5 * (2.0 * std::f64::consts::PI).ln() + (x + 0.5) * t.ln() - t + sum.ln()
}

#[cfg(test)]
mod tests {
    use super::share;

    fn near(left: f64, right: f64) -> bool {
        (left - right).abs() < 1e-4
    }

    #[test]
    fn bounds_agree_with_published_values() {
        // Bounds without a hit have the closed form 1 − (α/2)^(1/n).
        let none = share(0.0, 688);
        assert!(near(none.low, 0.0) && near(none.high, 1.0 - 0.0005f64.powf(1.0 / 688.0)));
        let all = share(688.0, 688);
        assert!(near(all.high, 1.0) && near(all.low, 0.0005f64.powf(1.0 / 688.0)));
        // From summed binomial tails, by bisection.
        let half = share(344.0, 688);
        assert!(near(half.low, HALF.0) && near(half.high, HALF.1), "{half:?}");
    }
    const HALF: (f64, f64) = (0.436_825, 0.563_175);

    #[test]
    fn no_samples_say_nothing() {
        let nothing = share(0.0, 0);
        assert!(near(nothing.low, 0.0) && near(nothing.high, 1.0));
    }
}
