//! What it costs a start to be traced: by the harness, and by strace(1) at the same calls.
//!
//! All are started once a round, in an order drawn anew for each round, each in a sandbox of its own; what is timed ends when
//! the launcher has ended. It begins twice: with the word to go, and with the execution of the daemon's program, from which the
//! time that strace takes to come up itself is left out. The third time is that of the whole launch, with its sandbox and the
//! look at what has become of it: what a user waits for.
//! Criterion is handed the recorded times afterwards, as in `startup.rs`.

mod replay;

use std::error::Error;
use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use criterion::{Criterion, SamplingMode};
use daemonspec::check::Level;
use daemonspec::run::{self, Options, Timed};
use daemonspec::subject::Subject;
use daemonspec_benches::{
    Mode, Programs, Ratio, check, median, paired_ratio, ratio_of_added, reference_daemon, subject,
};
use replay::replay;

const ROUNDS: usize = 300;
/// Rounds that are not counted: caches fill.
const WARM_UP_ROUNDS: usize = 5;
/// A traced start within this many times one that is not.
const GOAL: f64 = 1.5;
/// The harness's part of what strace adds.
const GOAL_OF_STRACE: f64 = 0.5;
const EXHAUSTIVE_ROUNDS: usize = 5;
/// An exhaustive check is to take no longer.
const EXHAUSTIVE_GOAL: Duration = Duration::from_secs(10);

const UNTRACED: &str = "not traced";
const OURS: &str = "traced";
const STRACE: &str = "strace -f --seccomp-bpf";

/// One way of starting the daemon, and all its counted starts, one a round.
struct Way {
    name: &'static str,
    subject: Subject,
    is_traced: bool,
    times: Vec<Times>,
}

/// One start's.
struct Times {
    timed: Timed,
    /// With its sandbox.
    whole: Duration,
}

/// One column: from where it is timed.
type Quantity = (&'static str, fn(&Times) -> Option<Duration>);

const QUANTITIES: [Quantity; 3] = [
    ("from its program's execution", |times| times.timed.since_stamp),
    ("from the word to go", |times| Some(times.timed.since_go)),
    ("with its sandbox", |times| Some(times.whole)),
];

fn main() -> Result<(), Box<dyn Error>> {
    let mode = Mode::from_arguments();
    let mut criterion =
        Criterion::default().warm_up_time(Duration::from_nanos(1)).nresamples(5000).configure_from_args();
    let programs = Programs::new(Path::new(env!("CARGO_TARGET_TMPDIR")))?;
    let program = reference_daemon()?;
    let mut ways = ways(&programs.copy("reference daemon", &program)?);
    start_in_turn(&mut ways, mode.rounds(ROUNDS), mode.rounds(WARM_UP_ROUNDS))?;
    for quantity in QUANTITIES {
        let mut group = criterion.benchmark_group(format!("start to launcher's exit, {}", quantity.0));
        for way in &ways {
            replay(&mut group, way.name, &way.times.iter().filter_map(quantity.1).collect::<Vec<_>>());
        }
        group.finish();
    }
    let exhaustive = exhaustive(&mut criterion, mode, &subject(&program))?;
    criterion.final_summary();
    if mode == Mode::Measure {
        print_table(&ways);
        print_exhaustive(&exhaustive);
    }
    Ok(())
}

fn ways(program: &Path) -> Vec<Way> {
    let stamp = [OsString::from(env!("CARGO_BIN_EXE_stamp"))];
    let plain = subject(program);
    let calls = format!("trace={}", run::calls_of_a_start().join(","));
    // As a grandchild of the launcher, strace does not keep the launcher's end from being seen.
    let strace = ["strace", "-D", "-f", "--seccomp-bpf", "-e", &calls, "-o", "/dev/null"].map(Into::into);
    let way = |name, before: &[OsString], is_traced| {
        let mut subject = plain.clone();
        subject.command = [before, &stamp, &plain.command].concat();
        Way { name, subject, is_traced, times: Vec::new() }
    };
    let mut ways = vec![way(UNTRACED, &[], false), way(OURS, &[], true)];
    if has_strace() {
        ways.push(way(STRACE, &strace, false));
    }
    ways
}

fn has_strace() -> bool {
    Command::new("strace")
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|s| s.success())
}

fn start_in_turn(ways: &mut [Way], rounds: usize, warm_up: usize) -> Result<(), Box<dyn Error>> {
    let mut random = fastrand::Rng::with_seed(0);
    let mut order: Vec<usize> = (0..ways.len()).collect();
    for round in 0..warm_up + rounds {
        random.shuffle(&mut order);
        for &index in &order {
            let way = &mut ways[index];
            let begin = Instant::now();
            let timed = run::time_start(&way.subject, way.is_traced)?;
            let whole = begin.elapsed();
            if timed.since_stamp.is_none() {
                return Err(format!("{}: the daemon does not say when it was executed", way.name).into());
            }
            if round >= warm_up {
                way.times.push(Times { timed, whole });
            }
        }
    }
    Ok(())
}

/// The wall times of exhaustive checks, and how often each starts the daemon.
fn exhaustive(criterion: &mut Criterion, mode: Mode, subject: &Subject) -> Result<(Vec<f64>, u32), Box<dyn Error>> {
    let options = Options { exhaustive: true, level: Level::May, ..Options::default() };
    let (mut times, mut starts) = (Vec::new(), 0);
    let rounds = if mode == Mode::Measure { EXHAUSTIVE_ROUNDS } else { mode.rounds(1).min(1) };
    let mut measured = Vec::new();
    for _ in 0..rounds {
        let begin = Instant::now();
        starts = check(subject, &options)?;
        measured.push(begin.elapsed());
        times.push(begin.elapsed().as_secs_f64());
    }
    let mut group = criterion.benchmark_group("harness");
    group.sampling_mode(SamplingMode::Flat);
    replay(&mut group, "exhaustive check", &measured);
    group.finish();
    Ok((times, starts))
}

fn print_table(ways: &[Way]) {
    println!(
        "Medians of {ROUNDS} rounds, and of the rounds' ratios to \"{UNTRACED}\", with a 95% confidence interval\n"
    );
    print!("{:24}", "");
    for (title, _) in QUANTITIES {
        print!("{title:>30}{:13}", "");
    }
    println!();
    for way in ways {
        print!("{:24}", way.name);
        for quantity in QUANTITIES {
            let times = micros(way, quantity);
            let Ratio { value, interval } = paired_ratio(&times, &micros(&ways[0], quantity));
            print!("{:>17.0} us  {value:5.3} [{:5.3}, {:5.3}]", median(&times), interval.low, interval.high);
        }
        println!();
    }
    if ways.len() < 3 {
        println!("{STRACE:24}{:>20}  not installed (Debian: package strace)", "skipped:");
    }
    println!();
    let [untraced, ours, ..] = ways else { return };
    let said = |met| if met { "met" } else { "MISSED" };
    for quantity in QUANTITIES {
        let ratio = paired_ratio(&micros(ours, quantity), &micros(untraced, quantity)).value;
        let met = said(ratio <= GOAL);
        println!("goal {met}: a traced start within {GOAL} times one that is not ({ratio:.3}, {})", quantity.0);
    }
    let Some(strace) = ways.get(2) else { return };
    for quantity in QUANTITIES {
        let [base, own, other] = [untraced, ours, strace].map(|way| micros(way, quantity));
        let Ratio { value, interval } = ratio_of_added(&own, &other, &base);
        println!(
            "goal {}: it adds less than {GOAL_OF_STRACE} times what strace adds ({value:.3} [{:.3}, {:.3}], {})",
            said(value < GOAL_OF_STRACE),
            interval.low,
            interval.high,
            quantity.0
        );
    }
}

fn print_exhaustive((times, starts): &(Vec<f64>, u32)) {
    let (median, goal) = (median(times), EXHAUSTIVE_GOAL.as_secs_f64());
    let met = if median <= goal { "met" } else { "MISSED" };
    println!("goal {met}: an exhaustive check within {goal} s ({median:.2} s, {starts} starts)");
}

fn micros(way: &Way, (_, of): Quantity) -> Vec<f64> {
    way.times.iter().filter_map(of).map(|time| time.as_secs_f64() * 1e6).collect()
}
