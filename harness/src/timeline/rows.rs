//! The events of a start as rows for a person: what is a step or changes something has a row, the rest is counted.

use super::{Timeline, counted, errno, quoted};
use crate::observation::{Call, Event, Exit, Text, Trace, What, printable, signal_name};
use std::collections::{BTreeMap, BTreeSet};

/// What a process does in one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Words {
    /// What it does.
    pub(super) verb: String,
    /// To which file, of which the end is what tells.
    pub(super) path: Option<String>,
    /// What else there is to say.
    pub(super) rest: String,
}

impl Words {
    fn new(verb: impl Into<String>) -> Self {
        Words { verb: verb.into(), path: None, rest: String::new() }
    }

    fn on(verb: &str, path: Option<&Text>) -> Self {
        Words { path: path.map(|path| printable(path.as_str())), ..Words::new(verb) }
    }

    fn and(mut self, rest: impl Into<String>) -> Self {
        self.rest = rest.into();
        self
    }

    /// All of it, as long as it is.
    pub(super) fn whole(&self) -> String {
        let parts = [Some(self.verb.as_str()), self.path.as_deref(), Some(self.rest.as_str())];
        parts.into_iter().flatten().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
    }
}

/// The standard streams are put on it one by one, and shown together.
pub(super) const DEV_NULL: &str = "/dev/null on";
/// What makes a file, where that is not there.
const OPEN: &str = "open";

/// A moment that concerns all processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    Ready,
    Rest,
}

/// One row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Row {
    /// A process does something.
    Does {
        at: u64,
        process: usize,
        words: Words,
        /// How often, at once.
        times: u64,
        /// The process it begets thereby.
        begets: Option<usize>,
        /// Its place among the steps taken.
        step: Option<usize>,
        /// It ends.
        ends: bool,
    },
    /// Calls that say little, by process.
    More { at: u64, calls: Vec<(usize, u64)> },
    /// Something that concerns all.
    All { at: u64, moment: Moment },
}

/// The moments of a trace, in order.
pub(super) fn moments(trace: &Trace) -> Vec<(u64, Moment)> {
    let ready = trace.ready.map(|at| (at, Moment::Ready));
    let mut moments: Vec<(u64, Moment)> = ready.into_iter().chain(trace.rest.map(|at| (at, Moment::Rest))).collect();
    moments.sort_by_key(|(at, _)| *at);
    moments
}

/// All that is known of an event, on one line.
pub(super) fn whole(timeline: &Timeline<'_>, event: &Event) -> String {
    let process = timeline.start.trace.processes.get(event.process);
    let is_first = process.is_none_or(|process| process.pid == event.thread);
    match &event.what {
        What::ThreadEnded => format!("thread {} ends", event.thread),
        what if is_first => said_whole(timeline, what),
        what => format!("{} (thread {})", said_whole(timeline, what), event.thread),
    }
}

fn said_whole(timeline: &Timeline<'_>, what: &What) -> String {
    match what {
        What::Call(call) => {
            let mut text = format!("{}({})", call.name, call.arguments);
            if let Some(path) = call.path.as_ref().filter(|path| !call.arguments.as_str().contains(path.as_str())) {
                text.push_str(&format!(" on {path}"));
            }
            match call.result {
                Some(result) if result < 0 => text.push_str(&format!(" = {}", errno(result))),
                Some(mask) if call.name == "umask" => text.push_str(&format!(" = 0{mask:03o}")),
                Some(result) => text.push_str(&format!(" = {result}")),
                None => {}
            }
            if call.times > 1 {
                text.push_str(&format!(" ×{}", call.times));
            }
            text.push_str(if call.loader { " (loader)" } else { "" });
            text
        }
        What::Child(child) => match timeline.start.trace.processes.get(*child) {
            Some(process) => format!("→ pid {}", process.pid),
            None => "→ an unknown process".to_owned(),
        },
        What::Thread(id) => format!("→ thread {id}"),
        What::Program(path) => format!("executes {path}"),
        What::Signal(number) => format!("gets {}", signal_name(*number)),
        What::ThreadEnded => "a thread ends".to_owned(),
        What::Ended(exit) => ended(*exit),
    }
}

/// The rows of `timeline`.
pub(super) fn rows(timeline: &Timeline<'_>) -> Vec<Row> {
    let trace = &timeline.start.trace;
    let steps = timeline.places();
    let mut rows: Vec<Row> = Vec::new();
    let mut more: Option<(u64, Vec<(usize, u64)>)> = None;
    let mut moments = moments(trace).into_iter().peekable();
    // Opened with O_CREAT by whom: a log that is opened anew for each line tells nothing new.
    let mut opened = BTreeSet::new();
    // What a process was about to make a child by.
    let mut forks: BTreeMap<i32, &str> = BTreeMap::new();
    for (index, event) in trace.events.iter().enumerate() {
        while let Some((at, moment)) = moments.next_if(|(at, _)| *at < event.at) {
            flush(&mut rows, &mut more);
            rows.push(Row::All { at, moment });
        }
        let step = steps.get(&index).copied();
        let on_way = timeline.chain.contains(&event.process);
        if let What::Call(call) = &event.what
            && is_fork(call)
        {
            let borrowed = call.name == "vfork" || call.arguments.as_str().contains("CLONE_VFORK");
            forks.insert(event.thread, if borrowed { "vfork" } else { "fork" });
        }
        let words = match &event.what {
            What::Call(call) => match step {
                Some(place) => Some(step_words(call, timeline.taken[place].step.number)),
                None if on_way => of_note(call).filter(|words| {
                    words.verb != OPEN || opened.insert((event.process, words.path.clone(), words.rest.clone()))
                }),
                None => None,
            },
            What::Child(child) if on_way => {
                let verb = forks.get(&event.thread).copied().unwrap_or("fork");
                Some(Words::new(verb).and(birth(timeline, *child)))
            }
            What::Program(path) if on_way => Some(Words::new("exec").and(super::base(path.as_str()))),
            What::Signal(number) if on_way => Some(Words::new(format!("gets {}", signal_name(*number)))),
            What::Ended(exit) if on_way => Some(Words::new(ended(*exit))),
            _ => None,
        };
        let Some(words) = words else {
            // What a process that is not on the way does is told at the end; a fork's call is told by the birth.
            if let What::Call(call) = &event.what
                && on_way
                && !is_told(call)
            {
                count(&mut more, event.at, event.process, u64::from(call.times));
            }
            continue;
        };
        let begets = if let What::Child(child) = event.what { Some(child) } else { None };
        let times = if let What::Call(call) = &event.what { u64::from(call.times.max(1)) } else { 1 };
        let ends = matches!(event.what, What::Ended(_));
        let next = Row::Does { at: event.at, process: event.process, words, times, begets, step, ends };
        let calls_between =
            more.as_ref().is_some_and(|(_, calls)| calls.iter().any(|(process, _)| *process == event.process));
        if !calls_between && rows.last_mut().is_some_and(|last| join(last, &next, &timeline.chain)) {
            continue;
        }
        flush(&mut rows, &mut more);
        rows.push(next);
    }
    flush(&mut rows, &mut more);
    rows.extend(moments.map(|(at, moment)| Row::All { at, moment }));
    rows
}

fn flush(rows: &mut Vec<Row>, more: &mut Option<(u64, Vec<(usize, u64)>)>) {
    if let Some((at, calls)) = more.take() {
        rows.push(Row::More { at, calls });
    }
}

fn count(more: &mut Option<(u64, Vec<(usize, u64)>)>, at: u64, process: usize, times: u64) {
    let (_, calls) = more.get_or_insert_with(|| (at, Vec::new()));
    match calls.iter_mut().find(|(known, _)| *known == process) {
        Some((_, so_far)) => *so_far += times,
        None => calls.push((process, times)),
    }
}

/// Makes `next` a part of `last`, where they are the same thing done again.
fn join(last: &mut Row, next: &Row, chain: &[usize]) -> bool {
    let Row::Does { process, words, times, begets, step, .. } = last else { return false };
    let Row::Does { process: by, words: more, times: again, begets: another, step: of, .. } = next else {
        return false;
    };
    let beside = |child: &Option<usize>| child.is_none_or(|child| !chain.contains(&child));
    let alike = words.verb == more.verb && (step.is_some() || (words.path == more.path && words.rest == more.rest));
    let same_kind = begets.is_some() == another.is_some() && beside(begets) && beside(another);
    if process != by || step != of || !alike || !same_kind {
        return false;
    }
    *times += again;
    if words.verb == DEV_NULL && !words.rest.split(' ').any(|word| word == more.rest) {
        words.rest = format!("{} {}", words.rest, more.rest);
    }
    true
}

fn is_fork(call: &Call) -> bool {
    matches!(call.name.as_str(), "fork" | "vfork" | "clone" | "clone3")
}

/// Whether an event of its own tells the same.
fn is_told(call: &Call) -> bool {
    let succeeded = call.result.is_none_or(|result| result >= 0);
    succeeded && (is_fork(call) || matches!(call.name.as_str(), "exit_group" | "exit" | "execve" | "execveat"))
}

fn birth(timeline: &Timeline<'_>, child: usize) -> String {
    match timeline.start.trace.processes.get(child) {
        _ if timeline.chain.contains(&child) => String::new(),
        Some(_) => "another".to_owned(),
        None => "an unknown process".to_owned(),
    }
}

pub(super) fn ended(exit: Exit) -> String {
    match exit {
        Exit::Status(status) => format!("exit {status}"),
        Exit::Signal(number) => format!("killed by {}", signal_name(number)),
    }
}

/// What a call returned, where that says something.
fn error(call: &Call) -> String {
    call.result.filter(|result| *result < 0).map(errno).unwrap_or_default()
}

/// A call that is a step.
fn step_words(call: &Call, step: u8) -> Words {
    match (step, call.name.as_str()) {
        (1, "close") | (2 | 3 | 6, _) => Words::new(&call.name),
        (1, "open" | "openat" | "openat2") => Words::on("read", call.path.as_ref()),
        (9, "dup2" | "dup3") => {
            let target = call.arguments.as_str().split(',').nth(1).unwrap_or_default().trim();
            Words::new(DEV_NULL).and(target)
        }
        (9, _) => Words::new(DEV_NULL).and(call.result.map(|fd| fd.to_string()).unwrap_or_default()),
        (11, name) => Words::on(name, call.path.as_ref()),
        (12, "write" | "pwrite64" | "writev" | "pwritev" | "pwritev2") => {
            Words::on("write", call.path.as_ref()).and(quoted(call).unwrap_or_default())
        }
        (12, "fcntl" | "flock") => Words::on(lock(call), call.path.as_ref()),
        (14, "write" | "writev") => {
            let to = if call.path.as_ref().is_some_and(|path| path.as_str().starts_with("socket")) {
                "socket"
            } else {
                "pipe"
            };
            Words::new(format!("write to {to}")).and(quoted(call).unwrap_or_default())
        }
        _ => of_note(call).unwrap_or_else(|| said(call)),
    }
}

/// What a call does to a lock.
fn lock(call: &Call) -> &'static str {
    let opens = ["LOCK_UN", "F_UNLCK"].iter().any(|word| call.arguments.as_str().contains(word));
    if opens { "unlock" } else { "lock" }
}

/// How long a call sleeps.
fn pause(call: &Call) -> String {
    let mut words = call.arguments.as_str().rsplit(", ");
    let long = words.next().unwrap_or_default();
    if words.next().is_some_and(|flags| flags == "0x1") {
        return "until a time".to_owned();
    }
    match long.strip_suffix(" s").filter(|seconds| seconds.contains('.')) {
        Some(seconds) => format!("{} s", printable(seconds.trim_end_matches('0').trim_end_matches('.'))),
        None => printable(long),
    }
}

/// A call that changes something others can see, or takes time; `None` for what says little.
fn of_note(call: &Call) -> Option<Words> {
    if call.loader {
        return None;
    }
    let failed = call.result.is_some_and(|result| result < 0);
    let words = match call.name.as_str() {
        "open" | "openat" | "openat2" | "creat"
            if (call.name == "creat" || call.arguments.as_str().contains("O_CREAT"))
                && call.path.as_ref().is_none_or(|path| path.as_str() != "/dev/null") =>
        {
            Words::on(OPEN, call.path.as_ref())
        }
        "bind" => {
            let address = call.arguments.as_str().split_once(',').map_or("", |(_, address)| address.trim());
            Words::new("bind").and(printable(address))
        }
        "listen" => Words::new("listen"),
        "rename" | "renameat" | "renameat2" => Words::on("rename to", call.to.as_ref()),
        "link" | "linkat" => Words::on("link", call.to.as_ref()),
        "unlink" | "unlinkat" | "mkdir" | "mkdirat" | "truncate" | "chroot" | "chdir" | "fchdir" | "symlink"
        | "symlinkat"
            if !failed =>
        {
            Words::on(&call.name, call.path.as_ref())
        }
        "flock" => Words::on(lock(call), call.path.as_ref()),
        "fcntl" if call.arguments.as_str().contains("LK") => Words::on(lock(call), call.path.as_ref()),
        "nanosleep" | "clock_nanosleep" => Words::new("sleep").and(pause(call)),
        // It says itself how it went.
        "kill" | "umask" | "setuid" | "setgid" | "setreuid" | "setregid" | "setresuid" | "setresgid" | "setgroups"
        | "setsid" | "setpgid" => return Some(said(call)),
        _ => return None,
    };
    let error = error(call);
    Some(if error.is_empty() {
        words
    } else {
        Words { rest: format!("{} {error}", words.rest).trim().to_owned(), ..words }
    })
}

/// A call as it is.
fn said(call: &Call) -> Words {
    let error = error(call);
    let sign = if error.is_empty() { "" } else { " = " };
    Words::new(printable(&call.name)).and(format!("{}{sign}{error}", printable(call.arguments.as_str())).trim())
}

/// `23 more calls`.
pub(super) fn more(count: u64) -> String {
    counted(count, "more call", "more calls")
}
