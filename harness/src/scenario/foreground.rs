//! The clean start of a new-style daemon: by a supervisor, whose child it stays; then a stop, and a reload.

use super::{Scenario, Step, Then};
use nix::sys::signal::Signal;

pub(super) static SCENARIO: Scenario = Scenario {
    name: "foreground",
    about: "started by a supervisor, in a session of its own, with pipes as standard output and error; stop, SIGHUP",
    start: |world, known| {
        world.is_patient |= !known.pauses_have_passed;
        world.launch("start", world.start())?;
        world.look("rest")?;
        Ok(())
    },
    steps: &[
        Step {
            name: "sigterm",
            needs_daemon: true,
            act: |world, _| {
                world.stop("sigterm", None)?;
                Ok(Then::Fresh)
            },
        },
        Step {
            name: "stop",
            needs_daemon: true,
            act: |world, _| {
                let Some(line) = world.subject.stop.clone() else { return Ok(Then::Continue) };
                world.stop("stop", Some(&line))?;
                Ok(Then::Fresh)
            },
        },
        Step {
            name: "sighup",
            needs_daemon: true,
            act: |world, _| {
                world.signal_main("sighup", Signal::SIGHUP)?;
                Ok(Then::Fresh)
            },
        },
    ],
};
