//! One start of one daemon, timed, and its end.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;

/// How long a start may take at the very most.
const PATIENCE: Duration = Duration::from_secs(10);

/// Makes this process the one that orphans below it come to, so that it can see every daemon to its end.
///
/// # Errors
/// When the kernel has no such thing.
pub fn adopt_orphans() -> io::Result<()> {
    Ok(nix::sys::prctl::set_child_subreaper(true)?)
}

/// How long one start took, from just before the program is spawned.
#[derive(Debug, Clone, Copy)]
pub struct Launched {
    /// Until the PID file held the PID of a live process and a newline; `None` for a program that writes none.
    pub pid_file: Option<Duration>,
    /// Until the launcher had ended.
    pub exit: Duration,
}

/// A program that can be started again and again, and what is watched meanwhile.
#[derive(Debug)]
pub struct Daemon {
    /// Its name in the tables.
    pub name: &'static str,
    program: PathBuf,
    arguments: Vec<OsString>,
    pid_file: PathBuf,
    log_file: PathBuf,
    /// Watches the PID file's directory for content; a file that has just been created has none.
    written: Inotify,
}

impl Daemon {
    pub(crate) fn new(
        name: &'static str,
        program: PathBuf,
        arguments: Vec<OsString>,
        pid_file: PathBuf,
        log_file: PathBuf,
    ) -> io::Result<Self> {
        let written = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
        let directory = pid_file.parent().unwrap_or(Path::new("/"));
        written.add_watch(directory, AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_MOVED_TO)?;
        Ok(Self { name, program, arguments, pid_file, log_file, written })
    }

    /// Whether it writes a PID file: it does if it is told where.
    pub fn writes_pid_file(&self) -> bool {
        self.arguments.iter().any(|word| word == self.pid_file.as_os_str())
    }

    /// Starts it, waits until the launcher has ended and the PID file is valid, and ends it.
    ///
    /// # Errors
    /// When it could not be started, the launcher failed, or the PID file did not come in time. Nothing is left
    /// running then either.
    pub fn launch(&self) -> io::Result<Launched> {
        let started = self.start()?;
        let launched = started.launched;
        started.end()?;
        Ok(launched)
    }

    /// Starts it, and waits until the launcher has ended and the PID file is valid.
    ///
    /// # Errors
    /// As [`Daemon::launch`].
    pub fn start(&self) -> io::Result<Started<'_>> {
        self.start_and_watch().map_err(|error| {
            end_children();
            io::Error::other(format!("{}: {error}", self.name))
        })
    }

    fn start_and_watch(&self) -> io::Result<Started<'_>> {
        let mut command = Command::new(&self.program);
        // Cargo's LD_LIBRARY_PATH would send the loader of every dynamic program on a detour.
        command
            .args(&self.arguments)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null());

        let begin = Instant::now();
        let mut launcher = command.spawn()?;
        let ended = pidfd_open(launcher.id())?;
        let mut exit = None;
        let mut pid_file = None;
        while exit.is_none() || (pid_file.is_none() && self.writes_pid_file()) {
            let left = PATIENCE
                .checked_sub(begin.elapsed())
                .ok_or_else(|| io::Error::other("no valid PID file, or no end of the launcher, in time"))?;
            let mut awaited =
                [PollFd::new(self.written.as_fd(), PollFlags::POLLIN), PollFd::new(ended.as_fd(), PollFlags::POLLIN)];
            // A launcher that has ended would be told of again and again.
            let count = if exit.is_none() { 2 } else { 1 };
            let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            match poll(&mut awaited[..count], timeout) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
            let told = awaited.map(|one| one.any() == Some(true));
            if told[1] && exit.is_none() {
                exit = Some(begin.elapsed());
            }
            if told[0] {
                // Emptied first: what is written from now on is told of anew.
                let _ = self.written.read_events();
                if let Some(pid) = self.valid_pid() {
                    pid_file = pid_file.or(Some((begin.elapsed(), pid)));
                }
            }
        }
        let status = launcher.wait()?;
        if !status.success() {
            return Err(io::Error::other(format!("its launcher ended with {status}")));
        }
        Ok(Started {
            daemon: self,
            pid: pid_file.map(|(_, pid)| pid),
            launched: Launched { pid_file: pid_file.map(|(after, _)| after), exit: exit.unwrap_or_default() },
        })
    }

    /// The PID that the PID file names, if its content is one and a newline, and the process lives.
    fn valid_pid(&self) -> Option<Pid> {
        let content = fs::read(&self.pid_file).ok()?;
        let digits = content.strip_suffix(b"\n")?;
        let pid = std::str::from_utf8(digits).ok()?.parse().ok()?;
        let pid = Pid::from_raw(pid);
        (pid.as_raw() > 0 && kill(pid, None).is_ok()).then_some(pid)
    }
}

/// A daemon that runs. It is ended when this is dropped.
#[derive(Debug)]
#[must_use = "a daemon that is dropped is ended"]
pub struct Started<'a> {
    daemon: &'a Daemon,
    pid: Option<Pid>,
    /// How long the start took.
    pub launched: Launched,
}

impl Started<'_> {
    /// Ends it, waits until it is gone, and removes its files, so that every start finds the same.
    ///
    /// # Errors
    /// When it cannot be signalled, or a file not be removed.
    pub fn end(mut self) -> io::Result<()> {
        self.end_now()
    }

    fn end_now(&mut self) -> io::Result<()> {
        if let Some(pid) = self.pid.take() {
            kill(pid, Signal::SIGKILL)?;
            reap_all();
            for path in [&self.daemon.pid_file, &self.daemon.log_file] {
                match fs::remove_file(path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
        }
        Ok(())
    }
}

impl Drop for Started<'_> {
    fn drop(&mut self) {
        let _ = self.end_now();
    }
}

/// Waits until this process has no child left. The daemon may still be the child of a process that is about to end;
/// that one is a child, and leaves the daemon to us.
fn reap_all() {
    while matches!(waitpid(None, None), Ok(_) | Err(Errno::EINTR)) {}
}

/// Kills whatever is left below this process.
fn end_children() {
    let listed = format!("/proc/self/task/{}/children", std::process::id());
    loop {
        let children = fs::read_to_string(&listed).unwrap_or_default();
        let mut any = false;
        for pid in children.split_whitespace().filter_map(|word| word.parse().ok()) {
            any = true;
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            let _ = waitpid(Pid::from_raw(pid), None);
        }
        if !any {
            return;
        }
    }
}

fn pidfd_open(pid: u32) -> io::Result<OwnedFd> {
    // SAFETY: takes two numbers and touches no memory.
    let answer = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let number = i32::try_from(Errno::result(answer)?).map_err(io::Error::other)?;
    // SAFETY: the kernel has just made it, for us alone.
    let owned = unsafe { OwnedFd::from_raw_fd(number) };
    debug_assert!(owned.as_raw_fd() > 2);
    Ok(owned)
}
