//! Holding a system call of the subject's until what it races with has happened: the worst order, proven and not hoped for.

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
    /// Whose own calls are not held.
    launcher: Pid,
    waiting: Vec<(u64, Pid)>,
    /// Whether later calls are let go at once.
    is_over: bool,
}

impl Hold {
    pub(super) fn new(fd: OwnedFd, launcher: Pid) -> Self {
        Hold { fd, launcher, waiting: Vec::new(), is_over: false }
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Takes in the calls that have come to the hold.
    pub(super) fn attend(&mut self) {
        while is_readable(self.fd.as_fd()) {
            // A caller that was killed meanwhile leaves nothing to receive.
            let Ok((ticket, caller)) = sys::next_held(&self.fd) else { return };
            if self.is_over || caller == self.launcher {
                sys::let_go(&self.fd, ticket);
            } else {
                self.waiting.push((ticket, caller));
            }
        }
    }

    fn let_all_go(&mut self) {
        self.is_over = true;
        for (ticket, _) in self.waiting.drain(..) {
            sys::let_go(&self.fd, ticket);
        }
    }
}

impl World<'_> {
    /// Holds what comes to the hold until the launcher has ended, or sleeps and will not wake by time alone before the
    /// deadline: then it waits for what is held.
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
            let held: Vec<Pid> = world.hold.iter().flat_map(|hold| &hold.waiting).map(|(_, caller)| *caller).collect();
            // Whoever is held is at rest by our doing; that the others are is what counts.
            let others: Vec<Pid> = world.member_pids().into_iter().filter(|pid| !held.contains(pid)).collect();
            let (first, second) = (observe::pulse(&others), observe::pulse(&others));
            Ok(!held.is_empty() && second.proves_rest(&first) && waits_beyond(launcher, deadline))
        })?;
        if let Some(hold) = &mut self.hold {
            hold.let_all_go();
        }
        Ok(())
    }
}

/// Whether no thread of the process will wake by time alone before the deadline.
fn waits_beyond(pid: Pid, deadline: Instant) -> bool {
    let left = deadline.saturating_duration_since(Instant::now());
    observe::waits(&[pid]).iter().all(|wait| match wait.limit {
        Limit::None => true,
        Limit::Within(limit) => limit > left,
        Limit::Unknown => false,
    })
}
