//! What the tests of one daemon share: it is judged once.

use crate::manifest::Entry;
use crate::report::matrix::{NotJudged, Row};
use crate::run::{self, Event, Options, Outcome, RunError, Watcher};
use crate::subject::Subject;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

/// A daemon of a manifest.
#[derive(Debug)]
pub(super) struct Listed {
    /// The manifest, as it was named.
    pub(super) manifest: String,
    /// What that says of the daemon.
    pub(super) entry: Entry,
}

/// What the chosen tests need of one daemon.
#[derive(Debug, Clone, Default)]
pub(super) struct Needed {
    /// These checks.
    pub(super) checks: BTreeSet<&'static str>,
    /// Also some that a usual run leaves out.
    pub(super) exhaustive: bool,
    /// Also what its witness makes of it.
    pub(super) witness: bool,
    /// All that its manifest says.
    pub(super) all: bool,
}

impl Needed {
    /// How to judge the daemon for that, in up to `jobs` sandboxes where its manifest does not say; `None` where nothing is
    /// needed of it.
    fn options(&self, entry: &Entry, jobs: usize) -> Option<Options> {
        let mut options = entry.options();
        options.jobs = entry.jobs.unwrap_or(jobs);
        if self.all {
            options.exhaustive |= self.exhaustive;
            return Some(options);
        }
        options.witness = options.witness.filter(|_| self.witness);
        if !self.checks.is_empty() {
            options.only = self.checks.clone();
        } else if !self.witness {
            return None;
        }
        Some(options)
    }
}

/// All daemons, and what came of those that have been judged.
#[derive(Debug)]
pub(super) struct Judge {
    daemons: Vec<Listed>,
    rows: Vec<OnceLock<Row>>,
    exhaustive: AtomicBool,
}

impl Judge {
    pub(super) fn new(daemons: Vec<Listed>) -> Self {
        let rows = daemons.iter().map(|_| OnceLock::new()).collect();
        Judge { daemons, rows, exhaustive: AtomicBool::new(false) }
    }

    /// Those of the manifests, in their order.
    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.daemons.iter().map(|listed| &listed.entry)
    }

    /// Whether checks are among the chosen that a usual run leaves out.
    pub(super) fn is_exhaustive(&self) -> bool {
        self.exhaustive.load(Ordering::Relaxed)
    }

    /// What came of that daemon, once it is known.
    pub(super) fn wait(&self, number: usize) -> &Row {
        self.rows[number].wait()
    }

    /// Has all daemons judged of which something is needed, in that `order`, side by side, and in no more than `jobs` sandboxes
    /// at a time.
    pub(super) fn start(self: &Arc<Self>, plan: &[Needed], order: &[usize], jobs: usize) {
        self.exhaustive.store(plan.iter().any(|needed| needed.exhaustive), Ordering::Relaxed);
        let wanted = |number: &usize| {
            let Listed { entry, .. } = &self.daemons[*number];
            Some((*number, (entry.subject.clone(), plan[*number].options(entry, jobs)?)))
        };
        let (numbers, subjects): (Vec<usize>, Vec<(Subject, Options)>) = order.iter().filter_map(wanted).unzip();
        let judge = Arc::clone(self);
        std::thread::spawn(move || {
            let giving_up = GivingUp(&judge);
            run::check_many(&subjects, jobs, &Publisher { judge: giving_up.0, numbers });
        });
    }

    fn publish(&self, number: usize, result: Result<Outcome, NotJudged>) {
        let Listed { manifest, entry } = &self.daemons[number];
        // The first to say so is right: what comes later is that nobody comes to say more.
        let _ = self.rows[number].set(Row::new(entry, manifest, entry.options().profile, result));
    }
}

/// Lets the tests of a daemon go on as soon as that has been judged.
struct Publisher<'a> {
    judge: &'a Judge,
    numbers: Vec<usize>,
}

impl Watcher for Publisher<'_> {
    fn event(&self, _: usize, event: Event<'_>) {
        if let Event::Warning(line) = event {
            anstream::eprintln!("daemonspec: {line}");
        }
    }

    fn over(&self, subject: usize, result: &Result<Outcome, RunError>) {
        self.judge.publish(self.numbers[subject], result.as_ref().map_err(NotJudged::from).cloned());
    }
}

/// No test waits for ever for a daemon that nobody judges any more.
struct GivingUp<'a>(&'a Judge);

impl Drop for GivingUp<'_> {
    fn drop(&mut self) {
        for number in 0..self.0.rows.len() {
            self.0.publish(number, Err(NotJudged { why: "it was not judged".to_owned(), missing: false }));
        }
    }
}
