//! What a scenario acts with: the inside of the sandbox, seen from init.
//!
//! Everything awaited is an event (a child's end, a terminal's output, a pidfd) under one deadline; what has no event of its
//! own, rest above all, is looked at again whenever one came or a short timer ran out.

use crate::observation::{
    Exit, FileFound, FileKind, FileSeen, Kept, Launch, Look, Output, Pid, Process, Release, Seen, Stop, Text,
    Treatment, Unseen,
};
use crate::observe::{self, Pulse, Turns, files, mounts};
use crate::sandbox::shell::{self, Job, MARK, Order, Wires};
use crate::sandbox::{self, Inside, sys};
use crate::subject::{Ready, Subject};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::{PtyMaster, grantpt, posix_openpt, ptsname_r, unlockpt};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, recv, send, socketpair};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::{ForkResult, pipe2};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// More processes than this, and the subject counts as forking without end.
const MOST_PROCESSES: usize = 3000;
/// The pause between two looks at what has no event: doubled from the first to the last while nothing changes.
const FIRST_PAUSE: Duration = Duration::from_micros(100);
const LAST_PAUSE: Duration = Duration::from_millis(10);
/// Which part of the deadline a subject gets to come to rest that has already used a whole one up.
const RESTLESS: u32 = 20;
/// What is planted in a log to see whether it is kept.
const LOG_LINE: &[u8] = b"written before the restart\n";
/// How much is read from one terminal or pipe before the others get their turn.
const TURN: usize = 1 << 20;

/// Why a scenario cannot go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Halt {
    /// The program could not be executed: errno, and the word that named it.
    CannotStart(i32, Text),
    /// The setup line failed: its end, and what it said.
    Setup(String, Text),
    /// It forks without end: that many processes.
    TooManyProcesses(usize),
    /// Whoever asked is gone.
    Orphaned,
    /// The sandbox itself failed.
    System(String),
}

pub(crate) type Acted<T = ()> = Result<T, Halt>;

fn system<T>(what: &str, result: Result<T, impl std::fmt::Display>) -> Acted<T> {
    result.map_err(|error| Halt::System(format!("{what}: {error}")))
}

/// Keeps the first bytes and counts all.
#[derive(Default)]
struct Sink {
    head: Vec<u8>,
    bytes: u64,
}

impl Sink {
    fn take(&mut self, bytes: &[u8]) {
        let room = Text::LIMIT.saturating_sub(self.head.len()).min(bytes.len());
        self.head.extend_from_slice(&bytes[..room]);
        self.bytes += bytes.len() as u64;
    }

    fn output(&self) -> Output {
        Output { text: Text::new(&self.head), bytes: self.bytes }
    }
}

/// A terminal as its other end sees it: what came before the shell's mark, and what came after.
struct Terminal {
    master: Option<PtyMaster>,
    before: Sink,
    after: Sink,
    marked: bool,
    /// The last bytes before the mark, in which it may have begun.
    carry: Vec<u8>,
}

impl Terminal {
    fn take(&mut self, bytes: &[u8]) {
        if self.marked {
            return self.after.take(bytes);
        }
        let mut window = std::mem::take(&mut self.carry);
        window.extend_from_slice(bytes);
        if let Some(start) = window.windows(MARK.len()).position(|w| w == MARK) {
            self.before.take(&window[..start]);
            self.marked = true;
            return self.after.take(&window[start + MARK.len()..]);
        }
        let keep = window.len().min(MARK.len() - 1);
        let (done, rest) = window.split_at(window.len() - keep);
        self.before.take(done);
        self.carry = rest.to_vec();
    }
}

/// A shell, its terminal, and the launch it made.
struct Login {
    shell: Pid,
    pidfd: OwnedFd,
    control: OwnedFd,
    terminal: Terminal,
    errors: Option<(fs::File, Sink)>,
    /// Canaries it forked; none is a member.
    canaries: Vec<Pid>,
}

struct MainProcess {
    pid: Pid,
    pidfd: OwnedFd,
}

/// The inside of one sandbox.
pub(crate) struct World<'a> {
    /// The subject, its paths absolute.
    pub subject: &'a Subject,
    /// The directory that `{dir}` stands for.
    pub private: &'a Path,
    /// Its whole environment.
    environment: &'a [(OsString, OsString)],
    inside: Inside,
    init: Pid,
    children: SignalFd,
    exits: BTreeMap<Pid, Exit>,
    logins: Vec<Login>,
    main: Option<MainProcess>,
    /// The PID file, declared or discovered.
    pub pidfile: Option<PathBuf>,
    /// The log, declared or discovered.
    pub log: Option<PathBuf>,
    seen: Vec<(String, Seen)>,
    /// Without isolation: what is to be removed from the machine at the end.
    residue: Vec<PathBuf>,
    /// Whether a start is not at its end before the PID file names a live process.
    pub awaits_pidfile: bool,
    /// Whether the last launcher was still running at its deadline.
    pub launcher_hangs: bool,
    /// The last reading of its threads.
    pulse: Option<Pulse>,
    /// Whether the subject once did not come to rest in time; it is not given as long again.
    restless: bool,
}

impl<'a> World<'a> {
    /// Takes the sandbox over.
    pub(crate) fn new(
        subject: &'a Subject,
        environment: &'a [(OsString, OsString)],
        private: &'a Path,
        inside: Inside,
    ) -> Acted<Self> {
        let mut set = SigSet::empty();
        set.add(Signal::SIGCHLD);
        system("blocking SIGCHLD", set.thread_block())?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        let children = system("signalfd", SignalFd::with_flags(&set, flags))?;
        let mut world = World {
            subject,
            private,
            environment,
            inside,
            init: nix::unistd::getpid().as_raw(),
            children,
            exits: BTreeMap::new(),
            logins: Vec::new(),
            main: None,
            pidfile: subject.pidfile.clone(),
            log: subject.log.clone(),
            seen: Vec::new(),
            residue: Vec::new(),
            awaits_pidfile: true,
            launcher_hangs: false,
            pulse: None,
            restless: false,
        };
        if !world.is_isolated() {
            world.residue =
                [&subject.pidfile, &subject.log].into_iter().flatten().filter(|p| !p.exists()).cloned().collect();
            world.residue.push(private.to_owned());
            system("making a private directory", fs::create_dir(private))?;
        }
        Ok(world)
    }

    /// Writes the subject's files below `{dir}`, and runs its setup line, if it has one.
    pub(crate) fn set_up(&mut self) -> Acted {
        for (name, content) in &self.subject.files {
            let path = self.private.join(name);
            let parent = path.parent().map_or(Ok(()), fs::create_dir_all);
            system(name, parent.and_then(|()| fs::write(&path, content)))?;
        }
        let Some(line) = &self.subject.setup else { return Ok(()) };
        match self.shell_line(line)? {
            (Some(Exit::Status(0)), _) => Ok(()),
            (ended, said) => {
                Err(Halt::Setup(ended.map_or("no status in time".to_owned(), |exit| exit.to_string()), said))
            }
        }
    }

    /// Everything seen so far. On the machine itself all that was started is ended, and what it wrote where it was told to
    /// is removed; in a sandbox that goes with the sandbox.
    pub(crate) fn finish(mut self) -> Vec<(String, Seen)> {
        self.record_later_output();
        if !self.is_isolated() {
            sandbox::end_descendants();
            for path in &self.residue {
                let _ = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
            }
        }
        self.seen
    }

    /// Records something seen.
    pub(crate) fn record(&mut self, name: &str, seen: Seen) {
        self.seen.push((name.to_owned(), seen));
    }

    /// Records that a part could not be carried out.
    pub(crate) fn unseen(&mut self, name: &str, why: Unseen) {
        self.record(name, Seen::Unseen(why));
    }

    /// Whether the sandbox has a file system of its own, in which mounts may be changed.
    pub(crate) fn is_isolated(&self) -> bool {
        self.inside.root.is_some()
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.subject.timeout
    }

    // ---- events

    /// Takes in what has happened: output, ended children, the caller's end.
    fn pump(&mut self) -> Acted {
        for login in &mut self.logins {
            login.drain();
        }
        while matches!(self.children.read_signal(), Ok(Some(_))) {}
        loop {
            match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, status)) => self.exits.insert(pid.as_raw(), Exit::Status(status)),
                Ok(WaitStatus::Signaled(pid, signal, _)) => {
                    self.exits.insert(pid.as_raw(), Exit::Signal(signal as i32))
                }
                Ok(WaitStatus::StillAlive) | Err(_) => break,
                Ok(_) => None,
            };
        }
        if let Some(orphaned) = &self.inside.orphaned {
            if is_readable(orphaned.as_fd()) {
                return Err(Halt::Orphaned);
            }
        }
        let count = if self.is_isolated() { observe::all_pids().len() } else { observe::descendants().len() };
        if count > MOST_PROCESSES { Err(Halt::TooManyProcesses(count)) } else { Ok(()) }
    }

    /// Sleeps until something happens, or `pause` is over. `also` is one more descriptor to watch.
    fn sleep(&self, also: Option<BorrowedFd<'_>>, pause: Duration) {
        let mut fds = vec![PollFd::new(self.children.as_fd(), PollFlags::POLLIN)];
        fds.extend(self.inside.orphaned.iter().map(|fd| PollFd::new(fd.as_fd(), PollFlags::POLLIN)));
        for login in &self.logins {
            fds.extend(login.terminal.master.iter().map(|m| PollFd::new(m.as_fd(), PollFlags::POLLIN)));
            fds.extend(login.errors.iter().map(|(pipe, _)| PollFd::new(pipe.as_fd(), PollFlags::POLLIN)));
        }
        fds.extend(also.map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
        let time = nix::sys::time::TimeSpec::from_duration(pause);
        let _ = nix::poll::ppoll(&mut fds, Some(time), None);
    }

    /// Waits for `also` to become readable; says whether it did before the deadline.
    fn await_readable(&mut self, also: BorrowedFd<'_>, deadline: Instant) -> Acted<bool> {
        loop {
            self.pump()?;
            if is_readable(also) {
                return Ok(true);
            }
            let Some(left) = deadline.checked_duration_since(Instant::now()) else { return Ok(false) };
            // A terminal that only hung up stays readable; the short pause keeps that from spinning.
            self.sleep(Some(also), left.min(Duration::from_millis(20)));
        }
    }

    /// Waits until `done` says so; says whether that was before the deadline.
    fn await_that(&mut self, deadline: Instant, mut done: impl FnMut(&mut Self) -> Acted<bool>) -> Acted<bool> {
        let mut pause = FIRST_PAUSE;
        loop {
            self.pump()?;
            if done(self)? {
                return Ok(true);
            }
            let Some(left) = deadline.checked_duration_since(Instant::now()) else { return Ok(false) };
            self.sleep(None, left.min(pause));
            pause = (pause * 2).min(LAST_PAUSE);
        }
    }

    // ---- looking

    /// The subject's processes: all descendants of init but the shells and their canaries.
    fn member_pids(&self) -> Vec<Pid> {
        let mut pids = observe::descendants();
        pids.retain(|pid| !self.logins.iter().any(|l| l.shell == *pid || l.canaries.contains(pid)));
        pids
    }

    /// Waits until no thread of any member runs; says whether that was before the deadline.
    fn rest(&mut self, deadline: Instant) -> Acted<bool> {
        self.pulse = None;
        let deadline =
            if self.restless { deadline.min(Instant::now() + self.subject.timeout / RESTLESS) } else { deadline };
        let rests = self.await_that(deadline, |world| {
            let now = observe::pulse(&world.member_pids());
            let rests = world.pulse.as_ref().is_some_and(|earlier| now.proves_rest(earlier));
            world.pulse = Some(now);
            Ok(rests)
        })?;
        self.restless |= !rests;
        Ok(rests)
    }

    /// Waits until the start has come to its end: at rest, and ready as far as the subject says what that is. Where nothing
    /// that is running waits for a time limit, nothing more can come, and it is taken as it is.
    pub(crate) fn settle(&mut self) -> Acted<bool> {
        let deadline = self.deadline();
        let mut at_rest = false;
        self.await_that(deadline, |world| {
            at_rest = world.rest(deadline)?;
            let members = world.member_pids();
            Ok(!at_rest || members.is_empty() || world.is_ready(&members) || observe::waits_without_limit(&members))
        })?;
        Ok(at_rest)
    }

    fn is_ready(&self, members: &[Pid]) -> bool {
        let declared = self.subject.pidfile.as_deref().filter(|_| self.awaits_pidfile);
        declared.is_none_or(|path| files::number_in(path).is_some_and(|pid| members.contains(&pid)))
            && self.subject.ready.iter().all(|ready| match ready {
                Ready::Tcp(address) => observe::listens(*address),
                Ready::Unix(path) => files::seen(path).found.is_some_and(|f| f.kind == FileKind::Socket),
                Ready::File(path) => path.exists(),
            })
    }

    /// Lets every short pause run out once, so that a `sleep(1)` within the start is not taken for its end.
    pub(crate) fn let_pauses_pass(&mut self) -> Acted {
        let deadline = self.deadline();
        let mut turns = Turns::default();
        self.await_that(deadline, |world| {
            let at_rest = world.rest(deadline)?;
            Ok(!at_rest || world.pulse.as_ref().is_none_or(|pulse| turns.have_passed(pulse)))
        })?;
        Ok(())
    }

    /// Looks around once the start has settled, and remembers which process is the daemon.
    pub(crate) fn look(&mut self, name: &str) -> Acted<Look> {
        let at_rest = self.settle()?;
        let members = observe::processes(&self.member_pids());
        let alive: Vec<Pid> = members.iter().filter(|p| !p.is_zombie()).map(|p| p.pid).collect();
        if self.pidfile.is_none() {
            self.discover_pidfile(&alive);
        }
        let pidfile = self.pidfile.as_deref().map(files::seen);
        let main = observe::main_of(&members, pidfile.as_ref().and_then(FileSeen::number), self.init);
        let pidfd = main.and_then(|(pid, _)| sys::pidfd_open(nix::unistd::Pid::from_raw(pid)).ok());
        self.main = main.zip(pidfd).map(|((pid, _), pidfd)| MainProcess { pid, pidfd });
        if self.log.is_none() {
            self.log = main.and_then(|(pid, _)| log_of(members.iter().find(|p| p.pid == pid)?));
        }
        let log = self.log.as_deref().map(files::seen);
        let look = Look { at_rest, members, main, pidfile, log };
        self.record(name, Seen::Look(Box::new(look.clone())));
        Ok(look)
    }

    /// Looks for a PID file among all that was written, and says of earlier launches what it held when they ended.
    fn discover_pidfile(&mut self, survivors: &[Pid]) {
        let Some(root) = &self.inside.root else { return };
        let Some(path) = files::discover(&files::that_hold_a_pid(root.written.as_fd()), survivors) else { return };
        for (_, seen) in &mut self.seen {
            if let Seen::Launch(launch) = seen {
                let shown = Text::new(std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str()));
                let at_exit = launch.files_at_exit.iter().find(|f| f.path == shown).cloned();
                launch.pidfile_at_exit = launch.ended.map(|_| at_exit.unwrap_or(FileSeen { path: shown, found: None }));
            }
        }
        self.pidfile = Some(path);
    }

    /// Whether the main process that was last seen still lives.
    pub(crate) fn main_lives(&self) -> bool {
        self.main.as_ref().is_some_and(|main| !is_readable(main.pidfd.as_fd()))
    }

    // ---- acting

    /// Starts the subject from a shell on a terminal of its own and waits for the started process to end.
    ///
    /// `errors_apart`: standard error is a pipe, so that what is said there can be told from the rest.
    pub(crate) fn launch(&mut self, name: &str, command: &[OsString], errors_apart: bool) -> Acted<Option<Exit>> {
        let directory = self.inside.launch_directory.clone();
        let job = Job::new(command, self.environment, &directory, self.inside.nice)
            .map_err(|_| Halt::CannotStart(libc::EINVAL, Text::new(b"a word with a NUL byte")))?;
        let (master, slave) = system("opening a terminal", open_terminal())?;
        let meta = system("opening a terminal", fs::File::from(system("dup", slave.try_clone())?).metadata())?;
        let (ours, theirs) =
            system("socketpair", socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC))?;
        let (exec_error, exec_error_writer) = system("pipe", pipe2(OFlag::O_CLOEXEC))?;
        let (errors, errors_writer) = if errors_apart {
            let (reader, writer) = system("pipe", pipe2(OFlag::O_CLOEXEC))?;
            let _ = fcntl(&reader, FcntlArg::F_SETFL(OFlag::O_NONBLOCK));
            (Some((fs::File::from(reader), Sink::default())), Some(writer))
        } else {
            (None, None)
        };
        let wires = Wires { terminal: slave, control: theirs, exec_error: exec_error_writer, errors: errors_writer };
        let shell = match system("fork", sys::fork())? {
            ForkResult::Child => shell::run(&job, wires),
            ForkResult::Parent { child } => child,
        };
        drop(wires);
        let terminal = Terminal {
            master: Some(master),
            before: Sink::default(),
            after: Sink::default(),
            marked: false,
            carry: Vec::new(),
        };
        let pidfd = system("pidfd_open", sys::pidfd_open(shell))?;
        self.logins.push(Login { shell: shell.as_raw(), pidfd, control: ours, terminal, errors, canaries: Vec::new() });
        let launcher = self
            .answer()?
            .ok_or_else(|| Halt::System("the shell could not start in the launch directory".to_owned()))?;
        let launcher_pidfd = system("pidfd_open", sys::pidfd_open(nix::unistd::Pid::from_raw(launcher)))?;
        self.order(Order::Go);
        let deadline = self.deadline();
        // A successful exec closes the pipe; a failed one writes the reason.
        self.await_readable(exec_error.as_fd(), deadline)?;
        let mut errno = [0; 4];
        if fs::File::from(exec_error).read_exact(&mut errno).is_ok() {
            let program =
                command.first().map(|w| std::os::unix::ffi::OsStrExt::as_bytes(w.as_os_str())).unwrap_or_default();
            return Err(Halt::CannotStart(i32::from_ne_bytes(errno), Text::new(program)));
        }
        let ended_in_time = self.await_readable(launcher_pidfd.as_fd(), deadline)?;
        self.launcher_hangs = !ended_in_time;
        // The instant that counts: the launcher has ended and nobody has reaped it yet.
        let pidfile_at_exit = self.pidfile.as_deref().filter(|_| ended_in_time).map(files::seen);
        let files_at_exit = match &self.inside.root {
            Some(root) if self.pidfile.is_none() && ended_in_time => files::that_hold_a_pid(root.written.as_fd()),
            _ => Vec::new(),
        };
        let ended = if ended_in_time { self.reap_launcher()? } else { None };
        let shell = observe::process(shell.as_raw());
        let login = self.logins.last().ok_or_else(|| Halt::System("no shell".to_owned()))?;
        let launch = Launch {
            shell: login.shell,
            shell_tty_nr: shell.as_ref().map_or(0, |s| s.tty_nr),
            terminal: meta.rdev(),
            launcher,
            directory: Text::new(std::os::unix::ffi::OsStrExt::as_bytes(directory.as_os_str())),
            ended,
            files_at_exit,
            pidfile_at_exit,
            output: login.terminal.before.output(),
            errors: login.errors.as_ref().map(|(_, sink)| sink.output()),
        };
        self.record(name, Seen::Launch(Box::new(launch)));
        Ok(ended)
    }

    /// Lets the shell reap the launcher, and waits for its mark on the terminal.
    fn reap_launcher(&mut self) -> Acted<Option<Exit>> {
        self.order(Order::Reap);
        let status = self.answer()?;
        let deadline = self.deadline();
        // Where the terminal no longer takes output there is no mark, and nothing later can be told apart either.
        self.await_that(deadline, |world| {
            Ok(world.logins.last().is_none_or(|l| l.terminal.marked || is_readable(l.pidfd.as_fd())))
        })?;
        if let Some(login) = self.logins.last_mut() {
            login.terminal.marked = true;
        }
        Ok(status
            .filter(|s| *s >= 0)
            .map(|raw| if raw & 0x7f == 0 { Exit::Status(raw >> 8) } else { Exit::Signal(raw & 0x7f) }))
    }

    fn order(&mut self, order: Order) {
        if let Some(login) = self.logins.last() {
            let _ = send(login.control.as_raw_fd(), &[order as u8], MsgFlags::MSG_NOSIGNAL);
        }
    }

    /// The shell's answer; `None` when it has ended.
    fn answer(&mut self) -> Acted<Option<i32>> {
        let deadline = self.deadline();
        let Some(login) = self.logins.last() else { return Ok(None) };
        let control = system("dup", login.control.try_clone())?;
        if !self.await_readable(control.as_fd(), deadline)? {
            return Ok(None);
        }
        let mut number = [0; 4];
        Ok(match recv(control.as_raw_fd(), &mut number, MsgFlags::MSG_DONTWAIT) {
            Ok(4) => Some(i32::from_ne_bytes(number)),
            _ => None,
        })
    }

    /// Puts a canary into the terminal's foreground.
    fn canary(&mut self) -> Acted<Option<OwnedFd>> {
        self.order(Order::Canary);
        let Some(pid) = self.answer()? else { return Ok(None) };
        if let Some(login) = self.logins.last_mut() {
            login.canaries.push(pid);
        }
        Ok(sys::pidfd_open(nix::unistd::Pid::from_raw(pid)).ok())
    }

    /// What became of the main process after something was done to it.
    fn outcome(&mut self, name: &str, delivered: bool) -> Acted<bool> {
        let deadline = self.deadline();
        let at_rest = self.rest(deadline)?;
        let survived = self.main_lives();
        let Some(pid) = self.main.as_ref().map(|main| main.pid) else { return Ok(false) };
        let treatment = Treatment { delivered, at_rest, main: pid, survived, ended: self.exits.get(&pid).copied() };
        self.record(name, Seen::Treatment(treatment));
        Ok(survived)
    }

    /// Types a control character at the terminal; a canary in the foreground proves that its signal arrived there.
    pub(crate) fn type_at_terminal(&mut self, name: &str, key: u8) -> Acted<bool> {
        let canary = self.canary()?;
        let typed = self.logins.last().and_then(|l| l.terminal.master.as_ref()).is_some_and(|master| {
            // The subject may have turned keys into signals off, and the echo would look like its own output.
            if let Ok(mut modes) = nix::sys::termios::tcgetattr(master) {
                use nix::sys::termios::{LocalFlags, SetArg, tcsetattr};
                modes.local_flags.insert(LocalFlags::ISIG);
                modes.local_flags.remove(LocalFlags::ECHO);
                let _ = tcsetattr(master, SetArg::TCSANOW, &modes);
            }
            nix::unistd::write(master, &[key]) == Ok(1)
        });
        let deadline = self.deadline();
        let delivered = match canary {
            Some(canary) if typed => self.await_readable(canary.as_fd(), deadline)?,
            _ => false,
        };
        self.outcome(name, delivered)
    }

    /// Closes the terminal's other end: the line drops, the shell dies of it, and its foreground is hung up.
    pub(crate) fn hang_up(&mut self, name: &str) -> Acted<bool> {
        let canary = self.canary()?;
        self.pump()?;
        let Some(login) = self.logins.last_mut() else { return Ok(false) };
        login.terminal.master = None;
        let shell = system("dup", login.pidfd.try_clone())?;
        let deadline = self.deadline();
        let mut delivered = self.await_readable(shell.as_fd(), deadline)?;
        if let Some(canary) = canary {
            delivered &= self.await_readable(canary.as_fd(), deadline)?;
        }
        self.outcome(name, delivered)
    }

    /// Sends a signal to the main process.
    pub(crate) fn signal_main(&mut self, name: &str, signal: Signal) -> Acted<bool> {
        let delivered =
            self.main.as_ref().is_some_and(|main| sys::pidfd_send_signal(&main.pidfd, signal as i32).is_ok());
        self.outcome(name, delivered)
    }

    /// Stops the daemon, by SIGTERM or by its own stop command, and looks at what is left once nothing more can come.
    pub(crate) fn stop(&mut self, name: &str, line: Option<&str>) -> Acted {
        let deadline = self.deadline();
        match line {
            Some(line) => drop(self.shell_line(line)?),
            None => {
                if let Some(main) = &self.main {
                    let _ = sys::pidfd_send_signal(&main.pidfd, Signal::SIGTERM as i32);
                }
            }
        }
        let Some(main) = &self.main else { return Ok(()) };
        let pid = main.pid;
        let pidfd = system("dup", main.pidfd.try_clone())?;
        let gone = self.await_readable(pidfd.as_fd(), deadline)?;
        if gone {
            // Its children may still be on their way out: until none is left, or none of them will wake by itself.
            self.await_that(deadline, |world| {
                let left = world.member_pids();
                Ok(left.is_empty() || (world.rest(deadline)? && observe::waits_without_limit(&world.member_pids())))
            })?;
        }
        self.pump()?;
        let left: Vec<Process> =
            observe::processes(&self.member_pids()).into_iter().filter(|p| !p.is_zombie()).collect();
        let stop = Stop {
            main: pid,
            gone,
            ended: self.exits.get(&pid).copied(),
            left,
            pidfile: self.pidfile.as_deref().map(files::seen),
        };
        self.record(name, Seen::Stop(Box::new(stop)));
        Ok(())
    }

    /// Ends every member with SIGKILL and waits until the last is gone.
    pub(crate) fn kill_all(&mut self) -> Acted<bool> {
        let deadline = self.deadline();
        self.await_that(deadline, |world| {
            let pids = world.member_pids();
            for pid in &pids {
                let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(*pid), Signal::SIGKILL);
            }
            Ok(pids.is_empty())
        })
    }

    /// Tries to unmount the launch directory, and says who keeps it.
    pub(crate) fn release_launch_directory(&mut self, name: &str) -> Acted {
        self.order(Order::Leave);
        self.answer()?;
        let mounts = mounts::at_and_below(&self.inside.launch_directory);
        let ids: Vec<i32> = mounts.iter().map(|(_, id)| *id).collect();
        let holders = mounts::holders(&self.member_pids(), &ids);
        let unmounted = !mounts.is_empty()
            && mounts.iter().all(|(path, _)| nix::mount::umount2(path, nix::mount::MntFlags::UMOUNT_NOFOLLOW).is_ok());
        self.record(name, Seen::Release(Release { unmounted, holders }));
        Ok(())
    }

    /// Runs a shell line beside the subject, away from any terminal; returns how it ended and what it said.
    fn shell_line(&mut self, line: &str) -> Acted<(Option<Exit>, Text)> {
        let command: Vec<OsString> = ["/bin/sh", "-c", line].into_iter().map(OsString::from).collect();
        let job = Job::new(&command, self.environment, &self.inside.launch_directory, self.inside.nice)
            .map_err(|_| Halt::CannotStart(libc::EINVAL, Text::new(b"a shell line with a NUL byte")))?;
        let (reader, writer) = system("pipe", pipe2(OFlag::O_CLOEXEC))?;
        let child = match system("fork", sys::fork())? {
            ForkResult::Child => shell::run_line(&job, &writer),
            ForkResult::Parent { child } => child,
        };
        drop(writer);
        let pidfd = system("pidfd_open", sys::pidfd_open(child))?;
        let _ = fcntl(&reader, FcntlArg::F_SETFL(OFlag::O_NONBLOCK));
        let (mut said, mut pipe) = (Sink::default(), fs::File::from(reader));
        let deadline = self.deadline();
        let ended = self.await_that(deadline, |_| {
            drain(&mut pipe, |bytes| said.take(bytes));
            Ok(is_readable(pidfd.as_fd()))
        })?;
        drain(&mut pipe, |bytes| said.take(bytes));
        self.pump()?;
        if !ended {
            let _ = sys::pidfd_send_signal(&pidfd, Signal::SIGKILL as i32);
        }
        Ok((self.exits.get(&child.as_raw()).copied().filter(|_| ended), Text::new(&said.head)))
    }

    /// Moves what the terminals showed after their launchers' end into the record.
    fn record_later_output(&mut self) {
        for index in 0..self.logins.len() {
            self.logins[index].drain();
            let output = self.logins[index].terminal.after.output();
            self.record("terminal", Seen::Output(output));
        }
    }

    /// Adds a line to the log while no daemon runs, and remembers where.
    pub(crate) fn plant_log_line(&mut self) -> Acted<Result<(PathBuf, u64), Unseen>> {
        use std::io::Write;
        let Some(path) = self.log.clone() else {
            return Ok(Err(Unseen::Skip("no log was declared, and descriptors 1 and 2 are no file".to_owned())));
        };
        let planted = fs::OpenOptions::new().append(true).open(&path).and_then(|mut file| {
            let at = file.metadata()?.len();
            file.write_all(LOG_LINE).map(|()| at)
        });
        Ok(planted
            .map(|at| (path.clone(), at))
            .map_err(|error| Unseen::Broken(format!("cannot write to {}: {error}", path.display()))))
    }

    /// Looks whether that line is still where it was.
    pub(crate) fn look_for_log_line(&mut self, name: &str, planted: Result<(PathBuf, u64), Unseen>) -> Acted {
        use std::io::{Seek, SeekFrom};
        let (path, at) = match planted {
            Ok(planted) => planted,
            Err(why) => {
                self.unseen(name, why);
                return Ok(());
            }
        };
        let mut bytes = vec![0; LOG_LINE.len()];
        let read = fs::File::open(&path).and_then(|mut file| {
            file.seek(SeekFrom::Start(at))?;
            file.read_exact(&mut bytes)
        });
        let kept = read.is_ok() && bytes == LOG_LINE;
        let path = Text::new(std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str()));
        self.record(name, Seen::Kept(Kept { line: Text::new(LOG_LINE), path, kept }));
        Ok(())
    }

    /// A process id that was a process's and is no longer.
    pub(crate) fn dead_pid(&mut self) -> Acted<Pid> {
        match system("fork", sys::fork())? {
            ForkResult::Child => sys::exit_now(0),
            ForkResult::Parent { child } => {
                let _ = waitid(Id::Pid(child), WaitPidFlag::WEXITED);
                Ok(child.as_raw())
            }
        }
    }
}

impl Login {
    fn drain(&mut self) {
        if let Some(master) = &mut self.terminal.master {
            let mut got = Vec::new();
            drain(master, |bytes| got.extend_from_slice(bytes));
            self.terminal.take(&got);
        }
        if let Some((pipe, sink)) = &mut self.errors {
            drain(pipe, |bytes| sink.take(bytes));
        }
    }
}

/// Reads what is there without waiting, at most [`TURN`] bytes.
fn drain(from: &mut impl Read, mut take: impl FnMut(&[u8])) {
    let mut chunk = [0; 16384];
    let mut left = TURN;
    while left > 0 {
        match from.read(&mut chunk) {
            Ok(0) => return,
            Ok(n) => {
                take(&chunk[..n]);
                left = left.saturating_sub(n);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // EAGAIN: nothing more now. EIO: nobody holds the terminal's other side.
            Err(_) => return,
        }
    }
}

fn is_readable(fd: BorrowedFd<'_>) -> bool {
    matches!(poll(&mut [PollFd::new(fd, PollFlags::POLLIN)], PollTimeout::ZERO), Ok(n) if n > 0)
}

fn open_terminal() -> nix::Result<(PtyMaster, OwnedFd)> {
    let master = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
    grantpt(&master)?;
    unlockpt(&master)?;
    let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let slave = nix::fcntl::open(Path::new(&ptsname_r(&master)?), flags, nix::sys::stat::Mode::empty())?;
    Ok((master, slave))
}

/// The file that a process writes its output to, if it is one.
fn log_of(process: &Process) -> Option<PathBuf> {
    [1, 2].into_iter().find_map(|fd| {
        let descriptor = process.descriptor(fd)?;
        let path = descriptor.target.as_str();
        let is_log = descriptor.kind == FileKind::Regular && descriptor.writable && !path.ends_with(" (deleted)");
        is_log.then(|| PathBuf::from(path))
    })
}

/// Writes `content` at the subject's PID file with the owner and mode that the subject's own had.
pub(crate) fn plant(path: &Path, content: &str, like: Option<&FileFound>) -> io::Result<()> {
    use std::os::unix::fs::{PermissionsExt, chown};
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(path, content)?;
    if let Some(like) = like {
        fs::set_permissions(path, fs::Permissions::from_mode(like.mode))?;
        chown(path, Some(like.uid), Some(like.gid))?;
    }
    Ok(())
}
