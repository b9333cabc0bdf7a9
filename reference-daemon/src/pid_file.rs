//! Step 12: the PID file, which is the lock as well.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl, open};
use nix::sys::stat::{FileStat, Mode, SFlag, fchmod, fstat, lstat};
use nix::sys::uio::{pread, pwrite};
use nix::unistd::{ftruncate, geteuid, getpid, unlink};

use crate::failure::Failure;

pub(crate) const ROLE: &str = "PID file";
const MODE: Mode = Mode::from_bits_truncate(0o644);

/// A PID file that this process holds.
#[derive(Debug)]
#[must_use = "a PID file that is not kept is unlocked at once, and left behind"]
pub struct PidFile {
    path: PathBuf,
    file: OwnedFd,
    status: FileStat,
}

impl PidFile {
    /// Step 12: create the PID file, so that one instance runs at a time and can be found.
    ///
    /// *Source:* daemon(7), SysV step 12: "write the daemon PID (as returned by getpid()) to a PID file
    /// ... to ensure that the daemon cannot be started more than once. This must be implemented in race-free
    /// fashion"; FHS 3.0, `/run`: the number, then a newline. CWE-59 for the links.
    ///
    /// *The article* asks whether the file exists, and then creates it. Between the two another start
    /// does the same, and both run. After a crash or a power cut the file is still there, and nothing
    /// starts any more; where the number in it is asked about instead, it is by then a stranger's, or
    /// in a container the asker's own. And `open(path, 'w')` empties whatever a link at that path leads to.
    ///
    /// *Here* a lock decides, and neither existence nor content ever does:
    ///
    /// - The last component is not followed (`O_NOFOLLOW`), a FIFO does not make the start hang
    ///   (`O_NONBLOCK`), and only a regular file with this one name, which belongs to whoever starts
    ///   the daemon, is written to.
    /// - The lock is `fcntl()`'s. It belongs to the process and to nothing else, so that it is gone the
    ///   moment the process is, whatever children have inherited the descriptor. (An `flock()` or an
    ///   open file description's lock lives on in them.) It does not survive a fork, so it is taken
    ///   after the last one; and it is lost when the process closes *any* descriptor of the file,
    ///   so the file is opened once, here, and closed by the end of the process.
    /// - Once it is locked, the path is looked at again: if the last owner has removed the file between
    ///   our opening and our locking, what we hold has no name any more, and the next start would not meet it.
    /// - Nobody writes without the lock, and the owner removes the file before it lets go of it.
    pub fn acquire(path: &Path) -> Result<Self, Failure> {
        loop {
            let flags = OFlag::O_RDWR
                | OFlag::O_CREAT
                | OFlag::O_NOFOLLOW
                | OFlag::O_NONBLOCK
                | OFlag::O_NOCTTY
                | OFlag::O_CLOEXEC;
            let file = open(path, flags, MODE).map_err(|errno| refused(path, errno))?;
            match lock(&file) {
                Ok(()) => {}
                Err(Errno::EAGAIN | Errno::EACCES) => match holder(&file) {
                    Holder::Process(pid) => {
                        return Err(Failure::AlreadyRunning { path: path.into(), pid });
                    }
                    // It has ended since.
                    Holder::Nobody => continue,
                },
                Err(errno) => {
                    return Err(Failure::file(ROLE, path, format!("cannot be locked: {}", errno.desc())));
                }
            }
            let status = fstat(&file).map_err(|errno| refused(path, errno))?;
            if let Some(flaw) = flaw(&status, &[geteuid().as_raw()]) {
                return Err(Failure::file(ROLE, path, flaw));
            }
            match lstat(path) {
                Ok(named) if same_file(&named, &status) => {}
                Ok(_) | Err(Errno::ENOENT) => continue,
                Err(errno) => return Err(refused(path, errno)),
            }
            let held = Self { path: path.into(), file, status };
            return match held.fill(&format!("{}\n", getpid())) {
                Ok(()) => Ok(held),
                Err(errno) => {
                    held.remove();
                    Err(Failure::file(ROLE, path, format!("cannot be written: {}", errno.desc())))
                }
            };
        }
    }

    /// Step 12, at the other end: remove the PID file, while it is still locked.
    ///
    /// *Source:* PEP 3143; LSB 5.0, 22.3 (`pidofproc`: a PID file without a process means a crash).
    ///
    /// *Without the care:* a second start that was refused takes the first one's file with it; a stop
    /// that unlocks before it unlinks removes the file of the start that came between.
    ///
    /// Where the account that was dropped to may not unlink it, the file is emptied: it names nobody,
    /// and the lock is what the next start looks at. Where somebody has put another file at the path, that
    /// one is left alone.
    pub fn remove(self) {
        match lstat(&self.path) {
            Ok(named) if !same_file(&named, &self.status) => return,
            Err(Errno::ENOENT) => return,
            Ok(_) if unlink(&self.path).is_ok() => return,
            Ok(_) | Err(_) => {}
        }
        // Nothing is left to be tried if this fails, and nobody to be told.
        let _ = ftruncate(&self.file, 0);
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Replaces the content.
    pub fn write(&self, text: &str) -> Result<(), Errno> {
        ftruncate(&self.file, 0)?;
        write_whole(&self.file, text)
    }

    /// The first content; a file that has just been created needs no more than that.
    fn fill(&self, text: &str) -> Result<(), Errno> {
        if self.status.st_mode & 0o7777 != MODE.bits() {
            fchmod(&self.file, MODE)?;
        }
        if self.status.st_size == 0 { write_whole(&self.file, text) } else { self.write(text) }
    }
}

/// Writes at the beginning; few bytes, which no file system takes in parts unless it is full.
fn write_whole(file: &OwnedFd, text: &str) -> Result<(), Errno> {
    loop {
        match pwrite(file, text.as_bytes(), 0) {
            Ok(count) if count == text.len() => return Ok(()),
            Ok(_) => return Err(Errno::ENOSPC),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// A PID file that another process may hold, open to be asked about.
pub(crate) struct Witness {
    path: PathBuf,
    file: OwnedFd,
}

impl Witness {
    /// `None` where there is no such file. Nothing but a regular file with this one name is asked, and only one that
    /// belongs to the caller or to root: whoever owns it decides who holds it.
    pub(crate) fn open(path: &Path) -> Result<Option<Self>, Failure> {
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        let file = match open(path, flags, Mode::empty()) {
            Ok(file) => file,
            Err(Errno::ENOENT) => return Ok(None),
            Err(errno) => return Err(refused(path, errno)),
        };
        let status = fstat(&file).map_err(|errno| refused(path, errno))?;
        match flaw(&status, &[geteuid().as_raw(), 0]) {
            Some(flaw) => Err(Failure::file(ROLE, path, flaw)),
            None => Ok(Some(Self { path: path.into(), file })),
        }
    }

    /// The process that holds the file, where one does.
    ///
    /// What is asked is what would keep a *shared* lock away. Whoever may read the file may take such a lock; an
    /// exclusive one takes a descriptor that writes, and those are the owner's.
    pub(crate) fn holder(&self) -> Result<Option<i32>, Failure> {
        let mut asked = whole_file(libc::F_RDLCK);
        fcntl(&self.file, FcntlArg::F_GETLK(&mut asked))
            .map_err(|errno| Failure::file(ROLE, &self.path, format!("cannot be asked about: {}", errno.desc())))?;
        match asked.l_pid {
            _ if asked.l_type == libc::F_UNLCK as libc::c_short => Ok(None),
            pid if pid > 0 => Ok(Some(pid)),
            _ => Err(Failure::file(ROLE, &self.path, "is held by a process that cannot be seen from here")),
        }
    }
}

/// What keeps an open file from being a PID file that one of these users can be held to.
fn flaw(status: &FileStat, users: &[u32]) -> Option<String> {
    if SFlag::from_bits_truncate(status.st_mode) & SFlag::S_IFMT != SFlag::S_IFREG {
        Some("is not a regular file".into())
    } else if status.st_nlink > 1 {
        Some("has another name as well (a hard link), so writing it would write that".into())
    } else if !users.contains(&status.st_uid) {
        Some(format!("belongs to user {}, who could rewrite it; remove it first", status.st_uid))
    } else {
        None
    }
}

fn same_file(one: &FileStat, other: &FileStat) -> bool {
    (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)
}

fn refused(path: &Path, errno: Errno) -> Failure {
    let cause = match errno {
        Errno::ELOOP => "is a symbolic link, which is not followed",
        errno => errno.desc(),
    };
    Failure::file(ROLE, path, cause)
}

fn whole_file(kind: libc::c_int) -> libc::flock {
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}

fn lock(file: &OwnedFd) -> Result<(), Errno> {
    loop {
        match fcntl(file, FcntlArg::F_SETLK(&whole_file(libc::F_WRLCK))) {
            // A file system on the network may be interrupted.
            Err(Errno::EINTR) => {}
            answer => return answer.map(drop),
        }
    }
}

enum Holder {
    Nobody,
    Process(Option<i32>),
}

/// Who holds the lock. The kernel knows; the content may be on its way.
fn holder(file: &OwnedFd) -> Holder {
    let mut asked = whole_file(libc::F_WRLCK);
    if fcntl(file, FcntlArg::F_GETLK(&mut asked)).is_ok() {
        if asked.l_type == libc::F_UNLCK as libc::c_short {
            return Holder::Nobody;
        }
        if asked.l_pid > 0 {
            return Holder::Process(Some(asked.l_pid));
        }
    }
    // It is in another PID namespace, or its lock is of another kind: the content is the next best.
    Holder::Process(content(file))
}

fn content(file: &OwnedFd) -> Option<i32> {
    let mut text = [0; 16];
    let length = pread(file, &mut text, 0).ok()?;
    let line = text[..length].split(|byte| *byte == b'\n').next()?;
    std::str::from_utf8(line).ok()?.parse().ok().filter(|pid| *pid > 0)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use nix::unistd::{ForkResult, fork, mkfifo};
    use rusty_fork::rusty_fork_test;

    use super::*;
    use crate::in_child::in_child;

    fn scratch() -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("d.pid");
        (directory, path)
    }

    fn refusal(path: &Path) -> String {
        PidFile::acquire(path).unwrap_err().to_string()
    }

    rusty_fork_test! {
        #[test]
        fn it_holds_a_number_and_a_newline_and_is_removed() {
            let (_directory, path) = scratch();
            let file = PidFile::acquire(&path).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", getpid()));
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o644);
            file.remove();
            assert!(!path.exists());
        }

        #[test]
        fn what_an_earlier_run_left_is_no_obstacle() {
            let (_directory, path) = scratch();
            let own = getpid().to_string();
            for left in ["", "0", "-1", "text", "99999999999999999999\n", "1\n", own.as_str()] {
                fs::write(&path, left).unwrap();
                fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
                let _file = PidFile::acquire(&path).unwrap();
                assert_eq!(fs::read_to_string(&path).unwrap(), format!("{own}\n"));
                assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o644);
            }
        }

        #[test]
        fn a_second_owner_is_refused_and_changes_nothing() {
            let (_directory, path) = scratch();
            let _file = PidFile::acquire(&path).unwrap();
            // Through a descriptor of this process, closing which would unlock the file.
            let _writer = fs::OpenOptions::new().write(true).open(&path).map(|mut file| {
                std::io::Write::write_all(&mut file, b"something else").unwrap();
                std::mem::forget(file);
            });
            let owner = getpid().as_raw();
            assert!(in_child(|| {
                PidFile::acquire(&path).err() == Some(Failure::AlreadyRunning { path: path.clone(), pid: Some(owner) })
            }));
            assert!(fs::read_to_string(&path).unwrap().starts_with("something else"));
        }

        #[test]
        fn odd_things_at_the_path_are_refused() {
            let (directory, path) = scratch();
            let target = directory.path().join("target");
            fs::write(&target, "precious").unwrap();

            symlink(&target, &path).unwrap();
            assert!(refusal(&path).ends_with("is a symbolic link, which is not followed"));
            fs::remove_file(&path).unwrap();
            fs::hard_link(&target, &path).unwrap();
            assert!(refusal(&path).contains("a hard link"));
            fs::remove_file(&path).unwrap();
            mkfifo(&path, MODE).unwrap();
            assert!(refusal(&path).ends_with("is not a regular file"));
            fs::remove_file(&path).unwrap();
            fs::create_dir(&path).unwrap();
            assert!(refusal(&path).ends_with("Is a directory"));

            assert_eq!(fs::read_to_string(&target).unwrap(), "precious");
            assert!(refusal(&directory.path().join("no/d.pid")).ends_with("No such file or directory"));
        }

        #[test]
        fn a_file_that_took_its_place_is_left_alone() {
            let (_directory, path) = scratch();
            let file = PidFile::acquire(&path).unwrap();
            fs::remove_file(&path).unwrap();
            fs::write(&path, "another's").unwrap();
            file.remove();
            assert_eq!(fs::read_to_string(&path).unwrap(), "another's");
        }

        #[test]
        fn a_witness_names_the_holder_and_no_reader() {
            let (directory, path) = scratch();
            let holder = |path: &Path| Witness::open(path).unwrap().map(|witness| witness.holder());
            assert_eq!(holder(&path), None);
            let file = PidFile::acquire(&path).unwrap();
            let owner = getpid().as_raw();
            assert!(in_child(|| holder(&path) == Some(Ok(Some(owner)))));
            file.remove();

            fs::write(&path, "1\n").unwrap();
            let reader = fs::File::open(&path).unwrap();
            fcntl(&reader, FcntlArg::F_SETLK(&whole_file(libc::F_RDLCK))).unwrap();
            assert!(in_child(|| holder(&path) == Some(Ok(None))));

            let link = directory.path().join("link");
            symlink(&path, &link).unwrap();
            assert!(Witness::open(&link).is_err());
        }

        #[test]
        fn a_child_does_not_keep_it_locked() {
            let (_directory, path) = scratch();
            let (reader, writer) = nix::unistd::pipe().unwrap();
            // The owner ends; its child, with every descriptor of it, lives on.
            assert!(in_child(|| {
                let _file = PidFile::acquire(&path);
                // SAFETY: as above.
                if let Ok(ForkResult::Child) = unsafe { fork() } {
                    drop(writer);
                    let _ = nix::unistd::read(&reader, &mut [0]);
                    // SAFETY: ends the process.
                    unsafe { libc::_exit(0) };
                }
                true
            }));
            assert!(PidFile::acquire(&path).is_ok());
        }
    }
}
