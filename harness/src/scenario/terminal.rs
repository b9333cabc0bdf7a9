//! The clean launch: from a shell on a terminal, as a person would do it; then what can happen to that terminal, a reload,
//! and a stop.

use super::{Scenario, Step, Then};
use nix::sys::signal::Signal;

/// ASCII ETX and FS: what Ctrl-C and Ctrl-\ send (termios(3), VINTR and VQUIT).
const INTERRUPT_KEY: u8 = 0x03;
const QUIT_KEY: u8 = 0x1c;

pub(super) static SCENARIO: Scenario = Scenario {
    name: "terminal",
    about: "started from a shell on a terminal; Ctrl-C, Ctrl-\\, SIGHUP, hang-up, stop",
    start: |world, known| {
        let command = world.subject.command.clone();
        world.launch("start", &command, false)?;
        world.settle()?;
        if !known.pauses_have_passed {
            world.let_pauses_pass()?;
        }
        world.look("rest")?;
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
                    world.unseen("release", crate::observation::Unseen::Skip(why));
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
        // Before the terminal goes away: a daemon that talks to it on a reload is heard.
        Step {
            name: "sighup",
            needs_daemon: true,
            act: |world, _| Ok(Then::if_survived(world.signal_main("sighup", Signal::SIGHUP)?)),
        },
        Step { name: "hangup", needs_daemon: true, act: |world, _| Ok(Then::if_survived(world.hang_up("hangup")?)) },
        Step {
            name: "sigterm",
            needs_daemon: true,
            act: |world, _| {
                world.stop("sigterm", None)?;
                // Its own stop command wants a daemon that still runs.
                Ok(Then::if_survived(world.subject.stop.is_none()))
            },
        },
        Step {
            name: "stop",
            needs_daemon: false,
            act: |world, _| {
                if let Some(line) = world.subject.stop.clone() {
                    world.stop("stop", Some(&line))?;
                }
                Ok(Then::Continue)
            },
        },
    ],
};
