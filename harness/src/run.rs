//! Plans the scenarios that the chosen checks need, has them performed, and judges what was seen.
//!
//! The clean launch comes first: it says whether there is anything to judge, and teaches the others where the PID file and
//! the log are. The others then run side by side, each in a sandbox of its own.

use crate::check::{Check, Level, Profile, Record, UnknownName, Verdict, catalogue};
use crate::observation::{Account, Isolation, Launch, Look, Observation, Style, Text, Unseen};
use crate::sandbox::{self, Request, SandboxError, root::PRIVATE_DIRECTORY};
use crate::scenario::{Halt, Known, SCENARIOS, Scenario};
use crate::subject::{Ready, Subject};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError, atomic::AtomicUsize, atomic::Ordering};
use std::time::{Duration, Instant};
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
    /// A scenario begins.
    Begins(&'a str),
    /// A scenario is done.
    Done(&'a str),
    /// Something the user should know.
    Warning(&'a str),
}

/// One check's verdict on one subject.
#[derive(Debug, Clone)]
pub struct Judged {
    /// The check.
    pub check: &'static Check,
    /// Its verdict.
    pub verdict: Verdict,
    /// Why its failure was expected.
    pub waived: Option<String>,
}

/// The result of a run on one subject.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The subject's name.
    pub name: String,
    /// Its command, `{dir}` filled in.
    pub command: Vec<Text>,
    /// The profile it was judged by.
    pub profile: Profile,
    /// How much of a sandbox there was.
    pub isolation: Isolation,
    /// Failing checks of this level and above count.
    pub level: Level,
    /// How long it took.
    pub duration: Duration,
    /// Every chosen check's verdict, in the catalogue's order.
    pub judged: Vec<Judged>,
    /// What was seen, and judged.
    pub recording: Recording,
}

/// What was seen of one subject: enough to judge it again, later and elsewhere.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Recording {
    /// The subject's name.
    pub name: String,
    /// Its command, `{dir}` filled in.
    pub command: Vec<Text>,
    /// The failures that its manifest expects, and why.
    pub expected: BTreeMap<String, String>,
    /// How long it took.
    pub duration: Duration,
    /// What was seen.
    pub record: Record,
}

impl Recording {
    /// Judges what was seen. Nothing is started.
    ///
    /// # Errors
    /// When the options leave no check.
    pub fn judge(self, options: &Options) -> Result<Outcome, RunError> {
        let checks = options.checks();
        if checks.is_empty() {
            return Err(RunError::NoChecks);
        }
        let judged = checks
            .into_iter()
            .map(|check| Judged {
                check,
                verdict: check.judge(&self.record),
                waived: self.expected.get(check.id).cloned(),
            })
            .collect();
        Ok(Outcome {
            name: self.name.clone(),
            command: self.command.clone(),
            profile: options.profile,
            isolation: self.record.isolation,
            level: options.level,
            duration: self.duration,
            judged,
            recording: self,
        })
    }
}

impl Outcome {
    /// How many checks came out so.
    pub fn count(&self, verdict: &str) -> usize {
        self.judged.iter().filter(|j| j.verdict.as_str() == verdict).count()
    }

    /// The failures that count: at or above the level and not expected, or expected and not there.
    pub fn failures(&self) -> impl Iterator<Item = &Judged> {
        self.judged.iter().filter(|j| match &j.verdict {
            Verdict::Fail(_) => j.waived.is_none() && j.check.level >= self.level,
            Verdict::Pass => j.waived.is_some(),
            Verdict::Skip(_) | Verdict::Broken(_) => false,
        })
    }

    /// Whether it conforms: nothing that counts failed, and at least one check passed.
    pub fn conforms(&self) -> bool {
        self.failures().next().is_none() && self.count("broken") == 0 && self.count("pass") > 0
    }

    /// The exit code of the contract: 0, 1 or 3.
    pub fn exit_code(&self) -> i32 {
        if self.failures().next().is_some() {
            1
        } else if self.conforms() {
            0
        } else {
            3
        }
    }
}

/// Judges one subject.
///
/// # Errors
/// When it could not be started, or the harness could not do its work.
pub fn check(subject: &Subject, options: &Options, on_event: &(dyn Fn(Event<'_>) + Sync)) -> Result<Outcome, RunError> {
    let checks = options.checks();
    if checks.is_empty() {
        return Err(RunError::NoChecks);
    }
    let began = Instant::now();
    let (record, command) = observe(subject, options, &checks, on_event)?;
    let (name, expected) = (subject.name.clone(), subject.expected.clone());
    Recording { name, command, expected, duration: began.elapsed(), record }.judge(options)
}

/// Everything one run needs and no scenario changes.
struct Run<'a> {
    subject: Subject,
    environment: Vec<(OsString, OsString)>,
    directory: PathBuf,
    private: PathBuf,
    account: Option<Account>,
    style: Style,
    isolation: Isolation,
    name: &'a str,
}

type Seen = Result<Observation, Unseen>;

fn observe(
    subject: &Subject,
    options: &Options,
    checks: &[&'static Check],
    on_event: &(dyn Fn(Event<'_>) + Sync),
) -> Result<(Record, Vec<Text>), RunError> {
    let style = options.profile.style();
    let wanted: BTreeSet<&str> = checks.iter().flat_map(|c| c.scenarios(style)).collect();
    let is_clean = |s: &&&Scenario| s.name == style.clean_scenario();
    let Some(clean) = SCENARIOS.iter().find(is_clean) else { return Err(RunError::NoChecks) };
    let others: Vec<&&Scenario> = SCENARIOS.iter().filter(|s| wanted.contains(s.name) && !is_clean(s)).collect();
    on_event(Event::Planned(others.len() + 1));

    let (mut run, seen) = first_start(subject, style, options.isolation, clean, on_event)?;
    on_event(Event::Done(clean.name));

    let known = run.learn(&seen);
    let mut scenarios = BTreeMap::new();
    let hopeless = no_use_in_more(style, &seen);
    scenarios.insert(clean.name.to_owned(), seen);
    if let Some(why) = hopeless {
        scenarios.extend(others.iter().map(|s| (s.name.to_owned(), Err(why.clone()))));
    } else {
        scenarios.extend(run.side_by_side(&others, &known, options.jobs, on_event)?);
    }
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

/// Performs the clean scenario, in as much of a sandbox as is wanted and there is.
fn first_start<'a>(
    subject: &'a Subject,
    style: Style,
    wanted: Wanted,
    clean: &Scenario,
    on_event: &(dyn Fn(Event<'_>) + Sync),
) -> Result<(Run<'a>, Seen), RunError> {
    let isolation = if wanted == Wanted::None { Isolation::None } else { Isolation::Full };
    let mut run = Run::new(subject, style, isolation)?;
    on_event(Event::Begins(clean.name));
    let mut first = run.perform(clean, None, on_event);
    if let (Err(RunError::Sandbox { error: SandboxError::Refused(why), .. }), Wanted::Auto) = (&first, wanted) {
        let warning = format!(
            "no sandbox here ({why}); the daemon runs on the machine itself, and what needs a sandbox is skipped"
        );
        on_event(Event::Warning(&warning));
        run = Run::new(subject, style, Isolation::None)?;
        first = run.perform(clean, None, on_event);
    }
    Ok((run, first?))
}

/// What one start of a daemon showed.
#[derive(Debug, Clone)]
pub struct Watched {
    /// What kind of daemon it is, or was said to be.
    pub profile: Profile,
    /// How much of a sandbox there was.
    pub isolation: Isolation,
    /// The clean start.
    pub observation: Observation,
    /// What `{dir}` stood for.
    pub private: PathBuf,
    /// The account of the daemon's user id, where that is not the one it was started with.
    pub account: Option<String>,
    /// Files that the command names, the program aside.
    pub named: Vec<PathBuf>,
}

/// Watches one clean start, for a manifest to be written. Without a `profile` it is told whether the daemon stays in the
/// foreground; one that does is started once more, as a supervisor would.
///
/// # Errors
/// As for [`check`], and when no daemon is there afterwards.
pub fn watch(
    subject: &Subject,
    profile: Option<Profile>,
    isolation: Wanted,
    on_event: &(dyn Fn(Event<'_>) + Sync),
) -> Result<Watched, RunError> {
    on_event(Event::Planned(1));
    let seen = watch_as(subject, profile.unwrap_or(Profile::Sysv), isolation, on_event)?;
    let stays = seen.observation.launch("start").is_ok_and(|launch| launch.ended.is_none());
    let watched = if profile.is_none() && stays {
        on_event(Event::Planned(2));
        watch_as(subject, Profile::Foreground, isolation, on_event)?
    } else {
        seen
    };
    let (launch, look) = (watched.observation.launch("start"), watched.observation.look("rest"));
    if let (Ok(launch), Ok(look)) = (launch, look)
        && look.main.is_none()
    {
        let ended = launch.ended.map_or("at the deadline".to_owned(), |exit| format!("with {exit}"));
        let output = launch.errors.as_ref().filter(|errors| errors.bytes > 0).unwrap_or(&launch.output);
        let said = if output.bytes == 0 { String::new() } else { format!(": {}", output.text.short(200)) };
        return Err(RunError::NoDaemon { name: subject.name.clone(), ended, said });
    }
    Ok(watched)
}

fn watch_as(
    subject: &Subject,
    profile: Profile,
    isolation: Wanted,
    on_event: &(dyn Fn(Event<'_>) + Sync),
) -> Result<Watched, RunError> {
    let style = profile.style();
    let Some(clean) = SCENARIOS.iter().find(|s| s.name == style.clean_scenario()) else {
        return Err(RunError::NoChecks);
    };
    // Before the start: on the machine itself what the daemon writes would be found too.
    let named = configuration_files(subject);
    let (run, seen) = first_start(subject, style, isolation, &clean.start_alone(), on_event)?;
    on_event(Event::Done(clean.name));
    let unseen =
        |(Unseen::Skip(what) | Unseen::Broken(what)): Unseen| RunError::System { name: subject.name.clone(), what };
    let observation = seen.map_err(unseen)?;
    let uid = observation.look("rest").ok().and_then(|look| look.main()?.uid());
    let before = observation.launch("start").ok().and_then(|launch| launch.inherited.as_ref()?.uid());
    let account = uid.filter(|uid| Some(*uid) != before).and_then(|uid| {
        nix::unistd::User::from_uid(nix::unistd::Uid::from_raw(uid)).ok().flatten().map(|user| user.name)
    });
    let Run { isolation, private, .. } = &run;
    Ok(Watched { profile, isolation: *isolation, private: private.clone(), account, named, observation })
}

/// Regular files of the machine that a word of the command names, whole or after `=`, the program aside.
fn configuration_files(subject: &Subject) -> Vec<PathBuf> {
    let words = subject.command.iter().skip(1);
    let paths = words.map(|word| match word.to_str().and_then(|word| word.split_once('=')) {
        Some((_, path)) => Path::new(path),
        None => Path::new(word),
    });
    let files = paths.filter(|path| path.is_file()).filter_map(|path| std::path::absolute(path).ok());
    files.collect()
}

/// Why no other scenario can show anything, if the clean launch did not give a daemon.
fn no_use_in_more(style: Style, clean: &Seen) -> Option<Unseen> {
    let clean = clean.as_ref().ok()?;
    let launch: &Launch = clean.launch("start").ok()?;
    let look: &Look = clean.look("rest").ok()?;
    if launch.ended.is_none() && style == Style::SysV {
        Some(Unseen::Broken(
            "the clean start's launcher did not end, so no other start was tried (see launcher-exits)".to_owned(),
        ))
    } else if look.main.is_none() {
        Some(Unseen::Broken(
            "the clean start left no daemon, so no other start was tried (see daemon-stays-up)".to_owned(),
        ))
    } else {
        None
    }
}

/// The account of that name, with its groups.
fn look_up(user: &str, subject: &str) -> Result<Account, RunError> {
    let failed = |what: String| RunError::System { name: subject.to_owned(), what };
    let unknown = || RunError::NoSuchAccount { name: subject.to_owned(), user: user.to_owned() };
    let found = nix::unistd::User::from_name(user)
        .map_err(|error| failed(format!("looking up the account `{user}`: {error}")))?
        .ok_or_else(unknown)?;
    let name = std::ffi::CString::new(user).map_err(|_| unknown())?;
    let groups = nix::unistd::getgrouplist(&name, found.gid)
        .map_err(|error| failed(format!("looking up the groups of `{user}`: {error}")))?;
    let mut groups: Vec<u32> = groups.into_iter().map(nix::unistd::Gid::as_raw).collect();
    groups.sort_unstable();
    groups.dedup();
    Ok(Account { name: user.to_owned(), uid: found.uid.as_raw(), gid: found.gid.as_raw(), groups })
}

impl<'a> Run<'a> {
    fn new(subject: &'a Subject, style: Style, isolation: Isolation) -> Result<Self, RunError> {
        static RUNS: AtomicUsize = AtomicUsize::new(0);
        let directory = std::env::current_dir().map_err(|error| RunError::System {
            name: subject.name.clone(),
            what: format!("the current directory: {error}"),
        })?;
        let private = match isolation {
            Isolation::Full => PathBuf::from(PRIVATE_DIRECTORY),
            Isolation::None => {
                let unique = format!("daemonspec-{}-{}", std::process::id(), RUNS.fetch_add(1, Ordering::Relaxed));
                std::env::temp_dir().join(unique)
            }
        };
        let located = subject.located(&private, &directory);
        if isolation == Isolation::None
            && let Some(path) = located.pidfile.as_ref().filter(|path| path.symlink_metadata().is_ok())
        {
            return Err(RunError::InUse { name: subject.name.clone(), path: path.display().to_string() });
        }
        let account = subject.user.as_deref().map(|user| look_up(user, &subject.name)).transpose()?;
        // What a supervisor of the harness told the harness is not meant for the subject.
        let mut environment: BTreeMap<OsString, OsString> = std::env::vars_os()
            .filter(|(key, _)| {
                !["NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "WATCHDOG_USEC", "WATCHDOG_PID"]
                    .iter()
                    .any(|k| key == k)
            })
            .collect();
        environment.extend(located.environment.iter().cloned());
        let environment = environment.into_iter().collect();
        Ok(Run { subject: located, environment, directory, private, account, style, isolation, name: &subject.name })
    }

    /// Performs one scenario, in as many lives as it takes.
    fn perform(
        &self,
        scenario: &Scenario,
        known: Option<&Known>,
        on_event: &(dyn Fn(Event<'_>) + Sync),
    ) -> Result<Seen, RunError> {
        let request = Request {
            isolation: self.isolation,
            directory: self.directory.clone(),
            documented: self.subject.cwd.clone(),
            writable: self.writable(),
            patience: self.subject.timeout * 20 + Duration::from_secs(30),
        };
        let clean = known.is_none();
        let mut waited_in_vain = false;
        let mut seen = Vec::new();
        let mut from = 0;
        loop {
            // The clean launch learns from its own first life.
            let mut known = known.cloned().unwrap_or_else(|| Known::from_clean_launch(&seen));
            known.pidfile_names_nobody |= waited_in_vain;
            let act = |inside| {
                let Run { subject, environment, private, style, .. } = self;
                scenario.perform(from, subject, environment, private, *style, &known, inside)
            };
            let life = sandbox::run(&request, act).map_err(|error| match error {
                SandboxError::Interrupted => RunError::Interrupted,
                error => RunError::Sandbox { name: self.name.to_owned(), error },
            })?;
            // The clean launch says it for all.
            if clean && from == 0 && !life.missing.is_empty() {
                on_event(Event::Warning(&format!("the sandbox is without {}", life.missing.join(", "))));
            }
            seen.extend(life.seen);
            waited_in_vain |= life.waited_in_vain;
            if let Some(halt) = life.halt {
                return Err(self.halted(halt));
            }
            match life.next {
                Some(next) if next > from => from = next,
                _ => break,
            }
        }
        Ok(Ok(Observation { scenario: scenario.name.to_owned(), seen }))
    }

    fn halted(&self, halt: Halt) -> RunError {
        let name = self.name.to_owned();
        match halt {
            Halt::CannotStart(errno, program) => {
                let why = match nix::errno::Errno::from_raw(errno) {
                    nix::errno::Errno::ENOENT if !program.as_str().contains('/') => {
                        "no such command on PATH".to_owned()
                    }
                    errno => errno.desc().to_lowercase(),
                };
                RunError::CannotStart { program, why }
            }
            Halt::Setup(ended, said) => {
                let said = if said.is_empty() { String::new() } else { format!(": {}", said.short(200)) };
                RunError::Setup { name, ended, said }
            }
            Halt::TooManyProcesses(count) => RunError::TooManyProcesses { name, count },
            Halt::Orphaned => RunError::Interrupted,
            Halt::System(what) => RunError::System { name, what },
        }
    }

    /// The directories that a daemon of an ordinary user's may well write to, shallowest first.
    fn writable(&self) -> Vec<PathBuf> {
        let ready = self.subject.ready.iter().filter_map(|ready| match ready {
            Ready::Unix(path) | Ready::File(path) => Some(path),
            Ready::Tcp(_) | Ready::Notify => None,
        });
        let files = self.subject.pidfile.iter().chain(&self.subject.log).chain(ready);
        let parents = files.filter_map(|path| path.parent()).map(Path::to_owned);
        let home = std::env::var_os("HOME").map(PathBuf::from);
        let fixed = [self.directory.clone(), self.subject.cwd.clone(), "/var/tmp".into(), "/run".into()];
        let mut all: Vec<PathBuf> = fixed.into_iter().chain(home).chain(parents).filter(|p| p.is_dir()).collect();
        all.sort_by_key(|path| (path.components().count(), path.clone()));
        all.dedup();
        all
    }

    /// The command's words that are files, by their whole paths, links followed as /proc shows them.
    fn files_named(&self) -> Vec<Text> {
        let words = self.subject.command.iter().filter_map(|word| self.directory.join(word).canonicalize().ok());
        words.map(|path| Text::new(std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str()))).collect()
    }

    /// What the clean launch teaches the others.
    fn learn(&mut self, clean: &Seen) -> Known {
        let Ok(seen) = clean else { return Known::default() };
        if let Ok(look) = seen.look("rest") {
            let path = |file: &crate::observation::FileSeen| PathBuf::from(file.path.as_str());
            self.subject.pidfile = self.subject.pidfile.take().or_else(|| look.pidfile.as_ref().map(path));
            self.subject.log = self.subject.log.take().or_else(|| look.log.as_ref().map(path));
        }
        Known::from_clean_launch(&seen.seen)
    }

    /// Performs the scenarios, `jobs` at a time; on the machine itself one after the other, as they would meet.
    fn side_by_side(
        &self,
        scenarios: &[&&Scenario],
        known: &Known,
        jobs: usize,
        on_event: &(dyn Fn(Event<'_>) + Sync),
    ) -> Result<Vec<(String, Seen)>, RunError> {
        let jobs = if self.isolation == Isolation::None { 1 } else { jobs.clamp(1, scenarios.len().max(1)) };
        let next = AtomicUsize::new(0);
        let results = Mutex::new(Vec::new());
        let work = || {
            while let Some(scenario) = scenarios.get(next.fetch_add(1, Ordering::Relaxed)) {
                on_event(Event::Begins(scenario.name));
                let seen = match self.perform(scenario, Some(known), on_event) {
                    // What keeps one scenario from being performed does not spoil the others.
                    Err(error @ (RunError::Setup { .. } | RunError::CannotStart { .. } | RunError::System { .. })) => {
                        Ok(Err(Unseen::Broken(error.to_string())))
                    }
                    other => other,
                };
                on_event(Event::Done(scenario.name));
                results.lock().unwrap_or_else(PoisonError::into_inner).push((scenario.name.to_owned(), seen));
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..jobs {
                scope.spawn(work);
            }
            work();
        });
        let results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
        results.into_iter().map(|(name, seen)| seen.map(|seen| (name, seen))).collect()
    }
}
