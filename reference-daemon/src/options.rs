//! The command line. Parsed by hand: there are few options, and a parser's tables would be set up
//! between exec and the PID file at every start.

use std::env;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::failure::Failure;

/// What `--help` prints.
pub const HELP: &str = "\
Usage: reference-daemon [OPTIONS]

Puts itself into the background, becomes ready, and waits for signals: SIGTERM
and SIGINT end it, SIGHUP reopens its log.

Options:
  --pid-file PATH    its PID file [/var/run/daemon.pid]; in the foreground there
                     is one only where this option names it
  --log-file PATH    its log [/var/log/daemon.log]; in the foreground it logs to
                     standard error instead
  --user NAME        the account to drop to, from /etc/passwd
  --stop             end the daemon that holds the PID file, and wait until it
                     has ended
  --foreground       stay with the caller, and speak sd_notify(3)
  --ready-delay MS   let initialisation take that many milliseconds
  --help, --version  print this, or the version, and exit
";

/// What `--version` prints.
pub const VERSION: &str = concat!("reference-daemon ", env!("CARGO_PKG_VERSION"), "\n");

/// How to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Where the PID file is to be.
    pub pid_file: PathBuf,
    /// Whether the caller named it, or it is the default.
    pub pid_file_named: bool,
    /// Where the log is to be.
    pub log_file: PathBuf,
    /// The account to drop to.
    pub user: Option<String>,
    /// Whether to stay with the caller.
    pub foreground: bool,
    /// How long initialisation takes.
    pub ready_delay: Duration,
}

impl Default for Options {
    /// The article's paths, in the background, as whoever started it.
    fn default() -> Self {
        Self {
            pid_file: PathBuf::from("/var/run/daemon.pid"),
            pid_file_named: false,
            log_file: PathBuf::from("/var/log/daemon.log"),
            user: None,
            foreground: false,
            ready_delay: Duration::ZERO,
        }
    }
}

/// What the command line asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Start.
    Start(Options),
    /// End the daemon that holds this PID file.
    Stop(PathBuf),
    /// Print this text, and that is all.
    Print(&'static str),
}

/// Reads the arguments (without the program's name); the error is one line about how it is used.
pub fn parse(arguments: Vec<OsString>) -> Result<Command, String> {
    let mut options = Options::default();
    let mut stop = false;
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        let (name, inline) = split(&argument);
        let mut value = || {
            let value = inline.map(OsStr::to_os_string).or_else(|| arguments.next());
            value.filter(|value| !value.is_empty()).ok_or_else(|| format!("{} needs a value", shown(name)))
        };
        match name.as_bytes() {
            b"--pid-file" => {
                options.pid_file = value()?.into();
                options.pid_file_named = true;
            }
            b"--log-file" => options.log_file = value()?.into(),
            b"--user" => options.user = Some(value()?.to_string_lossy().into_owned()),
            b"--ready-delay" => options.ready_delay = milliseconds(&value()?)?,
            b"--foreground" if inline.is_none() => options.foreground = true,
            b"--stop" if inline.is_none() => stop = true,
            b"--help" if inline.is_none() => return Ok(Command::Print(HELP)),
            b"--version" if inline.is_none() => return Ok(Command::Print(VERSION)),
            _ => {
                return Err(format!("unknown argument {} (see --help)", shown(&argument)));
            }
        }
    }
    Ok(if stop { Command::Stop(options.pid_file) } else { Command::Start(options) })
}

/// Makes the paths absolute, before step 11 leaves the directory that they are relative to.
pub fn resolve_paths(options: &mut Options) -> Result<(), Failure> {
    resolve("PID file", &mut options.pid_file)?;
    resolve("log file", &mut options.log_file)
}

fn resolve(role: &'static str, path: &mut PathBuf) -> Result<(), Failure> {
    if path.is_relative() {
        // The directory is looked up only where it is needed: a daemon that was given absolute paths
        // starts from a directory that has been deleted as well as from any other.
        let start = env::current_dir().map_err(|error| {
            Failure::file(role, path, format!("relative to a directory that cannot be found ({})", reason(&error)))
        })?;
        *path = start.join(Path::new(path));
    }
    Ok(())
}

fn reason(error: &std::io::Error) -> &'static str {
    error.raw_os_error().map_or("unknown", |code| nix::errno::Errno::from_raw(code).desc())
}

/// `--name=value` in its two parts; an argument that is no option is all name.
fn split(argument: &OsStr) -> (&OsStr, Option<&OsStr>) {
    let bytes = argument.as_bytes();
    match bytes.iter().position(|byte| *byte == b'=') {
        Some(at) if bytes.starts_with(b"--") => {
            (OsStr::from_bytes(&bytes[..at]), Some(OsStr::from_bytes(&bytes[at + 1..])))
        }
        _ => (argument, None),
    }
}

fn milliseconds(value: &OsStr) -> Result<Duration, String> {
    let number = value.to_str().and_then(|text| text.parse().ok());
    number
        .map(Duration::from_millis)
        .ok_or_else(|| format!("--ready-delay {}: not a number of milliseconds", shown(value)))
}

fn shown(argument: &OsStr) -> String {
    argument.to_string_lossy().escape_debug().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &[&str]) -> Result<Command, String> {
        parse(arguments.iter().map(OsString::from).collect())
    }

    #[test]
    fn no_arguments_are_the_articles_defaults() {
        let Ok(Command::Start(options)) = parsed(&[]) else { panic!("not a start") };
        assert_eq!(options, Options::default());
    }

    #[test]
    fn values_follow_or_are_attached() {
        let expected = Options {
            pid_file: "/a".into(),
            pid_file_named: true,
            log_file: "b=c".into(),
            user: Some("nobody".into()),
            foreground: true,
            ready_delay: Duration::from_millis(7),
        };
        let arguments = ["--pid-file", "/a", "--log-file=b=c", "--user", "nobody", "--foreground", "--ready-delay=7"];
        assert_eq!(parsed(&arguments), Ok(Command::Start(expected)));
    }

    #[test]
    fn a_stop_needs_the_pid_file_and_ignores_the_rest() {
        assert_eq!(parsed(&["--stop"]), Ok(Command::Stop("/var/run/daemon.pid".into())));
        let arguments = ["--user", "nobody", "--stop", "--pid-file", "d.pid"];
        assert_eq!(parsed(&arguments), Ok(Command::Stop("d.pid".into())));
    }

    #[test]
    fn misuse_is_named() {
        assert_eq!(parsed(&["--pid-file"]), Err("--pid-file needs a value".into()));
        assert_eq!(parsed(&["--pid-file="]), Err("--pid-file needs a value".into()));
        assert_eq!(parsed(&["--foreground=yes"]), Err("unknown argument --foreground=yes (see --help)".into()));
        assert_eq!(parsed(&["x"]), Err("unknown argument x (see --help)".into()));
        assert_eq!(parsed(&["--ready-delay", "-1"]), Err("--ready-delay -1: not a number of milliseconds".into()));
    }

    #[test]
    fn help_wins_over_what_follows() {
        assert_eq!(parsed(&["--help", "nonsense"]), Ok(Command::Print(HELP)));
    }

    #[test]
    fn relative_paths_become_absolute() {
        let mut options = Options { pid_file: "d.pid".into(), ..Options::default() };
        resolve_paths(&mut options).unwrap();
        assert_eq!(options.pid_file, env::current_dir().unwrap().join("d.pid"));
        assert_eq!(options.log_file, Path::new("/var/log/daemon.log"));
    }
}
