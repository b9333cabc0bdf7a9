//! `daemonspec bench`: how long daemons take to start, one beside the other.

use super::{Output, Trouble, at_work, can_be_ready, deliver, start_work};
use daemonspec::cli::{Bench, BenchFormat, Described};
use daemonspec::comparison::{self, Comparison};
use daemonspec::manifest::{self, Entry};
use daemonspec::run::{self, BenchOptions, Contestant, Options};
use daemonspec::subject::Subject;

pub(super) fn bench(cli: &Bench) -> Result<i32, Trouble> {
    let contestants = contestants(cli)?;
    let Some(first) = contestants.first() else { return Err(Trouble::usage("there is no daemon to time")) };
    let output = cli.output.as_deref().map(Output::open).transpose()?;
    let options = BenchOptions { runs: cli.runs, warm_up: cli.warm_up, ..BenchOptions::default() };
    let progress = start_work();
    let benched = at_work(&progress, &first.subject, |on_event| run::bench(&contestants, options, on_event));
    progress.finish_and_clear();
    let benched = benched?;
    let comparison = Comparison::new(&benched);
    let text = match cli.format {
        BenchFormat::Terminal => comparison::terminal::report(&comparison),
        BenchFormat::Json => comparison::json::report(&comparison),
        BenchFormat::Markdown => comparison::markdown::report(&comparison),
        BenchFormat::Html => comparison::html::report(&comparison),
    };
    deliver(output, &text, cli.format == BenchFormat::Terminal)?;
    Ok(0)
}

/// The daemons that are to be timed; the first is the one that the others are compared with.
fn contestants(cli: &Bench) -> Result<Vec<Contestant>, Trouble> {
    let contestant = |mut subject: Subject, entry: Option<&Entry>| {
        let Described { profile, .. } = cli.subject;
        let default = Options::default();
        let profile = profile.or(entry.and_then(|entry| entry.profile)).unwrap_or(default.profile);
        let wanted = cli.isolation.map(Into::into).or(entry.and_then(|entry| entry.isolation));
        cli.subject.describe(&mut subject);
        can_be_ready(&subject, &Options { profile, ..default.clone() })?;
        Ok(Contestant { subject, profile, isolation: wanted.unwrap_or(default.isolation) })
    };
    if let Some(path) = &cli.manifest {
        let entries = manifest::read(path, &cli.names).map_err(Trouble::usage)?;
        return entries.into_iter().map(|entry| contestant(entry.subject.clone(), Some(&entry))).collect();
    }
    let versus = cli.versus.iter().map(|line| match shlex::split(line) {
        Some(words) if !words.is_empty() => contestant(Subject::new(words), None),
        Some(_) => Err(Trouble::usage("--versus is empty: write a command, quoted as one word")),
        None => Err(Trouble::usage(format!(
            "--versus `{}` does not end where a quote or a backslash says that more comes",
            line.escape_debug()
        ))),
    });
    std::iter::once(contestant(Subject::new(&cli.command), None)).chain(versus).collect()
}
