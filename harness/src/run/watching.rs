//! One clean start, watched for a manifest to be written.

use super::performing::{Run, first_start};
use super::{Event, RunError, Wanted};
use crate::check::Profile;
use crate::observation::{Isolation, Observation, Unseen};
use crate::scenario::SCENARIOS;
use crate::subject::Subject;
use std::path::{Path, PathBuf};

/// What one start of a daemon showed.
#[derive(Debug, Clone)]
pub struct Watched {
    /// What kind of daemon it is, or was said to be.
    pub profile: Profile,
    /// How much of a sandbox there was.
    pub isolation: Isolation,
    /// The clean start.
    pub observation: Observation,
    /// What `{dir}` stood for.
    pub private: PathBuf,
    /// The account of the daemon's user id, where that is not the one it was started with.
    pub account: Option<String>,
    /// Files that the command names, the program aside.
    pub named: Vec<PathBuf>,
}

/// Watches one clean start, for a manifest to be written. Without a `profile` it is told whether the daemon stays in the
/// foreground; one that does is started once more, as a supervisor would.
///
/// # Errors
/// As for [`check`], and when no daemon is there afterwards.
pub fn watch(
    subject: &Subject,
    profile: Option<Profile>,
    isolation: Wanted,
    on_event: &(dyn Fn(Event<'_>) + Sync),
) -> Result<Watched, RunError> {
    on_event(Event::Planned(1));
    let seen = watch_as(subject, profile.unwrap_or(Profile::Sysv), isolation, on_event)?;
    let stays = seen.observation.launch("start").is_ok_and(|launch| launch.ended.is_none());
    let watched = if profile.is_none() && stays {
        on_event(Event::Planned(2));
        watch_as(subject, Profile::Foreground, isolation, on_event)?
    } else {
        seen
    };
    let (launch, look) = (watched.observation.launch("start"), watched.observation.look("rest"));
    if let (Ok(launch), Ok(look)) = (launch, look)
        && look.main.is_none()
    {
        let ended = launch.ended.map_or("at the deadline".to_owned(), |exit| format!("with {exit}"));
        let output = launch.errors.as_ref().filter(|errors| errors.bytes > 0).unwrap_or(&launch.output);
        let said = if output.bytes == 0 { String::new() } else { format!(": {}", output.text.short(200)) };
        return Err(RunError::NoDaemon { name: subject.name.clone(), ended, said });
    }
    Ok(watched)
}

fn watch_as(
    subject: &Subject,
    profile: Profile,
    isolation: Wanted,
    on_event: &(dyn Fn(Event<'_>) + Sync),
) -> Result<Watched, RunError> {
    let style = profile.style();
    let Some(clean) = SCENARIOS.iter().find(|s| s.name == style.clean_scenario()) else {
        return Err(RunError::NoChecks);
    };
    // Before the start: on the machine itself what the daemon writes would be found too.
    let named = configuration_files(subject);
    let (run, seen) = first_start(subject, style, isolation, &clean.start_alone(), None, on_event)?;
    on_event(Event::Done(clean.name));
    let unseen =
        |(Unseen::Skip(what) | Unseen::Broken(what)): Unseen| RunError::System { name: subject.name.clone(), what };
    let observation = seen.map_err(unseen)?;
    let uid = observation.look("rest").ok().and_then(|look| look.main()?.uid());
    let before = observation.launch("start").ok().and_then(|launch| launch.inherited.as_ref()?.uid());
    let account = uid.filter(|uid| Some(*uid) != before).and_then(|uid| {
        nix::unistd::User::from_uid(nix::unistd::Uid::from_raw(uid)).ok().flatten().map(|user| user.name)
    });
    let Run { isolation, private, .. } = &run;
    Ok(Watched { profile, isolation: *isolation, private: private.clone(), account, named, observation })
}

/// Regular files of the machine that a word of the command names, whole or after `=`, the program aside.
fn configuration_files(subject: &Subject) -> Vec<PathBuf> {
    let words = subject.command.iter().skip(1);
    let paths = words.map(|word| match word.to_str().and_then(|word| word.split_once('=')) {
        Some((_, path)) => Path::new(path),
        None => Path::new(word),
    });
    let files = paths.filter(|path| path.is_file()).filter_map(|path| std::path::absolute(path).ok());
    files.collect()
}
