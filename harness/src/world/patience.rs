//! Deadlines that count only the time in which the subject could have gone on.
//!
//! A machine that stands still, and a program that comes from a slow disk, keep a daemon waiting as a fault of its own would.
//! The time in which nothing ran at all, or somebody waited for the disk, is not held against it.

use super::{Acted, Halt, World};
use crate::observe;
use std::time::{Duration, Instant};

/// How often it is looked whether somebody waits for the disk.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Init looks around at least every 20 ms while it waits; when it was away for longer than this, so were all others.
const STANDSTILL: Duration = Duration::from_millis(250);
/// A disk may never answer: when so many times the subject's own deadline has been lost, nothing can be said any more.
const MOST: u32 = 5;

/// A moment until which something is awaited, later by all stalls that come before it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline {
    at: Instant,
    /// What had been lost when it was set.
    lost: Duration,
}

/// How much time has been lost in which the subject could do nothing.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stalls {
    lost: Duration,
    looked: Instant,
}

impl Stalls {
    pub(super) fn new() -> Self {
        Stalls { lost: Duration::ZERO, looked: Instant::now() }
    }

    fn deadline(&self, now: Instant, patience: Duration) -> Deadline {
        Deadline { at: now + patience, lost: self.lost }
    }

    fn lost_since(&self, deadline: Deadline) -> Duration {
        self.lost.saturating_sub(deadline.lost)
    }

    fn moment(&self, deadline: Deadline) -> Instant {
        deadline.at + self.lost_since(deadline)
    }

    /// Begins to wait: what was done before took the time that it took.
    fn begin(&mut self, now: Instant) {
        if now.saturating_duration_since(self.looked) > LOOK_EVERY * 2 {
            self.looked = now;
        }
    }

    /// Takes in that the waiting goes on.
    fn go_on(&mut self, now: Instant, waits_for_disk: impl FnOnce() -> bool) {
        let since = now.saturating_duration_since(self.looked);
        if since < LOOK_EVERY {
            return;
        }
        self.looked = now;
        if since > STANDSTILL || waits_for_disk() {
            self.lost += since;
        }
    }
}

impl World<'_> {
    /// The deadline of what is awaited from now on, as the subject declares it.
    pub(super) fn deadline(&self) -> Deadline {
        self.within(self.subject.timeout)
    }

    /// The deadline so long from now.
    pub(super) fn within(&self, patience: Duration) -> Deadline {
        self.stalls.deadline(Instant::now(), patience)
    }

    /// The earlier one: `deadline`, or so long from now.
    pub(super) fn sooner(&self, deadline: Deadline, patience: Duration) -> Deadline {
        let other = self.within(patience);
        if self.moment(deadline) <= self.moment(other) { deadline } else { other }
    }

    /// When that is, as far as can be told by now.
    pub(super) fn moment(&self, deadline: Deadline) -> Instant {
        self.stalls.moment(deadline)
    }

    /// How long it is until then; `None` when it is over.
    pub(super) fn left(&self, deadline: Deadline) -> Option<Duration> {
        self.moment(deadline).checked_duration_since(Instant::now())
    }

    pub(super) fn is_over(&self, deadline: Deadline) -> bool {
        self.left(deadline).is_none()
    }

    /// To be called before the first look at what is awaited.
    pub(super) fn begin_to_wait(&mut self) {
        self.stalls.begin(Instant::now());
    }

    /// To be called after each pause between two looks.
    pub(super) fn go_on_waiting(&mut self, deadline: Deadline) -> Acted {
        let mut stalls = self.stalls;
        stalls.go_on(Instant::now(), || observe::any_waits_for_disk(&self.member_pids()));
        self.stalls = stalls;
        let lost = stalls.lost_since(deadline);
        if lost < self.subject.timeout * MOST {
            return Ok(());
        }
        let lost = lost.as_secs();
        Err(Halt::System(format!(
            "the machine stood still, or its disk kept the subject waiting, for {lost} s; a longer --timeout waits longer"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: Duration = Duration::from_millis(60);
    const PATIENCE: Duration = Duration::from_secs(1);

    /// When a deadline of a second is over, seen from its start, for somebody who looks every 60 ms.
    fn over(waits_for_disk: impl Fn(Duration) -> bool, stands_still: &[(Duration, Duration)]) -> Duration {
        let start = Instant::now();
        let mut stalls = Stalls { lost: Duration::from_secs(7), looked: start };
        let deadline = stalls.deadline(start, PATIENCE);
        let mut now = start;
        while now < stalls.moment(deadline) {
            let still = stands_still.iter().find(|(from, _)| (now..now + STEP).contains(&(start + *from)));
            now += still.map_or(STEP, |(_, long)| *long);
            stalls.go_on(now, || waits_for_disk(now - start));
        }
        now - start
    }

    #[test]
    fn time_that_was_the_subject_s_own_counts() {
        assert!(over(|_| false, &[]) < PATIENCE + STEP);
    }

    #[test]
    fn a_standstill_puts_it_off_by_its_length() {
        let long = Duration::from_millis(2500);
        let seen = over(|_| false, &[(Duration::from_millis(900), long)]);
        assert!((PATIENCE + long..PATIENCE + long + STEP * 2).contains(&seen), "{seen:?}");
    }

    #[test]
    fn so_does_a_wait_for_the_disk() {
        let long = Duration::from_millis(1200);
        let seen = over(|at| at < long, &[]);
        assert!((PATIENCE + long - STEP..PATIENCE + long + STEP * 2).contains(&seen), "{seen:?}");
    }

    #[test]
    fn what_was_done_between_two_waits_is_no_stall() {
        let start = Instant::now();
        let mut stalls = Stalls { lost: Duration::ZERO, looked: start };
        stalls.begin(start + PATIENCE);
        stalls.go_on(start + PATIENCE + STEP, || false);
        assert_eq!(stalls.lost, Duration::ZERO);
    }
}
