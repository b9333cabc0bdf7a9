//! A second start, from another terminal, while the first daemon runs.

use super::{Scenario, Step, Then};

pub(super) static SCENARIO: Scenario = Scenario {
    name: "twice",
    about: "started again, from another terminal, while it runs",
    start: |world, _| {
        let command = world.subject.command.clone();
        world.launch("first", &command, false)?;
        world.look("before")?;
        Ok(())
    },
    steps: &[Step {
        name: "second",
        needs_daemon: true,
        act: |world, _| {
            // Where the second start spoils the PID file, no valid one will come.
            world.awaits_pidfile = false;
            let command = world.subject.command.clone();
            world.launch("second", &command, true)?;
            world.look("after")?;
            Ok(Then::Continue)
        },
    }],
};
