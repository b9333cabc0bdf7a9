//! One start, call by call.

use super::{Event, Options, RunError, TracedStart};
use crate::subject::Subject;

/// Traces one start.
///
/// # Errors
/// When it could not be started or traced.
pub fn trace(
    subject: &Subject,
    _options: &Options,
    _on_event: &(dyn Fn(Event<'_>) + Sync),
) -> Result<TracedStart, RunError> {
    Err(RunError::System { name: subject.name.clone(), what: "not there yet".to_owned() })
}
