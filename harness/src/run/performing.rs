//! Has scenarios performed, each in as many lives as it takes, several at a time.

use super::slots::{Place, Slots};
use super::starting::why_not;
use super::{Event, RunError, Wanted};
use crate::observation::{Account, Isolation, Launch, Look, Observation, Style, Text, Unseen};
use crate::sandbox::{self, Request, SandboxError, root::PRIVATE_DIRECTORY};
use crate::scenario::{Halt, Known, Scenario, Series, Setting};
use crate::subject::{Ready, Subject};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError, atomic::AtomicUsize, atomic::Ordering};
use std::time::Duration;

/// Everything one run needs and no scenario changes.
pub(super) struct Run<'a> {
    pub(super) subject: Subject,
    pub(super) environment: Vec<(OsString, OsString)>,
    pub(super) directory: PathBuf,
    pub(super) private: PathBuf,
    pub(super) account: Option<Account>,
    pub(super) style: Style,
    pub(super) isolation: Isolation,
    pub(super) name: &'a str,
    /// Shared with other runs, where there are any.
    slots: Option<&'a Slots>,
    /// Held as long as this run goes on.
    _place: Option<Place<'a>>,
}

pub(super) type Seen = Result<Observation, Unseen>;

/// Why no other scenario can show anything, if the clean launch did not give a daemon.
pub(super) fn no_use_in_more(style: Style, clean: &Seen) -> Option<Unseen> {
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
    pub(super) fn new(subject: &'a Subject, style: Style, isolation: Isolation) -> Result<Self, RunError> {
        static RUNS: AtomicUsize = AtomicUsize::new(0);
        crate::trace::prepare();
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
        let name = &subject.name;
        let (slots, _place) = (None, None);
        Ok(Run { subject: located, environment, directory, private, account, style, isolation, name, slots, _place })
    }

    /// Performs one scenario, in as many lives as it takes.
    pub(super) fn perform(
        &self,
        scenario: &Scenario,
        known: Option<&Known>,
        on_event: &(dyn Fn(Event<'_>) + Sync),
    ) -> Result<Seen, RunError> {
        let request = Request { control_group: scenario.rules_services(), ..self.request() };
        let clean = known.is_none();
        let (mut waited_in_vain, mut restless) = (false, false);
        let mut seen = Vec::new();
        let mut from = 0;
        loop {
            // The clean launch learns from its own first life.
            let mut known = known.cloned().unwrap_or_else(|| Known::from_clean_launch(&seen));
            known.pidfile_names_nobody |= waited_in_vain;
            known.restless |= restless;
            let act = |inside| scenario.perform(from, self.setting(), &known, inside);
            let life = sandbox::run(&request, act).map_err(|error| self.refused(error))?;
            // The clean launch says it for all.
            if clean && from == 0 && !life.missing.is_empty() {
                on_event(Event::Warning(&format!("the sandbox is without {}", life.missing.join(", "))));
            }
            seen.extend(life.seen);
            waited_in_vain |= life.waited_in_vain;
            restless |= life.restless;
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

    pub(super) fn halted(&self, halt: Halt) -> RunError {
        let name = self.name.to_owned();
        match halt {
            Halt::CannotStart(errno, program) => {
                let word = self.subject.command.first().map(OsString::as_os_str).unwrap_or_default();
                let why = why_not(nix::errno::Errno::from_raw(errno), word, &self.directory);
                let missing = errno == libc::ENOENT;
                RunError::CannotStart { program, missing, why }
            }
            Halt::Setup(ended, said) => {
                let said = said.short(200);
                let said = said.trim_end_matches("\\n");
                let said = if said.is_empty() { String::new() } else { format!(": {said}") };
                RunError::Setup { name, ended, said }
            }
            Halt::TooManyProcesses(count) => RunError::TooManyProcesses { name, count },
            Halt::Orphaned => RunError::Interrupted,
            Halt::System(what) => RunError::System { name, what },
        }
    }

    pub(super) fn request(&self) -> Request {
        Request {
            isolation: self.isolation,
            directory: self.directory.clone(),
            documented: self.subject.cwd.clone(),
            writable: self.writable(),
            control_group: false,
            patience: self.subject.timeout * 20 + Duration::from_secs(30),
        }
    }

    pub(super) fn setting(&self) -> Setting<'_> {
        let Run { subject, environment, private, style, .. } = self;
        Setting { subject, environment, private, style: *style }
    }

    pub(super) fn refused(&self, error: SandboxError) -> RunError {
        match error {
            SandboxError::Interrupted => RunError::Interrupted,
            error => RunError::Sandbox { name: self.name.to_owned(), error },
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
    pub(super) fn files_named(&self) -> Vec<Text> {
        let words = self.subject.command.iter().filter_map(|word| self.directory.join(word).canonicalize().ok());
        words.map(|path| Text::new(std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str()))).collect()
    }

    /// What the clean launch teaches the others.
    pub(super) fn learn(&mut self, clean: &Seen) -> Known {
        let Ok(seen) = clean else { return Known::default() };
        if let Ok(look) = seen.look("rest") {
            let path = |file: &crate::observation::FileSeen| PathBuf::from(file.path.as_str());
            self.subject.pidfile = self.subject.pidfile.take().or_else(|| look.pidfile.as_ref().map(path));
            self.subject.log = self.subject.log.take().or_else(|| look.log.as_ref().map(path));
        }
        Known::from_clean_launch(&seen.seen)
    }

    /// Performs the scenarios, `jobs` at a time; on the machine itself one after the other, as they would meet.
    pub(super) fn side_by_side(
        &self,
        scenarios: &[&&Scenario],
        known: &Known,
        jobs: usize,
        on_event: &(dyn Fn(Event<'_>) + Sync),
    ) -> Result<Vec<(String, Seen)>, RunError> {
        self.spread(jobs, scenarios, |scenario| {
            on_event(Event::Begins(scenario.name));
            let seen = not_spoiling(self.perform(scenario, Some(known), on_event));
            on_event(Event::Done(scenario.name));
            seen.map(|seen| (scenario.name.to_owned(), seen))
        })
        .into_iter()
        .collect()
    }

    /// Performs the trials of several series, `jobs` at a time.
    pub(super) fn series(
        &self,
        series: &[&&Series],
        known: &Known,
        jobs: usize,
        on_event: &(dyn Fn(Event<'_>) + Sync),
    ) -> Result<Vec<(String, Seen)>, RunError> {
        let schedules: Vec<_> = series.iter().map(|series| (series, series.schedule(known, self.style))).collect();
        let tasks: Vec<(usize, usize)> = schedules
            .iter()
            .enumerate()
            .flat_map(|(index, (_, schedule))| {
                (0..schedule.as_ref().map_or(0, |schedule| schedule.trials.len())).map(move |trial| (index, trial))
            })
            .collect();
        on_event(Event::More(tasks.len()));
        let request = self.request();
        let lives = self.spread(jobs, &tasks, |(index, number)| {
            let (series, Ok(schedule)) = &schedules[*index] else { return Ok(Err(Unseen::Broken(String::new()))) };
            on_event(Event::Begins(series.name));
            let act = |inside| series.perform(*number, &schedule.trials[*number], self.setting(), known, inside);
            let life = sandbox::run(&request, act).map_err(|error| self.refused(error));
            on_event(Event::Done(series.name));
            not_spoiling(life.and_then(|life| match life.halt {
                Some(halt) => Err(self.halted(halt)),
                None => Ok(Ok(life.seen)),
            }))
        });
        let mut lives = lives.into_iter();
        let mut results = Vec::new();
        for (series, schedule) in schedules {
            let seen = match schedule {
                Err(why) => Err(why),
                Ok(schedule) => {
                    let mut seen = vec![("series".to_owned(), crate::observation::Seen::Series(schedule.count))];
                    for (number, life) in lives.by_ref().take(schedule.trials.len()).enumerate() {
                        match life? {
                            Ok(life) => seen.extend(life),
                            Err(why) => seen.push(((number + 1).to_string(), crate::observation::Seen::Unseen(why))),
                        }
                    }
                    Ok(Observation { scenario: series.name.to_owned(), seen })
                }
            };
            results.push((series.name.to_owned(), seen));
        }
        Ok(results)
    }

    /// Does something with each of `all`, `jobs` at a time, and gives the results in the order of `all`; on the machine itself
    /// one after the other, as they would meet.
    fn spread<A: Sync, B: Send>(&self, jobs: usize, all: &[A], work: impl Fn(&A) -> B + Sync) -> Vec<B> {
        let jobs = if self.isolation == Isolation::None { 1 } else { jobs };
        spread(jobs, all, |one| {
            let _slot = self.slots.map(Slots::take);
            work(one)
        })
    }
}

/// Does something with each of `all`, `jobs` at a time, and gives the results in the order of `all`.
pub(super) fn spread<A: Sync, B: Send>(jobs: usize, all: &[A], work: impl Fn(&A) -> B + Sync) -> Vec<B> {
    let jobs = jobs.clamp(1, all.len().max(1));
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::new());
    let labour = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(one) = all.get(index) else { return };
            let result = work(one);
            results.lock().unwrap_or_else(PoisonError::into_inner).push((index, result));
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..jobs {
            scope.spawn(labour);
        }
        labour();
    });
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}

/// What keeps one scenario from being performed does not spoil the others.
fn not_spoiling<T>(result: Result<Result<T, Unseen>, RunError>) -> Result<Result<T, Unseen>, RunError> {
    match result {
        Err(
            error @ (RunError::Setup { .. }
            | RunError::CannotStart { .. }
            | RunError::System { .. }
            | RunError::Sandbox { .. }),
        ) => Ok(Err(Unseen::Broken(error.to_string()))),
        other => other,
    }
}

/// Performs the clean scenario, in as much of a sandbox as is wanted and there is.
pub(super) fn first_start<'a>(
    subject: &'a Subject,
    style: Style,
    wanted: Wanted,
    clean: &Scenario,
    slots: Option<&'a Slots>,
    on_event: &(dyn Fn(Event<'_>) + Sync),
) -> Result<(Run<'a>, Seen), RunError> {
    let run_in = |isolation| -> Result<Run<'a>, RunError> {
        let _place = slots.map(|slots| slots.place(isolation));
        Ok(Run { slots, _place, ..Run::new(subject, style, isolation)? })
    };
    let start = |run: &Run<'_>| {
        let _slot = slots.map(Slots::take);
        run.perform(clean, None, on_event)
    };
    let isolation = if wanted == Wanted::None { Isolation::None } else { Isolation::Full };
    let mut run = run_in(isolation)?;
    on_event(Event::Begins(clean.name));
    let mut first = start(&run);
    if let (Err(RunError::Sandbox { error: SandboxError::Refused(why), .. }), Wanted::Auto) = (&first, wanted) {
        let warning = format!(
            "no sandbox here ({why}); the daemon runs on the machine itself, and what needs a sandbox is skipped"
        );
        on_event(Event::Warning(&warning));
        // Its place beside the others is given up before it waits for one alone.
        drop(run);
        run = run_in(Isolation::None)?;
        first = start(&run);
    }
    Ok((run, first?))
}
