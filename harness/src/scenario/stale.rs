//! A PID file is there already, and names a process that is dead.

use super::Scenario;
use crate::observation::{Seen, Unseen};
use crate::observe;
use crate::world::plant;

pub(super) static SCENARIO: Scenario = Scenario {
    name: "stale",
    about: "started over a PID file that names a dead process",
    start: |world, known| {
        let Some(path) = world.pidfile.clone() else {
            for name in ["planted", "start", "rest"] {
                world.unseen(name, Unseen::Skip("no PID file was declared or found".to_owned()));
            }
            return Ok(());
        };
        let dead = world.dead_pid()?;
        if let Err(error) = plant(&path, &format!("{dead}\n"), known.pidfile.as_ref()) {
            let why = format!("cannot plant a PID file at {}: {error}", path.display());
            for name in ["planted", "start", "rest"] {
                world.unseen(name, Unseen::Broken(why.clone()));
            }
            return Ok(());
        }
        world.record("planted", Seen::File(observe::files::seen(&path)));
        world.launch("start", world.start().errors_apart())?;
        world.look("rest")?;
        Ok(())
    },
    steps: &[],
};
