//! A comparison for a person. Eighty columns are enough.
//!
//! Styles are always written; whoever prints strips them where they do not belong.

use super::{Comparison, Figures, Quantity, command, meaning, ms, verdict};
use crate::report::terminal::wrapped;
use crate::statistics::Ratio;
use anstyle::{AnsiColor, Style};
use std::fmt::Write;

const HEAD: Style = Style::new().bold();
const WARNING: Style = AnsiColor::Yellow.on_default();
/// The most characters of a name that stand before its figures.
const NAME: usize = 20;

/// The comparison as text.
pub fn report(comparison: &Comparison<'_>) -> String {
    let mut out = String::new();
    for (label, daemon) in comparison.labels.iter().zip(&comparison.benched.daemons) {
        let command = command(daemon);
        let _ = if *label == command { writeln!(out, "{command}") } else { writeln!(out, "{label}: {command}") };
    }
    let _ = writeln!(out, "{}", comparison.facts());
    for (quantity, all) in &comparison.tables {
        table(&mut out, comparison, *quantity, all);
    }
    out.push('\n');
    for line in [comparison.outliers(), comparison.whole()].into_iter().flatten() {
        wrapped(&mut out, "", 0, &line);
    }
    for warning in comparison.warnings() {
        wrapped(&mut out, &format!("{WARNING}warning{WARNING:#}: "), "warning: ".len(), &warning);
    }
    out
}

fn table(out: &mut String, comparison: &Comparison<'_>, quantity: Quantity, all: &[Figures]) {
    let _ = writeln!(out, "\n{HEAD}{}{HEAD:#}, in ms", quantity.title());
    let ratio = if all.iter().any(|figures| figures.ratio.is_some()) { "  times the first [95%]" } else { "" };
    let _ = writeln!(out, "{:NAME$}  {:>7}  {:>17}  {:>7}{ratio}", "", "median", "quartiles", "least");
    for figures in all {
        let label = comparison.label(figures);
        let summary = figures.summary;
        if label.chars().count() > NAME {
            let _ = writeln!(out, "{label}");
        }
        let label = if label.chars().count() > NAME { "" } else { label };
        let quartiles = format!("{} – {}", ms(summary.lower), ms(summary.upper));
        let (median, least) = (ms(summary.median), ms(summary.minimum));
        let _ = write!(out, "{label:NAME$}  {median:>7}  {quartiles:>17}  {least:>7}");
        if let Some(ratio) = figures.ratio {
            let _ = write!(out, "  {}", in_words(ratio));
        }
        out.push('\n');
    }
    if quantity == Quantity::Ready {
        for figures in all {
            let daemon = comparison.benched.daemons.get(figures.daemon);
            if let Some(meaning) = daemon.and_then(meaning) {
                let _ = writeln!(out, "  {}: {meaning}", comparison.label(figures));
            }
        }
    }
}

fn in_words(ratio: Ratio) -> String {
    let Ratio { value, interval } = ratio;
    let doubt = if verdict(ratio) == "no difference can be told" { "?" } else { "" };
    format!("{value:.2} [{:.2}, {:.2}]{doubt}", interval.low, interval.high)
}
