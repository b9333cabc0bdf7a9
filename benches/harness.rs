//! What the harness itself costs: a check of the reference daemon from end to end, and beside it the launches
//! that the daemon would take anyway.
//!
//! The kinds take turns, as in `startup.rs`, for the table at the end; criterion then measures each by itself.

use std::error::Error;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use criterion::{Criterion, SamplingMode};
use daemonspec::run::Options;
use daemonspec::statistics::median;
use daemonspec_benches::{Daemon, Mode, Programs, adopt_orphans, check, reference_daemon, subject};

const ROUNDS: usize = 40;
/// A whole check is to take no longer.
const GOAL: Duration = Duration::from_millis(500);
/// A check of the clean launch alone: one scenario, one sandbox.
const OF_ONE_SCENARIO: &str = "launcher-exits";

type Kind<'a> = (String, Box<dyn Fn() -> Result<(), Box<dyn Error>> + 'a>);

fn main() -> Result<(), Box<dyn Error>> {
    let mode = Mode::from_arguments();
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(4))
        .sample_size(20)
        .configure_from_args();
    adopt_orphans()?;
    let program = reference_daemon()?;
    let programs = Programs::new(Path::new(env!("CARGO_TARGET_TMPDIR")))?;
    let daemon = programs.copied("reference daemon", &program, &["--pid-file", "{pid}", "--log-file", "{log}"])?;

    let subject = subject(&program);
    let whole = Options::default();
    let in_turn = Options { jobs: 1, ..Options::default() };
    let one = Options { only: [OF_ONE_SCENARIO].into(), ..Options::default() };
    let starts = if mode == Mode::List { 0 } else { check(&subject, &whole)? };
    let kinds: [Kind<'_>; 6] = [
        ("whole check".into(), Box::new(|| check(&subject, &whole).map(drop))),
        ("whole check, one scenario at a time".into(), Box::new(|| check(&subject, &in_turn).map(drop))),
        ("its launches alone, without any harness".into(), Box::new(|| launch(&daemon, starts))),
        ("one scenario (terminal)".into(), Box::new(|| check(&subject, &one).map(drop))),
        ("its launches alone, without any harness (terminal)".into(), Box::new(|| launch(&daemon, 2))),
        ("an empty sandbox, made and left".into(), Box::new(|| Ok(daemonspec::sandbox::probe()?))),
    ];

    let mut times = vec![Vec::new(); kinds.len()];
    for _ in 0..mode.rounds(ROUNDS) {
        for ((_, act), times) in kinds.iter().zip(&mut times) {
            let begin = Instant::now();
            act()?;
            times.push(begin.elapsed().as_secs_f64() * 1e3);
        }
    }
    let mut group = criterion.benchmark_group("harness");
    group.sampling_mode(SamplingMode::Flat);
    let failure = Mutex::new(None);
    for (name, act) in &kinds {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                if let Err(error) = act() {
                    *failure.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(error);
                }
            });
        });
    }
    group.finish();
    criterion.final_summary();
    if let Some(error) = failure.into_inner()? {
        return Err(error);
    }
    if mode == Mode::Measure {
        let names: Vec<&str> = kinds.iter().map(|(name, _)| name.as_str()).collect();
        print_table(&names, &times, starts);
    }
    Ok(())
}

fn launch(daemon: &Daemon, times: u32) -> Result<(), Box<dyn Error>> {
    for _ in 0..times {
        daemon.launch()?;
    }
    Ok(())
}

fn print_table(names: &[&str], times: &[Vec<f64>], starts: u32) {
    println!("Medians of {ROUNDS} rounds\n");
    let medians: Vec<f64> = times.iter().map(|times| median(times)).collect();
    for (name, median) in names.iter().zip(&medians) {
        println!("{name:52}{median:9.2} ms");
    }
    let [whole, in_turn, launches, ..] = medians[..] else { return };
    println!(
        "\n{starts} launches make up {:.0}% of a check's work ({launches:.1} of {in_turn:.1} ms); the rest is the harness: \
         {:.1} ms a launch",
        100.0 * launches / in_turn,
        (in_turn - launches) / f64::from(starts.max(1)),
    );
    let goal = GOAL.as_secs_f64() * 1e3;
    let met = if whole <= goal { "met" } else { "MISSED" };
    println!("goal {met}: a whole check within {goal:.0} ms ({whole:.1} ms)");
}
