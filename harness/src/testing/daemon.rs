//! A daemon as a test describes it.

use super::Checked;
use crate::check::{Level, Profile, UnknownName, find};
use crate::manifest::{self, Entry, ManifestError};
use crate::run::{self, Options, RunError, Wanted};
use crate::subject::{ReadyError, Subject};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;
use thiserror::Error;

/// A daemon to be judged, and how.
///
/// Words and paths may have `{dir}` in them: a private directory, fresh in every sandbox. A relative path is relative to
/// the directory of the test process, which cargo makes that of the package.
#[derive(Debug, Clone)]
#[must_use = "nothing is started before `check`"]
pub struct Daemon {
    subject: Subject,
    options: Options,
    /// The first thing that was said wrong.
    mistake: Option<Mistake>,
}

/// What cannot be meant.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
enum Mistake {
    #[error(transparent)]
    Unknown(#[from] UnknownName),
    #[error(transparent)]
    Ready(#[from] ReadyError),
}

/// Why a daemon was not judged.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CheckError {
    /// The test names a check that there is not.
    #[error(transparent)]
    UnknownCheck(UnknownName),
    /// The test says [`ready`](Daemon::ready) in words that cannot be understood.
    #[error(transparent)]
    Ready(ReadyError),
    /// It could not be started, or the harness could not do its work.
    #[error(transparent)]
    Run(#[from] RunError),
}

impl From<Mistake> for CheckError {
    fn from(mistake: Mistake) -> Self {
        match mistake {
            Mistake::Unknown(error) => CheckError::UnknownCheck(error),
            Mistake::Ready(error) => CheckError::Ready(error),
        }
    }
}

impl Daemon {
    /// One that is started by this program, a path or a name on `PATH`.
    pub fn command(program: impl Into<OsString>) -> Self {
        Daemon { subject: Subject::new([program.into()]), options: Options::default(), mistake: None }
    }

    /// One that is a program of the test's own package.
    ///
    /// Cargo says where that is from 1.94 on, when it runs an integration test; with an older one it is looked for beside
    /// the test itself. `Daemon::command(env!("CARGO_BIN_EXE_mydaemon"))` says the same, found out when the test is built.
    ///
    /// # Panics
    /// When there is no such program.
    #[track_caller]
    pub fn cargo_bin(name: &str) -> Self {
        let variable = format!("CARGO_BIN_EXE_{name}");
        let told = std::env::var_os(&variable).map(PathBuf::from);
        match told.or_else(|| beside_the_test(name)) {
            Some(path) => Daemon::command(path).name(name),
            None => panic!(
                "no program `{name}` beside this test, and `{variable}` is not set: integration tests know the programs of \
                 their own package, unit tests and other packages do not"
            ),
        }
    }

    /// The one that a manifest calls `name`, with all that the manifest says of it.
    ///
    /// # Errors
    /// When the manifest cannot be used, or has no such daemon.
    pub fn from_manifest(manifest: impl AsRef<Path>, name: &str) -> Result<Self, ManifestError> {
        let mut entries = manifest::read(manifest.as_ref(), &[name.to_owned()])?;
        Ok(Daemon::from(entries.remove(0)))
    }

    /// What reports call it; the program's name otherwise.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.subject.name = name.into();
        self
    }

    /// One more word of its command.
    pub fn arg(mut self, word: impl Into<OsString>) -> Self {
        self.subject.command.push(word.into());
        self
    }

    /// More words of its command.
    pub fn args(mut self, words: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.subject.command.extend(words.into_iter().map(Into::into));
        self
    }

    /// A variable added to its environment.
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.subject.environment.push((name.into(), value.into()));
        self
    }

    /// The PID file it must write. Without it one is looked for, and none is no failure.
    pub fn pidfile(mut self, path: impl Into<PathBuf>) -> Self {
        self.subject.pidfile = Some(path.into());
        self
    }

    /// The log it must write. Without it that is found where standard output or error leads to one.
    pub fn log(mut self, path: impl Into<PathBuf>) -> Self {
        self.subject.log = Some(path.into());
        self
    }

    /// Its documented working directory; `/` otherwise.
    pub fn cwd(mut self, path: impl Into<PathBuf>) -> Self {
        self.subject.cwd = path.into();
        self
    }

    /// The account it must drop to.
    pub fn user(mut self, name: impl Into<String>) -> Self {
        self.subject.user = Some(name.into());
        self
    }

    /// Its own stop command, a shell line; SIGTERM to the main process otherwise.
    pub fn stop(mut self, line: impl Into<String>) -> Self {
        self.subject.stop = Some(line.into());
        self
    }

    /// What else "ready" means: `tcp:ADDR:PORT`, `unix:PATH`, `file:PATH`, or `notify` under a supervisor. Repeatable.
    pub fn ready(mut self, spec: &str) -> Self {
        match spec.parse() {
            Ok(ready) => self.subject.ready.push(ready),
            Err(error) => self.mistaken(error),
        }
        self
    }

    /// The deadline for each thing awaited; ten seconds otherwise.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.subject.timeout = timeout;
        self
    }

    /// A shell line run in each sandbox before it is started.
    pub fn setup(mut self, line: impl Into<String>) -> Self {
        self.subject.setup = Some(line.into());
        self
    }

    /// A file below `{dir}`, written before that.
    pub fn file(mut self, name: impl Into<String>, content: impl Into<String>) -> Self {
        self.subject.files.insert(name.into(), content.into());
        self
    }

    /// What kind of daemon it means to be; [`Profile::Sysv`] otherwise.
    pub fn profile(mut self, profile: Profile) -> Self {
        self.options.profile = profile;
        self
    }

    /// Judge it by these checks and no others, and start it only as often as those need.
    pub fn only<I: AsRef<str>>(mut self, ids: impl IntoIterator<Item = I>) -> Self {
        self.options.only = self.known(ids);
        self
    }

    /// Do not judge it by these checks.
    pub fn skip<I: AsRef<str>>(mut self, ids: impl IntoIterator<Item = I>) -> Self {
        self.options.skip = self.known(ids);
        self
    }

    /// A check that is known to fail, and why. It may fail then, and may not pass.
    pub fn expect(mut self, id: &str, why: impl Into<String>) -> Self {
        if let Some(id) = self.known([id]).first() {
            self.subject.expected.insert((*id).to_owned(), why.into());
        }
        self
    }

    /// Failing checks of this level and above count in [`Checked::conforms`]; [`Level::Must`] otherwise.
    pub fn level(mut self, level: Level) -> Self {
        self.options.level = level;
        self
    }

    /// How much of a sandbox is wanted; [`Wanted::Auto`] otherwise.
    pub fn isolation(mut self, wanted: Wanted) -> Self {
        self.options.isolation = wanted;
        self
    }

    /// How many sandboxes at a time; as many as there are processors otherwise.
    pub fn jobs(mut self, jobs: usize) -> Self {
        self.options.jobs = jobs;
        self
    }

    /// Also by the checks that start it once for each call of its start: hundreds of starts.
    pub fn exhaustive(mut self) -> Self {
        self.options.exhaustive = true;
        self
    }

    /// What it comes to as data: what to start, and how to judge it.
    pub fn parts(&self) -> (&Subject, &Options) {
        (&self.subject, &self.options)
    }

    /// Starts it as often as the checks need, each time in a sandbox of its own, and judges what was seen.
    ///
    /// # Errors
    /// When it could not be started or the harness could not do its work, and for what the test said wrong.
    pub fn try_check(&self) -> Result<Checked, CheckError> {
        if let Some(mistake) = &self.mistake {
            return Err(mistake.clone().into());
        }
        let warn = |event: run::Event<'_>| {
            if let run::Event::Warning(line) = event {
                anstream::eprintln!("daemonspec: {line}");
            }
        };
        Ok(Checked::from(run::check(&self.subject, &self.options, &warn)?))
    }

    /// The same, for a test that cannot go on without.
    ///
    /// # Panics
    /// When [`try_check`](Daemon::try_check) is an error.
    #[track_caller]
    pub fn check(&self) -> Checked {
        match self.try_check() {
            Ok(checked) => checked,
            Err(error) => panic!("{error}"),
        }
    }

    fn known<I: AsRef<str>>(&mut self, ids: impl IntoIterator<Item = I>) -> BTreeSet<&'static str> {
        let mut known = BTreeSet::new();
        for id in ids {
            match find(id.as_ref()) {
                Ok(check) => drop(known.insert(check.id)),
                Err(error) => self.mistaken(error),
            }
        }
        known
    }

    fn mistaken(&mut self, mistake: impl Into<Mistake>) {
        self.mistake.get_or_insert(mistake.into());
    }
}

impl From<Entry> for Daemon {
    fn from(entry: Entry) -> Self {
        let options = entry.options();
        Daemon { subject: entry.subject, options, mistake: None }
    }
}

/// Cargo has a package's programs one directory above its integration tests.
fn beside_the_test(name: &str) -> Option<PathBuf> {
    let test = std::env::current_exe().ok()?;
    let directory = test.parent()?;
    let directory = if directory.ends_with("deps") { directory.parent()? } else { directory };
    let program = directory.join(name);
    program.is_file().then_some(program)
}
