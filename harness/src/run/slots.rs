//! How many scenarios are performed at a time, whoever's they are.
//!
//! Subjects side by side share the slots out among themselves as they come: while one waits for its clean start alone, and
//! when the last of its scenarios takes long, the others use what is free.

use crate::observation::Isolation;
use std::sync::{Condvar, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// The slots of a run on several subjects.
#[derive(Debug)]
pub(super) struct Slots {
    free: Mutex<usize>,
    given_back: Condvar,
    machine: RwLock<()>,
}

/// One slot, until it is dropped.
#[derive(Debug)]
pub(super) struct Slot<'a>(&'a Slots);

/// Where a subject is, until that is dropped. On the machine itself daemons would meet, and the files of one be there when
/// another is started: there it is alone.
#[derive(Debug)]
pub(super) enum Place<'a> {
    /// In sandboxes, beside others.
    Sandbox(#[allow(dead_code, reason = "held, not read")] RwLockReadGuard<'a, ()>),
    /// On the machine itself.
    Machine(#[allow(dead_code, reason = "held, not read")] RwLockWriteGuard<'a, ()>),
}

impl Slots {
    /// So many of them; never less than one.
    pub(super) fn new(count: usize) -> Self {
        Slots { free: Mutex::new(count.max(1)), given_back: Condvar::new(), machine: RwLock::new(()) }
    }

    /// Waits for one.
    pub(super) fn take(&self) -> Slot<'_> {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let mut free = self.given_back.wait_while(free, |free| *free == 0).unwrap_or_else(PoisonError::into_inner);
        *free -= 1;
        Slot(self)
    }

    /// Waits until a subject may be where it is to be.
    pub(super) fn place(&self, isolation: Isolation) -> Place<'_> {
        match isolation {
            Isolation::Full => Place::Sandbox(self.machine.read().unwrap_or_else(PoisonError::into_inner)),
            Isolation::None => Place::Machine(self.machine.write().unwrap_or_else(PoisonError::into_inner)),
        }
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        *self.0.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.given_back.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn no_more_are_taken_than_there_are() {
        let (slots, at_once, most) = (Slots::new(3), AtomicUsize::new(0), AtomicUsize::new(0));
        // Three meet, so there are three; a fourth would be seen.
        let meeting = Barrier::new(3);
        std::thread::scope(|scope| {
            for _ in 0..9 {
                scope.spawn(|| {
                    let _slot = slots.take();
                    most.fetch_max(at_once.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    meeting.wait();
                    at_once.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        assert_eq!(most.into_inner(), 3);
    }

    #[test]
    fn on_the_machine_itself_it_is_alone() {
        let slots = Slots::new(4);
        let sandboxes = [slots.place(Isolation::Full), slots.place(Isolation::Full)];
        assert!(slots.machine.try_write().is_err());
        drop(sandboxes);
        let machine = slots.place(Isolation::None);
        assert!(slots.machine.try_read().is_err());
        drop(machine);
    }
}
