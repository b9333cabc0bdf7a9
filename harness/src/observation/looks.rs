//! Starts and looks: what was running, and what its files held, at one moment.

use super::{Exit, FileSeen, Pid, Process, Text};
use serde::{Deserialize, Serialize};

/// What came out of a terminal or a pipe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// Its first bytes.
    pub text: Text,
    /// How many bytes there were in all.
    pub bytes: u64,
    /// Whether the last of them was a newline, or there were none.
    pub whole_lines: bool,
}

impl Default for Output {
    /// Nothing came.
    fn default() -> Self {
        Output { text: Text::default(), bytes: 0, whole_lines: true }
    }
}

/// How the main process was told from the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MainBy {
    /// The PID file names it.
    PidFile,
    /// It is the process that a supervisor started.
    Started,
    /// Nothing else is alive.
    OnlySurvivor,
    /// Init adopted it, and the others descend from it.
    Ancestor,
}

/// A socket that waits for connections, and a process that has it open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listener {
    /// The process; of several the first.
    pub pid: Pid,
    /// Its descriptor.
    pub fd: i32,
    /// Where the socket listens.
    pub at: Endpoint,
}

/// Where a socket listens.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Endpoint {
    /// A TCP address; an unspecified one stands for all.
    Tcp(std::net::SocketAddr),
    /// A name in the UNIX domain: a path as bind(2) was given it, or one with `@` in front that is no file.
    Unix(Text),
}

/// The processes and files at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Look {
    /// Whether all was at rest: between two readings no thread of any member ran.
    pub at_rest: bool,
    /// Whether the standard streams were still to change when all first seemed to be done. Only a patient look can tell.
    pub late: bool,
    /// Whether all that `--ready` declares was there.
    #[serde(default)]
    pub ready: bool,
    /// All members, by process id.
    pub members: Vec<Process>,
    /// The main process, and how it was found.
    pub main: Option<(Pid, MainBy)>,
    /// The PID file, where one was declared or discovered.
    pub pidfile: Option<FileSeen>,
    /// The directories above the PID file, links followed, the nearest first.
    pub pidfile_directories: Vec<FileSeen>,
    /// The log, where one was declared or discovered.
    pub log: Option<FileSeen>,
    /// Where members listen; recordings made before this was looked at have none.
    #[serde(default)]
    pub listeners: Vec<Listener>,
}

impl Look {
    /// The main process.
    pub fn main(&self) -> Option<&Process> {
        let (pid, _) = self.main?;
        self.members.iter().find(|p| p.pid == pid)
    }

    /// Members that have not ended.
    pub fn alive(&self) -> impl Iterator<Item = &Process> {
        self.members.iter().filter(|p| !p.is_zombie())
    }
}

/// One start of the subject: by a shell on a terminal of its own, or by a supervisor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Launch {
    /// The shell: leader of the session that owns the terminal.
    pub shell: Pid,
    /// The terminal's device number as a process's `tty_nr` shows it; what `no-controlling-terminal` looks for.
    pub shell_tty_nr: i32,
    /// The same as descriptors show it (st_rdev).
    pub terminal: u64,
    /// The started process.
    pub launcher: Pid,
    /// The directory it was started from.
    pub directory: Text,
    /// The process to be, just before it executed the subject's program: the proof of what the subject inherited.
    pub inherited: Option<Box<Process>>,
    /// What was planted for it to inherit.
    pub planted: Option<Planted>,
    /// How the launcher ended; `None` when it had not by the deadline.
    pub ended: Option<Exit>,
    /// Small files that the subject wrote, at the instant the launcher ended and before it was reaped.
    pub files_at_exit: Vec<FileSeen>,
    /// The PID file at that instant, where its path was known.
    pub pidfile_at_exit: Option<FileSeen>,
    /// The subject's processes that had not ended at that instant.
    pub alive_at_exit: Vec<Pid>,
    /// What the terminal showed up to the launcher's end.
    pub output: Output,
    /// What came on standard error, where that was a pipe of its own.
    pub errors: Option<Output>,
}

/// What a dirty start planted and could be told from the subject's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Planted {
    /// Device of the file that the planted descriptors lead to.
    pub device: u64,
    /// Its inode.
    pub inode: u64,
    /// The numbers at which it was planted.
    pub descriptors: Vec<i32>,
    /// The names of the planted variables.
    pub variables: Vec<Text>,
}
