//! The shell between init and the subject: what a login looks like to a daemon.
//!
//! It leads a session, the terminal is its controlling terminal, and it runs the subject as a foreground job in a process
//! group of its own. Several daemonization libraries do not detach when their parent is pid 1, so init cannot start them
//! itself. Unlike an interactive shell it leaves the terminal's foreground to the job after that has ended, as the shell of
//! a script does: so Ctrl-C still reaches whatever stayed in the job's process group.
//!
//! What the subject inherits is set up in the child, which then waits at a gate: init looks at it there, and so knows that
//! what was planted is there. For a new-style daemon the shell is the supervisor.

use crate::sys;
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
/// The pipes that become the subject's standard streams, at this number and the next two.
const PIPES: RawFd = 5;
/// The socket that the subject is to find at descriptor 3 (sd_listen_fds(3)).
const LISTENER: RawFd = 8;
/// Where the subject-to-be keeps what it needs up to exec, out of the way of what is planted.
const OUT_OF_THE_WAY: [RawFd; 4] = [700, 200, 80, 10];
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
    /// What else the subject inherits.
    pub inheritance: Inheritance,
    /// Whether there is a socket that it is to find at descriptor 3.
    pub listens: bool,
}

/// Where among processes the subject is put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// A job in the foreground of the shell's terminal.
    Job,
    /// The leader of the terminal's session, as the command of `ssh -t` or `script -c` is.
    Leader,
    /// In a session of its own without a terminal, as a supervisor's child is.
    Service,
    /// The same, as the first process of a pid namespace.
    First,
}

/// What one of the standard streams is connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    Terminal,
    Pipe,
    Null,
    Closed,
}

/// What the subject inherits besides its environment: a clean login's by default.
#[derive(Debug, Clone)]
pub(crate) struct Inheritance {
    pub place: Place,
    pub streams: [Stream; 3],
    /// Numbers at which one and the same file is open.
    pub descriptors: Vec<RawFd>,
    pub blocked: Vec<i32>,
    pub ignored: Vec<i32>,
    pub umask: u32,
    /// Supplementary groups, where they are others than the caller's.
    pub groups: Option<Vec<u32>>,
    pub oom_score_adj: Option<i32>,
    /// Soft and hard limit of the number of open files.
    pub open_files: Option<(u64, u64)>,
    /// Variables beside the subject's own.
    pub variables: Vec<(OsString, OsString)>,
    /// Whether the directory it is started from is removed under it.
    pub directory_removed: bool,
    /// The filter that stops it for its tracer; none where it is not traced.
    pub filter: Vec<libc::sock_filter>,
}

impl Default for Inheritance {
    fn default() -> Self {
        Inheritance {
            place: Place::Job,
            streams: [Stream::Terminal; 3],
            descriptors: Vec::new(),
            blocked: Vec::new(),
            ignored: Vec::new(),
            umask: 0o022,
            groups: None,
            oom_score_adj: None,
            open_files: None,
            variables: Vec::new(),
            directory_removed: false,
            filter: Vec::new(),
        }
    }
}

impl Inheritance {
    /// What a supervisor gives a service.
    pub(crate) fn of_service() -> Self {
        let streams = [Stream::Null, Stream::Pipe, Stream::Pipe];
        Inheritance { place: Place::Service, streams, ..Inheritance::default() }
    }
}

/// The descriptors a shell takes over.
pub(crate) struct Wires {
    /// The terminal's slave side.
    pub terminal: OwnedFd,
    /// To and from init.
    pub control: OwnedFd,
    /// See `EXEC_ERROR`.
    pub exec_error: OwnedFd,
    /// See `PIPES`.
    pub pipes: [Option<OwnedFd>; 3],
    /// See `LISTENER`.
    pub listener: Option<OwnedFd>,
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
        inheritance: Inheritance,
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
        let added = &inheritance.variables;
        let kept = environment.iter().filter(|(key, _)| !added.iter().any(|(other, _)| other == key));
        let environment = kept
            .chain(added)
            .map(|(key, value)| CString::new([key.as_bytes(), b"=", value.as_bytes()].concat()))
            .collect::<Result<_, _>>()?;
        Ok(Job {
            command: command.iter().map(word).collect::<Result<_, _>>()?,
            candidates,
            environment,
            directory: directory.to_owned(),
            nice,
            inheritance,
            listens: false,
        })
    }
}

/// Runs a shell in the child of a fork. Never returns.
pub(crate) fn run(job: &Job, wires: &Wires) -> ! {
    sys::reset_signals();
    for signal in [Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTSTP, Signal::SIGTTIN, Signal::SIGTTOU] {
        sys::ignore(signal as i32);
    }
    sys::set_nice(job.nice);
    let _ = setsid();
    // First out of the way of the fixed numbers, then onto them.
    let high = |fd: &OwnedFd| {
        let fd = fd.as_raw_fd();
        nix::fcntl::fcntl(borrow(fd), nix::fcntl::FcntlArg::F_DUPFD(20)).unwrap_or(fd)
    };
    let (terminal, control, exec_error) = (high(&wires.terminal), high(&wires.control), high(&wires.exec_error));
    let pipes = [0, 1, 2].map(|stream: usize| wires.pipes[stream].as_ref().map(high));
    let listener = wires.listener.as_ref().map(high);
    for fd in 0..=2 {
        let _ = sys::move_fd(terminal, fd);
    }
    sys::close_range(CONTROL, 19);
    let _ = sys::move_fd(control, CONTROL);
    let _ = sys::move_fd(exec_error, EXEC_ERROR);
    for (number, pipe) in (PIPES..).zip(pipes) {
        pipe.map(|pipe| sys::move_fd(pipe, number));
    }
    listener.map(|listener| sys::move_fd(listener, LISTENER));
    sys::close_range(LISTENER + 1, i32::MAX);
    // A session's leader takes the terminal itself.
    if job.inheritance.place != Place::Leader {
        let _ = sys::set_controlling_terminal(0);
    }
    if nix::unistd::chdir(&job.directory).is_err() {
        sys::exit_now(126);
    }
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o022));

    let (Ok((gate, key)), Ok((ready, tell_ready))) = (pipe(), pipe()) else { sys::exit_now(126) };
    if job.inheritance.place == Place::First && nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWPID).is_err() {
        sys::exit_now(126);
    }
    let launcher = match sys::fork() {
        Ok(ForkResult::Child) => {
            drop((key, ready));
            become_subject(job, &gate, &tell_ready)
        }
        Ok(ForkResult::Parent { child }) => child,
        Err(_) => sys::exit_now(126),
    };
    drop((gate, tell_ready));
    sys::close_range(EXEC_ERROR, LISTENER);
    if job.inheritance.place == Place::Job {
        let _ = setpgid(launcher, launcher);
        let _ = tcsetpgrp(borrow(0), launcher);
    }
    if nix::unistd::read(&ready, &mut [0; 1]) != Ok(1) {
        sys::exit_now(126);
    }
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

/// A pipe whose ends take none of the fixed numbers.
fn pipe() -> nix::Result<(OwnedFd, OwnedFd)> {
    let (reader, writer) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC)?;
    Ok((sys::above(&reader, LISTENER)?, sys::above(&writer, LISTENER)?))
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
fn become_subject(job: &Job, gate: &OwnedFd, ready: &OwnedFd) -> ! {
    let inheritance = &job.inheritance;
    let (Some(gate), Some(ready), Some(exec_error)) =
        (out_of_the_way(gate.as_raw_fd()), out_of_the_way(ready.as_raw_fd()), out_of_the_way(EXEC_ERROR))
    else {
        sys::exit_now(126)
    };
    if take_place(inheritance.place).is_err() {
        sys::exit_now(126);
    }
    connect(&inheritance.streams);
    let listens = job.listens;
    if listens {
        let _ = sys::move_fd(LISTENER, CONTROL);
    }
    let mut kept = [gate, ready, exec_error];
    kept.sort_unstable();
    let mut from = if listens { CONTROL + 1 } else { CONTROL };
    for fd in kept {
        sys::close_range(from, fd - 1);
        from = fd + 1;
    }
    sys::close_range(from, i32::MAX);
    if inherit(job).is_err() {
        sys::exit_now(126);
    }
    // Opening anything would take the place of what is closed.
    for (fd, stream) in (0..).zip(inheritance.streams) {
        if stream == Stream::Closed {
            sys::close_range(fd, fd);
        }
    }
    if nix::unistd::write(borrow(ready), b"r") != Ok(1) || nix::unistd::read(borrow(gate), &mut [0; 1]) != Ok(1) {
        sys::exit_now(126);
    }
    // Only once init has become the tracer: without one, what the filter picks fails.
    if !inheritance.filter.is_empty() && sys::ptrace::install_filter(&inheritance.filter).is_err() {
        sys::exit_now(126);
    }
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
    let _ = nix::unistd::write(borrow(exec_error), &(failure as i32).to_ne_bytes());
    sys::exit_now(127);
}

/// A duplicate of `fd` that exec closes and that nothing planted takes the number of.
fn out_of_the_way(fd: RawFd) -> Option<RawFd> {
    let duplicate = |at: RawFd| nix::fcntl::fcntl(borrow(fd), nix::fcntl::FcntlArg::F_DUPFD_CLOEXEC(at)).ok();
    OUT_OF_THE_WAY.into_iter().find_map(duplicate)
}

/// Puts the process where the subject belongs among processes.
fn take_place(place: Place) -> nix::Result<()> {
    let me = nix::unistd::getpid();
    match place {
        Place::Job => drop(setpgid(me, me)),
        Place::Leader => {
            setsid()?;
            sys::set_controlling_terminal(0)?;
        }
        Place::Service => drop(setsid()?),
        Place::First => {
            setsid()?;
            super::root::fresh_proc()?;
        }
    }
    Ok(())
}

/// Connects the standard streams, but for those that are to be closed.
fn connect(streams: &[Stream; 3]) {
    for ((fd, pipe), stream) in (0..).zip(PIPES..).zip(streams) {
        match stream {
            Stream::Terminal | Stream::Closed => {}
            Stream::Pipe => drop(sys::move_fd(pipe, fd)),
            Stream::Null => {
                let null = nix::fcntl::open("/dev/null", nix::fcntl::OFlag::O_RDWR, nix::sys::stat::Mode::empty());
                let _ = null.map(|null| sys::move_fd(null.as_raw_fd(), fd));
            }
        }
    }
}

/// Plants what the subject is to inherit.
fn inherit(job: &Job) -> nix::Result<()> {
    use nix::sys::resource::{Resource, setrlimit};
    let Inheritance { descriptors, blocked, ignored, umask, groups, oom_score_adj, open_files, .. } = &job.inheritance;
    if let Some((soft, hard)) = open_files {
        setrlimit(Resource::RLIMIT_NOFILE, *soft, *hard)?;
    }
    if !descriptors.is_empty() {
        let first = nix::sys::memfd::memfd_create(c"planted", nix::sys::memfd::MFdFlags::empty())?;
        let file = out_of_the_way(first.as_raw_fd()).ok_or(Errno::EMFILE)?;
        // Its own number may be one of those that are wanted.
        drop(first);
        descriptors.iter().try_for_each(|number| sys::move_fd(file, *number))?;
        sys::close_range(file, file);
    }
    no_core_dump();
    if let Some(score) = oom_score_adj {
        std::fs::write("/proc/self/oom_score_adj", score.to_string())
            .map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)))?;
    }
    if let Some(groups) = groups {
        let groups: Vec<nix::unistd::Gid> = groups.iter().copied().map(nix::unistd::Gid::from_raw).collect();
        nix::unistd::setgroups(&groups)?;
    }
    if job.inheritance.directory_removed {
        std::fs::remove_dir(&job.directory)
            .map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)))?;
    }
    sys::reset_signals();
    ignored.iter().copied().for_each(sys::ignore);
    sys::block(blocked);
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(*umask));
    Ok(())
}
