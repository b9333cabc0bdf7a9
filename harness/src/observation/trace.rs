//! A start as its system calls, in the order in which they were made.

use super::{Exit, Pid, Text};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// A start, call by call: of all processes that came of it, up to the moment at which all was at rest.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Trace {
    /// The processes in the order in which they were seen first; the launcher is the first.
    pub processes: Vec<Traced>,
    /// What happened, in the order in which it was seen.
    pub events: Vec<Event>,
    /// Which process became the daemon: an index into `processes`.
    pub main: Option<usize>,
    /// When all that was declared to mean "ready" (PID file, `--ready`) was first there, in microseconds.
    pub ready: Option<u64>,
    /// When all was found to be at rest, in microseconds.
    pub rest: Option<u64>,
    /// Events beyond the most that are kept.
    pub left_out: u64,
}

/// One process of a traced start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traced {
    /// Its id.
    pub pid: Pid,
    /// Who begot it: an index into the trace's processes; `None` for the launcher.
    pub parent: Option<usize>,
    /// Which child of which child of the launcher it is: `[]` the launcher, `[2, 1]` the first child of its second child. The
    /// same in every start of a daemon that forks alike.
    pub lineage: Vec<u32>,
}

/// Something that happened in a traced start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When, in microseconds since the launcher executed its program. Being traced takes time of its own.
    pub at: u64,
    /// To which process: an index into the trace's processes.
    pub process: usize,
    /// To which of its threads.
    pub thread: Pid,
    /// What.
    pub what: What,
}

/// What happened to a traced process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// It made a call that the trace looks at.
    Call(Call),
    /// It begot a process: an index into the trace's processes. The call it did that by comes before.
    Child(usize),
    /// It made a thread of that id.
    Thread(Pid),
    /// That thread of it ended, which was not its first.
    ThreadEnded,
    /// It executed this program.
    Program(Text),
    /// It was given this signal.
    Signal(i32),
    /// It ended.
    Ended(Exit),
}

/// One system call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// Its name, without what only tells the sizes of its arguments apart (`setuid` for setuid32).
    pub name: String,
    /// Its arguments in words, as they stood when it was made.
    pub arguments: Text,
    /// The file it is about, by its whole path: of a call on a descriptor, what that leads to.
    pub path: Option<Text>,
    /// The second path of rename(2) and link(2).
    pub to: Option<Text>,
    /// The descriptor it is about.
    pub fd: Option<i32>,
    /// What it returned, a negative number being an errno; `None` where it did not return, or was not waited for.
    pub result: Option<i64>,
    /// Which call of that name it is in its process, from 1, the loader's not counted.
    pub nth: u32,
    /// How many of the kind followed one another at once, where they were put together; else 1.
    pub times: u32,
    /// The dynamic loader made it.
    pub loader: bool,
    /// It came by the 32-bit interface of a 64-bit kernel.
    pub compat: bool,
}

impl Trace {
    /// The calls of the program's own, not the loader's, with their places in `events`.
    pub fn calls(&self) -> impl Iterator<Item = (usize, &Event, &Call)> {
        self.events.iter().enumerate().filter_map(|(index, event)| match &event.what {
            What::Call(call) if !call.loader => Some((index, event, call)),
            _ => None,
        })
    }

    /// The call by which the file that has those `paths` came to be whole: the last that gave it content, or its name.
    pub fn completion_of(&self, paths: &[PathBuf]) -> Option<(&Event, &Call)> {
        let is =
            |text: &Option<Text>| text.as_ref().is_some_and(|text| paths.iter().any(|p| p == Path::new(text.as_str())));
        let gives = |call: &Call| match call.name.as_str() {
            "write" | "pwrite64" | "writev" => is(&call.path) && call.result.is_some_and(|result| result > 0),
            "rename" | "renameat" | "renameat2" | "link" | "linkat" => is(&call.to) && call.result == Some(0),
            _ => false,
        };
        self.calls().filter(|(_, _, call)| gives(call)).last().map(|(_, event, call)| (event, call))
    }

    /// When the launcher ended, in microseconds, and how.
    pub fn launcher_ended(&self) -> Option<(u64, Exit)> {
        self.events.iter().find_map(|event| match event.what {
            What::Ended(exit) if event.process == 0 => Some((event.at, exit)),
            _ => None,
        })
    }

    /// The processes from the launcher to the one that became the daemon.
    pub fn chain(&self) -> Vec<usize> {
        let known = |index: &usize| *index < self.processes.len();
        let main = self.main.filter(known);
        let parents = std::iter::successors(main, |index| self.processes[*index].parent.filter(known));
        // A trace that was read from a file may have processes that beget one another.
        let mut chain: Vec<usize> = parents.take(self.processes.len()).collect();
        chain.reverse();
        chain
    }
}
