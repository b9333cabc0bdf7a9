//! A daemon that was judged, and what a test claims of it.

use crate::check::{Verdict, find};
use crate::observation::{Launch, Look, Observation, Process, Unseen};
use crate::report::terminal;
use crate::run::{Judged, Outcome};
use anstream::adapter::strip_str;
use predicates_core::Predicate;
use std::fmt;
use std::io::IsTerminal;

/// Of a value that is not as claimed, an error shows no more lines than this.
const MOST_LINES: usize = 80;

/// What was seen of a daemon, and what was made of it. The daemon itself is gone.
///
/// Each claim panics with the report on what it is about, and has a twin that begins with `try_` and returns that as an
/// error. Claims can be chained.
#[derive(Debug, Clone)]
pub struct Checked {
    outcome: Outcome,
}

/// A claim that does not hold, and the report on what it is about.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct AssertionError(String);

impl fmt::Debug for AssertionError {
    /// As it is meant to be read: `unwrap` shows this.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a claim returns that does not panic.
type Claim<'a> = Result<&'a Checked, AssertionError>;

impl From<Outcome> for Checked {
    fn from(outcome: Outcome) -> Self {
        Checked { outcome }
    }
}

macro_rules! panics {
    ($($(#[$doc:meta])* $name:ident as $try_name:ident($($argument:ident: $type:ty),*);)*) => {
        $($(#[$doc])*
        ///
        /// # Panics
        /// When that does not hold.
        #[track_caller]
        pub fn $name(&self, $($argument: $type),*) -> &Self {
            match self.$try_name($($argument),*) {
                Ok(checked) => checked,
                Err(error) => panic!("{error}"),
            }
        })*
    };
}

#[allow(clippy::needless_pass_by_value, reason = "predicates are made where they are used, as in assert_cmd")]
impl Checked {
    panics! {
        /// It conforms: no check at or above the level failed unless that was expected, none that was expected to fail passed,
        /// none could not be observed, and one at least passed.
        conforms as try_conforms();
        /// It keeps that promise.
        passes as try_passes(id: &str);
        /// It breaks that promise, whether that was expected or not.
        fails as try_fails(id: &str);
        /// The verdict of that check is so.
        verdict as try_verdict(id: &str, predicate: impl Predicate<Verdict>);
        /// Its main process, at rest after a clean start, is so.
        main as try_main(predicate: impl Predicate<Process>);
        /// What was seen in that scenario is so. The clean start is `terminal`, or `foreground` where a supervisor starts it;
        /// `daemonspec list --format json` names the scenario of each check.
        observed as try_observed(scenario: &str, predicate: impl Predicate<Observation>);
    }

    /// As [`conforms`](Checked::conforms).
    ///
    /// # Errors
    /// When that does not hold.
    pub fn try_conforms(&self) -> Claim<'_> {
        if self.outcome.conforms() {
            return Ok(self);
        }
        let unseen = self.outcome.judged.iter().filter(|judged| matches!(judged.verdict, Verdict::Broken(_)));
        let mut wrong: Vec<&Judged> = self.outcome.failures().chain(unseen).collect();
        if wrong.is_empty() {
            wrong.extend(&self.outcome.judged);
            return Err(self.wrong("no check passed", wrong));
        }
        Err(self.wrong("it does not conform", wrong))
    }

    /// As [`passes`](Checked::passes).
    ///
    /// # Errors
    /// When that does not hold.
    pub fn try_passes(&self, id: &str) -> Claim<'_> {
        self.try_is(id, "passes", |verdict| *verdict == Verdict::Pass)
    }

    /// As [`fails`](Checked::fails).
    ///
    /// # Errors
    /// When that does not hold.
    pub fn try_fails(&self, id: &str) -> Claim<'_> {
        self.try_is(id, "fails", |verdict| matches!(verdict, Verdict::Fail(_)))
    }

    /// As [`verdict`](Checked::verdict).
    ///
    /// # Errors
    /// When that does not hold.
    pub fn try_verdict(&self, id: &str, predicate: impl Predicate<Verdict>) -> Claim<'_> {
        self.try_is(id, &format!("has a verdict that is {predicate}"), |verdict| predicate.eval(verdict))
    }

    /// As [`main`](Checked::main).
    ///
    /// # Errors
    /// When that does not hold, or there was no such process.
    pub fn try_main(&self, predicate: impl Predicate<Process>) -> Claim<'_> {
        let process = self.main_process().map_err(|why| self.unseen("its main process", why))?;
        self.hold(&predicate, process, "its main process")
    }

    /// As [`observed`](Checked::observed).
    ///
    /// # Errors
    /// When that does not hold, or the scenario was not performed.
    pub fn try_observed(&self, scenario: &str, predicate: impl Predicate<Observation>) -> Claim<'_> {
        let what = format!("scenario `{scenario}`");
        let observation = self.observation(scenario).map_err(|why| self.unseen(&what, why))?;
        self.hold(&predicate, observation, &what)
    }

    /// What was seen in that scenario.
    ///
    /// # Errors
    /// Why it was not performed.
    pub fn observation(&self, scenario: &str) -> Result<&Observation, Unseen> {
        match self.outcome.recording.record.scenarios.get(scenario) {
            Some(seen) => seen.as_ref().map_err(Clone::clone),
            None => {
                let all = self.outcome.recording.record.scenarios.keys().map(|name| format!("`{name}`"));
                let all = all.collect::<Vec<String>>().join(", ");
                Err(Unseen::Broken(format!("it was not performed, only {all}: no check that was judged needs it")))
            }
        }
    }

    /// Its clean start.
    ///
    /// # Errors
    /// Why it was not seen.
    pub fn start(&self) -> Result<&Launch, Unseen> {
        self.observation(self.outcome.profile.style().clean_scenario())?.launch("start")
    }

    /// All of it, at rest after its clean start.
    ///
    /// # Errors
    /// Why it was not seen.
    pub fn at_rest(&self) -> Result<&Look, Unseen> {
        self.observation(self.outcome.profile.style().clean_scenario())?.look("rest")
    }

    /// Its main process, at rest after its clean start.
    ///
    /// # Errors
    /// Why there was none.
    pub fn main_process(&self) -> Result<&Process, Unseen> {
        self.at_rest()?.main().ok_or_else(|| Unseen::Broken("the clean start left no daemon".to_owned()))
    }

    /// All verdicts, and what was seen: a [`report`](crate::report) can be made of it.
    pub fn outcome(&self) -> &Outcome {
        &self.outcome
    }

    fn try_is(&self, id: &str, claim: &str, holds: impl FnOnce(&Verdict) -> bool) -> Claim<'_> {
        let check = find(id).map_err(|error| AssertionError(error.to_string()))?;
        let Some(judged) = self.outcome.judged.iter().find(|judged| judged.check.id == check.id) else {
            let name = &self.outcome.name;
            return Err(AssertionError(format!(
                "{name} was not judged by `{id}`: profile `{}`, `only` or `skip` leaves it out",
                self.outcome.profile
            )));
        };
        if holds(&judged.verdict) {
            Ok(self)
        } else {
            Err(self.wrong(&format!("not so that `{id}` {claim}"), [judged]))
        }
    }

    /// Whether `value` is as claimed.
    fn hold<T: fmt::Debug>(&self, predicate: &impl Predicate<T>, value: &T, what: &str) -> Claim<'_> {
        if predicate.eval(value) {
            return Ok(self);
        }
        let text = format!("{value:#?}");
        let mut shown: Vec<&str> = text.lines().take(MOST_LINES).collect();
        let left_out = format!("and {} lines more", text.lines().count().saturating_sub(MOST_LINES));
        if text.lines().count() > MOST_LINES {
            shown.push(&left_out);
        }
        Err(AssertionError(format!("{}: {what} is not {predicate}\n{}", self.outcome.name, shown.join("\n"))))
    }

    fn unseen(&self, what: &str, why: Unseen) -> AssertionError {
        let (Unseen::Skip(why) | Unseen::Broken(why)) = why;
        AssertionError(format!("{}: {what}: {why}", self.outcome.name))
    }

    fn wrong<'a>(&'a self, what: &str, judged: impl IntoIterator<Item = &'a Judged>) -> AssertionError {
        let report = terminal::excerpt(&self.outcome, judged);
        // Captured by the test harness it goes to standard output, and to standard error otherwise.
        let coloured = std::io::stdout().is_terminal() && std::io::stderr().is_terminal();
        let coloured = coloured && anstream::AutoStream::choice(&std::io::stderr()) != anstream::ColorChoice::Never;
        let report = if coloured { report } else { strip_str(&report).to_string() };
        AssertionError(format!("{}: {what}\n{report}", self.outcome.name))
    }
}
