//! Something is at the PID file's path already: another process's number, rubbish, a FIFO, a link that somebody planted.

use super::{Acted, Known, Scenario, Step, Then};
use crate::observation::{Pid, Unseen};
use crate::world::{World, plant};
use std::fs;
use std::io;
use std::os::unix::fs::{chown, lchown, symlink};
use std::path::Path;

/// nobody, on every Linux: a user whom the daemon has no reason to trust.
const NOBODY: u32 = 65534;
/// What the planted link leads to.
const SENTINEL: &str = "sentinel";

/// Who else is there: a process, and its second thread.
type Stranger = (Pid, Pid);

/// A step that puts a text at the path: `$content` is made of what is known and of the stranger.
macro_rules! holding {
    ($name:literal, $content:expr) => {
        Step {
            name: $name,
            needs_daemon: false,
            act: |world, known| {
                let content: fn(&mut World<'_>, &Known, Stranger) -> Acted<Option<Vec<u8>>> = $content;
                seed(world, $name, |world, path, stranger| {
                    let Some(bytes) = content(world, known, stranger)? else {
                        return Ok(Err(Unseen::Skip("planting that needs a sandbox".to_owned())));
                    };
                    Ok(at(path, plant(path, &bytes, known.pidfile.as_ref())))
                })
            },
        }
    };
}

pub(super) static SCENARIO: Scenario = Scenario {
    name: "seeded",
    about: "started where its PID file's path holds a dead or a stranger's number, rubbish, a FIFO, a directory or a link",
    start: |_, _| Ok(()),
    steps: &[
        holding!("dead", |world, _, _| Ok(Some(format!("{}\n", world.dead_pid()?).into_bytes()))),
        holding!("no-newline", |world, _, _| Ok(Some(world.dead_pid()?.to_string().into_bytes()))),
        holding!("stranger", |_, _, (pid, _)| Ok(Some(format!("{pid}\n").into_bytes()))),
        holding!("thread", |_, _, (_, thread)| Ok(Some(format!("{thread}\n").into_bytes()))),
        // The stranger, whose thread counts too, is born before the daemon and moves it on by two.
        holding!("own", |world, known, _| Ok(known.main.filter(|_| world.is_isolated()).map(|pid| format!(
            "{}\n",
            pid + 2
        )
        .into_bytes()))),
        holding!("empty", |_, _, _| Ok(Some(Vec::new()))),
        holding!("text", |_, _, _| Ok(Some(b"running\n".to_vec()))),
        // Whoever signals one of these signals many processes (kill(2)), which must not be the machine's own.
        holding!("zero", |world, _, _| Ok(world.is_isolated().then(|| b"0\n".to_vec()))),
        holding!("minus-one", |world, _, _| Ok(world.is_isolated().then(|| b"-1\n".to_vec()))),
        holding!("20-digits", |world, _, _| Ok(world.is_isolated().then(|| b"18446744073709551617\n".to_vec()))),
        holding!("nuls", |_, _, _| Ok(Some(vec![0; 16]))),
        Step {
            name: "fifo",
            needs_daemon: false,
            act: |world, _| {
                seed(world, "fifo", |_, path, _| {
                    let made = nix::unistd::mkfifo(path, nix::sys::stat::Mode::from_bits_truncate(0o644));
                    Ok(at(path, made.map_err(io::Error::from)))
                })
            },
        },
        Step {
            name: "directory",
            needs_daemon: false,
            act: |world, _| seed(world, "directory", |_, path, _| Ok(at(path, fs::create_dir(path)))),
        },
        Step { name: "link", needs_daemon: false, act: link },
        Step { name: "stop", needs_daemon: false, act: stop },
    ],
};

fn at<T>(path: &Path, result: io::Result<T>) -> Result<T, Unseen> {
    result.map_err(|error| Unseen::Broken(format!("cannot plant anything at {}: {error}", path.display())))
}

/// Puts something at the PID file's path, starts over it, and looks at all there is then: a life of its own.
fn seed(
    world: &mut World<'_>,
    name: &str,
    put: impl FnOnce(&mut World<'_>, &Path, Stranger) -> Acted<Result<(), Unseen>>,
) -> Acted<Then> {
    let stranger = world.stranger()?;
    let seeded = match world.pidfile.clone() {
        None => Err(Unseen::Skip("no PID file was declared or found".to_owned())),
        Some(path) => {
            if let Some(parent) = path.parent() {
                // What cannot be made cannot be planted in either.
                let _ = fs::create_dir_all(parent);
            }
            put(world, &path, stranger)?.map(|()| path)
        }
    };
    match seeded {
        Ok(path) => {
            world.record_file(name, &path);
            // Where no file of its own can come to be, none is waited for.
            world.awaits_pidfile &= path.symlink_metadata().is_ok_and(|meta| meta.is_file());
            world.launch(name, world.start().errors_apart())?;
            world.look(name)?;
            world.look_at_stranger(name, stranger)?;
            Ok(Then::Fresh)
        }
        Err(why) => {
            world.unseen(name, why);
            Ok(Then::Fresh)
        }
    }
}

/// A link that another user planted, in a directory of that user's: in a sticky one that anybody may write the kernel
/// itself would refuse to follow it (proc_sys_fs(5), protected_symlinks).
fn link(world: &mut World<'_>, _: &Known) -> Acted<Then> {
    let may = world.may_change_accounts() && world.is_isolated();
    let sentinel = world.private.join(SENTINEL);
    let then = seed(world, "link", |_, path, _| {
        if !may {
            return Ok(Err(Unseen::Skip("planting another user's link needs root and a sandbox".to_owned())));
        }
        let planted = fs::write(&sentinel, "precious\n")
            .and_then(|()| symlink(&sentinel, path))
            .and_then(|()| lchown(path, Some(NOBODY), Some(NOBODY)))
            .and_then(|()| path.parent().map_or(Ok(()), |parent| chown(parent, Some(NOBODY), Some(NOBODY))));
        Ok(at(path, planted))
    })?;
    world.record_file("sentinel", &sentinel);
    Ok(then)
}

/// No daemon runs, and the PID file has a stranger's number: the stop command is to leave that one alone.
fn stop(world: &mut World<'_>, known: &Known) -> Acted<Then> {
    let (line, path) = match (world.subject.stop.clone(), world.pidfile.clone()) {
        (Some(line), Some(path)) => (line, path),
        (None, _) => {
            world.unseen("stop", Unseen::Skip("it has no stop command of its own; give --stop".to_owned()));
            return Ok(Then::Continue);
        }
        (_, None) => {
            world.unseen("stop", Unseen::Skip("no PID file was declared or found".to_owned()));
            return Ok(Then::Continue);
        }
    };
    let stranger = world.stranger()?;
    let number = format!("{}\n", stranger.0);
    if let Err(why) = at(&path, plant(&path, number.as_bytes(), known.pidfile.as_ref())) {
        world.unseen("stop", why);
        return Ok(Then::Continue);
    }
    world.run_stop_command(&line)?;
    world.look_at_stranger("stop", stranger)?;
    Ok(Then::Continue)
}
