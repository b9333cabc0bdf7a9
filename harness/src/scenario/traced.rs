//! A start, call by call: what order alone can show, and what the scenarios after it need to know to steer one.

use super::Scenario;
use crate::trace::{Calls, Plan};

pub(super) static SCENARIO: Scenario = Scenario {
    name: "traced",
    about: "started under ptrace, call by call",
    start: |world, _| {
        if let Some(why) = world.why_untraced() {
            for name in ["start", "rest"] {
                world.unseen(name, why.clone());
            }
            return Ok(());
        }
        world.launch("start", world.start().traced(Calls::Start, Plan::Watch))?;
        let look = world.look("rest")?;
        world.record_trace("start", look.at_rest)
    },
    steps: &[],
};
