//! The first process of a container: an orphan, a stop, and a second life over what a SIGKILL has left.

use super::{Scenario, Step, Then};
use crate::observation::{Style, Unseen};
use crate::sandbox::shell::Place;
use crate::world::{Acted, Start, World};

pub(super) static SCENARIO: Scenario = Scenario {
    name: "pid1",
    about: "started as the first process of a pid namespace; an orphan, a stop, a restart after SIGKILL",
    start: |world, _| {
        if let Some(why) = refusal(world) {
            for name in NAMES {
                world.unseen(name, why.clone());
            }
            return Ok(());
        }
        world.launch("start", first(world))?;
        world.look("rest")?;
        world.aim_at_started()
    },
    steps: &[
        Step {
            name: "orphan",
            needs_daemon: false,
            act: |world, _| {
                if refusal(world).is_some() {
                    return Ok(Then::Done);
                }
                if missing(world, &["adopted", "reaped"]) {
                    return Ok(Then::Continue);
                }
                world.give_orphan("orphaned")?;
                Ok(Then::if_survived(world.main_lives()))
            },
        },
        Step {
            name: "sigterm",
            needs_daemon: false,
            act: |world, _| {
                if missing(world, &["sigterm"]) {
                    return Ok(Then::Continue);
                }
                world.stop("sigterm", None)?;
                Ok(Then::Fresh)
            },
        },
        Step {
            name: "restart",
            needs_daemon: false,
            act: |world, _| {
                if missing(world, &["again"]) {
                    return Ok(Then::Continue);
                }
                restart(world)?;
                Ok(Then::Continue)
            },
        },
    ],
};

const NAMES: [&str; 6] = ["start", "rest", "adopted", "reaped", "sigterm", "again"];

/// Why there is no such start.
fn refusal(world: &World<'_>) -> Option<Unseen> {
    if world.style == Style::SysV {
        return Some(Unseen::Skip(super::FOR_SUPERVISED.to_owned()));
    }
    (!world.is_isolated()).then(|| Unseen::Skip("a pid namespace of its own needs a sandbox".to_owned()))
}

fn first(world: &World<'_>) -> Start {
    let mut start = world.start();
    start.inheritance.place = Place::First;
    start
}

/// Says of what cannot be done that no daemon is there to do it to.
fn missing(world: &mut World<'_>, names: &[&str]) -> bool {
    let lives = world.main_lives();
    for name in names.iter().filter(|_| !lives) {
        world.unseen(name, Unseen::Broken("no daemon was running as process 1".to_owned()));
    }
    !lives
}

fn restart(world: &mut World<'_>) -> Acted {
    world.kill_all()?;
    if let Some(path) = world.pidfile.clone() {
        world.record("left", crate::observation::Seen::File(crate::observe::files::seen(&path)));
    }
    // The number in the PID file is that of every first process: it says nothing of this one.
    world.is_patient = true;
    world.launch("again", first(world))?;
    world.look("again")?;
    Ok(())
}
