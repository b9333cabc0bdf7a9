//! How a start is steered: at which call of which process something is done, and what.

use super::Calls;
use crate::observation::{Call, Event, Text, Trace};

/// One call of a start, found again in another start of the same daemon: which process, and which of its calls of that name
/// about that kind of thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Point {
    /// The process (`Traced::lineage`).
    pub(crate) lineage: Vec<u32>,
    /// The call's name.
    pub(crate) call: String,
    /// What kind of thing it is about.
    pub(crate) kind: String,
    /// Which of those, from 1, the loader's not counted.
    pub(crate) nth: u32,
}

impl Point {
    pub(crate) fn of(trace: &Trace, event: &Event, call: &Call) -> Self {
        let lineage = trace.processes.get(event.process).map(|process| process.lineage.clone()).unwrap_or_default();
        let kind = kind(call.path.as_ref());
        let alike = trace.calls().filter(|(_, other, one)| {
            other.process == event.process
                && !one.loader
                && one.name == call.name
                && one.nth <= call.nth
                && self::kind(one.path.as_ref()) == kind
        });
        let nth = alike.map(|(_, _, one)| one.times).sum();
        Point { lineage, call: call.name.clone(), kind: kind.to_owned(), nth }
    }
}

/// What kind of thing a path names: a file, or what stands for one (`pipe:`, `socket:`, `anon_inode:`). Calls on each are counted
/// apart, because the threads of a runtime wake one another over pipes and event descriptors, another number of times in each
/// start.
pub(super) fn kind(path: Option<&Text>) -> &str {
    match path.map(Text::as_str) {
        None => "",
        Some(path) if path.starts_with('/') => "/",
        Some(path) => path.split('[').next().unwrap_or_default(),
    }
}

/// What is done at a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deed {
    /// The thread is held before the call.
    HoldBefore,
    /// The thread is held when it is back from the call.
    HoldAfter,
    /// The call is not made, and fails with this errno.
    Fail(i32),
    /// The call is made, and seems to have failed with this errno all the same: close(2) does so.
    Pretend(i32),
    /// The call, a write(2), is given one byte only.
    Shorten,
}

/// A process to be held at its birth or, where it is to execute programs, before the first instruction of the last of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Newborn {
    /// Which process (`Traced::lineage`).
    pub(crate) lineage: Vec<u32>,
    /// How many programs it is to have executed.
    pub(crate) programs: usize,
}

/// How a start is steered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Plan {
    /// It is only watched.
    Watch,
    /// Something is done at one call.
    At(Point, Deed),
    /// A process is held at its birth.
    Birth(Newborn),
    /// Whoever leaves the launcher's session is held before that, and so is the launcher before its end.
    Leaving,
}

/// A start to be traced: what is looked at, and what is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Steering {
    pub(crate) calls: Calls,
    pub(crate) plan: Plan,
    /// Who is held besides until the launcher has ended, or waits: of a race between the two the launcher is to be first.
    pub(crate) last: Option<Newborn>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observation::What;

    fn written(nth: u32, path: &str) -> Event {
        let call = Call {
            name: "write".to_owned(),
            arguments: Text::printed(""),
            path: Some(Text::printed(path)),
            to: None,
            fd: Some(3),
            result: Some(1),
            nth,
            times: 1,
            loader: false,
            compat: false,
        };
        Event { at: u64::from(nth), process: 0, thread: 1, what: What::Call(call) }
    }

    #[test]
    fn a_call_on_a_file_is_found_again_however_often_threads_wake_one_another() {
        let point = |paths: &[&str]| {
            let events = (1..).zip(paths).map(|(nth, path)| written(nth, path)).collect();
            let trace = Trace { events, ..Trace::default() };
            let (_, event, call) = trace.calls().last().unwrap();
            Point::of(&trace, event, call)
        };
        let quiet = point(&["/run/d.log", "anon_inode:[eventfd]", "/run/d.pid"]);
        let busy = point(&["pipe:[7]", "/run/d.log", "anon_inode:[eventfd]", "anon_inode:[eventfd]", "/run/d.pid"]);
        assert_eq!(quiet, busy);
        assert_eq!(quiet.nth, 2);
        assert_eq!(point(&["pipe:[7]", "/run/d.log", "pipe:[8]"]), point(&["pipe:[9]", "pipe:[3]"]));
    }
}
