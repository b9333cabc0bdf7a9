//! Who keeps a file system busy.

use super::{fdinfo, read_proc};
use crate::observation::{Hold, Holder, Pid, Text};
use procfs_core::FromBufRead;
use procfs_core::process::MountInfos;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
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

/// By what the processes `pids` hold the mounts `mounts`, which lie at and below `directory`.
pub(crate) fn holders(pids: &[Pid], mounts: &[i32], directory: &Path) -> Vec<Holder> {
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
            let Some(mount) = fdinfo(&pid.to_string(), fd).and_then(|info| info.mount) else { continue };
            if mounts.contains(&mount) {
                let directory = fs::metadata(entry.path()).is_ok_and(|m| m.is_dir());
                let by = if directory { Hold::Directory } else { Hold::File };
                found.push(Holder { pid: *pid, by, path: target(&entry.path().to_string_lossy()) });
            }
        }
    }
    for pid in pids {
        for (path, executable) in mapped_files(*pid) {
            if Path::new(OsStr::from_bytes(&path)).starts_with(directory) {
                let by = if executable { Hold::Program } else { Hold::File };
                found.push(Holder { pid: *pid, by, path: Text::new(&path) });
            }
        }
    }
    let mut once = BTreeSet::new();
    found.retain(|h| once.insert((h.pid, h.by as u8, h.path.clone())));
    found
}

/// The files that a process has mapped, and whether any part of each is code (proc_pid_maps(5)).
fn mapped_files(pid: Pid) -> BTreeMap<Vec<u8>, bool> {
    let mut found = BTreeMap::new();
    for line in read_proc(&format!("/proc/{pid}/maps")).unwrap_or_default().split(|b| *b == b'\n') {
        let mut words = line.splitn(6, |b| *b == b' ');
        let (Some(mode), Some(path)) = (words.nth(1), words.nth(3)) else { continue };
        let path = path.trim_ascii_start();
        if path.starts_with(b"/") {
            *found.entry(path.to_vec()).or_insert(false) |= mode.contains(&b'x');
        }
    }
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
    fdinfo(&me.to_string(), fd.as_raw_fd())?.mount
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_told_from_data() {
        let files = mapped_files(nix::unistd::getpid().as_raw());
        let program = std::env::current_exe().unwrap();
        assert_eq!(files.get(program.as_os_str().as_bytes()), Some(&true));
    }
}
