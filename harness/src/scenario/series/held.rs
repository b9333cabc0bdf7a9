//! The daemon-to-be is held at its birth, and the writer of the PID file before that is whole: does the launcher wait?

use super::{Planned, Series, learned, only_in_background, tell};
use crate::observation::{Call, Done, Trace};
use crate::trace::{Calls, Deed, Plan};
use std::path::Path;

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
        if let Some((event, call)) = pidfile.and_then(|path| completing_call(trace, path)) {
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

/// The call by which the PID file comes to be whole: the last that gives it content, or its name.
fn completing_call<'a>(trace: &'a Trace, path: &Path) -> Option<(&'a crate::observation::Event, &'a Call)> {
    let is =
        |text: &Option<crate::observation::Text>| text.as_ref().is_some_and(|text| Path::new(text.as_str()) == path);
    let gives = |call: &Call| match call.name.as_str() {
        "write" | "pwrite64" | "writev" => is(&call.path) && call.result.is_some_and(|result| result > 0),
        "rename" | "renameat" | "renameat2" | "link" | "linkat" => is(&call.to) && call.result == Some(0),
        _ => false,
    };
    trace.calls().filter(|(_, _, call)| gives(call)).last().map(|(_, event, call)| (event, call))
}
