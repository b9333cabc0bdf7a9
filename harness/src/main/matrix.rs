//! `daemonspec matrix`: many daemons side by side, one table.

use super::{Output, Trouble, can_be_ready, deliver, options, start_work, wait_for_exit};
use daemonspec::check::UnknownName;
use daemonspec::cli::{Matrix, MatrixFormat, Order};
use daemonspec::manifest::{self, Entry, ManifestError};
use daemonspec::report::{self, matrix::Row};
use daemonspec::run::{self, Event, Options, Outcome, RunError, Watcher};
use daemonspec::subject::Subject;
use indicatif::{ProgressBar, ProgressStyle};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// Columns where the table goes to no terminal.
const WIDTH: usize = 80;

pub(super) fn matrix(cli: &Matrix) -> Result<i32, Trouble> {
    let jobs = options(cli.profile, &cli.judging, None)?.jobs;
    let entries = entries(cli)?;
    let judged = |(_, entry): &(String, Entry)| -> Result<(Subject, Options), Trouble> {
        let options = options(cli.profile, &cli.judging, Some(entry))?;
        can_be_ready(&entry.subject, &options)?;
        if options.checks().is_empty() {
            return Err(Trouble::not_judged(RunError::NoChecks));
        }
        Ok((entry.subject.clone(), options))
    };
    let subjects = entries.iter().map(judged).collect::<Result<Vec<_>, Trouble>>()?;
    let output = cli.output.as_deref().map(Output::open).transpose()?;
    let mut rows: Vec<Row> = judge(&subjects, jobs)
        .into_iter()
        .zip(entries.iter().zip(&subjects))
        .map(|(result, ((manifest, entry), (_, options)))| Row::new(entry, manifest, options.profile, result))
        .collect();
    if cli.sort == Order::Failures {
        report::matrix::sort_by_failures(&mut rows);
    }
    let width = || terminal_size::terminal_size_of(std::io::stdout()).map_or(WIDTH, |(width, _)| width.0.into());
    let text = match cli.format {
        MatrixFormat::Terminal if output.is_some() => report::matrix::terminal::report(&rows, WIDTH, cli.verbose),
        MatrixFormat::Terminal => report::matrix::terminal::report(&rows, width(), cli.verbose),
        MatrixFormat::Markdown => report::matrix::markdown::report(&rows),
        MatrixFormat::Json => report::json::matrix(&rows),
        MatrixFormat::Html => report::matrix::html::report(&rows),
    };
    deliver(output, &text, cli.format == MatrixFormat::Terminal)?;
    Ok(report::matrix::exit_code(&rows, cli.skip_missing))
}

/// The chosen daemons, each with its manifest as that was named.
fn entries(cli: &Matrix) -> Result<Vec<(String, Entry)>, Trouble> {
    let mut all: Vec<(String, Entry)> = Vec::new();
    for path in &cli.manifest {
        let entries = manifest::read(path, &[]).map_err(|error| unreadable(path, error))?;
        all.extend(entries.into_iter().map(|entry| (path.display().to_string(), entry)));
    }
    if cli.names.is_empty() {
        return Ok(all);
    }
    let mut chosen = Vec::new();
    let mut seen = BTreeSet::new();
    for name in cli.names.iter().filter(|name| seen.insert(name.as_str())) {
        let found: Vec<&(String, Entry)> = all.iter().filter(|(_, entry)| entry.subject.name == *name).collect();
        if found.is_empty() {
            let names = all.iter().map(|(_, entry)| entry.subject.name.as_str());
            return Err(Trouble::usage(UnknownName::new("daemon", name, names)));
        }
        chosen.extend(found.into_iter().cloned());
    }
    Ok(chosen)
}

/// A name after `--manifest` is taken for one more file.
fn unreadable(path: &Path, error: ManifestError) -> Trouble {
    match error {
        ManifestError::Unreadable(..) if path.extension().is_none() && !path.exists() => {
            Trouble::usage(format!("{error} (daemons are named before --manifest)"))
        }
        error => Trouble::usage(error),
    }
}

fn judge(subjects: &[(Subject, Options)], jobs: usize) -> Vec<Result<Outcome, RunError>> {
    let bar = start_work();
    if let Ok(style) = ProgressStyle::with_template("{spinner} [{bar:24}] {pos} of {len} daemons: {wide_msg}") {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_length(subjects.len() as u64);
    let names = subjects.iter().map(|(subject, _)| subject.name.as_str()).collect();
    let progress = Progress { bar, names, at_work: Mutex::default(), warned: Mutex::default() };
    let results = run::check_many(subjects, jobs, &progress);
    progress.bar.finish_and_clear();
    // The signal's own thread says so and exits; this one only stays out of its way.
    if results.iter().any(|result| matches!(result, Err(RunError::Interrupted))) {
        wait_for_exit();
    }
    results
}

/// One bar for all of them, and what is being done.
struct Progress<'a> {
    bar: ProgressBar,
    names: Vec<&'a str>,
    /// The scenario that each of those at work last began.
    at_work: Mutex<BTreeMap<usize, String>>,
    /// What concerns the machine would be said by each of them.
    warned: Mutex<BTreeSet<String>>,
}

impl Progress<'_> {
    fn show(&self, change: impl FnOnce(&mut BTreeMap<usize, String>)) {
        let mut at_work = self.at_work.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut at_work);
        let words = at_work.iter().map(|(subject, scenario)| format!("{}: {scenario}", self.names[*subject]));
        self.bar.set_message(words.collect::<Vec<_>>().join(", "));
    }
}

impl Watcher for Progress<'_> {
    fn event(&self, subject: usize, event: Event<'_>) {
        match event {
            Event::Begins(scenario) => self.show(|at_work| drop(at_work.insert(subject, scenario.to_owned()))),
            Event::Warning(line) => {
                if self.warned.lock().unwrap_or_else(PoisonError::into_inner).insert(line.to_owned()) {
                    self.bar.suspend(|| anstream::eprintln!("daemonspec: {line}"));
                }
            }
            Event::Planned(_) | Event::More(_) | Event::Done(_) => {}
        }
    }

    fn over(&self, subject: usize, _: &Result<Outcome, RunError>) {
        self.show(|at_work| drop(at_work.remove(&subject)));
        self.bar.inc(1);
    }
}
