//! A start, call by call: what order alone can show, and what the scenarios after it need to know to steer one.

use super::{Scenario, Step, Then};
use crate::observation::Unseen;
use crate::trace::{Calls, Plan};
use crate::world::{Acted, World, plant};

/// The traced start, and those of which only the calls on files are looked at: as it is, and over a dead process's PID file.
pub(super) const START: &str = "start";
pub(super) const FILES: [&str; 2] = ["files", "files over a stale PID file"];
/// Starts under a low limit of open files and under a high one; not so high that counting takes long.
const FEW: &str = "few";
const MANY: &str = "many";
const FEW_FILES: u64 = 1024;
const MANY_FILES: u64 = 4096;
/// All that this scenario records.
const ALL: [&str; 6] = [START, "rest", FILES[0], FILES[1], FEW, MANY];

pub(super) static SCENARIO: Scenario = Scenario {
    name: "traced",
    about: "started under ptrace, call by call",
    // Each of its starts is a first one: over a daemon that runs it would be refused.
    start: |_, _| Ok(()),
    steps: &[
        Step {
            name: START,
            needs_daemon: false,
            act: |world, _| {
                if let Some(why) = world.why_untraced() {
                    return Ok(give_up(world, &ALL, &why));
                }
                world.launch(START, world.start().traced(Calls::Start, Plan::Watch))?;
                let look = world.look("rest")?;
                world.record_trace(START, look.at_rest)?;
                if world.launcher_hangs {
                    // Each new life would wait for the launcher as long as this one has.
                    let why = Unseen::Broken("the launcher did not end (see launcher-exits)".to_owned());
                    return Ok(give_up(world, &ALL[2..], &why));
                }
                Ok(Then::Fresh)
            },
        },
        Step {
            name: "files",
            needs_daemon: false,
            act: |world, _| {
                trace_files(world, FILES[0])?;
                Ok(Then::Fresh)
            },
        },
        Step {
            name: "stale",
            needs_daemon: false,
            act: |world, known| {
                let Some(path) = known.path_of_pidfile.as_deref().filter(|_| world.is_isolated()) else {
                    return Ok(Then::Continue);
                };
                let number = format!("{}\n", world.dead_pid()?);
                match plant(path, number.as_bytes(), known.pidfile.as_ref()) {
                    Ok(()) => trace_files(world, FILES[1])?,
                    Err(error) => {
                        let why = format!("cannot plant anything at {}: {error}", path.display());
                        world.unseen(FILES[1], Unseen::Broken(why));
                    }
                }
                Ok(Then::Fresh)
            },
        },
        Step { name: FEW, needs_daemon: false, act: |world, _| count(world, FEW, FEW_FILES) },
        Step { name: MANY, needs_daemon: false, act: |world, _| count(world, MANY, MANY_FILES) },
    ],
};

/// Says of each of `names` why it was not seen.
fn give_up(world: &mut World<'_>, names: &[&str], why: &Unseen) -> Then {
    for name in names {
        world.unseen(name, why.clone());
    }
    Then::Done
}

fn trace_files(world: &mut World<'_>, name: &str) -> Acted {
    world.is_brief = true;
    world.launch(name, world.start().traced(Calls::Files, Plan::Watch))?;
    let look = world.look(name)?;
    world.record_trace(name, look.at_rest)
}

/// Counts what is done to descriptors under a limit of open files, which is the soft and the hard one.
fn count(world: &mut World<'_>, name: &str, limit: u64) -> Acted<Then> {
    let mut start = world.start().traced(Calls::Descriptors, Plan::Watch);
    start.inheritance.open_files = Some((limit, limit));
    world.launch(name, start)?;
    let look = world.look(name)?;
    world.record_trace(name, look.at_rest)?;
    Ok(Then::Fresh)
}
