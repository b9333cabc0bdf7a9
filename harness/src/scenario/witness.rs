//! A real systemd starts, restarts and stops it. Only where it is asked for (`check --witness systemd`): no check needs it.

use super::Scenario;
use crate::observation::{ServiceType, Style};
use crate::subject::Ready;

pub(super) static SCENARIO: Scenario = Scenario {
    name: "witness",
    about: "started, restarted and stopped by a systemd of its own, as the services that it can be",
    start: |world, known| {
        let notifies = world.subject.ready.contains(&Ready::Notify);
        let services: &[ServiceType] = match world.style {
            Style::SysV => &[ServiceType::Forking],
            Style::NewStyle if notifies => &[ServiceType::Notify],
            Style::NewStyle if known.says_ready => &[ServiceType::Exec, ServiceType::Notify],
            Style::NewStyle => &[ServiceType::Exec],
        };
        world.call_witness(services)
    },
    steps: &[],
};
