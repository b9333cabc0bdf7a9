//! How long a start takes, for the benches.

use super::RunError;
use super::performing::Run;
use crate::observation::{Isolation, Style};
use crate::sandbox;
use crate::scenario::Halt;
use crate::subject::Subject;
use crate::trace::{Calls, Plan};
use crate::world::World;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The variable in which a program that the command begins with may leave the time at which it executes the rest, in
/// nanoseconds of CLOCK_MONOTONIC.
pub const STAMP: &str = "DAEMONSPEC_BENCH_STAMP";

/// How long a start took, until the launcher was seen to have ended.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Timed {
    /// From the moment at which the launcher-to-be was told to execute the command.
    pub since_go: Duration,
    /// From the time that [`STAMP`] says.
    pub since_stamp: Option<Duration>,
}

/// The names of the system calls that the trace of a start looks at.
pub fn calls_of_a_start() -> Vec<&'static str> {
    Calls::Start.names().collect()
}

/// Starts a daemon once in a sandbox of its own, traced as `daemonspec trace` does it or not at all, and times that.
///
/// # Errors
/// When it could not be started, or not be traced.
pub fn time_start(subject: &Subject, is_traced: bool) -> Result<Timed, RunError> {
    let run = Run::new(subject, Style::SysV, Isolation::Full)?;
    let timed = sandbox::run(&run.request(), |inside| -> Result<Timed, Halt> {
        let mut world = World::new(run.setting(), inside)?;
        world.set_up()?;
        let mut start = world.start();
        if is_traced {
            if let Some(why) = world.why_untraced() {
                return Err(Halt::System(format!("{why:?}")));
            }
            start = start.traced(Calls::Start, Plan::Watch);
        }
        let (since_go, since_stamp) = world.time_launch(start, STAMP)?;
        Ok(Timed { since_go, since_stamp })
    });
    timed.map_err(|error| run.refused(error))?.map_err(|halt| run.halted(halt))
}
