//! Looking: whether all is at rest, which processes there are, which of them is the daemon, what its files hold.

use super::events::is_readable;
use super::{Acted, MainProcess, World};
use crate::observation::{FileKind, FileSeen, Look, Pid, Process, Seen, Text};
use crate::observe::{self, Turns, files};
use crate::sandbox::sys;
use crate::subject::Ready;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::time::Instant;

/// Which part of the deadline a subject gets to come to rest that has already used a whole one up.
const RESTLESS: u32 = 20;

impl World<'_> {
    /// The subject's processes: all descendants of init but the shells and their canaries.
    pub(super) fn member_pids(&self) -> Vec<Pid> {
        let mut pids = observe::descendants();
        pids.retain(|pid| !self.bystanders.contains(pid));
        pids.retain(|pid| !self.logins.iter().any(|l| l.shell == *pid || l.canaries.contains(pid)));
        pids
    }

    /// Waits until no thread of any member runs; says whether that was before the deadline.
    pub(super) fn rest(&mut self, deadline: Instant) -> Acted<bool> {
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
