//! The catalogue: each check a static record and a pure function from what was seen to a verdict.
//!
//! One file per family, one table per file, one list of the tables here. A check touches its record, its page under
//! docs/checks/ (the record will not compile without it) and its defect in the tests. Nothing here reads the system.

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

/// What several families ask of a record.
mod common {
    use super::{Case, Judgement, Ruling, Unseen, broken};
    use crate::observation::{
        Attributes, Descriptor, Exit, FileKind, FileSeen, Launch, Look, Observation, Process, Style,
    };

    impl<'a> Case<'a> {
        /// What was seen of the clean start, and of what was done to the daemon then.
        pub(super) fn clean(&self) -> Result<&'a Observation, Unseen> {
            self.scenario(self.record.style.clean_scenario())
        }

        /// The clean start.
        pub(super) fn clean_launch(&self) -> Result<&'a Launch, Unseen> {
            self.clean()?.launch("start")
        }

        /// The clean start at rest.
        pub(super) fn clean_look(&self) -> Result<&'a Look, Unseen> {
            self.clean()?.look("rest")
        }

        /// The daemon as the clean start left it.
        pub(super) fn daemon(&self) -> Result<&'a Process, Unseen> {
            let look = self.clean_look()?;
            look.main().map_or_else(|| broken("no daemon was running after the start"), Ok)
        }

        /// What a later start lacks of what the clean one had: a daemon, status 0, and a PID file that names it.
        pub(super) fn lacks(&self, look: &Look, ended: Option<Exit>) -> Result<Option<String>, Unseen> {
            let in_background = self.record.style == Style::SysV;
            let how = ended.map_or("did not end".to_owned(), |exit| format!("ended with {exit}"));
            let Some((main, _)) = look.main.filter(|_| look.is_up()) else {
                let launcher = if in_background { "the launcher" } else { "the process that was started" };
                return Ok(Some(format!("no process is left; {launcher} {how}")));
            };
            if in_background && ended != self.clean_launch()?.ended && ended != Some(Exit::Status(0)) {
                return Ok(Some(format!("the launcher {how}, and yet pid {main} is running")));
            }
            let clean = self.clean_look()?;
            let names_main = |look: &Look| {
                let number = look.pidfile.as_ref().and_then(FileSeen::number);
                number.is_some() && look.main().is_some_and(|p| number == Some(p.pid) || number == Some(p.inner_pid))
            };
            if !names_main(clean) || names_main(look) {
                return Ok(None);
            }
            let other = look.pidfile.as_ref();
            Ok(other.map(|file| format!("the daemon is pid {main}, and its PID file has {}", content_of(file))))
        }

        /// The start with that kind of dirt in its way, and what there was then: the one without any other kind, where
        /// that had to be made.
        pub(super) fn dirty(&self, kind: &str) -> Result<(&'a Launch, &'a Look), Unseen> {
            let seen = self.scenario("dirty")?;
            let name = if seen.launch(kind).is_ok() { kind } else { "everything" };
            Ok((seen.launch(name)?, seen.look(name)?))
        }

        /// Every process of the daemon's, the main one first.
        pub(super) fn members(&self) -> Result<Vec<&'a Process>, Unseen> {
            let main = self.daemon()?;
            // A launcher that does not end is launcher-exits' matter; what it still holds is no flaw of the daemon's.
            let launcher = self.clean_launch()?.launcher;
            let others = self.clean_look()?.alive().filter(|p| p.pid != main.pid && p.pid != launcher);
            Ok(std::iter::once(main).chain(others).collect())
        }
    }

    impl Process {
        /// What it carries, if that could be read.
        pub(super) fn carries(&self) -> Result<&Attributes, Unseen> {
            self.attributes
                .as_ref()
                .map_or_else(|| broken(format!("the state of pid {} could not be read", self.pid)), Ok)
        }
    }

    impl Look {
        /// The main process; there is one where the start lacks nothing.
        pub(super) fn daemon(&self) -> Result<&Process, Unseen> {
            self.main().map_or_else(|| broken("no daemon was running"), Ok)
        }

        /// Processes that the main one has begotten and that live.
        pub(super) fn children(&self) -> Vec<&Process> {
            let all: Vec<&Process> = self.members.iter().collect();
            let main = self.main.map_or(0, |(pid, _)| pid);
            self.alive().filter(|p| p.pid != main && p.descends_from(main, &all)).collect()
        }

        /// Those of them that have executed a program of their own.
        pub(super) fn executed_children(&self) -> Vec<&Process> {
            let Some(main) = self.main() else { return Vec::new() };
            self.children().into_iter().filter(|p| p.executed_since(main)).collect()
        }

        /// Whether a daemon is running.
        pub(super) fn is_up(&self) -> bool {
            self.main().is_some_and(|p| !p.is_zombie())
        }
    }

    impl Launch {
        /// What the subject carried when it was executed: the proof of what had been planted.
        pub(super) fn inherits(&self) -> Result<&Attributes, Unseen> {
            let why = "what the subject inherited could not be read, so nothing is proven";
            self.inherited.as_ref().map_or_else(|| broken(why), |process| process.carries())
        }

        /// What was said on standard error, as a line of evidence.
        pub(super) fn words(&self) -> Vec<String> {
            let said = self.errors.as_ref().filter(|errors| errors.bytes > 0);
            said.map(|errors| format!("it said: {}", errors.text.short(200))).into_iter().collect()
        }

        /// Whether standard error got a line that the `clean` start did not show; digits (dates, process ids) aside.
        pub(super) fn explains(&self, clean: &Launch) -> bool {
            let lines = |text: &str| -> Vec<String> {
                let plain = text.replace("\\r", "");
                plain.split("\\n").map(|line| line.chars().filter(|c| !c.is_ascii_digit()).collect()).collect()
            };
            let usual = lines(clean.output.text.as_str());
            let said = self.errors.as_ref().map(|errors| lines(errors.text.as_str())).unwrap_or_default();
            said.iter().any(|line| !line.trim().is_empty() && !usual.contains(line))
        }

        /// Whether a descriptor leads to the terminal of this launch; /dev/tty stands for the controlling terminal, and
        /// that was this one when it was opened.
        pub(super) fn is_its_terminal(&self, descriptor: &Descriptor) -> bool {
            let itself = descriptor.rdev == self.terminal || descriptor.rdev == libc::makedev(5, 0);
            descriptor.kind == FileKind::Terminal && itself
        }
    }

    /// Of several judgements the one that decides: a broken promise before what could not be seen, a kept one before what
    /// does not apply; among equals the first.
    pub(super) fn worst(all: impl IntoIterator<Item = Judgement>) -> Judgement {
        let weight = |judgement: &Judgement| match judgement {
            Ok(Ruling::Broken(_)) => 3,
            Err(Unseen::Broken(_)) => 2,
            Ok(Ruling::Kept) => 1,
            Err(Unseen::Skip(_)) => 0,
        };
        let heavier = |one: Judgement, other: Judgement| if weight(&other) > weight(&one) { other } else { one };
        all.into_iter().reduce(heavier).unwrap_or_else(|| broken("nothing was tried"))
    }

    /// `SIGHUP, SIGINT, SIGQUIT and 3 more`, of a set of signals.
    pub(super) fn signals(set: u64) -> String {
        let all: Vec<String> =
            (1..=64).filter(|n| set >> (n - 1) & 1 == 1).map(crate::observation::signal_name).collect();
        match all.len() {
            0..=4 => all.join(", "),
            count => format!("{} and {} more", all[..3].join(", "), count - 3),
        }
    }

    /// What a PID file held, in words.
    pub(super) fn content_of(file: &FileSeen) -> String {
        match &file.found {
            None => "nothing there".to_owned(),
            Some(found) => match &found.content {
                Some(content) if content.is_empty() => "an empty file".to_owned(),
                Some(content) => format!("\"{}\"", content.short(60)),
                None => format!("{:?}", found.kind).to_lowercase(),
            },
        }
    }

    /// `pid 7 (name), pid 8 (name) and 3 more`.
    pub(super) fn named(processes: &[&Process]) -> String {
        let shown: Vec<String> = processes.iter().take(3).map(ToString::to_string).collect();
        match processes.len().saturating_sub(3) {
            0 => shown.join(", "),
            more => format!("{} and {more} more", shown.join(", ")),
        }
    }
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
                assert!(crate::scenario::SCENARIOS.iter().any(|s| s.name == name), "{}: {name}", check.id);
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
