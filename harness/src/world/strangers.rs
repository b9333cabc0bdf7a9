//! Processes beside the subject that are none of its own: whose numbers it meets, or who hold what it wants.

use super::{Acted, World, system};
use crate::observation::{LockKind, Pid, Seen, Stranger, Unseen};
use crate::observe;
use crate::sys;
use nix::fcntl::{FcntlArg, OFlag, fcntl, open};
use nix::sys::stat::Mode;
use nix::unistd::{ForkResult, pipe2, write};
use std::io::Read;
use std::os::fd::AsRawFd;
use std::path::Path;

impl World<'_> {
    /// Forks a process that does `prepare` and then waits for ever; returns its id and what `prepare` gave.
    fn bystander(&mut self, prepare: impl FnOnce() -> Option<i32>) -> Acted<Option<(Pid, i32)>> {
        let (reader, writer) = system("pipe", pipe2(OFlag::O_CLOEXEC))?;
        match system("fork", sys::fork())? {
            ForkResult::Child => {
                // Init's descriptors are not for it; the one to answer on is moved out of the way first.
                let answer = writer.as_raw_fd();
                sys::close_range(0, answer - 1);
                sys::close_range(answer + 1, i32::MAX);
                let _ = nix::unistd::setsid();
                let _ = nix::sys::prctl::set_name(c"stranger");
                if let Some(number) = prepare() {
                    let _ = write(&writer, &number.to_ne_bytes());
                    drop(writer);
                    sys::pause();
                }
                sys::exit_now(1)
            }
            ForkResult::Parent { child } => {
                drop(writer);
                self.bystanders.push(child.as_raw());
                let mut number = [0; 4];
                let told = std::fs::File::from(reader).read_exact(&mut number).is_ok();
                Ok(told.then(|| (child.as_raw(), i32::from_ne_bytes(number))))
            }
        }
    }

    /// A process with two threads that blocks all signals: its id, and its second thread's.
    pub(crate) fn stranger(&mut self) -> Acted<(Pid, Pid)> {
        let made = self.bystander(|| {
            // Signals 32 and 33 are the C library's own; nobody sends those.
            sys::block(&(1..=64).collect::<Vec<_>>());
            sys::idle_thread().ok().map(nix::unistd::Pid::as_raw)
        })?;
        made.ok_or_else(|| super::Halt::System("a second thread could not be made".to_owned()))
    }

    /// Looks what has become of a stranger.
    pub(crate) fn look_at_stranger(&mut self, name: &str, (pid, thread): (Pid, Pid)) -> Acted {
        self.pump()?;
        let alive = !observe::alive(&[pid]).is_empty();
        let received = observe::pending_signals(pid);
        self.record(name, Seen::Stranger(Stranger { pid, thread, alive, received }));
        Ok(())
    }

    /// Has init itself listen at an address, to the end of this life.
    pub(crate) fn listen(&mut self, address: std::net::SocketAddr) -> std::io::Result<()> {
        self.listeners.push(std::net::TcpListener::bind(address)?);
        Ok(())
    }

    /// Has somebody else hold a lock on the file at `path`, and writes its number there, as another instance would.
    pub(crate) fn lock_by_another(&mut self, path: &Path, kind: LockKind) -> Acted<Result<(), Unseen>> {
        let held = self.bystander(|| {
            let mode = Mode::from_bits_truncate(0o644);
            let file = open(path, OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_CLOEXEC, mode).ok()?;
            let whole = libc::flock {
                l_type: libc::F_WRLCK as libc::c_short,
                l_whence: libc::SEEK_SET as libc::c_short,
                l_start: 0,
                l_len: 0,
                l_pid: 0,
            };
            match kind {
                LockKind::Flock => {
                    let file = file.try_clone().ok()?;
                    let lock = nix::fcntl::Flock::lock(file, nix::fcntl::FlockArg::LockExclusiveNonblock).ok()?;
                    // Held to the end of this process.
                    std::mem::forget(lock);
                }
                LockKind::Process => drop(fcntl(&file, FcntlArg::F_SETLK(&whole)).ok()?),
                LockKind::Description => drop(fcntl(&file, FcntlArg::F_OFD_SETLK(&whole)).ok()?),
            }
            let _ = nix::unistd::ftruncate(&file, 0);
            let _ = write(&file, format!("{}\n", std::process::id()).as_bytes());
            std::mem::forget(file);
            Some(0)
        })?;
        let why = || Unseen::Broken(format!("{} could not be locked by another process", path.display()));
        Ok(held.map(drop).ok_or_else(why))
    }
}
