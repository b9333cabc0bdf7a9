//! Steps 5 to 8: out of the caller's session, and out of reach of its terminal.

use nix::errno::Errno;
use nix::unistd::{ForkResult, setsid};

use crate::failure::Failure;

pub use nix::unistd::Pid;

/// Which of the two processes this is, after a fork.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fork {
    /// The one that forked, and the child it has now.
    Parent(Pid),
    /// The new one.
    Child,
}

/// Steps 5 and 7: continue as two processes.
///
/// *Source:* daemon(7), SysV steps 5 and 7: "call fork(), to create a background process"; and again
/// after `setsid()`, "to ensure that the daemon can never re-acquire a terminal again".
///
/// *Without the first:* the caller's shell waits for ever, and `setsid()` fails, for the shell has made the
/// process a group leader.
///
/// *Without the second:* the daemon leads its session. The first terminal that it opens, be it a serial
/// port or a `/dev/tty*` named as its log, becomes its controlling terminal, whose hang-up ends it.
///
/// *The article* forks once. Its daemon stays in the caller's session and process group: Ctrl-C ends
/// it, and so does closing the window.
///
/// # Safety
///
/// No other thread may exist: the child would hold locks whose owners are gone.
pub unsafe fn fork() -> Result<Fork, Failure> {
    // SAFETY: the caller's promise.
    match unsafe { nix::unistd::fork() } {
        Ok(ForkResult::Parent { child }) => Ok(Fork::Parent(child)),
        Ok(ForkResult::Child) => Ok(Fork::Child),
        Err(errno) => Err(Failure::system("fork")(errno)),
    }
}

/// Step 6: begin a session of one's own.
///
/// *Source:* daemon(7), SysV step 6: "in the child, call setsid() to detach from any terminal and create an
/// independent session".
///
/// *Without it:* the terminal's signals still reach the process: SIGINT for Ctrl-C where it is in the
/// foreground group, SIGHUP when the line drops.
///
/// *The article* has no such step.
pub fn new_session() -> Result<(), Failure> {
    setsid().map(drop).map_err(Failure::system("begin a new session"))
}

/// Step 8: end the first child, so that process 1 adopts the second.
///
/// *Source:* daemon(7), SysV step 8: "call exit() in the first child, so that only the second child (the actual
/// daemon process) stays around".
///
/// *Without it:* a useless process stays, the daemon's parent for life, and the zombie is nobody's to reap.
///
/// It ends by `_exit()`: what `exit()` would flush and run is the launcher's.
pub fn end_first_child() -> ! {
    // SAFETY: ends the process, and runs nothing.
    unsafe { libc::_exit(0) }
}

/// Waits until a child has ended, so that it is no zombie when its parent goes.
pub fn wait_for(child: Pid) {
    while nix::sys::wait::waitpid(child, None) == Err(Errno::EINTR) {}
}

#[cfg(test)]
mod tests {
    use nix::unistd::{getpid, getsid};
    use rusty_fork::rusty_fork_test;

    use super::*;

    rusty_fork_test! {
        #[test]
        fn a_forked_child_may_begin_a_session() {
            // SAFETY: the child does nothing but system calls.
            match unsafe { fork() }.unwrap() {
                Fork::Child => {
                    let led = new_session().is_ok() && getsid(None) == Ok(getpid());
                    // SAFETY: ends the process.
                    unsafe { libc::_exit(i32::from(!led)) }
                }
                Fork::Parent(child) => {
                    let status = nix::sys::wait::waitpid(child, None).unwrap();
                    assert_eq!(status, nix::sys::wait::WaitStatus::Exited(child, 0));
                }
            }
        }

        #[test]
        fn the_first_child_ends_and_is_reaped() {
            // SAFETY: the child does nothing but end.
            match unsafe { fork() }.unwrap() {
                Fork::Child => end_first_child(),
                Fork::Parent(child) => {
                    wait_for(child);
                    assert_eq!(nix::sys::signal::kill(child, None), Err(Errno::ESRCH));
                }
            }
        }
    }
}
