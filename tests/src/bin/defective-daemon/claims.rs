//! Ways of its own to claim a PID file: the reference daemon's with one step amiss, and those that never lock.

use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, FcntlArg, OFlag, fcntl, open, renameat};
use nix::sys::stat::{Mode, SFlag, fstat, lstat};
use nix::unistd::{ftruncate, geteuid, getpid, getsid, linkat, unlink};
use reference_daemon::{Failure, Pid, PidFile};

use crate::Defective;
use crate::background::Start;
use crate::pid_file::{alive, content, number};

const ROLE: &str = "PID file";

/// A PID file that is held, well or badly.
pub(crate) enum Held {
    /// The reference daemon's.
    Sound(PidFile),
    /// One of this file's.
    Own(Own),
}

impl Held {
    pub(crate) fn write(&self, text: &str) -> Result<(), Errno> {
        match self {
            Self::Sound(pid_file) => pid_file.write(text),
            Self::Own(own) => own.write(text),
        }
    }

    pub(crate) fn remove(self) {
        match self {
            Self::Sound(pid_file) => pid_file.remove(),
            Self::Own(own) => own.remove(),
        }
    }
}

/// A PID file, open; locked or not.
pub(crate) struct Own {
    path: PathBuf,
    file: OwnedFd,
}

impl Own {
    fn new(path: &Path, file: OwnedFd) -> Self {
        Self { path: path.into(), file }
    }

    pub(crate) fn write(&self, text: &str) -> Result<(), Errno> {
        ftruncate(&self.file, 0)?;
        write_whole(&self.file, text)
    }

    /// What has been put in its place meanwhile is left alone.
    pub(crate) fn remove(self) {
        if is_named(&self.file, &self.path) == Ok(true) {
            let _ = unlink(&self.path);
        }
    }

    /// The first content, written in that way.
    fn filled(self, write: impl FnOnce(&OwnedFd, &str) -> Result<(), Errno>) -> Result<Held, Failure> {
        let emptied = ftruncate(&self.file, 0);
        match emptied.and_then(|()| write(&self.file, &format!("{}\n", getpid()))) {
            Ok(()) => Ok(Held::Own(self)),
            Err(errno) => {
                let failure = refused(&self.path)(errno);
                self.remove();
                Err(failure)
            }
        }
    }
}

impl Defective {
    /// `None` where this defect leaves the claim to the reference daemon. `tell` tells the launcher that all is well.
    pub(crate) fn own_claim(
        self,
        path: &Path,
        start: &Start,
        tell: &mut dyn FnMut(),
    ) -> Option<Result<Option<Held>, Failure>> {
        let held = if self.has("tells-before-content") {
            lock(path, OFlag::empty()).and_then(|own| {
                tell();
                own.filled(write_whole)
            })
        } else if self.has("tells-before-rename") {
            rename_into_place(path, OFlag::empty(), tell)
        } else if self.has("temporary-file-left") {
            rename_into_place(path, OFlag::O_EXCL, &mut || {})
        } else if self.has("truncates-before-locking") {
            lock(path, OFlag::O_TRUNC).and_then(|own| own.filled(write_whole))
        } else if self.has("ignores-pidfile-errors") {
            let write = |file: &OwnedFd, text: &str| {
                let _ = write_whole(file, text);
                Ok(())
            };
            lock(path, OFlag::empty()).and_then(|own| own.filled(write))
        } else if self.has("takes-short-write") {
            lock(path, OFlag::empty()).and_then(|own| own.filled(|file, text| write_at_start(file, text).map(drop)))
        } else if self.has("checks-then-creates") {
            check_then_create(path, start)
        } else if self.has("reads-then-writes") {
            read_then_write(path, start)
        } else if self.has("renames-unlocked") {
            rename_unlocked(path, start)
        } else if self.has("links-unlocked") {
            link_unlocked(path, start)
        } else {
            return None;
        };
        Some(held.map(Some))
    }

    /// Removes a PID file that names a process which has ended, before anything is locked.
    pub(crate) fn remove_stale(self, path: &Path) {
        if self.has("unlinks-before-locking") && number(path).is_some_and(|pid| !alive(pid)) {
            let _ = unlink(path);
        }
    }
}

/// As `PidFile::acquire`, up to the content.
fn lock(path: &Path, more: OFlag) -> Result<Own, Failure> {
    loop {
        let file = create(path, more)?;
        if !try_lock(&file).map_err(refused(path))? {
            return Err(Failure::AlreadyRunning { path: path.into(), pid: number(path) });
        }
        refuse_odd(path, &file)?;
        if is_named(&file, path).map_err(refused(path))? {
            return Ok(Own::new(path, file));
        }
    }
}

/// Written under another name, locked, and renamed. Whoever holds the lock on the file of either name is the daemon; the
/// file of the other name is given up by its rename only. `more` is how that one is opened besides.
fn rename_into_place(path: &Path, more: OFlag, before: &mut dyn FnMut()) -> Result<Held, Failure> {
    let new = path.with_extension("pid.new");
    let own = lock(&new, more)?;
    let mut attempt = || {
        if let Some(old) = look(path)? {
            refuse_odd(path, &old)?;
            if is_locked(&old).map_err(refused(path))? {
                return Err(Failure::AlreadyRunning { path: path.into(), pid: number(path) });
            }
        }
        own.write(&format!("{}\n", getpid())).map_err(refused(&new))?;
        before();
        renameat(AT_FDCWD, &new, AT_FDCWD, path).map_err(refused(path))
    };
    match attempt() {
        Ok(()) => Ok(Held::Own(Own { path: path.into(), ..own })),
        Err(failure) => {
            own.remove();
            Err(failure)
        }
    }
}

/// Looks whether there is one that names an instance, and then creates it; between the two another start may do the same.
fn check_then_create(path: &Path, start: &Start) -> Result<Held, Failure> {
    if lstat(path).is_ok() {
        refuse_instance(path, number(path), start)?;
    }
    let file = create(path, OFlag::empty())?;
    refuse_odd(path, &file)?;
    Own::new(path, file).filled(write_whole)
}

/// Reads it and writes it through one descriptor; between the two another start may do the same.
fn read_then_write(path: &Path, start: &Start) -> Result<Held, Failure> {
    let file = create(path, OFlag::empty())?;
    refuse_odd(path, &file)?;
    let file = File::from(file);
    let mut bytes = [0; 32];
    let length = file.read_at(&mut bytes, 0).unwrap_or(0);
    let pid = std::str::from_utf8(&bytes[..length]).ok().and_then(|text| text.trim().parse().ok());
    refuse_instance(path, pid, start)?;
    Own::new(path, file.into()).filled(write_whole)
}

/// Looks whether there is one that names an instance, and then renames its own into that place. The file is whole at every
/// moment, and the last start to rename has it.
fn rename_unlocked(path: &Path, start: &Start) -> Result<Held, Failure> {
    beside(path, |new| {
        if let Some(old) = look(path)? {
            refuse_odd(path, &old)?;
        }
        refuse_instance(path, number(path), start)?;
        renameat(AT_FDCWD, new, AT_FDCWD, path).map_err(refused(path))
    })
}

/// Links its own into that place, which one of two can do. But where a stale one is in the way, that is removed, and by the
/// time it is removed it may be another start's.
fn link_unlocked(path: &Path, start: &Start) -> Result<Held, Failure> {
    beside(path, |new| {
        loop {
            match linkat(AT_FDCWD, new, AT_FDCWD, path, AtFlags::empty()) {
                Ok(()) => return unlink(new).map_err(refused(new)),
                Err(Errno::EEXIST) => {}
                Err(errno) => return Err(refused(path)(errno)),
            }
            if let Some(old) = look(path)? {
                refuse_odd(path, &old)?;
            }
            // One that vanishes meanwhile is none, and the loop will see.
            if let Some(bytes) = content(path) {
                let pid = std::str::from_utf8(&bytes).ok().and_then(|text| text.trim().parse().ok());
                refuse_instance(path, pid, start)?;
                let _ = unlink(path);
            }
        }
    })
}

/// Writes a file of a name that no other start has, and has it put in place.
fn beside(path: &Path, place: impl FnOnce(&Path) -> Result<(), Failure>) -> Result<Held, Failure> {
    let new = path.with_extension(format!("pid.{}", getpid()));
    let own = Own::new(&new, create(&new, OFlag::empty())?);
    match own.write(&format!("{}\n", getpid())).map_err(refused(&new)).and_then(|()| place(&new)) {
        Ok(()) => Ok(Held::Own(Own { path: path.into(), ..own })),
        Err(failure) => {
            own.remove();
            Err(failure)
        }
    }
}

/// Opens it as the reference daemon does.
fn create(path: &Path, more: OFlag) -> Result<OwnedFd, Failure> {
    let flags = OFlag::O_RDWR | OFlag::O_CREAT | more;
    open(path, flags | CAREFULLY, Mode::from_bits_truncate(0o644)).map_err(refused(path))
}

/// Opens what is there, to look at it.
fn look(path: &Path) -> Result<Option<OwnedFd>, Failure> {
    match open(path, OFlag::O_RDONLY | CAREFULLY, Mode::empty()) {
        Ok(file) => Ok(Some(file)),
        Err(Errno::ENOENT) => Ok(None),
        Err(errno) => Err(refused(path)(errno)),
    }
}

const CAREFULLY: OFlag = OFlag::O_NOFOLLOW.union(OFlag::O_NONBLOCK).union(OFlag::O_NOCTTY).union(OFlag::O_CLOEXEC);

/// What is no regular file, has two names or is another user's is not written to.
fn refuse_odd(path: &Path, file: &OwnedFd) -> Result<(), Failure> {
    let status = fstat(file).map_err(refused(path))?;
    let regular = SFlag::from_bits_truncate(status.st_mode) & SFlag::S_IFMT == SFlag::S_IFREG;
    if regular && status.st_nlink <= 1 && status.st_uid == geteuid().as_raw() {
        // The modes of a file that was left behind are not ours.
        let mode = Mode::from_bits_truncate(0o644);
        if status.st_mode & 0o7777 != mode.bits() {
            nix::sys::stat::fchmod(file, mode).map_err(refused(path))?;
        }
        return Ok(());
    }
    Err(Failure::file(ROLE, path, "is not a regular file of this user's with this one name"))
}

fn refuse_instance(path: &Path, pid: Option<i32>, start: &Start) -> Result<(), Failure> {
    match pid.filter(|pid| is_instance(*pid, start)) {
        Some(pid) => Err(Failure::AlreadyRunning { path: path.into(), pid: Some(pid) }),
        None => Ok(()),
    }
}

/// Whether that process runs this program, and is none of this start's own.
fn is_instance(pid: i32, start: &Start) -> bool {
    let program = |name: &str| fs::metadata(format!("/proc/{name}/exe")).map(|file| (file.dev(), file.ino())).ok();
    let session = |pid: Pid| getsid(Some(pid)).ok();
    pid > 0
        && Pid::from_raw(pid) != start.launcher
        && session(Pid::from_raw(pid)) != session(getpid())
        && program(&pid.to_string()).is_some_and(|other| Some(other) == program("self"))
}

fn is_named(file: &OwnedFd, path: &Path) -> Result<bool, Errno> {
    let held = fstat(file)?;
    match lstat(path) {
        Ok(named) => Ok((named.st_dev, named.st_ino) == (held.st_dev, held.st_ino)),
        Err(Errno::ENOENT) => Ok(false),
        Err(errno) => Err(errno),
    }
}

fn whole_file() -> libc::flock {
    libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}

/// False where somebody else has it.
fn try_lock(file: &OwnedFd) -> Result<bool, Errno> {
    loop {
        match fcntl(file, FcntlArg::F_SETLK(&whole_file())) {
            Ok(_) => return Ok(true),
            Err(Errno::EAGAIN | Errno::EACCES) => return Ok(false),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// Asked, not tried: a descriptor that only reads cannot have the lock.
fn is_locked(file: &OwnedFd) -> Result<bool, Errno> {
    let mut asked = whole_file();
    fcntl(file, FcntlArg::F_GETLK(&mut asked))?;
    Ok(asked.l_type != libc::F_UNLCK as libc::c_short)
}

fn write_at_start(file: &OwnedFd, text: &str) -> Result<usize, Errno> {
    loop {
        match nix::sys::uio::pwrite(file, text.as_bytes(), 0) {
            Err(Errno::EINTR) => {}
            answer => return answer,
        }
    }
}

fn write_whole(file: &OwnedFd, text: &str) -> Result<(), Errno> {
    match write_at_start(file, text)? {
        count if count == text.len() => Ok(()),
        _ => Err(Errno::ENOSPC),
    }
}

fn refused(path: &Path) -> impl Fn(Errno) -> Failure {
    move |errno| Failure::file(ROLE, path, errno.desc())
}
