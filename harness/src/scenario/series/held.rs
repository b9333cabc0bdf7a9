//! The daemon-to-be is held at its birth, and the writer of the PID file before that is whole: does the launcher wait?

use super::{Planned, Series, learned, only_in_background, tell};
use crate::observation::Done;
use crate::trace::{Calls, Deed, Plan};

pub(super) static SERIES: Series = Series {
    name: "held",
    about: "the process that becomes the daemon is held at its birth, and the one that writes the PID file before it does",
    exhaustive: false,
    plan: |known, style| {
        only_in_background(style)?;
        let trace = learned(known)?;
        let mut planned = Vec::new();
        if let Some(main) = trace.main.and_then(|main| trace.processes.get(main)) {
            planned.push(Planned {
                trial: Planned::trial("birth", &main.lineage, Done::Held),
                calls: Calls::Leaving,
                plan: Plan::Birth(main.lineage.clone()),
                stale: false,
            });
        }
        let pidfile = known.path_of_pidfile.as_deref();
        if let Some((event, call)) = pidfile.and_then(|path| trace.completion_of(path)) {
            planned.push(Planned::at(trace, event, call, Calls::Start, Deed::HoldBefore, Done::Held));
        }
        Ok(planned)
    },
    act: |world, _, name, planned| {
        let start = world.start().traced(planned.calls, planned.plan.clone());
        let outcome = world.launch_held(name, start)?;
        let mut trial = planned.trial.clone();
        trial.reached = outcome.held.is_some();
        trial.pid = outcome.held;
        trial.meanwhile = outcome.meanwhile;
        trial.waited = outcome.waited;
        trial.pidfile = outcome.pidfile;
        world.look_as_is(name)?;
        tell(world, name, trial);
        Ok(())
    },
};
