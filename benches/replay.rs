//! Hands criterion what has been measured already.

use std::cell::Cell;
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, SamplingMode};

/// Two to a sample, each exactly once; the warm-up call alone is answered with nothing but the time that two would take.
pub(crate) fn replay(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, times: &[Duration]) {
    let samples = times.len() / 2;
    let count = u32::try_from(times.len()).unwrap_or(u32::MAX);
    let mean = times.iter().sum::<Duration>().checked_div(count).unwrap_or_default();
    // Criterion plans by the clock: so many samples of time for one and a half launches make two launches each.
    group
        .sampling_mode(SamplingMode::Flat)
        .sample_size(samples.max(10))
        .measurement_time(mean.mul_f64(1.5) * samples.max(10).try_into().unwrap_or(u32::MAX));
    let mut recorded = times.iter().cycle();
    let is_warm_up = Cell::new(true);
    group.bench_function(name, |bencher| {
        bencher.iter_custom(|count| {
            if is_warm_up.replace(false) {
                return wait_busily(mean * count.try_into().unwrap_or(u32::MAX));
            }
            recorded.by_ref().take(count.try_into().unwrap_or(usize::MAX)).sum()
        });
    });
}

fn wait_busily(duration: Duration) -> Duration {
    let begin = Instant::now();
    while begin.elapsed() < duration {
        std::hint::spin_loop();
    }
    duration
}
