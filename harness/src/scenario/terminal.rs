//! The clean launch: from a shell on a terminal, as a person would do it; then what can happen to that terminal, a stop, and
//! a reload.

use super::ends::{SIGHUP, SIGTERM, STOP};
use super::{Scenario, Step, Then};
use crate::observation::Unseen;

/// ASCII ETX and FS: what Ctrl-C and Ctrl-\ send (termios(3), VINTR and VQUIT).
const INTERRUPT_KEY: u8 = 0x03;
const QUIT_KEY: u8 = 0x1c;

pub(super) static SCENARIO: Scenario = Scenario {
    name: "terminal",
    about: "started from a shell on a terminal; Ctrl-C, Ctrl-\\, hang-up, stop, SIGHUP",
    start: |world, known| {
        // What every check of a clean start looks at is looked at with patience, once.
        world.is_patient |= !known.pauses_have_passed;
        world.launch("start", world.start())?;
        world.look("rest")?;
        world.tell_whether_at_once();
        Ok(())
    },
    steps: &[
        Step {
            name: "release",
            needs_daemon: true,
            act: |world, _| {
                if world.is_isolated() {
                    world.release_launch_directory("release")?;
                } else {
                    let why = "unmounting the launch directory needs a mount namespace".to_owned();
                    world.unseen("release", Unseen::Skip(why));
                }
                Ok(Then::Continue)
            },
        },
        Step {
            name: "interrupt",
            needs_daemon: true,
            act: |world, _| Ok(Then::if_survived(world.type_at_terminal("interrupt", INTERRUPT_KEY)?)),
        },
        Step {
            name: "quit",
            needs_daemon: true,
            act: |world, _| Ok(Then::if_survived(world.type_at_terminal("quit", QUIT_KEY)?)),
        },
        Step { name: "hangup", needs_daemon: true, act: |world, _| Ok(Then::if_survived(world.hang_up("hangup")?)) },
        SIGTERM,
        STOP,
        SIGHUP,
    ],
};
