//! The command line, as types. Nothing is done here.

use crate::check::{Level, Profile};
use crate::run::Wanted;
use crate::subject::Ready;
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
    /// Judge the daemons a manifest names instead
    #[arg(long, value_name = "FILE", conflicts_with_all = ["command", "pidfile", "log", "cwd", "user", "stop", "ready", "env"])]
    pub manifest: Option<PathBuf>,
    /// Of the manifest, only these
    #[arg(value_name = "NAME", requires = "manifest")]
    pub names: Vec<String>,
    /// The daemon's command, as a shell would start it (after `--`)
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
    /// What kind of daemon it means to be: sysv, article, pep3143, foreground, container [default: sysv]
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
    /// Only these checks
    #[arg(long, value_name = "ID,..", value_delimiter = ',')]
    pub only: Vec<String>,
    /// Not these checks
    #[arg(long, value_name = "ID,..", value_delimiter = ',')]
    pub skip: Vec<String>,
    /// Failing checks of this level and above make the run fail
    #[arg(long, value_name = "LEVEL", default_value = "must")]
    pub level: Level,
    /// How the report is written
    #[arg(long, value_enum, default_value_t = Format::Terminal)]
    pub format: Format,
    /// Where the report goes; written whole or not at all [default: standard output]
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// How much of a sandbox is wanted
    #[arg(long, value_enum, default_value_t = Isolation::Auto)]
    pub isolation: Isolation,
    /// Scenarios at a time [default: the processors]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub jobs: Option<u16>,
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

/// Options of `list`.
#[derive(Debug, Args)]
pub struct List {
    /// Only the checks of that profile
    #[arg(long, value_name = "NAME")]
    pub profile: Option<Profile>,
    /// How the list is written
    #[arg(long, value_enum, default_value_t = Format::Terminal)]
    pub format: Format,
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

fn key_value(word: &str) -> Result<(OsString, OsString), String> {
    match word.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.into(), value.into())),
        _ => Err("write it as KEY=VALUE".to_owned()),
    }
}

/// The longest deadline anyone may ask for.
const LONGEST: f64 = 3600.0;

fn seconds(word: &str) -> Result<std::time::Duration, String> {
    match word.parse::<f64>() {
        Ok(seconds) if seconds > 0.0 && seconds <= LONGEST => Ok(std::time::Duration::from_secs_f64(seconds)),
        _ => Err(format!("write it in seconds, above 0 and up to {LONGEST}")),
    }
}
