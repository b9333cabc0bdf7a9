//! Which daemons and which tests there are.

use super::shared::{Judge, Listed, Needed};
use super::trial::{Surroundings, Whole, agrees, came_out, whole};
use crate::check::Check;
use crate::check::witness::that_explain;
use crate::manifest::{self, Entry, ManifestError};
use crate::observation::printable;
use crate::report::matrix::Row;
use crate::run::Options;
use crate::scenario::SERIES;
use libtest_mimic::{Arguments, Trial};
use std::ffi::OsString;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use thiserror::Error;

/// Manifests to use instead of the test's own, with `:` between them.
const MANIFEST: &str = "DAEMONSPEC_MANIFEST";
/// A number; the order is another with each.
const SHUFFLE: &str = "DAEMONSPEC_SHUFFLE";

/// The daemons of some manifests, each check of each of them a test.
pub struct Field {
    arguments: Arguments,
    daemons: Vec<(PathBuf, Entry)>,
    whole: Vec<(String, Whole)>,
    seed: Option<u64>,
}

/// Why there are no tests.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FieldError {
    /// A manifest cannot be used.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// Two daemons have one name.
    #[error("daemon `{name}` is in {} and in {}; one of them needs another name", .first.display(), .second.display())]
    Twice {
        /// The name.
        name: String,
        /// A manifest that has it.
        first: PathBuf,
        /// Another, or the same.
        second: PathBuf,
    },
    /// A manifest expects a failure of what the daemon is not judged by.
    #[error("manifest {}: `{name}` expects `{check}` to fail, and is never judged by it: profile `{profile}` is without it", .manifest.display())]
    NeverJudged {
        /// The manifest.
        manifest: PathBuf,
        /// The daemon.
        name: String,
        /// The check.
        check: String,
        /// The profile.
        profile: &'static str,
    },
    /// `DAEMONSPEC_SHUFFLE` is no number.
    #[error("{SHUFFLE} is a whole number, and not `{0}`")]
    Seed(String),
    /// There is no manifest.
    #[error("there is no manifest; {MANIFEST} names one or more, with `:` between them")]
    NoManifest,
}

impl Field {
    /// The daemons of these manifests, or of those that `DAEMONSPEC_MANIFEST` names; what to do with them is taken from the
    /// command line.
    ///
    /// # Errors
    /// When a manifest cannot be used, or two do not go together.
    pub fn from_env<P: AsRef<Path>>(manifests: impl IntoIterator<Item = P>) -> Result<Self, FieldError> {
        let given = std::env::var_os(MANIFEST).filter(|given| !given.is_empty());
        let mut field = match given {
            Some(given) => Field::new(std::env::args_os(), std::env::split_paths(&given)),
            None => Field::new(std::env::args_os(), manifests),
        }?;
        if let Some(seed) = std::env::var_os(SHUFFLE).filter(|seed| !seed.is_empty()) {
            let seed = seed.to_string_lossy();
            field = field.shuffled(seed.parse().map_err(|_| FieldError::Seed(printable(&seed)))?);
        }
        Ok(field)
    }

    /// The daemons of these manifests, and what a command line of these words, the first of which is the program's name, says
    /// to do with them.
    ///
    /// # Errors
    /// As for [`from_env`](Field::from_env).
    pub fn new<P: AsRef<Path>>(
        words: impl IntoIterator<Item = impl Into<OsString> + Clone>,
        manifests: impl IntoIterator<Item = P>,
    ) -> Result<Self, FieldError> {
        let arguments = Arguments::from_iter(words);
        let mut daemons: Vec<(PathBuf, Entry)> = Vec::new();
        for path in manifests.into_iter().flat_map(|given| files(given.as_ref())) {
            for entry in manifest::read(&path, &[])? {
                if let Some((first, _)) = daemons.iter().find(|(_, other)| name(other) == name(&entry)) {
                    let (name, first, second) = (name(&entry), first.clone(), path);
                    return Err(FieldError::Twice { name, first, second });
                }
                never_judged(&path, &entry)?;
                daemons.push((path.clone(), entry));
            }
        }
        if daemons.is_empty() {
            return Err(FieldError::NoManifest);
        }
        Ok(Field { arguments, daemons, whole: Vec::new(), seed: None })
    }

    /// The same tests in another order, the same for the same `seed`.
    #[must_use]
    pub fn shuffled(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Changes what the manifests say.
    #[must_use]
    pub fn each(mut self, mut change: impl FnMut(&mut Entry)) -> Self {
        self.daemons.iter_mut().for_each(|(_, entry)| change(entry));
        self
    }

    /// One more test, on what came of all daemons, in the order of the manifests. It is ignored where one is not installed.
    #[must_use]
    pub fn and(
        mut self,
        name: impl Into<String>,
        test: impl FnOnce(&[Row]) -> Result<(), String> + Send + 'static,
    ) -> Self {
        self.whole.push((name.into(), Box::new(test)));
        self
    }

    /// Runs the tests that the command line chooses, and says how that went.
    pub fn run(self) -> ExitCode {
        let surroundings = Surroundings::look();
        let listed = |(path, entry): (PathBuf, Entry)| Listed { manifest: printable(&path.to_string_lossy()), entry };
        let judge = Arc::new(Judge::new(self.daemons.into_iter().map(listed).collect()));
        let mut order: Vec<(usize, String)> = judge.entries().map(name).enumerate().collect();
        let mut plan = vec![Needed::default(); order.len()];
        let is_chosen = |trial: &Trial| !self.arguments.is_filtered_out(trial) && !self.arguments.is_ignored(trial);
        let mut trials: Vec<Trial> = Vec::new();
        for (number, entry) in judge.entries().enumerate() {
            let absent = surroundings.nextest && !is_installed(entry);
            for check in entry.options().checks() {
                let judge = Arc::clone(&judge);
                let test = move || came_out(judge.wait(number), check, surroundings);
                let too_many = is_left_out(check, &entry.options());
                let trial = Trial::ignorable_test(format!("{}::{}", name(entry), check.id), test);
                let trial = trial.with_ignored_flag(absent || too_many);
                if is_chosen(&trial) {
                    plan[number].checks.insert(check.id);
                    plan[number].exhaustive |= too_many;
                }
                trials.push(trial);
            }
            if entry.witness.is_some() {
                let judge = Arc::clone(&judge);
                let test = move || agrees(judge.wait(number), surroundings);
                let trial = Trial::ignorable_test(format!("{}::systemd", name(entry)), test).with_ignored_flag(absent);
                if is_chosen(&trial) {
                    let judged = entry.options().checks();
                    let explaining =
                        that_explain(entry.options().profile).filter(|c| judged.iter().any(|j| j.id == c.id));
                    plan[number].witness = true;
                    plan[number].checks.extend(explaining.map(|check| check.id));
                }
                trials.push(trial);
            }
        }
        for (name, test) in self.whole {
            let judged = Arc::clone(&judge);
            let trial = Trial::ignorable_test(name, move || whole(&judged, test, surroundings));
            let trial = trial.with_ignored_flag(surroundings.nextest && !judge.entries().all(is_installed));
            if is_chosen(&trial) {
                plan.iter_mut().for_each(|needed| needed.all = true);
            }
            trials.push(trial);
        }
        if let Some(seed) = self.seed {
            order.sort_by_cached_key(|(_, name)| shuffled(seed, name));
            trials.sort_by_cached_key(|trial| shuffled(seed, trial.name()));
        }
        if !self.arguments.list {
            let order: Vec<usize> = order.into_iter().map(|(number, _)| number).collect();
            judge.start(&plan, &order, surroundings.jobs(&self.arguments));
        }
        libtest_mimic::run(&self.arguments, trials).exit_code()
    }
}

/// What a daemon is called in a test's name.
fn name(entry: &Entry) -> String {
    printable(&entry.subject.name)
}

/// Where it comes to when all are shuffled.
fn shuffled(seed: u64, name: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    (seed, name).hash(&mut hasher);
    hasher.finish()
}

/// The manifests that are meant: one, or those of a directory by name.
fn files(given: &Path) -> Vec<PathBuf> {
    let here = std::env::current_dir().unwrap_or_default();
    let above = here.ancestors().map(|directory| directory.join(given)).find(|path| path.exists());
    // What is nowhere is named as it was given, by the error that comes of it.
    let path = above.map_or(given.to_owned(), |path| path.strip_prefix(&here).map(Path::to_owned).unwrap_or(path));
    let Ok(directory) = std::fs::read_dir(&path) else { return vec![path] };
    let mut files: Vec<PathBuf> = directory.flatten().map(|file| file.path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    files.sort();
    files
}

/// A manifest without a profile may be meant for one that `check` is told; here it is the default.
fn never_judged(manifest: &Path, entry: &Entry) -> Result<(), FieldError> {
    let options = entry.options();
    let judged = options.checks();
    match entry.subject.expected.keys().find(|id| !judged.iter().any(|check| check.id == **id)) {
        None => Ok(()),
        Some(check) => Err(FieldError::NeverJudged {
            manifest: manifest.to_owned(),
            name: name(entry),
            check: check.clone(),
            profile: options.profile.as_str(),
        }),
    }
}

/// Whether a run without more said leaves it out: it starts the daemon hundreds of times.
fn is_left_out(check: &Check, options: &Options) -> bool {
    let is_exhaustive = SERIES.iter().any(|series| series.exhaustive && series.name == check.scenario);
    is_exhaustive && !options.exhaustive && options.only.is_empty()
}

/// Whether its program is there, as far as that can be told before it is started.
fn is_installed(entry: &Entry) -> bool {
    let Some(program) = entry.subject.command.first() else { return false };
    if program.to_string_lossy().contains("{dir}") {
        return true;
    }
    if Path::new(program).components().count() > 1 {
        return Path::new(program).exists();
    }
    let own = entry.subject.environment.iter().rev().find(|(name, _)| name == "PATH").map(|(_, value)| value.clone());
    let path = own.or_else(|| std::env::var_os("PATH")).unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
}
