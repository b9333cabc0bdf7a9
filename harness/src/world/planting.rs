//! Planting: what is put in the subject's way, and what is looked for again later.

use super::{Acted, World, system};
use crate::observation::{FileFound, Kept, Pid, Seen, Text, Unseen};
use crate::sys;
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::ForkResult;
use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// What is planted in a log to see whether it is kept.
const LOG_LINE: &[u8] = b"written before the restart\n";
const LOG_LINES: usize = 1000;

/// What the log holds before a restart.
fn planted_log() -> Vec<u8> {
    LOG_LINE.repeat(LOG_LINES)
}

impl World<'_> {
    /// Fills the log with lines while no daemon runs: longer than what a start may write over its beginning.
    pub(crate) fn plant_log(&mut self) -> Result<PathBuf, Unseen> {
        let Some(path) = self.log.clone() else {
            return Err(Unseen::Skip("no log was declared, and descriptors 1 and 2 are no file".to_owned()));
        };
        if !path.exists() {
            return Err(Unseen::Skip(format!("{} was never written", path.display())));
        }
        self.may_change(&path)?;
        // In place: owner, mode and inode stay.
        match fs::OpenOptions::new()
            .write(true)
            .truncate(true)
            .open(&path)
            .and_then(|mut log| log.write_all(&planted_log()))
        {
            Ok(()) => Ok(path),
            Err(error) => Err(Unseen::Broken(format!("cannot write to {}: {error}", path.display()))),
        }
    }

    /// Looks whether the lines are still where they were.
    pub(crate) fn look_for_log(&mut self, name: &str, planted: Result<PathBuf, Unseen>) {
        match planted {
            Ok(path) => {
                let expected = planted_log();
                let mut bytes = vec![0; expected.len()];
                let read = fs::File::open(&path).and_then(|mut log| log.read_exact(&mut bytes));
                let kept = read.is_ok() && bytes == expected;
                let path = Text::new(std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str()));
                self.record(name, Seen::Kept(Kept { line: Text::new(LOG_LINE), path, kept }));
            }
            Err(why) => self.unseen(name, why),
        }
    }

    /// Renames the log, as log rotation does; returns its directory.
    pub(crate) fn rename_log(&mut self) -> Result<PathBuf, Unseen> {
        let Some(path) = self.log.clone() else {
            return Err(Unseen::Skip("no log was declared, and descriptors 1 and 2 are no file".to_owned()));
        };
        if !path.is_file() {
            return Err(Unseen::Skip(format!("{} was never written", path.display())));
        }
        self.may_change(&path)?;
        let mut old = path.clone().into_os_string();
        old.push(".1");
        self.residue.push(PathBuf::from(&old));
        fs::rename(&path, &old).map_err(|e| Unseen::Broken(format!("cannot rename {}: {e}", path.display())))?;
        Ok(path.parent().map_or_else(|| PathBuf::from("/"), Path::to_owned))
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

/// Writes `content` at the subject's PID file with the owner and mode that the subject's own had.
pub(crate) fn plant(path: &Path, content: &[u8], like: Option<&FileFound>) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(path, content)?;
    if let Some(like) = like {
        fs::set_permissions(path, fs::Permissions::from_mode(like.mode))?;
        let is = fs::metadata(path)?;
        if (is.uid(), is.gid()) != (like.uid, like.gid) {
            chown(path, Some(like.uid), Some(like.gid))?;
        }
    }
    Ok(())
}
