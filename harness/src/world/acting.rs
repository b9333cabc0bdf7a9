//! Acting: what is done to a daemon that runs.

use super::events::is_readable;
use super::looking::{Stillness, Treated};
use super::patience::Deadline;
use super::terminal::{Sink, drain};
use super::{Acted, Halt, World, system};
use crate::observation::{Exit, Process, Release, Seen, Stop, Text, Treatment};
use crate::observe::{self, files, mounts};
use crate::sandbox::shell::{self, Inheritance, Job, Order};
use crate::sys;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::Signal;
use nix::unistd::{ForkResult, pipe2};
use std::ffi::OsString;
use std::fs;
use std::os::fd::{AsFd, OwnedFd};

impl World<'_> {
    /// Puts a canary into the terminal's foreground.
    fn canary(&mut self) -> Acted<Option<OwnedFd>> {
        self.order(Order::Canary);
        let Some(pid) = self.answer()? else { return Ok(None) };
        if let Some(login) = self.logins.last_mut() {
            login.canaries.push(pid);
        }
        Ok(sys::pidfd_open(nix::unistd::Pid::from_raw(pid)).ok())
    }

    /// What became of the main process after something was done to it, which all was at rest `before`.
    fn outcome(&mut self, name: &str, delivered: bool, before: &Stillness) -> Acted<bool> {
        let at_rest = self.come_to_rest_after(before)?;
        let survived = self.main_lives();
        let Some(pid) = self.main.as_ref().map(|main| main.pid) else { return Ok(false) };
        let treatment = Treatment { delivered, at_rest, main: pid, survived, ended: self.exit_of(pid)? };
        self.record(name, Seen::Treatment(treatment));
        Ok(survived)
    }

    /// Types a control character at the terminal; a canary in the foreground proves that its signal arrived there.
    pub(crate) fn type_at_terminal(&mut self, name: &str, key: u8) -> Acted<bool> {
        let before = self.stillness(Treated::Terminal)?;
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
        self.outcome(name, delivered, &before)
    }

    /// Closes the terminal's other end: the line drops, the shell dies of it, and its foreground is hung up.
    pub(crate) fn hang_up(&mut self, name: &str) -> Acted<bool> {
        let before = self.stillness(Treated::Terminal)?;
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
        self.outcome(name, delivered, &before)
    }

    /// Sends a signal to the main process.
    pub(crate) fn signal_main(&mut self, name: &str, signal: Signal) -> Acted<bool> {
        let before = self.stillness(Treated::Daemon)?;
        let delivered =
            self.main.as_ref().is_some_and(|main| sys::pidfd_send_signal(&main.pidfd, signal as i32).is_ok());
        self.outcome(name, delivered, &before)
    }

    /// Takes the readers of its standard output and error away, and has it say something: SIGHUP.
    pub(crate) fn break_pipes(&mut self, name: &str) -> Acted<bool> {
        self.pump()?;
        if let Some(login) = self.logins.last_mut() {
            login.pipes = [None, None];
        }
        self.signal_main(name, Signal::SIGHUP)
    }

    /// Kills the main process, and nothing else, and waits until that has come to its end.
    pub(crate) fn kill_main(&mut self, name: &str) -> Acted<bool> {
        let before = self.stillness(Treated::Daemon)?;
        let Some(main) = &self.main else { return Ok(false) };
        let delivered = sys::pidfd_send_signal(&main.pidfd, Signal::SIGKILL as i32).is_ok();
        let pidfd = system("dup", main.pidfd.try_clone())?;
        let deadline = self.deadline();
        self.await_readable(pidfd.as_fd(), deadline)?;
        self.outcome(name, delivered, &before)
    }

    /// Runs the subject's own stop command.
    pub(crate) fn run_stop_command(&mut self, line: &str) -> Acted {
        self.shell_line(line).map(drop)
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
        let ended = self.exit_of(pid)?;
        if gone {
            // Its children may still be on their way out: until none is left, or none of them will wake by itself.
            self.await_that(deadline, |world| {
                let left = world.member_pids();
                Ok(left.is_empty() || (world.rest(deadline)? && world.sleeps_beyond(deadline)))
            })?;
        }
        self.pump()?;
        let left: Vec<Process> =
            observe::processes(&self.member_pids()).into_iter().filter(|p| !p.is_zombie()).collect();
        let stop = Stop {
            main: pid,
            gone,
            ended: ended.or(self.exits.get(&pid).copied()),
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
            world.catch_up_with_end()?;
            // A start that was cut short left a launcher that nobody has waited for.
            if world.launcher.as_ref().is_some_and(|(_, pidfd)| is_readable(pidfd.as_fd())) {
                world.reap_launcher()?;
            }
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
        let holders = mounts::holders(&self.member_pids(), &ids, &self.inside.launch_directory);
        let unmounted = !mounts.is_empty()
            && mounts.iter().all(|(path, _)| nix::mount::umount2(path, nix::mount::MntFlags::UMOUNT_NOFOLLOW).is_ok());
        self.record(name, Seen::Release(Release { unmounted, holders }));
        Ok(())
    }

    /// Runs a shell line beside the subject, away from any terminal; returns how it ended and what it said.
    pub(super) fn shell_line(&mut self, line: &str) -> Acted<(Option<Exit>, Text)> {
        let command: Vec<OsString> = ["/bin/sh", "-c", line].into_iter().map(OsString::from).collect();
        let deadline = self.deadline();
        self.run_beside(&command, self.environment, false, deadline)
    }

    /// Runs a command beside the subject, away from any terminal, or where the systemd is that was booted; returns how it ended,
    /// if that was before the deadline, and what it said.
    pub(super) fn run_beside(
        &mut self,
        command: &[OsString],
        environment: &[(OsString, OsString)],
        with_systemd: bool,
        deadline: Deadline,
    ) -> Acted<(Option<Exit>, Text)> {
        let inheritance = Inheritance::default();
        let job = Job::new(command, environment, &self.inside.launch_directory, self.inside.nice, inheritance)
            .map_err(|_| Halt::CannotStart(libc::EINVAL, Text::new(b"a shell line with a NUL byte")))?;
        let (reader, writer) = system("pipe", pipe2(OFlag::O_CLOEXEC))?;
        let child = match system("fork", sys::fork())? {
            ForkResult::Child => match self.manager.as_ref().filter(|_| with_systemd) {
                Some(manager) => manager.enter_and(|| shell::run_line(&job, &writer)),
                None => shell::run_line(&job, &writer),
            },
            ForkResult::Parent { child } => child,
        };
        drop(writer);
        let pidfd = system("pidfd_open", sys::pidfd_open(child))?;
        let _ = fcntl(&reader, FcntlArg::F_SETFL(OFlag::O_NONBLOCK));
        let (mut said, mut pipe) = (Sink::default(), fs::File::from(reader));
        let ended = self.await_that(deadline, |_| {
            drain(&mut pipe, |bytes| said.take(bytes));
            Ok(is_readable(pidfd.as_fd()))
        })?;
        drain(&mut pipe, |bytes| said.take(bytes));
        self.pump()?;
        if !ended {
            let _ = sys::pidfd_send_signal(&pidfd, Signal::SIGKILL as i32);
        }
        Ok((self.exits.get(&child.as_raw()).copied().filter(|_| ended), said.output().text))
    }
}
