//! Looking: whether all is at rest, which processes there are, which of them is the daemon, what its files hold.

use super::events::is_readable;
use super::patience::Deadline;
use super::{Acted, MainProcess, World};
use crate::observation::{
    AT_ONCE, Descriptor, FileKind, FileSeen, Look, Pid, Pipes, Process, Seen, Style, Text, Unseen,
};
use crate::observe::{self, Limit, Pulse, Turns, files};
use crate::subject::Ready;
use crate::sys;
use std::collections::BTreeSet;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Duration;

/// Which part of the deadline a subject gets to come to rest that has already used a whole one up.
const RESTLESS: u32 = 20;
/// How long pauses are let pass where one follows another, or processes come and go.
pub(super) const LONGEST_PAUSES: Duration = Duration::from_secs(3);

/// What something is done to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Treated {
    Terminal,
    Daemon,
}

/// How the subject's threads slept at one moment.
pub(super) struct Stillness {
    pulse: Option<Pulse>,
    places: BTreeSet<String>,
    /// Whether nothing that is done to the terminal can reach it: no process is in its session or has it open.
    is_out_of_reach: bool,
}

impl World<'_> {
    /// The subject's processes: all descendants of init but the shells and their canaries.
    pub(super) fn member_pids(&self) -> Vec<Pid> {
        let mut pids = observe::descendants();
        pids.retain(|pid| !self.bystanders.contains(pid));
        pids.retain(|pid| !self.logins.iter().any(|l| l.shell == *pid || l.canaries.contains(pid)));
        pids
    }

    /// Reads twice how the threads of `members` sleep, but for those that init holds; says whether that proves that they rest.
    ///
    /// Close together, so that a daemon that wakes up every millisecond is caught between two turns; and listed anew each
    /// time, since who is born between a list and its reading is in no reading.
    pub(super) fn read_pulse(&self, members: impl Fn(&Self) -> Vec<Pid>) -> (Pulse, bool) {
        let quiet = self.quiet();
        let first = observe::pulse(&members(self), &quiet);
        let second = observe::pulse(&members(self), &quiet);
        // Who waits for the end of a tracee waits for init, too: it is the first to be told.
        let rests = second.proves_rest(&first) && (self.tracer.is_none() || !sys::ptrace::is_any_waiting());
        (second, rests)
    }

    /// Waits until no thread of any member runs; says whether that was before the deadline.
    pub(super) fn rest(&mut self, deadline: Deadline) -> Acted<bool> {
        self.pulse = None;
        let deadline = if self.restless { self.sooner(deadline, self.subject.timeout / RESTLESS) } else { deadline };
        let rests = self.await_that(deadline, |world| {
            let (pulse, rests) = world.read_pulse(World::member_pids);
            world.pulse = Some(pulse);
            Ok(rests)
        })?;
        self.restless |= !rests;
        Ok(rests)
    }

    /// Whether none of those that were last seen to rest will wake by time alone before the deadline, nor has since.
    pub(super) fn sleeps_beyond(&self, deadline: Deadline) -> bool {
        let left = self.left(deadline).unwrap_or_default();
        self.pulse.as_ref().is_some_and(|pulse| Turns::default().have_passed_within(pulse, left))
    }

    /// Waits until the start has come to its end: at rest, and ready as far as the subject says what that is. Where nobody
    /// wakes by time alone before the deadline, nothing more can come, and it is taken as it is. Of a subject that was ready at
    /// once when nothing hindered it, the same is said when all who wake have gone round in a loop for as long as pauses take.
    pub(crate) fn settle(&mut self) -> Acted<bool> {
        let (deadline, pauses) = (self.deadline(), self.within(LONGEST_PAUSES));
        let mut turns = Turns::default();
        let (mut at_rest, mut at_once, mut only_turns) = (false, None, false);
        let settled = self.await_that(deadline, |world| {
            at_rest = world.rest(deadline)?;
            let members = world.member_pids();
            let ready = world.shows_ready(&members) && (!world.awaits_notice || world.has_said_ready());
            at_once.get_or_insert(at_rest && ready && !members.is_empty());
            if !at_rest || members.is_empty() || ready || world.sleeps_beyond(deadline) {
                return Ok(true);
            }
            let left = world.left(deadline).unwrap_or_default();
            let turned = world.pulse.as_ref().is_some_and(|pulse| turns.have_passed_within(pulse, left));
            only_turns = turned && world.comes_up_at_once && world.is_over(pauses);
            Ok(only_turns)
        })?;
        self.came_up_at_once = at_once.unwrap_or_default();
        let in_vain = !settled || only_turns;
        self.waited_in_vain |= in_vain;
        // Nobody waits twice for a word that does not come.
        self.awaits_notice &= !in_vain;
        Ok(at_rest)
    }

    /// Whether all that can be seen from outside of what was declared to mean "ready" holds.
    pub(super) fn shows_ready(&self, members: &[Pid]) -> bool {
        self.shows_ready_of(self.subject.pidfile.as_deref().filter(|_| self.awaits_pidfile), members)
    }

    /// The same, with that PID file.
    pub(super) fn shows_ready_of(&self, pidfile: Option<&std::path::Path>, members: &[Pid]) -> bool {
        pidfile.is_none_or(|path| files::number_in(path).is_some_and(|pid| observe::is_among(pid, members)))
            && self.serves()
    }

    /// Whether all that `--ready` declares is there; the subject's own word is another matter.
    pub(super) fn serves(&self) -> bool {
        self.subject.ready.iter().all(is_there)
    }

    /// Whether a process of the last launch may be in the middle of something, asleep as all may be. A PID file that names
    /// one of them says that the start is done; the clean start is not taken at its word.
    fn may_not_be_done(&self) -> bool {
        let new: Vec<Pid> = self.member_pids().into_iter().filter(|pid| !self.known_members.contains(pid)).collect();
        let named = self.pidfile.as_deref().and_then(files::number_in);
        !new.is_empty() && (self.is_patient || !named.is_some_and(|pid| observe::is_among(pid, &new)))
    }

    /// Waits until `done`, or until nothing that runs can bring it about any more before the deadline: all is at rest, and
    /// whatever wakes up by itself has had its turn. Says whether it is done.
    pub(super) fn await_turns(
        &mut self,
        deadline: Deadline,
        mut done: impl FnMut(&mut Self) -> Acted<bool>,
    ) -> Acted<bool> {
        let mut turns = Turns::default();
        let mut is_done = false;
        self.await_that(deadline, |world| {
            let at_rest = world.rest(deadline)?;
            let left = world.left(deadline).unwrap_or_default();
            let passed = match world.pulse.as_ref().filter(|_| at_rest) {
                Some(pulse) => turns.have_passed_within(pulse, left),
                // What never rests has been watched up to the deadline, or once was.
                None => true,
            };
            // Only now: what was done up to that moment of rest has arrived.
            world.pump()?;
            is_done = done(world)?;
            Ok(is_done || passed)
        })?;
        Ok(is_done)
    }

    /// Lets every short pause run out once, so that a `sleep(1)` within the start is not taken for its end, and a child that
    /// has ended is reaped when its parent's turn comes.
    pub(super) fn let_pauses_pass(&mut self) -> Acted {
        let deadline = self.sooner(self.deadline(), LONGEST_PAUSES);
        let mut turns = Turns::default();
        self.await_that(deadline, |world| {
            let at_rest = world.rest(deadline)?;
            world.catch_up_with_end()?;
            let Some(pulse) = world.pulse.as_ref().filter(|_| at_rest) else { return Ok(true) };
            let members = world.member_pids();
            let passed = turns.have_passed(pulse);
            Ok(passed && (turns.none() || !observe::processes(&members).iter().any(Process::is_zombie)))
        })?;
        Ok(())
    }

    /// How all is at rest now, to be compared with later.
    pub(super) fn stillness(&mut self, of: Treated) -> Acted<Stillness> {
        let deadline = self.deadline();
        self.rest(deadline)?;
        let places = observe::waits(&self.member_pids()).into_iter().map(|w| w.place).collect();
        let shell = self.logins.last().map_or(0, |login| login.shell);
        let terminal = self.logins.last().map_or(0, |login| login.terminal.device);
        let near = |p: &Process| {
            let holds =
                |d: &Descriptor| d.kind == FileKind::Terminal && (d.rdev == terminal || d.rdev == libc::makedev(5, 0));
            p.session == shell || p.descriptors.as_ref().is_none_or(|descriptors| descriptors.iter().any(holds))
        };
        let is_out_of_reach = of == Treated::Terminal && !observe::processes(&self.member_pids()).iter().any(near);
        Ok(Stillness { pulse: self.pulse.clone(), places, is_out_of_reach })
    }

    /// Waits until the subject has done all that something done to it brings about; says whether that was before the
    /// deadline.
    ///
    /// Where no thread ran, nothing reached it. Else its main loop may find a flag that a handler has set when its wait
    /// runs out, so every short wait gets its turn; and while a thread sleeps where none slept before, it may be on its way
    /// out, and a longer wait is waited for too.
    pub(super) fn come_to_rest_after(&mut self, before: &Stillness) -> Acted<bool> {
        let (deadline, pauses) = (self.deadline(), self.within(LONGEST_PAUSES));
        let mut turns = Turns::default();
        let mut at_rest = false;
        self.await_that(deadline, |world| {
            at_rest = world.rest(deadline)?;
            if !at_rest {
                // A busy daemon never rests; that no signal waits for it any more says as much.
                at_rest = world.main.as_ref().is_some_and(|main| !observe::has_pending_signals(main.pid));
                return Ok(true);
            }
            let Some(pulse) = world.pulse.as_ref().filter(|_| world.main_lives()) else { return Ok(true) };
            // A signal that is blocked while the main loop waits comes through at its next turn, though nothing ran so far.
            let waits_for_its_turn =
                || world.main.as_ref().is_some_and(|main| !observe::pending_signals(main.pid).is_empty());
            if before.is_out_of_reach || before.pulse.as_ref() == Some(pulse) && !waits_for_its_turn() {
                return Ok(true);
            }
            let waits = observe::waits(&world.member_pids());
            let elsewhere = waits.iter().any(|wait| !before.places.contains(&wait.place));
            let left = world.left(deadline).unwrap_or_default();
            let long = waits.iter().any(|wait| match wait.limit {
                Limit::Within(limit) => !wait.is_short() && limit <= left,
                Limit::Unknown => true,
                Limit::None => false,
            });
            // Where processes come and go there are always new places.
            let passed = turns.have_passed(pulse) || world.is_over(pauses);
            Ok(passed && !(elsewhere && long))
        })?;
        Ok(at_rest)
    }

    /// Looks around once the start has settled, and remembers which process is the daemon.
    pub(crate) fn look(&mut self, name: &str) -> Acted<Look> {
        let at_rest = self.settle()?;
        let mut late = false;
        if self.may_not_be_done() {
            let before = streams(&observe::processes(&self.member_pids()));
            self.let_pauses_pass()?;
            late = self.is_patient && before != streams(&observe::processes(&self.member_pids()));
        }
        self.look_now(name, at_rest, late)
    }

    /// Looks around as things are, which is known to be `at_rest` or not, and to have become so `late` or not.
    pub(super) fn look_now(&mut self, name: &str, at_rest: bool, late: bool) -> Acted<Look> {
        self.catch_up_with_errors();
        self.catch_up_with_end()?;
        let members = observe::processes(&self.member_pids());
        let alive: Vec<Pid> = members.iter().filter(|p| !p.is_zombie()).map(|p| p.pid).collect();
        if self.pidfile.is_none() {
            let started = self.service();
            let top = observe::main_of(&members, None, started, self.init).map(|(pid, _)| pid);
            self.discover_pidfile(&alive, top);
        }
        let pidfile = self.pidfile.as_deref().map(files::seen);
        let main = observe::main_of(&members, pidfile.as_ref().and_then(FileSeen::number), self.service(), self.init);
        let pidfd = main.and_then(|(pid, _)| sys::pidfd_open(nix::unistd::Pid::from_raw(pid)).ok());
        self.main = main.zip(pidfd).map(|((pid, _), pidfd)| MainProcess { pid, pidfd });
        if self.log.is_none() {
            self.log = main.and_then(|(pid, _)| log_of(members.iter().find(|p| p.pid == pid)?));
        }
        let log = self.log.as_deref().map(files::seen);
        let pidfile_directories = self.pidfile.as_deref().map(files::directories_above).unwrap_or_default();
        let listeners = observe::listeners(&members);
        let ready = self.serves();
        let look = Look { at_rest, late, ready, members, main, pidfile, pidfile_directories, log, listeners };
        self.known_members = look.members.iter().map(|p| p.pid).collect();
        self.record(name, Seen::Look(Box::new(look.clone())));
        Ok(look)
    }

    /// The files that anybody may write, of those that were written; without a file system of its own, nobody can tell.
    pub(crate) fn files_anybody_may_write(&self) -> Vec<FileSeen> {
        let written = self.inside.root.as_ref().map(|root| root.written.as_fd());
        written.map(files::that_anybody_may_write).unwrap_or_default()
    }

    /// Records those that were not there `before`.
    pub(crate) fn look_for_files_anybody_may_write(&mut self, name: &str, before: &[FileSeen]) {
        if !self.is_isolated() {
            let why = "finding the files it creates needs a sandbox".to_owned();
            return self.unseen(name, Unseen::Skip(why));
        }
        let mut found = self.files_anybody_may_write();
        found.retain(|file| !before.iter().any(|old| old.path == file.path));
        self.record(name, Seen::Writable(found));
    }

    /// Looks who holds the pipes that were the last start's standard output and error.
    pub(crate) fn look_at_pipes(&mut self, name: &str) -> Acted {
        self.pump()?;
        let Some(login) = self.logins.last() else { return Ok(()) };
        let ends = login.pipes.each_ref().map(|pipe| pipe.as_ref().and_then(|p| p.file.metadata().ok()));
        let ended = login.pipes.each_ref().map(|pipe| pipe.as_ref().is_none_or(|p| p.ended));
        let is_ours =
            |d: &&Descriptor| ends.iter().flatten().any(|meta| (d.device, d.inode) == (meta.dev(), meta.ino()));
        let holders = observe::processes(&self.member_pids());
        let holders =
            holders.iter().flat_map(|p| p.descriptors.iter().flatten().filter(is_ours).map(|d| (p.pid, d.fd)));
        let holders = holders.collect();
        self.record(name, Seen::Pipes(Pipes { ended, holders }));
        Ok(())
    }

    /// Records whether the start that was looked at last had come to its end when it first rested.
    pub(crate) fn tell_whether_at_once(&mut self) {
        self.record(AT_ONCE, Seen::Fact(self.came_up_at_once));
    }

    /// Records whether the daemon comes to rest.
    pub(crate) fn look_whether_it_rests(&mut self, name: &str) -> Acted {
        let deadline = self.deadline();
        let rests = self.rest(deadline)?;
        self.record(name, Seen::Fact(rests));
        Ok(())
    }

    /// The process that a supervisor started and that is to be the daemon.
    fn service(&self) -> Option<Pid> {
        self.launcher.as_ref().filter(|_| self.style == Style::NewStyle).map(|(pid, _)| *pid)
    }

    /// Adds to the last launch what was said on its standard error since the launcher has ended.
    fn catch_up_with_errors(&mut self) {
        let errors = self.logins.last().and_then(|login| login.pipes[1].as_ref()).map(|pipe| pipe.sink.output());
        let last = self.seen.iter_mut().rev().find_map(|(_, seen)| match seen {
            Seen::Launch(launch) => Some(launch),
            _ => None,
        });
        if let (Some(launch), Some(errors)) = (last, errors) {
            launch.errors = Some(errors);
        }
    }

    /// Looks for a PID file among all that was written, and says of earlier launches what it held when they ended.
    fn discover_pidfile(&mut self, survivors: &[Pid], top: Option<Pid>) {
        let Some(root) = &self.inside.root else { return };
        let Some(path) = files::discover(&files::that_hold_a_pid(root.written.as_fd()), survivors, top) else { return };
        for (_, seen) in &mut self.seen {
            if let Seen::Launch(launch) = seen {
                let shown = Text::new(std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str()));
                let at_exit = launch.files_at_exit.iter().find(|f| f.path == shown).cloned();
                launch.pidfile_at_exit = launch.ended.map(|_| at_exit.unwrap_or(FileSeen { path: shown, found: None }));
            }
        }
        self.pidfile = Some(path);
    }

    /// Whether the main process that was last seen still lives.
    pub(crate) fn main_lives(&self) -> bool {
        self.main.as_ref().is_some_and(|main| !is_readable(main.pidfd.as_fd()))
    }
}

/// Whether one of the things that `--ready` declares is there; a word cannot be looked at.
pub(super) fn is_there(ready: &Ready) -> bool {
    match ready {
        Ready::Tcp(address) => observe::listens(*address),
        Ready::Unix(path) => files::seen(path).found.is_some_and(|f| f.kind == FileKind::Socket),
        Ready::File(path) => path.exists(),
        Ready::Notify => true,
    }
}

/// What the processes' standard streams lead to.
fn streams(processes: &[Process]) -> Vec<(Pid, i32, Text)> {
    let of = |p: &Process| {
        let standard = p.descriptors.iter().flatten().filter(|d| d.fd <= 2);
        standard.map(|d| (p.pid, d.fd, d.target.clone())).collect::<Vec<_>>()
    };
    processes.iter().flat_map(of).collect()
}

/// The file that a process writes its output to, if it is one.
fn log_of(process: &Process) -> Option<PathBuf> {
    [1, 2].into_iter().find_map(|fd| {
        let descriptor = process.descriptor(fd)?;
        let path = descriptor.target.as_str();
        let is_log = descriptor.kind == FileKind::Regular && descriptor.writable && !path.ends_with(" (deleted)");
        is_log.then(|| PathBuf::from(path))
    })
}
