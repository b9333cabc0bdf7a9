//! Holding a system call of the subject's until what it races with has happened: the worst order, proven and not hoped for.
//!
//! The launcher's end is held, too, until a child's setsid(2) has come to the hold: a call that init has not yet received is
//! interrupted by a signal that has a handler, which the real setsid(2) never is (seccomp_unotify(2)).

use super::events::is_readable;
use super::{Acted, World};
use crate::observation::Pid;
use crate::observe::{self, Limit};
use crate::sys;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

/// Calls that wait for init's word (`sys::hold`).
pub(super) struct Hold {
    fd: OwnedFd,
    launcher: Pid,
    /// Calls of others' that would leave the launcher's session, and who made them.
    leaving: Vec<(u64, Pid)>,
    /// The launcher's call that ends it.
    ending: Option<u64>,
    /// Whether later calls are let go at once.
    is_over: bool,
}

impl Hold {
    pub(super) fn new(fd: OwnedFd, launcher: Pid) -> Self {
        Hold { fd, launcher, leaving: Vec::new(), ending: None, is_over: false }
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Takes in the calls that have come to the hold.
    pub(super) fn attend(&mut self) {
        while is_readable(self.fd.as_fd()) {
            // A caller that was killed meanwhile leaves nothing to receive.
            let Ok((ticket, thread, call)) = sys::next_held(&self.fd) else { return };
            let caller = observe::process_of(thread).unwrap_or(thread);
            match (caller == self.launcher, call) {
                (true, libc::SYS_exit_group) if !self.is_over => self.ending = Some(ticket),
                (false, libc::SYS_setsid) if !self.is_over => self.leaving.push((ticket, caller)),
                _ => sys::let_go(&self.fd, ticket),
            }
        }
    }

    fn let_launcher_end(&mut self) {
        if let Some(ticket) = self.ending.take() {
            sys::let_go(&self.fd, ticket);
        }
    }

    fn let_all_go(&mut self) {
        self.is_over = true;
        self.let_launcher_end();
        for (ticket, _) in self.leaving.drain(..) {
            sys::let_go(&self.fd, ticket);
        }
    }
}

impl World<'_> {
    /// Holds what comes to the hold until the launcher has ended, or sleeps and will not wake by time alone before the
    /// deadline: then it waits for what is held. The launcher's own end waits until something is held, or all others are
    /// at rest, so that nothing will be.
    pub(super) fn let_go_in_the_worst_order(
        &mut self,
        launcher: Pid,
        pidfd: BorrowedFd<'_>,
        deadline: Instant,
    ) -> Acted {
        self.await_that(deadline, |world| {
            if is_readable(pidfd) {
                return Ok(true);
            }
            let Some(hold) = &world.hold else { return Ok(true) };
            let held: Vec<Pid> = hold.leaving.iter().map(|(_, caller)| *caller).collect();
            let ends = hold.ending.is_some();
            // Whoever is held is at rest by our doing; that the others are is what counts.
            let rest = || {
                let others = |world: &World<'_>| {
                    let mut others = world.member_pids();
                    others.retain(|pid| !held.contains(pid) && (!ends || *pid != launcher));
                    others
                };
                world.read_pulse(others).1
            };
            if ends && (!held.is_empty() || rest()) {
                if let Some(hold) = &mut world.hold {
                    hold.let_launcher_end();
                }
                return Ok(false);
            }
            Ok(!ends && !held.is_empty() && rest() && waits_beyond(launcher, &[], deadline))
        })?;
        if let Some(hold) = &mut self.hold {
            hold.let_all_go();
        }
        Ok(())
    }
}

/// Whether no thread of the process, but for those that are kept `quiet`, will wake by time alone before the deadline.
pub(super) fn waits_beyond(pid: Pid, quiet: &[Pid], deadline: Instant) -> bool {
    let left = deadline.saturating_duration_since(Instant::now());
    observe::waits(&[pid]).iter().filter(|wait| !quiet.contains(&wait.thread.1)).all(|wait| match wait.limit {
        Limit::None => true,
        Limit::Within(limit) => limit > left,
        Limit::Unknown => false,
    })
}
