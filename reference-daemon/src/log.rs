//! The log: appended to, reopened when told, and never a reason to end.

use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use nix::unistd::{dup2_stderr, dup2_stdout, getpid, write};

use crate::failure::Failure;

/// Where the daemon's lines go: descriptors 1 and 2.
///
/// The log has no descriptor of its own. It takes the place of standard output and error, so that whatever
/// else writes there (a library's warning, a child) is found in the log, too, and not in `/dev/null`.
#[derive(Debug)]
pub struct Log {
    path: Option<PathBuf>,
}

impl Log {
    /// Opens the log, and puts it in the place of standard output and error.
    ///
    /// *Source:* the article, section 3; open(2).
    ///
    /// *Without the care:* opened without `O_APPEND`, a log that is truncated from outside keeps
    /// its offset and becomes a file of zeroes, and two writers overwrite each other; with `O_TRUNC` a
    /// restart erases what the crash before it had to say; a FIFO at the path makes the start hang; a
    /// link there makes root append to a file of somebody else's choice.
    ///
    /// *The article* opens for appending, too, twice, and leaves the descriptors where they were (see step 9).
    pub fn open(path: &Path) -> Result<Self, Failure> {
        let cannot = |errno| {
            let cause = match errno {
                Errno::ELOOP => "is a symbolic link, which is not followed",
                Errno::ENXIO => "is a FIFO that nobody reads, or a device that is not there",
                errno => errno.desc(),
            };
            Failure::file("log file", path, cause)
        };
        let flags = OFlag::O_WRONLY
            | OFlag::O_APPEND
            | OFlag::O_CREAT
            | OFlag::O_NOFOLLOW
            | OFlag::O_NONBLOCK
            | OFlag::O_NOCTTY
            | OFlag::O_CLOEXEC;
        let file = open(path, flags, Mode::from_bits_truncate(0o640)).map_err(cannot)?;
        dup2_stdout(&file).map_err(cannot)?;
        dup2_stderr(&file).map_err(cannot)?;
        Ok(Self { path: Some(path.into()) })
    }

    /// Leaves standard error where it is, and writes there: a supervisor reads it.
    pub fn standard_error() -> Self {
        Self { path: None }
    }

    /// Writes one line, by one call, so that no other writer's text can come between.
    ///
    /// A line that cannot be written is lost. It is not tried again: a disk that is full stays so for a while,
    /// and a daemon that insists spins.
    pub fn line(&self, text: &str) -> Result<(), Failure> {
        let line = format!("reference-daemon[{}]: {text}\n", getpid());
        let answer = loop {
            match write(std::io::stderr(), line.as_bytes()) {
                Err(Errno::EINTR) => {}
                answer => break answer,
            }
        };
        let errno = match answer {
            Ok(count) if count == line.len() => return Ok(()),
            // What a write that stops short does not say, the next one would.
            Ok(_) => Errno::ENOSPC,
            Err(errno) => errno,
        };
        let path = self.path.as_deref().unwrap_or(Path::new("/dev/stderr"));
        Err(Failure::file("log file", path, format!("cannot be written: {}", errno.desc())))
    }

    /// Opens the log anew at its path, for whoever rotates logs by renaming them.
    ///
    /// The old file is kept until the new one is open: a log in the wrong place is better than none.
    pub fn reopen(&self) {
        // Where these lines cannot be written, there is no other place to say so.
        let _ = match self.path.as_deref().map(Self::open) {
            Some(Ok(_)) => self.line("log reopened"),
            Some(Err(failure)) => self.line(&format!("keeping this log: {failure}")),
            None => self.line("nothing to reload"),
        };
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use nix::unistd::mkfifo;
    use rusty_fork::rusty_fork_test;

    use super::*;

    rusty_fork_test! {
        #[test]
        fn lines_are_appended() {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("d.log");
            Log::open(&path).unwrap().line("one").unwrap();
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
            Log::open(&path).unwrap().line("two").unwrap();
            let pid = getpid();
            let expected = format!("reference-daemon[{pid}]: one\nreference-daemon[{pid}]: two\n");
            assert_eq!(fs::read_to_string(&path).unwrap(), expected);
        }

        #[test]
        fn a_renamed_log_is_followed_by_a_new_one() {
            let directory = tempfile::tempdir().unwrap();
            let (path, moved) = (directory.path().join("d.log"), directory.path().join("d.log.1"));
            let log = Log::open(&path).unwrap();
            fs::rename(&path, &moved).unwrap();
            log.reopen();
            assert!(fs::read_to_string(&path).unwrap().ends_with("log reopened\n"));
            assert_eq!(fs::read_to_string(&moved).unwrap(), "");
        }

        #[test]
        fn the_old_log_is_kept_where_there_can_be_no_new_one() {
            let directory = tempfile::tempdir().unwrap();
            let (path, moved) = (directory.path().join("d.log"), directory.path().join("d.log.1"));
            let log = Log::open(&path).unwrap();
            fs::rename(&path, &moved).unwrap();
            fs::create_dir(&path).unwrap();
            log.reopen();
            assert!(fs::read_to_string(&moved).unwrap().contains("keeping this log"));
        }

        #[test]
        fn odd_things_at_the_path_are_refused() {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("d.log");
            symlink("/dev/null", &path).unwrap();
            assert!(Log::open(&path).unwrap_err().to_string().contains("symbolic link"));
            fs::remove_file(&path).unwrap();
            mkfifo(&path, Mode::S_IRWXU).unwrap();
            assert!(Log::open(&path).unwrap_err().to_string().contains("FIFO"));
        }

        #[test]
        fn a_full_disk_is_told_and_no_more() {
            let log = Log::open(Path::new("/dev/full")).unwrap();
            let failure = log.line("x").unwrap_err().to_string();
            assert_eq!(failure, "log file /dev/full: cannot be written: No space left on device");
        }
    }
}
