//! The clean start of a new-style daemon: by a supervisor, whose child it stays; then a stop, and a reload.

use super::Scenario;
use super::ends::{SIGHUP, SIGTERM, STOP};

pub(super) static SCENARIO: Scenario = Scenario {
    name: "foreground",
    about: "started by a supervisor, in a session of its own, with pipes as standard output and error; stop, SIGHUP",
    start: |world, known| {
        world.is_patient |= !known.pauses_have_passed;
        world.launch("start", world.start())?;
        world.look("rest")?;
        world.tell_whether_at_once();
        Ok(())
    },
    steps: &[SIGTERM, STOP, SIGHUP],
};
