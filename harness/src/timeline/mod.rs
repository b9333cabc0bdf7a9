//! A start as a timeline: which step of daemon(7) happened where, and when, on the way from the launcher to the daemon.
//!
//! Pure functions from a traced start to text, one file a format.

pub mod html;
pub mod json;
mod rows;
mod steps;
pub mod terminal;

pub use steps::{STEPS, Step, Taken};

use crate::observation::{Call, Text, What, printable};
use crate::run::TracedStart;
use nix::errno::Errno;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

/// A start, and what is made of it.
#[derive(Debug)]
pub struct Timeline<'a> {
    /// The start.
    pub start: &'a TracedStart,
    /// The processes from the launcher to the daemon, or to what lived longest: indices into the trace's processes.
    pub chain: Vec<usize>,
    /// The steps that were taken, in order.
    pub taken: Vec<Taken>,
    /// Those that were not seen. The environment is in neither: no call shows what becomes of it.
    pub not_seen: Vec<&'static Step>,
    /// What is wrong with the order, where it matters, and whatever else has to be known.
    pub remarks: Vec<String>,
}

impl<'a> Timeline<'a> {
    /// Finds the steps of a start.
    pub fn new(start: &'a TracedStart) -> Self {
        let chain = steps::chain(&start.trace);
        let steps::Found { taken, not_seen, remarks } = steps::find(start, &chain);
        Timeline { start, chain, taken, not_seen, remarks }
    }

    /// The steps, as places in `taken`, that events are or are a part of.
    fn places(&self) -> BTreeMap<usize, usize> {
        self.taken.iter().enumerate().flat_map(|(place, taken)| taken.events.iter().map(move |e| (*e, place))).collect()
    }

    /// What a process is to the start.
    fn role(&self, process: usize) -> &'static str {
        match self.start.trace.main {
            Some(0) if process == 0 => "daemon",
            _ if process == 0 => "launcher",
            Some(main) if process == main => "daemon",
            _ if self.chain.contains(&process) => "child",
            _ => "other",
        }
    }

    /// The name of the program that a process executes at its end: its own last one, or what begot it executed then.
    fn program(&self, process: usize) -> Option<String> {
        let trace = &self.start.trace;
        let mut at = Some(process);
        let mut until = trace.events.len();
        // Bounded: processes that were read from a file may beget one another.
        for _ in 0..=trace.processes.len() {
            let index = at?;
            let executed = trace.events[..until].iter().rev().find_map(|event| match &event.what {
                What::Program(path) if event.process == index => Some(path),
                _ => None,
            });
            if let Some(path) = executed {
                return Some(printable(base(path.as_str())));
            }
            let birth =
                trace.events.iter().position(|event| matches!(event.what, What::Child(child) if child == index));
            until = birth.unwrap_or(until);
            at = trace.processes.get(index)?.parent;
        }
        None
    }

    /// When the last thing happened, in microseconds.
    fn end(&self) -> u64 {
        let trace = &self.start.trace;
        trace.events.iter().map(|event| event.at).chain(trace.ready).chain(trace.rest).max().unwrap_or(0)
    }

    /// How many calls were made, those that were put together counted one by one.
    fn calls(&self) -> u64 {
        let times = |what: &What| if let What::Call(call) = what { u64::from(call.times) } else { 0 };
        self.start.trace.events.iter().map(|event| times(&event.what)).sum()
    }
}

/// The last part of a path.
fn base(path: &str) -> &str {
    path.rsplit('/').find(|part| !part.is_empty()).unwrap_or(path)
}

/// Microseconds, as milliseconds.
fn in_ms(microseconds: u64) -> String {
    format!("{}.{:02}", microseconds / 1000, microseconds % 1000 / 10)
}

/// The number that a word begins with, in decimal.
fn number_in(word: &str) -> Option<i64> {
    let end = word.bytes().enumerate().position(|(i, b)| !(b.is_ascii_digit() || (i == 0 && b == b'-')));
    word[..end.unwrap_or(word.len())].parse().ok()
}

/// What a call that a signal interrupted seems to return: the kernel's own numbers (ERESTARTSYS to ERESTART_RESTARTBLOCK), by
/// which it decides whether to begin it anew.
const INTERRUPTED: RangeInclusive<i64> = -516..=-512;

/// The name of the error that a call returned.
fn errno(result: i64) -> String {
    if INTERRUPTED.contains(&result) {
        return "interrupted".to_owned();
    }
    let number = i32::try_from(result.unsigned_abs()).unwrap_or(0);
    match Errno::from_raw(number) {
        Errno::UnknownErrno => format!("error {}", result.unsigned_abs()),
        known => format!("{known:?}"),
    }
}

/// At most `width` characters, the last ones: of a path those that tell.
fn tail(text: &str, width: usize) -> String {
    let count = text.chars().count();
    if count <= width {
        return text.to_owned();
    }
    let last = base(text);
    if last.chars().count() == width {
        return last.to_owned();
    }
    let kept: String = text.chars().skip(count - width.saturating_sub(1)).collect();
    // Whole parts of it, where there are any.
    match kept.find('/') {
        Some(at) if at + 1 < kept.len() => format!("…{}", &kept[at..]),
        _ => format!("…{kept}"),
    }
}

/// At most `width` characters, the first ones.
fn head(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut kept: String = text.chars().take(width.saturating_sub(1)).collect();
    kept.push('…');
    kept
}

/// The bytes that a call writes, as its arguments show them, with their quotes.
fn quoted(call: &Call) -> Option<&str> {
    let arguments = call.arguments.as_str();
    let from = arguments.find('"')?;
    let to = arguments.rfind('"').filter(|to| *to > from)?;
    Some(&arguments[from..=to])
}

/// The command on one line.
fn command(start: &TracedStart) -> String {
    let words: Vec<&str> = start.command.iter().map(Text::as_str).collect();
    printable(&words.join(" "))
}

/// `1 process`, `2 processes`.
fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}
