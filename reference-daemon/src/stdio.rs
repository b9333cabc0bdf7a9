//! Steps 0 and 9: descriptors 0, 1 and 2.

use std::os::fd::{IntoRawFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use nix::unistd::{dup2_stderr, dup2_stdin, dup2_stdout};

use crate::failure::Failure;

/// Step 0: open `/dev/null` on those of descriptors 0, 1 and 2 that are closed.
///
/// *Source:* CERT C, FIO23 and POSIX.1-2017 `open()`: a new descriptor is the lowest one free.
///
/// *Without it:* started by `daemon <&- >&-`, the first files that the daemon opens become its standard
/// streams. Its PID file is descriptor 1, and the next library that prints a warning overwrites it;
/// or the redirection of step 9 closes what has just been opened.
///
/// *The article* closes standard input itself (`sys.stdin.close()`), and the next file opened takes its
/// place. Here every one of the three is open at every moment, from before the first file is opened.
pub fn repair_stdio() -> Result<(), Failure> {
    let mut asked = [0, 1, 2].map(|fd| libc::pollfd { fd, events: 0, revents: 0 });
    // One call asks after all three, and does not wait: the timeout is zero. A closed one answers
    // POLLNVAL.
    // SAFETY: the array is as long as the call is told.
    while unsafe { libc::poll(asked.as_mut_ptr(), 3, 0) } == -1 {
        if Errno::last() != Errno::EINTR {
            return Err(Failure::system("tell whether the standard streams are open")(Errno::last()));
        }
    }
    for _closed in asked.iter().filter(|entry| entry.revents & libc::POLLNVAL != 0) {
        // The lowest number free is this one: those below it are open by now. It is to stay open, so
        // its owner is forgotten.
        let _ = open_null(OFlag::empty())?.into_raw_fd();
    }
    Ok(())
}

/// Step 9: connect descriptors 0, 1 and 2 to `/dev/null`.
///
/// *Source:* daemon(7), SysV step 9: "connect /dev/null to standard input, output, and error".
///
/// *Without it:* the daemon keeps the caller's terminal, pipe or socket. `ssh host daemon` and
/// `$(daemon)` never return, a stray message lands in the middle of somebody's editor, and a write to a
/// terminal that has gone is an error nobody looks for.
///
/// *The article* assigns new objects to `sys.stdout` and `sys.stderr`. That renames two variables of
/// the interpreter; descriptors 1 and 2 stay where they were, and with them whatever writes by number:
/// C libraries, child processes, the interpreter's own last words. Here the descriptors themselves are
/// replaced. (The log takes the place of 1 and 2 once it is open: see [`Log`](crate::Log).)
pub fn redirect_stdio() -> Result<(), Failure> {
    let null = open_null(OFlag::O_CLOEXEC)?;
    let doing = "connect the standard streams to /dev/null";
    dup2_stdin(&null).map_err(Failure::system(doing))?;
    dup2_stdout(&null).map_err(Failure::system(doing))?;
    dup2_stderr(&null).map_err(Failure::system(doing))
}

fn open_null(flags: OFlag) -> Result<OwnedFd, Failure> {
    open("/dev/null", OFlag::O_RDWR | flags, Mode::empty()).map_err(Failure::system("open /dev/null"))
}

#[cfg(test)]
mod tests {
    use std::fs::read_link;

    use nix::unistd::close;
    use rusty_fork::rusty_fork_test;

    use super::*;

    fn target(fd: i32) -> String {
        read_link(format!("/proc/self/fd/{fd}")).unwrap().display().to_string()
    }

    rusty_fork_test! {
        #[test]
        fn closed_streams_are_repaired_and_open_ones_left_alone() {
            let before = target(1);
            close(0).unwrap();
            close(2).unwrap();
            repair_stdio().unwrap();
            assert_eq!((target(0), target(1), target(2)), ("/dev/null".into(), before, "/dev/null".into()));
        }

        #[test]
        fn all_three_are_redirected_and_nothing_else_is_left_open() {
            let before = std::fs::read_dir("/proc/self/fd").unwrap().count();
            redirect_stdio().unwrap();
            assert_eq!([0, 1, 2].map(target), ["/dev/null"; 3]);
            assert_eq!(std::fs::read_dir("/proc/self/fd").unwrap().count(), before);
        }
    }
}
