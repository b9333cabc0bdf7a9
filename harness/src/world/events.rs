//! Waiting: for the end of a child, for output, for something that only looking again can tell.

use super::patience::Deadline;
use super::systemd::Manager;
use super::{Acted, Halt, World};
use crate::observation::{Exit, Pid};
use crate::observe;
use crate::sys;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

/// More processes than this, and the subject counts as forking without end.
const MOST_PROCESSES: usize = 3000;
/// How often that is looked at.
const COUNT_EVERY: Duration = Duration::from_millis(10);
/// The pause between two looks at what has no event: doubled from the first to the last while nothing changes.
const FIRST_PAUSE: Duration = Duration::from_micros(100);
const LAST_PAUSE: Duration = Duration::from_millis(10);
/// While one stop of a tracee follows another, init sleeps in waitpid(2), of which the kernel knows that whoever wakes it
/// goes to sleep: it then lets both have the same processor. This is how often it looks whether that goes on.
const LULL: Duration = Duration::from_micros(500);
/// How long init looks for the next stop without going to sleep, where that pays.
const SPIN: Duration = Duration::from_micros(30);
/// For how many stops it sleeps at once after it has looked in vain: doubled up to the last each time in a row.
const FEWEST_SLEEPS: u32 = 2;
const MOST_SLEEPS: u32 = 128;
/// How long a turn of stops may go on.
const LONGEST_TURN: Duration = Duration::from_millis(20);

/// Whether init looks for a tracee's next stop or sleeps until then. Where a processor is idle, waking up takes longer;
/// where none is, the tracee may need the one on which init looks. Which it is shows in whether the stop comes.
#[derive(Debug, Default)]
pub(super) struct Spins {
    /// For how many stops to sleep next time that it has not come.
    sleeps: u32,
    /// For how many more of them to do so now.
    left: u32,
}

impl Spins {
    /// The next child or tracee that has changed; `None` where there was a lull.
    fn await_change(&mut self) -> Option<(Pid, libc::c_int)> {
        if self.left > 0 {
            self.left -= 1;
            return sys::ptrace::await_any();
        }
        let began = Instant::now();
        while began.elapsed() < SPIN {
            if let Some(change) = sys::ptrace::wait_any() {
                self.sleeps = FEWEST_SLEEPS;
                return Some(change);
            }
        }
        self.left = self.sleeps;
        self.sleeps = (self.sleeps * 2).clamp(FEWEST_SLEEPS, MOST_SLEEPS);
        sys::ptrace::await_any()
    }
}

impl World<'_> {
    /// Takes in what has happened: output, ended children, the caller's end.
    pub(super) fn pump(&mut self) -> Acted {
        for login in &mut self.logins {
            login.drain();
        }
        self.hear();
        self.manager.iter_mut().for_each(Manager::hear);
        while matches!(self.children.read_signal(), Ok(Some(_))) {}
        self.take_in_changes();
        if let Some(orphaned) = &self.inside.orphaned
            && is_readable(orphaned.as_fd())
        {
            return Err(Halt::Orphaned);
        }
        // Listing all processes is the dearest part of waiting, and needed only now and then.
        if self.counted.elapsed() < COUNT_EVERY {
            return Ok(());
        }
        self.counted = Instant::now();
        let count = if self.is_isolated() { observe::all_pids().len() } else { observe::descendants().len() };
        if count > MOST_PROCESSES { Err(Halt::TooManyProcesses(count)) } else { Ok(()) }
    }

    /// Takes in children that have ended, and tracees that have stopped; of those usually one stop follows another, and
    /// whoever waits for something else is only asked where none does, the launcher has ended, or somebody is held.
    fn take_in_changes(&mut self) {
        let mut last = None;
        while let Some((pid, status)) = sys::ptrace::wait_any() {
            last = self.take_in_change(pid, status).then_some(pid);
        }
        let Some(lulls) = self.lulls.as_mut().filter(|_| last.is_some()) else { return };
        lulls.begin(LULL);
        let began = Instant::now();
        let mut since = began;
        while let Some(tid) = last
            && began.elapsed() < LONGEST_TURN
        {
            last = match self.spins.await_change() {
                Some((pid, status)) => {
                    since = Instant::now();
                    self.take_in_change(pid, status).then_some(pid)
                }
                // The first lull may have begun long before the last stop; and who waits for a processor will stop again.
                None => (since.elapsed() < LULL / 2 || observe::runs(tid)).then_some(tid),
            };
        }
        self.lulls.iter_mut().for_each(sys::Lulls::end);
    }

    /// Takes in one of them; says whether the next will be a tracee's stop, as far as that can be told.
    fn take_in_change(&mut self, pid: Pid, status: libc::c_int) -> bool {
        let exit = if libc::WIFEXITED(status) {
            Exit::Status(libc::WEXITSTATUS(status))
        } else if libc::WIFSIGNALED(status) {
            Exit::Signal(libc::WTERMSIG(status))
        } else {
            let Some(tracer) = &mut self.tracer else { return false };
            tracer.stopped(pid, status);
            let more = !tracer.is_holding();
            self.note_readiness();
            return more;
        };
        self.exits.insert(pid, exit);
        self.tracer.as_mut().is_some_and(|tracer| tracer.ended(pid, exit))
    }

    /// Sleeps until something happens, or `pause` is over. `also` is one more descriptor to watch.
    pub(super) fn sleep(&self, also: Option<BorrowedFd<'_>>, pause: Duration) {
        let mut fds = vec![PollFd::new(self.children.as_fd(), PollFlags::POLLIN)];
        fds.extend(self.inside.orphaned.iter().map(|fd| PollFd::new(fd.as_fd(), PollFlags::POLLIN)));
        for login in &self.logins {
            fds.extend(login.terminal.master.iter().map(|m| PollFd::new(m.as_fd(), PollFlags::POLLIN)));
            let open = login.pipes.iter().flatten().filter(|pipe| !pipe.ended);
            fds.extend(open.map(|pipe| PollFd::new(pipe.file.as_fd(), PollFlags::POLLIN)));
        }
        fds.extend(self.notify_socket.iter().map(|socket| PollFd::new(socket.as_fd(), PollFlags::POLLIN)));
        fds.extend(self.manager.iter().map(|manager| PollFd::new(manager.as_fd(), PollFlags::POLLIN)));
        fds.extend(also.map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
        let time = nix::sys::time::TimeSpec::from_duration(pause);
        let _ = nix::poll::ppoll(&mut fds, Some(time), None);
    }

    /// Waits for `also` to become readable; says whether it did before the deadline (see [`Deadline`]).
    pub(super) fn await_readable(&mut self, also: BorrowedFd<'_>, deadline: Deadline) -> Acted<bool> {
        self.begin_to_wait();
        loop {
            self.pump()?;
            if is_readable(also) {
                return Ok(true);
            }
            let Some(left) = self.left(deadline) else { return Ok(false) };
            // A terminal that only hung up stays readable; the short pause keeps that from spinning.
            self.sleep(Some(also), left.min(Duration::from_millis(20)));
            self.go_on_waiting(deadline)?;
        }
    }

    /// Waits until `done` says so; says whether that was before the deadline.
    pub(super) fn await_that(
        &mut self,
        deadline: Deadline,
        mut done: impl FnMut(&mut Self) -> Acted<bool>,
    ) -> Acted<bool> {
        let mut pause = FIRST_PAUSE;
        self.begin_to_wait();
        loop {
            self.pump()?;
            if done(self)? {
                return Ok(true);
            }
            let Some(left) = self.left(deadline) else { return Ok(false) };
            self.sleep(None, left.min(pause));
            self.go_on_waiting(deadline)?;
            pause = (pause * 2).min(LAST_PAUSE);
        }
    }
}

pub(super) fn is_readable(fd: BorrowedFd<'_>) -> bool {
    matches!(poll(&mut [PollFd::new(fd, PollFlags::POLLIN)], PollTimeout::ZERO), Ok(n) if n > 0)
}
