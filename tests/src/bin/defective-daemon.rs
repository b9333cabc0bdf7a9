//! A daemon with one defect of your choice: `defective-daemon DEFECT [the reference daemon's options]`.
//!
//! It is the reference daemon's recipe, composed here once more from the same steps; each defect is one change to
//! it, at the place where `has` asks for its name. `none` has no defect, `--list` names them all.
//! They are defects of a start in the background; with `--foreground` it is the reference daemon.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::IsTerminal;
use std::os::fd::{AsFd, FromRawFd, IntoRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::exit;
use std::thread;
use std::time::Duration;

use daemonspec_tests::defects::DEFECTS;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::pty::{grantpt, posix_openpt, ptsname_r, unlockpt};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::stat::{Mode, lstat};
use nix::unistd::{dup2_stderr, dup2_stdin, dup2_stdout, getpid, pause, truncate};
use reference_daemon::{
    Account, Awaited, Command, Event, Failure, Fork, Log, Options, Outcome, Pid, PidFile, Report, change_to_root,
    close_inherited_descriptors, complain, end_first_child, fork, hold_signals, new_session, parse, prevent_core_dumps,
    readiness_pipe, reap_children, redirect_stdio, repair_stdio, reset_signal_dispositions, reset_signal_mask,
    resolve_paths, sanitise_environment, set_umask, wait_for,
};

fn main() {
    let mut arguments = std::env::args_os().skip(1);
    let name = arguments.next().map(|name| name.to_string_lossy().into_owned());
    let rest: Vec<OsString> = arguments.collect();
    exit(match name.as_deref() {
        Some("--list") => {
            DEFECTS.iter().for_each(|defect| println!("{}", defect.name));
            0
        }
        Some("none") => Defective { name: "none" }.run(rest),
        Some(name) => match DEFECTS.iter().find(|defect| defect.name == name) {
            Some(defect) => Defective { name: defect.name }.run(rest),
            None => complain(&format!("no defect named {name} (see --list)"), 2),
        },
        None => complain("a defect, or --list, or none, is needed", 2),
    });
}

/// The terminal it was started from, and what is kept of it or of the start.
struct Start {
    launcher: Pid,
    terminal: Option<PathBuf>,
}

/// A daemon that is ready.
struct Daemon {
    signals: Awaited,
    pid_file: PidFile,
    log: Log,
    socket: Option<PathBuf>,
}

#[derive(Clone, Copy)]
struct Defective {
    name: &'static str,
}

impl Defective {
    fn has(self, name: &str) -> bool {
        self.name == name
    }

    /// As `reference_daemon::run`.
    fn run(self, arguments: Vec<OsString>) -> i32 {
        match parse(arguments.clone()) {
            Ok(Command::Start(options)) if !options.foreground => self.background(options).unwrap_or_else(|failure| {
                if self.has("silent-failure") {
                    return 1;
                }
                complain(&failure.to_string(), if self.has("exit-0-on-failure") { 0 } else { 1 })
            }),
            _ => reference_daemon::run(arguments),
        }
    }

    fn background(self, mut options: Options) -> Result<i32, Failure> {
        repair_stdio()?; // 0
        close_inherited_descriptors()?; // 1
        reset_signal_dispositions()?; // 2
        reset_signal_mask()?; // 3
        // SAFETY: nothing has started a thread yet.
        unsafe { sanitise_environment()? }; // 4
        resolve_paths(&mut options)?;
        let account = options.user.as_deref().map(Account::look_up).transpose()?;
        let start = Start { launcher: getpid(), terminal: terminal() };
        let (outcome, report) = readiness_pipe()?;
        // SAFETY: as above.
        match unsafe { fork()? } {
            // 5
            Fork::Parent(first_child) => {
                drop(report);
                self.launcher(outcome, first_child)?; // 15
                Ok(0)
            }
            Fork::Child => {
                drop(outcome);
                Ok(self.daemon(&options, account.as_ref(), &start, report))
            }
        }
    }

    fn launcher(self, outcome: Outcome, first_child: Pid) -> Result<(), Failure> {
        if self.has("one-fork") || self.has("intermediate-stays") {
            // The first child does not end; to wait for what is no child is not to wait.
            return outcome.wait(getpid());
        }
        outcome.wait(first_child)?;
        while self.has("launcher-stays") {
            pause();
        }
        Ok(())
    }

    fn daemon(self, options: &Options, account: Option<&Account>, start: &Start, report: Report) -> i32 {
        let report = match self.detach(report) {
            Ok(report) => report,
            Err((report, failure)) => {
                report.failed(&failure);
                return 1;
            }
        };
        if self.has("reports-early") {
            let told = report.ready();
            // The defect is the delay: what follows comes after the launcher has ended.
            thread::sleep(Duration::from_millis(200));
            return match self.become_daemon(options, account, start) {
                Ok(daemon) if told.is_ok() => self.live(daemon, start),
                _ => 1,
            };
        }
        match self.become_daemon(options, account, start) {
            Err(Failure::AlreadyRunning { .. }) if self.has("refuses-silently") => i32::from(report.ready().is_err()),
            Err(failure) => {
                if self.has("refused-start-removes") && matches!(failure, Failure::AlreadyRunning { .. }) {
                    let _ = fs::remove_file(&options.pid_file);
                }
                report.failed(&failure); // 14
                1
            }
            Ok(daemon) => match report.ready() {
                // 14
                Ok(()) => self.live(daemon, start),
                Err(_) => self.end(daemon, 1),
            },
        }
    }

    /// Steps 6 to 8. The report is handed through because the first child may stay, and must not keep it.
    fn detach(self, report: Report) -> Result<Report, (Report, Failure)> {
        let stays = self.has("no-setsid") || self.has("dies-of-interrupt");
        if let Err(failure) = if stays { Ok(()) } else { new_session() } {
            // 6
            return Err((report, failure));
        }
        if self.has("one-fork") {
            return Ok(report);
        }
        // SAFETY: nothing has started a thread yet.
        match unsafe { fork() } {
            // 7
            Ok(Fork::Child) => Ok(report),
            Ok(Fork::Parent(child)) if self.has("intermediate-stays") => {
                drop(report);
                // It is no better and no worse a daemon than its child, but that it is there.
                let _ = redirect_stdio();
                set_umask();
                let _ = change_to_root();
                wait_for(child);
                end_first_child()
            }
            Ok(Fork::Parent(_)) => end_first_child(), // 8
            Err(failure) => Err((report, failure)),
        }
    }

    fn become_daemon(self, options: &Options, account: Option<&Account>, start: &Start) -> Result<Daemon, Failure> {
        if self.has("keeps-terminal-fd") {
            keep_terminal();
        }
        let kept = if self.has("keeps-stdin") { Some(duplicate(&std::io::stdin())) } else { None };
        let kept_output = if self.has("keeps-stdout") { Some(duplicate(&std::io::stdout())) } else { None };
        let kept_error = if self.has("keeps-stderr") { Some(duplicate(&std::io::stderr())) } else { None };
        redirect_stdio()?; // 9
        if let Some(stdin) = kept {
            let _ = dup2_stdin(stdin);
        }
        set_umask(); // 10
        if self.has("holds-launch-directory") {
            keep(File::open(".").map(OwnedFd::from));
        }
        if self.has("maps-launch-directory") {
            map_a_file_here();
        }
        if !self.has("no-chdir") {
            change_to_root()?; // 11
        }
        let signals = hold_signals()?;
        if self.has("dies-of-sighup") {
            let _ = SigSet::from(Signal::SIGHUP).thread_unblock();
        }
        if self.has("dies-of-interrupt") {
            let _ = SigSet::from(Signal::SIGINT).thread_unblock();
        }
        let pid_file = self.pid_file(&options.pid_file, start)?; // 12
        let initialised = self.initialise(options, account, &signals, start, kept_output, kept_error);
        match initialised {
            Ok((log, socket)) => Ok(Daemon { signals, pid_file, log, socket }),
            Err(failure) => {
                pid_file.remove();
                Err(failure)
            }
        }
    }

    fn pid_file(self, path: &Path, start: &Start) -> Result<PidFile, Failure> {
        if self.has("refuses-stale") && lstat(path).is_ok() {
            let pid = fs::OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path);
            let pid = pid.and_then(std::io::read_to_string).ok().and_then(|text| text.trim().parse().ok());
            return Err(Failure::AlreadyRunning { path: path.into(), pid });
        }
        let pid_file = PidFile::acquire(path)?;
        let written = if self.has("wrong-pid") {
            pid_file.write(&format!("{}\n", start.launcher))
        } else if self.has("no-newline") {
            pid_file.write(&getpid().to_string())
        } else if self.has("late-pidfile") {
            pid_file.write("")
        } else {
            Ok(())
        };
        if let Err(errno) = written {
            pid_file.remove();
            return Err(Failure::file("PID file", path, errno.desc()));
        }
        if self.has("no-lock") {
            drop(File::open(path));
        }
        Ok(pid_file)
    }

    fn initialise(
        self,
        options: &Options,
        account: Option<&Account>,
        signals: &Awaited,
        start: &Start,
        kept_output: Option<OwnedFd>,
        kept_error: Option<OwnedFd>,
    ) -> Result<(Log, Option<PathBuf>), Failure> {
        if self.has("truncates-log") {
            let _ = truncate(&options.log_file, 0);
        }
        if self.has("overwrites-log") {
            let log = fs::OpenOptions::new().write(true).open(&options.log_file);
            let _ = log.and_then(|mut log| std::io::Write::write_all(&mut log, b"started\n"));
        }
        let log = Log::open(&options.log_file)?;
        if let Some(stdout) = kept_output {
            let _ = dup2_stdout(stdout);
        }
        if let Some(stderr) = kept_error {
            let _ = dup2_stderr(stderr);
        }
        prevent_core_dumps()?;
        if let Some(account) = account {
            account.assume()?; // 13
        }
        if !options.ready_delay.is_zero() && signals.stopped_within(options.ready_delay) {
            return Err(Failure::Stopped);
        }
        if self.has("takes-terminal") {
            take_terminal();
        }
        if self.has("zombie-child") {
            child(|| {});
        }
        if self.has("orphans-worker") {
            child(work_for_ever);
        }
        if self.has("ends-with-terminal") {
            watch(start.terminal.as_deref());
        }
        let socket = if self.has("stale-socket") { Some(listen(&options.pid_file)?) } else { None };
        self.line(&log, "ready")?;
        if self.has("closes-stdin") {
            // SAFETY: descriptor 0 has no owner.
            drop(unsafe { OwnedFd::from_raw_fd(0) });
        }
        Ok((log, socket))
    }

    fn live(self, daemon: Daemon, start: &Start) -> i32 {
        if self.has("dies-when-ready") {
            // SAFETY: ends the process.
            unsafe { libc::_exit(0) };
        }
        if self.has("ends-soon") {
            // The defect: up and asleep, as a good daemon is, and then gone.
            thread::sleep(Duration::from_millis(300));
            return 0;
        }
        if self.has("late-pidfile") {
            while kill(start.launcher, None) != Err(Errno::ESRCH) {
                // That somebody else's child has been reaped is no event; it is asked again and again.
                thread::sleep(Duration::from_millis(1));
            }
            let _ = daemon.pid_file.write(&format!("{}\n", getpid()));
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
                    self.reopen(&daemon.log);
                    if self.has("talks-to-terminal") {
                        talk(start.terminal.as_deref());
                    }
                }
                Event::ChildEnded if self.has("zombie-child") => {}
                Event::ChildEnded => reap_children(),
            }
        }
        self.end(daemon, if self.has("exit-1-on-sigterm") { 1 } else { 0 })
    }

    fn end(self, daemon: Daemon, status: i32) -> i32 {
        if let Some(socket) = &daemon.socket {
            let _ = fs::remove_file(socket);
        }
        if !self.has("leaves-pidfile") {
            daemon.pid_file.remove();
        }
        let _ = self.line(&daemon.log, "stopped");
        status
    }

    /// The log writes to descriptor 2; where that is still the caller's, it is lent to it.
    fn line(self, log: &Log, text: &str) -> Result<(), Failure> {
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

/// The path of the terminal among the standard streams.
fn terminal() -> Option<PathBuf> {
    terminal_descriptor().and_then(|number| fs::read_link(format!("/proc/self/fd/{number}")).ok())
}

fn terminal_descriptor() -> Option<i32> {
    let (input, output, error) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
    let answers = [(0, input.is_terminal()), (1, output.is_terminal()), (2, error.is_terminal())];
    answers.into_iter().find(|(_, is_terminal)| *is_terminal).map(|(number, _)| number)
}

/// A duplicate out of the way of descriptors 0 to 2, close-on-exec.
fn duplicate(descriptor: &impl AsFd) -> OwnedFd {
    match fcntl(descriptor, FcntlArg::F_DUPFD_CLOEXEC(10)) {
        // SAFETY: it is new, and nobody else's.
        Ok(number) => unsafe { OwnedFd::from_raw_fd(number) },
        Err(errno) => exit(complain(&format!("cannot duplicate a descriptor: {}", errno.desc()), 1)),
    }
}

/// Maps the first file of the current directory, and closes it.
fn map_a_file_here() {
    let mut files = fs::read_dir(".").into_iter().flatten().flatten().filter(|e| e.path().is_file());
    if let Some(Ok(file)) = files.next().map(|entry| File::open(entry.path())) {
        let descriptor = std::os::fd::AsRawFd::as_raw_fd(&file);
        // SAFETY: a new private mapping, which nothing reads.
        unsafe { libc::mmap(std::ptr::null_mut(), 1, libc::PROT_READ, libc::MAP_PRIVATE, descriptor, 0) };
    }
}

/// Leaves a descriptor open to the end of the process.
fn keep<E>(descriptor: Result<OwnedFd, E>) {
    let _ = descriptor.map(IntoRawFd::into_raw_fd);
}

fn keep_terminal() {
    match terminal_descriptor() {
        Some(0) => keep::<()>(Ok(duplicate(&std::io::stdin()))),
        Some(1) => keep::<()>(Ok(duplicate(&std::io::stdout()))),
        Some(_) => keep::<()>(Ok(duplicate(&std::io::stderr()))),
        None => {}
    }
}

/// Becomes the leader of a session, and opens the first terminal there: its controlling terminal, from then on.
fn take_terminal() {
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

/// Forks a child that does this and ends.
fn child(work: impl FnOnce()) {
    // SAFETY: nothing has started a thread yet.
    if let Ok(Fork::Child) = unsafe { fork() } {
        work();
        // SAFETY: ends the process.
        unsafe { libc::_exit(0) };
    }
}

/// Holds nothing, and cannot be asked to end.
fn work_for_ever() {
    let _ = close_inherited_descriptors();
    let _ = redirect_stdio();
    let _ = SigSet::all().thread_block();
    loop {
        pause();
    }
}

/// Stops this process when a terminal hangs up: its name vanishes then. No descriptor of it is kept.
fn watch(terminal: Option<&Path>) {
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
fn talk(terminal: Option<&Path>) {
    let mut options = fs::OpenOptions::new();
    options.write(true).custom_flags(libc::O_NOCTTY | libc::O_NONBLOCK);
    if let Some(Ok(mut terminal)) = terminal.map(|path| options.open(path)) {
        let _ = std::io::Write::write_all(&mut terminal, b"reference-daemon: reloaded\n");
    }
}

/// Binds a socket beside the PID file.
fn listen(pid_file: &Path) -> Result<PathBuf, Failure> {
    let path = pid_file.with_extension("sock");
    let socket = UnixListener::bind(&path).map_err(|error| {
        let errno = Errno::from_raw(error.raw_os_error().unwrap_or(0));
        Failure::file("socket", &path, errno.desc())
    })?;
    keep::<()>(Ok(socket.into()));
    Ok(path)
}
