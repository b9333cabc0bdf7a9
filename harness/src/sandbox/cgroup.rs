//! A control group of the sandbox's own, for a manager of services to rule over.
//!
//! A group does not go with the processes in it. So a sweeper, which nothing inside can reach and which outlives whoever made
//! it, waits until all of them are gone, and removes the group. It holds on when the harness is killed outright, and ends
//! as soon as that is done.

use super::root::Refusal;
use crate::sys;
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
/// How many names are tried.
const MOST_NAMES: usize = 1000;

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
    // A name may be taken: by a group of another pid namespace's, or one whose sweeper was killed.
    let names = (0..MOST_NAMES).map(|number| format!("daemonspec-{me}-{number}"));
    let mut made = names.map(|name| (fs::create_dir(path_of(&above).join(&name)), name));
    let is_taken = |made: &io::Result<()>| matches!(made, Err(error) if error.kind() == io::ErrorKind::AlreadyExists);
    let (made, name) =
        made.find(|(made, _)| !is_taken(made)).ok_or_else(|| "no name for a control group is free".to_owned())?;
    at("making a control group", made)?;
    let place = path_of(&above).join(&name);
    let group = open(&place, OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty());
    let sweeper = at("opening a control group", group).and_then(|group| {
        let (alive, key) = at("pipe", pipe2(OFlag::O_CLOEXEC))?;
        match at("fork", sys::fork())? {
            ForkResult::Child => {
                drop(key);
                sweep(&above, &group, &alive, &name)
            }
            ForkResult::Parent { child } => Ok((ControlGroup(group), Sweeper { pid: child, key })),
        }
    });
    if sweeper.is_err() {
        let _ = fs::remove_dir(place);
    }
    sweeper
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
        while waitpid(self.pid, None) == Err(nix::errno::Errno::EINTR) {}
    }
}

/// The sweeper. Never returns.
fn sweep(above: &OwnedFd, group: &OwnedFd, alive: &OwnedFd, name: &str) -> ! {
    let _ = SigSet::all().thread_block();
    let _ = nix::unistd::chdir("/");
    // What else is open is its maker's: above all the end on which an answer is awaited.
    let mut kept = [above.as_raw_fd(), group.as_raw_fd(), alive.as_raw_fd()];
    kept.sort_unstable();
    let mut from = super::ANSWER;
    for fd in kept {
        sys::close_range(from, fd - 1);
        from = fd + 1;
    }
    sys::close_range(from, i32::MAX);
    // Nobody writes to it: it ends when the last who holds the key is gone.
    while poll(&mut [PollFd::new(alive.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE) == Err(nix::errno::Errno::EINTR)
    {
    }
    let group = path_of(group);
    // Since Linux 5.14; the end of their pid namespace ends them, too.
    let _ = fs::write(group.join("cgroup.kill"), "1");
    let _ = await_emptiness(&group);
    remove_below(&group);
    let _ = fs::remove_dir(path_of(above).join(name));
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
