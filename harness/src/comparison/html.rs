//! One HTML file that needs nothing else: no network, no other file, and no script at all.
//!
//! The markup is in comparison.html, beside this file. Along the axis all is in percent, so that the plot is as wide as its window.

use super::{Comparison, Figures, Quantity, command, meaning, ms, verdict};
use crate::report::shown;
use askama::Template;

// Heights, in pixels.
const ROW: u32 = 62;
const NAME: u32 = 16;
const MIDDLE: u32 = 38;
const HALF: u32 = 13;
/// Room for dots above and below the middle.
const BAND: f64 = 20.0;
/// Marks on an axis, at most.
const MOST_MARKS: usize = 12;

#[derive(Template)]
#[template(path = "comparison.html")]
struct Page {
    title: String,
    facts: String,
    daemons: Vec<Daemon>,
    plots: Vec<Plot>,
    notes: Vec<String>,
    warnings: Vec<String>,
}

struct Daemon {
    name: String,
    command: String,
    ready: Option<String>,
}

/// One thing that was timed.
struct Plot {
    id: &'static str,
    title: &'static str,
    description: String,
    rows: Vec<Row>,
    marks: Vec<Mark>,
    axis: u32,
    height: u32,
    compared: bool,
}

struct Row {
    name: String,
    name_y: u32,
    top: u32,
    bottom: u32,
    box_x: String,
    box_width: String,
    median_x: String,
    dots: Vec<Dot>,
    beyond: Option<String>,
    median: String,
    quartiles: String,
    least: String,
    runs: usize,
    ratio: Option<String>,
    verdict: &'static str,
}

struct Dot {
    x: String,
    y: String,
}

struct Mark {
    x: String,
    anchor: &'static str,
    words: String,
}

/// The comparison as a page.
pub fn report(comparison: &Comparison<'_>) -> String {
    // Writing to memory does not fail. A template loses its last newline.
    page(comparison).render().unwrap_or_default() + "\n"
}

fn page(comparison: &Comparison<'_>) -> Page {
    let daemons = comparison.labels.iter().zip(&comparison.benched.daemons).map(|(label, daemon)| Daemon {
        name: label.clone(),
        command: command(daemon),
        ready: meaning(daemon),
    });
    Page {
        title: comparison.labels.join(", "),
        facts: comparison.facts(),
        daemons: daemons.collect(),
        plots: comparison.tables.iter().map(|(quantity, all)| plot(comparison, *quantity, all)).collect(),
        notes: [comparison.outliers(), comparison.whole()].into_iter().flatten().collect(),
        warnings: comparison.warnings().iter().map(|warning| shown(warning)).collect(),
    }
}

fn plot(comparison: &Comparison<'_>, quantity: Quantity, all: &[Figures]) -> Plot {
    // From zero, so that lengths are in proportion; and up to what is no outlier, so that one of those does not squeeze all.
    let drawn = all.iter().flat_map(|figures| {
        let fence = figures.summary.fence();
        figures.times.iter().copied().filter(move |time| *time <= fence)
    });
    let last = drawn.fold(0.0, f64::max);
    let end = (last * 1.03).max(f64::MIN_POSITIVE);
    let rows: Vec<Row> =
        all.iter().zip(0..).map(|(figures, index)| row(comparison, figures, index * ROW, end)).collect();
    let axis = ROW * all.len() as u32 + 4;
    Plot {
        id: match quantity {
            Quantity::Exit => "exit",
            Quantity::Ready => "ready",
        },
        title: quantity.title(),
        description: rows
            .iter()
            .map(|row| format!("{}: median {}", row.name, row.median))
            .collect::<Vec<_>>()
            .join("; "),
        marks: marks(end),
        compared: rows.iter().any(|row| row.ratio.is_some()),
        rows,
        axis,
        height: axis + 24,
    }
}

fn row(comparison: &Comparison<'_>, figures: &Figures, top: u32, end: f64) -> Row {
    let percent = |value: f64| value / end * 100.0;
    let summary = figures.summary;
    let middle = top + MIDDLE;
    // Spread over the band, the same each time: the golden ratio never comes near where it has just been.
    let height = |index: usize| f64::from(middle) + ((index as f64 * 0.618_034).fract() - 0.5) * BAND;
    let dots = figures.times.iter().enumerate().filter(|(_, time)| **time <= end);
    let dots = dots
        .map(|(index, time)| Dot { x: format!("{:.3}", percent(*time)), y: format!("{:.1}", height(index)) })
        .collect();
    let beyond = figures.times.iter().filter(|time| **time > end).count();
    Row {
        name: comparison.label(figures).to_owned(),
        name_y: top + NAME,

        top: middle - HALF,
        bottom: middle + HALF,
        box_x: format!("{:.3}", percent(summary.lower)),
        box_width: format!("{:.3}", percent(summary.upper) - percent(summary.lower)),
        median_x: format!("{:.3}", percent(summary.median)),
        dots,
        beyond: (beyond > 0).then(|| format!("{beyond} beyond, up to {} ms ▸", ms(summary.maximum))),
        median: format!("{} ms", ms(summary.median)),
        quartiles: format!("{} – {} ms", ms(summary.lower), ms(summary.upper)),
        least: format!("{} ms", ms(summary.minimum)),
        runs: summary.count,
        ratio: figures
            .ratio
            .map(|ratio| format!("{:.2} ({:.2} – {:.2})", ratio.value, ratio.interval.low, ratio.interval.high)),
        verdict: figures.ratio.map_or("", verdict),
    }
}

/// Marks at round times; few enough for a narrow window.
fn marks(end: f64) -> Vec<Mark> {
    let least = end / 5.0;
    let magnitude = 10f64.powf(least.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|n| n * magnitude).into_iter().find(|step| *step >= least).unwrap_or(least);
    let digits = if step >= 1.0 { 0 } else { (-step.log10().floor()) as usize };
    (0..MOST_MARKS)
        .map(|n| n as f64 * step)
        .take_while(|at| *at <= end)
        .map(|at| Mark {
            x: format!("{:.3}", at / end * 100.0),
            anchor: match at / end {
                _ if at <= 0.0 => "start",
                part if part > 0.93 => "end",
                _ => "middle",
            },
            words: format!("{at:.digits$} ms"),
        })
        .collect()
}
