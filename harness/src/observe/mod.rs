//! Reads processes, descriptors and files, and returns them as plain observations. It judges nothing.

pub(crate) mod files;
pub(crate) mod mounts;
mod network;
mod rest;
mod sockets;

pub(crate) use network::{listeners, listens};
pub(crate) use rest::{Limit, Pulse, Turns, any_waits_for_disk, has_pending_signals, pending_signals, pulse, waits};

use crate::observation::{Attributes, Descriptor, FileKind, LockKind, MainBy, Pid, Process, Text};
use procfs_core::process::{Limit as RLimit, LimitValue, Limits, Stat, Status};
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
/// Names of variables read of one process.
const MOST_VARIABLES: usize = 512;
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

/// The parent of a process. All are asked for theirs whenever it is looked who there is, and for nothing else of what they have.
fn parent_of(pid: Pid) -> Option<Pid> {
    let bytes = read_proc(&format!("/proc/{pid}/stat")).ok()?;
    // Its name may hold anything, and ends at the last parenthesis.
    let name_ends = bytes.iter().rposition(|byte| *byte == b')')?;
    str::from_utf8(&bytes[name_ends + 1..]).ok()?.split_ascii_whitespace().nth(1)?.parse().ok()
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
        if let Some(parent) = parent_of(pid) {
            children.entry(parent).or_default().push(pid);
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

/// The number of a process's controlling terminal, 0 where it has none (proc(5), tty_nr); `None` when it is gone.
pub(crate) fn controlling_terminal(pid: Pid) -> Option<i32> {
    stat(pid).map(|stat| stat.tty_nr)
}

/// One process in full; `None` when it is gone.
pub(crate) fn process(pid: Pid) -> Option<Process> {
    let stat = stat(pid)?;
    // Where the main thread has ended and others run on, only theirs has the process's files to show.
    let living = || rest::threads_of(pid).into_iter().find(|tid| *tid != pid);
    let task = if matches!(stat.state, 'Z' | 'X') { living().map(|tid| format!("{pid}/task/{tid}")) } else { None };
    let task = task.unwrap_or_else(|| pid.to_string());
    let status = status(&format!("/proc/{task}/status"));
    let inner_pid = status.as_ref().and_then(|s| s.nspid.as_ref()?.last().copied()).unwrap_or(pid);
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
        inner_pid,
        image: stat.env_start.unwrap_or_default(),
        attributes: status.map(|status| attributes(&task, status, &other_threads(pid))),
    })
}

/// The status of each thread of `pid` but the main one.
fn other_threads(pid: Pid) -> Vec<(Pid, Status)> {
    let others = rest::threads_of(pid).into_iter().filter(|tid| *tid != pid);
    others.filter_map(|tid| Some((tid, status(&format!("/proc/{pid}/task/{tid}/status"))?))).collect()
}

fn attributes(task: &str, status: Status, others: &[(Pid, Status)]) -> Attributes {
    // setresuid(2) as the kernel has it changes one thread only.
    let ids = |s: &Status| [s.ruid, s.euid, s.suid, s.fuid, s.rgid, s.egid, s.sgid, s.fgid];
    let strangers =
        others.iter().filter(|(_, other)| ids(other) != ids(&status)).map(|(tid, other)| (*tid, other.euid)).collect();
    let limits = read_proc(&format!("/proc/{task}/limits")).ok();
    let limits = limits.and_then(|bytes| Limits::from_buf_read(String::from_utf8_lossy(&bytes).as_bytes()).ok());
    let soft = |limit: &RLimit| match limit.soft_limit {
        LimitValue::Unlimited => u64::MAX,
        LimitValue::Value(value) => value,
    };
    let oom_score_adj = read_proc(&format!("/proc/{task}/oom_score_adj")).ok();
    Attributes {
        uids: [status.ruid, status.euid, status.suid, status.fuid],
        gids: [status.rgid, status.egid, status.sgid, status.fgid],
        groups: status.groups,
        other_threads: strangers,
        capabilities: status.capprm,
        blocked: others.iter().fold(status.sigblk, |blocked, (_, other)| blocked & other.sigblk),
        ignored: status.sigign,
        umask: status.umask,
        oom_score_adj: oom_score_adj.and_then(|bytes| String::from_utf8_lossy(&bytes).trim().parse().ok()),
        core_limit: limits.as_ref().map(|l| soft(&l.max_core_file_size)),
        open_files: limits.as_ref().map(|l| soft(&l.max_open_files)),
        peak_memory: status.vmpeak,
        variables: variables(task),
    }
}

/// The names of the variables that the process had when it executed its program.
fn variables(task: &str) -> Option<Vec<Text>> {
    let bytes = read_proc(&format!("/proc/{task}/environ")).ok()?;
    let names = bytes.split(|b| *b == 0).filter_map(|variable| variable.split(|b| *b == b'=').next());
    let mut names: Vec<Text> = names.filter(|name| !name.is_empty()).take(MOST_VARIABLES).map(Text::new).collect();
    names.sort();
    Some(names)
}

/// The value of a variable that a process was started with.
pub(crate) fn variable(pid: Pid, name: &str) -> Option<String> {
    let bytes = read_proc(&format!("/proc/{pid}/environ")).ok()?;
    let mut values = bytes.split(|b| *b == 0).filter_map(|variable| variable.strip_prefix(name.as_bytes()));
    let value = values.find_map(|value| value.strip_prefix(b"="))?;
    String::from_utf8(value.to_vec()).ok()
}

/// Those of the processes `pids` that have not ended.
pub(crate) fn alive(pids: &[Pid]) -> Vec<Pid> {
    let lives = |pid: &Pid| stat(*pid).is_some_and(|stat| !matches!(stat.state, 'Z' | 'X') || stat.num_threads > 1);
    pids.iter().copied().filter(lives).collect()
}

/// Whether a thread runs, or waits for nothing but a processor.
pub(crate) fn runs(thread: Pid) -> bool {
    stat(thread).is_some_and(|stat| stat.state == 'R')
}

/// Whether a thread is one of that process's.
pub(crate) fn is_thread_of(thread: Pid, process: Pid) -> bool {
    fs::exists(format!("/proc/{process}/task/{thread}")).unwrap_or(false)
}

/// Whether `number` names one of the processes `pids`, to this pid namespace or in one of its own.
pub(crate) fn is_among(number: Pid, pids: &[Pid]) -> bool {
    let inner = |pid: &Pid| status(&format!("/proc/{pid}/status")).and_then(|s| s.nspid?.last().copied());
    pids.contains(&number) || pids.iter().any(|pid| inner(pid) == Some(number))
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
        let FdInfo { flags, mount, lock } = fdinfo(task, fd).unwrap_or_default();
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
            lock,
            close_on_exec: flags & libc::O_CLOEXEC != 0,
            mount,
            device: meta.dev(),
            inode: meta.ino(),
        });
    }
    found.sort_by_key(|d| d.fd);
    Ok(found)
}

/// What /proc/PID/fdinfo/FD says (proc_pid_fdinfo(5)).
#[derive(Debug, Default)]
struct FdInfo {
    flags: i32,
    mount: Option<i32>,
    lock: Option<LockKind>,
}

fn fdinfo(task: &str, fd: i32) -> Option<FdInfo> {
    let bytes = read_proc(&format!("/proc/{task}/fdinfo/{fd}")).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    // `lock: 1: FLOCK  ADVISORY  WRITE ...`
    // A shared lock says that somebody reads, and not that somebody runs.
    let exclusive = field("lock:").filter(|line| line.split_whitespace().nth(3) == Some("WRITE"));
    let lock = match exclusive.and_then(|line| line.split_whitespace().nth(1)) {
        Some("FLOCK") => Some(LockKind::Flock),
        Some("POSIX") => Some(LockKind::Process),
        Some("OFDLCK") => Some(LockKind::Description),
        _ => None,
    };
    Some(FdInfo {
        flags: i32::from_str_radix(field("flags:")?, 8).ok()?,
        mount: field("mnt_id:").and_then(|id| id.parse().ok()),
        lock,
    })
}

/// Which of the members is the daemon: the one `named` by the PID file, unless that is one of several workers of another;
/// else the only survivor; else the survivor that init adopted and from which the others descend.
///
/// What a supervisor `started` is taken for it where no PID file says otherwise.
pub(crate) fn main_of(
    members: &[Process],
    named: Option<Pid>,
    started: Option<Pid>,
    init: Pid,
) -> Option<(Pid, MainBy)> {
    let alive: Vec<&Process> = members.iter().filter(|p| !p.is_zombie()).collect();
    let siblings = |process: &Process| {
        let has_parent = alive.iter().any(|p| p.pid == process.ppid);
        has_parent && alive.iter().any(|p| p.ppid == process.ppid && p.pid != process.pid)
    };
    // In a pid namespace of its own a process is named by the number that it has there.
    let is_named = |p: &&&Process| (Some(p.pid) == named || Some(p.inner_pid) == named) && !siblings(p);
    if let Some(process) = alive.iter().find(is_named) {
        return Some((process.pid, MainBy::PidFile));
    }
    if let Some(process) = alive.iter().find(|p| Some(p.pid) == started) {
        return Some((process.pid, MainBy::Started));
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
            inner_pid: pid,
            image: 0,
            attributes: None,
        }
    }

    #[test]
    fn the_pid_file_decides_when_it_names_a_live_member() {
        let members = [member(5, 1, 'S'), member(6, 5, 'S')];
        assert_eq!(main_of(&members, Some(6), None, 1), Some((6, MainBy::PidFile)));
        assert_eq!(main_of(&members, Some(9), None, 1), Some((5, MainBy::Ancestor)));
    }

    #[test]
    fn one_of_several_workers_is_not_the_daemon() {
        let members = [member(5, 1, 'S'), member(6, 5, 'S'), member(7, 5, 'S')];
        assert_eq!(main_of(&members, Some(6), None, 1), Some((5, MainBy::Ancestor)));
    }

    #[test]
    fn a_zombie_is_never_the_daemon() {
        let members = [member(5, 1, 'Z'), member(6, 1, 'S')];
        assert_eq!(main_of(&members, Some(5), None, 1), Some((6, MainBy::OnlySurvivor)));
        assert_eq!(main_of(&[member(5, 1, 'Z')], None, None, 1), None);
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
            prop_assert!(main_of(&members, None, None, 1).is_some());
        }
    }
}
