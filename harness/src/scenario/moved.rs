//! Started from elsewhere: with its paths given relative to another directory, and from a directory that is gone.

use super::{Acted, Scenario};
use crate::observation::Unseen;
use crate::world::{Start, World};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

pub(super) static RELATIVE: Scenario = Scenario {
    name: "relative",
    about: "started in its PID file's or log's directory, with `./NAME` for that path",
    start: |world, _| elsewhere(world, relative),
    steps: &[],
};

pub(super) static DELETED: Scenario = Scenario {
    name: "deleted",
    about: "started from a directory that has been removed",
    start: |world, _| elsewhere(world, deleted),
    steps: &[],
};

/// Makes a start from another directory, if it can be prepared.
fn elsewhere(world: &mut World<'_>, prepare: fn(&World<'_>) -> Result<Start, Unseen>) -> Acted {
    match prepare(world) {
        Ok(start) => {
            world.launch("start", start.errors_apart())?;
            world.look("rest")?;
        }
        Err(why) => {
            for name in ["start", "rest"] {
                world.unseen(name, why.clone());
            }
        }
    }
    Ok(())
}

/// The command as it has to be written elsewhere, and those of its words that may be names of files of the launch
/// directory's, or something else altogether.
fn command_for_elsewhere(world: &World<'_>) -> (Vec<OsString>, Vec<OsString>) {
    let here = world.launch_directory();
    let mut command = world.subject.command.clone();
    let mut names = Vec::new();
    for (index, word) in command.iter_mut().enumerate() {
        let is_path = word.as_bytes().contains(&b'/');
        if Path::new(word).is_absolute() || (index == 0 && !is_path) || !here.join(&*word).exists() {
            continue;
        }
        if is_path {
            *word = here.join(&*word).into_os_string();
        } else {
            names.push(word.clone());
        }
    }
    (command, names)
}

fn deleted(world: &World<'_>) -> Result<Start, Unseen> {
    let (command, names) = command_for_elsewhere(world);
    if let Some(name) = names.iter().find(|name| world.launch_directory().join(name).is_file()) {
        let why = format!("`{}` is a file of the launch directory's", name.to_string_lossy().escape_debug());
        return Err(Unseen::Skip(why));
    }
    let directory = world.private.join("gone");
    std::fs::create_dir(&directory)
        .map_err(|error| Unseen::Broken(format!("cannot make {}: {error}", directory.display())))?;
    let mut start = world.start().with_command(command);
    start.directory = Some(directory);
    start.inheritance.directory_removed = true;
    Ok(start)
}

fn relative(world: &World<'_>) -> Result<Start, Unseen> {
    let paths: Vec<PathBuf> = world.pidfile.iter().chain(&world.log).cloned().collect();
    let words = &world.subject.command[1..];
    // It may have been given as one already.
    let given = |path: &PathBuf| {
        let Ok(relative) = path.strip_prefix(world.launch_directory()) else { return false };
        words.iter().any(|word| Path::new(word) == relative || word_ends_with(word, relative.as_os_str()))
    };
    if paths.iter().any(given) {
        return Ok(world.start());
    }
    let named = |path: &&PathBuf| words.iter().any(|word| replace(word, path.as_os_str(), OsStr::new("")) != *word);
    let Some(directory) = paths.iter().find(named).and_then(|path| path.parent()) else {
        return Err(Unseen::Skip("neither a PID file nor a log is named by the command".to_owned()));
    };
    if !directory.is_dir() {
        return Err(Unseen::Skip(format!("{} is the daemon's own to make", directory.display())));
    }
    let (mut command, names) = command_for_elsewhere(world);
    if !world.is_isolated() && !names.is_empty() {
        return Err(Unseen::Skip("words of the command may be files of the launch directory's".to_owned()));
    }
    for name in names {
        // Where it is not a file's it is no harm either.
        let _ = std::os::unix::fs::symlink(world.launch_directory().join(&name), directory.join(&name));
    }
    for path in paths.iter().filter(|path| path.parent() == Some(directory)) {
        let Some(name) = path.file_name() else { continue };
        let short = Path::new(".").join(name);
        for word in &mut command[1..] {
            *word = replace(word, path.as_os_str(), short.as_os_str());
        }
    }
    let mut start = world.start().with_command(command);
    start.directory = Some(directory.to_owned());
    Ok(start)
}

/// `--pidfile=run/d.pid` ends with `run/d.pid`.
fn word_ends_with(word: &OsStr, path: &OsStr) -> bool {
    word.as_bytes().strip_suffix(path.as_bytes()).is_some_and(|head| head.ends_with(b"="))
}

/// `word` with every `from` in it replaced.
pub(super) fn replace(word: &OsStr, from: &OsStr, to: &OsStr) -> OsString {
    let (bytes, from, to) = (word.as_bytes(), from.as_bytes(), to.as_bytes());
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        if !from.is_empty() && bytes[at..].starts_with(from) {
            out.extend_from_slice(to);
            at += from.len();
        } else {
            out.push(bytes[at]);
            at += 1;
        }
    }
    OsString::from_vec(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_inside_a_word() {
        let replaced = replace(OsStr::new("--pidfile=/run/a.pid"), OsStr::new("/run/a.pid"), OsStr::new("/x/a.pid"));
        assert_eq!(replaced, "--pidfile=/x/a.pid");
        assert_eq!(replace(OsStr::new("plain"), OsStr::new("zzz"), OsStr::new("y")), "plain");
    }

    #[test]
    fn a_relative_path_is_found_behind_an_option() {
        assert!(word_ends_with(OsStr::new("--pidfile=run/d.pid"), OsStr::new("run/d.pid")));
        assert!(!word_ends_with(OsStr::new("/var/run/d.pid"), OsStr::new("run/d.pid")));
    }
}
