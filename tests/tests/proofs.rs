//! A proof gives the same verdict every time, however busy the machine is: each steered check, on a daemon that passes it and
//! on one that does not, beside threads that never sleep.
//!
//! `DAEMONSPEC_SOAK=200 cargo test --test proofs` does so two hundred times.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use daemonspec::check::find;
use daemonspec::run::{self, Options};
use daemonspec::subject::Subject;
use daemonspec_tests::programs::program;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// Each check, and a defect that it is to notice.
const PROOFS: [(&str, &str); 10] = [
    ("survives-leader-exit", "setsid-last"),
    ("ready-before-exit", "launcher-waits-for-first-child"),
    ("pidfile-present-at-exit", "tells-before-content"),
    ("systemd-trusts-pidfile", "tells-before-pidfile"),
    ("simultaneous-starts", "unlinks-before-locking"),
    ("close-cost-bounded", "marks-to-limit"),
    ("fork-before-threads", "thread-in-first-child"),
    ("early-sigterm", "forgets-early-sigterm"),
    ("startup-faults-reported", "takes-interruption-for-ready"),
    ("crash-anywhere-restarts", "believes-empty"),
];

/// The verdicts of some checks on one daemon.
fn verdicts(ids: &[&str], program: &Path, first: &[&str]) -> Vec<(&'static str, String)> {
    let arguments = ["--pid-file", "{dir}/d.pid", "--log-file", "{dir}/d.log"];
    let words = std::iter::once(program.to_str().unwrap()).chain(first.iter().copied()).chain(arguments);
    let mut subject = Subject::new(words);
    subject.pidfile = Some("{dir}/d.pid".into());
    subject.log = Some("{dir}/d.log".into());
    let options = Options { only: ids.iter().map(|id| find(id).unwrap().id).collect(), ..Options::default() };
    let outcome = run::check(&subject, &options, &|_| {}).unwrap();
    outcome.judged.iter().map(|judged| (judged.check.id, format!("{:?}", judged.verdict))).collect()
}

#[test]
fn every_proof_gives_one_verdict_under_load() {
    let rounds: usize = std::env::var("DAEMONSPEC_SOAK").ok().and_then(|n| n.parse().ok()).unwrap_or(1);
    let defective = Path::new(env!("CARGO_BIN_EXE_defective-daemon"));
    let all: Vec<&str> = PROOFS.iter().map(|(id, _)| *id).collect();
    let is_over = AtomicBool::new(false);
    let mut seen: BTreeMap<(&str, &str), BTreeMap<String, usize>> = BTreeMap::new();
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        for _ in 0..rounds {
            for (id, said) in verdicts(&all, program("reference-daemon"), &[]) {
                *seen.entry((id, "reference-daemon")).or_default().entry(said).or_default() += 1;
            }
            for (id, defect) in PROOFS {
                let said = verdicts(&[id], defective, &[defect]).remove(0).1;
                // What was seen may differ in its numbers; what it comes to may not.
                let word = if said.starts_with("Fail") { "Fail".to_owned() } else { said };
                *seen.entry((id, defect)).or_default().entry(word).or_default() += 1;
            }
        }
        is_over.store(true, Ordering::Relaxed);
    });
    for ((id, name), said) in seen {
        let expected = if name == "reference-daemon" { "Pass" } else { "Fail" };
        assert_eq!(said, BTreeMap::from([(expected.to_owned(), rounds)]), "{id} on {name}");
    }
}
