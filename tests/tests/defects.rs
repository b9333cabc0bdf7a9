//! The defect x check table: what every check says of every defective daemon, and of the correct one.
//!
//! It is committed as tests/defects.txt, verdict by verdict, so that a check which begins to fire elsewhere is noticed at
//! once. `DAEMONSPEC_UPDATE=1 cargo test --test defects` writes it anew, for a person to read the difference.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use daemonspec::check::{Profile, catalogue};
use daemonspec::run::{self, Options};
use daemonspec::subject::{Ready, Subject};
use daemonspec_tests::defects::{self, DEFECTS};
use daemonspec_tests::programs::program;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt::Write;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Checks for which a daemon is started once for each call of its start.
const EXHAUSTIVE: [&str; 3] = ["early-sigterm", "startup-faults-reported", "crash-anywhere-restarts"];

const TABLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/defects.txt");

/// What each check said, by its id.
type Row = BTreeMap<&'static str, &'static str>;

/// A row to be filled: its name, and what is judged.
struct Job {
    name: String,
    profile: Profile,
    subject: Subject,
    /// Whether it is also started once for each call of its start: the correct ones, and those that this is to show.
    exhaustive: bool,
}

/// A daemon with these arguments, started as its profile has it.
fn job(name: &str, program: &Path, arguments: &[&str], profile: defects::Profile) -> Job {
    let mut subject = Subject::new(std::iter::once(program.as_os_str()).chain(arguments.iter().map(OsStr::new)));
    subject.pidfile = Some("{dir}/d.pid".into());
    if profile == defects::Profile::Sysv {
        subject.log = Some("{dir}/d.log".into());
    }
    // What never comes is awaited that long: by launcher-stays, ignores-sigterm and their like.
    subject.timeout = Duration::from_secs(5);
    Job { name: name.to_owned(), profile: profile.as_str().parse().unwrap(), subject, exhaustive: true }
}

/// The rows in which nothing may be wrong: a program, in the background with and without all that a subject may have
/// declared, and in a container.
fn correct(name: &str, program: &Path, first: &[&str]) -> Vec<Job> {
    let arguments = |more: &[&'static str], profile: defects::Profile| {
        first.iter().copied().chain(profile.arguments()).chain(more.iter().copied()).collect::<Vec<_>>()
    };
    let sysv = defects::Profile::Sysv;
    let plain = job(name, program, &arguments(&[], sysv), sysv);
    let mut full = job(&format!("{name}, in full"), program, &arguments(&["--user", "nobody"], sysv), sysv);
    full.subject.user = Some("nobody".to_owned());
    full.subject.ready = vec![Ready::File(defects::LOG.into())];
    full.subject.stop = Some(format!("'{}' {} --stop --pid-file {{dir}}/d.pid", program.display(), first.join(" ")));
    let container = defects::Profile::Container;
    let inside = job(&format!("{name}, container"), program, &arguments(&[], container), container);
    vec![plain, full, inside]
}

fn judge(job: &Job) -> Row {
    let options = Options { jobs: 1, profile: job.profile, exhaustive: job.exhaustive, ..Options::default() };
    let outcome = run::check(&job.subject, &options, &|_| {}).unwrap();
    outcome.judged.iter().map(|j| (j.check.id, j.verdict.as_str())).collect()
}

fn all_jobs() -> Vec<Job> {
    let defective = Path::new(env!("CARGO_BIN_EXE_defective-daemon"));
    let mut jobs = correct("reference-daemon", program("reference-daemon"), &[]);
    jobs.extend(correct("none", defective, &["none"]));
    jobs.extend(DEFECTS.iter().map(|defect| {
        let mut job = job(defect.name, defective, &defect.arguments(), defect.profile);
        job.exhaustive = EXHAUSTIVE.contains(&defect.target);
        job.subject.user = defect.user().map(str::to_owned);
        job.subject.stop = defect.stop_line(&defective.display().to_string());
        job.subject.ready = defect.ready().map(|path| Ready::File(path.into())).into_iter().collect();
        job
    }));
    jobs
}

fn all_rows() -> Vec<(String, Row)> {
    let jobs = all_jobs();
    let next = AtomicUsize::new(0);
    let done = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        // More than processors: what never comes is waited for, and that costs nothing.
        for _ in 0..2 * std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let row = judge(job);
                    done.lock().unwrap().insert(job.name.clone(), row);
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap();
    jobs.into_iter().map(|job| (job.name.clone(), done.remove(&job.name).unwrap())).collect()
}

fn render(rows: &[(String, Row)]) -> String {
    let mut out = String::from("# . pass   F fail   s skip   ? broken   - not of its profile\n#\n");
    for (index, check) in catalogue().enumerate() {
        let _ = writeln!(out, "#{:31}{}| {}", "", " ".repeat(index), check.id);
    }
    for (name, row) in rows {
        let cells: String = catalogue()
            .map(|check| match row.get(check.id) {
                Some(&"pass") => '.',
                Some(&"fail") => 'F',
                Some(&"skip") => 's',
                Some(_) => '?',
                None => '-',
            })
            .collect();
        let _ = writeln!(out, "{name:<32}{cells}");
    }
    out
}

#[test]
fn every_check_is_failed_by_its_defects_and_passed_by_the_reference_daemon() {
    let rows = all_rows();
    let table = render(&rows);
    if std::env::var_os("DAEMONSPEC_UPDATE").is_some() {
        std::fs::write(TABLE, &table).unwrap();
    }
    let (good, _) = rows.split_at(6);
    for (name, row) in good {
        let wrong: Vec<_> = row.iter().filter(|(_, verdict)| ["fail", "broken"].contains(verdict)).collect();
        assert!(wrong.is_empty(), "{name}: {wrong:?}");
    }
    for check in catalogue() {
        for program in ["reference-daemon", "none"] {
            let passed = |(name, row): &(String, Row)| name.starts_with(program) && row.get(check.id) == Some(&"pass");
            assert!(good.iter().any(passed), "{program} does not pass {}", check.id);
        }
    }
    for defect in DEFECTS {
        let (_, row) = rows.iter().find(|(name, _)| name == defect.name).unwrap();
        assert_eq!(row.get(defect.target), Some(&"fail"), "{} ({})", defect.name, defect.flaw);
    }
    for check in catalogue() {
        assert!(DEFECTS.iter().any(|d| d.target == check.id), "no defect for {}", check.id);
    }
    let committed = std::fs::read_to_string(TABLE).unwrap_or_default();
    let changed: Vec<String> = table
        .lines()
        .filter(|line| !committed.lines().any(|other| other == *line))
        .map(|line| {
            let name = line.get(..32).unwrap_or_default();
            let was = committed.lines().find(|l| l.get(..32) == Some(name)).unwrap_or("(not there)");
            format!("was {was}\nis  {line}")
        })
        .collect();
    assert!(changed.is_empty(), "the verdicts differ from {TABLE}:\n{}", changed.join("\n"));
}
