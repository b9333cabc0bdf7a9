//! All is killed at each call of the start, and the daemon is started again over what that left.

use super::{Planned, Series, Trials, learned, places, start_over, without_alike};
use crate::observation::Done;
use crate::trace::{Calls, Deed};

pub(super) static SERIES: Series = Series {
    name: "killed",
    about: "all its processes killed at the return of each call of its start, and started again over what that left",
    exhaustive: true,
    plan: |known, _| {
        let trace = learned(known)?;
        let (each, alike) = without_alike(places(trace));
        let at = |(event, call)| Planned::at(trace, event, call, Calls::Start, Deed::HoldAfter, Done::Killed);
        Ok(Trials { planned: each.into_iter().map(at).collect(), alike })
    },
    act: |world, _, name, planned| {
        let mut trial = planned.trial.clone();
        trial.pid = world.start_up_to(world.start().traced(planned.calls, planned.plan.clone()))?;
        trial.reached = trial.pid.is_some();
        start_over(world, name, trial)
    },
};
