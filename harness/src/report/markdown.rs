//! Markdown as GitHub renders it, for the summary of a CI job: what failed as a table, the rest folded away.
//!
//! What comes from the subject stands in a `code` element, every character that means something to Markdown or HTML as a
//! numeric reference. Such a reference never begins markup, not in a table either, where a code span's backslashes would
//! be read in more than one way.

use super::{Standing, UNEXPECTED, command, counts, place, shown, take_out, verdict};
use crate::check::Failure;
use crate::run::{Judged, Outcome};
use std::fmt::Write;

/// A summary has its bounds (GitHub's is 1 MiB for each step), and so has a reader.
const CELL: usize = 300;
const VALUE: usize = 2000;
const EVIDENCE: usize = 20;

/// The report on `outcomes`.
pub fn report(outcomes: &[Outcome]) -> String {
    let mut out = String::new();
    for (index, outcome) in outcomes.iter().enumerate() {
        if index > 0 {
            out.push('\n');
        }
        subject(&mut out, outcome);
    }
    out
}

fn subject(out: &mut String, outcome: &Outcome) {
    let sign = match outcome.exit_code() {
        0 => "✅",
        1 => "❌",
        _ => "⚠️",
    };
    let _ = writeln!(out, "## {sign} {} {}\n", code(&outcome.name, CELL), verdict(outcome));
    let _ = writeln!(out, "{}\n", code(&command(&outcome.command), CELL));
    let _ = writeln!(
        out,
        "{} · {} · {:.0} ms — {}",
        outcome.profile,
        place(outcome.isolation),
        outcome.duration.as_secs_f64() * 1000.0,
        counts(outcome)
    );
    let failed: Vec<&Judged> = outcome.judged.iter().filter(|j| row(j).is_some()).collect();
    if !failed.is_empty() {
        let _ = writeln!(out, "\n| | level | check | expected | actual |\n|---|---|---|---|---|");
        for judged in &failed {
            let Some((sign, expected, actual)) = row(judged) else { continue };
            let check = judged.check;
            let _ = writeln!(out, "| {sign} | {} | `{}` | {expected} | {actual} |", check.level, check.id);
        }
        for judged in failed.into_iter().filter(|j| !matches!(Standing::of(j), Standing::Broken(_))) {
            details(out, judged);
        }
    }
    folded(out, outcome, "Waived", |s| match s {
        Standing::Waived(_, why) => Some(code(why, VALUE)),
        _ => None,
    });
    folded(out, outcome, "Skipped", |s| match s {
        Standing::Skipped(why) => Some(code(why, VALUE)),
        _ => None,
    });
    folded(out, outcome, "Passed", |s| matches!(s, Standing::Passed).then(String::new));
}

/// The sign, what was expected and what was there, of what has to be looked at.
fn row(judged: &Judged) -> Option<(&'static str, String, String)> {
    match Standing::of(judged) {
        Standing::Failed(failure) => Some(("❌", code(&failure.expected, CELL), code(&failure.actual, CELL))),
        Standing::Unexpected(_) => Some(("❌", "a failure".to_owned(), UNEXPECTED.to_owned())),
        Standing::Broken(why) => Some(("⚠️", String::new(), format!("not observed: {}", code(why, CELL)))),
        Standing::Passed | Standing::Waived(..) | Standing::Skipped(_) => None,
    }
}

/// The whole of a failure. A blank line lets Markdown be read again inside.
fn details(out: &mut String, judged: &Judged) {
    let check = judged.check;
    let _ = writeln!(out, "\n<details><summary><code>{}</code>: {}</summary>\n", check.id, escaped(check.title, VALUE));
    match Standing::of(judged) {
        Standing::Failed(Failure { expected, actual, evidence }) => {
            item(out, "expected", &code(expected, VALUE));
            item(out, "actual", &code(actual, VALUE));
            for line in evidence.iter().take(EVIDENCE) {
                item(out, "seen", &code(line, VALUE));
            }
            if evidence.len() > EVIDENCE {
                item(out, "seen", &format!("and {} more like it", evidence.len() - EVIDENCE));
            }
            item(out, "mend", &escaped(check.remedy, VALUE));
        }
        Standing::Unexpected(why) => item(out, "mend", &code(&take_out(check.id, why), VALUE)),
        _ => {}
    }
    for source in check.sources {
        item(out, "source", &escaped(source, VALUE));
    }
    let _ = writeln!(out, "\n</details>");
}

fn item(out: &mut String, name: &str, value: &str) {
    let _ = writeln!(out, "- {name}: {value}");
}

fn folded(out: &mut String, outcome: &Outcome, name: &str, why: fn(Standing<'_>) -> Option<String>) {
    let found: Vec<(&Judged, String)> =
        outcome.judged.iter().filter_map(|j| why(Standing::of(j)).map(|why| (j, why))).collect();
    if found.is_empty() {
        return;
    }
    let _ = writeln!(out, "\n<details><summary>{name}: {}</summary>\n", found.len());
    for (judged, why) in found {
        let why = if why.is_empty() { escaped(judged.check.title, VALUE) } else { why };
        let _ = writeln!(out, "- {} `{}`: {why}", judged.check.level, judged.check.id);
    }
    let _ = writeln!(out, "\n</details>");
}

/// Words of the subject's, at most `width` characters of them.
pub(super) fn code(text: &str, width: usize) -> String {
    if text.is_empty() { "<i>nothing</i>".to_owned() } else { format!("<code>{}</code>", escaped(text, width)) }
}

/// `text` with nothing in it that means anything.
pub(super) fn escaped(text: &str, width: usize) -> String {
    let text = shown(text);
    let mut out = String::with_capacity(text.len());
    for (index, c) in text.chars().enumerate() {
        if index == width {
            out.push('…');
            break;
        }
        match c {
            // A dot makes a link after `www`, and no markup elsewhere within a line.
            '.' if !out.ends_with(['w', 'W']) => out.push(c),
            ' ' | '/' | ',' | '-' => out.push(c),
            c if c.is_ascii() && !c.is_ascii_alphanumeric() => {
                let _ = write!(out, "&#{};", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out
}
