//! The command line, as types. Nothing is done here.

use crate::check::{Level, Profile};
use crate::run::Wanted;
use crate::subject::{LONGEST_TIMEOUT, Ready, Subject};
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::ffi::OsString;
use std::path::PathBuf;

/// Says which promises of a Unix daemon a program keeps, with evidence, and how to mend the rest.
#[derive(Debug, Parser)]
#[command(name = "daemonspec", version, about, max_term_width = 100)]
#[command(
    after_help = "Exit status: 0 it conforms, 1 it does not, 2 usage, 3 it could not be judged, 130 interrupted."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Judge a daemon; with no COMMAND the reference daemon
    Check(Box<Check>),
    /// Judge the daemons of manifests side by side, and show one table
    Matrix(Box<Matrix>),
    /// Show a daemon's start as a timeline of its system calls
    Trace(Box<Trace>),
    /// Watch a daemon start once, and write its manifest
    Init(Box<Init>),
    /// Show the catalogue of checks
    List(List),
    /// Say why a check matters, how to see it by hand, and how to mend it
    Explain(Explain),
    /// Run the reference daemon itself
    #[command(disable_help_flag = true)]
    ReferenceDaemon {
        /// Its own options; `--help` lists them
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
}

/// Options of `check`.
#[derive(Debug, Args)]
#[command(after_help = "Example: daemonspec check --pidfile /run/nginx.pid -- nginx")]
pub struct Check {
    /// Judge the daemons a manifest names instead; the other options given here win over its keys, for each of them
    #[arg(long, value_name = "FILE", conflicts_with = "command")]
    pub manifest: Option<PathBuf>,
    /// Of the manifest, only these
    #[arg(value_name = "NAME", requires = "manifest")]
    pub names: Vec<String>,
    /// The daemon's command, as a shell would start it (after `--`)
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
    /// The daemon
    #[command(flatten)]
    pub subject: Described,
    /// How to judge
    #[command(flatten)]
    pub judging: Judging,
    /// How the report is written
    #[arg(long, value_enum, default_value_t = Format::Terminal)]
    pub format: Format,
    /// Where the report goes; written whole or not at all [default: standard output]
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Save what was seen
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
    /// Judge what was saved, and start nothing
    #[arg(long, value_name = "FILE", conflicts_with_all = ["command", "manifest", "record"])]
    pub replay: Option<PathBuf>,
    /// Show passes and skips too
    #[arg(short, long)]
    pub verbose: bool,
}

/// The options that say how to judge.
#[derive(Debug, Args)]
pub struct Judging {
    /// Only these checks
    #[arg(long, value_name = "ID,..", value_delimiter = ',')]
    pub only: Vec<String>,
    /// Not these checks
    #[arg(long, value_name = "ID,..", value_delimiter = ',')]
    pub skip: Vec<String>,
    /// Failing checks of this level and above make the run fail: must, should, may [default: must]
    #[arg(long, value_name = "LEVEL")]
    pub level: Option<Level>,
    /// How much of a sandbox is wanted [default: auto]
    #[arg(long, value_enum)]
    pub isolation: Option<Isolation>,
    /// Scenarios at a time, over all daemons [default: the processors]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub jobs: Option<u16>,
    /// Also the traced checks that repeat the start once for each of its calls
    #[arg(long)]
    pub exhaustive: bool,
}

/// Options of `matrix`.
#[derive(Debug, Args)]
#[command(
    about = "Judge the daemons of manifests side by side, and show one table",
    long_about = "Judge the daemons of manifests side by side, and show one table.\n\nEach is judged as `check` does it. The \
                  scenarios of all of them are performed `--jobs` at a time. A daemon that cannot be judged is a row that says \
                  why. What is given here wins over the manifests' keys.",
    after_help = "Exit status: as of check, over all daemons; 3 where one could not be judged and none failed.\n\
                  Example: daemonspec matrix --manifest ci/*.toml --format html --output field.html\n\
                  Some of them (names come before --manifest): daemonspec matrix nginx redis --manifest ci/*.toml"
)]
pub struct Matrix {
    /// The manifests
    #[arg(long, value_name = "FILE", required = true, num_args = 1..)]
    pub manifest: Vec<PathBuf>,
    /// Of the manifests, only these daemons, in this order
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// What kind of daemons they mean to be: sysv, article, pep3143, foreground, container [default: sysv]
    #[arg(long, value_name = "NAME")]
    pub profile: Option<Profile>,
    /// How to judge
    #[command(flatten)]
    pub judging: Judging,
    /// How the table is written
    #[arg(long, value_enum, default_value_t = MatrixFormat::Terminal)]
    pub format: MatrixFormat,
    /// Where it goes; written whole or not at all [default: standard output]
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// The order of the rows
    #[arg(long, value_enum, default_value_t = Order::Manifest)]
    pub sort: Order,
    /// A daemon that is not installed is still shown, and does not make the run fail
    #[arg(long)]
    pub skip_missing: bool,
    /// Also list, check by check, who fails it
    #[arg(short, long)]
    pub verbose: bool,
}

/// The options that describe the subject.
#[derive(Debug, Args)]
pub struct Described {
    /// What kind of daemon it means to be: sysv, article, pep3143, foreground, container [default: sysv; init finds out]
    #[arg(long, value_name = "NAME")]
    pub profile: Option<Profile>,
    /// The PID file it must write [default: discovered]
    #[arg(long, value_name = "PATH")]
    pub pidfile: Option<PathBuf>,
    /// The log it must write [default: discovered]
    #[arg(long, value_name = "PATH")]
    pub log: Option<PathBuf>,
    /// Its documented working directory [default: /]
    #[arg(long, value_name = "PATH")]
    pub cwd: Option<PathBuf>,
    /// The account it must drop to
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// Its own stop command [default: SIGTERM to the main process]
    #[arg(long, value_name = "SHELL LINE")]
    pub stop: Option<String>,
    /// What else "ready" means: tcp:ADDR:PORT, unix:PATH, file:PATH, or notify under a supervisor
    #[arg(long, value_name = "SPEC")]
    pub ready: Vec<Ready>,
    /// Added to its environment
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    pub env: Vec<(OsString, OsString)>,
    /// The deadline for each thing awaited, in seconds [default: 10]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub timeout: Option<std::time::Duration>,
}

/// Options of `trace`.
#[derive(Debug, Args)]
#[command(
    about = "Show a daemon's start as a timeline of its system calls",
    long_about = "Show a daemon's start as a timeline of its system calls.\n\nThe command is started once, as `check` starts \
                  it, and its processes are traced up to the moment at which all is at rest: which step of daemon(7) happens \
                  where, when the launcher ends, when the daemon is ready, and what is missing.",
    after_help = "Exit status: 0 traced, 2 usage, 3 it could not be started or traced.\n\
                  Example: daemonspec trace --pidfile /run/nginx.pid -- nginx\n\
                  To scale, in a browser: daemonspec trace --format html --output start.html -- nginx"
)]
pub struct Trace {
    /// The daemon's command, as a shell would start it (after `--`)
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
    /// The daemon
    #[command(flatten)]
    pub subject: Described,
    /// How the timeline is written
    #[arg(long, value_enum, default_value_t = TraceFormat::Terminal)]
    pub format: TraceFormat,
    /// Where it goes; written whole or not at all [default: standard output]
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// How much of a sandbox is wanted [default: auto]
    #[arg(long, value_enum)]
    pub isolation: Option<Isolation>,
    /// Show every call
    #[arg(short, long)]
    pub verbose: bool,
}

/// Options of `init`.
#[derive(Debug, Args)]
#[command(
    about = "Watch a daemon start once, and write its manifest",
    long_about = "Watch a daemon start once, and write its manifest.\n\nThe command is started in a sandbox, as `check` starts \
                  it, and what it is seen to use is written down: PID file, log, sockets, account. Options given here are \
                  taken as they are. What cannot be told is left as a comment.",
    after_help = "Exit status: 0 written, 2 usage, 3 the daemon could not be started or did not stay.\n\
                  Example: daemonspec init --output daemonspec.toml -- mydaemon --config my.conf\n\
                  One more daemon for a manifest: daemonspec init -- other >> daemonspec.toml"
)]
pub struct Init {
    /// The daemon's command, as a shell would start it (after `--`)
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
    /// What the manifest calls it [default: the program's name]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// The daemon
    #[command(flatten)]
    pub subject: Described,
    /// How much of a sandbox is wanted [default: auto]
    #[arg(long, value_enum)]
    pub isolation: Option<Isolation>,
    /// Where the manifest goes; written whole or not at all, and never over a file that is there [default: standard output]
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Write over it all the same
    #[arg(long, requires = "output")]
    pub force: bool,
}

/// Options of `list`.
#[derive(Debug, Args)]
pub struct List {
    /// Only the checks of that profile
    #[arg(long, value_name = "NAME")]
    pub profile: Option<Profile>,
    /// How the list is written
    #[arg(long, value_enum, default_value_t = ListFormat::Terminal)]
    pub format: ListFormat,
}

/// Options of `explain`.
#[derive(Debug, Args)]
pub struct Explain {
    /// The check's name
    pub check: String,
}

/// How a report is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For a person
    Terminal,
    /// For a program
    Json,
    /// JUnit XML, for a CI server
    Junit,
    /// Test Anything Protocol, version 14
    Tap,
    /// For the summary of a CI job
    Markdown,
    /// One file for a browser
    Html,
}

/// How a table of many daemons is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum MatrixFormat {
    /// For a person
    Terminal,
    /// A page of a book
    Markdown,
    /// For a program
    Json,
    /// One file for a browser
    Html,
}

/// The order of a table's rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Order {
    /// As the manifests have them
    Manifest,
    /// Those that fail most first
    Failures,
}

/// How a timeline is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TraceFormat {
    /// For a person
    Terminal,
    /// For a program
    Json,
    /// One file for a browser
    Html,
}

/// How the list is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ListFormat {
    /// For a person
    Terminal,
    /// For a program
    Json,
}

/// How much of a sandbox is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Isolation {
    /// All of it where the machine grants it, none elsewhere
    Auto,
    /// All of it, or refuse to run
    Full,
    /// None: on the machine itself
    None,
}

impl From<Isolation> for Wanted {
    fn from(isolation: Isolation) -> Self {
        match isolation {
            Isolation::Auto => Wanted::Auto,
            Isolation::Full => Wanted::Full,
            Isolation::None => Wanted::None,
        }
    }
}

impl Described {
    /// What was given here takes the place of what `subject` had; variables are added to its own.
    pub fn describe(&self, subject: &mut Subject) {
        let Described { profile: _, pidfile, log, cwd, user, stop, ready, env, timeout } = self;
        subject.pidfile = pidfile.clone().or(subject.pidfile.take());
        subject.log = log.clone().or(subject.log.take());
        subject.user = user.clone().or(subject.user.take());
        subject.stop = stop.clone().or(subject.stop.take());
        subject.timeout = timeout.unwrap_or(subject.timeout);
        if let Some(cwd) = cwd {
            subject.cwd.clone_from(cwd);
        }
        if !ready.is_empty() {
            subject.ready.clone_from(ready);
        }
        // Of two values for one name the last one counts.
        subject.environment.extend(env.iter().cloned());
    }
}

fn key_value(word: &str) -> Result<(OsString, OsString), String> {
    match word.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.into(), value.into())),
        _ => Err("write it as KEY=VALUE".to_owned()),
    }
}

fn seconds(word: &str) -> Result<std::time::Duration, String> {
    let longest = LONGEST_TIMEOUT.as_secs_f64();
    match word.parse::<f64>() {
        Ok(seconds) if seconds > 0.0 && seconds <= longest => Ok(std::time::Duration::from_secs_f64(seconds)),
        _ => Err(format!("write it in seconds, above 0 and up to {longest}")),
    }
}
