//! The defect x check table: what every check says of every defective daemon, and of the correct one.
//!
//! It is committed as tests/defects.txt, verdict by verdict, so that a check which begins to fire elsewhere is noticed at
//! once. `DAEMONSPEC_UPDATE=1 cargo test --test defects` writes it anew, for a person to read the difference.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use daemonspec::check::catalogue;
use daemonspec::run::{self, Options};
use daemonspec::subject::Subject;
use daemonspec_tests::defects::DEFECTS;
use daemonspec_tests::programs::program;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Write;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

const TABLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/defects.txt");

/// What each check said, by its id.
type Row = BTreeMap<&'static str, &'static str>;

fn judge(command: Vec<OsString>) -> Row {
    let mut subject = Subject::new(
        command.into_iter().chain(["--pid-file", "{dir}/d.pid", "--log-file", "{dir}/d.log"].map(OsString::from)),
    );
    subject.pidfile = Some("{dir}/d.pid".into());
    subject.log = Some("{dir}/d.log".into());
    // What never comes is awaited that long: by launcher-stays, ignores-sigterm and their like.
    subject.timeout = Duration::from_secs(5);
    let options = Options { jobs: 1, ..Options::default() };
    let outcome = run::check(&subject, &options, &|_| {}).unwrap();
    outcome.judged.iter().map(|j| (j.check.id, j.verdict.as_str())).collect()
}

fn all_rows() -> Vec<(String, Row)> {
    let defective = Path::new(env!("CARGO_BIN_EXE_defective-daemon"));
    let mut jobs: Vec<(String, Vec<OsString>)> = vec![
        ("reference-daemon".to_owned(), vec![program("reference-daemon").into()]),
        ("none".to_owned(), vec![defective.into(), "none".into()]),
    ];
    jobs.extend(DEFECTS.iter().map(|d| (d.name.to_owned(), vec![defective.into(), d.name.into()])));
    let order: Vec<String> = jobs.iter().map(|(name, _)| name.clone()).collect();
    let queue = Mutex::new(jobs.into_iter());
    let done = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from).max(2) {
            scope.spawn(|| {
                loop {
                    let Some((name, command)) = queue.lock().unwrap().next() else { return };
                    let row = judge(command);
                    done.lock().unwrap().insert(name, row);
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap();
    order
        .into_iter()
        .map(|name| {
            let row = done.remove(&name).unwrap();
            (name, row)
        })
        .collect()
}

fn render(rows: &[(String, Row)]) -> String {
    let mut out = String::from("# . pass   F fail   s skip   ? broken\n#\n");
    for (index, check) in catalogue().enumerate() {
        let _ = writeln!(out, "#{:23}{}| {}", "", " ".repeat(index), check.id);
    }
    for (name, row) in rows {
        let cells: String = catalogue()
            .map(|check| match row.get(check.id) {
                Some(&"pass") => '.',
                Some(&"fail") => 'F',
                Some(&"skip") => 's',
                _ => '?',
            })
            .collect();
        let _ = writeln!(out, "{name:<24}{cells}");
    }
    out
}

#[test]
fn every_check_is_failed_by_its_defects_and_passed_by_the_reference_daemon() {
    let rows = all_rows();
    for correct in ["reference-daemon", "none"] {
        let (_, row) = rows.iter().find(|(name, _)| name == correct).unwrap();
        let wrong: Vec<_> = row.iter().filter(|(_, verdict)| **verdict != "pass").collect();
        assert!(wrong.is_empty(), "{correct}: {wrong:?}");
    }
    for defect in DEFECTS {
        let (_, row) = rows.iter().find(|(name, _)| name == defect.name).unwrap();
        assert_eq!(row.get(defect.target), Some(&"fail"), "{} ({})", defect.name, defect.flaw);
    }
    for check in catalogue() {
        assert!(DEFECTS.iter().any(|d| d.target == check.id), "no defect for {}", check.id);
    }
    let table = render(&rows);
    if std::env::var_os("DAEMONSPEC_UPDATE").is_some() {
        std::fs::write(TABLE, &table).unwrap();
    }
    let committed = std::fs::read_to_string(TABLE).unwrap_or_default();
    let changed: Vec<String> = table
        .lines()
        .filter(|line| !committed.lines().any(|other| other == *line))
        .map(|line| {
            let name = line.split_whitespace().next().unwrap_or_default();
            let was = committed.lines().find(|l| l.split_whitespace().next() == Some(name)).unwrap_or("(not there)");
            format!("was {was}\nis  {line}")
        })
        .collect();
    assert!(changed.is_empty(), "the verdicts differ from {TABLE}:\n{}", changed.join("\n"));
}
