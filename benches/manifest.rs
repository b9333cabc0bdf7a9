//! The daemons of a manifest beside the reference daemon: `DAEMONSPEC_MANIFEST=FILE cargo bench --bench manifest`.
//!
//! They are started in turn, as `daemonspec bench` does it, each start in a sandbox of its own; criterion is handed the recorded
//! times afterwards, as in `startup.rs`. Without the variable it is the reference daemon alone.

mod replay;

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use criterion::Criterion;
use daemonspec::comparison::{Comparison, terminal};
use daemonspec::manifest::{self, Entry};
use daemonspec::run::{self, BenchOptions, Contestant, Options, Timed, Wanted};
use daemonspec::subject::Subject;
use daemonspec_benches::{Mode, reference_daemon, subject};
use replay::replay;

const MANIFEST: &str = "DAEMONSPEC_MANIFEST";
const ROUNDS: u32 = 100;
const WARM_UP_ROUNDS: u32 = 5;

/// One thing that is timed.
type Quantity = (&'static str, fn(&Timed) -> Option<Duration>);

const QUANTITIES: [Quantity; 2] = [("ready", |start| start.ready), ("launcher's exit", |start| start.exit)];

fn main() {
    // One line, and no value's inner form.
    if let Err(error) = bench() {
        eprintln!("manifest: {error}");
        std::process::exit(3);
    }
}

fn bench() -> Result<(), Box<dyn Error>> {
    let mode = Mode::from_arguments();
    let mut criterion =
        Criterion::default().warm_up_time(Duration::from_nanos(1)).nresamples(5000).configure_from_args();
    let mut contestants = vec![reference()?];
    if let Some(path) = std::env::var_os(MANIFEST) {
        let entries =
            manifest::read(&from_the_root(Path::new(&path)), &[]).map_err(|error| format!("{MANIFEST}: {error}"))?;
        contestants.extend(entries.into_iter().map(contestant));
    }
    let rounds = |rounds: u32| u32::try_from(mode.rounds(rounds as usize)).unwrap_or(rounds);
    let options =
        BenchOptions { runs: Some(rounds(ROUNDS)), warm_up: rounds(WARM_UP_ROUNDS), ..BenchOptions::default() };
    let warn = |event: run::Event<'_>| {
        if let run::Event::Warning(line) = event {
            eprintln!("manifest: {line}");
        }
    };
    let benched = run::bench(&contestants, options, &warn)?;
    for (title, of) in QUANTITIES {
        let mut group = criterion.benchmark_group(format!("start to {title}, in a sandbox"));
        for daemon in &benched.daemons {
            let times: Vec<Duration> = daemon.starts.iter().filter_map(of).collect();
            // One that stays in the foreground has no launcher that ends.
            if !times.is_empty() || daemon.starts.is_empty() {
                replay(&mut group, &daemon.name, &times);
            }
        }
        group.finish();
    }
    criterion.final_summary();
    if mode == Mode::Measure {
        print!("{}", plain(&terminal::report(&Comparison::new(&benched))));
    }
    Ok(())
}

fn reference() -> Result<Contestant, Box<dyn Error>> {
    let mut subject: Subject = subject(&reference_daemon()?);
    "reference daemon".clone_into(&mut subject.name);
    let Options { profile, .. } = Options::default();
    Ok(Contestant { subject, profile, isolation: Wanted::Full })
}

fn contestant(entry: Entry) -> Contestant {
    let default = Options::default();
    Contestant {
        profile: entry.profile.unwrap_or(default.profile),
        isolation: entry.isolation.unwrap_or(default.isolation),
        subject: entry.subject,
    }
}

/// Cargo runs a bench in its package's directory; a person names a file from where he is, which is the root most of the time.
fn from_the_root(path: &Path) -> std::path::PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    if root.exists() { root } else { path.to_owned() }
}

fn plain(text: &str) -> String {
    let mut plain = String::new();
    let mut parts = text.split('\u{1b}');
    plain.extend(parts.next());
    // Of each style only its end, an `m`, is followed by words.
    plain.extend(parts.filter_map(|part| part.split_once('m')).map(|(_, words)| words));
    plain
}
