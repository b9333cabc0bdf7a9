//! A second start, from another terminal, while the first daemon runs.

use super::{Scenario, Step, Then};

pub(super) static SCENARIO: Scenario = Scenario {
    name: "twice",
    about: "started again, from another terminal, while it runs",
    start: |world, _| {
        world.launch("first", world.start())?;
        world.look("before")?;
        Ok(())
    },
    steps: &[Step {
        name: "second",
        needs_daemon: true,
        act: |world, _| {
            // Where the second start spoils the PID file, no valid one will come.
            world.awaits_pidfile = false;
            world.launch("second", world.start().errors_apart())?;
            world.look("after")?;
            Ok(Then::Continue)
        },
    }],
};
