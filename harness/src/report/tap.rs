//! TAP, version 14: a subtest for each subject, a test point for each check, what was seen as a YAML block.
//!
//! A failure that does not count, because it is waived or below the level of the run, is a TODO: the subject's own test
//! point is `ok` just where the run's exit status is 0.

use super::witness::{self, Line};
use super::{Standing, UNEXPECTED, counts, shown, take_out, verdict};
use crate::check::Failure;
use crate::run::{Judged, Outcome};
use serde_json::Value;
use std::fmt::Write;

/// The indentation of a subtest.
const SUBTEST: &str = "    ";

/// The report on `outcomes`.
pub fn report(outcomes: &[Outcome]) -> String {
    let mut out = format!("TAP version 14\n1..{}\n", outcomes.len());
    for (index, outcome) in outcomes.iter().enumerate() {
        let _ = writeln!(out, "# Subtest: {}", escaped(&outcome.name));
        subject(&mut out, outcome);
        testimony(&mut out, outcome);
        let not = if outcome.conforms() { "" } else { "not " };
        let said = format!("{} {}: {}", outcome.name, verdict(outcome), counts(outcome));
        let _ = writeln!(out, "{not}ok {} - {}", index + 1, escaped(&said));
    }
    out
}

fn subject(out: &mut String, outcome: &Outcome) {
    let _ = writeln!(out, "{SUBTEST}1..{}", outcome.judged.len());
    for (index, judged) in outcome.judged.iter().enumerate() {
        let (ok, directive) = match Standing::of(judged) {
            Standing::Passed => (true, None),
            Standing::Skipped(why) => (true, Some(format!("SKIP {}", escaped(why)))),
            Standing::Waived(_, why) => (false, Some(format!("TODO {}", escaped(why)))),
            Standing::Failed(_) if judged.check.level < outcome.level => (
                false,
                Some(format!("TODO {}: does not count, the run asks for {}", judged.check.level, outcome.level)),
            ),
            Standing::Failed(_) | Standing::Unexpected(_) | Standing::Broken(_) => (false, None),
        };
        let not = if ok { "" } else { "not " };
        let said = escaped(&format!("{}: {}", judged.check.id, judged.check.title));
        let line = match directive {
            None => format!("{SUBTEST}{not}ok {} - {said}", index + 1),
            Some(directive) => format!("{SUBTEST}{not}ok {} - {said} # {directive}", index + 1),
        };
        let _ = writeln!(out, "{}", line.trim_end());
        if !ok {
            diagnosis(out, judged);
        }
    }
}

/// What systemd made of it: comments, since it is no promise of the daemon's.
fn testimony(out: &mut String, outcome: &Outcome) {
    let Some(testimony) = &outcome.witness else { return };
    for Line { text, fields, .. } in witness::lines(testimony) {
        let _ = writeln!(out, "{SUBTEST}# {text}");
        for (name, value) in fields {
            let _ = writeln!(out, "{SUBTEST}#   {name}: {value}");
        }
    }
}

fn diagnosis(out: &mut String, judged: &Judged) {
    let check = judged.check;
    let mut lines = vec![("level", text(check.level.as_str()))];
    match Standing::of(judged) {
        Standing::Failed(failure) | Standing::Waived(failure, _) => lines.extend(seen(failure)),
        Standing::Unexpected(_) => lines.push(("message", text(UNEXPECTED))),
        Standing::Broken(why) => lines.push(("message", text(why))),
        Standing::Passed | Standing::Skipped(_) => {}
    }
    match Standing::of(judged) {
        Standing::Unexpected(why) => lines.push(("remedy", text(&take_out(check.id, why)))),
        Standing::Broken(_) => {}
        _ => lines.push(("remedy", text(check.remedy))),
    }
    lines.push(("sources", list(check.sources)));
    let _ = writeln!(out, "{SUBTEST}  ---");
    for (key, value) in lines {
        let _ = writeln!(out, "{SUBTEST}  {key}: {value}");
    }
    let _ = writeln!(out, "{SUBTEST}  ...");
}

fn seen(failure: &Failure) -> [(&'static str, String); 3] {
    let evidence: Vec<&str> = failure.evidence.iter().map(String::as_str).collect();
    [("expected", text(&failure.expected)), ("actual", text(&failure.actual)), ("evidence", list(&evidence))]
}

/// A scalar of YAML, and all on one line: YAML takes JSON's strings, if they are printable.
fn text(text: &str) -> String {
    Value::from(shown(text)).to_string()
}

fn list(lines: &[&str]) -> String {
    let lines: Vec<String> = lines.iter().map(|line| text(line)).collect();
    format!("[{}]", lines.join(", "))
}

/// A description, or the reason of a directive: one line, in which `#` begins nothing and a backslash is itself.
fn escaped(text: &str) -> String {
    shown(text).replace('\\', "\\\\").replace('#', "\\#")
}
