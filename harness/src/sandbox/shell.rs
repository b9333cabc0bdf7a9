//! The shell between init and the subject: what a login looks like to a daemon.
//!
//! It leads a session, the terminal is its controlling terminal, and it runs the subject as a foreground job in a process
//! group of its own. Several daemonization libraries do not detach when their parent is pid 1, so init cannot start them
//! itself. Unlike an interactive shell it leaves the terminal's foreground to the job after that has ended, as the shell of
//! a script does: so Ctrl-C still reaches whatever stayed in the job's process group.

use super::sys;
use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::sys::socket::{MsgFlags, recv, send};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, setpgid, setsid, tcsetpgrp};
use std::ffi::{CString, OsString};
use std::os::fd::{AsRawFd, RawFd};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Where the shell finds its end of the conversation with init.
const CONTROL: RawFd = 3;
/// Where the subject-to-be reports that exec failed; closed by a successful exec.
const EXEC_ERROR: RawFd = 4;
/// The pipe that becomes the subject's standard error, if any.
const ERRORS: RawFd = 5;
/// The line the shell writes to the terminal once the launcher has been reaped; what follows came later.
pub(crate) const MARK: &[u8] = b"\x16\x16daemonspec: the launcher has ended\x16\x16";

/// What init asks of the shell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Order {
    /// Let the subject go.
    Go = b'g',
    /// Reap the launcher; answers its wait status.
    Reap = b'r',
    /// Put a process into the launcher's process group (or, if that is gone, into the foreground alone); answers its id.
    Canary = b'c',
    /// Leave the launch directory; answers 0.
    Leave = b'l',
}

/// Everything a shell needs to start a subject. Built before the fork.
pub(crate) struct Job {
    /// Program and arguments.
    pub command: Vec<CString>,
    /// Paths to try to execute, in order.
    pub candidates: Vec<CString>,
    /// `KEY=VALUE`.
    pub environment: Vec<CString>,
    /// Where it is started.
    pub directory: PathBuf,
    /// Scheduling priority.
    pub nice: i32,
}

/// The descriptors a shell takes over.
pub(crate) struct Wires {
    /// The terminal's slave side.
    pub terminal: OwnedFd,
    /// To and from init.
    pub control: OwnedFd,
    /// See `EXEC_ERROR`.
    pub exec_error: OwnedFd,
    /// See `ERRORS`.
    pub errors: Option<OwnedFd>,
}

impl Job {
    /// Prepares `command`: looks for the program on PATH as a shell does.
    ///
    /// # Errors
    /// A word with a NUL byte cannot be passed to a program.
    pub(crate) fn new(
        command: &[OsString],
        environment: &[(OsString, OsString)],
        directory: &Path,
        nice: i32,
    ) -> Result<Job, std::ffi::NulError> {
        let word = |w: &OsString| CString::new(w.as_bytes());
        let program = command.first().map_or(&[][..], |p| p.as_bytes());
        let path = environment
            .iter()
            .find(|(key, _)| key == "PATH")
            .map_or(&b"/usr/bin:/bin"[..], |(_, value)| value.as_bytes());
        let candidates = if program.contains(&b'/') || program.is_empty() {
            vec![CString::new(program)?]
        } else {
            path.split(|b| *b == b':')
                .map(|dir| CString::new([if dir.is_empty() { b"." } else { dir }, b"/", program].concat()))
                .collect::<Result<_, _>>()?
        };
        let environment = environment
            .iter()
            .map(|(key, value)| CString::new([key.as_bytes(), b"=", value.as_bytes()].concat()))
            .collect::<Result<_, _>>()?;
        Ok(Job {
            command: command.iter().map(word).collect::<Result<_, _>>()?,
            candidates,
            environment,
            directory: directory.to_owned(),
            nice,
        })
    }
}

/// Runs a shell in the child of a fork. Never returns.
pub(crate) fn run(job: &Job, wires: Wires) -> ! {
    let Wires { terminal, control, exec_error, errors } = wires;
    sys::reset_signals();
    for signal in [Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTSTP, Signal::SIGTTIN, Signal::SIGTTOU] {
        sys::ignore(signal as i32);
    }
    sys::set_nice(job.nice);
    let _ = setsid();
    // First out of the way of the fixed numbers, then onto them.
    let high = |fd: RawFd| nix::fcntl::fcntl(borrow(fd), nix::fcntl::FcntlArg::F_DUPFD(10)).unwrap_or(fd);
    let (terminal, control, exec_error) =
        (high(terminal.as_raw_fd()), high(control.as_raw_fd()), high(exec_error.as_raw_fd()));
    let errors = errors.as_ref().map(|fd| high(fd.as_raw_fd()));
    for fd in 0..=2 {
        let _ = sys::move_fd(terminal, fd);
    }
    let _ = sys::move_fd(control, CONTROL);
    let _ = sys::move_fd(exec_error, EXEC_ERROR);
    if let Some(errors) = errors {
        let _ = sys::move_fd(errors, ERRORS);
    }
    sys::close_range(if errors.is_some() { ERRORS } else { EXEC_ERROR } + 1, i32::MAX);
    let _ = sys::set_controlling_terminal(0);
    if nix::unistd::chdir(&job.directory).is_err() {
        sys::exit_now(126);
    }
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o022));

    let Ok((gate, key)) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC) else { sys::exit_now(126) };
    let launcher = match sys::fork() {
        Ok(ForkResult::Child) => {
            drop(key);
            become_subject(job, &gate, errors.is_some())
        }
        Ok(ForkResult::Parent { child }) => child,
        Err(_) => sys::exit_now(126),
    };
    drop(gate);
    sys::close_range(EXEC_ERROR, if errors.is_some() { ERRORS } else { EXEC_ERROR });
    let _ = setpgid(launcher, launcher);
    let _ = tcsetpgrp(borrow(0), launcher);
    tell(launcher.as_raw());
    let mut orders = [0; 1];
    while let Ok(1) = recv(CONTROL, &mut orders, MsgFlags::empty()) {
        match orders[0] {
            b'g' => {
                let _ = nix::unistd::write(&key, b"g");
            }
            b'r' => {
                tell(reap(launcher));
                let _ = nix::unistd::write(borrow(1), MARK);
            }
            b'l' => {
                let _ = nix::unistd::chdir("/");
                tell(0);
            }
            _ => tell(canary(launcher).as_raw()),
        }
    }
    // Init does not close its end while it lives, so this is not reached; without namespaces it ends the shell.
    sys::exit_now(0);
}

fn borrow(fd: RawFd) -> BorrowedFd<'static> {
    // SAFETY: only the shell's fixed descriptors are borrowed, which it never closes.
    unsafe { BorrowedFd::borrow_raw(fd) }
}

fn tell(number: i32) {
    let _ = send(CONTROL, &number.to_ne_bytes(), MsgFlags::MSG_NOSIGNAL);
}

/// The raw wait status of the launcher, or -1.
fn reap(launcher: Pid) -> i32 {
    use nix::sys::wait::WaitStatus;
    loop {
        match waitpid(launcher, None) {
            Ok(WaitStatus::Exited(_, status)) => return status << 8,
            Ok(WaitStatus::Signaled(_, signal, _)) => return signal as i32,
            Err(Errno::EINTR) | Ok(_) => {}
            Err(_) => return -1,
        }
    }
}

/// A process with default dispositions whose death proves that what was sent to the terminal's foreground has arrived.
fn canary(launcher: Pid) -> Pid {
    // It inherits the shell's ignored signals; only once it has shed them is it worth anything.
    let Ok((ready, tell_ready)) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC) else { return Pid::from_raw(-1) };
    match sys::fork() {
        Ok(ForkResult::Child) => {
            sys::reset_signals();
            no_core_dump();
            let _ = nix::unistd::write(&tell_ready, b"r");
            sys::pause();
        }
        Ok(ForkResult::Parent { child }) => {
            let group = if setpgid(child, launcher).is_ok() {
                launcher
            } else {
                let _ = setpgid(child, child);
                child
            };
            let _ = tcsetpgrp(borrow(0), group);
            let _ = nix::unistd::read(&ready, &mut [0; 1]);
            child
        }
        Err(_) => Pid::from_raw(-1),
    }
}

/// A core dump would go to the machine's core pattern, perhaps to a program outside the sandbox: one byte is less than any
/// dump and the value that tells even a piped pattern to keep away (core(5)). The hard limit stays.
fn no_core_dump() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_CORE) {
        let _ = setrlimit(Resource::RLIMIT_CORE, hard.min(1), hard);
    }
}

/// Runs a shell line in the child of a fork, away from any terminal; what it says goes to `said`. Never returns.
pub(crate) fn run_line(job: &Job, said: &OwnedFd) -> ! {
    sys::reset_signals();
    sys::set_nice(job.nice);
    let _ = setsid();
    if let Ok(null) = nix::fcntl::open("/dev/null", nix::fcntl::OFlag::O_RDWR, nix::sys::stat::Mode::empty()) {
        let _ = sys::move_fd(null.as_raw_fd(), 0);
    }
    for fd in 1..=2 {
        let _ = sys::move_fd(said.as_raw_fd(), fd);
    }
    sys::close_range(CONTROL, i32::MAX);
    let _ = nix::unistd::chdir(&job.directory);
    no_core_dump();
    for candidate in &job.candidates {
        sys::exec(candidate, &job.command, &job.environment);
    }
    sys::exit_now(127);
}

/// Turns the child of the shell into the subject, once init is ready to watch it.
fn become_subject(job: &Job, gate: &OwnedFd, errors: bool) -> ! {
    let me = nix::unistd::getpid();
    let _ = setpgid(me, me);
    if nix::unistd::read(gate, &mut [0; 1]) != Ok(1) {
        sys::exit_now(126);
    }
    if errors {
        let _ = sys::move_fd(ERRORS, 2);
    }
    sys::close_range(CONTROL, CONTROL);
    sys::close_range(EXEC_ERROR + 1, i32::MAX);
    sys::set_cloexec(EXEC_ERROR);
    no_core_dump();
    sys::reset_signals();
    let mut failure = Errno::ENOENT;
    for candidate in &job.candidates {
        let errno = match sys::exec(candidate, &job.command, &job.environment) {
            // No magic number: a shell runs it as a script (execvp(3)).
            Errno::ENOEXEC => {
                let mut args = vec![c"/bin/sh".to_owned(), candidate.clone()];
                args.extend_from_slice(job.command.get(1..).unwrap_or_default());
                sys::exec(c"/bin/sh", &args, &job.environment)
            }
            Errno::EACCES
                if job.candidates.len() == 1
                    && Path::new(std::ffi::OsStr::from_bytes(candidate.to_bytes())).is_dir() =>
            {
                Errno::EISDIR
            }
            errno => errno,
        };
        if failure != Errno::EACCES {
            failure = errno;
        }
        if !matches!(errno, Errno::ENOENT | Errno::ENOTDIR | Errno::EACCES) {
            failure = errno;
            break;
        }
    }
    let _ = nix::unistd::write(borrow(EXEC_ERROR), &(failure as i32).to_ne_bytes());
    sys::exit_now(127);
}
