//! Steps 2 and 3, and the waiting that is a daemon's life.

use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};

use crate::failure::Failure;

/// Step 2: give every signal its default disposition back.
///
/// *Source:* daemon(7), SysV step 2: "reset all signal handlers to their default".
///
/// *Without it:* an ignored signal stays ignored across `exec`. Started by `nohup` the daemon is deaf
/// to SIGHUP; started by a parent that ignores SIGCHLD its own children vanish unreaped and `waitpid()`
/// fails; started by a Python program SIGPIPE is ignored in everything it executes.
///
/// *The article* has no such step. Here all of them are reset, save SIGKILL and SIGSTOP, which have no
/// other disposition, and those between 31 and SIGRTMIN, which the C library keeps to itself.
pub fn reset_signal_dispositions() -> Result<(), Failure> {
    for signal in (1..32).chain(libc::SIGRTMIN()..=libc::SIGRTMAX()) {
        if signal != libc::SIGKILL && signal != libc::SIGSTOP {
            set_disposition(signal, libc::SIG_DFL)?;
        }
    }
    Ok(())
}

/// Step 3: unblock every signal.
///
/// *Source:* daemon(7), SysV step 3: "reset the signal mask using sigprocmask()".
///
/// *Without it:* the mask is inherited, too. Started from a thread that had SIGTERM blocked, the daemon
/// cannot be stopped but by SIGKILL.
///
/// *The article* has no such step.
pub fn reset_signal_mask() -> Result<(), Failure> {
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None).map_err(Failure::system("reset the signal mask"))
}

/// What a daemon waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// SIGTERM or SIGINT: end.
    Stop,
    /// SIGHUP: reload.
    Reload,
    /// SIGCHLD: a child has ended.
    ChildEnded,
}

/// The signals that are held back until they are waited for.
#[derive(Debug)]
pub struct Awaited(SigSet);

/// Before step 12: hold back the signals that the daemon answers itself.
///
/// *Source:* daemon(7), SysV step 12 (the PID file must not be left behind) and signal-safety(7).
///
/// *Without it:* a SIGTERM between the creation of the PID file and the installation of its handler
/// ends the process by default, and the file stays. Here the signals are blocked before the file exists,
/// so that one that comes early waits its turn; before that the default disposition ends a process that
/// leaves nothing. There are no handlers, so none can interrupt anything: the main loop asks for the
/// next signal with `sigwait()`. A blocked signal is kept even where its default is to be ignored
/// (SIGCHLD) or the kernel shields the process from it (anything without a handler, for process 1).
///
/// SIGPIPE is ignored: whoever reads this daemon's log may go, and that does not end it. That is its
/// own choice, made after step 2, and not an inheritance.
pub fn hold_signals() -> Result<Awaited, Failure> {
    let held: SigSet = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGCHLD].into_iter().collect();
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&held), None).map_err(Failure::system("block signals"))?;
    set_disposition(libc::SIGPIPE, libc::SIG_IGN)?;
    Ok(Awaited(held))
}

impl Awaited {
    /// Sleeps until a signal comes.
    pub fn next(&self) -> Event {
        loop {
            match self.0.wait() {
                Ok(Signal::SIGTERM | Signal::SIGINT) => return Event::Stop,
                Ok(Signal::SIGHUP) => return Event::Reload,
                Ok(Signal::SIGCHLD) => return Event::ChildEnded,
                // Nothing else is in the set, and an interrupted wait is begun again.
                Ok(_) | Err(_) => {}
            }
        }
    }

    /// Sleeps for that long; true, at once, when told to stop meanwhile. A SIGHUP waits its turn.
    pub fn stopped_within(&self, duration: Duration) -> bool {
        let stops: SigSet = [Signal::SIGTERM, Signal::SIGINT].into_iter().collect();
        let deadline = Instant::now() + duration;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout = nix::sys::time::TimeSpec::from_duration(left);
            // SAFETY: both pointers are to values that outlive the call; no information is asked for.
            let signal = unsafe { libc::sigtimedwait(stops.as_ref(), std::ptr::null_mut(), timeout.as_ref()) };
            if signal > 0 {
                return true;
            }
            if Errno::last() != Errno::EINTR {
                return false;
            }
        }
    }
}

/// Reaps every child that has ended: one's own, and as process 1 of a container those of others.
pub fn reap_children() {
    while let Ok(status) = waitpid(None, Some(WaitPidFlag::WNOHANG)) {
        if status == WaitStatus::StillAlive {
            return;
        }
    }
}

fn set_disposition(signal: libc::c_int, handler: libc::sighandler_t) -> Result<(), Failure> {
    // SAFETY: all zeroes is a valid `sigaction`: no flags, an empty mask.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler;
    // SAFETY: SIG_DFL and SIG_IGN run no code of ours.
    let answer = unsafe { libc::sigaction(signal, &raw const action, std::ptr::null_mut()) };
    Errno::result(answer).map(drop).map_err(Failure::system("set a signal's disposition"))
}

#[cfg(test)]
mod tests {
    use nix::sys::signal::{SaFlags, SigAction, SigHandler, raise, sigaction};
    use rusty_fork::rusty_fork_test;

    use super::*;

    /// A line of signal bits from /proc; bit n-1 is signal n.
    fn bits(field: &str) -> u64 {
        let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with(field)).unwrap();
        u64::from_str_radix(line.split_whitespace().nth(1).unwrap(), 16).unwrap()
    }

    rusty_fork_test! {
        #[test]
        fn ignored_and_handled_signals_are_reset() {
            let ignore = SigAction::new(SigHandler::SigIgn, SaFlags::empty(), SigSet::empty());
            for signal in [Signal::SIGHUP, Signal::SIGCHLD, Signal::SIGTERM] {
                // SAFETY: ignoring runs no code.
                unsafe { sigaction(signal, &ignore) }.unwrap();
            }
            set_disposition(libc::SIGRTMAX(), libc::SIG_IGN).unwrap();
            reset_signal_dispositions().unwrap();
            // The test's parent may have left 32, which the C library keeps to itself, ignored.
            let ours = !(0b11 << 31);
            assert_eq!((bits("SigIgn") & ours, bits("SigCgt") & ours), (0, 0));
        }

        #[test]
        fn blocked_signals_are_unblocked() {
            SigSet::all().thread_block().unwrap();
            reset_signal_mask().unwrap();
            assert_eq!(bits("SigBlk"), 0);
        }

        #[test]
        fn held_signals_come_in_turn() {
            let signals = hold_signals().unwrap();
            for (signal, event) in
                [(Signal::SIGINT, Event::Stop), (Signal::SIGHUP, Event::Reload), (Signal::SIGCHLD, Event::ChildEnded)]
            {
                raise(signal).unwrap();
                assert_eq!(signals.next(), event);
            }
            raise(Signal::SIGPIPE).unwrap();
        }

        #[test]
        fn a_sleep_ends_early_when_told_to_stop() {
            let signals = hold_signals().unwrap();
            assert!(!signals.stopped_within(Duration::from_millis(1)));
            raise(Signal::SIGHUP).unwrap();
            raise(Signal::SIGTERM).unwrap();
            assert!(signals.stopped_within(Duration::from_secs(3600)));
            assert_eq!(signals.next(), Event::Reload);
        }
    }
}
