//! What a scenario acts with: the inside of the sandbox, seen from init.
//!
//! Everything awaited is an event (a child's end, a terminal's output, a pidfd) under one deadline; what has no event of its
//! own, rest above all, is looked at again whenever one came or a short timer ran out.

mod acting;
mod containing;
mod dirt;
mod events;
mod launching;
mod looking;
mod notifying;
mod patience;
mod planting;
mod strangers;
mod systemd;
mod terminal;
mod timing;
mod tracing;

pub(crate) use dirt::Dirt;
pub(crate) use launching::Start;
pub(crate) use planting::plant;
pub(crate) use timing::{Moments, did_not_end};

use crate::observation::{BY_ITSELF, Exit, Pid, Seen, Style, Text, Treatment, Unseen};
use crate::observe::{self, Pulse};
use crate::sandbox::{self, Inside};
use crate::subject::{Ready, Subject};
use crate::sys;
use crate::trace::Tracer;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use notifying::NotifySocket;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Instant;
use terminal::Login;

/// Why a scenario cannot go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Halt {
    /// The program could not be executed: errno, and the word that named it.
    CannotStart(i32, Text),
    /// The setup line failed: its end, and what it said.
    Setup(String, Text),
    /// It forks without end: that many processes.
    TooManyProcesses(usize),
    /// Whoever asked is gone.
    Orphaned,
    /// The sandbox itself failed.
    System(String),
}

pub(crate) type Acted<T = ()> = Result<T, Halt>;

fn system<T>(what: &str, result: Result<T, impl std::fmt::Display>) -> Acted<T> {
    result.map_err(|error| Halt::System(format!("{what}: {error}")))
}

struct MainProcess {
    pid: Pid,
    pidfd: OwnedFd,
}

/// What every life of a run has in common.
#[derive(Clone, Copy)]
pub(crate) struct Setting<'a> {
    /// The subject, its paths absolute.
    pub(crate) subject: &'a Subject,
    /// Its whole environment.
    pub(crate) environment: &'a [(OsString, OsString)],
    /// The directory that `{dir}` stands for.
    pub(crate) private: &'a Path,
    /// How it means to be started.
    pub(crate) style: Style,
}

/// The inside of one sandbox.
pub(crate) struct World<'a> {
    /// The subject, its paths absolute.
    pub subject: &'a Subject,
    /// The directory that `{dir}` stands for.
    pub private: &'a Path,
    /// Its whole environment.
    environment: &'a [(OsString, OsString)],
    /// How the subject means to be started.
    pub style: Style,
    inside: Inside,
    init: Pid,
    children: SignalFd,
    exits: BTreeMap<Pid, Exit>,
    /// What the setup line left running; it is not the subject's.
    bystanders: Vec<Pid>,
    logins: Vec<Login>,
    /// The process started last, until it has been reaped.
    launcher: Option<(Pid, OwnedFd)>,
    /// Follows the start that is traced.
    tracer: Option<Tracer>,
    /// What keeps init from waiting too long for a tracee's next stop.
    lulls: Option<sys::Lulls>,
    spins: events::Spins,
    /// Ports that init keeps from the subject.
    listeners: Vec<std::net::TcpListener>,
    /// Where a supervised subject says that it is ready.
    notify_socket: Option<NotifySocket>,
    /// The systemd that is asked what it makes of the subject.
    manager: Option<systemd::Manager>,
    main: Option<MainProcess>,
    /// The PID file, declared or discovered.
    pub pidfile: Option<PathBuf>,
    /// The log, declared or discovered.
    pub log: Option<PathBuf>,
    seen: Vec<(String, Seen)>,
    /// Without isolation: what is to be removed from the machine at the end.
    residue: Vec<PathBuf>,
    /// Whether a start is not at its end before the PID file names a live process.
    pub awaits_pidfile: bool,
    /// The same of its word that it is ready, where `--ready notify` declares that.
    pub awaits_notice: bool,
    /// Whether the start's own word (a PID file, readiness) that it is done is not enough.
    pub is_patient: bool,
    /// Whether a PID file was waited for, and did not come.
    pub waited_in_vain: bool,
    /// Whether the last start had come to its end when it first rested.
    came_up_at_once: bool,
    /// Whether that is so where nothing hinders it.
    pub comes_up_at_once: bool,
    /// The members as of the last look.
    known_members: BTreeSet<Pid>,
    /// How many deadlines a launcher gets to end.
    pub launch_patience: u32,
    /// Whether the last launcher was still running at its deadline.
    pub launcher_hangs: bool,
    /// The last reading of its threads.
    pulse: Option<Pulse>,
    stalls: patience::Stalls,
    /// When its processes were last counted.
    counted: Instant,
    /// Whether only what is new of a start is recorded, not what it inherited: it is one of hundreds.
    pub is_brief: bool,
    /// Whether the subject once did not come to rest in time; it is not given as long again.
    pub restless: bool,
}

impl<'a> World<'a> {
    /// Takes the sandbox over.
    pub(crate) fn new(setting: Setting<'a>, inside: Inside) -> Acted<Self> {
        let Setting { subject, environment, private, style } = setting;
        let mut set = SigSet::empty();
        set.add(Signal::SIGCHLD);
        system("blocking SIGCHLD", set.thread_block())?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        let children = system("signalfd", SignalFd::with_flags(&set, flags))?;
        let mut world = World {
            subject,
            private,
            environment,
            style,
            inside,
            init: nix::unistd::getpid().as_raw(),
            children,
            exits: BTreeMap::new(),
            bystanders: Vec::new(),
            logins: Vec::new(),
            launcher: None,
            tracer: None,
            lulls: None,
            spins: events::Spins::default(),
            listeners: Vec::new(),
            notify_socket: None,
            manager: None,
            main: None,
            pidfile: subject.pidfile.clone(),
            log: subject.log.clone(),
            seen: Vec::new(),
            residue: Vec::new(),
            awaits_pidfile: true,
            awaits_notice: true,
            is_patient: false,
            waited_in_vain: false,
            came_up_at_once: false,
            comes_up_at_once: false,
            known_members: BTreeSet::new(),
            launch_patience: 1,
            launcher_hangs: false,
            pulse: None,
            stalls: patience::Stalls::new(),
            counted: Instant::now(),
            is_brief: false,
            restless: false,
        };
        if !world.is_isolated() {
            world.residue =
                [&subject.pidfile, &subject.log].into_iter().flatten().filter(|p| !p.exists()).cloned().collect();
            world.residue.push(private.to_owned());
            system("making a private directory", fs::create_dir(private))?;
        }
        Ok(world)
    }

    /// Writes the subject's files below `{dir}`, and runs its setup line, if it has one.
    pub(crate) fn set_up(&mut self) -> Acted {
        for (name, content) in &self.subject.files {
            let path = self.private.join(name);
            let parent = path.parent().map_or(Ok(()), fs::create_dir_all);
            system(name, parent.and_then(|()| fs::write(&path, content)))?;
        }
        if self.style == Style::NewStyle && self.subject.ready.contains(&Ready::Notify) {
            self.listen_for_notices()?;
        }
        let Some(line) = &self.subject.setup else { return Ok(()) };
        match self.shell_line(line)? {
            (Some(Exit::Status(0)), _) => {
                self.bystanders = observe::descendants();
                Ok(())
            }
            (ended, said) => {
                Err(Halt::Setup(ended.map_or("no status in time".to_owned(), |exit| exit.to_string()), said))
            }
        }
    }

    /// Everything seen so far. On the machine itself all that was started is ended, and what it wrote where it was told to
    /// is removed; in a sandbox that goes with the sandbox.
    pub(crate) fn finish(mut self) -> Vec<(String, Seen)> {
        self.record_later_output();
        self.record_notices();
        if !self.is_isolated() {
            sandbox::end_descendants();
            for path in &self.residue {
                let _ = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
            }
        }
        self.seen
    }

    /// Records something seen.
    pub(crate) fn record(&mut self, name: &str, seen: Seen) {
        self.seen.push((name.to_owned(), seen));
    }

    /// Records that a part could not be carried out.
    pub(crate) fn unseen(&mut self, name: &str, why: Unseen) {
        self.record(name, Seen::Unseen(why));
    }

    /// Records what is at `path` now.
    pub(crate) fn record_file(&mut self, name: &str, path: &Path) {
        self.record(name, Seen::File(observe::files::seen(path)));
    }

    /// The directory that the subject is started from.
    pub(crate) fn launch_directory(&self) -> &Path {
        &self.inside.launch_directory
    }

    /// Why a start cannot be traced, if it cannot.
    pub(crate) fn why_untraced(&self) -> Option<Unseen> {
        let may = cfg!(any(target_arch = "x86_64", target_arch = "aarch64"))
            && (self.is_isolated() || nix::unistd::geteuid().is_root())
            && sys::ptrace::may_filter();
        (!may).then(|| Unseen::Skip("tracing needs x86-64 or AArch64, and a sandbox or root".to_owned()))
    }

    /// Whether a file may be changed, or something be put in its place: on the machine itself only what was not there before
    /// and is removed again.
    pub(crate) fn may_change(&self, path: &Path) -> Result<(), Unseen> {
        if self.is_isolated() || self.residue.iter().any(|own| own == path) {
            return Ok(());
        }
        Err(Unseen::Skip(format!("{} is the machine's own; changing it needs a sandbox", path.display())))
    }

    /// Whether the sandbox has a file system of its own, in which mounts may be changed.
    pub(crate) fn is_isolated(&self) -> bool {
        self.inside.root.is_some()
    }

    /// Records that the daemon is gone although nothing had been done to it, if it once was there.
    pub(crate) fn record_end_by_itself(&mut self) {
        if let Some(pid) = self.main.take().map(|main| main.pid) {
            let ended = self.exit_of(pid).unwrap_or_default();
            let treatment = Treatment { delivered: true, at_rest: true, main: pid, survived: false, ended };
            self.record(BY_ITSELF, Seen::Treatment(treatment));
        }
    }

    /// Moves what the terminals showed after their launchers' end into the record.
    fn record_later_output(&mut self) {
        for index in 0..self.logins.len() {
            self.logins[index].drain();
            let output = self.logins[index].terminal.after.output();
            self.record("terminal", Seen::Output(output));
            for (name, pipe) in ["stdout", "stderr"].into_iter().zip(0..) {
                let output = self.logins[index].pipes[pipe].as_ref().map(|pipe| pipe.sink.output());
                if let Some(output) = output {
                    self.record(name, Seen::Output(output));
                }
            }
        }
    }
}
