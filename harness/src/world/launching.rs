//! Starting the subject: by a shell from a terminal as a person would, or by a supervisor.

use super::events::is_readable;
use super::notifying::NotifySocket;
use super::patience::Deadline;
use super::terminal::{Login, PipeEnd, Sink, Terminal, open_terminal};
use super::{Acted, Halt, World, system};
use crate::observation::{Exit, Launch, Pid, Planted, Process, Seen, Style, Text};
use crate::observe::{self, files};
use crate::sandbox::shell::{self, Inheritance, Job, Order, Place, Stream, Wires};
use crate::sys;
use crate::trace::{Calls, Newborn, Plan, Steering, Tracer};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, recv, send, socketpair};
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime};
use nix::unistd::{ForkResult, pipe2};
use std::ffi::OsString;
use std::fs;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// A start to be made: the command, and what it inherits.
pub(crate) struct Start {
    /// The command.
    pub(crate) command: Vec<OsString>,
    /// Where it is started, if not in the launch directory.
    pub(crate) directory: Option<PathBuf>,
    /// What it inherits.
    pub(crate) inheritance: Inheritance,
    /// A socket that it is to find at descriptor 3.
    pub(crate) listener: Option<OwnedFd>,
    /// How it is traced, if it is.
    pub(crate) steering: Option<Steering>,
}

/// A start that has begun.
pub(super) struct Begun {
    pub(super) launcher: Pid,
    pub(super) pidfd: OwnedFd,
    pub(super) directory: PathBuf,
    pub(super) job: Job,
    pub(super) inherited: Option<Process>,
    pub(super) shell_tty_nr: i32,
    pub(super) terminal: u64,
    /// When the launcher is to have ended.
    pub(super) deadline: Deadline,
    /// When it was told to go.
    pub(super) went: TimeSpec,
}

impl Start {
    /// The same, traced.
    pub(crate) fn traced(mut self, calls: Calls, plan: Plan) -> Self {
        self.steering = Some(Steering { calls, plan, last: None });
        self
    }

    /// The same traced start, in which that process is held at its birth until the launcher has ended, or waits.
    pub(crate) fn with_last(mut self, last: Option<Newborn>) -> Self {
        if let Some(steering) = &mut self.steering {
            steering.last = last;
        }
        self
    }

    /// The same with standard error on a pipe of its own, so that what is said there can be told from the rest.
    pub(crate) fn errors_apart(mut self) -> Self {
        self.inheritance.streams[2] = Stream::Pipe;
        self
    }

    /// The same with another command.
    pub(crate) fn with_command(mut self, command: Vec<OsString>) -> Self {
        self.command = command;
        self
    }
}

impl World<'_> {
    /// A clean start of the subject.
    pub(crate) fn start(&self) -> Start {
        let mut inheritance = match self.style {
            Style::SysV => Inheritance::default(),
            Style::NewStyle => Inheritance::of_service(),
        };
        inheritance.variables.extend(self.notify_socket.as_ref().map(NotifySocket::variable));
        Start { command: self.subject.command.clone(), directory: None, inheritance, listener: None, steering: None }
    }

    /// Starts the subject and waits for the started process to end; a new-style daemon's is there to stay, and its start is
    /// over when it is ready or at rest.
    pub(crate) fn launch(&mut self, name: &str, start: Start) -> Acted<Option<Exit>> {
        let begun = self.begin(start)?;
        self.see_through(name, begun)
    }

    /// Starts the subject, and returns once its program runs.
    pub(super) fn begin(&mut self, start: Start) -> Acted<Begun> {
        let Start { command, directory, mut inheritance, listener, steering } = start;
        // What an earlier daemon has said does not count for this one.
        self.pump()?;
        self.notify_socket.iter_mut().for_each(NotifySocket::begin);
        let directory = directory.unwrap_or_else(|| self.inside.launch_directory.clone());
        if let Some(steering) = &steering {
            inheritance.filter = system("making a filter of system calls", steering.calls.filter())?;
        }
        let place = inheritance.place;
        let mut job = Job::new(&command, self.environment, &directory, self.inside.nice, inheritance)
            .map_err(|_| Halt::CannotStart(libc::EINVAL, Text::new(b"a word with a NUL byte")))?;
        job.listens = listener.is_some();
        let (terminal, exec_error) = self.open_shell(&job, listener)?;
        let launcher = self
            .answer()?
            .ok_or_else(|| Halt::System("the shell could not start in the launch directory".to_owned()))?;
        let pidfd = system("pidfd_open", sys::pidfd_open(nix::unistd::Pid::from_raw(launcher)))?;
        self.launcher = Some((launcher, system("dup", pidfd.try_clone())?));
        // Before the subject runs: root may take the terminal away from its session.
        let inherited = if self.is_brief { None } else { observe::process(launcher) };
        let leader = if place == Place::Leader { launcher } else { self.logins.last().map_or(0, |l| l.shell) };
        let shell_tty_nr = observe::controlling_terminal(leader).unwrap_or(0);
        if let Some(steering) = steering {
            self.lulls = Some(system("timer_create", sys::Lulls::new())?);
            self.tracer = Some(system("tracing the subject (ptrace)", Tracer::seize(launcher, steering))?);
        }
        let went = system("clock_gettime", clock_gettime(ClockId::CLOCK_MONOTONIC))?;
        self.order(Order::Go);
        let deadline = self.within(self.subject.timeout * self.launch_patience);
        // A successful exec closes the pipe; a failed one writes the reason.
        self.await_readable(exec_error.as_fd(), deadline)?;
        let mut errno = [0; 4];
        if fs::File::from(exec_error).read_exact(&mut errno).is_ok() {
            let program = command.first().map(|w| w.as_bytes()).unwrap_or_default();
            return Err(Halt::CannotStart(i32::from_ne_bytes(errno), Text::new(program)));
        }
        Ok(Begun { launcher, pidfd, directory, job, inherited, shell_tty_nr, terminal, deadline, went })
    }

    /// Waits for the end of a start that has begun, and records it.
    pub(super) fn see_through(&mut self, name: &str, begun: Begun) -> Acted<Option<Exit>> {
        let Begun { launcher, pidfd, directory, job, inherited, shell_tty_nr, terminal, mut deadline, .. } = begun;
        if self.tracer.as_ref().is_some_and(|tracer| *tracer.plan() == Plan::Leaving) {
            self.let_go_in_the_worst_order(launcher, pidfd.as_fd(), deadline)?;
            // What was held has taken its time; a launcher that waited for it gets all of its own.
            deadline = self.deadline();
        }
        let has_ended = self.await_end_of_start(pidfd.as_fd(), deadline)?;
        // The instant that counts: the launcher has ended and nobody has reaped it yet.
        let pidfile_at_exit = self.pidfile.as_deref().filter(|_| has_ended).map(files::seen);
        let files_at_exit = match &self.inside.root {
            Some(root) if self.pidfile.is_none() && has_ended => files::that_hold_a_pid(root.written.as_fd()),
            _ => Vec::new(),
        };
        let alive_at_exit = if has_ended { observe::alive(&self.member_pids()) } else { Vec::new() };
        let ended = if has_ended { self.reap_launcher()? } else { None };
        let login = self.logins.last().ok_or_else(|| Halt::System("no shell".to_owned()))?;
        let launch = Launch {
            shell: login.shell,
            shell_tty_nr,
            terminal,
            launcher,
            directory: Text::new(directory.as_os_str().as_bytes()),
            planted: planted(&job.inheritance, inherited.as_ref()),
            inherited: inherited.map(Box::new),
            ended,
            files_at_exit,
            pidfile_at_exit,
            alive_at_exit,
            output: login.pipes[0].as_ref().map_or_else(|| login.terminal.before.output(), |pipe| pipe.sink.output()),
            errors: login.pipes[1].as_ref().map(|pipe| pipe.sink.output()),
        };
        self.record(name, Seen::Launch(Box::new(launch)));
        Ok(ended)
    }

    /// Brings up the shell that will start the job; returns its terminal's device number, and the pipe on which a failed exec
    /// is reported.
    fn open_shell(&mut self, job: &Job, listener: Option<OwnedFd>) -> Acted<(u64, OwnedFd)> {
        let (master, slave) = system("opening a terminal", open_terminal())?;
        let meta = system("opening a terminal", fs::File::from(system("dup", slave.try_clone())?).metadata())?;
        let (ours, theirs) =
            system("socketpair", socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC))?;
        let (exec_error, exec_error_writer) = system("pipe", pipe2(OFlag::O_CLOEXEC))?;
        let mut near = [None, None, None];
        let mut far = [None, None, None];
        for (stream, wanted) in job.inheritance.streams.iter().enumerate().filter(|(_, s)| **s == Stream::Pipe) {
            debug_assert_eq!(*wanted, Stream::Pipe);
            let (reader, writer) = system("pipe", pipe2(OFlag::O_CLOEXEC))?;
            let (ours, theirs) = if stream == 0 { (writer, reader) } else { (reader, writer) };
            let _ = fcntl(&ours, FcntlArg::F_SETFL(OFlag::O_NONBLOCK));
            (near[stream], far[stream]) = (Some(ours), Some(theirs));
        }
        let wires = Wires { terminal: slave, control: theirs, exec_error: exec_error_writer, pipes: far, listener };
        let shell = match system("fork", sys::fork())? {
            ForkResult::Child => shell::run(job, &wires),
            ForkResult::Parent { child } => child,
        };
        drop(wires);
        let terminal = Terminal {
            master: Some(master),
            device: meta.rdev(),
            before: Sink::default(),
            after: Sink::default(),
            // A leader takes the terminal with it when it ends, and no mark can be written any more.
            marked: job.inheritance.place == Place::Leader,
            carry: Vec::new(),
        };
        let pidfd = system("pidfd_open", sys::pidfd_open(shell))?;
        let [input, output, errors] = near;
        let pipes = [output, errors].map(|pipe| pipe.map(PipeEnd::new));
        let shell = shell.as_raw();
        self.logins.push(Login { shell, pidfd, control: ours, terminal, _input: input, pipes, canaries: Vec::new() });
        Ok((meta.rdev(), exec_error))
    }

    /// Waits until the start is over; says whether the started process has ended.
    fn await_end_of_start(&mut self, launcher: std::os::fd::BorrowedFd<'_>, deadline: Deadline) -> Acted<bool> {
        match self.style {
            Style::SysV => {
                // Of hundreds of starts none may take a whole deadline to show that it hangs.
                let mut ended = if self.is_brief {
                    self.await_end_or_wait(launcher, deadline)?
                } else if self.comes_up_at_once {
                    self.await_end_or_long_wait(launcher, deadline)?
                } else {
                    self.await_readable(launcher, deadline)?
                };
                if self.tracer.as_mut().is_some_and(Tracer::let_last_go) && !ended {
                    let deadline = self.deadline();
                    ended = self.await_end_or_wait(launcher, deadline)?;
                }
                self.launcher_hangs = !ended;
                Ok(ended)
            }
            Style::NewStyle => {
                self.settle()?;
                Ok(is_readable(launcher))
            }
        }
    }

    /// Has the shell reap a supervised process that has ended since its start was over, and says so of that start.
    pub(super) fn catch_up_with_end(&mut self) -> Acted {
        let supervised = self.launcher.as_ref().filter(|_| self.style == Style::NewStyle);
        let Some(pid) = supervised.filter(|(_, pidfd)| is_readable(pidfd.as_fd())).map(|(pid, _)| *pid) else {
            return Ok(());
        };
        let ended = self.reap_launcher()?;
        for (_, seen) in &mut self.seen {
            if let Seen::Launch(launch) = seen
                && launch.launcher == pid
            {
                launch.ended = launch.ended.or(ended);
            }
        }
        Ok(())
    }

    /// Lets the shell reap the launcher, and waits for its mark on the terminal.
    pub(super) fn reap_launcher(&mut self) -> Acted<Option<Exit>> {
        let Some((launcher, _)) = self.launcher.take() else { return Ok(None) };
        let ended = self.reap(self.logins.len().saturating_sub(1), launcher)?;
        let deadline = self.deadline();
        // Where the terminal no longer takes output there is no mark, and nothing later can be told apart either.
        self.await_that(deadline, |world| {
            Ok(world.logins.last().is_none_or(|l| l.terminal.marked || is_readable(l.pidfd.as_fd())))
        })?;
        if let Some(login) = self.logins.last_mut() {
            login.terminal.marked = true;
        }
        Ok(ended)
    }

    /// Lets the shell of that login reap the launcher that it started and that has ended; says how.
    pub(super) fn reap(&mut self, login: usize, launcher: Pid) -> Acted<Option<Exit>> {
        self.order_of(login, Order::Reap);
        let status = self.answer_of(login)?.filter(|status| *status >= 0);
        let ended = status.map(|raw| if raw & 0x7f == 0 { Exit::Status(raw >> 8) } else { Exit::Signal(raw & 0x7f) });
        if let Some(exit) = ended {
            self.exits.insert(launcher, exit);
        }
        Ok(ended)
    }

    /// How a process ended, where init or the shell can tell.
    pub(super) fn exit_of(&mut self, pid: Pid) -> Acted<Option<Exit>> {
        if self.launcher.as_ref().is_some_and(|(launcher, pidfd)| *launcher == pid && is_readable(pidfd.as_fd())) {
            self.reap_launcher()?;
        }
        Ok(self.exits.get(&pid).copied())
    }

    pub(super) fn order(&mut self, order: Order) {
        self.order_of(self.logins.len().saturating_sub(1), order);
    }

    fn order_of(&mut self, login: usize, order: Order) {
        if let Some(login) = self.logins.get(login) {
            let _ = send(login.control.as_raw_fd(), &[order as u8], MsgFlags::MSG_NOSIGNAL);
        }
    }

    /// The shell's answer; `None` when it has ended.
    pub(super) fn answer(&mut self) -> Acted<Option<i32>> {
        self.answer_of(self.logins.len().saturating_sub(1))
    }

    fn answer_of(&mut self, login: usize) -> Acted<Option<i32>> {
        let deadline = self.deadline();
        let Some(login) = self.logins.get(login) else { return Ok(None) };
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
}

/// What can be told from the subject's own of what it inherited.
fn planted(inheritance: &Inheritance, inherited: Option<&Process>) -> Option<Planted> {
    let variables: Vec<Text> = inheritance.variables.iter().map(|(name, _)| Text::new(name.as_bytes())).collect();
    let first = inheritance.descriptors.first().and_then(|fd| inherited?.descriptor(*fd));
    if variables.is_empty() && first.is_none() {
        return None;
    }
    let (device, inode) = first.map_or((0, 0), |d| (d.device, d.inode));
    let is_planted =
        |fd: &i32| inherited.and_then(|p| p.descriptor(*fd)).is_some_and(|d| (d.device, d.inode) == (device, inode));
    let descriptors = inheritance.descriptors.iter().copied().filter(is_planted).collect();
    Some(Planted { device, inode, descriptors, variables })
}
