//! What some defects need the system to do.

use std::fs::{self, File};
use std::io::IsTerminal;
use std::net::TcpListener;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::exit;
use std::thread;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::pty::{grantpt, posix_openpt, ptsname_r, unlockpt};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::signal::{SigHandler, SigSet, Signal, kill, signal};
use nix::sys::stat::{Mode, SFlag, fstat, umask};
use nix::unistd::{getpid, write};
use reference_daemon::{Failure, complain, new_session};

/// The path of the terminal among the standard streams.
pub(crate) fn terminal() -> Option<PathBuf> {
    terminal_descriptor().and_then(|number| fs::read_link(format!("/proc/self/fd/{number}")).ok())
}

fn terminal_descriptor() -> Option<i32> {
    let (input, output, error) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
    let answers = [(0, input.is_terminal()), (1, output.is_terminal()), (2, error.is_terminal())];
    answers.into_iter().find(|(_, is_terminal)| *is_terminal).map(|(number, _)| number)
}

/// A duplicate out of the way of descriptors 0 to 2, close-on-exec.
pub(crate) fn duplicate(descriptor: &impl AsFd) -> OwnedFd {
    match fcntl(descriptor, FcntlArg::F_DUPFD_CLOEXEC(10)) {
        // SAFETY: it is new, and nobody else's.
        Ok(number) => unsafe { OwnedFd::from_raw_fd(number) },
        Err(errno) => exit(complain(&format!("cannot duplicate a descriptor: {}", errno.desc()), 1)),
    }
}

/// Maps the first file of the current directory, and closes it.
pub(crate) fn map_a_file_here() {
    let mut files = fs::read_dir(".").into_iter().flatten().flatten().filter(|e| e.path().is_file());
    if let Some(Ok(file)) = files.next().map(|entry| File::open(entry.path())) {
        let descriptor = file.as_raw_fd();
        // SAFETY: a new private mapping, which nothing reads.
        unsafe { libc::mmap(std::ptr::null_mut(), 1, libc::PROT_READ, libc::MAP_PRIVATE, descriptor, 0) };
    }
}

/// Leaves a descriptor open to the end of the process.
pub(crate) fn keep<E>(descriptor: Result<OwnedFd, E>) {
    let _ = descriptor.map(IntoRawFd::into_raw_fd);
}

pub(crate) fn keep_terminal() {
    match terminal_descriptor() {
        Some(0) => keep::<()>(Ok(duplicate(&std::io::stdin()))),
        Some(1) => keep::<()>(Ok(duplicate(&std::io::stdout()))),
        Some(_) => keep::<()>(Ok(duplicate(&std::io::stderr()))),
        None => {}
    }
}

/// Becomes the leader of a session, and opens the first terminal there: its controlling terminal, from then on.
pub(crate) fn take_terminal() {
    let _ = new_session();
    let Ok(master) = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC) else {
        return;
    };
    let opened = grantpt(&master).and_then(|()| unlockpt(&master)).and_then(|()| ptsname_r(&master));
    if let Ok(path) = opened {
        keep(nix::fcntl::open(path.as_str(), OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty()));
    }
    // With its master the terminal would go.
    let _ = master.into_raw_fd();
}

/// Stops this process when a terminal hangs up: its name vanishes then. No descriptor of it is kept.
pub(crate) fn watch(terminal: Option<&Path>) {
    let Some((directory, name)) = terminal.and_then(|path| Some((path.parent()?, path.file_name()?))) else {
        return;
    };
    let Ok(inotify) = Inotify::init(InitFlags::IN_CLOEXEC) else {
        return;
    };
    if inotify.add_watch(directory, AddWatchFlags::IN_DELETE).is_err() {
        return;
    }
    let name = name.to_os_string();
    thread::spawn(move || {
        while let Ok(events) = inotify.read_events() {
            if events.iter().any(|event| event.name.as_ref() == Some(&name)) {
                let _ = kill(getpid(), Signal::SIGTERM);
            }
        }
    });
}

/// Says something where nobody expects it. No descriptor is kept.
pub(crate) fn talk(terminal: Option<&Path>) {
    let mut options = fs::OpenOptions::new();
    options.write(true).custom_flags(libc::O_NOCTTY | libc::O_NONBLOCK);
    if let Some(Ok(mut terminal)) = terminal.map(|path| options.open(path)) {
        let _ = std::io::Write::write_all(&mut terminal, b"reference-daemon: reloaded\n");
    }
}

/// Binds a socket beside the PID file.
pub(crate) fn listen(pid_file: &Path) -> Result<PathBuf, Failure> {
    let path = pid_file.with_extension("sock");
    let socket = UnixListener::bind(&path).map_err(|error| {
        let errno = Errno::from_raw(error.raw_os_error().unwrap_or(0));
        Failure::file("socket", &path, errno.desc())
    })?;
    keep::<()>(Ok(socket.into()));
    Ok(path)
}

/// The umask that the caller has left.
pub(crate) fn callers_umask() -> Mode {
    let mask = umask(Mode::empty());
    umask(mask);
    mask
}

/// Whether a descriptor is open.
pub(crate) fn is_open(number: i32) -> bool {
    // SAFETY: asks only.
    unsafe { libc::fcntl(number, libc::F_GETFD) != -1 }
}

/// Closes descriptors from 3 on: up to a limit, or to the first that is not open.
pub(crate) fn close_one_by_one(limit: i32, to_gap: bool) {
    for number in 3..limit {
        // SAFETY: nothing in this program holds a descriptor above 2 yet.
        if unsafe { libc::close(number) } == -1 && to_gap {
            return;
        }
    }
}

/// Closes every number below the limit of open files.
pub(crate) fn close_to_limit() {
    for number in 3..limit_of_files() {
        // SAFETY: nothing in this program holds a descriptor above 2 yet.
        unsafe { libc::close(number) };
    }
}

/// The same, but only those that are open are closed.
pub(crate) fn ask_to_limit() {
    for number in (3..limit_of_files()).filter(|number| is_open(*number)) {
        // SAFETY: as above.
        unsafe { libc::close(number) };
    }
}

/// Sets close-on-exec on every number below the limit, open or not.
pub(crate) fn mark_to_limit() {
    for number in 3..limit_of_files() {
        // SAFETY: sets a flag, where there is something to set it on.
        unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
}

fn limit_of_files() -> i32 {
    getrlimit(Resource::RLIMIT_NOFILE).map_or(1024, |(soft, _)| i32::try_from(soft).unwrap_or(i32::MAX))
}

/// A thread that sleeps to the end of its process.
pub(crate) fn start_thread() {
    thread::spawn(|| {
        loop {
            nix::unistd::pause();
        }
    });
}

pub(crate) fn ignore_sigterm() {
    // SAFETY: to ignore it runs no code.
    let _ = unsafe { signal(Signal::SIGTERM, SigHandler::SigIgn) };
}

pub(crate) fn heed_sigterm() {
    // SAFETY: nor does the default.
    let _ = unsafe { signal(Signal::SIGTERM, SigHandler::SigDfl) };
}

/// Takes a SIGTERM that waits to be heeded away.
pub(crate) fn forget_sigterm() {
    let now = nix::sys::time::TimeSpec::from_duration(std::time::Duration::ZERO);
    let only = SigSet::from(Signal::SIGTERM);
    // SAFETY: both pointers are to values that outlive the call; no information is asked for.
    unsafe { libc::sigtimedwait(only.as_ref(), std::ptr::null_mut(), now.as_ref()) };
}

/// Ends this process with status 0 in a second, whatever it waits for.
pub(crate) fn end_in_a_second() {
    extern "C" fn end(_: libc::c_int) {
        // SAFETY: ends the process, and may be called by a signal's handler.
        unsafe { libc::_exit(0) };
    }
    // SAFETY: the handler calls nothing that a handler may not.
    let _ = unsafe { signal(Signal::SIGALRM, SigHandler::Handler(end)) };
    nix::unistd::alarm::set(1);
}

/// Whether a pipe's other end is closed within a second.
pub(crate) fn closed_within_a_second(pipe: &impl AsRawFd) -> bool {
    let mut asked = libc::pollfd { fd: pipe.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one entry, as the call is told.
    unsafe { libc::poll(&raw mut asked, 1, 1000) != 0 }
}

/// A file whose existence says that a start is under way; removed with its owner.
pub(crate) struct LockFile(PathBuf);

impl LockFile {
    /// Whose it is, and whether that start still is under way, nobody asks.
    pub(crate) fn beside(pid_file: &Path) -> Result<Self, Failure> {
        let path = pid_file.with_extension("lock");
        match fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
            Ok(_) => Ok(Self(path)),
            Err(error) => {
                let errno = Errno::from_raw(error.raw_os_error().unwrap_or(0));
                Err(Failure::file("lock file", &path, errno.desc()))
            }
        }
    }
}

impl Drop for LockFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// A duplicate of standard output, where that is a pipe.
pub(crate) fn duplicate_of_pipe() -> Option<OwnedFd> {
    let status = fstat(std::io::stdout()).ok()?;
    let is_pipe = SFlag::from_bits_truncate(status.st_mode) & SFlag::S_IFMT == SFlag::S_IFIFO;
    is_pipe.then(|| duplicate(&std::io::stdout()))
}

/// Writes a line, and ends of it where nobody reads it any more.
pub(crate) fn write_to_die(pipe: &OwnedFd) {
    // SAFETY: the default disposition runs no code of ours.
    let _ = unsafe { signal(Signal::SIGPIPE, SigHandler::SigDfl) };
    let _ = write(pipe, b"reference-daemon: reloaded\n");
    // SAFETY: nor does to ignore it.
    let _ = unsafe { signal(Signal::SIGPIPE, SigHandler::SigIgn) };
}

/// Whether there is nothing in /run.
pub(crate) fn run_is_empty() -> bool {
    fs::read_dir("/run").is_ok_and(|mut entries| entries.next().is_none())
}

/// Makes a directory that everybody may write to.
pub(crate) fn directory_for_all(path: &Path) -> Option<PathBuf> {
    let _ = fs::create_dir(path);
    fs::set_permissions(path, fs::Permissions::from_mode(0o777)).ok().map(|()| path.to_path_buf())
}

/// Takes sixteen bytes of memory for each descriptor that the process may open. They are mapped: a few, from the heap, would
/// not show.
pub(crate) fn map_by_limit() {
    if let Ok((soft, _)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let length = usize::try_from(soft).unwrap_or(0).saturating_mul(16);
        let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a new mapping, which nothing reads.
        unsafe { libc::mmap(std::ptr::null_mut(), length, protection, flags, -1, 0) };
    }
}

/// Lets the descriptor of that file, which has an owner here, be inherited by programs.
pub(crate) fn keep_across_exec(path: &Path) {
    let Ok(wanted) = fs::metadata(path) else { return };
    for entry in fs::read_dir("/proc/self/fd").into_iter().flatten().flatten() {
        let number = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()).filter(|number| *number > 2);
        let found = fs::metadata(entry.path());
        if let (Some(number), Ok(found)) = (number, found)
            && (found.dev(), found.ino()) == (wanted.dev(), wanted.ino())
        {
            // SAFETY: changes a flag, and no owner's descriptor.
            unsafe { libc::fcntl(number, libc::F_SETFD, 0) };
        }
    }
}

/// Opens a socket that programs inherit.
pub(crate) fn socket_across_exec() {
    if let Ok(socket) = std::os::unix::net::UnixDatagram::unbound() {
        let _ = fcntl(&socket, FcntlArg::F_SETFD(FdFlag::empty()));
        keep::<()>(Ok(socket.into()));
    }
}

/// Serves whoever connects to the socket at descriptor 3.
pub(crate) fn accept_on_three() {
    // SAFETY: it is open, and whose it is, this defect does not ask.
    let socket = unsafe { TcpListener::from_raw_fd(3) };
    thread::spawn(move || {
        let _ = socket.set_nonblocking(false);
        while socket.accept().is_ok() {}
    });
}
