//! Tracing a start, and holding it at a point until the rest has done what it can.

use super::events::is_readable;
use super::launching::Start;
use super::looking::LONGEST_PAUSES;
use super::patience::Deadline;
use super::{Acted, World, system};
use crate::observation::{Exit, FileSeen, Instances, Pid, Seen, Style};
use crate::observe::{self, Limit, files};
use crate::sys;
use crate::trace::{Plan, Tracer};
use nix::sys::signal::Signal;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

/// Most launchers have ended by then; only after that is it looked at what the others do.
const USUALLY: Duration = Duration::from_millis(200);

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
    /// Whether all that `--ready` declares was there when the launcher had ended.
    pub(crate) serves: bool,
    /// What was left of two starts.
    pub(crate) instances: Option<Instances>,
}

impl World<'_> {
    /// Threads that are stopped by init's doing, or for good.
    pub(super) fn quiet(&self) -> Vec<Pid> {
        self.tracer.iter().flat_map(Tracer::quiet).collect()
    }

    /// Notes when all that was declared to mean "ready" is first there; asked after each call that may have brought it about.
    pub(super) fn note_readiness(&mut self) {
        let Some(tracer) = &mut self.tracer else { return };
        let Some(at) = tracer.take_news() else { return };
        if tracer.is_ready() || (self.pidfile.is_none() && self.subject.ready.is_empty()) {
            return;
        }
        let pids = tracer.live_pids();
        let is_ready = self.shows_ready_of(self.pidfile.as_deref(), &pids);
        if let Some(tracer) = self.tracer.as_mut().filter(|_| is_ready) {
            tracer.note_ready(at);
        }
    }

    /// Records the trace of the start that was looked at as `name`, up to now.
    pub(crate) fn record_trace(&mut self, name: &str, at_rest: bool) -> Acted {
        self.pump()?;
        let main = self.main.as_ref().map(|main| main.pid);
        if let Some(tracer) = &mut self.tracer {
            let mut trace = tracer.finish(main, at_rest);
            // A PID file that was only found now: it was there when the last call on it returned.
            if let Some(path) =
                self.pidfile.as_deref().filter(|_| trace.ready.is_none() && self.subject.ready.is_empty())
            {
                trace.ready = trace.completion_of(&[path.to_owned()]).map(|(event, _)| event.at);
            }
            self.record(name, Seen::Trace(Box::new(trace)));
        }
        Ok(())
    }

    /// Whether the traced start has come to the place at which something was to be done.
    pub(crate) fn has_reached(&self) -> bool {
        self.tracer.as_ref().is_some_and(Tracer::has_reached)
    }

    /// Whether nobody but who is held will do anything by itself before the deadline.
    fn only_waits(&self, deadline: Deadline) -> bool {
        if self.tracer.as_ref().is_some_and(|tracer| tracer.will_be_woken(self.moment(deadline))) {
            return false;
        }
        let quiet = self.quiet();
        let (_, rests) = self.read_pulse(World::member_pids);
        rests && self.member_pids().iter().all(|pid| self.waits_beyond(*pid, &quiet, deadline))
    }

    /// Whether no thread of the process, but for those that are kept `quiet`, will wake by time alone before the deadline.
    fn waits_beyond(&self, pid: Pid, quiet: &[Pid], deadline: Deadline) -> bool {
        let left = self.left(deadline).unwrap_or_default();
        observe::waits(&[pid]).iter().filter(|wait| !quiet.contains(&wait.thread.1)).all(|wait| match wait.limit {
            Limit::None => true,
            Limit::Within(limit) => limit > left,
            Limit::Unknown => false,
        })
    }

    /// Waits until the traced start is held at its place; says who is, or nobody where the start is over without coming there.
    fn await_hold(&mut self, launcher: BorrowedFd<'_>, deadline: Deadline) -> Acted<Option<Pid>> {
        let in_background = self.style == Style::SysV;
        self.await_that(deadline, |world| {
            let has_ended = is_readable(launcher);
            // Its shell would not keep it waiting, and somebody may wait for that.
            if has_ended && in_background && world.launcher.is_some() {
                world.reap_launcher()?;
            }
            Ok(world.is_holding() || ((has_ended || !in_background) && world.only_waits(deadline)))
        })?;
        Ok(self.tracer.as_ref().and_then(Tracer::held_process))
    }

    fn is_holding(&self) -> bool {
        self.tracer.as_ref().is_some_and(Tracer::is_holding)
    }

    /// Waits until `launcher` has ended, or nobody but who is held will do anything any more; says whether it has ended.
    pub(super) fn await_end_or_wait(&mut self, launcher: BorrowedFd<'_>, deadline: Deadline) -> Acted<bool> {
        self.await_that(deadline, |world| Ok(is_readable(launcher) || world.only_waits(deadline)))?;
        Ok(is_readable(launcher))
    }

    /// Waits until `launcher` has ended, or nobody has done anything for as long as pauses take, nor will by the deadline. What
    /// is not traced may have set an alarm, which nobody sees.
    pub(super) fn await_end_or_long_wait(&mut self, launcher: BorrowedFd<'_>, deadline: Deadline) -> Acted<bool> {
        if self.await_readable(launcher, self.sooner(deadline, USUALLY))? {
            return Ok(true);
        }
        let mut pauses = self.within(LONGEST_PAUSES);
        self.await_that(deadline, |world| {
            if !world.only_waits(deadline) {
                pauses = world.within(LONGEST_PAUSES);
            }
            Ok(is_readable(launcher) || world.is_over(pauses))
        })?;
        Ok(is_readable(launcher))
    }

    /// Holds whoever leaves the launcher's session until the launcher has ended, or sleeps and will not wake by time alone
    /// before the deadline: then it waits for who is held. The launcher's own end waits until somebody is held, or all
    /// others are at rest, so that nobody will be.
    pub(super) fn let_go_in_the_worst_order(
        &mut self,
        launcher: Pid,
        pidfd: BorrowedFd<'_>,
        deadline: Deadline,
    ) -> Acted {
        self.await_that(deadline, |world| {
            if is_readable(pidfd) {
                return Ok(true);
            }
            let held = world.tracer.as_ref().map(Tracer::held_processes).unwrap_or_default();
            let ends = held.contains(&launcher);
            let is_leaving = held.iter().any(|pid| *pid != launcher);
            if ends && (is_leaving || world.read_pulse(World::member_pids).1) {
                world.tracer.iter_mut().for_each(|tracer| tracer.let_go_of(launcher));
                return Ok(false);
            }
            let rests = || world.read_pulse(World::member_pids).1 && world.waits_beyond(launcher, &[], deadline);
            Ok(!ends && is_leaving && rests())
        })?;
        self.tracer.iter_mut().for_each(Tracer::let_all_go);
        Ok(())
    }

    pub(super) fn let_go(&mut self) {
        self.tracer.iter_mut().for_each(Tracer::let_go);
    }

    /// Starts the subject, which is held as its steering says; when its launcher has ended or is seen to wait, lets it go
    /// on, and records the start as `name`.
    pub(crate) fn launch_held(&mut self, name: &str, start: Start) -> Acted<Outcome> {
        let begun = self.begin(start)?;
        let until_birth = matches!(self.tracer.as_ref().map(Tracer::plan), Some(Plan::Birth(..)));
        self.await_that(begun.deadline, |world| {
            let has_ended = is_readable(begun.pidfd.as_fd());
            // A launcher that has ended before somebody came to his call has shown already that it does not wait for that.
            Ok(world.is_holding() || (has_ended && (!until_birth || world.only_waits(begun.deadline))))
        })?;
        let held = self.tracer.as_ref().and_then(Tracer::held_process);
        let mut outcome = Outcome { held, ..Outcome::default() };
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
        outcome.serves = self.serves();
        // Only now that the launcher's end has been looked at: who was held, or came to that call since, goes on.
        self.tracer.iter_mut().for_each(Tracer::let_all_go);
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
        let is_reaped = self.launcher.is_none();
        let second = self.begin(self.start())?;
        let (last, now) = (self.logins.len() - 1, self.deadline());
        // It may itself wait for a lock that the first one has.
        outcome.waited = !self.await_end_or_wait(second.pidfd.as_fd(), now)?;
        if !outcome.waited {
            self.reap(last, second.launcher)?;
            self.settle_without_pidfile()?;
        }
        self.let_go();
        let deadline = self.deadline();
        for (login, begun) in [(last - 1, &first), (last, &second)] {
            let has_ended = self.await_end_or_wait(begun.pidfd.as_fd(), deadline)?;
            let may_be_reaped = if login == last { outcome.waited } else { !is_reaped };
            if has_ended && may_be_reaped {
                self.reap(login, begun.launcher)?;
            }
        }
        self.launcher = None;
        // Whoever lost may need a while to notice, and so may what it begot.
        self.settle_without_pidfile()?;
        self.let_pauses_pass()?;
        self.pump()?;
        let traced = self.tracer.as_ref().map(Tracer::live_pids).unwrap_or_default();
        let live = observe::alive(&self.member_pids());
        let launchers = [first.launcher, second.launcher];
        let (first, other) = live.into_iter().partition(|pid| traced.contains(pid));
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
