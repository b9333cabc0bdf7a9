//! The launcher itself leads the session of a terminal, as under `ssh -t HOST DAEMON` or `script -c DAEMON`.
//!
//! When a session's leader ends, the kernel hangs the terminal up, and a child that has not yet left the session dies of
//! it. So a descendant's setsid(2) is held until the launcher has ended, or is seen to wait.

use super::Scenario;
use crate::observation::Unseen;
use crate::sandbox::shell::Place;

pub(super) static SCENARIO: Scenario = Scenario {
    name: "leader",
    about: "started as the leader of a terminal's session; its descendants' setsid() is held until the launcher has ended",
    start: |world, _| {
        if !world.may_hold() {
            for name in ["start", "rest"] {
                world.unseen(
                    name,
                    Unseen::Skip("holding a system call needs Linux 5.19, and a sandbox or root".to_owned()),
                );
            }
            return Ok(());
        }
        let mut start = world.start().errors_apart();
        start.inheritance.place = Place::Leader;
        start.inheritance.held = true;
        world.launch("start", start)?;
        world.look("rest")?;
        Ok(())
    },
    steps: &[],
};
