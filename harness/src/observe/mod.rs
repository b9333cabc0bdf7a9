//! Reads processes, descriptors and files, and returns them as plain observations. It judges nothing.

pub(crate) mod files;
pub(crate) mod mounts;
mod network;
mod rest;

pub(crate) use network::listens;
pub(crate) use rest::{Limit, Pulse, Turns, has_pending_signals, pulse, waits, waits_without_limit};

use crate::observation::{Descriptor, FileKind, MainBy, Pid, Process, Text};
use procfs_core::process::{Stat, Status};
use procfs_core::{FromBufRead, FromRead};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};

/// Processes whose details are read; more are only counted by their ids.
const MOST_PROCESSES: usize = 512;
/// Descriptors read of one process.
const MOST_DESCRIPTORS: usize = 4096;
/// Majors of devices that are terminals: console and tty (4, 5), Unix98 slaves (136-143).
const TERMINAL_MAJORS: [u64; 10] = [4, 5, 136, 137, 138, 139, 140, 141, 142, 143];

/// A small file of /proc, at most 1 MiB.
fn read_proc(path: &str) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(2048);
    fs::File::open(path)?.take(1 << 20).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// /proc/PID/stat. A command name in any encoding does no harm.
fn stat(pid: Pid) -> Option<Stat> {
    Stat::from_read(read_proc(&format!("/proc/{pid}/stat")).ok()?.as_slice()).ok()
}

/// /proc/PID/status or that of one of its threads.
fn status(path: &str) -> Option<Status> {
    let bytes = read_proc(path).ok()?;
    Status::from_buf_read(String::from_utf8_lossy(&bytes).as_bytes()).ok()
}

/// All process ids that /proc shows.
pub(crate) fn all_pids() -> Vec<Pid> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let mut pids: Vec<Pid> = entries.flatten().filter_map(|e| e.file_name().to_str()?.parse().ok()).collect();
    pids.sort_unstable();
    pids
}

/// Every descendant of the calling process.
pub(crate) fn descendants() -> Vec<Pid> {
    let me = nix::unistd::getpid().as_raw();
    let mut children: BTreeMap<Pid, Vec<Pid>> = BTreeMap::new();
    for pid in all_pids() {
        if let Some(stat) = stat(pid) {
            children.entry(stat.ppid).or_default().push(pid);
        }
    }
    let mut found = BTreeSet::new();
    let mut open = vec![me];
    while let Some(parent) = open.pop() {
        for child in children.get(&parent).into_iter().flatten() {
            if found.insert(*child) {
                open.push(*child);
            }
        }
    }
    found.into_iter().collect()
}

/// One process in full; `None` when it is gone.
pub(crate) fn process(pid: Pid) -> Option<Process> {
    let stat = stat(pid)?;
    // Where the main thread has ended and others run on, only theirs has the process's files to show.
    let living = || rest::threads_of(pid).into_iter().find(|tid| *tid != pid);
    let task = if matches!(stat.state, 'Z' | 'X') { living().map(|tid| format!("{pid}/task/{tid}")) } else { None };
    let task = task.unwrap_or_else(|| pid.to_string());
    let uid = status(&format!("/proc/{task}/status")).map_or(u32::MAX, |s| s.euid);
    let link =
        |name: &str| fs::read_link(format!("/proc/{task}/{name}")).ok().map(|p| Text::new(p.as_os_str().as_bytes()));
    Some(Process {
        pid,
        ppid: stat.ppid,
        pgrp: stat.pgrp,
        session: stat.session,
        tty_nr: stat.tty_nr,
        state: stat.state,
        name: Text::new(stat.comm.as_bytes()),
        cwd: link("cwd"),
        root: link("root"),
        threads: stat.num_threads,
        descriptors: descriptors(&task).ok(),
        uid,
    })
}

/// The processes `pids`, in order, as far as they are still there.
pub(crate) fn processes(pids: &[Pid]) -> Vec<Process> {
    pids.iter().take(MOST_PROCESSES).filter_map(|pid| process(*pid)).collect()
}

/// The kind of what `meta` describes.
pub(crate) fn kind_of(meta: &fs::Metadata, target: &[u8]) -> FileKind {
    let kind = meta.file_type();
    let major = u64::from(libc::major(meta.rdev()));
    if target.starts_with(b"anon_inode:") {
        FileKind::Anonymous
    } else if kind.is_file() {
        FileKind::Regular
    } else if kind.is_dir() {
        FileKind::Directory
    } else if kind.is_symlink() {
        FileKind::Link
    } else if kind.is_fifo() {
        FileKind::Pipe
    } else if kind.is_socket() {
        FileKind::Socket
    } else if kind.is_block_device() {
        FileKind::BlockDevice
    } else if major == 1 && libc::minor(meta.rdev()) == 3 {
        FileKind::NullDevice
    } else if TERMINAL_MAJORS.contains(&major) {
        FileKind::Terminal
    } else {
        FileKind::CharacterDevice
    }
}

fn descriptors(task: &str) -> io::Result<Vec<Descriptor>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(format!("/proc/{task}/fd"))?.take(MOST_DESCRIPTORS) {
        let Ok(entry) = entry else { break };
        let Some(fd) = entry.file_name().to_str().and_then(|s| s.parse().ok()) else { continue };
        let (Ok(target), Ok(meta)) = (fs::read_link(entry.path()), fs::metadata(entry.path())) else { continue };
        let (flags, mount) = fdinfo(task, fd).unwrap_or_default();
        let access = flags & libc::O_ACCMODE;
        // O_PATH descriptors name a file and do not open it.
        let usable = flags & libc::O_PATH == 0;
        found.push(Descriptor {
            fd,
            kind: match kind_of(&meta, target.as_os_str().as_bytes()) {
                FileKind::Socket if network::is_local_stream(meta.ino()) => FileKind::LocalStream,
                kind => kind,
            },
            target: Text::new(target.as_os_str().as_bytes()),
            rdev: meta.rdev(),
            readable: usable && access != libc::O_WRONLY,
            writable: usable && access != libc::O_RDONLY,
            mount,
        });
    }
    found.sort_by_key(|d| d.fd);
    Ok(found)
}

/// `flags` and `mnt_id` of /proc/PID/fdinfo/FD (proc_pid_fdinfo(5)).
fn fdinfo(task: &str, fd: i32) -> Option<(i32, Option<i32>)> {
    let bytes = read_proc(&format!("/proc/{task}/fdinfo/{fd}")).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let flags = i32::from_str_radix(field("flags:")?, 8).ok()?;
    Some((flags, field("mnt_id:").and_then(|id| id.parse().ok())))
}

/// Which of the members is the daemon: the one `named` by the PID file, unless that is one of several workers of another;
/// else the only survivor; else the survivor that init adopted and from which the others descend.
pub(crate) fn main_of(members: &[Process], named: Option<Pid>, init: Pid) -> Option<(Pid, MainBy)> {
    let alive: Vec<&Process> = members.iter().filter(|p| !p.is_zombie()).collect();
    let siblings = |process: &Process| {
        let has_parent = alive.iter().any(|p| p.pid == process.ppid);
        has_parent && alive.iter().any(|p| p.ppid == process.ppid && p.pid != process.pid)
    };
    if let Some(process) = alive.iter().find(|p| Some(p.pid) == named && !siblings(p)) {
        return Some((process.pid, MainBy::PidFile));
    }
    if let [only] = alive.as_slice() {
        return Some((only.pid, MainBy::OnlySurvivor));
    }
    let descendants_of = |top: Pid| alive.iter().filter(|p| p.descends_from(top, &alive)).count();
    alive
        .iter()
        .filter(|p| p.ppid == init)
        .max_by_key(|p| (descendants_of(p.pid), std::cmp::Reverse(p.pid)))
        .or_else(|| alive.iter().max_by_key(|p| (descendants_of(p.pid), std::cmp::Reverse(p.pid))))
        .map(|p| (p.pid, MainBy::Ancestor))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn member(pid: Pid, ppid: Pid, state: char) -> Process {
        Process {
            pid,
            ppid,
            pgrp: pid,
            session: pid,
            tty_nr: 0,
            state,
            threads: 1,
            name: Text::new(b"d"),
            cwd: None,
            root: None,
            descriptors: None,
            uid: 0,
        }
    }

    #[test]
    fn the_pid_file_decides_when_it_names_a_live_member() {
        let members = [member(5, 1, 'S'), member(6, 5, 'S')];
        assert_eq!(main_of(&members, Some(6), 1), Some((6, MainBy::PidFile)));
        assert_eq!(main_of(&members, Some(9), 1), Some((5, MainBy::Ancestor)));
    }

    #[test]
    fn one_of_several_workers_is_not_the_daemon() {
        let members = [member(5, 1, 'S'), member(6, 5, 'S'), member(7, 5, 'S')];
        assert_eq!(main_of(&members, Some(6), 1), Some((5, MainBy::Ancestor)));
    }

    #[test]
    fn a_zombie_is_never_the_daemon() {
        let members = [member(5, 1, 'Z'), member(6, 1, 'S')];
        assert_eq!(main_of(&members, Some(5), 1), Some((6, MainBy::OnlySurvivor)));
        assert_eq!(main_of(&[member(5, 1, 'Z')], None, 1), None);
    }

    #[test]
    fn reads_this_very_process() {
        let me = process(nix::unistd::getpid().as_raw()).unwrap();
        assert!(me.descriptors.is_some_and(|fds| !fds.is_empty()));
        assert!(me.cwd.is_some());
    }

    proptest! {
        #[test]
        fn any_command_name_can_be_read(name in proptest::collection::vec(any::<u8>(), 0..16)) {
            let mut line = b"7 (".to_vec();
            line.extend_from_slice(&name);
            line.extend_from_slice(b") S 1 7 7 34816 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 100 1000 10 18446744073709551615");
            line.extend_from_slice(" 0".repeat(27).as_bytes());
            let stat = Stat::from_read(line.as_slice());
            prop_assert!(stat.is_ok_and(|s| s.ppid == 1 && s.session == 7 && s.tty_nr == 34816));
        }

        #[test]
        fn loops_of_parents_end(parents in proptest::collection::vec(1..9i32, 8)) {
            let members: Vec<Process> = (2..10).zip(&parents).map(|(pid, ppid)| member(pid, *ppid, 'S')).collect();
            prop_assert!(main_of(&members, None, 1).is_some());
        }
    }
}
