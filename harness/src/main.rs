//! Parses, calls, exits. What is done is in the library.

use clap::Parser;
use clap::error::ErrorKind;
use daemonspec::check::{self, Profile, catalogue};
use daemonspec::cli::{Check, Cli, Command, Format, Init, Judging, List, ListFormat, Trace, TraceFormat};
use daemonspec::manifest::Entry;
use daemonspec::observation::Style;
use daemonspec::run::{self, Event, Options, Outcome, RunError};
use daemonspec::subject::{Ready, Subject};
use daemonspec::timeline::{self, Timeline};
use daemonspec::{manifest, report, sandbox};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::collections::BTreeSet;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::exit;

#[path = "main/bench.rs"]
mod bench;
#[path = "main/matrix.rs"]
mod matrix;

const USAGE: i32 = 2;
const NOT_JUDGED: i32 = 3;
const INTERRUPTED: i32 = 130;

/// An error for the user: one line, and the exit code that goes with it.
struct Trouble(i32, String);

impl Trouble {
    fn usage(error: impl std::fmt::Display) -> Self {
        Trouble(USAGE, error.to_string())
    }

    fn not_judged(error: impl std::fmt::Display) -> Self {
        Trouble(NOT_JUDGED, error.to_string())
    }
}

fn main() {
    // Before anything else is set up: the daemon decides itself what it inherits.
    let arguments: Vec<_> = std::env::args_os().collect();
    if arguments.get(1).is_some_and(|word| word == "reference-daemon") {
        exit(reference_daemon::run(arguments.into_iter().skip(2).collect()));
    }
    let code = match Cli::try_parse_from(&arguments) {
        Ok(cli) => act(cli).unwrap_or_else(|Trouble(code, line)| {
            anstream::eprintln!("daemonspec: {line}");
            code
        }),
        Err(error) => usage(&error),
    };
    exit(code);
}

/// Help and version go to standard output; an error is one line and where to read on.
fn usage(error: &clap::Error) -> i32 {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        let _ = error.print();
        return 0;
    }
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        let _ = error.print();
        return USAGE;
    }
    let text = error.render().to_string();
    let mut lines = text.lines();
    let mut line = lines.next().unwrap_or_default().trim_start_matches("error: ").to_owned();
    // What is missing is listed below.
    if line.ends_with(':') {
        lines.map(str::trim).take_while(|more| !more.is_empty()).for_each(|more| line.extend([" ", more]));
    }
    let similar = text.lines().find_map(|l| l.trim().strip_prefix("tip: ")).filter(|tip| tip.contains("similar"));
    let tip = similar.or(match error.kind() {
        ErrorKind::UnknownArgument => Some("a daemon's command, options and all, comes after `--`"),
        ErrorKind::MissingRequiredArgument if line.contains("<COMMAND>") => {
            Some("a daemon's command, options and all, comes after `--`")
        }
        ErrorKind::MissingRequiredArgument if line.contains("--manifest") => {
            Some("a manifest's path comes after `--manifest`")
        }
        ErrorKind::InvalidSubcommand => Some("to judge a daemon: daemonspec check -- COMMAND"),
        _ => None,
    });
    let tip = tip.map(|tip| format!(" ({tip})")).unwrap_or_default();
    anstream::eprintln!("daemonspec: {line}{tip}; see daemonspec --help");
    USAGE
}

fn act(cli: Cli) -> Result<i32, Trouble> {
    match cli.command {
        Command::Check(options) => check(&options),
        Command::Matrix(options) => matrix::matrix(&options),
        Command::Trace(options) => trace(&options),
        Command::Bench(options) => bench::bench(&options),
        Command::Init(options) => init(&options),
        Command::List(options) => list(&options),
        Command::Explain(options) => {
            let check = check::find(&options.check).map_err(Trouble::usage)?;
            print(check.page)
        }
        Command::ReferenceDaemon { .. } => Ok(USAGE),
    }
}

fn list(options: &List) -> Result<i32, Trouble> {
    let checks: Vec<_> = catalogue().filter(|c| options.profile.is_none_or(|p| c.profiles.contains(&p))).collect();
    print(&match options.format {
        ListFormat::Terminal => report::terminal::list(&checks),
        ListFormat::Json => report::json::list(&checks),
    })
}

/// Writes to standard output; a reader that has gone away is no error.
fn print(text: &str) -> Result<i32, Trouble> {
    match anstream::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Trouble::not_judged(format!("standard output: {error}")))
        }
        _ => Ok(0),
    }
}

fn known_ids(ids: &[String]) -> Result<BTreeSet<&'static str>, Trouble> {
    ids.iter().map(|id| check::find(id).map(|c| c.id).map_err(Trouble::usage)).collect()
}

fn check(cli: &Check) -> Result<i32, Trouble> {
    if let (Some(word), None) = (cli.names.first(), &cli.manifest) {
        return Err(Trouble::usage(format!(
            "`{word}`: a command comes after `--`, as in daemonspec check -- {word}; the name of a daemon goes with --manifest FILE"
        )));
    }
    let base = options(cli.subject.profile, &cli.judging, None)?;
    let output = cli.output.as_deref().map(Output::open).transpose()?;
    let record = cli.record.as_deref().map(Output::open).transpose()?;
    let outcomes = match &cli.replay {
        Some(path) => replay(path, &base)?,
        None => {
            let subjects = subjects(cli, &base)?;
            subjects.iter().try_for_each(|(subject, options)| can_be_ready(subject, options))?;
            run_all(&subjects)?
        }
    };
    let text = match cli.format {
        Format::Terminal => report::terminal::report(&outcomes, cli.verbose),
        Format::Json => report::json::report(&outcomes),
        Format::Junit => report::junit::report(&outcomes),
        Format::Tap => report::tap::report(&outcomes),
        Format::Markdown => report::markdown::report(&outcomes),
        Format::Html => report::html::report(&outcomes),
    };
    deliver(output, &text, cli.format == Format::Terminal)?;
    if let Some(record) = record {
        record.write(&report::json::recordings(&outcomes))?;
    }
    let codes: Vec<i32> = outcomes.iter().map(Outcome::exit_code).collect();
    // Both wrong and not judged: what is wrong decides.
    Ok([1, NOT_JUDGED].into_iter().find(|code| codes.contains(code)).unwrap_or(0))
}

fn trace(cli: &Trace) -> Result<i32, Trouble> {
    let mut subject = Subject::new(&cli.command);
    cli.subject.describe(&mut subject);
    let default = Options::default();
    let options = Options {
        profile: cli.subject.profile.unwrap_or(default.profile),
        isolation: cli.isolation.map_or(default.isolation, Into::into),
        ..default
    };
    can_be_ready(&subject, &options)?;
    let output = cli.output.as_deref().map(Output::open).transpose()?;
    let progress = start_work();
    let start = at_work(&progress, &subject, |on_event| run::trace(&subject, &options, on_event));
    progress.finish_and_clear();
    let start = start?;
    let timeline = Timeline::new(&start);
    let text = match cli.format {
        TraceFormat::Terminal => timeline::terminal::report(&timeline, cli.verbose),
        TraceFormat::Json => timeline::json::report(&timeline),
        TraceFormat::Html => timeline::html::report(&timeline),
    };
    deliver(output, &text, cli.format == TraceFormat::Terminal)?;
    Ok(0)
}

/// Writes a report to where it goes.
fn deliver(output: Option<Output>, text: &str, styled: bool) -> Result<(), Trouble> {
    match output {
        // A file is no terminal.
        Some(output) if styled => output.write(&anstream::adapter::strip_str(text).to_string()),
        Some(output) => output.write(text),
        None => print(text).map(drop),
    }
}

fn init(cli: &Init) -> Result<i32, Trouble> {
    let mut subject = Subject::new(&cli.command);
    subject.name = cli.name.clone().unwrap_or(subject.name);
    if subject.name.trim().is_empty() {
        "daemon".clone_into(&mut subject.name);
    }
    cli.subject.describe(&mut subject);
    manifest::is_writable(&subject).map_err(Trouble::usage)?;
    let refuse_to_overwrite = || match &cli.output {
        Some(path) if !cli.force && path.is_file() => {
            Err(Trouble::usage(format!("cannot write {}: it is there already; --force writes over it", path.display())))
        }
        _ => Ok(()),
    };
    refuse_to_overwrite()?;
    let output = cli.output.as_deref().map(Output::open).transpose()?;
    let isolation = cli.isolation.map_or(Options::default().isolation, Into::into);
    let progress = start_work();
    let watch = |on_event: &OnEvent<'_>| run::watch(&subject, cli.subject.profile, isolation, on_event);
    let watched = at_work(&progress, &subject, watch);
    progress.finish_and_clear();
    let watched = watched?;
    let text = manifest::write(&subject, &watched).map_err(Trouble::not_judged)?;
    match output {
        Some(output) => {
            // Somebody may have made it in the meantime.
            refuse_to_overwrite()?;
            output.write(&text).map(|()| 0)
        }
        None => print(&text),
    }
}

fn replay(path: &Path, options: &Options) -> Result<Vec<Outcome>, Trouble> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Trouble::usage(format!("cannot read {}: {error}", path.display())))?;
    let recordings = report::json::read_recordings(&text)
        .map_err(|error| Trouble::usage(format!("{} is no recording of this program's: {error}", path.display())))?;
    recordings.into_iter().map(|recording| recording.judge(options).map_err(Trouble::not_judged)).collect()
}

fn run_all(subjects: &[(Subject, Options)]) -> Result<Vec<Outcome>, Trouble> {
    if subjects.iter().any(|(_, options)| options.checks().is_empty()) {
        return Err(Trouble::not_judged(RunError::NoChecks));
    }
    let progress = start_work();
    let outcomes = subjects
        .iter()
        .map(|(subject, options)| at_work(&progress, subject, |on_event| run::check(subject, options, on_event)));
    let outcomes = outcomes.collect();
    progress.finish_and_clear();
    outcomes
}

fn subjects(cli: &Check, base: &Options) -> Result<Vec<(Subject, Options)>, Trouble> {
    if let Some(path) = &cli.manifest {
        let entries = manifest::read(path, &cli.names).map_err(Trouble::usage)?;
        let merged = entries.into_iter().map(|mut entry| {
            let options = options(cli.subject.profile, &cli.judging, Some(&entry))?;
            cli.subject.describe(&mut entry.subject);
            Ok((entry.subject, options))
        });
        return merged.collect();
    }
    let mut subject = if cli.command.is_empty() {
        Subject::reference(base.profile.style())
            .map_err(|error| Trouble::not_judged(format!("cannot find this program's own file: {error}")))?
    } else {
        Subject::new(&cli.command)
    };
    cli.subject.describe(&mut subject);
    Ok(vec![(subject, base.clone())])
}

/// How to judge: what was given on the command line, else what the manifest says of the daemon, else the defaults.
fn options(profile: Option<Profile>, cli: &Judging, entry: Option<&Entry>) -> Result<Options, Trouble> {
    let otherwise = entry.map_or_else(Options::default, Entry::options);
    let ids = |given: &[String], otherwise| if given.is_empty() { Ok(otherwise) } else { known_ids(given) };
    Ok(Options {
        profile: profile.unwrap_or(otherwise.profile),
        only: ids(&cli.only, otherwise.only)?,
        skip: ids(&cli.skip, otherwise.skip)?,
        level: cli.level.unwrap_or(otherwise.level),
        isolation: cli.isolation.map_or(otherwise.isolation, Into::into),
        exhaustive: cli.exhaustive || otherwise.exhaustive,
        jobs: cli.jobs.map_or(otherwise.jobs, usize::from),
        witness: cli.witness.or(otherwise.witness),
    })
}

/// Nobody listens to a daemon that a shell starts.
fn can_be_ready(subject: &Subject, options: &Options) -> Result<(), Trouble> {
    if options.profile.style() == Style::NewStyle || !subject.ready.contains(&Ready::Notify) {
        return Ok(());
    }
    Err(Trouble::usage(format!(
        "`{}` cannot be ready by `notify`, which is for daemons under a supervisor: the profile is {}, not foreground or container",
        subject.name, options.profile
    )))
}

/// Where a report goes, found out before the work starts.
enum Output {
    /// A regular file, or none yet: written whole or not at all, beside its place first.
    File(PathBuf),
    /// Something else that takes bytes (a device, a FIFO): written as it is.
    Stream(PathBuf, std::fs::File),
}

impl Output {
    fn open(path: &Path) -> Result<Self, Trouble> {
        let refused = |error: std::io::Error| Trouble::usage(format!("cannot write {}: {error}", path.display()));
        // A link is followed: what it leads to is replaced, not the link.
        let place = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        match place.metadata() {
            Ok(meta) if meta.is_dir() => {
                Err(Trouble::usage(format!("cannot write {}: it is a directory", path.display())))
            }
            Ok(meta) if !meta.is_file() => {
                let file = std::fs::OpenOptions::new().write(true).open(&place).map_err(refused)?;
                Ok(Output::Stream(place, file))
            }
            _ => {
                // Whether it can be made there; a run that ends early leaves nothing.
                let beside = Self::beside(&place);
                std::fs::File::create_new(&beside).map_err(refused)?;
                let _ = std::fs::remove_file(&beside);
                Ok(Output::File(place))
            }
        }
    }

    fn beside(place: &Path) -> PathBuf {
        let mut name = place.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.new", std::process::id()));
        place.with_file_name(name)
    }

    fn write(self, text: &str) -> Result<(), Trouble> {
        let (place, written) = match self {
            Output::Stream(place, mut file) => (place, file.write_all(text.as_bytes())),
            Output::File(place) => {
                let beside = Self::beside(&place);
                let written = std::fs::write(&beside, text).and_then(|()| std::fs::rename(&beside, &place));
                if written.is_err() {
                    let _ = std::fs::remove_file(&beside);
                }
                (place, written)
            }
        };
        written.map_err(|error| Trouble::not_judged(format!("cannot write {}: {error}", place.display())))
    }
}

/// What is told of what happens.
type OnEvent<'a> = dyn Fn(Event<'_>) + Sync + 'a;

/// From here on sandboxes are started.
fn start_work() -> ProgressBar {
    end_on_signals();
    progress()
}

/// Works on one subject, and shows how far that has come.
fn at_work<T>(
    progress: &ProgressBar,
    subject: &Subject,
    work: impl FnOnce(&OnEvent<'_>) -> Result<T, RunError>,
) -> Result<T, Trouble> {
    progress.set_prefix(subject.name.clone());
    work(&|event: Event<'_>| show(progress, event)).map_err(|error| {
        progress.finish_and_clear();
        // The signal's own thread says so and exits; this one only stays out of its way.
        match error {
            RunError::Interrupted => wait_for_exit(),
            RunError::NoSuchAccount { .. } => Trouble::usage(error),
            error => Trouble::not_judged(error),
        }
    })
}

fn progress() -> ProgressBar {
    let target =
        if std::io::stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(None, target);
    if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix}: {msg} [{pos}/{len}]") {
        bar.set_style(style);
    }
    bar
}

fn show(bar: &ProgressBar, event: Event<'_>) {
    match event {
        Event::Planned(count) => {
            bar.set_position(0);
            bar.set_length(count as u64);
        }
        Event::More(count) => bar.inc_length(count as u64),
        Event::Begins(name) => bar.set_message(name.to_owned()),
        Event::Done(_) => bar.inc(1),
        Event::Warning(line) => bar.suspend(|| anstream::eprintln!("daemonspec: {line}")),
    }
}

/// On SIGINT, SIGTERM or SIGHUP every sandbox is ended before the process is.
fn end_on_signals() {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let Ok(mut signals) = signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGHUP]) else { return };
    std::thread::spawn(move || {
        if signals.forever().next().is_some() {
            sandbox::end_all();
            anstream::eprintln!("\rdaemonspec: {}", RunError::Interrupted);
            exit(INTERRUPTED);
        }
    });
}

fn wait_for_exit() -> ! {
    loop {
        std::thread::park();
    }
}
