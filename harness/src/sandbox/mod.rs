//! The throw-away world in which a scenario runs, seen from outside: it is made, it answers once, it is gone.
//!
//! ```text
//! the caller's thread
//!  └─ keeper   leaves the caller's session, enters the namespaces, waits
//!      └─ init   pid 1 of the sandbox: carries out the scenario, sends what it saw, ends
//!          └─ shell   leader of the terminal's session (see `shell`)
//!              └─ subject
//! ```
//!
//! When init ends the kernel kills whatever is left inside. Each of keeper and init asks to be killed when its parent
//! dies, so a SIGKILL to the caller takes all with it. Without namespaces there is one process instead of keeper and init:
//! a subreaper that, when its parent dies, first ends every descendant.

pub(crate) mod cgroup;
pub(crate) mod disk;
mod network;
pub(crate) mod root;
pub(crate) mod shell;

use self::root::Refusal;
use crate::observation::Isolation;
use crate::sys;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, pthread_sigmask};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, getppid, pipe2, setsid};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};
use thiserror::Error;

/// The most that one sandbox may answer, in bytes.
const LONGEST_ANSWER: u64 = 64 << 20;
/// How long a sandbox that is torn down may take to end what it started.
const LAST_PATIENCE: Duration = Duration::from_secs(10);
/// The descriptor on which init answers; everything above is closed, so that no sandbox holds another's.
const ANSWER: i32 = 3;

/// What to ask of the sandbox.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// How much of it is wanted.
    pub isolation: Isolation,
    /// The directory to launch from.
    pub directory: PathBuf,
    /// The directory that the daemon says it works in.
    pub documented: PathBuf,
    /// Directories that the subject needs to write to, shallowest first.
    pub writable: Vec<PathBuf>,
    /// Whether it is to have a control group of its own.
    pub control_group: bool,
    /// After this long the sandbox is torn down whatever it is doing.
    pub patience: Duration,
}

/// What the inside finds ready.
pub(crate) struct Inside {
    /// The sandbox's file system; `None` without isolation.
    pub root: Option<root::Root>,
    /// The directory to launch from.
    pub launch_directory: PathBuf,
    /// The caller's scheduling priority, which subjects get back.
    pub nice: i32,
    /// A control group of its own, or why there is none.
    pub control_group: Result<cgroup::ControlGroup, String>,
    /// Readable once whoever asked is gone (without isolation only; otherwise the kernel ends init first).
    pub orphaned: Option<OwnedFd>,
}

/// Why there was no answer.
#[derive(Debug, Error)]
pub enum SandboxError {
    /// The system does not allow what was asked.
    #[error("the sandbox was refused: {0}; `--isolation none` runs without one, on the machine itself")]
    Refused(String),
    /// Something that was needed for it ran out or broke.
    #[error("the sandbox could not be made: {0}")]
    Failed(String),
    /// A bug of the harness's.
    #[error("the harness itself failed in the sandbox: {0}; please report that")]
    Panicked(String),
    /// It ended without an answer.
    #[error("the sandbox ended without an answer ({0})")]
    Ended(String),
    /// It took longer than its patience.
    #[error("the sandbox did not come to an end within {0} s and was torn down ({1})")]
    TimedOut(u64, String),
    /// A system call on the outside failed.
    #[error("cannot {0}: {1}")]
    System(&'static str, io::Error),
    /// All sandboxes are being ended.
    #[error("interrupted")]
    Interrupted,
}

#[derive(Serialize, Deserialize)]
enum Answer<T> {
    Refused { why: String, forbidden: bool },
    Panicked(String),
    Done(T),
}

/// Processes to end when the harness is interrupted, and whether that has begun.
static RUNNING: Mutex<(bool, Vec<Pid>)> = Mutex::new((false, Vec::new()));

/// Ends every sandbox of this process, refuses new ones, and returns once all is gone.
pub fn end_all() {
    let running = {
        let mut guard = RUNNING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        guard.0 = true;
        guard.1.clone()
    };
    for pid in &running {
        let _ = nix::sys::signal::kill(*pid, Signal::SIGTERM);
    }
    // Whoever started them reaps them, and strikes them off.
    let deadline = Instant::now() + Duration::from_secs(5);
    while Instant::now() < deadline {
        let left = RUNNING.lock().unwrap_or_else(std::sync::PoisonError::into_inner).1.clone();
        if left.is_empty() {
            return;
        }
        for pid in left {
            if let Ok(pidfd) = sys::pidfd_open(pid) {
                let _ = poll(&mut [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)], PollTimeout::from(50u8));
            }
        }
        std::thread::yield_now();
    }
}

/// Runs `act` as init of a fresh sandbox and returns what it returned, by value through a pipe.
///
/// # Errors
/// When the sandbox could not be made, or ended without an answer.
pub(crate) fn run<T, F>(request: &Request, act: F) -> Result<T, SandboxError>
where
    T: Serialize + DeserializeOwned,
    F: FnOnce(Inside) -> T,
{
    let (reader, writer) =
        pipe2(nix::fcntl::OFlag::O_CLOEXEC).map_err(|e| SandboxError::System("make a pipe", e.into()))?;
    let me = nix::unistd::getpid();
    let keeper = {
        let mut running = RUNNING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if running.0 {
            return Err(SandboxError::Interrupted);
        }
        // Signals stay blocked over the fork: a handler of the caller's must not run in the child.
        let mut before = SigSet::empty();
        let _ = pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), Some(&mut before));
        let forked = sys::fork();
        if let Ok(ForkResult::Child) = forked {
            keep::<T, F>(request, me, writer, act);
        }
        let _ = pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&before), None);
        match forked {
            Ok(ForkResult::Parent { child }) => running.1.push(child),
            _ => return Err(SandboxError::System("fork", io::Error::last_os_error())),
        }
        *running.1.last().unwrap_or(&me)
    };
    drop(writer);
    let mut reader = fs::File::from(reader);
    let answer = read_answer(&mut reader, request.patience);
    let whereabouts = answer.is_none().then(|| whereabouts(keeper));
    if answer.is_none() {
        // A subreaper that is killed outright leaves its descendants to the machine; it is asked first.
        let _ = nix::sys::signal::kill(keeper, Signal::SIGTERM);
        let _ = read_answer(&mut reader, LAST_PATIENCE);
        let _ = nix::sys::signal::kill(keeper, Signal::SIGKILL);
    }
    let ended = waitpid(keeper, None);
    let mut running = RUNNING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    running.1.retain(|pid| *pid != keeper);
    if running.0 {
        return Err(SandboxError::Interrupted);
    }
    drop(running);
    let Some(bytes) = answer else {
        return Err(SandboxError::TimedOut(request.patience.as_secs(), whereabouts.unwrap_or_default()));
    };
    match serde_json::from_slice(&bytes) {
        Ok(Answer::Done(value)) => Ok(value),
        Ok(Answer::Refused { why, forbidden: true }) => Err(SandboxError::Refused(why)),
        Ok(Answer::Refused { why, forbidden: false }) => Err(SandboxError::Failed(why)),
        Ok(Answer::Panicked(what)) => Err(SandboxError::Panicked(what)),
        Err(error) => Err(SandboxError::Ended(match ended {
            Ok(WaitStatus::Exited(_, status)) => format!("status {status}, {error}"),
            Ok(WaitStatus::Signaled(_, signal, _)) => format!("{signal}"),
            other => format!("{other:?}"),
        })),
    }
}

/// What the keeper and its child, init, are waiting for, as far as the kernel says (proc(5)): a hint for who reads a report of it.
fn whereabouts(keeper: Pid) -> String {
    let children = fs::read_to_string(format!("/proc/{keeper}/task/{keeper}/children")).unwrap_or_default();
    let all = std::iter::once(keeper.to_string()).chain(children.split_whitespace().map(str::to_owned));
    let one = |pid: String| {
        let of = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
        let status = of("status");
        let state = status.lines().find_map(|line| line.strip_prefix("State:")).unwrap_or("gone").trim().to_owned();
        let call = of("syscall").split_whitespace().take(2).collect::<Vec<_>>().join(" ");
        format!("{state}, system call {call}, {}", of("wchan"))
    };
    all.map(one).collect::<Vec<_>>().join("; ")
}

/// Everything up to the end of file; `None` when that does not come in time.
fn read_answer(file: &mut fs::File, patience: Duration) -> Option<Vec<u8>> {
    let deadline = Instant::now() + patience;
    let mut bytes = Vec::new();
    let mut chunk = [0; 65536];
    loop {
        let left = deadline.checked_duration_since(Instant::now())?;
        let timeout = PollTimeout::try_from(left.as_millis().min(1 << 30)).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(file.as_fd(), PollFlags::POLLIN)], timeout) {
            Ok(0) => return None,
            Err(nix::errno::Errno::EINTR) => continue,
            Err(_) => return None,
            Ok(_) => {}
        }
        match file.read(&mut chunk) {
            Ok(0) => return Some(bytes),
            Ok(n) if (bytes.len() + n) as u64 <= LONGEST_ANSWER => bytes.extend_from_slice(&chunk[..n]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            _ => return None,
        }
    }
}

/// What `act` comes to, or what it panicked with. Unwinding further would end in the caller's code, of which this process is a
/// copy: it would wait there for threads that only the caller has. The hook stays the caller's: another of his threads may just
/// have been in it, and then whoever changed it here would wait for ever.
fn unless_it_panics<T>(act: impl FnOnce() -> Answer<T>) -> Answer<T> {
    let me = nix::unistd::getpid();
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(act)).unwrap_or_else(|payload| {
        // Who was forked from it is not to answer for it.
        if nix::unistd::getpid() != me {
            sys::exit_now(1);
        }
        let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_default();
        Answer::Panicked(text.replace('\n', " "))
    })
}

/// The keeper. Never returns.
fn keep<T: Serialize, F: FnOnce(Inside) -> T>(request: &Request, parent: Pid, writer: OwnedFd, act: F) -> ! {
    let wanted = writer.as_raw_fd();
    std::mem::forget(writer);
    let nice = sys::nice();
    let answer = |answer: Answer<T>| {
        // SAFETY: `ANSWER` is open below, and nobody else owns it in this process.
        let mut out = unsafe { <fs::File as std::os::fd::FromRawFd>::from_raw_fd(ANSWER) };
        let _ = serde_json::to_vec(&answer).map(|bytes| out.write_all(&bytes));
    };
    let _ = sys::move_fd(wanted, ANSWER);
    sys::set_cloexec(ANSWER);
    sys::close_range(ANSWER + 1, i32::MAX);
    quiet_streams();
    // Handlers of the caller's go; then every signal may come again, but is only ever read by init.
    sys::reset_signals();
    let _ = [Signal::SIGTERM, Signal::SIGCHLD].into_iter().collect::<SigSet>().thread_block();
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o022));
    // A session of its own: Ctrl-C at the harness's terminal is the harness's to handle.
    let _ = setsid();
    let full = request.isolation == Isolation::Full;
    let _ = prctl::set_pdeathsig(if full { Signal::SIGKILL } else { Signal::SIGTERM });
    if getppid() != parent {
        sys::exit_now(1);
    }
    if !full {
        let orphaned = subreaper();
        sys::set_nice(-20);
        let launch_directory = request.directory.clone();
        let control_group = Err("it needs a sandbox".to_owned());
        let inside = Inside { root: None, launch_directory, nice, control_group, orphaned };
        answer(unless_it_panics(|| Answer::Done(act(inside))));
        end_descendants();
        sys::exit_now(0);
    }
    // Before the namespaces: who removes the group must not go with them.
    let (control_group, sweeper) = match request.control_group.then(cgroup::make) {
        Some(Ok((group, sweeper))) => (Ok(group), Some(sweeper)),
        Some(Err(why)) => (Err(why), None),
        None => (Err("none was asked for".to_owned()), None),
    };
    let user = match enter_namespaces() {
        Ok(user) => user,
        Err(Refusal { why, forbidden }) => {
            answer(Answer::Refused { why, forbidden });
            sweeper.into_iter().for_each(cgroup::Sweeper::finish);
            sys::exit_now(0);
        }
    };
    // Init learns from this pipe that the keeper was already gone when it asked to be told of its death.
    let Ok((alive_reader, alive_writer)) = pipe2(nix::fcntl::OFlag::O_CLOEXEC) else { sys::exit_now(1) };
    match sys::fork() {
        Ok(ForkResult::Child) => {
            drop(alive_writer);
            let _ = prctl::set_pdeathsig(Signal::SIGKILL);
            let mut fds = [PollFd::new(alive_reader.as_fd(), PollFlags::empty())];
            if matches!(poll(&mut fds, PollTimeout::ZERO), Ok(n) if n > 0) {
                sys::exit_now(1);
            }
            drop(alive_reader);
            answer(unless_it_panics(|| match furnish(request, user) {
                Ok(root) => {
                    let launch_directory = root.launch_directory.clone();
                    // Under a subject that forks without end, init must still get its turn.
                    sys::set_nice(-20);
                    let inside = Inside { root: Some(root), launch_directory, nice, control_group, orphaned: None };
                    Answer::Done(act(inside))
                }
                Err(Refusal { why, forbidden }) => Answer::Refused { why, forbidden },
            }));
            sys::exit_now(0);
        }
        Ok(ForkResult::Parent { child }) => {
            // Only init may hold the answer's pipe, and only the keeper the other.
            drop(alive_reader);
            sys::close_range(ANSWER, ANSWER);
            wait_for_init(child);
            drop(alive_writer);
            sweeper.into_iter().for_each(cgroup::Sweeper::finish);
            sys::exit_now(0);
        }
        Err(error) => {
            answer(Answer::Refused { why: format!("fork: {error}"), forbidden: false });
            sys::exit_now(0);
        }
    }
}

/// Waits until init has ended, and ends it when told to by SIGTERM. A namespace's init is only gone when all else in it is.
fn wait_for_init(init: Pid) {
    let awaited: SigSet = [Signal::SIGTERM, Signal::SIGCHLD].into_iter().collect();
    while let Ok(WaitStatus::StillAlive) = waitpid(init, Some(WaitPidFlag::WNOHANG)) {
        if awaited.wait() == Ok(Signal::SIGTERM) {
            let _ = nix::sys::signal::kill(init, Signal::SIGKILL);
        }
    }
}

/// 0, 1 and 2 on /dev/null: the caller's own are not the sandbox's to hold.
fn quiet_streams() {
    if let Ok(null) = fs::OpenOptions::new().read(true).write(true).open("/dev/null") {
        for fd in 0..=2 {
            let _ = sys::move_fd(null.as_raw_fd(), fd);
        }
    }
}

/// Leaves the machine's namespaces; says whether the result is an ordinary user's.
fn enter_namespaces() -> Result<bool, Refusal> {
    let wanted = CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWUTS;
    let (uid, gid) = (nix::unistd::geteuid(), nix::unistd::getegid());
    // Root of a user namespace (a rootless container) is as bound by locked mounts as any user.
    let initial =
        fs::read_to_string("/proc/self/uid_map").is_ok_and(|map| map.split_whitespace().eq(["0", "0", "4294967295"]));
    if uid.is_root() {
        match unshare(wanted) {
            Ok(()) => return Ok(!initial),
            // Root of a container without CAP_SYS_ADMIN may still have user namespaces.
            Err(nix::errno::Errno::EPERM) => {}
            Err(error) => return Err(Refusal::new("unshare", &error)),
        }
    }
    unshare(wanted | CloneFlags::CLONE_NEWUSER)
        .map_err(|error| Refusal::new(format_args!("no user namespaces for uid {uid} (unshare)"), &error))?;
    let write = |name: &str, text: String| {
        fs::write(format!("/proc/self/{name}"), text).map_err(|e| Refusal::new(format_args!("/proc/self/{name}"), &e))
    };
    write("setgroups", "deny".to_owned())?;
    write("uid_map", format!("{uid} {uid} 1"))?;
    write("gid_map", format!("{gid} {gid} 1"))?;
    Ok(true)
}

/// What is done inside before the scenario begins.
fn furnish(request: &Request, user: bool) -> Result<root::Root, Refusal> {
    let _ = nix::unistd::sethostname("sandbox");
    let mut missing = network::bring_up().map_err(|error| Refusal::new("network", &error))?;
    let mut root = root::enter(user, request)?;
    root.missing.append(&mut missing);
    Ok(root)
}

/// Without namespaces: orphans come to this process, and it hears when its parent dies.
fn subreaper() -> Option<OwnedFd> {
    let _ = prctl::set_child_subreaper(true);
    let set: SigSet = [Signal::SIGTERM].into_iter().collect();
    nix::sys::signalfd::SignalFd::with_flags(&set, nix::sys::signalfd::SfdFlags::SFD_CLOEXEC).ok().map(|fd| {
        let number = fd.as_raw_fd();
        std::mem::forget(fd);
        // SAFETY: the SignalFd that owned it was forgotten.
        unsafe { <OwnedFd as std::os::fd::FromRawFd>::from_raw_fd(number) }
    })
}

/// Kills every descendant until none is left. Orphans come to the caller, so a few rounds reach all; they are stopped
/// first, so that those which fork without end fall behind.
pub(crate) fn end_descendants() {
    loop {
        for signal in [Signal::SIGSTOP, Signal::SIGKILL] {
            for pid in crate::observe::descendants() {
                let _ = nix::sys::signal::kill(Pid::from_raw(pid), signal);
            }
        }
        // One that ends is waited for, the others that have ended are taken along.
        let mut flags = WaitPidFlag::__WALL;
        loop {
            match waitpid(None, Some(flags)) {
                Ok(WaitStatus::StillAlive) => break,
                Ok(_) | Err(nix::errno::Errno::EINTR) => flags |= WaitPidFlag::WNOHANG,
                Err(_) => return,
            }
        }
    }
}

/// Makes a sandbox, does nothing in it, and leaves it: whether this machine grants one.
///
/// # Errors
/// Why it does not.
pub fn probe() -> Result<(), SandboxError> {
    let request = Request {
        isolation: Isolation::Full,
        directory: std::env::current_dir().map_err(|e| SandboxError::System("find the current directory", e))?,
        documented: PathBuf::from("/"),
        writable: Vec::new(),
        control_group: false,
        patience: LAST_PATIENCE,
    };
    run(&request, |_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_inside_is_an_answer() {
        let directory = std::env::temp_dir();
        let request = Request {
            isolation: Isolation::None,
            documented: directory.clone(),
            directory,
            writable: Vec::new(),
            control_group: false,
            patience: Duration::from_secs(60),
        };
        let error = run(&request, |_| -> u8 { panic!("nobody\nthought of this") }).unwrap_err();
        let said = error.to_string();
        assert!(matches!(error, SandboxError::Panicked(_)), "{said}");
        assert!(said.contains("nobody thought of this"), "{said}");
    }
}
