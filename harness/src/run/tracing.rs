//! Follows one start call by call.

use super::performing::first_start;
use super::{Event, Options, RunError, TracedStart};
use crate::observation::{Style, Text};
use crate::scenario::SCENARIOS;
use crate::subject::Subject;

/// Starts a daemon once, and follows that start call by call.
///
/// # Errors
/// When it could not be started, or not be traced.
pub fn trace(
    subject: &Subject,
    options: &Options,
    on_event: &(dyn Fn(Event<'_>) + Sync),
) -> Result<TracedStart, RunError> {
    let failed = |what: String| RunError::System { name: subject.name.clone(), what };
    let Some(traced) = SCENARIOS.iter().find(|scenario| scenario.name == "traced") else {
        return Err(failed("there is no traced scenario".to_owned()));
    };
    let style: Style = options.profile.style();
    on_event(Event::Planned(1));
    let (run, seen) = first_start(subject, style, options.isolation, &traced.first_step_alone(), None, on_event)?;
    on_event(Event::Done(traced.name));
    let why = |why: crate::observation::Unseen| {
        let (crate::observation::Unseen::Skip(why) | crate::observation::Unseen::Broken(why)) = why;
        failed(why)
    };
    let seen = seen.map_err(why)?;
    let command = run.subject.command.iter();
    let command = command.map(|w| Text::new(std::os::unix::ffi::OsStrExt::as_bytes(w.as_os_str()))).collect();
    TracedStart::seen(&subject.name, command, run.isolation, &seen).map_err(why)
}
