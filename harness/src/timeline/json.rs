//! The JSON of a timeline. Its types are its schema.

use super::{Timeline, errno};
use crate::observation::{Call, Exit, Isolation, Text, What, signal_name};
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;

/// The version that readers may rely on.
pub const SCHEMA: &str = "daemonspec-trace/1";

/// What `daemonspec trace --format json` writes.
#[derive(Debug, Serialize, JsonSchema)]
struct Report<'a> {
    /// The version of this format. What it names stays; readers have to bear additions.
    #[schemars(schema_with = "version")]
    schema: &'static str,
    /// The daemon's name.
    name: &'a str,
    /// Its command, word by word.
    command: Vec<&'a str>,
    /// How much of a sandbox there was.
    #[schemars(schema_with = "isolation")]
    isolation: String,
    /// The processes in the order in which they were seen first; the launcher is the first.
    processes: Vec<Process<'a>>,
    /// Which of them became the daemon.
    main: Option<usize>,
    /// Those from the launcher to the daemon.
    chain: &'a [usize],
    /// What happened, in the order in which it was seen.
    events: Vec<Event<'a>>,
    /// The steps of daemon(7) that were taken, in order.
    steps: Vec<Step<'a>>,
    /// The numbers of those that were not seen. Step 4, the environment, is never claimed: no call shows it.
    not_seen: Vec<u8>,
    /// What is wrong with the order, and whatever else has to be known.
    remarks: &'a [String],
    /// When the launcher ended, in microseconds since it executed its program.
    launcher_ended_us: Option<u64>,
    /// The status it exited with; null where a signal ended it, too.
    launcher_status: Option<i32>,
    /// The signal that ended it.
    launcher_signal: Option<i32>,
    /// When all that means "ready" was first there.
    ready_us: Option<u64>,
    /// When all was found to be at rest.
    rest_us: Option<u64>,
    /// Events beyond the most that are kept.
    left_out: u64,
}

/// A process.
#[derive(Debug, Serialize, JsonSchema)]
struct Process<'a> {
    /// Its id.
    pid: i32,
    /// Who begot it: an index into `processes`.
    parent: Option<usize>,
    /// Which child of which child of the launcher it is: `[2, 1]` the first child of its second child.
    lineage: &'a [u32],
    /// `other`: it is not on the way from the launcher to the daemon.
    #[schemars(schema_with = "role")]
    role: &'static str,
}

/// Something that happened.
#[derive(Debug, Serialize, JsonSchema)]
struct Event<'a> {
    /// When, in microseconds since the launcher executed its program.
    at_us: u64,
    /// To which process: an index into `processes`.
    process: usize,
    /// To which of its threads.
    thread: i32,
    #[serde(flatten)]
    what: Happened<'a>,
}

/// What happened.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(tag = "what", rename_all = "lowercase")]
enum Happened<'a> {
    /// It made a call.
    Call(Made<'a>),
    /// It begot a process.
    Child {
        /// An index into `processes`.
        child: usize,
    },
    /// It made a thread.
    #[serde(rename = "thread")]
    Created {
        /// Its id.
        id: i32,
    },
    /// That thread of it ended, which was not its first.
    ThreadEnded,
    /// It executed a program.
    Program {
        /// Its path.
        program: &'a str,
    },
    /// It was given a signal.
    Signal {
        /// Its number.
        signal: i32,
        /// Its name.
        name: String,
    },
    /// It ended.
    Ended {
        /// The status it exited with.
        status: Option<i32>,
        /// The signal that ended it.
        signal: Option<i32>,
    },
}

/// A system call.
#[derive(Debug, Serialize, JsonSchema)]
struct Made<'a> {
    /// Its name.
    name: &'a str,
    /// Its arguments in words.
    arguments: &'a str,
    /// The file it is about.
    path: Option<&'a str>,
    /// The second path of rename(2) and link(2).
    to: Option<&'a str>,
    /// The descriptor it is about.
    fd: Option<i32>,
    /// What it returned; null where that was not waited for.
    result: Option<i64>,
    /// The name of the error it returned; `interrupted` where a signal came before it was done.
    error: Option<String>,
    /// Which call of that name it is in its process, from 1.
    nth: u32,
    /// How many of the kind followed one another at once.
    times: u32,
    /// The dynamic loader made it.
    loader: bool,
    /// It came by the 32-bit interface of a 64-bit kernel.
    compat: bool,
}

/// A step of daemon(7).
#[derive(Debug, Serialize, JsonSchema)]
struct Step<'a> {
    /// Its number there.
    #[schemars(range(min = 1, max = 15))]
    step: u8,
    /// What it is.
    title: &'static str,
    /// When it began.
    at_us: u64,
    /// By which process: an index into `processes`.
    process: usize,
    /// The event that it begins with: an index into `events`.
    event: usize,
    /// All events that it is made of.
    events: &'a [usize],
    /// What is worth saying of it.
    note: Option<&'a str>,
}

fn version(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "const": SCHEMA })
}

fn isolation(_: &mut SchemaGenerator) -> Schema {
    let words = [Isolation::Full, Isolation::None].map(|isolation| isolation.to_string());
    json_schema!({ "type": "string", "enum": words })
}

fn role(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "enum": ["launcher", "child", "daemon", "other"] })
}

/// The JSON Schema of [`report`].
pub fn schema() -> String {
    pretty(&SchemaSettings::draft2020_12().for_serialize().into_generator().into_root_schema_for::<Report<'static>>())
}

fn pretty(value: &impl Serialize) -> String {
    // These types have no maps with keys that are no strings, the only way in which this can fail.
    let mut text = serde_json::to_string_pretty(value).unwrap_or_default();
    text.push('\n');
    text
}

fn call(call: &Call) -> Made<'_> {
    Made {
        name: &call.name,
        arguments: call.arguments.as_str(),
        path: call.path.as_ref().map(Text::as_str),
        to: call.to.as_ref().map(Text::as_str),
        fd: call.fd,
        result: call.result,
        error: call.result.filter(|result| *result < 0).map(errno),
        nth: call.nth,
        times: call.times,
        loader: call.loader,
        compat: call.compat,
    }
}

fn parts(exit: Exit) -> (Option<i32>, Option<i32>) {
    match exit {
        Exit::Status(status) => (Some(status), None),
        Exit::Signal(signal) => (None, Some(signal)),
    }
}

fn happened(what: &What) -> Happened<'_> {
    match what {
        What::Call(made) => Happened::Call(call(made)),
        What::Child(child) => Happened::Child { child: *child },
        What::Thread(id) => Happened::Created { id: *id },
        What::Program(path) => Happened::Program { program: path.as_str() },
        What::Signal(signal) => Happened::Signal { signal: *signal, name: signal_name(*signal) },
        What::ThreadEnded => Happened::ThreadEnded,
        What::Ended(exit) => {
            let (status, signal) = parts(*exit);
            Happened::Ended { status, signal }
        }
    }
}

/// The timeline as JSON.
pub fn report(timeline: &Timeline<'_>) -> String {
    let start = timeline.start;
    let trace = &start.trace;
    let processes = trace.processes.iter().enumerate().map(|(index, process)| Process {
        pid: process.pid,
        parent: process.parent,
        lineage: &process.lineage,
        role: timeline.role(index),
    });
    let events = trace.events.iter().map(|event| Event {
        at_us: event.at,
        process: event.process,
        thread: event.thread,
        what: happened(&event.what),
    });
    let steps = timeline.taken.iter().filter_map(|taken| {
        Some(Step {
            step: taken.step.number,
            title: taken.step.title,
            at_us: taken.at,
            process: taken.process,
            event: *taken.events.first()?,
            events: &taken.events,
            note: taken.note.as_deref(),
        })
    });
    let ended = trace.launcher_ended();
    let (launcher_status, launcher_signal) = ended.map(|(_, exit)| parts(exit)).unwrap_or_default();
    pretty(&Report {
        schema: SCHEMA,
        name: &start.name,
        command: start.command.iter().map(Text::as_str).collect(),
        isolation: start.isolation.to_string(),
        processes: processes.collect(),
        main: trace.main,
        chain: &timeline.chain,
        events: events.collect(),
        steps: steps.collect(),
        not_seen: timeline.not_seen.iter().map(|step| step.number).collect(),
        remarks: &timeline.remarks,
        launcher_ended_us: ended.map(|(at, _)| at),
        launcher_status,
        launcher_signal,
        ready_us: trace.ready,
        rest_us: trace.rest,
        left_out: trace.left_out,
    })
}
