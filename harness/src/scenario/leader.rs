//! The launcher itself leads the session of a terminal, as under `ssh -t HOST DAEMON` or `script -c DAEMON`.
//!
//! When a session's leader ends, the kernel hangs the terminal up, and a child that has not yet left the session dies of
//! it. So a descendant's setsid(2) is held until the launcher has ended, or is seen to wait.

use super::Scenario;
use crate::sandbox::shell::Place;
use crate::trace::{Calls, Plan};

pub(super) static SCENARIO: Scenario = Scenario {
    name: "leader",
    about: "started as the leader of a terminal's session; its descendants' setsid() is held until the launcher has ended",
    start: |world, _| {
        if let Some(why) = world.why_untraced() {
            for name in ["start", "rest"] {
                world.unseen(name, why.clone());
            }
            return Ok(());
        }
        let mut start = world.start().errors_apart().traced(Calls::Leaving, Plan::Leaving);
        start.inheritance.place = Place::Leader;
        world.launch("start", start)?;
        world.look("rest")?;
        Ok(())
    },
    steps: &[],
};
