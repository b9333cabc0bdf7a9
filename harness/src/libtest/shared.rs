//! What the tests of one daemon share: it is judged once.

use crate::manifest::Entry;
use crate::run::{self, Options, Outcome, RunError};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

/// What came of one daemon.
pub(super) type Shared = Result<Outcome, NotJudged>;

/// Why there are no verdicts on a daemon.
#[derive(Debug, Clone)]
pub(super) struct NotJudged {
    /// One line.
    pub(super) why: String,
    /// Its program is not there.
    pub(super) missing: bool,
}

/// What the chosen tests need of one daemon.
#[derive(Debug, Clone, Default)]
pub(super) struct Needed {
    /// These checks.
    pub(super) checks: BTreeSet<&'static str>,
    /// Also some that a usual run leaves out.
    pub(super) exhaustive: bool,
    /// All that its manifest says.
    pub(super) all: bool,
}

impl Needed {
    /// How to judge the daemon for that; `None` where nothing is needed of it.
    fn options(&self, entry: &Entry) -> Option<Options> {
        let mut options = entry.options();
        if self.all {
            options.exhaustive |= self.exhaustive;
        } else if self.checks.is_empty() {
            return None;
        } else {
            options.only = self.checks.clone();
        }
        Some(options)
    }
}

/// All daemons, and what came of those that have been judged.
#[derive(Debug)]
pub(super) struct Judge {
    entries: Vec<Entry>,
    shared: Vec<OnceLock<Shared>>,
    exhaustive: AtomicBool,
}

impl Judge {
    pub(super) fn new(entries: Vec<Entry>) -> Self {
        let shared = entries.iter().map(|_| OnceLock::new()).collect();
        Judge { entries, shared, exhaustive: AtomicBool::new(false) }
    }

    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Whether checks are among them that a usual run leaves out.
    pub(super) fn is_exhaustive(&self) -> bool {
        self.exhaustive.load(Ordering::Relaxed)
    }

    /// What came of that daemon, once it is known.
    pub(super) fn wait(&self, number: usize) -> &Shared {
        self.shared[number].wait()
    }

    /// Has all daemons judged of which something is needed, side by side, and in no more than `jobs` sandboxes at a time.
    pub(super) fn start(self: &Arc<Self>, plan: &[Needed], jobs: usize) {
        self.exhaustive.store(plan.iter().any(|needed| needed.exhaustive), Ordering::Relaxed);
        let wanted: Vec<(usize, Options)> = plan
            .iter()
            .enumerate()
            .filter_map(|(number, needed)| Some((number, needed.options(&self.entries[number])?)))
            .collect();
        let judge = Arc::clone(self);
        std::thread::spawn(move || {
            let judge = Finally(&judge);
            judge.0.judge_all(&wanted, jobs);
        });
    }

    fn judge_all(&self, wanted: &[(usize, Options)], jobs: usize) {
        let workers = jobs.clamp(1, wanted.len().max(1));
        let next = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..workers {
                scope.spawn(|| {
                    while let Some((number, options)) = wanted.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let options = Options { jobs: jobs.div_ceil(workers), ..options.clone() };
                        let result = run::check(&self.entries[*number].subject, &options, &|_| {});
                        let _ = self.shared[*number].set(result.map_err(|error| NotJudged {
                            missing: matches!(error, RunError::CannotStart { .. }),
                            why: error.to_string(),
                        }));
                    }
                });
            }
        });
    }
}

/// No test waits for ever for a daemon that nobody judges any more.
struct Finally<'a>(&'a Judge);

impl Drop for Finally<'_> {
    fn drop(&mut self) {
        for shared in &self.0.shared {
            let _ = shared.set(Err(NotJudged { why: "the harness gave up".to_owned(), missing: false }));
        }
    }
}
