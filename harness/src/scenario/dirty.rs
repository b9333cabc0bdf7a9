//! Started by a careless caller: descriptors open, signals blocked and ignored, a umask that forbids nothing or everything,
//! variables, an oom_score_adj, groups.
//!
//! All of it at once, where the daemon comes up so; else one kind at a time, to see which kind it is that it cannot stand.

use super::{Acted, Known, Scenario, Step, Then};
use crate::observation::{Exit, Look, Unseen};
use crate::world::{Dirt, Start, World};

/// A step with one kind of dirt.
macro_rules! alone {
    ($name:literal, $dirt:expr) => {
        Step {
            name: $name,
            needs_daemon: false,
            act: |world, known| {
                plant(world, known, $name, &[$dirt])?;
                Ok(Then::Fresh)
            },
        }
    };
}

pub(super) static SCENARIO: Scenario = Scenario {
    name: "dirty",
    about: "started with descriptors, signal masks, dispositions, a umask, variables and more that a caller left",
    start: |_, _| Ok(()),
    steps: &[
        Step {
            name: "umask-0777",
            needs_daemon: false,
            act: |world, _| {
                let mut start = world.start();
                start.inheritance.umask = 0o777;
                attempt(world, "umask-0777", start)?;
                Ok(Then::Fresh)
            },
        },
        alone!("sigchld", Dirt::ChildSignal),
        Step {
            name: "everything",
            needs_daemon: false,
            act: |world, known| {
                let came_up = plant(world, known, "everything", &Dirt::ALL)?;
                Ok(if came_up { Then::Done } else { Then::Fresh })
            },
        },
        alone!("descriptors", Dirt::Descriptors),
        alone!("blocked", Dirt::Blocked),
        alone!("ignored", Dirt::Ignored),
        alone!("umask", Dirt::Umask),
        alone!("environment", Dirt::Environment),
        alone!("oom-score", Dirt::OomScore),
    ],
};

/// Starts with the `dirt`; says whether the daemon came up as it does without.
fn plant(world: &mut World<'_>, known: &Known, name: &str, dirt: &[Dirt]) -> Acted<bool> {
    let mut dirt = dirt.to_vec();
    if !world.is_isolated() && dirt.contains(&Dirt::Umask) {
        // On the machine itself it would leave files there that anybody may write.
        world.unseen("umask", Unseen::Skip("a start under umask 0 needs a sandbox".to_owned()));
        dirt.retain(|kind| *kind != Dirt::Umask);
        if dirt.is_empty() {
            return Ok(false);
        }
    }
    let before = world.files_anybody_may_write();
    let (ended, look) = attempt(world, name, world.dirty_start(&dirt))?;
    if dirt.contains(&Dirt::Umask) {
        world.look_for_files_anybody_may_write(name, &before);
    }
    Ok(known.is_matched_by(ended, &look))
}

fn attempt(world: &mut World<'_>, name: &str, start: Start) -> Acted<(Option<Exit>, Look)> {
    let ended = world.launch(name, start.errors_apart())?;
    Ok((ended, world.look(name)?))
}
