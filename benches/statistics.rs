//! Medians, and how sure one can be of them.

/// A range that holds the true value in 95 of 100 runs.
#[derive(Debug, Clone, Copy)]
pub struct Interval {
    /// Its lower end.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
}

/// How many times as long one thing takes as another.
#[derive(Debug, Clone, Copy)]
pub struct Ratio {
    /// The median of the rounds' ratios.
    pub value: f64,
    /// Its confidence interval.
    pub interval: Interval,
}

/// The median; not a number where there are no values.
pub fn median(values: &[f64]) -> f64 {
    median_of(&mut values.to_vec())
}

/// How many times as long as `base` the `values` take, where the same index means the same round.
///
/// The median of the ratios, each within one round: what slowed the machine down for a while weighs on both sides of each,
/// where a ratio of two medians would be one of a slow hour and a fast one. The interval is that of the sign test,
/// which supposes nothing of how the values are distributed: between the two ratios as far from the middle of their order as the middle
/// of so many coin tosses strays in 95 of 100 cases.
pub fn paired_ratio(values: &[f64], base: &[f64]) -> Ratio {
    let mut ratios: Vec<f64> = values.iter().zip(base).map(|(value, base)| value / base).collect();
    ratios.sort_by(f64::total_cmp);
    let count = ratios.len();
    // Half the rounds, less 1.96 standard deviations of the binomial distribution, each 0.5 times the root.
    let stray = 0.98 * (count as f64).sqrt();
    let low = (count as f64 / 2.0 - stray).floor().max(0.0) as usize;
    let at = |index: usize| ratios.get(index).copied().unwrap_or(f64::NAN);
    Ratio { value: median(&ratios), interval: Interval { low: at(low), high: at(count.saturating_sub(1 + low)) } }
}

fn median_of(values: &mut [f64]) -> f64 {
    let middle = values.len() / 2;
    if values.is_empty() {
        return f64::NAN;
    }
    let even = values.len().is_multiple_of(2);
    let (below, upper, _) = values.select_nth_unstable_by(middle, f64::total_cmp);
    let upper = *upper;
    if even {
        let lower = below.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        f64::midpoint(lower, upper)
    } else {
        upper
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        assert!((median(&[3.0, 1.0, 2.0]) - 2.0).abs() < 1e-9);
        assert!((median(&[4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < 1e-9);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn a_constant_ratio_is_certain() {
        let base: Vec<f64> = (0..101_u32).map(|n| 1.0 + f64::from(n % 7) / 100.0).collect();
        let values: Vec<f64> = base.iter().map(|value| value * 2.0).collect();
        let ratio = paired_ratio(&values, &base);
        assert!((ratio.value - 2.0).abs() < 1e-9);
        assert!((ratio.interval.low - 2.0).abs() < 1e-9 && (ratio.interval.high - 2.0).abs() < 1e-9);
    }
}
