//! All is killed at each call of the start, and the daemon is started again over what that left.

use super::{Planned, Series, learned, places, tell};
use crate::observation::Done;
use crate::trace::{Calls, Deed};

pub(super) static SERIES: Series = Series {
    name: "killed",
    about: "all its processes killed at the return of each call of its start, and started again over what that left",
    exhaustive: true,
    plan: |known, _| {
        let trace = learned(known)?;
        let each = places(trace);
        Ok(each
            .map(|(event, call)| Planned::at(trace, event, call, Calls::Start, Deed::HoldAfter, Done::Killed))
            .collect())
    },
    act: |world, _, name, planned| {
        let mut trial = planned.trial.clone();
        trial.pid = world.start_up_to(world.start().traced(planned.calls, planned.plan.clone()))?;
        trial.reached = trial.pid.is_some();
        world.kill_all()?;
        if let Some(path) = world.pidfile.clone() {
            trial.pidfile = Some(crate::observe::files::seen(&path));
        }
        tell(world, name, trial);
        world.launch(name, world.start())?;
        world.look(name)?;
        Ok(())
    },
};
