//! Every call of the start fails once with each errno that fits it.

use super::held::daemon_at_birth;
use super::{Planned, Series, faults, learned, places, tell};
use crate::observation::{Done, Unseen};
use crate::trace::{Calls, Deed};

pub(super) static SERIES: Series = Series {
    name: "failing",
    about: "each call of its start fails once with each errno that fits it",
    exhaustive: true,
    plan: |known, _| {
        if !crate::trace::CAN_STEER {
            return Err(Unseen::Skip("having a call fail needs x86-64".to_owned()));
        }
        let trace = learned(known)?;
        let each = places(trace).flat_map(|(event, call)| {
            faults::of(trace, event, call).into_iter().map(move |fault| {
                let done = match fault {
                    Deed::Pretend(errno) => Done::Pretended(errno),
                    Deed::Fail(errno) => Done::Failed(errno),
                    _ => Done::Shortened,
                };
                Planned::at(trace, event, call, Calls::Start, fault, done)
            })
        });
        // What a start reads is not looked at, but for what it is told by others: a signal may interrupt it there.
        let files = known.traces_of_files[0].as_ref();
        let told = files.into_iter().flat_map(|trace| {
            let reads = trace.calls().filter(|(_, _, call)| {
                let by_others = call
                    .path
                    .as_ref()
                    .is_some_and(|path| path.as_str().starts_with("pipe:[") || path.as_str().starts_with("socket:["));
                ["read", "readv"].contains(&call.name.as_str()) && by_others
            });
            reads.map(move |(_, event, call)| {
                // A word given before the read would do no harm where the reader takes that of it which has come.
                let last = daemon_at_birth(trace).filter(|_| trace.main != Some(event.process));
                let done = Done::Failed(libc::EINTR);
                let at = Planned::at(trace, event, call, Calls::Files, Deed::Fail(libc::EINTR), done);
                Planned { last, ..at }
            })
        });
        Ok(each.chain(told).collect::<Vec<_>>().into())
    },
    act: |world, _, name, planned| {
        let mut trial = planned.trial.clone();
        // A start that fails has no PID file to be waited for.
        world.awaits_pidfile = false;
        let start =
            world.start().errors_apart().traced(planned.calls, planned.plan.clone()).with_last(planned.last.clone());
        world.launch(name, start)?;
        world.look(name)?;
        trial.reached = world.has_reached();
        trial.left = world.left_behind();
        tell(world, name, trial);
        Ok(())
    },
};
