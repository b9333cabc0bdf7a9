//! Judges many subjects side by side.

use super::performing::spread;
use super::slots::Slots;
use super::{Event, Options, Outcome, RunError, check_with};
use crate::subject::Subject;

/// Who is told what happens while many subjects are judged; each is named by its place among them.
pub trait Watcher: Sync {
    /// Something happens to one of them.
    fn event(&self, subject: usize, event: Event<'_>);
    /// One of them has been judged, or could not be.
    fn over(&self, subject: usize, result: &Result<Outcome, RunError>);
}

/// Judges each of the subjects as [`check`](super::check) does, and gives the results in their order.
///
/// No more than `jobs` scenarios are performed at a time over all of them, and of one subject no more than its own options
/// say. What is run on the machine itself is run alone.
pub fn check_many(
    subjects: &[(Subject, Options)],
    jobs: usize,
    watcher: &dyn Watcher,
) -> Vec<Result<Outcome, RunError>> {
    let slots = Slots::new(jobs);
    let numbered: Vec<(usize, &(Subject, Options))> = subjects.iter().enumerate().collect();
    // Each that is being judged has at least one scenario to perform, so no slot is left empty by as many as there are slots.
    spread(jobs, &numbered, |(index, (subject, options))| {
        let result = check_with(subject, options, &slots, &|event| watcher.event(*index, event));
        watcher.over(*index, &result);
        result
    })
}
