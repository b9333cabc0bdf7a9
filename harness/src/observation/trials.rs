//! Trials: one start out of many, each steered at another call.

use super::{Exit, FileSeen, Pid, Text};
use serde::{Deserialize, Serialize};

/// One start that was steered at one place, and what came of it. The start, the look at it and the start after it have the
/// trial's name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trial {
    /// Where: the call in words, such as `openat("/run/d.pid")`, or `birth`.
    pub at: Text,
    /// Which process (`Traced::lineage`).
    pub process: Vec<u32>,
    /// When that came in the start it was learned from, in microseconds.
    pub time: u64,
    /// What was done there.
    pub deed: Done,
    /// Whether the start came to that place at all; where it did not, nothing was done.
    pub reached: bool,
    /// The process that was held or signalled.
    pub pid: Option<Pid>,
    /// How the launcher ended while a process was held.
    pub meanwhile: Option<Exit>,
    /// Whether the launcher was then seen to wait, with nothing left that would wake it before the deadline.
    pub waited: bool,
    /// Whether the process that was signalled has ended.
    pub ended: bool,
    /// The PID file when that was over.
    pub pidfile: Option<FileSeen>,
    /// Files with a process id in them that were left where no process was.
    pub left: Vec<FileSeen>,
    /// What was left of two starts.
    pub instances: Option<Instances>,
}

/// What was done at one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Done {
    /// A process was held there until the launcher had ended, or was seen to wait.
    Held,
    /// A process was held there until another start was over.
    Overtaken,
    /// The call failed with this errno.
    Failed(i32),
    /// The call was made, and seemed to fail with this errno.
    Pretended(i32),
    /// The call wrote one byte only.
    Shortened,
    /// All processes were killed.
    Killed,
    /// The process was sent SIGTERM.
    Terminated,
}

/// What was left of two starts that were interleaved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instances {
    /// Whether a PID file of a dead process was there before.
    pub stale: bool,
    /// Processes of the start that was held.
    pub first: Vec<Pid>,
    /// Processes of the other one.
    pub other: Vec<Pid>,
    /// How the two launchers ended.
    pub exits: [Option<Exit>; 2],
}

/// How many trials there were of how many there might have been.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Series {
    /// Places times deeds that the start has.
    pub possible: usize,
    /// Of them so many were tried, evenly spread.
    pub tried: usize,
    /// Places, in words: `34 calls`.
    pub places: usize,
    /// Calls of the dynamic loader's, which are not tried.
    pub loader: usize,
    /// Calls that only look at something, for which another one in the same row stands.
    #[serde(default)]
    pub alike: usize,
}

impl Done {
    /// What was done, in words that follow a call.
    pub fn words(self) -> String {
        let errno = |errno: i32| nix::errno::Errno::from_raw(errno);
        match self {
            Done::Held => "held".to_owned(),
            Done::Overtaken => "overtaken by another start".to_owned(),
            Done::Failed(number) => format!("fails with {:?}", errno(number)),
            Done::Pretended(number) => format!("is made and returns {:?}", errno(number)),
            Done::Shortened => "writes one byte only".to_owned(),
            Done::Killed => "SIGKILL".to_owned(),
            Done::Terminated => "SIGTERM".to_owned(),
        }
    }
}
