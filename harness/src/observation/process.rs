//! Processes and what they have open.

use super::Text;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A process id as seen inside the sandbox.
pub type Pid = i32;

/// How a process ended (waitid(2)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Exit {
    /// It exited with this status.
    Status(i32),
    /// This signal ended it.
    Signal(i32),
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Exit::Status(status) => write!(f, "status {status}"),
            Exit::Signal(number) => write!(f, "{}", signal_name(*number)),
        }
    }
}

/// `SIGTERM` for 15, `signal 40` for what has no name of its own.
pub fn signal_name(number: i32) -> String {
    nix::sys::signal::Signal::try_from(number).map_or_else(|_| format!("signal {number}"), |s| s.as_str().to_owned())
}

/// What kind of thing a descriptor or a path leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileKind {
    /// A regular file.
    Regular,
    /// A directory.
    Directory,
    /// /dev/null, by its device number.
    NullDevice,
    /// A terminal: a slave of devpts, /dev/tty, or a console.
    Terminal,
    /// Any other character device.
    CharacterDevice,
    /// A block device.
    BlockDevice,
    /// A pipe or FIFO.
    Pipe,
    /// A socket.
    Socket,
    /// A connected stream socket of the UNIX domain, as leads to a logger of one's own.
    LocalStream,
    /// A symbolic link (of paths only).
    Link,
    /// epoll, eventfd, signalfd, timerfd, pidfd and their like.
    Anonymous,
}

/// The kinds of locks, none of which hears of the others but the two of fcntl(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LockKind {
    /// flock(2).
    Flock,
    /// fcntl(2), F_SETLK: a process's.
    Process,
    /// fcntl(2), F_OFD_SETLK: an open file description's.
    Description,
}

/// One open descriptor of a process (/proc/PID/fd, /proc/PID/fdinfo).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Descriptor {
    /// Its number.
    pub fd: i32,
    /// What /proc/PID/fd says it leads to.
    pub target: Text,
    /// Its kind, by stat(2).
    pub kind: FileKind,
    /// Device number of a device; 0 otherwise.
    pub rdev: u64,
    /// Open for reading.
    pub readable: bool,
    /// Open for writing.
    pub writable: bool,
    /// The exclusive lock that is held through it.
    pub lock: Option<LockKind>,
    /// Closed by execve(2).
    pub close_on_exec: bool,
    /// The mount it was opened on (fdinfo's `mnt_id`).
    pub mount: Option<i32>,
    /// Device that holds what it leads to.
    pub device: u64,
    /// Inode of what it leads to.
    pub inode: u64,
}

/// One process of the subject's, alive or zombie.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its process id.
    pub pid: Pid,
    /// Its parent.
    pub ppid: Pid,
    /// Its process group.
    pub pgrp: Pid,
    /// Its session.
    pub session: Pid,
    /// Its controlling terminal's device number; 0 for none (proc(5), stat field 7).
    pub tty_nr: i32,
    /// Its state: `S`, `R`, `Z` ... (proc(5)).
    pub state: char,
    /// How many threads it has; those of a process whose main thread has ended count.
    pub threads: i64,
    /// Its command name.
    pub name: Text,
    /// Its working directory, as /proc/PID/cwd shows it.
    pub cwd: Option<Text>,
    /// Its root directory.
    pub root: Option<Text>,
    /// Its descriptors; `None` where they could not be read.
    pub descriptors: Option<Vec<Descriptor>>,
    /// Its id in the innermost pid namespace that it is in, as it knows it itself; `pid` where that is the sandbox's.
    pub inner_pid: Pid,
    /// Where its program's environment begins: the same in processes that forked and executed nothing since, another
    /// after each execve(2) (proc_pid_stat(5), env_start).
    pub image: u64,
    /// What it carries besides files; `None` where that could not be read.
    pub attributes: Option<Attributes>,
}

/// An account of the machine's (passwd(5), group(5)).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Its name.
    pub name: String,
    /// User id.
    pub uid: u32,
    /// Primary group.
    pub gid: u32,
    /// All groups it is in, the primary one included, in order.
    pub groups: Vec<u32>,
}

/// What a process inherits and hands on besides its files (proc_pid_status(5), proc_pid_limits(5)).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attributes {
    /// Real, effective, saved and file system user ids.
    pub uids: [u32; 4],
    /// Real, effective, saved and file system group ids.
    pub gids: [u32; 4],
    /// Supplementary groups, in order.
    pub groups: Vec<u32>,
    /// Threads that have other user or group ids than the main one, and their effective user ids.
    #[serde(default)]
    pub other_threads: Vec<(Pid, u32)>,
    /// Permitted capabilities, a bit each (capabilities(7)).
    pub capabilities: u64,
    /// Signals that every thread blocks, bit n-1 for signal n: one sent to the process goes to any thread that does not
    /// (signal(7)).
    pub blocked: u64,
    /// Ignored signals.
    pub ignored: u64,
    /// The umask.
    pub umask: Option<u32>,
    /// What is added to its badness when memory runs out (proc_pid_oom_score_adj(5)).
    pub oom_score_adj: Option<i32>,
    /// Soft limit of the size of a core dump, in bytes; `u64::MAX` for none.
    pub core_limit: Option<u64>,
    /// Soft limit of the number of open files.
    pub open_files: Option<u64>,
    /// The most address space it ever had, in KiB (VmPeak).
    pub peak_memory: Option<u64>,
    /// The names of its variables at the time of its last execve(2); no values, which may be secrets.
    pub variables: Option<Vec<Text>>,
}

impl Process {
    /// Whether it has ended and only waits to be reaped.
    pub fn is_zombie(&self) -> bool {
        matches!(self.state, 'Z' | 'X') && self.threads <= 1
    }

    /// Whether `ancestor` is above it, as far as `all` tells who begot whom.
    pub fn descends_from(&self, ancestor: Pid, all: &[&Process]) -> bool {
        let mut at = self.ppid;
        // No further than there are processes: what a recording says may go round in a circle.
        for _ in 0..all.len() {
            if at == ancestor {
                return true;
            }
            match all.iter().find(|p| p.pid == at) {
                Some(parent) => at = parent.ppid,
                None => return false,
            }
        }
        false
    }

    /// Effective user id, where it could be read.
    pub fn uid(&self) -> Option<u32> {
        self.attributes.as_ref().map(|a| a.uids[1])
    }

    /// Whether it has executed a program since it was forked off `other`.
    pub fn executed_since(&self, other: &Process) -> bool {
        self.image != other.image
    }

    /// Its descriptor `fd`, if that is open.
    pub fn descriptor(&self, fd: i32) -> Option<&Descriptor> {
        self.descriptors.as_ref()?.iter().find(|d| d.fd == fd)
    }
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pid {} ({})", self.pid, self.name.short(24))
    }
}
