//! Two starts at once: one is held at the return of each of its calls on the PID file in turn, and another overtakes it.

use super::{Planned, Series, only_in_background, tell};
use crate::observation::{Call, Done, Text, Unseen};
use crate::trace::{Calls, Deed};
use crate::world::plant;
use std::path::{Path, PathBuf};

pub(super) static SERIES: Series = Series {
    name: "interleaved",
    about: "held at the return of each of its calls on the PID file, while another start runs to its end",
    exhaustive: false,
    plan: |known, style| {
        only_in_background(style)?;
        let Some(path) = known.path_of_pidfile.as_deref() else {
            return Err(Unseen::Skip("no PID file was declared or found".to_owned()));
        };
        let mut planned = Vec::new();
        for (stale, trace) in [false, true].into_iter().zip(&known.traces_of_files) {
            let Some(trace) = trace else { continue };
            // What one start alone does not survive says nothing about two: that is stale-pidfile's to say.
            if stale && trace.main.is_none() {
                continue;
            }
            let on_it = trace.calls().filter(|(_, _, call)| is_about(call, &known.paths_of_pidfile));
            planned.extend(on_it.map(|(_, event, call)| Planned {
                stale,
                ..Planned::at(trace, event, call, Calls::Files, Deed::HoldAfter, Done::Overtaken)
            }));
        }
        if planned.is_empty() {
            return Err(Unseen::Broken(format!("no call on {} was seen in a traced start", path.display())));
        }
        Ok(planned.into())
    },
    act: |world, known, name, planned| {
        if planned.stale
            && let Some(path) = world.pidfile.clone()
        {
            let number = format!("{}\n", world.dead_pid()?);
            if let Err(error) = plant(&path, number.as_bytes(), known.pidfile.as_ref()) {
                world.unseen(name, Unseen::Broken(format!("cannot plant anything at {}: {error}", path.display())));
                return Ok(());
            }
        }
        let start = world.start().traced(planned.calls, planned.plan.clone());
        let mut trial = planned.trial.clone();
        let overtaken = world.overtake(start)?;
        trial.reached = overtaken.held.is_some();
        trial.pid = overtaken.held;
        trial.waited = overtaken.waited;
        trial.pidfile = overtaken.pidfile;
        trial.instances =
            overtaken.instances.map(|instances| crate::observation::Instances { stale: planned.stale, ..instances });
        tell(world, name, trial);
        Ok(())
    },
};

fn is_about(call: &Call, paths: &[PathBuf]) -> bool {
    let is =
        |text: &Option<Text>| text.as_ref().is_some_and(|text| paths.iter().any(|p| p == Path::new(text.as_str())));
    is(&call.path) || is(&call.to)
}
