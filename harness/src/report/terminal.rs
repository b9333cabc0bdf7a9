//! The report for a person: failures in full, passes as a count. Eighty columns are enough.
//!
//! Styles are always written; whoever prints strips them where they do not belong.

use super::witness::{self, Line, Tone};
use crate::check::{Check, Failure, Level, Verdict};
use crate::observation::{Isolation, printable};
use crate::run::{Judged, Outcome};
use anstyle::{AnsiColor, Style};
use std::fmt::Write;

const WIDTH: usize = 80;
pub(super) const BAD: Style = AnsiColor::Red.on_default().bold();
const GOOD: Style = AnsiColor::Green.on_default();
pub(super) const DULL: Style = AnsiColor::Yellow.on_default();
/// Where the values of a failure's lines begin.
const INDENT: usize = 24;
/// Where the text beside a check's name begins.
const COLUMN: usize = 40;

/// The report on `outcomes`; `verbose` shows passes and skips one by one.
pub fn report(outcomes: &[Outcome], verbose: bool) -> String {
    let mut out = String::new();
    for (index, outcome) in outcomes.iter().enumerate() {
        if index > 0 {
            out.push('\n');
        }
        subject(&mut out, outcome, verbose);
    }
    out
}

/// Of the report on `outcome` what it says of these checks, whatever they came to.
pub fn excerpt<'a>(outcome: &Outcome, judged: impl IntoIterator<Item = &'a Judged>) -> String {
    let judged: Vec<&Judged> = judged.into_iter().collect();
    let mut out = String::new();
    header(&mut out, outcome);
    judged.iter().for_each(|judged| one(&mut out, judged, true));
    unobserved(&mut out, judged.iter().copied());
    if let Some(first) = judged.first() {
        while out.ends_with("\n\n") {
            out.pop();
        }
        let _ = writeln!(out, "\ndaemonspec explain {}", first.check.id);
    }
    out
}

/// What the witness makes of it, and nothing else.
#[cfg(feature = "libtest")]
pub(crate) fn of_witness(outcome: &Outcome) -> String {
    let mut out = String::new();
    header(&mut out, outcome);
    testimony(&mut out, outcome);
    out
}

fn subject(out: &mut String, outcome: &Outcome, verbose: bool) {
    header(out, outcome);
    for judged in &outcome.judged {
        one(out, judged, verbose);
    }
    unobserved(out, &outcome.judged);
    testimony(out, outcome);
    let failed: Vec<String> = [Level::Must, Level::Should, Level::May]
        .into_iter()
        .map(|level| (level, outcome.judged.iter().filter(|j| is_failure(j) && j.check.level == level).count()))
        .filter(|(_, count)| *count > 0)
        .map(|(level, count)| format!("{count} {level}"))
        .collect();
    let mut parts = vec![format!("{} passed", outcome.count("pass"))];
    if !failed.is_empty() {
        let (last, first) = failed.split_last().map_or(("", &[][..]), |(last, first)| (last.as_str(), first));
        let listed = if first.is_empty() { last.to_owned() } else { format!("{} and {last}", first.join(", ")) };
        parts.push(format!("{listed} failed"));
    }
    let waived = outcome.judged.iter().filter(|j| j.waived.is_some() && matches!(j.verdict, Verdict::Fail(_))).count();
    for (count, word) in
        [(waived, "waived"), (outcome.count("broken"), "not observed"), (outcome.count("skip"), "skipped")]
    {
        if count > 0 {
            parts.push(format!("{count} {word}"));
        }
    }
    let _ = writeln!(out, "{}", parts.join(", "));
    last_line(out, outcome);
}

fn header(out: &mut String, outcome: &Outcome) {
    let command: Vec<&str> = outcome.command.iter().map(crate::observation::Text::as_str).collect();
    let command = printable(&command.join(" "));
    let place = match outcome.isolation {
        Isolation::Full => "sandboxed",
        Isolation::None => "no sandbox",
    };
    let milliseconds = outcome.duration.as_secs_f64() * 1000.0;
    let facts = format!("{} · {place} · {} starts · {milliseconds:.0} ms", outcome.profile, outcome.launches());
    let shown = if command.chars().count() > 200 {
        format!("{}...", command.chars().take(197).collect::<String>())
    } else {
        command
    };
    let gap = WIDTH.saturating_sub(shown.chars().count() + facts.chars().count());
    if gap >= 2 {
        let _ = writeln!(out, "{shown}{}{facts}\n", " ".repeat(gap));
    } else {
        let _ = writeln!(out, "{shown}\n{facts:>WIDTH$}\n");
    }
}

fn is_failure(judged: &Judged) -> bool {
    matches!(judged.verdict, Verdict::Fail(_)) && judged.waived.is_none()
}

fn one(out: &mut String, judged: &Judged, verbose: bool) {
    let check = judged.check;
    match (&judged.verdict, &judged.waived) {
        (Verdict::Fail(failure), None) => {
            line(out, BAD, "FAIL", check, &failure.actual);
            details(out, judged, failure);
        }
        (Verdict::Fail(_), Some(why)) if verbose => line(out, DULL, "waive", check, why),
        (Verdict::Pass, Some(why)) => {
            line(out, BAD, "FAIL", check, "it passes now, and the manifest still expects it to fail");
            field(out, "mend", &format!("take `{}` (\"{why}\") out of the manifest's expect", check.id));
        }
        (Verdict::Pass, None) if verbose => {
            line(out, GOOD, "pass", check, check.title);
            judged.note.iter().for_each(|note| field(out, "tried", note));
        }
        (Verdict::Skip(why), _) if verbose => line(out, DULL, "skip", check, why),
        _ => {}
    }
}

/// `FAIL  must    new-session             text`; a long name has the line to itself.
fn line(out: &mut String, style: Style, word: &str, check: &Check, text: &str) {
    let head = format!("{style}{word:<5}{style:#} {:<7} {:<width$} ", check.level, check.id, width = COLUMN - 15);
    if check.id.len() <= COLUMN - 15 {
        wrapped(out, &head, COLUMN, text);
    } else {
        let _ = writeln!(out, "{}", head.trim_end());
        wrapped(out, &" ".repeat(COLUMN), COLUMN, text);
    }
}

/// What was not observed, by reason: one cause often takes many checks with it.
fn unobserved<'a>(out: &mut String, judged: impl IntoIterator<Item = &'a Judged>) {
    let mut reasons: Vec<(&str, Vec<&str>)> = Vec::new();
    for judged in judged {
        let Verdict::Broken(why) = &judged.verdict else { continue };
        match reasons.iter_mut().find(|(reason, _)| reason == why) {
            Some((_, ids)) => ids.push(judged.check.id),
            None => reasons.push((why, vec![judged.check.id])),
        }
    }
    for (why, ids) in reasons {
        let named =
            if ids.len() <= 3 { ids.join(", ") } else { format!("{} and {} more", ids[..2].join(", "), ids.len() - 2) };
        wrapped(out, &format!("{DULL}?{DULL:#}     "), 6, &format!("{why}: {named}"));
    }
}

/// What systemd made of it.
fn testimony(out: &mut String, outcome: &Outcome) {
    let Some(testimony) = &outcome.witness else { return };
    for Line { tone, text, fields } in witness::lines(testimony) {
        let (style, word) = match tone {
            Tone::Good => (GOOD, "init"),
            Tone::Dull => (DULL, "init"),
            Tone::Bad => (BAD, "INIT"),
        };
        wrapped(out, &format!("{style}{word:<5}{style:#} "), 6, &text);
        fields.iter().take(6).for_each(|(name, value)| field(out, name, value));
    }
    out.push('\n');
}

fn details(out: &mut String, judged: &Judged, failure: &Failure) {
    let check = judged.check;
    field(out, "expected", &failure.expected);
    let evidence: Vec<&String> = failure.evidence.iter().filter(|e| **e != failure.actual).collect();
    for evidence in evidence.iter().take(5) {
        field(out, "seen", evidence);
    }
    if evidence.len() > 5 {
        field(out, "seen", &format!("and {} more like it", evidence.len() - 5));
    }
    judged.note.iter().for_each(|note| field(out, "tried", note));
    field(out, "mend", check.remedy);
    field(out, "source", check.sources.first().copied().unwrap_or_default());
    out.push('\n');
}

fn field(out: &mut String, name: &str, value: &str) {
    wrapped(out, &format!("{:14}{name:<9} ", ""), INDENT, value);
}

/// Writes `head` and then `text`, broken at spaces so that it ends by the eightieth column and continues at `indent`.
pub(crate) fn wrapped(out: &mut String, head: &str, indent: usize, text: &str) {
    let text = printable(text);
    let room = WIDTH - indent;
    out.push_str(head);
    let mut used = 0;
    for (index, word) in text.split(' ').enumerate() {
        let width = word.chars().count();
        if index > 0 && used + 1 + width > room {
            while out.ends_with(' ') {
                out.pop();
            }
            let _ = write!(out, "\n{:indent$}", "");
            used = 0;
        } else if index > 0 {
            out.push(' ');
            used += 1;
        }
        out.push_str(word);
        used += width;
    }
    while out.ends_with(' ') {
        out.pop();
    }
    out.push('\n');
}

fn last_line(out: &mut String, outcome: &Outcome) {
    let name = printable(&outcome.name);
    let next = |judged: &Judged| format!("daemonspec explain {}", judged.check.id);
    let (verdict, hint) = match outcome.exit_code() {
        0 => {
            let failing = outcome.judged.iter().find(|j| is_failure(j));
            (format!("{name} conforms."), failing.map(next).unwrap_or_default())
        }
        1 => (format!("{name} does not conform."), outcome.failures().next().map(next).unwrap_or_default()),
        _ => {
            let unseen = outcome.judged.iter().find(|j| matches!(j.verdict, Verdict::Broken(_)));
            (format!("{name} could not be judged."), unseen.map(next).unwrap_or_default())
        }
    };
    let gap = WIDTH.saturating_sub(verdict.chars().count() + hint.chars().count()).max(2);
    let _ = writeln!(out, "{}", format!("{verdict}{}{hint}", " ".repeat(gap)).trim_end());
}

/// The catalogue as a list for a person.
pub fn list(checks: &[&'static Check]) -> String {
    let mut out = String::new();
    let mut family = None;
    for check in checks {
        if family != Some(check.family) {
            let _ = writeln!(out, "{}{}", if family.is_some() { "\n" } else { "" }, check.family);
            family = Some(check.family);
        }
        wrapped(&mut out, &format!("  {:<7} {:<29} ", check.level, check.id), COLUMN, check.title);
    }
    out
}
