//! A daemon with one defect of your choice: `defective-daemon DEFECT [the reference daemon's options]`.
//!
//! It is the reference daemon's recipe, composed here once more from the same steps; each defect is one change to
//! it, at the place where `has` asks for its name. `none` has no defect, `--list` names them all.
//!
//! - `background`: a start in the background, up to the daemon that is ready
//! - `foreground`: a start in the foreground, likewise
//! - `pid_file`: what is done about the PID file, in either
//! - `claims`: other ways to claim it
//! - `life`: what the daemon does from then on, and its end
//! - `stop`: `--stop`
//! - `workers`: its child processes
//! - `tricks`: what some defects need the system to do
//!
//! Like the reference daemon it has a C `main`: Rust's runtime would open closed standard streams and ignore SIGPIPE, and
//! so mend what some defects are about.

#![no_main]

mod background;
mod claims;
mod foreground;
mod life;
mod pid_file;
mod stop;
mod tricks;
mod workers;

use std::ffi::{CStr, OsStr, OsString, c_char, c_int};
use std::os::unix::ffi::OsStrExt;

use daemonspec_tests::defects::DEFECTS;
use reference_daemon::{Command, Failure, complain, parse};

/// Called by the C start-up code.
#[unsafe(no_mangle)]
extern "C" fn main(count: c_int, values: *const *const c_char) -> c_int {
    let mut arguments = (1..usize::try_from(count).unwrap_or(0)).map(|index| {
        // SAFETY: the C start-up code hands over `count` pointers to NUL-terminated strings, which live as long as the process.
        let value = unsafe { CStr::from_ptr(*values.add(index)) };
        OsString::from(OsStr::from_bytes(value.to_bytes()))
    });
    let name = arguments.next().map(|name| name.to_string_lossy().into_owned());
    let rest: Vec<OsString> = arguments.collect();
    match name.as_deref() {
        Some("--list") => {
            DEFECTS.iter().for_each(|defect| println!("{}", defect.name));
            0
        }
        Some(workers::ARGUMENT) => workers::work(),
        Some("none") => Defective { name: "none" }.run(rest),
        Some(name) => match DEFECTS.iter().find(|defect| defect.name == name) {
            Some(defect) => Defective { name: defect.name }.run(rest),
            None => complain(&format!("no defect named {name} (see --list)"), 2),
        },
        None => complain("a defect, or --list, or none, is needed", 2),
    }
}

#[derive(Clone, Copy)]
struct Defective {
    name: &'static str,
}

impl Defective {
    fn has(self, name: &str) -> bool {
        self.name == name
    }

    /// As `reference_daemon::run`.
    fn run(self, arguments: Vec<OsString>) -> i32 {
        let outcome = match parse(arguments.clone()) {
            Ok(Command::Start(options)) if options.foreground && !self.has("forks-anyway") => self.foreground(options),
            Ok(Command::Start(options)) => self.background(options),
            Ok(Command::Stop(pid_file)) => self.stop(&pid_file),
            _ => return reference_daemon::run(arguments),
        };
        outcome.unwrap_or_else(|failure| self.explain(&failure))
    }

    /// Says why there is no daemon, and with which status that ends.
    fn explain(self, failure: &Failure) -> i32 {
        let text = failure.to_string();
        let (of_log, of_lock) = (text.starts_with("log file "), text.starts_with("already running"));
        if self.has("silent-failure")
            || (self.has("silent-without-log") && of_log)
            || (self.has("dies-of-garbage") && *failure == Failure::EndedBeforeReady)
        {
            return 1;
        }
        let in_order = self.has("exit-0-on-failure")
            || (self.has("exit-0-without-log") && of_log)
            || (self.has("exit-0-when-locked") && of_lock);
        complain(&text, if in_order { 0 } else { 1 })
    }
}
