//! Started under a low and a high limit of open files, four times each: what a C library reserves for threads differs by
//! chance from start to start.

use super::{Scenario, Step, Then};
use crate::observation::Unseen;

macro_rules! limited {
    ($name:literal, $limit:ident) => {
        Step {
            name: $name,
            needs_daemon: false,
            act: |world, _| {
                let Some((low, high)) = world.limits_of_files() else {
                    let why = "the hard limit of open files is too low to tell";
                    world.unseen($name, Unseen::Skip(why.to_owned()));
                    return Ok(Then::Continue);
                };
                let mut start = world.start();
                start.inheritance.open_files = Some(($limit(low, high), high));
                world.launch($name, start)?;
                world.look($name)?;
                Ok(Then::Fresh)
            },
        }
    };
}

fn low(low: u64, _: u64) -> u64 {
    low
}

fn high(_: u64, high: u64) -> u64 {
    high
}

pub(super) static SCENARIO: Scenario = Scenario {
    name: "limits",
    about: "started under a low and a high limit of open files",
    start: |_, _| Ok(()),
    steps: &[
        limited!("low 1", low),
        limited!("high 1", high),
        limited!("low 2", low),
        limited!("high 2", high),
        limited!("low 3", low),
        limited!("high 3", high),
        limited!("low 4", low),
        limited!("high 4", high),
    ],
};
