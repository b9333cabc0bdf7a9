//! What the daemon does once it is ready, and its end.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::{dup2_stderr, dup2_stdout, getpid, write};
use reference_daemon::{Awaited, Event, Failure, Log, Supervisor, new_session, reap_children};

use crate::Defective;
use crate::background::Start;
use crate::claims::Held;
use crate::tricks::{duplicate, keep, talk, write_to_die};
use crate::workers::Worker;

/// A daemon that is ready, or nearly.
pub(crate) struct Daemon {
    pub(crate) signals: Awaited,
    pub(crate) pid_file: Option<Held>,
    pub(crate) log: Log,
    pub(crate) supervisor: Option<Supervisor>,
    pub(crate) workers: Vec<Worker>,
    /// What else it has made, and removes.
    pub(crate) files: Vec<PathBuf>,
    /// The caller's pipe, where that is kept to be written to.
    pub(crate) pipe: Option<OwnedFd>,
}

impl Daemon {
    /// Undoes a start, in order.
    pub(crate) fn undo(self) {
        self.workers.into_iter().for_each(Worker::end);
        for path in &self.files {
            let _ = fs::remove_file(path).or_else(|_| fs::remove_dir(path));
        }
        if let Some(pid_file) = self.pid_file {
            pid_file.remove();
        }
    }
}

impl Defective {
    /// Waits for signals, and does as they say. `start` is that of a start in the background.
    pub(crate) fn live(self, mut daemon: Daemon, start: Option<&Start>) -> i32 {
        if self.has("dies-when-ready") {
            // SAFETY: ends the process.
            unsafe { libc::_exit(0) };
        }
        if self.has("ends-soon") {
            // The defect: up and asleep, as a good daemon is, and then gone.
            thread::sleep(Duration::from_millis(300));
            return 0;
        }
        if self.has("setsid-last") {
            let _ = new_session();
            let _ = SigSet::from(Signal::SIGHUP).thread_block();
        }
        if let Some(start) = start.filter(|_| self.has("late-pidfile")) {
            while kill(start.launcher, None) != Err(Errno::ESRCH) {
                // That somebody else's child has been reaped is no event; it is asked again and again.
                thread::sleep(Duration::from_millis(1));
            }
            let _ = daemon.pid_file.as_ref().map(|pid_file| pid_file.write(&format!("{}\n", getpid())));
        }
        if let Some(supervisor) = &daemon.supervisor {
            self.say_ready(supervisor);
        }
        loop {
            match daemon.signals.next() {
                Event::Stop if self.has("ignores-sigterm") => {}
                Event::Stop => break,
                Event::Reload if self.has("dies-after-reload") => {
                    // The defect: it takes the signal, goes back to sleep, and ends later.
                    thread::sleep(Duration::from_millis(300));
                    break;
                }
                Event::Reload => {
                    if !self.reload(&mut daemon, start) {
                        break;
                    }
                }
                Event::ChildEnded if self.has("zombie-child") || self.has("never-reaps") => {}
                Event::ChildEnded => reap_children(),
            }
        }
        if let Some(supervisor) = daemon.supervisor.as_ref().filter(|_| !self.has("never-stopping")) {
            supervisor.stopping();
        }
        self.end(daemon, if self.has("exit-1-on-sigterm") { 1 } else { 0 })
    }

    /// False where it is to end of it.
    fn reload(self, daemon: &mut Daemon, start: Option<&Start>) -> bool {
        if let Some(supervisor) = &daemon.supervisor {
            supervisor.reloading();
        }
        if self.has("leaks-old-log") {
            keep::<()>(Ok(duplicate(&std::io::stderr())));
        }
        if self.has("keeps-old-log") {
            let _ = self.line(&daemon.log, "nothing to reload");
        } else {
            self.reopen(&daemon.log);
        }
        if self.has("dies-when-log-full") && self.line(&daemon.log, "reloaded").is_err() {
            return false;
        }
        while self.has("spins-when-log-full") && self.line(&daemon.log, "reloaded").is_err() {}
        if self.has("talks-to-terminal") {
            talk(start.and_then(|start| start.terminal.as_deref()));
        }
        if let Some(pipe) = &daemon.pipe {
            write_to_die(pipe);
        }
        if let Some(supervisor) = &daemon.supervisor {
            self.say_ready(supervisor);
        }
        true
    }

    pub(crate) fn end(self, mut daemon: Daemon, status: i32) -> i32 {
        let log = std::mem::replace(&mut daemon.log, Log::standard_error());
        if self.has("leaves-pidfile") {
            // Its lock goes with the process, as it would.
            std::mem::forget(daemon.pid_file.take());
        }
        daemon.undo();
        let _ = self.line(&log, "stopped");
        status
    }

    /// The log writes to descriptor 2; where that is still the caller's, it is lent to it.
    pub(crate) fn line(self, log: &Log, text: &str) -> Result<(), Failure> {
        if self.has("writes-half-lines") {
            let half = format!("reference-daemon[{}]: {text}", getpid());
            return write(std::io::stderr(), half.as_bytes()).map(drop).map_err(Failure::system("write a line"));
        }
        if !self.has("keeps-stderr") {
            return log.line(text);
        }
        let kept = duplicate(&std::io::stderr());
        let _ = dup2_stderr(std::io::stdout());
        let result = log.line(text);
        let _ = dup2_stderr(kept);
        result
    }

    /// The log takes the place of descriptors 1 and 2; what is still the caller's is put back.
    fn reopen(self, log: &Log) {
        let (output, error) = (duplicate(&std::io::stdout()), duplicate(&std::io::stderr()));
        log.reopen();
        if self.has("keeps-stdout") {
            let _ = dup2_stdout(output);
        }
        if self.has("keeps-stderr") {
            let _ = dup2_stderr(error);
        }
    }
}
