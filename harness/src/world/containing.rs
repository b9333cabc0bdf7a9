//! The subject as the first process of a pid namespace, as in a container: what reaches it there.

use super::{Acted, MainProcess, World, system};
use crate::observation::{Pid, Process, Seen, Unseen};
use crate::observe;
use crate::sys;
use nix::fcntl::OFlag;
use nix::sched::{CloneFlags, setns};
use nix::unistd::{ForkResult, pipe2};
use std::fs;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};

impl World<'_> {
    /// From now on the daemon is the process that was started, whatever a PID file says: it is the one that a container's
    /// runtime knows.
    pub(crate) fn aim_at_started(&mut self) -> Acted {
        if let Some((pid, pidfd)) = &self.launcher {
            self.main = Some(MainProcess { pid: *pid, pidfd: system("dup", pidfd.try_clone())? });
        }
        Ok(())
    }

    /// Gives the first process of the subject's pid namespace a child that it did not beget, lets that end, and looks whether
    /// it is reaped; then looks around. The orphan waits for init's word before it ends, so that it is seen to have been adopted.
    pub(crate) fn give_orphan(&mut self, name: &str) -> Acted {
        let Some(first) = self.launcher.as_ref().map(|(pid, _)| *pid) else { return Ok(()) };
        let namespace = match fs::File::open(format!("/proc/{first}/ns/pid")) {
            Ok(namespace) => namespace,
            Err(error) => {
                self.unseen("adopted", Unseen::Broken(format!("the pid namespace of pid {first}: {error}")));
                return Ok(());
            }
        };
        let (told, tell) = system("pipe", pipe2(OFlag::O_CLOEXEC))?;
        let (gate, key) = system("pipe", pipe2(OFlag::O_CLOEXEC))?;
        if let ForkResult::Child = system("fork", sys::fork())? {
            bear_orphan(&namespace, &tell, &gate);
        }
        drop((tell, gate));
        let deadline = self.deadline();
        let mut number = [0; 4];
        let told = self.await_readable(told.as_fd(), deadline)? && fs::File::from(told).read_exact(&mut number).is_ok();
        let inner: Pid = i32::from_ne_bytes(number);
        let mut orphan = None;
        if told {
            self.await_that(deadline, |world| {
                let is_it = |p: &Process| p.inner_pid == inner && p.ppid == first;
                orphan = observe::processes(&world.member_pids()).into_iter().find(is_it).map(|p| p.pid);
                Ok(orphan.is_some())
            })?;
        }
        self.record("adopted", Seen::Fact(orphan.is_some()));
        let Some(orphan) = orphan else { return Ok(()) };
        let _ = nix::unistd::write(&key, b"g");
        self.await_that(deadline, |_| Ok(observe::alive(&[orphan]).is_empty()))?;
        let deadline = self.deadline();
        let reaped = self.await_turns(deadline, |_| Ok(observe::process(orphan).is_none_or(|p| p.ppid != first)))?;
        self.record("reaped", Seen::Fact(reaped));
        self.look_now(name, true, false)?;
        self.aim_at_started()
    }
}

/// In the child of a fork: a process in that pid namespace whose parent ends at once. It says what its number is there, and
/// ends when it is told to.
fn bear_orphan(namespace: &fs::File, tell: &OwnedFd, gate: &OwnedFd) -> ! {
    // Only what is forked from now on is in the namespace.
    let entered = setns(namespace, CloneFlags::CLONE_NEWPID).is_ok();
    if entered && matches!(sys::fork(), Ok(ForkResult::Child)) && matches!(sys::fork(), Ok(ForkResult::Child)) {
        let _ = nix::unistd::write(tell, &nix::unistd::getpid().as_raw().to_ne_bytes());
        let _ = nix::unistd::read(gate, &mut [0; 1]);
    }
    sys::exit_now(0)
}
