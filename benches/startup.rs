//! How long a user waits: from start to the launcher's exit, and from start to a valid PID file, for the reference
//! daemon and its peers.
//!
//! All are started once a round, in an order drawn anew for each round, so that a machine that grows slower or has other
//! things to do does so to all of them. Criterion, which measures one thing after the other, is handed the recorded
//! launches afterwards, two to a sample, each exactly once; its warm-up call alone is answered with nothing but the
//! time that two launches would take. The table at the end is made of the same launches.

mod replay;

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use criterion::Criterion;
use daemonspec::statistics::{Ratio, median, paired_ratio};
use daemonspec_benches::{Daemon, Launched, Mode, Programs, adopt_orphans, reference_daemon};
use replay::replay;

/// What all others are compared with.
const BASE: &str = "C, static";
const REFERENCE: &str = "reference daemon";
/// A valid PID file within this many times the base's time.
const GOAL: f64 = 1.05;

const ROUNDS: usize = 800;
/// Rounds that are not counted: caches fill.
const WARM_UP_ROUNDS: usize = 20;

/// One column: what was timed, and how to find it.
type Quantity = (&'static str, fn(&Launched) -> Option<Duration>);

const QUANTITIES: [Quantity; 2] =
    [("PID file valid", |launched| launched.pid_file), ("launcher's exit", |launched| Some(launched.exit))];

/// A daemon and all its counted launches, one a round.
struct Measured {
    daemon: Daemon,
    launches: Vec<Launched>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mode = Mode::from_arguments();
    let mut criterion =
        Criterion::default().warm_up_time(Duration::from_nanos(1)).nresamples(5000).configure_from_args();
    adopt_orphans()?;
    let mut programs = Programs::new(Path::new(env!("CARGO_TARGET_TMPDIR")))?;
    let mut measured: Vec<Measured> =
        daemons(&mut programs)?.into_iter().map(|daemon| Measured { daemon, launches: Vec::new() }).collect();
    start_in_turn(&mut measured, mode.rounds(ROUNDS), mode.rounds(WARM_UP_ROUNDS))?;
    for quantity in QUANTITIES {
        let mut group = criterion.benchmark_group(format!("start to {}", quantity.0));
        for one in &measured {
            let times: Vec<Duration> = one.launches.iter().filter_map(quantity.1).collect();
            // Some write no PID file.
            if !times.is_empty() || one.launches.is_empty() {
                replay(&mut group, one.daemon.name, &times);
            }
        }
        group.finish();
    }
    criterion.final_summary();
    if mode == Mode::Measure {
        print_table(&measured, &programs);
    }
    Ok(())
}

fn daemons(programs: &mut Programs) -> Result<Vec<Daemon>, Box<dyn Error>> {
    let both = ["{pid}", "{log}"];
    let mut daemons =
        vec![programs.copied(REFERENCE, &reference_daemon()?, &["--pid-file", "{pid}", "--log-file", "{log}"])?];
    let statically = ["-static", "-no-pie"];
    daemons.extend(programs.compiled(BASE, "minimal.c", &statically, &both)?);
    daemons.extend(programs.compiled("C, dynamic", "minimal.c", &[], &both)?);
    daemons.extend(programs.compiled("C, daemon(3)", "daemon3.c", &[], &["{pid}"])?);
    daemons.push(programs.copied("crate daemonize", Path::new(env!("CARGO_BIN_EXE_peer-daemonize")), &both)?);
    daemons.push(programs.copied("crate fork", Path::new(env!("CARGO_BIN_EXE_peer-fork")), &both)?);
    daemons.extend(programs.start_stop_daemon()?);
    daemons.extend(programs.compiled("(nothing: C, static)", "idle.c", &statically, &[])?);
    Ok(daemons)
}

fn start_in_turn(measured: &mut [Measured], rounds: usize, warm_up: usize) -> Result<(), Box<dyn Error>> {
    let mut random = fastrand::Rng::with_seed(0);
    let mut order: Vec<usize> = (0..measured.len()).collect();
    for round in 0..warm_up + rounds {
        random.shuffle(&mut order);
        for &index in &order {
            let one = &mut measured[index];
            let launched = one.daemon.launch()?;
            if round >= warm_up {
                one.launches.push(launched);
            }
        }
    }
    Ok(())
}

fn print_table(measured: &[Measured], programs: &Programs) {
    println!("Medians of {ROUNDS} rounds, and of the rounds' ratios to \"{BASE}\", with a 95% confidence interval\n");
    print!("{:22}", "");
    for (title, _) in QUANTITIES {
        print!("{title:>20}{:23}", "");
    }
    println!();
    for one in measured {
        print!("{:22}", one.daemon.name);
        for quantity in QUANTITIES {
            let times = micros(one, quantity);
            if times.is_empty() {
                print!("{:43}", "");
                continue;
            }
            print!("{:>17.0} us  ", median(&times));
            match ratio(measured, one, quantity) {
                Some(Ratio { value, interval }) => {
                    print!("{value:5.3} [{:5.3}, {:5.3}]", interval.low, interval.high);
                }
                None => print!("{:21}", ""),
            }
        }
        println!();
    }
    for skipped in &programs.skipped {
        println!("{:22}{:>20}  {}", skipped.name, "skipped:", skipped.why);
    }
    println!("\n(\"nothing\" is what spawning and ending any program costs here; it is part of every other figure.)");
    print_goals(measured);
}

fn print_goals(measured: &[Measured]) {
    let Some(reference) = measured.iter().find(|one| one.daemon.name == REFERENCE) else {
        return;
    };
    let said = |met| if met { "met" } else { "MISSED" };
    if let Some(Ratio { value, .. }) = ratio(measured, reference, QUANTITIES[0]) {
        let met = said(value <= GOAL);
        println!("goal {met}: PID file valid within {GOAL} times \"{BASE}\" ({value:.3})");
    }
    let own = median(&micros(reference, QUANTITIES[0]));
    let earlier: Vec<&str> = measured
        .iter()
        .filter(|one| ![REFERENCE, BASE].contains(&one.daemon.name))
        .filter(|one| median(&micros(one, QUANTITIES[0])) <= own)
        .map(|one| one.daemon.name)
        .collect();
    let met = said(earlier.is_empty());
    println!("goal {met}: PID file valid before every peer's");
    for name in earlier {
        println!("    {name} was earlier");
    }
}

fn ratio(measured: &[Measured], one: &Measured, quantity: Quantity) -> Option<Ratio> {
    let base = measured.iter().find(|one| one.daemon.name == BASE)?;
    Some(paired_ratio(&micros(one, quantity), &micros(base, quantity)))
}

fn micros(measured: &Measured, (_, of): Quantity) -> Vec<f64> {
    let times = measured.launches.iter().filter_map(of);
    times.map(|time| time.as_secs_f64() * 1e6).collect()
}
