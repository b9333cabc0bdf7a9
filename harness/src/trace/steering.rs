//! How a start is steered: at which call of which process something is done, and what.

use super::Calls;
use crate::observation::{Call, Event, Trace};

/// One call of a start, found again in another start of the same daemon: which process, and which of its calls of that name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Point {
    /// The process (`Traced::lineage`).
    pub(crate) lineage: Vec<u32>,
    /// The call's name.
    pub(crate) call: String,
    /// Which of that name (`Call::nth`).
    pub(crate) nth: u32,
}

impl Point {
    pub(crate) fn of(trace: &Trace, event: &Event, call: &Call) -> Self {
        let lineage = trace.processes.get(event.process).map(|process| process.lineage.clone()).unwrap_or_default();
        Point { lineage, call: call.name.clone(), nth: call.nth }
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

/// How a start is steered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Plan {
    /// It is only watched.
    Watch,
    /// Something is done at one call.
    At(Point, Deed),
    /// The process of that lineage is held at its birth, or, where it is to execute programs, before the first instruction of
    /// that many of them.
    Birth(Vec<u32>, usize),
    /// Whoever leaves the launcher's session is held before that, and so is the launcher before its end.
    Leaving,
}

/// A start to be traced: what is looked at, and what is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Steering {
    pub(crate) calls: Calls,
    pub(crate) plan: Plan,
}
