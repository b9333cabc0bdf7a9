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

/// How many times as much `values` adds to `base` as `other` adds, the same index meaning the same round.
///
/// Rounds' own ratios would say nothing where what is added is less than what the machine's noise is. So it is the ratio of
/// the medians of what was added, and its interval comes from drawing the rounds anew (bootstrap).
pub fn ratio_of_added(values: &[f64], other: &[f64], base: &[f64]) -> Ratio {
    const DRAWS: usize = 2000;
    let added = |of: &[f64], rounds: &[usize]| -> f64 {
        median_of(&mut rounds.iter().map(|round| of[*round] - base[*round]).collect::<Vec<f64>>())
    };
    let ratio = |rounds: &[usize]| added(values, rounds) / added(other, rounds);
    let count = values.len().min(other.len()).min(base.len());
    let mut random = fastrand::Rng::with_seed(0);
    let mut rounds: Vec<usize> = (0..count).collect();
    let value = ratio(&rounds);
    let mut drawn: Vec<f64> = (0..DRAWS)
        .map(|_| {
            rounds.fill_with(|| random.usize(0..count.max(1)));
            ratio(&rounds)
        })
        .collect();
    drawn.sort_by(f64::total_cmp);
    let at = |part: f64| drawn[(part * (DRAWS - 1) as f64) as usize];
    Ratio { value, interval: Interval { low: at(0.025), high: at(0.975) } }
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
    fn what_is_added_is_compared() {
        let base: Vec<f64> = (0..50_u32).map(|n| 100.0 + f64::from(n % 7)).collect();
        let more = |by: f64| -> Vec<f64> { base.iter().map(|value| value + by).collect() };
        let ratio = ratio_of_added(&more(3.0), &more(6.0), &base);
        assert!((ratio.value - 0.5).abs() < 1e-9);
        assert!((ratio.interval.low - 0.5).abs() < 1e-9 && (ratio.interval.high - 0.5).abs() < 1e-9);
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
