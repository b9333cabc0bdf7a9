//! The daemon's child processes.

use std::ffi::OsString;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::pause;
use reference_daemon::{Fork, Pid, close_inherited_descriptors, fork, redirect_stdio};

use crate::Defective;
use crate::tricks::{keep_across_exec, socket_across_exec};

/// What a worker that has been executed is told by.
pub(crate) const ARGUMENT: &str = "--worker";

/// A child that stays until the daemon ends it.
pub(crate) struct Worker(Pid);

impl Worker {
    /// One that ends with the daemon, and is otherwise as it was forked, but for what every worker gives back: the score by
    /// which the kernel would choose it.
    pub(crate) fn forked(prepare: impl FnOnce()) -> Option<Self> {
        Self::fork(|| {
            end_with_parent();
            reset_oom_score();
            prepare();
        })
    }

    /// One that keeps that score.
    pub(crate) fn forked_as_it_is() -> Option<Self> {
        Self::fork(|| {
            end_with_parent();
            let _ = redirect_stdio();
        })
    }

    /// One that a killed daemon leaves behind.
    pub(crate) fn forked_to_outlive() -> Option<Self> {
        Self::fork(|| {
            reset_oom_score();
            let _ = redirect_stdio();
        })
    }

    fn fork(prepare: impl FnOnce()) -> Option<Self> {
        // SAFETY: nothing has started a thread yet.
        match unsafe { fork() }.ok()? {
            Fork::Parent(child) => Some(Self(child)),
            Fork::Child => {
                prepare();
                work()
            }
        }
    }

    /// This program once more, with these variables and no other but its path; there when this returns.
    pub(crate) fn executed(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Option<Self> {
        let mut command = program();
        let path = std::env::var_os("PATH");
        command.env_clear().envs(path.map(|path| ("PATH".into(), path)).into_iter().chain(variables));
        Self::spawn(command)
    }

    /// The same, with all of the daemon's variables.
    fn executed_with_all_variables() -> Option<Self> {
        Self::spawn(program())
    }

    fn spawn(mut command: Command) -> Option<Self> {
        // SAFETY: nothing has started a thread, so that the child may do as it likes.
        unsafe {
            command.pre_exec(|| {
                end_with_parent();
                reset_oom_score();
                Ok(())
            });
        }
        let child = command.spawn().ok()?;
        Some(Self(Pid::from_raw(i32::try_from(child.id()).ok()?)))
    }

    /// Ends it, unless it has ended and its number is another's.
    pub(crate) fn end(self) {
        if waitpid(self.0, Some(WaitPidFlag::WNOHANG)) == Ok(WaitStatus::StillAlive) {
            let _ = kill(self.0, Signal::SIGKILL);
            while waitpid(self.0, None) == Err(Errno::EINTR) {}
        }
    }
}

impl Defective {
    /// A worker that has been executed, where the defect is what that inherits.
    pub(crate) fn executed_worker(self, pid_file: &Path) -> Option<Worker> {
        if self.has("hands-on-environment") {
            return Worker::executed_with_all_variables();
        }
        if self.has("hands-on-pidfile") {
            keep_across_exec(pid_file);
            return Worker::executed(None);
        }
        if self.has("hands-on-socket") {
            socket_across_exec();
            return Worker::executed(None);
        }
        None
    }
}

fn program() -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.arg(ARGUMENT).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// A worker's life.
pub(crate) fn work() -> ! {
    loop {
        pause();
    }
}

/// Holds nothing, and cannot be asked to end.
pub(crate) fn work_unstoppably() {
    let _ = close_inherited_descriptors();
    let _ = redirect_stdio();
    let _ = SigSet::all().thread_block();
    work()
}

/// Forks a child that does this and ends.
pub(crate) fn child(what: impl FnOnce()) {
    // SAFETY: nothing has started a thread yet.
    if let Ok(Fork::Child) = unsafe { fork() } {
        reset_oom_score();
        what();
        // SAFETY: ends the process.
        unsafe { libc::_exit(0) };
    }
}

fn end_with_parent() {
    // SAFETY: plain numbers.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
}

/// A score above zero is lowered to that.
fn reset_oom_score() {
    let path = "/proc/self/oom_score_adj";
    let score = fs::read_to_string(path).ok().and_then(|text| text.trim().parse::<i32>().ok());
    if score.is_some_and(|score| score > 0) {
        let _ = fs::write(path, "0");
    }
}
