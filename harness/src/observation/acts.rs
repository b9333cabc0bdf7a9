//! What was done to the subject, and what became of it.

use super::{Exit, FileSeen, Pid, Process, Text};
use serde::{Deserialize, Serialize};

/// The treatment that is none: the daemon ended although nothing had been done to it.
pub const BY_ITSELF: &str = "by-itself";

/// Something done to a running daemon, and what became of its main process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Treatment {
    /// Whether it is proven that the act took place (a canary died of it, the kernel accepted the signal).
    pub delivered: bool,
    /// Whether all came to rest afterwards, so that nothing more can come of it.
    pub at_rest: bool,
    /// The main process it was aimed at.
    pub main: Pid,
    /// Whether that process outlived it.
    pub survived: bool,
    /// How it ended, where it ended and init could see it.
    pub ended: Option<Exit>,
}

/// Whether the launch directory's mount could be taken away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// The mount was unmounted.
    pub unmounted: bool,
    /// Who held it: a process, and by what (`cwd`, `root`, `fd 5 ...`, `exe`).
    pub holders: Vec<Holder>,
}

/// One thing that keeps a file system busy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The process.
    pub pid: Pid,
    /// By what it holds the file system.
    pub by: Hold,
    /// The path held.
    pub path: Text,
}

/// By what a process keeps a file system busy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hold {
    /// Its working directory.
    WorkingDirectory,
    /// Its root directory.
    Root,
    /// An open directory.
    Directory,
    /// An open file.
    File,
    /// The program it runs, or a library.
    Program,
}

/// The end of a daemon that was told to stop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stop {
    /// The main process that was told.
    pub main: Pid,
    /// Whether it was gone by the deadline.
    pub gone: bool,
    /// How it ended, where init could see it.
    pub ended: Option<Exit>,
    /// Members still alive afterwards, at rest or at the deadline.
    pub left: Vec<Process>,
    /// The PID file afterwards.
    pub pidfile: Option<FileSeen>,
}

/// A file planted or kept over a restart, before and after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// What was planted, a whole line.
    pub line: Text,
    /// The path.
    pub path: Text,
    /// Whether the line was still there afterwards, where it had been.
    pub kept: bool,
}

/// Who still holds the pipes that were a start's standard output and error, once all was at rest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pipes {
    /// For standard output and error: whether the reader has seen the end.
    pub ended: [bool; 2],
    /// The descriptors that lead to them: process, number.
    pub holders: Vec<(Pid, i32)>,
}

/// A process that is none of the subject's, whose number the subject was made to meet. It blocks every signal, so that one
/// that was sent to it can be seen to wait.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stranger {
    /// Its process id.
    pub pid: Pid,
    /// The id of its second thread.
    pub thread: Pid,
    /// Whether it still runs.
    pub alive: bool,
    /// The signals that were sent to it.
    pub received: Vec<i32>,
}

/// A sd_notify(3) message, and how things stood when it came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// Who sent it, by the kernel's word (SCM_CREDENTIALS).
    pub sender: Pid,
    /// Its text.
    pub text: Text,
    /// Whether all that was declared to mean "ready" held by then.
    pub ready: bool,
}

impl Notice {
    /// Whether one of its lines is `assignment`, such as `READY=1`.
    pub fn says(&self, assignment: &str) -> bool {
        self.text.as_str().split("\\n").any(|line| line == assignment)
    }
}
