//! How long one start takes.

use super::RunError;
use super::performing::Run;
use crate::observation::{Isolation, Style};
use crate::sandbox;
use crate::scenario::Halt;
use crate::subject::Subject;
use crate::trace::{Calls, Plan};
use crate::world::{Moments, World};
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

/// The variable in which a program that the command begins with may leave the time at which it executes the rest, in
/// nanoseconds of CLOCK_MONOTONIC.
pub const STAMP: &str = "DAEMONSPEC_BENCH_STAMP";

/// How long a start took. It begins with the word to go, at which a process that is ready to do so executes the command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timed {
    /// Until the launcher was seen to have ended; `None` where a daemon under a supervisor is there to stay.
    pub exit: Option<Duration>,
    /// Until all that "ready" means was seen: a PID file that names a live process, and what `--ready` declares. `None` where
    /// neither is known.
    pub ready: Option<Duration>,
    /// From the time that [`STAMP`] says, until the launcher was seen to have ended.
    pub since_stamp: Option<Duration>,
    /// The whole, with its sandbox, made and left.
    pub whole: Duration,
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
    run.time(is_traced)?.map_err(|what| RunError::System { name: subject.name.clone(), what })
}

impl Run<'_> {
    /// One start in a sandbox of its own; why it failed, where it is the subject that did.
    pub(super) fn time(&self, is_traced: bool) -> Result<Result<Timed, String>, RunError> {
        let began = Instant::now();
        let life = sandbox::run(&self.request(), |inside| -> Result<Result<Moments, String>, Halt> {
            let mut world = World::new(self.setting(), inside)?;
            let timed = time(&mut world, is_traced);
            // Without a sandbox it is this that ends what was started.
            world.finish();
            timed
        });
        let moments = life.map_err(|error| self.refused(error))?.map_err(|halt| self.halted(halt))?;
        let whole = began.elapsed();
        Ok(moments.map(|Moments { ended, ready, since_stamp }| Timed { exit: ended, ready, since_stamp, whole }))
    }
}

fn time(world: &mut World<'_>, is_traced: bool) -> Result<Result<Moments, String>, Halt> {
    world.set_up()?;
    let mut start = world.start();
    if is_traced {
        if let Some(why) = world.why_untraced() {
            return Err(Halt::System(format!("{why:?}")));
        }
        start = start.traced(Calls::Start, Plan::Watch);
    }
    world.time_launch(start, STAMP)
}
