//! The catalogue: each check a static record and a pure function from what was seen to a verdict.
//!
//! One file per family, one table per file, one list of the tables here. A check touches its record, its page under
//! docs/checks/ (the record will not compile without it) and its defect in the tests. Nothing here reads the system.

mod common;
mod container;
mod descriptors;
mod filesystem;
mod foreground;
mod instance;
mod lifecycle;
mod logging;
mod pidfile;
mod privileges;
mod resources;
mod robustness;
mod session;
mod signals;
mod steered;
pub mod witness;

#[cfg(test)]
pub(crate) use lifecycle::OBSTACLES;

use crate::observation::{Account, Isolation, Observation, Style, Text, Unseen};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// How strongly a check is meant (RFC 2119).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Beneficial.
    May,
    /// Recommended; there may be reasons to differ.
    Should,
    /// Required.
    Must,
}

/// What kind of daemon a subject means to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// A program that puts itself into the background (daemon(7), "SysV Daemons").
    Sysv,
    /// What the classic short recipe promises, and no more.
    Article,
    /// What PEP 3143 promises.
    Pep3143,
    /// A program that is started by a supervisor (daemon(7), "New-Style Daemons").
    Foreground,
    /// The same as the first process of a container.
    Container,
}

impl Profile {
    /// How such a daemon is started.
    pub fn style(self) -> Style {
        match self {
            Profile::Sysv | Profile::Article | Profile::Pep3143 => Style::SysV,
            Profile::Foreground | Profile::Container => Style::NewStyle,
        }
    }
}

/// What a check is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// Coming up, staying up, ending.
    Lifecycle,
    /// The session and its terminal.
    Session,
    /// Directories and modes.
    Filesystem,
    /// Open files.
    Descriptors,
    /// Masks, dispositions, reactions.
    Signals,
    /// The PID file.
    Pidfile,
    /// One instance at a time.
    Instance,
    /// The log.
    Logging,
    /// Accounts, groups, capabilities.
    Privileges,
    /// Memory, limits, what the kernel is asked for.
    Resources,
    /// What a careless caller leaves.
    Robustness,
    /// Under a supervisor.
    Foreground,
    /// As the first process of a container.
    Container,
}

macro_rules! words {
    ($type:ident, $what:literal: $($variant:ident = $word:literal),* $(,)?) => {
        impl $type {
            /// All of them.
            pub const ALL: &'static [$type] = &[$($type::$variant),*];

            /// The word that reports and options use.
            pub fn as_str(self) -> &'static str {
                match self { $($type::$variant => $word),* }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl FromStr for $type {
            type Err = UnknownName;

            fn from_str(word: &str) -> Result<Self, UnknownName> {
                Self::ALL.iter().copied().find(|v| v.as_str() == word)
                    .ok_or_else(|| UnknownName::new($what, word, Self::ALL.iter().map(|v| v.as_str())))
            }
        }
    };
}

words!(Level, "level": Must = "must", Should = "should", May = "may");
words!(Profile, "profile": Sysv = "sysv", Article = "article", Pep3143 = "pep3143", Foreground = "foreground",
    Container = "container");
words!(Family, "family": Lifecycle = "lifecycle", Session = "session", Filesystem = "filesystem", Descriptors = "descriptors",
    Signals = "signals", Pidfile = "pidfile", Instance = "instance", Logging = "logging", Privileges = "privileges",
    Resources = "resources", Robustness = "robustness", Foreground = "foreground", Container = "container");

/// A name that is none of the known ones, with the nearest that is.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("no {what} named `{name}`{}", .nearest.as_ref().map(|n| format!("; did you mean `{n}`?")).unwrap_or_default())]
pub struct UnknownName {
    what: &'static str,
    name: String,
    nearest: Option<String>,
}

impl UnknownName {
    /// Looks for the nearest of the `known` names.
    pub fn new<'a>(what: &'static str, name: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        let nearest = known
            .into_iter()
            .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
            .filter(|(likeness, _)| *likeness > 0.8)
            .max_by(|a, b| a.0.total_cmp(&b.0))
            .map(|(_, candidate)| candidate.to_owned());
        UnknownName { what, name: name.to_owned(), nearest }
    }
}

/// One promise that a daemon keeps or breaks.
pub struct Check {
    /// Its name, for ever.
    pub id: &'static str,
    /// What it is about.
    pub family: Family,
    /// How strongly it is meant.
    pub level: Level,
    /// What a correct daemon does, after "a correct daemon ...".
    pub title: &'static str,
    /// The profiles it belongs to.
    pub profiles: &'static [Profile],
    /// Where the promise is written.
    pub sources: &'static [&'static str],
    /// How to mend a daemon that breaks it.
    pub remedy: &'static str,
    /// The scenario it is judged on, and the others it also looks at.
    pub scenario: &'static str,
    /// Others it needs.
    pub also: &'static [&'static str],
    /// Its page: why, how to see it by hand, how to mend it.
    pub page: &'static str,
    /// The judge.
    pub(crate) judge: fn(&Case<'_>) -> Judgement,
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Check").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Writes one record of a family's table.
macro_rules! check {
    ($id:literal, $level:ident, $family:ident, $profiles:expr, $scenario:literal $(+ $also:literal)*,
     title: $title:literal, sources: $sources:expr, remedy: $remedy:literal, judge: $judge:expr $(,)?) => {
        $crate::check::Check {
            id: $id,
            family: $crate::check::Family::$family,
            level: $crate::check::Level::$level,
            title: $title,
            profiles: $profiles,
            sources: $sources,
            remedy: $remedy,
            scenario: $scenario,
            also: &[$($also),*],
            page: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/checks/", $id, ".md")),
            judge: $judge,
        }
    };
}
pub(crate) use check;

/// The profiles of a check. `sysv` has all but the foreground and container families; the starred rows and those marked PEP
/// have more, and what a supervisor expects too is also in `foreground`, all of which `container` has.
pub(crate) const SYSV: &[Profile] = &[Profile::Sysv];
pub(crate) const ARTICLE: &[Profile] = &[Profile::Sysv, Profile::Article];
pub(crate) const PEP: &[Profile] = &[Profile::Sysv, Profile::Pep3143];
pub(crate) const ARTICLE_PEP: &[Profile] = &[Profile::Sysv, Profile::Article, Profile::Pep3143];
pub(crate) const ANY_STYLE: &[Profile] = &[Profile::Sysv, Profile::Foreground, Profile::Container];
pub(crate) const ARTICLE_ANY_STYLE: &[Profile] =
    &[Profile::Sysv, Profile::Article, Profile::Foreground, Profile::Container];
pub(crate) const PEP_ANY_STYLE: &[Profile] =
    &[Profile::Sysv, Profile::Pep3143, Profile::Foreground, Profile::Container];
pub(crate) const FOREGROUND: &[Profile] = &[Profile::Foreground, Profile::Container];
pub(crate) const CONTAINER: &[Profile] = &[Profile::Container];

/// Every check, in the catalogue's order.
pub fn catalogue() -> impl Iterator<Item = &'static Check> {
    [
        lifecycle::CHECKS,
        session::CHECKS,
        filesystem::CHECKS,
        descriptors::CHECKS,
        signals::CHECKS,
        pidfile::CHECKS,
        instance::CHECKS,
        logging::CHECKS,
        privileges::CHECKS,
        resources::CHECKS,
        robustness::CHECKS,
        foreground::CHECKS,
        container::CHECKS,
    ]
    .into_iter()
    .flatten()
}

/// The check of that name.
///
/// # Errors
/// When there is none.
pub fn find(id: &str) -> Result<&'static Check, UnknownName> {
    catalogue().find(|check| check.id == id).ok_or_else(|| UnknownName::new("check", id, catalogue().map(|c| c.id)))
}

/// What a failing check says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What a correct daemon would have shown.
    pub expected: String,
    /// What this one showed.
    pub actual: String,
    /// Where that was seen.
    pub evidence: Vec<String>,
}

/// What a check says of a subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The promise is kept.
    Pass,
    /// It is broken.
    Fail(Failure),
    /// It does not apply, and why.
    Skip(String),
    /// It could not be observed, and why.
    Broken(String),
}

impl Verdict {
    /// The word reports use.
    pub fn as_str(&self) -> &'static str {
        match self {
            Verdict::Pass => "pass",
            Verdict::Fail(_) => "fail",
            Verdict::Skip(_) => "skip",
            Verdict::Broken(_) => "broken",
        }
    }
}

/// What a judge returns: kept or broken, or that it was not seen. The `?` of a judge passes the latter on.
pub(crate) type Judgement = Result<Ruling, Unseen>;

/// Kept or broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ruling {
    Kept,
    Broken(Failure),
}

/// The promise is kept.
pub(crate) fn pass() -> Judgement {
    Ok(Ruling::Kept)
}

/// It is broken: what was expected, and what was there instead.
pub(crate) fn fail(expected: impl Into<String>, actual: impl Into<String>, evidence: Vec<String>) -> Judgement {
    Ok(Ruling::Broken(Failure { expected: expected.into(), actual: actual.into(), evidence }))
}

/// It does not apply.
pub(crate) fn skip<T>(why: impl Into<String>) -> Result<T, Unseen> {
    Err(Unseen::Skip(why.into()))
}

/// It could not be seen.
pub(crate) fn broken<T>(why: impl Into<String>) -> Result<T, Unseen> {
    Err(Unseen::Broken(why.into()))
}

/// All that was seen of one subject, by scenario; for a scenario that was not performed, the reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// How it was started.
    pub style: Style,
    /// How much of a sandbox there was.
    pub isolation: Isolation,
    /// Its documented working directory.
    pub documented_cwd: String,
    /// The command's words that are files of the machine, by their whole paths.
    pub named: Vec<Text>,
    /// The account it has to drop to.
    pub drops_to: Option<Account>,
    /// Whether it has a stop command of its own.
    pub own_stop: bool,
    /// What was seen.
    pub scenarios: BTreeMap<String, Result<Observation, Unseen>>,
}

/// What a judge sees.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Case<'a> {
    pub(crate) record: &'a Record,
}

impl<'a> Case<'a> {
    /// What was seen in a scenario.
    pub(crate) fn scenario(&self, name: &str) -> Result<&'a Observation, Unseen> {
        match self.record.scenarios.get(name) {
            Some(Ok(observation)) => Ok(observation),
            Some(Err(why)) => Err(why.clone()),
            None => broken(format!("scenario `{name}` was not performed")),
        }
    }
}

impl Check {
    /// Judges what was seen.
    pub fn judge(&self, record: &Record) -> Verdict {
        match (self.judge)(&Case { record }) {
            Ok(Ruling::Kept) => Verdict::Pass,
            Ok(Ruling::Broken(failure)) => Verdict::Fail(failure),
            Err(Unseen::Skip(why)) => Verdict::Skip(why),
            Err(Unseen::Broken(why)) => Verdict::Broken(why),
        }
    }

    /// How much was tried, where it is judged on many starts that were steered.
    pub fn note(&self, record: &Record) -> Option<String> {
        let seen = record.scenarios.get(self.scenario)?.as_ref().ok()?;
        let count = seen.series("series").ok()?;
        let reached = seen.trials().filter(|(_, trial)| trial.reached).count();
        let mut words = format!("{reached} of {} trials at {} calls", count.possible, count.places);
        if count.tried < count.possible {
            words.push_str(&format!("; {} were tried, of those at calls that only look the fewest", count.tried));
        }
        if reached < count.tried {
            words.push_str(&format!("; {} did not come to their call", count.tried - reached));
        }
        if count.alike > 0 {
            words.push_str(&format!("; one stands for a row of calls that only look ({} left out)", count.alike));
        }
        Some(format!(
            "{words}; the dynamic loader's own calls ({}) and what the C library does before main left out",
            count.loader
        ))
    }

    /// The scenario it is judged on, where daemons of that style are: `terminal` stands for the clean start.
    pub fn scenario(&self, style: Style) -> &'static str {
        of_style(self.scenario, style)
    }

    /// The scenarios it needs.
    pub fn scenarios(&self, style: Style) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.scenario).chain(self.also.iter().copied()).map(move |name| of_style(name, style))
    }
}

fn of_style(scenario: &'static str, style: Style) -> &'static str {
    if scenario == Style::SysV.clean_scenario() { style.clean_scenario() } else { scenario }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn ids_are_unique_and_pages_carry_them() {
        let mut ids = BTreeSet::new();
        for check in catalogue() {
            assert!(ids.insert(check.id), "{} twice", check.id);
            assert!(check.page.starts_with(&format!("# {}\n", check.id)), "docs/checks/{}.md", check.id);
            assert!(!check.sources.is_empty() && !check.remedy.is_empty(), "{}", check.id);
        }
    }

    #[test]
    fn no_page_without_a_check() {
        let pages = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/checks")).unwrap();
        for page in pages.flatten() {
            let name = page.file_name().into_string().unwrap();
            assert!(find(name.trim_end_matches(".md")).is_ok(), "docs/checks/{name} belongs to no check");
        }
    }

    #[test]
    fn every_scenario_named_exists() {
        for check in catalogue() {
            for name in check.scenarios(Style::SysV).chain(check.scenarios(Style::NewStyle)) {
                let scenarios = crate::scenario::SCENARIOS.iter().map(|s| s.name);
                let mut all = scenarios.chain(crate::scenario::SERIES.iter().map(|s| s.name));
                assert!(all.any(|known| known == name), "{}: {name}", check.id);
            }
        }
    }

    #[test]
    fn nothing_seen_is_never_a_pass() {
        let record = Record {
            style: Style::SysV,
            isolation: Isolation::Full,
            documented_cwd: "/".to_owned(),
            named: Vec::new(),
            drops_to: None,
            own_stop: false,
            scenarios: BTreeMap::new(),
        };
        for check in catalogue() {
            assert!(matches!(check.judge(&record), Verdict::Broken(_)), "{}", check.id);
        }
    }

    #[test]
    fn a_misspelt_name_is_answered_with_the_nearest() {
        let error = find("no-controling-terminal").unwrap_err();
        assert_eq!(
            error.to_string(),
            "no check named `no-controling-terminal`; did you mean `no-controlling-terminal`?"
        );
        assert_eq!("zzz".parse::<Level>().unwrap_err().to_string(), "no level named `zzz`");
    }
}
