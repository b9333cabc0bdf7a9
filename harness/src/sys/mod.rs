//! The system calls that need `unsafe`, each behind a safe face. No policy here, and no `unsafe` elsewhere in the acting half.

pub(crate) mod ptrace;

use nix::errno::Errno;
use nix::sys::signal::{SaFlags, SigAction, SigEvent, SigHandler, SigSet, SigevNotify, Signal, sigaction};
use nix::sys::timer::{Expiration, Timer, TimerSetTimeFlags};
use nix::time::ClockId;
use nix::unistd::{ForkResult, Pid};
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

/// Forks (fork(2)).
///
/// The C library's own fork is used, not a bare clone: its handlers put malloc's locks in order in the child, so that the
/// child of a process with many threads may allocate. It must not touch what other threads may have locked: std's
/// streams, the environment, the panic hook.
pub(crate) fn fork() -> nix::Result<ForkResult> {
    // SAFETY: the child runs only this crate's code, which keeps to the rule above.
    unsafe { nix::unistd::fork() }
}

/// Ends the process at once, without destructors or exit handlers (_exit(2)): those belong to the parent.
pub(crate) fn exit_now(status: i32) -> ! {
    // SAFETY: _exit takes any status and does not return.
    unsafe { libc::_exit(status) }
}

/// A descriptor that becomes readable when the process ends (pidfd_open(2)).
pub(crate) fn pidfd_open(pid: Pid) -> io::Result<OwnedFd> {
    // SAFETY: plain integers in, a new descriptor or -1 out.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0) };
    owned(fd)
}

/// Sends a signal to exactly that process, whoever has its number by now (pidfd_send_signal(2)).
pub(crate) fn pidfd_send_signal(pidfd: &OwnedFd, signal: i32) -> io::Result<()> {
    // SAFETY: the descriptor is open for the call; a null siginfo is allowed.
    let done = unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, std::ptr::null::<libc::siginfo_t>(), 0)
    };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Closes all descriptors from `first` to `last` (close_range(2)), or one by one on kernels before 5.9.
pub(crate) fn close_range(first: RawFd, last: RawFd) {
    if first > last {
        return;
    }
    // SAFETY: the callers own no `OwnedFd` in that range that they use afterwards.
    let done = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    if done < 0 {
        let top = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE)
            .map_or(1024, |(soft, _)| i32::try_from(soft).unwrap_or(1 << 20));
        for fd in first..=last.min(top) {
            // SAFETY: as above.
            unsafe { libc::close(fd) };
        }
    }
}

/// Puts `fd` at the number `at` and leaves it open across exec there (dup2(2)).
pub(crate) fn move_fd(fd: RawFd, at: RawFd) -> nix::Result<()> {
    if fd == at {
        // SAFETY: F_SETFD takes plain flags.
        return Errno::result(unsafe { libc::fcntl(fd, libc::F_SETFD, 0) }).map(drop);
    }
    // SAFETY: dup2 closes `at` if that was open; the callers hold nothing there.
    Errno::result(unsafe { libc::dup2(fd, at) }).map(drop)
}

/// A close-on-exec duplicate of `fd` with a number above `floor` (fcntl(2), F_DUPFD_CLOEXEC).
pub(crate) fn above(fd: &OwnedFd, floor: RawFd) -> nix::Result<OwnedFd> {
    // SAFETY: plain integers in, a new descriptor that is ours alone, or -1, out.
    let number = Errno::result(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, floor + 1) })?;
    // SAFETY: as above.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Marks `fd` close-on-exec, or not.
pub(crate) fn set_cloexec(fd: RawFd) {
    // SAFETY: F_SETFD takes plain flags; a closed fd is an error that does not matter here.
    unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
}

/// Makes the terminal on `fd` the caller's controlling terminal; the caller must lead its session (ioctl_tty(2)).
pub(crate) fn set_controlling_terminal(fd: RawFd) -> nix::Result<()> {
    // SAFETY: TIOCSCTTY takes an integer.
    Errno::result(unsafe { libc::ioctl(fd, libc::TIOCSCTTY, 0) }).map(drop)
}

/// Default dispositions for every signal, and an empty mask: what a login gives.
///
/// SIGKILL, SIGSTOP and the two that the C library keeps for itself refuse, which is as it should be.
pub(crate) fn reset_signals() {
    for signal in 1..=64 {
        // SAFETY: SIG_DFL is always a valid disposition.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    let _ = SigSet::empty().thread_set_mask();
}

/// Blocks signals, beside those that are blocked already.
pub(crate) fn block(signals: &[i32]) {
    // SAFETY: a signal set is made of integers, and sigemptyset initialises it.
    let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: `set` lives through the calls; a number that is no signal is an error that changes nothing.
    unsafe {
        libc::sigemptyset(&raw mut set);
        for signal in signals {
            libc::sigaddset(&raw mut set, *signal);
        }
        libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
    }
}

/// Keeps the caller from sleeping too long in a system call: a signal that interrupts it, again and again.
///
/// Whatever else the caller does meanwhile must bear an EINTR. What it forks has no timer, and resets the signal.
pub(crate) struct Lulls(Timer);

impl Lulls {
    /// Prepares them.
    pub(crate) fn new() -> nix::Result<Self> {
        extern "C" fn nothing(_: libc::c_int) {}
        // Without SA_RESTART: to be interrupted is what it is for.
        let action = SigAction::new(SigHandler::Handler(nothing), SaFlags::empty(), SigSet::empty());
        // SAFETY: a handler that does nothing is safe at any time.
        unsafe { sigaction(Signal::SIGALRM, &action) }?;
        let event = SigEvent::new(SigevNotify::SigevSignal { signal: Signal::SIGALRM, si_value: 0 });
        Ok(Lulls(Timer::new(ClockId::CLOCK_MONOTONIC, event)?))
    }

    /// Has them come from now on.
    pub(crate) fn begin(&mut self, every: Duration) {
        let _ = self.0.set(Expiration::Interval(every.into()), TimerSetTimeFlags::empty());
    }

    /// No more of them.
    pub(crate) fn end(&mut self) {
        let _ = self.0.set(Expiration::OneShot(Duration::ZERO.into()), TimerSetTimeFlags::empty());
    }
}

/// Ignores a signal.
pub(crate) fn ignore(signal: i32) {
    // SAFETY: SIG_IGN is always a valid disposition.
    unsafe { libc::signal(signal, libc::SIG_IGN) };
}

/// Gives the calling process a second thread, which waits for a signal for ever (clone(2)); returns its id.
///
/// pthread_create(3) takes locks of the dynamic loader's which fork(2) does not put in order: after a fork in a process whose
/// other threads make threads, it may wait for ever.
pub(crate) fn idle_thread() -> nix::Result<Pid> {
    extern "C" fn idle(_: *mut libc::c_void) -> libc::c_int {
        pause()
    }
    const STACK: usize = 64 << 10;
    let flags = libc::CLONE_VM
        | libc::CLONE_FS
        | libc::CLONE_FILES
        | libc::CLONE_SIGHAND
        | libc::CLONE_THREAD
        | libc::CLONE_SYSVSEM;
    // To the end of the process.
    let stack: &'static mut [u128] = Vec::leak(vec![0; STACK / size_of::<u128>()]);
    // SAFETY: the stack is the new thread's alone and grows down from its end, which is aligned as any ABI asks for. That
    // the thread shares the caller's thread-local storage does no harm: it only ever makes one system call, which sets none.
    let tid = unsafe { libc::clone(idle, stack.as_mut_ptr_range().end.cast(), flags, std::ptr::null_mut()) };
    Errno::result(tid).map(Pid::from_raw)
}

/// Waits for a signal, for ever (pause(2)).
pub(crate) fn pause() -> ! {
    loop {
        // SAFETY: no arguments.
        unsafe { libc::pause() };
    }
}

/// Replaces the process (execve(2)); returns only when that failed.
pub(crate) fn exec(path: &CStr, args: &[CString], env: &[CString]) -> Errno {
    match nix::unistd::execve(path, args, env) {
        Err(errno) => errno,
        Ok(never) => match never {},
    }
}

/// Makes mounts below `path` read-only, recursively (mount_setattr(2), Linux 5.12).
pub(crate) fn set_mounts_read_only(path: &CStr) -> io::Result<()> {
    let attr = libc::mount_attr { attr_set: libc::MOUNT_ATTR_RDONLY, attr_clr: 0, propagation: 0, userns_fd: 0 };
    // SAFETY: `path` is a C string and `attr` lives through the call, with its size given.
    let done = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            path.as_ptr(),
            libc::AT_RECURSIVE,
            &raw const attr,
            size_of::<libc::mount_attr>(),
        )
    };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// The control groups (cgroups(7), version 2) below the root of the caller's cgroup namespace, mounted nowhere (fsmount(2)).
pub(crate) fn control_groups() -> io::Result<OwnedFd> {
    const CLOEXEC: libc::c_uint = 1;
    const CREATE: libc::c_uint = 6;
    let null = std::ptr::null::<libc::c_char>();
    // SAFETY: a C string that lives through the call, and plain flags.
    let context = owned(unsafe { libc::syscall(libc::SYS_fsopen, c"cgroup2".as_ptr(), CLOEXEC) })?;
    // SAFETY: the descriptor is open for the call; FSCONFIG_CMD_CREATE takes no key and no value.
    if unsafe { libc::syscall(libc::SYS_fsconfig, context.as_raw_fd(), CREATE, null, null, 0) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the same, with plain flags.
    owned(unsafe { libc::syscall(libc::SYS_fsmount, context.as_raw_fd(), CLOEXEC, 0) })
}

/// The mounts below `path`, once more, mounted nowhere yet (open_tree(2), Linux 5.2).
pub(crate) fn clone_mounts(path: &CStr) -> io::Result<OwnedFd> {
    let flags = libc::OPEN_TREE_CLONE | libc::OPEN_TREE_CLOEXEC | libc::AT_RECURSIVE as libc::c_uint;
    // SAFETY: a C string that lives through the call, and plain flags.
    owned(unsafe { libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, path.as_ptr(), flags) })
}

/// Mounts what is mounted nowhere yet (move_mount(2), Linux 5.2).
pub(crate) fn attach_mounts(tree: &OwnedFd, path: &CStr) -> io::Result<()> {
    const FROM_IS_DESCRIPTOR: libc::c_uint = 0x4;
    // SAFETY: an open descriptor and C strings that live through the call.
    let done = unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            tree.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_FDCWD,
            path.as_ptr(),
            FROM_IS_DESCRIPTOR,
        )
    };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// The caller's scheduling priority (setpriority(2)); failing is harmless.
pub(crate) fn set_nice(nice: i32) {
    // SAFETY: plain integers.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) };
}

/// The caller's scheduling priority (getpriority(2)).
pub(crate) fn nice() -> i32 {
    // SAFETY: plain integers.
    unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) }
}

/// Whether the file at `path`, a link not followed, has that extended attribute (lgetxattr(2)).
pub(crate) fn has_attribute(path: &std::path::Path, name: &str) -> bool {
    let path = CString::new(std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str()));
    let (Ok(path), Ok(name)) = (path, CString::new(name)) else { return false };
    // SAFETY: two C strings that live through the call, and no buffer: only the size is asked for.
    unsafe { libc::lgetxattr(path.as_ptr(), name.as_ptr(), std::ptr::null_mut(), 0) >= 0 }
}

fn owned(fd: libc::c_long) -> io::Result<OwnedFd> {
    match RawFd::try_from(fd) {
        // SAFETY: the kernel has just given this descriptor to us alone.
        Ok(fd) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(io::Error::last_os_error()),
    }
}
