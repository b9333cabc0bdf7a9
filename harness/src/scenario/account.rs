//! Started with groups that its account does not have, where it is said to drop to one.

use super::Scenario;
use crate::observation::Unseen;
use crate::world::Dirt;

pub(super) static SCENARIO: Scenario = Scenario {
    name: "account",
    about: "started with supplementary groups that are not those of the account it drops to",
    start: |world, _| {
        let why = if world.subject.user.is_none() {
            Some("no account was declared; give --user")
        } else if !world.may_change_accounts() {
            Some("only root can take another account")
        } else {
            None
        };
        if let Some(why) = why {
            for name in ["start", "rest"] {
                world.unseen(name, Unseen::Skip(why.to_owned()));
            }
            return Ok(());
        }
        world.launch("start", world.dirty_start(&[Dirt::Groups]))?;
        world.look("rest")?;
        Ok(())
    },
    steps: &[],
};
