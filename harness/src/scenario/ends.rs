//! How every clean start ends: by SIGTERM, by the daemon's own stop command, and by a reload, each in a life of its own.

use super::{Step, Then};
use nix::sys::signal::Signal;

pub(super) const SIGTERM: Step = Step {
    name: "sigterm",
    needs_daemon: true,
    act: |world, _| {
        world.stop("sigterm", None)?;
        Ok(Then::Fresh)
    },
};

pub(super) const STOP: Step = Step {
    name: "stop",
    needs_daemon: true,
    act: |world, _| {
        let Some(line) = world.subject.stop.clone() else { return Ok(Then::Continue) };
        world.stop("stop", Some(&line))?;
        Ok(Then::Fresh)
    },
};

/// In a life in which nothing else follows: a daemon that is still reloading may lose the next signal.
pub(super) const SIGHUP: Step = Step {
    name: "sighup",
    needs_daemon: true,
    act: |world, _| {
        world.signal_main("sighup", Signal::SIGHUP)?;
        Ok(Then::Fresh)
    },
};
