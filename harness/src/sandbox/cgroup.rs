//! A control group of the sandbox's own, for a manager of services to rule over.
//!
//! A group does not go with the processes in it. So a sweeper, which nothing inside can reach and which outlives whoever asked
//! for it, makes the group, waits until all of them are gone, and removes it. It holds on when the harness is killed outright, and ends
//! as soon as that is done.

use super::root::Refusal;
use crate::sys;
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::SigSet;
use nix::sys::stat::Mode;
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, pipe2};
use std::fs;
use std::io::{self, Read, Seek};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long the processes of a group that is to go may take to end.
const LAST_PATIENCE: Duration = Duration::from_secs(10);
/// After how many names that are taken none is tried any more.
const LAST_NAME: i32 = 1000;

/// A control group.
pub(crate) struct ControlGroup(OwnedFd);

/// Who removes it, and what keeps it waiting.
pub(super) struct Sweeper {
    pid: Pid,
    key: OwnedFd,
}

fn at<T, E: super::root::Cause>(what: &str, result: Result<T, E>) -> Result<T, String> {
    result.map_err(|error| Refusal::new(what, &error).why)
}

fn path_of(directory: &OwnedFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd()))
}

/// Makes a group below the caller's own. The caller has one thread, and its cgroup namespace is then a new one.
pub(super) fn make() -> Result<(ControlGroup, Sweeper), String> {
    // In a namespace of its own: a mount made from the machine's would set the options of all mounts of that kind. Its root is
    // the caller's own group.
    at("no cgroup namespace (unshare)", unshare(CloneFlags::CLONE_NEWCGROUP))?;
    let above = at("no cgroup v2 (fsmount)", sys::control_groups())?;
    let me = nix::unistd::getpid();
    let (alive, key) = at("pipe", pipe2(OFlag::O_CLOEXEC))?;
    let (told, tell) = at("pipe", pipe2(OFlag::O_CLOEXEC))?;
    let sweeper = match at("fork", sys::fork())? {
        ForkResult::Child => {
            drop((key, told));
            make_and_sweep(&above, &alive, tell, me)
        }
        ForkResult::Parent { child } => Sweeper { pid: child, key },
    };
    drop((alive, tell));
    let mut answer = [0; 4];
    let number = at("no control group", fs::File::from(told).read_exact(&mut answer)).and_then(|()| {
        let number = i32::from_ne_bytes(answer);
        at("making a control group", if number < 0 { Err(Errno::from_raw(-number)) } else { Ok(number) })
    });
    let group = number.and_then(|number| {
        let place = path_of(&above).join(name_of(me, number));
        at("opening a control group", open(&place, OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty()))
    });
    match group {
        Ok(group) => Ok((ControlGroup(group), sweeper)),
        Err(why) => {
            sweeper.finish();
            Err(why)
        }
    }
}

fn name_of(maker: Pid, number: i32) -> String {
    format!("daemonspec-{maker}-{number}")
}

/// Makes a directory with the first name that is free: one may be taken by a group of another pid namespace's, or by one
/// whose sweeper was killed.
fn make_directory(above: &OwnedFd, maker: Pid) -> io::Result<i32> {
    let is_taken = |made: &io::Result<()>| matches!(made, Err(error) if error.kind() == io::ErrorKind::AlreadyExists);
    let mut number = 0;
    loop {
        let made = fs::create_dir(path_of(above).join(name_of(maker, number)));
        if !is_taken(&made) || number == LAST_NAME {
            return made.map(|()| number);
        }
        number += 1;
    }
}

impl ControlGroup {
    /// Moves the calling process into it.
    pub(crate) fn join(&self) -> io::Result<()> {
        fs::write(path_of(&self.0).join("cgroup.procs"), "0")
    }
}

impl Sweeper {
    /// Has the group removed once nobody else holds on, and waits for that.
    pub(super) fn finish(self) {
        drop(self.key);
        while waitpid(self.pid, None) == Err(Errno::EINTR) {}
    }
}

/// The sweeper, which tells the number of the group, or what is wrong as a negative errno. Never returns.
///
/// It makes the group itself: its maker may be killed at any moment, and then nobody else would know of it.
fn make_and_sweep(above: &OwnedFd, alive: &OwnedFd, tell: OwnedFd, maker: Pid) -> ! {
    let _ = SigSet::all().thread_block();
    let _ = nix::unistd::chdir("/");
    // What else is open is its maker's: above all the end on which an answer is awaited.
    let mut kept = [above.as_raw_fd(), alive.as_raw_fd(), tell.as_raw_fd()];
    kept.sort_unstable();
    let mut from = super::ANSWER;
    for fd in kept {
        sys::close_range(from, fd - 1);
        from = fd + 1;
    }
    sys::close_range(from, i32::MAX);
    let made = make_directory(above, maker);
    let number = made.as_ref().copied().unwrap_or_else(|error| -error.raw_os_error().unwrap_or(libc::EIO));
    let _ = nix::unistd::write(&tell, &number.to_ne_bytes());
    drop(tell);
    let Ok(number) = made else { sys::exit_now(1) };
    // Nobody writes to it: it ends when the last who holds the key is gone.
    while poll(&mut [PollFd::new(alive.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE) == Err(Errno::EINTR) {}
    let group = path_of(above).join(name_of(maker, number));
    // Since Linux 5.14; the end of their pid namespace ends them, too.
    let _ = fs::write(group.join("cgroup.kill"), "1");
    let _ = await_emptiness(&group);
    remove_below(&group);
    let _ = fs::remove_dir(group);
    sys::exit_now(0)
}

/// Waits until no process is in the group or below.
fn await_emptiness(group: &Path) -> io::Result<()> {
    let deadline = Instant::now() + LAST_PATIENCE;
    let mut events = fs::File::open(group.join("cgroup.events"))?;
    loop {
        let mut text = String::new();
        events.rewind()?;
        events.read_to_string(&mut text)?;
        let Some(left) = deadline.checked_duration_since(Instant::now()) else { return Ok(()) };
        if text.lines().any(|line| line == "populated 0") {
            return Ok(());
        }
        let left = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
        let _ = poll(&mut [PollFd::new(events.as_fd(), PollFlags::POLLPRI)], left);
    }
}

fn remove_below(group: &Path) {
    let Ok(entries) = fs::read_dir(group) else { return };
    for entry in entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        remove_below(&entry.path());
        let _ = fs::remove_dir(entry.path());
    }
}
