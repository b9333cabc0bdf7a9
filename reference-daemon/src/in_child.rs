//! For tests: a claim about a process of its own.

use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};

/// Whether a claim holds in a child, which shares no lock with this process, and has one thread, as the daemon has.
pub(crate) fn in_child(claim: impl FnOnce() -> bool) -> bool {
    // SAFETY: the process is the test's own, and its other thread only waits.
    match unsafe { fork() }.unwrap() {
        // SAFETY: ends the process.
        ForkResult::Child => unsafe { libc::_exit(i32::from(!claim())) },
        ForkResult::Parent { child } => waitpid(child, None).unwrap() == WaitStatus::Exited(child, 0),
    }
}
