//! What is done about the PID file.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, read_to_string};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::Path;

use nix::sys::signal::{Signal, kill};
use nix::sys::stat::{Mode, lstat};
use nix::unistd::getpid;
use reference_daemon::{Failure, Pid, PidFile};

use crate::Defective;
use crate::background::Start;
use crate::claims::Held;
use crate::workers::Worker;

/// The account nobody, of which there need be no entry.
const NOBODY: u32 = 65534;

impl Defective {
    /// `None` where the daemon is to do without. `tell` tells the launcher that all is well.
    pub(crate) fn pid_file(
        self,
        path: &Path,
        start: &Start,
        workers: &mut Vec<Worker>,
        tell: &mut dyn FnMut(),
    ) -> Result<Option<Held>, Failure> {
        if self.has("tells-before-pidfile") {
            tell();
        }
        if let Some(claimed) = self.own_claim(path, start, tell) {
            return claimed;
        }
        self.remove_stale(path);
        self.believe(path)?;
        self.trip_over(path);
        let target = if self.has("follows-pidfile-link") { path.canonicalize().ok() } else { None };
        let path = target.as_deref().unwrap_or(path);
        let lock = if self.has("lock-in-child") { lock_for_all(path)? } else { None };
        let found = number(path);
        let given_away = self.has("pidfile-given-away") && take_back(path);
        let pid_file = match PidFile::acquire(path) {
            Err(Failure::File { .. }) if self.has("ignores-odd-pidfile") && lstat(path).is_ok() => return Ok(None),
            Err(failure) if self.has("does-without-when-interrupted") && is_interruption(&failure) => return Ok(None),
            Err(failure) => {
                if given_away {
                    let _ = chown(path, Some(NOBODY), None);
                }
                return Err(failure);
            }
            Ok(pid_file) => pid_file,
        };
        let own = getpid();
        let written = if self.has("wrong-pid") {
            pid_file.write(&format!("{}\n", start.launcher))
        } else if self.has("no-newline") {
            pid_file.write(&own.to_string())
        } else if self.has("pidfile-with-name") {
            pid_file.write(&format!("{own} defective-daemon\n"))
        } else if self.has("late-pidfile") {
            pid_file.write("")
        } else {
            Ok(())
        };
        if let Err(errno) = written {
            pid_file.remove();
            return Err(Failure::file("PID file", path, errno.desc()));
        }
        if let Some(pid) = found.filter(|pid| self.has("kills-recycled-pid") && *pid != own.as_raw()) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
        if self.has("pidfile-0666") {
            set_mode(path, Mode::from_bits_truncate(0o666));
        }
        if self.has("pidfile-mode-by-umask") {
            set_mode(path, Mode::from_bits_truncate(0o664) & !start.umask);
        }
        if self.has("pidfile-given-away") {
            let _ = chown(path, Some(NOBODY), None);
        }
        if self.has("no-lock") {
            drop(File::open(path));
        }
        if let Some(lock) = lock {
            workers.extend(Worker::forked_to_outlive());
            // Open to the end, here and in the child.
            std::mem::forget(lock);
        }
        Ok(Some(Held::Sound(pid_file)))
    }

    /// Takes the file, or what is in it, for an instance that runs.
    fn believe(self, path: &Path) -> Result<(), Failure> {
        let pid = number(path);
        let believed = (self.has("refuses-stale") && lstat(path).is_ok())
            || (self.has("believes-empty") && content(path).is_some_and(|bytes| bytes.is_empty()))
            || (self.has("believes-any-pid") && pid.is_some_and(alive))
            || (self.has("refuses-own-pid") && pid == Some(getpid().as_raw()));
        if believed { Err(Failure::AlreadyRunning { path: path.into(), pid }) } else { Ok(()) }
    }

    /// Comes to grief over what is at the path.
    fn trip_over(self, path: &Path) {
        let garbage = content(path).filter(|_| number(path).is_none());
        if self.has("dies-of-garbage") && garbage.is_some() {
            // SAFETY: ends the process.
            unsafe { libc::_exit(1) };
        }
        if let Some(garbage) = garbage.filter(|_| self.has("signals-garbage")) {
            let text: Vec<u8> = garbage.into_iter().take_while(|byte| *byte != 0).chain([0]).collect();
            // SAFETY: it ends with a NUL.
            let number = unsafe { libc::atoi(text.as_ptr().cast()) };
            // That is everybody. Only where everybody lives in the harness's sandbox: it has this directory.
            if number == -1 && path.starts_with("/daemonspec") {
                let _ = kill(Pid::from_raw(number), Signal::SIGTERM);
            }
        }
        if self.has("hangs-on-fifo") {
            // Without O_NONBLOCK a FIFO's writer waits for its reader.
            drop(OpenOptions::new().write(true).open(path));
        }
    }
}

/// What a regular file at the path holds.
pub(crate) fn content(path: &Path) -> Option<Vec<u8>> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path).ok()?;
    let mut bytes = Vec::new();
    let regular = file.metadata().is_ok_and(|metadata| metadata.is_file());
    (regular && file.take(4096).read_to_end(&mut bytes).is_ok()).then_some(bytes)
}

/// The number in it, where it may be a process's.
pub(crate) fn number(path: &Path) -> Option<i32> {
    String::from_utf8(content(path)?).ok()?.trim().parse().ok().filter(|pid| *pid > 0)
}

/// Whether some process, or thread, has that number.
pub(crate) fn alive(pid: i32) -> bool {
    kill(Pid::from_raw(pid), None) != Err(nix::errno::Errno::ESRCH)
}

/// Whether the file was to be had but for a signal.
fn is_interruption(failure: &Failure) -> bool {
    failure.to_string().ends_with(nix::errno::Errno::EINTR.desc())
}

fn set_mode(path: &Path, mode: Mode) {
    let _ = fs::set_permissions(path, fs::Permissions::from_mode(mode.bits()));
}

/// Makes a file root's again that an earlier start has given away; the reference daemon's steps would refuse it.
fn take_back(path: &Path) -> bool {
    let given = fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.uid() == NOBODY);
    given && chown(path, Some(0), None).is_ok()
}

/// Locks the file by `flock()`, whose lock belongs to everybody who has inherited the descriptor.
fn lock_for_all(path: &Path) -> Result<Option<File>, Failure> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o644);
    let Ok(file) = options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path) else {
        // Why it cannot be had, the reference daemon's step will say.
        return Ok(None);
    };
    // SAFETY: the descriptor is open.
    if unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } == 0 {
        return Ok(Some(file));
    }
    let pid = read_to_string(&file).ok().and_then(|text| text.trim().parse().ok());
    Err(Failure::AlreadyRunning { path: path.into(), pid })
}
