//! A comparison as Markdown: one table for each thing that is timed.

use super::{Comparison, Quantity, command, meaning, ms, verdict};
use crate::report::markdown::code;
use std::fmt::Write;

/// A cell has its bounds.
const CELL: usize = 300;

/// The comparison as Markdown.
pub fn report(comparison: &Comparison<'_>) -> String {
    let mut out = String::new();
    let names: Vec<String> = comparison.labels.iter().map(|label| code(label, CELL)).collect();
    let _ = writeln!(out, "## How {} start\n", names.join(", "));
    let _ = writeln!(out, "{}\n", comparison.facts());
    for (name, daemon) in names.iter().zip(&comparison.benched.daemons) {
        let _ = writeln!(out, "- {name}: {}", code(&command(daemon), CELL));
    }
    for (quantity, all) in &comparison.tables {
        let compared = all.iter().any(|figures| figures.ratio.is_some());
        let (title, rule) = if compared { (" times the first (95%) |", "---:|") } else { ("", "") };
        let ready = if *quantity == Quantity::Ready { (" ready is |", "---|") } else { ("", "") };
        let _ = writeln!(out, "\n| {} | median | quartiles | least | runs |{title}{}", quantity.title(), ready.0);
        let _ = writeln!(out, "|---|---:|---:|---:|---:|{rule}{}", ready.1);
        for figures in all {
            let summary = figures.summary;
            let name = names.get(figures.daemon).map_or("", String::as_str);
            let [median, lower, upper, least] = [summary.median, summary.lower, summary.upper, summary.minimum].map(ms);
            let count = summary.count;
            let _ = write!(out, "| {name} | {median} ms | {lower} – {upper} ms | {least} ms | {count} |");
            if let Some(ratio) = figures.ratio {
                let (low, high) = (ratio.interval.low, ratio.interval.high);
                let _ = write!(out, " {:.2} ({low:.2} – {high:.2}), {} |", ratio.value, verdict(ratio));
            } else if compared {
                out.push_str(" |");
            }
            if *quantity == Quantity::Ready {
                let meaning = comparison.benched.daemons.get(figures.daemon).and_then(meaning).unwrap_or_default();
                let _ = write!(out, " {} |", code(&meaning, CELL));
            }
            out.push('\n');
        }
    }
    for line in [comparison.outliers(), comparison.whole()].into_iter().flatten() {
        let _ = writeln!(out, "\n{}", code(&line, CELL * 4));
    }
    for warning in comparison.warnings() {
        let _ = writeln!(out, "\n⚠️ {}", code(&warning, CELL * 4));
    }
    out
}
