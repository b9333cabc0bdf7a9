//! Calls after which a process may wake by itself, though it is seen to sleep for ever.

use super::calls::Known;
use super::decode::words;
use crate::observation::Pid;
use std::time::Duration;

/// What a call does to its process's alarm.
pub(super) enum Alarm {
    Off,
    After(Duration),
    /// Again and again, or at a time of some clock.
    Sometime,
}

/// What the call does to its process's alarm, if it is one of those.
pub(super) fn alarm(known: &Known, tid: Pid, arguments: &[u64; 6], compat: bool) -> Option<Alarm> {
    // The interval of the later ones comes before the time of the first, each in seconds and a smaller unit.
    let words = |address| words(tid, address, compat);
    let timer = |address: u64, unit: u64| match (words(address), words(address + if compat { 8 } else { 16 })) {
        (_, Some([0, 0])) => Alarm::Off,
        (Some([0, 0]), Some([seconds, part])) => {
            Alarm::After(Duration::from_secs(seconds).saturating_add(Duration::from_nanos(part.saturating_mul(unit))))
        }
        _ => Alarm::Sometime,
    };
    match known.name {
        "alarm" if arguments[0] as u32 == 0 => Some(Alarm::Off),
        "alarm" => Some(Alarm::After(Duration::from_secs(u64::from(arguments[0] as u32)))),
        "setitimer" if arguments[0] as i32 == libc::ITIMER_REAL => Some(timer(arguments[1], 1000)),
        // The 32-bit interface has it with times of either width.
        "timer_settime" if compat || arguments[1] != 0 => Some(Alarm::Sometime),
        "timer_settime" => Some(timer(arguments[2], 1)),
        _ => None,
    }
}
