//! The smallest Unix daemon that keeps every promise of daemon(7), one documented function a step.
//!
//! Read it in this order. It is the order in which [`run`] takes the steps, and that of daemon(7),
//! "SysV Daemons", whose numbers these are; step 0 is ours.
//!
//! | step | what is done | by |
//! |---|---|---|
//! | 0 | closed standard streams are opened | [`repair_stdio`] |
//! | 1 | inherited descriptors are closed | [`close_inherited_descriptors`] |
//! | 2 | signal dispositions are reset | [`reset_signal_dispositions`] |
//! | 3 | the signal mask is reset | [`reset_signal_mask`] |
//! | 4 | the environment is replaced | [`sanitise_environment`] |
//! | 5 | the first fork | [`fork`] |
//! | 6 | a session of its own | [`new_session`] |
//! | 7 | the second fork | [`fork`] |
//! | 8 | the first child ends | [`end_first_child`] |
//! | 9 | standard streams on `/dev/null` | [`redirect_stdio`] |
//! | 10 | a umask of its own | [`set_umask`] |
//! | 11 | the root directory | [`change_to_root`] |
//! | | signals are held back | [`hold_signals`] |
//! | 12 | the PID file | [`PidFile::acquire`] |
//! | | the log | [`Log::open`] |
//! | 13 | privileges are dropped | [`Account::assume`] |
//! | 14 | the launcher is told | [`Report::ready`], [`Report::failed`] |
//! | 15 | the launcher ends | [`Outcome::wait`] |
//!
//! What ends it again is [`stop`].
//!
//! Each function says where the step comes from, what goes wrong without it, and what a popular article
//! (`article.py` among the fixtures follows it) does in its place.
//!
//! Steps 9 to 12 each come at the earliest moment at which they can be done, and nothing comes before
//! it is needed: the time from exec to a valid PID file is what a user waits for.

mod account;
mod descriptors;
mod environment;
mod failure;
#[cfg(test)]
mod in_child;
mod log;
mod notify;
mod options;
mod pid_file;
mod readiness;
mod recipe;
mod session;
mod signals;
mod stdio;
mod stop;
mod surroundings;

pub use account::Account;
pub use descriptors::close_inherited_descriptors;
pub use environment::sanitise_environment;
pub use failure::Failure;
pub use log::Log;
pub use notify::Supervisor;
pub use options::{Command, HELP, Options, VERSION, parse, resolve_paths};
pub use pid_file::PidFile;
pub use readiness::{Outcome, Report, readiness_pipe};
pub use session::{Fork, Pid, end_first_child, fork, new_session, wait_for};
pub use signals::{Awaited, Event, hold_signals, reap_children, reset_signal_dispositions, reset_signal_mask};
pub use stdio::{redirect_stdio, repair_stdio};
pub use stop::stop;
pub use surroundings::{change_to_root, prevent_core_dumps, set_umask};

use std::ffi::OsString;

/// The whole program: takes its arguments (without the program's name) and gives its exit status.
///
/// It forks, so it returns in two processes, the launcher and the daemon; either is to end with that status
/// at once. To be called first thing in `main`, while the process has one thread.
///
/// 0: the daemon is up (the launcher), or has been stopped (the daemon, and whoever stopped it). 1: the start, or the
/// stop, failed; one line on standard error says why. 2: the arguments make no sense.
pub fn run(arguments: Vec<OsString>) -> i32 {
    if let Err(failure) = repair_stdio() {
        // 0
        return complain(&failure.to_string(), 1);
    }
    let outcome = match parse(arguments) {
        Ok(Command::Start(options)) if options.foreground => recipe::foreground(options),
        Ok(Command::Start(options)) => recipe::background(options),
        Ok(Command::Stop(pid_file)) => stop(&pid_file).map(|()| 0),
        Ok(Command::Print(text)) => return print(text),
        Err(misuse) => return complain(&misuse, 2),
    };
    outcome.unwrap_or_else(|failure| complain(&failure.to_string(), 1))
}

/// Prints one line to standard error, by one call.
pub fn complain(text: &str, status: i32) -> i32 {
    let line = format!("reference-daemon: {text}\n");
    // Where standard error cannot be written to, the exit status has to do.
    let _ = nix::unistd::write(std::io::stderr(), line.as_bytes());
    status
}

fn print(text: &str) -> i32 {
    match nix::unistd::write(std::io::stdout(), text.as_bytes()) {
        Ok(_) => 0,
        Err(errno) => complain(&Failure::system("write to standard output")(errno).to_string(), 1),
    }
}
