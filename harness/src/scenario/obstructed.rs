//! Starts that must fail: the PID file's directory is missing, or cannot be written to.
//!
//! "Not writable" is a read-only mount: permissions mean nothing to root.

use super::{Scenario, Step, Then};
use crate::observation::Unseen;
use crate::world::World;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

pub(super) static SCENARIO: Scenario = Scenario {
    name: "obstructed",
    about: "started where its PID file's directory is missing, or read-only",
    start: |_, _| Ok(()),
    steps: &[
        Step {
            name: "missing",
            needs_daemon: false,
            act: |world, _| {
                let obstacle =
                    world.pidfile.clone().ok_or_else(no_pidfile).and_then(|path| without_directory(world, &path));
                attempt(world, "missing", obstacle)
            },
        },
        Step {
            name: "read-only",
            needs_daemon: false,
            act: |world, _| {
                let obstacle =
                    world.pidfile.clone().ok_or_else(no_pidfile).and_then(|path| read_only_directory(world, &path));
                attempt(world, "read-only", obstacle)
            },
        },
    ],
};

fn no_pidfile() -> Unseen {
    Unseen::Skip("no PID file was declared or found".to_owned())
}

/// Starts the command under the obstacle, if that could be put in its way.
fn attempt(world: &mut World<'_>, name: &str, command: Result<Vec<OsString>, Unseen>) -> super::Acted<Then> {
    match command {
        Ok(command) => {
            // It cannot come, so nothing waits for it.
            world.awaits_pidfile = false;
            // A launcher may itself wait for the PID file for a while before it gives up.
            world.launch_patience = 2;
            world.launch(name, world.start().errors_apart().with_command(command))?;
            world.look(name)?;
            // A file or a mount was changed for it.
            Ok(Then::Fresh)
        }
        Err(why) => {
            world.unseen(name, why);
            Ok(Then::Continue)
        }
    }
}

/// The command with its PID file in a directory that is not there: by what the command or one of its files says, or by
/// taking the directory away where that holds nothing else.
fn without_directory(world: &World<'_>, path: &Path) -> Result<Vec<OsString>, Unseen> {
    let command = world.subject.command.clone();
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else { return Ok(command) };
    let elsewhere = directory.join("no-such-directory").join(name);
    let moved: Vec<OsString> =
        command.iter().map(|word| replace(word, path.as_os_str(), elsewhere.as_os_str())).collect();
    let mut named = moved != command || !directory.exists();
    for (file, content) in &world.subject.files {
        let changed = replace(OsStr::new(content), path.as_os_str(), elsewhere.as_os_str());
        if changed.as_bytes() != content.as_bytes() {
            let place = world.private.join(file);
            std::fs::write(&place, changed.as_bytes())
                .map_err(|e| Unseen::Broken(format!("cannot write {}: {e}", place.display())))?;
            named = true;
        }
    }
    if named {
        return Ok(moved);
    }
    if !world.is_isolated() {
        return Err(Unseen::Skip("taking the PID file's directory away needs a mount namespace".to_owned()));
    }
    std::fs::remove_dir(directory).map(|()| command).map_err(|_| {
        let why = format!("{} holds other files and the command does not name the PID file", directory.display());
        Unseen::Skip(why)
    })
}

/// Makes the PID file's directory read-only, or the nearest one that is there.
fn read_only_directory(world: &World<'_>, path: &Path) -> Result<Vec<OsString>, Unseen> {
    if !world.is_isolated() {
        return Err(Unseen::Skip("a read-only mount needs a mount namespace".to_owned()));
    }
    let directory = path.ancestors().skip(1).find(|d| d.is_dir()).map_or_else(|| PathBuf::from("/"), Path::to_owned);
    crate::sandbox::root::make_read_only(&directory)
        .map(|()| world.subject.command.clone())
        .map_err(|error| Unseen::Broken(format!("cannot make {} read-only: {error}", directory.display())))
}

/// `word` with every `from` in it replaced.
fn replace(word: &OsStr, from: &OsStr, to: &OsStr) -> OsString {
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
}
