//! A start, call by call: what order alone can show, and what the scenarios after it need to know to steer one.

use super::{Scenario, Step, Then};
use crate::observation::Unseen;
use crate::trace::{Calls, Plan};
use crate::world::{Acted, World, plant};

/// The traced start, and those of which only the calls on files are looked at: as it is, and over a dead process's PID file.
pub(super) const START: &str = "start";
pub(super) const FILES: [&str; 2] = ["files", "files over a stale PID file"];
/// Limits of open files, few and many; not so many that counting takes long.
const FEW: u64 = 1024;
const MANY: u64 = 4096;

pub(super) static SCENARIO: Scenario = Scenario {
    name: "traced",
    about: "started under ptrace, call by call",
    start: |world, _| {
        if let Some(why) = world.why_untraced() {
            for name in [START, "rest", FILES[0], FILES[1], "few", "many"] {
                world.unseen(name, why.clone());
            }
            return Ok(());
        }
        world.launch(START, world.start().traced(Calls::Start, Plan::Watch))?;
        let look = world.look("rest")?;
        world.record_trace(START, look.at_rest)
    },
    steps: &[
        Step {
            name: "files",
            needs_daemon: false,
            act: |world, _| {
                if world.why_untraced().is_some() {
                    return Ok(Then::Done);
                }
                trace_files(world, FILES[0])?;
                Ok(Then::Fresh)
            },
        },
        Step {
            name: "stale",
            needs_daemon: false,
            act: |world, known| {
                if let Some(path) = world.pidfile.clone().filter(|_| world.is_isolated()) {
                    let number = format!("{}\n", world.dead_pid()?);
                    match plant(&path, number.as_bytes(), known.pidfile.as_ref()) {
                        Ok(()) => trace_files(world, FILES[1])?,
                        Err(error) => {
                            let why = format!("cannot plant anything at {}: {error}", path.display());
                            world.unseen(FILES[1], Unseen::Broken(why));
                        }
                    }
                }
                Ok(Then::Fresh)
            },
        },
        Step { name: "few", needs_daemon: false, act: |world, _| count(world, "few", FEW) },
        Step { name: "many", needs_daemon: false, act: |world, _| count(world, "many", MANY) },
    ],
};

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
