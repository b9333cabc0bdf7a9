//! What was seen: plain, serializable data, and the only thing that checks read.
//!
//! Nothing here acts or reads the system. Every word that comes from the subject is held in [`Text`],
//! bounded and escaped at the moment it is taken, so that no later reader has to be careful with it.

mod acts;
mod files;
mod looks;
mod process;
mod text;
mod trace;
mod trials;
mod witness;

pub use acts::{BY_ITSELF, Hold, Holder, Kept, Notice, Pipes, Release, Stop, Stranger, Treatment};
pub use files::{FileFound, FileSeen, parse_pid};
pub use looks::{Endpoint, Launch, Listener, Look, MainBy, Output, Planted};
pub use process::{Account, Attributes, Descriptor, Exit, FileKind, LockKind, Pid, Process, signal_name};
pub use text::Text;
pub(crate) use text::{is_hidden, printable};
pub use trace::{Call, Event, Trace, Traced, What};
pub use trials::{Done, Instances, Series, Trial};
pub use witness::{LogLine, Member, ServiceType, UnitState, Witness};

use serde::{Deserialize, Serialize};
use std::fmt;

/// One thing seen in a scenario.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Seen {
    /// A start.
    Launch(Box<Launch>),
    /// A look around.
    Look(Box<Look>),
    /// Something done.
    Treatment(Treatment),
    /// An attempt to unmount the launch directory.
    Release(Release),
    /// A stop.
    Stop(Box<Stop>),
    /// What the terminal showed after the launcher's end (`terminal`), or what came on a pipe in a whole life (`stdout`,
    /// `stderr`).
    Output(Output),
    /// A line planted in a file.
    Kept(Kept),
    /// A file put in the subject's way.
    File(FileSeen),
    /// Pipes that a start was connected to.
    Pipes(Pipes),
    /// A process that is none of the subject's.
    Stranger(Stranger),
    /// Files that the subject created and others may write.
    Writable(Vec<FileSeen>),
    /// What it told its supervisor.
    Notices(Vec<Notice>),
    /// A start, call by call.
    Trace(Box<Trace>),
    /// One of many starts, steered at one call.
    Trial(Box<Trial>),
    /// How many of those there were.
    Series(Series),
    /// What a service manager made of it.
    Witness(Box<Witness>),
    /// Whether something could be shown to be so.
    Fact(bool),
    /// A part that could not be carried out, and why.
    Unseen(Unseen),
}

/// Why something was not seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unseen {
    /// It does not apply to this subject or this isolation.
    Skip(String),
    /// It should have been seen and could not be.
    Broken(String),
}

/// Everything seen in one scenario, in order, each under the name the scenario gave it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    /// The scenario's name.
    pub scenario: String,
    /// What was seen.
    pub seen: Vec<(String, Seen)>,
}

macro_rules! finders {
    ($($(#[$doc:meta])* $name:ident: $variant:ident -> $type:ty;)*) => {
        $($(#[$doc])*
        ///
        /// # Errors
        /// The reason why it was not seen.
        pub fn $name(&self, name: &str) -> Result<&$type, Unseen> {
            for (_, seen) in self.seen.iter().filter(|(n, _)| n == name) {
                match seen {
                    Seen::$variant(value) => return Ok(value),
                    Seen::Unseen(why) => return Err(why.clone()),
                    _ => {}
                }
            }
            Err(Unseen::Broken(format!("scenario `{}` did not come to `{name}`", self.scenario)))
        })*
    };
}

/// The name under which it is recorded whether the clean start had come to its end at the first moment at which all rested.
pub(crate) const AT_ONCE: &str = "at-once";

/// What a trial's place begins with where that is the call by which the daemon becomes ready, as `--ready` declares it.
pub(crate) const MAKES_READY: &str = "ready by ";

/// The name under which it is recorded whether the daemon of that trial was ready when its launcher had ended.
pub(crate) fn serves(trial: &str) -> String {
    format!("{trial} serves")
}

impl Observation {
    finders! {
        /// The start of that name.
        launch: Launch -> Launch;
        /// The look of that name.
        look: Look -> Look;
        /// The treatment of that name.
        treatment: Treatment -> Treatment;
        /// The release of that name.
        release: Release -> Release;
        /// The stop of that name.
        stop: Stop -> Stop;
        /// The planted line of that name.
        kept: Kept -> Kept;
        /// The file of that name.
        file: File -> FileSeen;
        /// The output of that name.
        output: Output -> Output;
        /// The pipes of that name.
        pipes: Pipes -> Pipes;
        /// The stranger of that name.
        stranger: Stranger -> Stranger;
        /// The files of that name that others may write.
        writable: Writable -> Vec<FileSeen>;
        /// The messages of that name.
        notices: Notices -> Vec<Notice>;
        /// The trace of that name.
        trace: Trace -> Trace;
        /// The numbers of a series.
        series: Series -> Series;
        /// The testimony of that name.
        witness: Witness -> Witness;
        /// The fact of that name.
        fact: Fact -> bool;
    }

    /// All trials, with their names.
    pub fn trials(&self) -> impl Iterator<Item = (&str, &Trial)> {
        self.seen.iter().filter_map(|(name, seen)| match seen {
            Seen::Trial(trial) => Some((name.as_str(), &**trial)),
            _ => None,
        })
    }

    /// How many starts there were.
    pub fn launches(&self) -> usize {
        let of = |seen: &Seen| match seen {
            Seen::Launch(_) => 1,
            // The one that was held or ended before it was over is recorded as what became of it.
            Seen::Trial(trial) if matches!(trial.deed, Done::Killed | Done::Terminated) => 1,
            Seen::Trial(trial) if trial.deed == Done::Overtaken => 2,
            Seen::Witness(witness) => 1 + usize::from(witness.restarted.is_some()),
            _ => 0,
        };
        self.seen.iter().map(|(_, seen)| of(seen)).sum()
    }

    /// Everything the terminal showed after a launcher's end, in all lives of the daemon.
    pub fn later_output(&self) -> impl Iterator<Item = &Output> {
        self.seen.iter().filter_map(|(name, seen)| match seen {
            Seen::Output(output) if name == "terminal" => Some(output),
            _ => None,
        })
    }
}

/// How much of the sandbox a run had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Isolation {
    /// Namespaces and an overlay root: nothing reaches the machine.
    Full,
    /// None of them: a subreaper on the machine itself.
    None,
}

impl fmt::Display for Isolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Isolation::Full => "full",
            Isolation::None => "none",
        })
    }
}

/// How a daemon means to be started (daemon(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Style {
    /// By a shell; it puts itself into the background: a "SysV daemon".
    SysV,
    /// By a supervisor, whose child it stays: a "new-style daemon".
    NewStyle,
}

impl Style {
    /// The scenario that is its clean start.
    pub fn clean_scenario(self) -> &'static str {
        match self {
            Style::SysV => "terminal",
            Style::NewStyle => "foreground",
        }
    }
}
