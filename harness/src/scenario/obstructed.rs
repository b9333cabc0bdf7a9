//! Starts that must fail: the PID file or the log cannot be made, or somebody else has what the daemon wants. And a disk
//! that fills up while it runs.
//!
//! "Not writable" is a read-only mount, or a directory at the path: permissions mean nothing to root.

use super::moved::replace;
use super::{Acted, Known, Scenario, Step, Then};
use crate::observation::Unseen;
use crate::sandbox::{disk, root};
use crate::subject::Ready;
use crate::world::World;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// A step that starts the command under an obstacle, if that could be put in its way.
macro_rules! obstacle {
    ($name:literal, $put:expr) => {
        Step { name: $name, needs_daemon: false, act: |world, known| attempt(world, known, $name, $put) }
    };
}

pub(super) static SCENARIO: Scenario = Scenario {
    name: "obstructed",
    about: "started where its PID file or log cannot be made, or what it wants is taken; and on a disk that fills up",
    start: |_, _| Ok(()),
    steps: &[
        obstacle!("missing", |world, _| Ok(pidfile(world).and_then(|path| without_directory(world, &path)))),
        obstacle!("read-only", |world, _| Ok(pidfile(world).and_then(|path| read_only_directory(world, &path)))),
        obstacle!("full", |world, _| Ok(pidfile(world).and_then(|path| full_disk(world, &path)))),
        obstacle!("locked", locked),
        obstacle!("log", |world, _| Ok(directory_at_log(world))),
        obstacle!("log-read-only", |world, _| { Ok(log(world).and_then(|path| read_only_directory(world, &path))) }),
        obstacle!("port", port_taken),
        obstacle!("run", |world, _| Ok(empty_run(world))),
        Step { name: "filling", needs_daemon: false, act: filling },
    ],
};

type Command = Result<Vec<OsString>, Unseen>;

fn pidfile(world: &World<'_>) -> Result<PathBuf, Unseen> {
    world.pidfile.clone().ok_or_else(|| Unseen::Skip("no PID file was declared or found".to_owned()))
}

fn log(world: &World<'_>) -> Result<PathBuf, Unseen> {
    let why = "no log was declared, and descriptors 1 and 2 are no file";
    world.log.clone().ok_or_else(|| Unseen::Skip(why.to_owned()))
}

fn needs_mounts(world: &World<'_>) -> Result<(), Unseen> {
    let why = "changing mounts needs a mount namespace";
    if world.is_isolated() { Ok(()) } else { Err(Unseen::Skip(why.to_owned())) }
}

fn attempt(
    world: &mut World<'_>,
    known: &Known,
    name: &str,
    put: impl FnOnce(&mut World<'_>, &Known) -> Acted<Command>,
) -> Acted<Then> {
    match put(world, known)? {
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
fn without_directory(world: &World<'_>, path: &Path) -> Command {
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

/// The directory of a file, or the nearest one above it that is there.
fn nearest_directory(path: &Path) -> PathBuf {
    path.ancestors().skip(1).find(|d| d.is_dir()).map_or_else(|| PathBuf::from("/"), Path::to_owned)
}

/// Makes the directory of a file read-only.
fn read_only_directory(world: &World<'_>, path: &Path) -> Command {
    needs_mounts(world)?;
    let directory = nearest_directory(path);
    root::make_read_only(&directory)
        .map(|()| world.subject.command.clone())
        .map_err(|error| Unseen::Broken(format!("cannot make {} read-only: {error}", directory.display())))
}

/// Puts the directory of a file on a disk that is full.
fn full_disk(world: &World<'_>, path: &Path) -> Command {
    needs_mounts(world)?;
    let directory = nearest_directory(path);
    disk::small_disk(&directory)
        .and_then(|()| disk::fill(&directory, None))
        .map(|()| world.subject.command.clone())
        .map_err(|error| Unseen::Skip(format!("{} cannot be put on a disk of its own: {error}", directory.display())))
}

/// Has another process hold the lock that the clean start was seen to take.
fn locked(world: &mut World<'_>, known: &Known) -> Acted<Command> {
    let Some((path, kind)) = known.lock.clone() else {
        return Ok(Err(Unseen::Skip("it was seen to lock no file".to_owned())));
    };
    if let Err(why) = world.may_change(&path) {
        return Ok(Err(why));
    }
    if path.parent().is_none_or(|directory| !directory.is_dir()) {
        return Ok(Err(Unseen::Skip(format!("the directory of {} is its own to make", path.display()))));
    }
    Ok(world.lock_by_another(&path, kind)?.map(|()| world.subject.command.clone()))
}

/// Puts a directory where the log would be.
fn directory_at_log(world: &World<'_>) -> Command {
    let path = log(world)?;
    needs_mounts(world)?;
    let made = if path.is_file() { std::fs::remove_file(&path) } else { Ok(()) };
    made.and_then(|()| std::fs::create_dir_all(&path))
        .map(|()| world.subject.command.clone())
        .map_err(|error| Unseen::Broken(format!("cannot make a directory at {}: {error}", path.display())))
}

/// Has somebody else listen at the address that the daemon would.
fn port_taken(world: &mut World<'_>, _: &Known) -> Acted<Command> {
    let address = world.subject.ready.iter().find_map(|ready| match ready {
        Ready::Tcp(address) => Some(*address),
        _ => None,
    });
    let Some(address) = address else {
        return Ok(Err(Unseen::Skip("no port was declared; give --ready tcp:ADDR:PORT".to_owned())));
    };
    Ok(match world.listen(address) {
        Ok(()) => Ok(world.subject.command.clone()),
        Err(error) => Err(Unseen::Broken(format!("cannot listen at {address}: {error}"))),
    })
}

/// Puts an empty file system on /run, as it is after a boot.
fn empty_run(world: &World<'_>) -> Command {
    needs_mounts(world)?;
    let run = Path::new("/run");
    if !run.is_dir() {
        return Err(Unseen::Skip("there is no /run".to_owned()));
    }
    disk::empty(run)
        .map(|()| world.subject.command.clone())
        .map_err(|error| Unseen::Broken(format!("cannot mount anything on /run: {error}")))
}

/// The disk that the log is on fills up while the daemon runs, and it is made to say something.
fn filling(world: &mut World<'_>, _: &Known) -> Acted<Then> {
    let disk = log(world).and_then(|path| {
        needs_mounts(world)?;
        let directory = nearest_directory(&path);
        disk::small_disk(&directory)
            .map(|()| (directory, path))
            .map_err(|error| Unseen::Skip(format!("the log's directory cannot be put on a disk of its own: {error}")))
    });
    let (directory, path) = match disk {
        Ok(disk) => disk,
        Err(why) => {
            world.unseen("filling", why);
            return Ok(Then::Continue);
        }
    };
    world.launch("filling", world.start())?;
    world.look("filling")?;
    if !world.main_lives() {
        world.unseen("filled", Unseen::Broken("no daemon was running".to_owned()));
        return Ok(Then::Continue);
    }
    match disk::fill(&directory, Some(&path)) {
        Ok(()) => {
            world.signal_main("filled", nix::sys::signal::Signal::SIGHUP)?;
            world.look_whether_it_rests("rests")?;
        }
        Err(error) => world.unseen("filled", Unseen::Broken(format!("the disk could not be filled: {error}"))),
    }
    Ok(Then::Continue)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_obstacles_that_are_judged_are_steps() {
        for (name, _) in crate::check::OBSTACLES {
            assert!(SCENARIO.steps.iter().any(|step| step.name == *name), "{name}");
        }
    }
}
