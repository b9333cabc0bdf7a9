//! Started with standard streams closed, singly and together.

use super::{Scenario, Step, Then};
use crate::sandbox::shell::Stream;

/// A step with these streams closed.
macro_rules! closed {
    ($name:literal, $($stream:literal),+) => {
        Step {
            name: $name,
            needs_daemon: false,
            act: |world, _| {
                let mut start = world.start();
                for stream in [$($stream),+] {
                    start.inheritance.streams[stream] = Stream::Closed;
                }
                world.launch($name, start)?;
                world.look($name)?;
                Ok(Then::Fresh)
            },
        }
    };
}

pub(super) static SCENARIO: Scenario = Scenario {
    name: "closed",
    about: "started with standard input, output or error closed, singly and together",
    start: |_, _| Ok(()),
    steps: &[
        closed!("0", 0),
        closed!("1", 1),
        closed!("2", 2),
        closed!("0, 1", 0, 1),
        closed!("1, 2", 1, 2),
        closed!("0, 1, 2", 0, 1, 2),
    ],
};
