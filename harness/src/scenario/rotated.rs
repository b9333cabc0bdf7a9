//! The log is renamed, as log rotation does, and the daemon gets SIGHUP.

use super::{Scenario, Step, Then};
use nix::sys::signal::Signal;

pub(super) static SCENARIO: Scenario = Scenario {
    name: "rotated",
    about: "its log is renamed, and SIGHUP sent",
    start: |world, _| {
        world.launch("start", world.start())?;
        world.look("before")?;
        Ok(())
    },
    steps: &[Step {
        name: "renamed",
        needs_daemon: true,
        act: |world, _| {
            match world.rename_log() {
                Ok(directory) => {
                    world.record_file("directory", &directory);
                    world.signal_main("sighup", Signal::SIGHUP)?;
                    world.look("after")?;
                }
                Err(why) => {
                    for name in ["directory", "sighup", "after"] {
                        world.unseen(name, why.clone());
                    }
                }
            }
            Ok(Then::Continue)
        },
    }],
};
