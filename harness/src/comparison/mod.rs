//! Many timed starts as text: what a [`report`](crate::report) is to verdicts.

pub mod html;
pub mod json;
pub mod markdown;
pub mod terminal;

use crate::observation::Text;
use crate::report::shown;
use crate::run::{Benched, Timed, Timings};
use crate::statistics::{Ratio, Summary, paired_ratio};
use std::time::Duration;

/// With the quartiles further apart than this, in medians, a figure says little.
const WIDE: f64 = 0.3;

/// What is timed: from the word to go to one of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quantity {
    Exit,
    Ready,
}

impl Quantity {
    const ALL: [Quantity; 2] = [Quantity::Exit, Quantity::Ready];

    fn title(self) -> &'static str {
        match self {
            Quantity::Exit => "start to the launcher's exit",
            Quantity::Ready => "start to ready",
        }
    }

    fn of(self, start: &Timed) -> Option<Duration> {
        match self {
            Quantity::Exit => start.exit,
            Quantity::Ready => start.ready,
        }
    }
}

/// One daemon's figures for one quantity, in milliseconds.
#[derive(Debug, Clone)]
struct Figures {
    /// Which daemon.
    daemon: usize,
    times: Vec<f64>,
    summary: Summary,
    /// How many times as long as the first one takes; of all but that, where it has the quantity too.
    ratio: Option<Ratio>,
}

/// What many starts come to.
#[derive(Debug, Clone)]
pub struct Comparison<'a> {
    benched: &'a Benched,
    labels: Vec<String>,
    tables: Vec<(Quantity, Vec<Figures>)>,
}

impl<'a> Comparison<'a> {
    /// Works it out.
    pub fn new(benched: &'a Benched) -> Self {
        let figures = |quantity: Quantity| {
            let all = benched.daemons.iter().map(|daemon| times(daemon, quantity)).collect::<Vec<_>>();
            let each = all.iter().enumerate().filter_map(|(daemon, times)| {
                let base = all.first().filter(|base| daemon > 0 && base.len() == times.len());
                let ratio = base.map(|base| paired_ratio(times, base));
                Some(Figures { daemon, times: times.clone(), summary: Summary::of(times)?, ratio })
            });
            (quantity, each.collect::<Vec<_>>())
        };
        let tables = Quantity::ALL.into_iter().map(figures).filter(|(_, all)| !all.is_empty()).collect();
        Comparison { benched, labels: labels(&benched.daemons), tables }
    }

    /// What everybody should know before a figure is believed; each is one line.
    pub fn warnings(&self) -> Vec<String> {
        let wide = |all: &[Figures]| -> Vec<String> {
            let wide = all.iter().filter(|figures| figures.summary.spread() > WIDE);
            wide.map(|figures| format!("{} {:.0}%", self.label(figures), figures.summary.spread() * 100.0)).collect()
        };
        let wide = self.tables.iter().map(|(quantity, all)| (quantity.title(), wide(all)));
        let wide: Vec<String> = wide
            .filter(|(_, daemons)| !daemons.is_empty())
            .map(|(title, daemons)| format!("{title}: {}", daemons.join(", ")))
            .collect();
        let line = format!(
            "the quartiles are so far apart, in parts of the median, that the figures say little ({}); end what else runs here, or \
             give more --runs",
            wide.join("; ")
        );
        if wide.is_empty() { Vec::new() } else { vec![line] }
    }

    /// The outliers in one line, if there are any.
    fn outliers(&self) -> Option<String> {
        let all = self.each().filter(|(_, figures)| figures.summary.outliers > 0).map(|(quantity, figures)| {
            let Summary { outliers, count, maximum, .. } = figures.summary;
            format!("{} {outliers} of {count} ({}; up to {} ms)", self.label(figures), quantity.title(), ms(maximum))
        });
        let all: Vec<String> = all.collect();
        (!all.is_empty()).then(|| format!("Outliers: {}", all.join(", ")))
    }

    /// What a start costs beside what is timed.
    fn whole(&self) -> Option<String> {
        let part = |(index, daemon): (usize, &Timings)| {
            let (mut whole, mut timed) = (Vec::new(), Vec::new());
            for start in &daemon.starts {
                whole.push(in_ms(start.whole));
                timed.push(in_ms(start.exit.max(start.ready).unwrap_or_default()));
            }
            let (whole, timed) = (Summary::of(&whole)?, Summary::of(&timed)?);
            Some(format!("{} {} ms ({} of it timed)", self.labels[index], ms(whole.median), ms(timed.median)))
        };
        let parts: Vec<String> = self.benched.daemons.iter().enumerate().filter_map(part).collect();
        (!parts.is_empty()).then(|| format!("A whole start, its sandbox made and left: {}", parts.join(", ")))
    }

    fn each(&self) -> impl Iterator<Item = (Quantity, &Figures)> {
        self.tables.iter().flat_map(|(quantity, all)| all.iter().map(|figures| (*quantity, figures)))
    }

    fn label(&self, figures: &Figures) -> &str {
        self.labels.get(figures.daemon).map_or("", String::as_str)
    }

    fn runs(&self) -> usize {
        self.benched.daemons.first().map_or(0, |daemon| daemon.starts.len())
    }

    /// The rounds, and how much of a sandbox.
    fn facts(&self) -> String {
        let runs = self.runs();
        let rounds = if self.benched.daemons.len() > 1 { "each, in turn" } else { "of it" };
        let isolation = self.benched.daemons.iter().map(|daemon| crate::report::place(daemon.isolation));
        let mut places: Vec<&str> = isolation.collect();
        places.dedup();
        format!("{runs} start{} {rounds} · {}", if runs == 1 { "" } else { "s" }, places.join(", "))
    }
}

/// What "ready" means for a daemon.
fn meaning(daemon: &Timings) -> Option<String> {
    let pidfile = daemon.pidfile.as_ref().map(|path| format!("{} names a live process", path.display()));
    let all: Vec<String> = pidfile.into_iter().chain(daemon.ready.iter().cloned()).collect();
    (!all.is_empty()).then(|| shown(&all.join(", ")))
}

/// What is said of a ratio in words.
fn verdict(ratio: Ratio) -> &'static str {
    match (ratio.interval.low > 1.0, ratio.interval.high < 1.0) {
        (true, _) => "slower",
        (_, true) => "faster",
        _ => "no difference can be told",
    }
}

fn times(daemon: &Timings, quantity: Quantity) -> Vec<f64> {
    daemon.starts.iter().filter_map(|start| quantity.of(start)).map(in_ms).collect()
}

/// The daemons' names; the commands where those do not tell them apart.
fn labels(daemons: &[Timings]) -> Vec<String> {
    let names: Vec<String> = daemons.iter().map(|daemon| shown(&daemon.name)).collect();
    let commands: Vec<String> = daemons.iter().map(command).collect();
    let is_unique = |all: &[String], index: usize| all.iter().filter(|other| **other == all[index]).count() == 1;
    (0..daemons.len())
        .map(|index| match (is_unique(&names, index), is_unique(&commands, index)) {
            (true, _) => names[index].clone(),
            (_, true) => commands[index].clone(),
            _ => format!("{} #{}", names[index], index + 1),
        })
        .collect()
}

/// The command on one line.
fn command(daemon: &Timings) -> String {
    let words: Vec<&str> = daemon.command.iter().map(Text::as_str).collect();
    shown(&words.join(" "))
}

fn in_ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// Three digits that count, or all before the point.
fn ms(value: f64) -> String {
    let digits = match value {
        _ if value < 10.0 => 2,
        _ if value < 100.0 => 1,
        _ => 0,
    };
    format!("{value:.digits$}")
}
