//! A crash: everything is killed, or the main process alone, and the daemon is started again over what that left.

use super::{Scenario, Step, Then};

pub(super) static SCENARIO: Scenario = Scenario {
    name: "crash",
    about: "killed, with all its processes or the main one alone, and started again over what that left",
    start: |world, _| {
        world.launch("first", world.start())?;
        world.look("before")?;
        Ok(())
    },
    steps: &[
        Step {
            name: "again",
            needs_daemon: true,
            act: |world, _| {
                world.kill_all()?;
                let planted = world.plant_log();
                world.launch("again", world.start())?;
                world.look("after")?;
                world.look_for_log("log", planted);
                Ok(Then::Fresh)
            },
        },
        Step {
            name: "alone",
            needs_daemon: true,
            act: |world, _| {
                // Each life has a "before"; this is the one of those that are killed now.
                world.look("running")?;
                world.kill_main("killed")?;
                world.launch("alone", world.start().errors_apart())?;
                world.look("alone")?;
                Ok(Then::Continue)
            },
        },
    ],
};
