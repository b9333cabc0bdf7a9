//! The reference daemon as a subject of the harness.

use std::error::Error;
use std::path::Path;

use daemonspec::observation::Seen;
use daemonspec::run::{self, Options};
use daemonspec::subject::Subject;

/// The reference daemon at `program` with a PID file and a log.
pub fn subject(program: &Path) -> Subject {
    let words = ["--pid-file", "{dir}/daemon.pid", "--log-file", "{dir}/daemon.log"];
    let mut command = vec![program.as_os_str().to_owned()];
    command.extend(words.map(Into::into));
    let mut subject = Subject::new(command);
    subject.pidfile = Some("{dir}/daemon.pid".into());
    subject.log = Some("{dir}/daemon.log".into());
    subject
}

/// Checks, and makes sure that it was a check: a run that was refused would be a fast one. Says how often the subject was
/// started: each launch that was looked at, and each trial.
///
/// # Errors
/// When it could not be judged, or does not conform.
pub fn check(subject: &Subject, options: &Options) -> Result<u32, Box<dyn Error>> {
    let outcome = run::check(subject, options, &|_| {})?;
    if !outcome.conforms() {
        let failed: Vec<&str> = outcome.failures().map(|judged| judged.check.id).collect();
        return Err(format!("the reference daemon does not conform, so there is nothing to time: {failed:?}").into());
    }
    let scenarios = outcome.recording.record.scenarios.values().flatten();
    let starts = scenarios.flat_map(|observation| &observation.seen);
    let starts = starts.filter(|(_, seen)| matches!(seen, Seen::Launch(_) | Seen::Trial(_)));
    Ok(u32::try_from(starts.count())?)
}
