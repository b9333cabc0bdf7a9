//! Who keeps a file system busy.

use super::{fdinfo, read_proc};
use crate::observation::{Hold, Holder, Pid, Text};
use procfs_core::FromBufRead;
use procfs_core::process::MountInfos;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The mounts at and below `path`, deepest first, with their ids.
pub(crate) fn at_and_below(path: &Path) -> Vec<(PathBuf, i32)> {
    let Ok(bytes) = read_proc("/proc/self/mountinfo") else { return Vec::new() };
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let Ok(MountInfos(all)) = MountInfos::from_buf_read(text.as_bytes()) else { return Vec::new() };
    // The last mount at a path lies on top of the others.
    let first = all.iter().rposition(|m| m.mount_point == path).unwrap_or(all.len());
    let mut found: Vec<(PathBuf, i32)> = all[first..]
        .iter()
        .filter(|m| m.mount_point.starts_with(path))
        .map(|m| (m.mount_point.clone(), m.mnt_id))
        .collect();
    found.reverse();
    found
}

/// By what the processes `pids` hold the mounts `mounts`.
pub(crate) fn holders(pids: &[Pid], mounts: &[i32]) -> Vec<Holder> {
    let mut found = Vec::new();
    for pid in pids {
        for (name, by) in [("cwd", Hold::WorkingDirectory), ("root", Hold::Root), ("exe", Hold::Program)] {
            let link = format!("/proc/{pid}/{name}");
            if mount_of(&link).is_some_and(|id| mounts.contains(&id)) {
                found.push(Holder { pid: *pid, by, path: target(&link) });
            }
        }
        let entries =
            fs::read_dir(format!("/proc/{pid}/fd")).map(|e| e.flatten().collect::<Vec<_>>()).unwrap_or_default();
        for entry in entries {
            let Some(fd) = entry.file_name().to_str().and_then(|s| s.parse().ok()) else { continue };
            let Some((_, Some(mount))) = fdinfo(*pid, fd) else { continue };
            if mounts.contains(&mount) {
                let directory = fs::metadata(entry.path()).is_ok_and(|m| m.is_dir());
                let by = if directory { Hold::Directory } else { Hold::File };
                found.push(Holder { pid: *pid, by, path: target(&entry.path().to_string_lossy()) });
            }
        }
    }
    let mut once = BTreeSet::new();
    found.retain(|h| once.insert((h.pid, h.by as u8, h.path.clone())));
    found
}

fn target(link: &str) -> Text {
    fs::read_link(link).map(|p| Text::new(p.as_os_str().as_bytes())).unwrap_or_default()
}

/// The mount on which what `link` of /proc leads to lies.
fn mount_of(link: &str) -> Option<i32> {
    use nix::fcntl::{OFlag, open};
    use std::os::fd::AsRawFd;
    let fd = open(link, OFlag::O_PATH | OFlag::O_CLOEXEC, nix::sys::stat::Mode::empty()).ok()?;
    let me = nix::unistd::getpid().as_raw();
    fdinfo(me, fd.as_raw_fd())?.1
}
