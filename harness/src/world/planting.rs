//! Planting: what is put in the subject's way, and what is looked for again later.

use super::{Acted, World, system};
use crate::observation::{FileFound, Kept, Pid, Seen, Text, Unseen};
use crate::sandbox::sys;
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::ForkResult;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// What is planted in a log to see whether it is kept.
const LOG_LINE: &[u8] = b"written before the restart\n";

impl World<'_> {
    /// Adds a line to the log while no daemon runs, and remembers where.
    pub(crate) fn plant_log_line(&mut self) -> Acted<Result<(PathBuf, u64), Unseen>> {
        use std::io::Write;
        let Some(path) = self.log.clone() else {
            return Ok(Err(Unseen::Skip("no log was declared, and descriptors 1 and 2 are no file".to_owned())));
        };
        let planted = fs::OpenOptions::new().append(true).open(&path).and_then(|mut file| {
            let at = file.metadata()?.len();
            file.write_all(LOG_LINE).map(|()| at)
        });
        Ok(planted
            .map(|at| (path.clone(), at))
            .map_err(|error| Unseen::Broken(format!("cannot write to {}: {error}", path.display()))))
    }

    /// Looks whether that line is still where it was.
    pub(crate) fn look_for_log_line(&mut self, name: &str, planted: Result<(PathBuf, u64), Unseen>) -> Acted {
        use std::io::{Seek, SeekFrom};
        let (path, at) = match planted {
            Ok(planted) => planted,
            Err(why) => {
                self.unseen(name, why);
                return Ok(());
            }
        };
        let mut bytes = vec![0; LOG_LINE.len()];
        let read = fs::File::open(&path).and_then(|mut file| {
            file.seek(SeekFrom::Start(at))?;
            file.read_exact(&mut bytes)
        });
        let kept = read.is_ok() && bytes == LOG_LINE;
        let path = Text::new(std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str()));
        self.record(name, Seen::Kept(Kept { line: Text::new(LOG_LINE), path, kept }));
        Ok(())
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
pub(crate) fn plant(path: &Path, content: &str, like: Option<&FileFound>) -> io::Result<()> {
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
