//! `--stop`: end the daemon that holds a PID file, and nobody else.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;

use crate::failure::Failure;
use crate::pid_file::{ROLE, Witness};

/// Sends SIGTERM to the daemon that holds the PID file, and returns when that has ended.
///
/// *Source:* daemon(7), "New-Style Daemons": "if SIGTERM is received, shut down the daemon and exit cleanly"; LSB 5.0, 22.3
/// (`killproc -p`), for the command; pidfd_open(2), for the way.
///
/// *Without the care:* `kill $(cat daemon.pid)` signals whoever has that number. After a crash the file is still
/// there, the number is given out again, and a stranger is ended, by root. Content that is no number is worse:
/// `atoi()` makes 0 of it, which is one's own process group, and -1 is everybody. To compare the process's name first
/// helps against strangers, but not against another instance; nor against time, which passes between the look and
/// the signal.
///
/// *The article* has no such command, and leaves its reader to type that one.
///
/// *Here* the number in the file is never read:
///
/// - The kernel is asked who holds the lock (`F_GETLK`). Only a daemon that runs holds it, and the answer is a
///   process id as of now.
/// - As of now is not soon enough: the process may end before it is signalled, and its number be another's. So
///   a descriptor of the process is opened, which means this process and never another, and the kernel is asked once
///   more. Is the answer the same, then the descriptor is the holder's. (Were it that of a process that has ended, and
///   whose number the holder has been given since, then the signal would reach nobody.)
/// - The signal is sent through that descriptor, and the end awaited on it: it becomes readable then. Locks are gone by
///   that time, so that a start may follow at once.
///
/// It waits as long as it takes. How long that may be, the caller says: `timeout 30 reference-daemon --stop`.
pub fn stop(path: &Path) -> Result<(), Failure> {
    let not_running = || Failure::NotRunning { path: path.into() };
    let file = Witness::open(path)?.ok_or_else(not_running)?;
    loop {
        let pid = file.holder()?.ok_or_else(not_running)?;
        let process = open_process(pid);
        if file.holder()? != Some(pid) {
            continue;
        }
        let cannot = |doing: &str, errno: Errno| {
            Failure::file(ROLE, path, format!("is held by process {pid}, which cannot be {doing}: {}", errno.desc()))
        };
        let process = process.map_err(|errno| cannot("found", errno))?;
        return match terminate(&process) {
            // That it has ended meanwhile is what was wanted.
            Ok(()) | Err(Errno::ESRCH) => until_ended(&process).map_err(|errno| cannot("awaited", errno)),
            Err(errno) => Err(cannot("signalled", errno)),
        };
    }
}

fn open_process(pid: i32) -> Result<OwnedFd, Errno> {
    // SAFETY: asks for a new descriptor (close-on-exec, as all of its kind).
    let answer = Errno::result(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })?;
    let descriptor = i32::try_from(answer).map_err(|_| Errno::EBADF)?;
    // SAFETY: it is new, and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

fn terminate(process: &OwnedFd) -> Result<(), Errno> {
    let nothing = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: no information is handed over; the kernel fills in what kill() would.
    let answer = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, process.as_raw_fd(), libc::SIGTERM, nothing, 0) };
    Errno::result(answer).map(drop)
}

fn until_ended(process: &OwnedFd) -> Result<(), Errno> {
    let mut asked = libc::pollfd { fd: process.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    loop {
        // SAFETY: one entry, as the call is told.
        match Errno::result(unsafe { libc::poll(&raw mut asked, 1, -1) }) {
            Ok(_) => return Ok(()),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::Command;

    use nix::sys::wait::{WaitStatus, waitpid};
    use nix::unistd::{ForkResult, Pid, fork};
    use rusty_fork::rusty_fork_test;

    use super::*;
    use crate::pid_file::PidFile;

    /// A child that holds the PID file, once it does.
    fn child_with(path: &Path) -> Pid {
        let (reader, writer) = nix::unistd::pipe().unwrap();
        // SAFETY: the process is the test's own, and its other thread only waits.
        match unsafe { fork() }.unwrap() {
            ForkResult::Parent { child } => {
                drop(writer);
                assert_eq!(nix::unistd::read(&reader, &mut [0]), Ok(1));
                child
            }
            ForkResult::Child => {
                let _file = PidFile::acquire(path);
                let _ = nix::unistd::write(&writer, b"+");
                loop {
                    nix::unistd::pause();
                }
            }
        }
    }

    rusty_fork_test! {
        #[test]
        fn the_holder_is_ended_whatever_number_the_file_holds() {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("d.pid");
            let child = child_with(&path);
            let mut stranger = Command::new("sleep").arg("1000").spawn().unwrap();
            fs::write(&path, format!("{}\n", stranger.id())).unwrap();
            assert_eq!(stop(&path), Ok(()));
            let ended = waitpid(child, None);
            assert_eq!(ended, Ok(WaitStatus::Signaled(child, nix::sys::signal::Signal::SIGTERM, false)));
            assert!(stranger.try_wait().unwrap().is_none());
            stranger.kill().unwrap();
            stranger.wait().unwrap();
        }

        #[test]
        fn where_nobody_holds_it_nobody_is_signalled() {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("d.pid");
            let not_running = Err(Failure::NotRunning { path: path.clone() });
            assert_eq!(stop(&path), not_running);
            fs::write(&path, format!("{}\n", nix::unistd::getpid())).unwrap();
            assert_eq!(stop(&path), not_running);
            assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", nix::unistd::getpid()));
        }
    }
}
