//! Plans the scenarios that the chosen checks need, has them performed, and judges what was seen.
//!
//! The clean launch comes first: it says whether there is anything to judge, and teaches the others where the PID file and
//! the log are. The others then run side by side, each in a sandbox of its own.

mod many;
mod outcome;
mod performing;
mod slots;
mod timing;
mod tracing;
mod watching;

pub use many::{Watcher, check_many};
pub use outcome::{Judged, Outcome, Recording, TracedStart};
#[doc(hidden)]
pub use timing::{STAMP, Timed, calls_of_a_start, time_start};
pub use tracing::trace;
pub use watching::{Watched, watch};

use crate::check::{Check, Level, Profile, Record, UnknownName, catalogue};
use crate::observation::{Text, Unseen};
use crate::sandbox::SandboxError;
use crate::scenario::{SCENARIOS, SERIES, Scenario, Series};
use crate::subject::Subject;
use performing::{first_start, no_use_in_more};
use slots::Slots;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;
use thiserror::Error;

/// How much isolation is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// Full where the machine grants it, none elsewhere, and the report says which.
    Auto,
    /// Full, or nothing is run.
    Full,
    /// None: on the machine itself.
    None,
}

impl std::str::FromStr for Wanted {
    type Err = UnknownName;

    fn from_str(word: &str) -> Result<Self, UnknownName> {
        const WORDS: [(&str, Wanted); 3] = [("auto", Wanted::Auto), ("full", Wanted::Full), ("none", Wanted::None)];
        let found = WORDS.iter().find(|(known, _)| *known == word);
        found
            .map(|(_, wanted)| *wanted)
            .ok_or_else(|| UnknownName::new("isolation", word, WORDS.map(|(known, _)| known)))
    }
}

/// What to judge, and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// The kind of daemon it means to be.
    pub profile: Profile,
    /// Only these checks; all of the profile where empty.
    pub only: BTreeSet<&'static str>,
    /// Not these.
    pub skip: BTreeSet<&'static str>,
    /// Failing checks of this level and above make the run fail.
    pub level: Level,
    /// How much isolation.
    pub isolation: Wanted,
    /// Scenarios at a time; never less than one.
    pub jobs: usize,
    /// Whether what repeats the start once for each of its calls is done too. Where a check of that kind is named in `only`, it
    /// is.
    pub exhaustive: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            profile: Profile::Sysv,
            only: BTreeSet::new(),
            skip: BTreeSet::new(),
            level: Level::Must,
            isolation: Wanted::Auto,
            jobs: std::thread::available_parallelism().map_or(1, Into::into),
            exhaustive: false,
        }
    }
}

impl Options {
    /// The chosen checks, in the catalogue's order.
    pub fn checks(&self) -> Vec<&'static Check> {
        catalogue()
            .filter(|c| self.only.contains(c.id) || (self.only.is_empty() && c.profiles.contains(&self.profile)))
            .filter(|c| !self.skip.contains(c.id))
            .collect()
    }
}

/// Why a subject could not be judged.
#[derive(Debug, Error)]
pub enum RunError {
    /// Its program could not be executed.
    #[error("cannot start `{program}`: {why}")]
    CannotStart {
        /// The word that names it.
        program: Text,
        /// Whether that is because it is not there.
        missing: bool,
        /// Why.
        why: String,
    },
    /// Its setup line failed.
    #[error("cannot judge `{name}`: its setup line ended with {ended}{said}")]
    Setup {
        /// The subject.
        name: String,
        /// How the line ended.
        ended: String,
        /// What it said.
        said: String,
    },
    /// It was to be watched, and nothing was left of it.
    #[error("cannot watch `{name}`: no daemon was left, and the start ended {ended}{said}")]
    NoDaemon {
        /// The subject.
        name: String,
        /// How the start ended.
        ended: String,
        /// What it said.
        said: String,
    },
    /// It forks without end.
    #[error("cannot judge `{name}`: it forks without end ({count} processes); all of them were ended")]
    TooManyProcesses {
        /// The subject.
        name: String,
        /// How many there were.
        count: usize,
    },
    /// The account it has to drop to is unknown.
    #[error("cannot judge `{name}`: this machine has no account `{user}` (--user)")]
    NoSuchAccount {
        /// The subject.
        name: String,
        /// The account.
        user: String,
    },
    /// Something of the machine's would be harmed.
    #[error(
        "cannot judge `{name}` without isolation: {path} is there already, perhaps of a running instance; stop that and remove the file, or use --isolation full"
    )]
    InUse {
        /// The subject.
        name: String,
        /// The PID file.
        path: String,
    },
    /// No sandbox.
    #[error("cannot judge `{name}`: {error}")]
    Sandbox {
        /// The subject.
        name: String,
        /// Why.
        error: SandboxError,
    },
    /// The harness itself failed.
    #[error("cannot judge `{name}`: {what}")]
    System {
        /// The subject.
        name: String,
        /// What failed.
        what: String,
    },
    /// The options leave no check.
    #[error("no check is left to run: --only and --skip exclude them all")]
    NoChecks,
    /// Everything started is gone.
    #[error("interrupted; everything that was started is gone")]
    Interrupted,
}

/// What happens during a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event<'a> {
    /// So many scenarios will be performed.
    Planned(usize),
    /// So many starts more, each of them one step of the work.
    More(usize),
    /// A scenario begins.
    Begins(&'a str),
    /// A scenario is done.
    Done(&'a str),
    /// Something the user should know.
    Warning(&'a str),
}

/// Judges one subject.
///
/// # Errors
/// When it could not be started, or the harness could not do its work.
pub fn check(subject: &Subject, options: &Options, on_event: &(dyn Fn(Event<'_>) + Sync)) -> Result<Outcome, RunError> {
    check_with(subject, options, &Slots::new(options.jobs), on_event)
}

fn check_with(
    subject: &Subject,
    options: &Options,
    slots: &Slots,
    on_event: &(dyn Fn(Event<'_>) + Sync),
) -> Result<Outcome, RunError> {
    let checks = options.checks();
    if checks.is_empty() {
        return Err(RunError::NoChecks);
    }
    let began = Instant::now();
    let (record, command) = observe(subject, options, &checks, slots, on_event)?;
    let (name, expected) = (subject.name.clone(), subject.expected.clone());
    Recording { name, command, expected, duration: began.elapsed(), record }.judge(options)
}

fn observe(
    subject: &Subject,
    options: &Options,
    checks: &[&'static Check],
    slots: &Slots,
    on_event: &(dyn Fn(Event<'_>) + Sync),
) -> Result<(Record, Vec<Text>), RunError> {
    let style = options.profile.style();
    let wanted: BTreeSet<&str> = checks.iter().flat_map(|c| c.scenarios(style)).collect();
    let is_clean = |s: &&&Scenario| s.name == style.clean_scenario();
    let Some(clean) = SCENARIOS.iter().find(is_clean) else { return Err(RunError::NoChecks) };
    let series: Vec<&&Series> = SERIES.iter().filter(|s| wanted.contains(s.name)).collect();
    let (series, too_many): (Vec<&&Series>, Vec<&&Series>) =
        series.into_iter().partition(|s| !s.exhaustive || options.exhaustive || !options.only.is_empty());
    let others: Vec<&&Scenario> = SCENARIOS.iter().filter(|s| wanted.contains(s.name) && !is_clean(s)).collect();
    on_event(Event::Planned(others.len() + 1));

    let (mut run, seen) = first_start(subject, style, options.isolation, clean, Some(slots), on_event)?;
    on_event(Event::Done(clean.name));

    let mut known = run.learn(&seen);
    let mut scenarios = BTreeMap::new();
    let hopeless = no_use_in_more(style, &seen);
    scenarios.insert(clean.name.to_owned(), seen);
    if let Some(why) = hopeless {
        let names = others.iter().map(|s| s.name).chain(series.iter().map(|s| s.name));
        scenarios.extend(names.map(|name| (name.to_owned(), Err(why.clone()))));
    } else {
        scenarios.extend(run.side_by_side(&others, &known, options.jobs, on_event)?);
        if let Some(Ok(traced)) = scenarios.get("traced") {
            known.learn_traces(traced);
        }
        scenarios.extend(run.series(&series, &known, options.jobs, on_event)?);
    }
    let why = || Err(Unseen::Skip("it starts the daemon once for each of its calls: give --exhaustive".to_owned()));
    scenarios.extend(too_many.iter().map(|s| (s.name.to_owned(), why())));
    let record = Record {
        style,
        isolation: run.isolation,
        documented_cwd: run.subject.cwd.to_string_lossy().into_owned(),
        named: run.files_named(),
        drops_to: run.account.clone(),
        own_stop: subject.stop.is_some(),
        scenarios,
    };
    let command =
        run.subject.command.iter().map(|w| Text::new(std::os::unix::ffi::OsStrExt::as_bytes(w.as_os_str()))).collect();
    Ok((record, command))
}
