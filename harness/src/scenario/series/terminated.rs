//! The daemon-to-be gets SIGTERM at its birth and at each of its calls, long before it may expect that.

use super::{Planned, Series, Trials, learned, places, start_over, without_alike};
use crate::observation::{Done, Style};
use crate::trace::{Calls, Deed, Newborn, Plan};

pub(super) static SERIES: Series = Series {
    name: "terminated",
    about: "the process that becomes the daemon gets SIGTERM at each call of its start, and is started again after that",
    exhaustive: true,
    plan: |known, style| {
        let trace = learned(known)?;
        let mut planned = Vec::new();
        let Some((index, main)) = trace.main.and_then(|main| Some((main, trace.processes.get(main)?))) else {
            return Ok(planned.into());
        };
        if style == Style::SysV {
            planned.push(Planned {
                trial: Planned::trial("birth", &main.lineage, Done::Terminated),
                calls: Calls::Start,
                plan: Plan::Birth(Newborn { lineage: main.lineage.clone(), programs: 0 }),
                last: None,
                stale: false,
                looks: false,
            });
        }
        let (own, alike) = without_alike(places(trace).filter(|(event, _)| event.process == index));
        let at = |(event, call)| Planned::at(trace, event, call, Calls::Start, Deed::HoldBefore, Done::Terminated);
        planned.extend(own.into_iter().map(at));
        Ok(Trials { planned, alike })
    },
    act: |world, _, name, planned| {
        let mut trial = planned.trial.clone();
        trial.pid = world.start_up_to(world.start().traced(planned.calls, planned.plan.clone()))?;
        trial.reached = trial.pid.is_some();
        if let Some(pid) = trial.pid {
            trial.ended = world.terminate(pid)?;
        }
        start_over(world, name, trial)
    },
};
