//! Tracing a start, and holding it at a point until the rest has done what it can.

use super::events::is_readable;
use super::holding::waits_beyond;
use super::launching::Start;
use super::{Acted, World, system};
use crate::observation::{Exit, FileSeen, Instances, Pid, Seen, Style};
use crate::observe::{self, files};
use crate::sys;
use nix::sys::signal::Signal;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

/// What became of a start that was held.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// The process that was held, if the start came to that place.
    pub(crate) held: Option<Pid>,
    /// How the launcher ended meanwhile.
    pub(crate) meanwhile: Option<Exit>,
    /// Whether it was seen to wait: the launcher of this start, or of the one that overtook it.
    pub(crate) waited: bool,
    /// The PID file when that was over.
    pub(crate) pidfile: Option<FileSeen>,
    /// What was left of two starts.
    pub(crate) instances: Option<Instances>,
}

impl World<'_> {
    /// Threads that are stopped by init's doing, or for good.
    pub(super) fn quiet(&self) -> Vec<Pid> {
        self.tracer.iter().flat_map(|tracer| tracer.quiet()).collect()
    }

    /// Notes when all that was declared to mean "ready" is first there; asked after each call that may have brought it about.
    pub(super) fn note_readiness(&mut self) {
        let Some(tracer) = &mut self.tracer else { return };
        if !tracer.take_news() || tracer.is_ready() || (self.pidfile.is_none() && self.subject.ready.is_empty()) {
            return;
        }
        let pids = tracer.live_pids();
        let is_ready = self.shows_ready_of(self.pidfile.as_deref(), &pids);
        if let Some(tracer) = self.tracer.as_mut().filter(|_| is_ready) {
            tracer.note_ready();
        }
    }

    /// Records the trace of the start that was looked at as `name`, up to now.
    pub(crate) fn record_trace(&mut self, name: &str, at_rest: bool) -> Acted {
        self.pump()?;
        let main = self.main.as_ref().map(|main| main.pid);
        if let Some(tracer) = &mut self.tracer {
            let trace = tracer.finish(main, at_rest);
            self.record(name, Seen::Trace(Box::new(trace)));
        }
        Ok(())
    }

    /// Whether the traced start has come to the place at which something was to be done.
    pub(crate) fn has_reached(&self) -> bool {
        self.tracer.as_ref().is_some_and(|tracer| tracer.has_reached())
    }

    /// Whether nobody but who is held will do anything by itself before the deadline.
    fn only_waits(&self, deadline: Instant) -> bool {
        let quiet = self.quiet();
        let (_, rests) = self.read_pulse(World::member_pids);
        rests && self.member_pids().iter().all(|pid| waits_beyond(*pid, &quiet, deadline))
    }

    /// Waits until the traced start is held at its place; says who is, or nobody where the start is over without coming there.
    fn await_hold(&mut self, launcher: BorrowedFd<'_>, deadline: Instant) -> Acted<Option<Pid>> {
        let in_background = self.style == Style::SysV;
        self.await_that(deadline, |world| {
            let is_over = !in_background || is_readable(launcher);
            let is_held = world.tracer.as_ref().is_some_and(|tracer| tracer.is_holding());
            Ok(is_held || (is_over && world.only_waits(deadline)))
        })?;
        Ok(self.tracer.as_ref().and_then(|tracer| tracer.held_process()))
    }

    /// Waits until `launcher` has ended, or nobody but who is held will do anything any more; says whether it has ended.
    pub(super) fn await_end_or_wait(&mut self, launcher: BorrowedFd<'_>, deadline: Instant) -> Acted<bool> {
        self.await_that(deadline, |world| Ok(is_readable(launcher) || world.only_waits(deadline)))?;
        Ok(is_readable(launcher))
    }

    pub(super) fn let_go(&mut self) {
        self.tracer.iter_mut().for_each(|tracer| tracer.let_go());
    }

    /// Starts the subject, which is held as its steering says; when its launcher has ended or is seen to wait, lets it go
    /// on, and records the start as `name`.
    pub(crate) fn launch_held(&mut self, name: &str, start: Start) -> Acted<Outcome> {
        let begun = self.begin(start)?;
        let mut outcome = Outcome { held: self.await_hold(begun.pidfd.as_fd(), begun.deadline)?, ..Outcome::default() };
        if outcome.held.is_some() {
            let deadline = self.deadline();
            let ended = self.await_end_or_wait(begun.pidfd.as_fd(), deadline)?;
            outcome.pidfile = self.pidfile.as_deref().map(files::seen);
            outcome.waited = !ended;
            if !ended {
                self.let_go();
            }
        }
        let ended = self.see_through(name, super::launching::Begun { deadline: self.deadline(), ..begun })?;
        outcome.meanwhile = ended.filter(|_| outcome.held.is_some() && !outcome.waited);
        self.let_go();
        Ok(outcome)
    }

    /// Looks around without waiting for a PID file.
    pub(crate) fn look_as_is(&mut self, name: &str) -> Acted {
        self.awaits_pidfile = false;
        self.look(name).map(drop)
    }

    /// Starts the subject and holds it as its steering says; a second start overtakes it, and then it goes on.
    pub(crate) fn overtake(&mut self, start: Start) -> Acted<Outcome> {
        let first = self.begin(start)?;
        let mut outcome = Outcome { held: self.await_hold(first.pidfd.as_fd(), first.deadline)?, ..Outcome::default() };
        if outcome.held.is_none() {
            return Ok(outcome);
        }
        let second = self.begin(self.start())?;
        let deadline = self.deadline();
        // It may itself wait for a lock that the first one has.
        outcome.waited = !self.await_end_or_wait(second.pidfd.as_fd(), deadline)?;
        if !outcome.waited {
            self.settle_without_pidfile()?;
        }
        self.let_go();
        let deadline = self.deadline();
        for launcher in [&first.pidfd, &second.pidfd] {
            self.await_end_or_wait(launcher.as_fd(), deadline)?;
        }
        // Whoever lost may need a while to notice, and so may what it begot.
        self.settle_without_pidfile()?;
        self.let_pauses_pass()?;
        self.pump()?;
        let traced = self.tracer.as_ref().map(|tracer| tracer.live_pids()).unwrap_or_default();
        let live = observe::alive(&self.member_pids());
        let launchers = [first.launcher, second.launcher];
        let (first, other) = live.into_iter().partition(|pid| traced.contains(pid));
        if self.launcher.as_ref().is_some_and(|(_, pidfd)| is_readable(pidfd.as_fd())) {
            self.reap_launcher()?;
        }
        let exits = launchers.map(|launcher| self.exits.get(&launcher).copied());
        outcome.instances = Some(Instances { stale: false, first, other, exits });
        outcome.pidfile = self.pidfile.as_deref().map(files::seen);
        Ok(outcome)
    }

    fn settle_without_pidfile(&mut self) -> Acted {
        let awaits = std::mem::replace(&mut self.awaits_pidfile, false);
        self.settle()?;
        self.awaits_pidfile = awaits;
        Ok(())
    }

    /// Starts the subject up to the place at which its steering holds it; says who is held there.
    pub(crate) fn start_up_to(&mut self, start: Start) -> Acted<Option<Pid>> {
        let begun = self.begin(start)?;
        self.await_hold(begun.pidfd.as_fd(), begun.deadline)
    }

    /// Sends SIGTERM to a process that is held, and lets it go on; says whether it has ended of that.
    pub(crate) fn terminate(&mut self, pid: Pid) -> Acted<bool> {
        let pidfd = system("pidfd_open", sys::pidfd_open(nix::unistd::Pid::from_raw(pid)))?;
        let _ = sys::pidfd_send_signal(&pidfd, Signal::SIGTERM as i32);
        self.let_go();
        let deadline = self.deadline();
        // A launcher that waits for it keeps nobody alive: when all wait for each other, it has not ended.
        self.await_end_or_wait(pidfd.as_fd(), deadline)
    }

    /// Files with a process id in them, where no process is left that could still remove them.
    pub(crate) fn left_behind(&self) -> Vec<FileSeen> {
        match &self.inside.root {
            Some(root) if observe::alive(&self.member_pids()).is_empty() => {
                files::that_hold_a_pid(root.written.as_fd())
            }
            _ => Vec::new(),
        }
    }
}
