//! Medians, how far values spread, and how sure one can be of a ratio.

/// How often rounds are drawn anew for an interval.
const DRAWS: usize = 2000;
/// The part of the drawn ratios that is cut off at either end of an interval.
const TAIL: f64 = 0.025;
/// So many times the distance of the quartiles beyond them, and a value is an outlier ("far out", Tukey 1977).
const FAR_OUT: f64 = 3.0;

/// A range that holds the true value in 95 of 100 runs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// Its lower end.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
}

/// How many times as long one thing takes as another.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ratio {
    /// The middle.
    pub value: f64,
    /// Its confidence interval.
    pub interval: Interval,
}

/// What many values come to, in their own unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Summary {
    /// How many there are.
    pub count: usize,
    /// The least.
    pub minimum: f64,
    /// A quarter of them is below.
    pub lower: f64,
    /// Half of them is below.
    pub median: f64,
    /// A quarter of them is above.
    pub upper: f64,
    /// The greatest.
    pub maximum: f64,
    /// How many are further from the quartiles than three times the distance between those.
    pub outliers: usize,
}

impl Summary {
    /// Of no values there is none.
    pub fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (first, last) = (*sorted.first()?, *sorted.last()?);
        let [lower, median, upper] = [0.25, 0.5, 0.75].map(|part| quantile(&sorted, part));
        let far = FAR_OUT * (upper - lower);
        let outliers = sorted.iter().filter(|value| **value < lower - far || **value > upper + far).count();
        Some(Summary { count: sorted.len(), minimum: first, lower, median, upper, maximum: last, outliers })
    }

    /// The distance of the quartiles, in medians.
    pub fn spread(&self) -> f64 {
        (self.upper - self.lower) / self.median
    }

    /// Beyond this a value is an outlier.
    pub fn fence(&self) -> f64 {
        self.upper + FAR_OUT * (self.upper - self.lower)
    }
}

/// The value below which that part of the `sorted` values lies; between two of them in proportion.
fn quantile(sorted: &[f64], part: f64) -> f64 {
    let place = part * sorted.len().saturating_sub(1) as f64;
    let at = |index: usize| sorted.get(index).copied().unwrap_or(f64::NAN);
    let (below, above) = (at(place.floor() as usize), at(place.ceil() as usize));
    below + (above - below) * place.fract()
}

/// The median; not a number where there are no values.
pub fn median(values: &[f64]) -> f64 {
    median_of(&mut values.to_vec())
}

/// How many times as long as `base` the `values` take, where the same index means the same round.
///
/// The median of the ratios, each within one round: what slowed the machine down for a while weighs on both sides of each,
/// where a ratio of two medians would be one of a slow hour and a fast one. The interval comes from drawing the rounds anew
/// (percentile bootstrap, Efron 1979), which supposes nothing of how the values are distributed; the same values give the same
/// interval.
pub fn paired_ratio(values: &[f64], base: &[f64]) -> Ratio {
    let ratios: Vec<f64> = values.iter().zip(base).map(|(value, base)| value / base).collect();
    drawn_anew(ratios.len(), |rounds| median_of(&mut rounds.iter().map(|round| ratios[*round]).collect::<Vec<f64>>()))
}

/// How many times as much `values` adds to `base` as `other` adds, the same index meaning the same round.
///
/// Rounds' own ratios would say nothing where what is added is less than what the machine's noise is. So it is the ratio of
/// the medians of what was added.
pub fn ratio_of_added(values: &[f64], other: &[f64], base: &[f64]) -> Ratio {
    let added = |of: &[f64], rounds: &[usize]| -> f64 {
        median_of(&mut rounds.iter().map(|round| of[*round] - base[*round]).collect::<Vec<f64>>())
    };
    let count = values.len().min(other.len()).min(base.len());
    drawn_anew(count, |rounds| added(values, rounds) / added(other, rounds))
}

/// What `of` says of all the rounds, and an interval from what it says of as many drawn from them.
fn drawn_anew(count: usize, of: impl Fn(&[usize]) -> f64) -> Ratio {
    let mut rounds: Vec<usize> = (0..count).collect();
    let value = of(&rounds);
    let mut random = fastrand::Rng::with_seed(0);
    let mut drawn: Vec<f64> = (0..DRAWS)
        .map(|_| {
            rounds.fill_with(|| random.usize(0..count.max(1)));
            of(&rounds)
        })
        .collect();
    drawn.sort_by(f64::total_cmp);
    Ratio { value, interval: Interval { low: quantile(&drawn, TAIL), high: quantile(&drawn, 1.0 - TAIL) } }
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
    use proptest::prelude::*;

    fn near(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-9 * b.abs().max(1.0)
    }

    #[test]
    fn the_median_is_the_middle() {
        assert!(near(median(&[3.0, 1.0, 2.0]), 2.0));
        assert!(near(median(&[4.0, 1.0, 2.0, 3.0]), 2.5));
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn a_summary_has_the_quartiles_of_the_textbook() {
        let Some(summary) = Summary::of(&[9.0, 1.0, 3.0, 5.0, 7.0, 100.0]) else { panic!("there are values") };
        assert!(near(summary.lower, 3.5) && near(summary.median, 6.0) && near(summary.upper, 8.5));
        assert!(near(summary.minimum, 1.0) && near(summary.maximum, 100.0));
        assert_eq!((summary.count, summary.outliers), (6, 1));
        assert!(near(summary.spread(), 5.0 / 6.0) && near(summary.fence(), 23.5));
        assert_eq!(Summary::of(&[]), None);
    }

    #[test]
    fn of_one_value_all_is_that_value() {
        let Some(summary) = Summary::of(&[7.0]) else { panic!("there is a value") };
        assert!([summary.lower, summary.median, summary.upper, summary.maximum].iter().all(|value| near(*value, 7.0)));
        assert_eq!(summary.outliers, 0);
    }

    #[test]
    fn what_is_added_is_compared() {
        let base: Vec<f64> = (0..50_u32).map(|n| 100.0 + f64::from(n % 7)).collect();
        let more = |by: f64| -> Vec<f64> { base.iter().map(|value| value + by).collect() };
        let ratio = ratio_of_added(&more(3.0), &more(6.0), &base);
        assert!(near(ratio.value, 0.5) && near(ratio.interval.low, 0.5) && near(ratio.interval.high, 0.5));
    }

    #[test]
    fn a_constant_ratio_is_certain() {
        let base: Vec<f64> = (0..101_u32).map(|n| 1.0 + f64::from(n % 7) / 100.0).collect();
        let values: Vec<f64> = base.iter().map(|value| value * 2.0).collect();
        let ratio = paired_ratio(&values, &base);
        assert!(near(ratio.value, 2.0) && near(ratio.interval.low, 2.0) && near(ratio.interval.high, 2.0));
    }

    #[test]
    fn a_slow_hour_weighs_on_both_sides() {
        // The machine grows ten times slower half-way.
        let slow = |round: u32| if round < 20 { 1.0 } else { 10.0 };
        let base: Vec<f64> = (0..40).map(slow).collect();
        let values: Vec<f64> = (0..40).map(|round| slow(round) * 1.1).collect();
        let ratio = paired_ratio(&values, &base);
        assert!(near(ratio.value, 1.1) && ratio.interval.high - ratio.interval.low < 1e-9);
    }

    #[test]
    fn the_interval_holds_the_true_ratio_about_as_often_as_it_says() {
        // Seeded, so that the count is the same each time: 95 of 100, give or take what so many trials stray.
        let mut random = fastrand::Rng::with_seed(1);
        let mut noisy = |centre: f64| -> Vec<f64> {
            (0..40).map(|_| centre * (1.0 + 0.2 * (random.f64() + random.f64() + random.f64() - 1.5))).collect()
        };
        let held = (0..200).filter(|_| {
            let Ratio { interval, .. } = paired_ratio(&noisy(3.0), &noisy(2.0));
            interval.low <= 1.5 && 1.5 <= interval.high
        });
        let held = held.count();
        assert!((180..=199).contains(&held), "{held} of 200");
    }

    proptest! {
        #[test]
        fn a_summary_is_in_order(values in prop::collection::vec(1e-6..1e6, 1..80)) {
            let Some(s) = Summary::of(&values) else { panic!("there are values") };
            prop_assert!(s.minimum <= s.lower && s.lower <= s.median && s.median <= s.upper && s.upper <= s.maximum);
            prop_assert!(near(s.median, median(&values)));
            // What is far out is no quarter of the values on either side.
            prop_assert!(s.outliers <= values.len() / 2);
        }

        #[test]
        fn a_ratio_lies_within_its_interval_and_its_rounds(pairs in prop::collection::vec((0.1..10.0, 0.1..10.0), 1..40)) {
            let (values, base): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
            let Ratio { value, interval } = paired_ratio(&values, &base);
            prop_assert!(interval.low <= value + 1e-12 && value <= interval.high + 1e-12);
            let ratios: Vec<f64> = values.iter().zip(&base).map(|(value, base)| value / base).collect();
            let least = ratios.iter().copied().fold(f64::INFINITY, f64::min);
            let most = ratios.iter().copied().fold(0.0, f64::max);
            prop_assert!(least <= interval.low + 1e-12 && interval.high <= most + 1e-12);
        }

        #[test]
        fn the_unit_does_not_matter(pairs in prop::collection::vec((0.1..10.0, 0.1..10.0), 1..40), unit in 1e-3..1e3) {
            let (values, base): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
            let scaled = |of: &[f64]| -> Vec<f64> { of.iter().map(|value| value * unit).collect() };
            let (plain, other) = (paired_ratio(&values, &base), paired_ratio(&scaled(&values), &scaled(&base)));
            prop_assert!(near(plain.value, other.value) && near(plain.interval.low, other.interval.low));
        }
    }
}
