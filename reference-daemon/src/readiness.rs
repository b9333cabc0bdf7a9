//! Steps 14 and 15: the launcher learns how it went, and only then ends.

use std::os::fd::OwnedFd;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::unistd::{pipe2, read, write};

use crate::failure::Failure;
use crate::session::{Pid, wait_for};

const READY: u8 = b'+';
const FAILED: u8 = b'-';

/// The daemon's end: it says once how it went.
#[derive(Debug)]
pub struct Report(OwnedFd);

/// The launcher's end: it waits to be told.
#[derive(Debug)]
pub struct Outcome(OwnedFd);

/// Before step 5: the pipe between the daemon and the launcher.
///
/// *Source:* daemon(7), SysV step 14: "this can be implemented via an unnamed pipe or similar communication channel
/// that is created before the first fork() and hence available in both the original and the daemon process".
pub fn readiness_pipe() -> Result<(Outcome, Report), Failure> {
    let (reader, writer) = pipe2(OFlag::O_CLOEXEC).map_err(Failure::system("make a pipe"))?;
    Ok((Outcome(reader), Report(writer)))
}

impl Report {
    /// Step 14: tell the launcher that the daemon is ready.
    ///
    /// *Source:* daemon(7), SysV step 14: "from the daemon process, notify the original process started that
    /// initialization is complete".
    ///
    /// *The article* has no such step: its launcher ends, with status 0, before the daemon has done
    /// anything. What follows the start in a script runs too early, every now and then.
    ///
    /// An error means that the launcher has gone (it was interrupted, or killed): nobody learned that this
    /// start succeeded, so it is to be undone.
    pub fn ready(self) -> Result<(), Failure> {
        self.send(&[READY]).map_err(Failure::system("tell the launcher that the daemon is ready"))
    }

    /// Step 14, in the other case: tell the launcher why there is no daemon.
    pub fn failed(self, failure: &Failure) {
        let mut message = vec![FAILED];
        message.extend_from_slice(failure.to_string().as_bytes());
        // If the launcher has gone there is nobody left to be told.
        let _ = self.send(&message);
    }

    fn send(&self, message: &[u8]) -> Result<(), Errno> {
        loop {
            match write(&self.0, message) {
                Ok(_) => return Ok(()),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno),
            }
        }
    }
}

impl Outcome {
    /// Step 15, the first half: wait for the outcome, and for the first child to have ended.
    ///
    /// *Source:* daemon(7), SysV step 15: "call exit() in the original process. The process that invoked the daemon
    /// must be able to rely on that this exit() happens after initialization is complete and all external
    /// communication channels are established and accessible".
    ///
    /// *Without it:* besides the script that runs too early, the start that fails in silence, with status 0.
    /// And where the launcher leads its session (`ssh -t host daemon`) its end hangs up the terminal:
    /// a child that has not got as far as `setsid()` dies of it.
    ///
    /// A daemon-to-be that is killed closes its end of the pipe without having written: that is a failure, too.
    pub fn wait(self, first_child: Pid) -> Result<(), Failure> {
        let message = self.receive();
        // The daemon has been adopted by process 1 when, and only when, this one has ended.
        wait_for(first_child);
        match message?.split_first() {
            Some((&READY, _)) => Ok(()),
            Some((_, text)) => Err(Failure::Reported(String::from_utf8_lossy(text).into_owned())),
            None => Err(Failure::EndedBeforeReady),
        }
    }

    /// All that is written, or the one byte that says it all.
    fn receive(&self) -> Result<Vec<u8>, Failure> {
        let (mut message, mut part) = (Vec::new(), [0; 512]);
        let mut errors = 0;
        while message.first() != Some(&READY) {
            match read(&self.0, &mut part) {
                Ok(0) => break,
                Ok(count) => message.extend_from_slice(&part[..count]),
                // What an error says about the pipe it does not say about the daemon, which may well
                // be up. So it is tried again, though not for ever.
                Err(_) if errors < 10 => errors += 1,
                Err(errno) => return Err(Failure::system("learn how the start went")(errno)),
            }
        }
        Ok(message)
    }
}

#[cfg(test)]
mod tests {
    use rusty_fork::rusty_fork_test;

    use super::*;
    use crate::session::{Fork, end_first_child, fork};

    /// What the launcher makes of a child that does this with its end of the pipe.
    fn outcome(child: impl FnOnce(Report)) -> Result<(), Failure> {
        let (outcome, report) = readiness_pipe().unwrap();
        // SAFETY: the process is the test's own, and its other thread only waits.
        match unsafe { fork() }.unwrap() {
            Fork::Child => {
                drop(outcome);
                child(report);
                end_first_child()
            }
            Fork::Parent(pid) => {
                drop(report);
                outcome.wait(pid)
            }
        }
    }

    rusty_fork_test! {
        #[test]
        fn the_launcher_learns_how_it_went() {
            assert_eq!(outcome(|report| report.ready().unwrap()), Ok(()));
            let failure = Failure::file("PID file", "/x".as_ref(), "why");
            assert_eq!(outcome(|report| report.failed(&failure)), Err(Failure::Reported("PID file /x: why".into())));
            assert_eq!(outcome(drop), Err(Failure::EndedBeforeReady));
        }

        #[test]
        fn a_launcher_that_has_gone_is_an_error() {
            let (outcome, report) = readiness_pipe().unwrap();
            drop(outcome);
            crate::signals::hold_signals().unwrap();
            assert!(report.ready().is_err());
        }
    }
}
