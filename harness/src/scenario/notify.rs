//! A supervisor that listens and passes sockets, as systemd does: NOTIFY_SOCKET, and LISTEN_FDS for another process.

use super::{Scenario, Step, Then};
use crate::observation::{Style, Unseen};

pub(super) static SCENARIO: Scenario = Scenario {
    name: "notify",
    about: "started by a supervisor with NOTIFY_SOCKET, and stopped; and with a socket that is meant for another process",
    start: |_, _| Ok(()),
    steps: &[
        Step {
            name: "notices",
            needs_daemon: false,
            act: |world, _| {
                if world.style == Style::SysV {
                    for name in ["start", "rest", "sigterm", "notices", "passed"] {
                        world.unseen(name, Unseen::Skip(super::FOR_SUPERVISED.to_owned()));
                    }
                    return Ok(Then::Done);
                }
                world.listen_for_notices()?;
                world.launch("start", world.start())?;
                world.await_notice()?;
                world.look("rest")?;
                if world.main_lives() {
                    world.stop("sigterm", None)?;
                } else {
                    world.unseen("sigterm", Unseen::Broken("no daemon was running".to_owned()));
                }
                Ok(Then::Fresh)
            },
        },
        Step {
            name: "passed",
            needs_daemon: false,
            act: |world, _| {
                let (start, listener) = world.start_with_a_socket_for_another()?;
                world.launch("passed", start)?;
                world.look("passed")?;
                world.connect(&listener)?;
                Ok(Then::Continue)
            },
        },
    ],
};
