//! Started with its standard streams on pipes, as by `ssh HOST DAEMON` or `$(daemon)`; then their readers vanish.

use super::{Scenario, Step, Then};
use crate::sandbox::shell::Stream;

pub(super) static SCENARIO: Scenario = Scenario {
    name: "pipes",
    about: "started with its standard streams on pipes, whose readers then go away",
    start: |world, _| {
        let mut start = world.start();
        start.inheritance.streams = [Stream::Pipe; 3];
        world.launch("start", start)?;
        world.look("rest")?;
        world.look_at_pipes("pipes")
    },
    steps: &[Step {
        name: "broken",
        needs_daemon: true,
        act: |world, _| {
            world.break_pipes("broken")?;
            Ok(Then::Continue)
        },
    }],
};
