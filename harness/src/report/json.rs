//! The JSON of the contract. Its types are its schema.

use crate::check::{Check, Verdict};
use crate::observation::Style;
use crate::run::{Judged, Outcome, Recording};
use serde::{Deserialize, Serialize};

/// The version that readers may rely on.
pub const SCHEMA: &str = "daemonspec/1";

#[derive(Debug, Serialize)]
struct Report<'a> {
    schema: &'static str,
    subjects: Vec<Subject<'a>>,
}

#[derive(Debug, Serialize)]
struct Subject<'a> {
    name: &'a str,
    command: Vec<&'a str>,
    profile: &'static str,
    isolation: String,
    conforms: bool,
    duration_ms: f64,
    counts: Counts,
    checks: Vec<CheckResult<'a>>,
}

#[derive(Debug, Serialize)]
struct Counts {
    pass: usize,
    fail: usize,
    skip: usize,
    broken: usize,
}

#[derive(Debug, Serialize)]
struct CheckResult<'a> {
    id: &'static str,
    family: &'static str,
    level: &'static str,
    verdict: &'static str,
    title: &'static str,
    scenario: &'static str,
    expected: Option<&'a str>,
    actual: Option<&'a str>,
    evidence: &'a [String],
    remedy: Option<&'static str>,
    sources: &'static [&'static str],
    reason: Option<&'a str>,
    waived: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct List {
    schema: &'static str,
    checks: Vec<Listed>,
}

#[derive(Debug, Serialize)]
struct Listed {
    id: &'static str,
    family: &'static str,
    level: &'static str,
    title: &'static str,
    profiles: Vec<&'static str>,
    sources: &'static [&'static str],
    scenario: &'static str,
}

fn result(judged: &Judged, style: Style) -> CheckResult<'_> {
    let failure = match &judged.verdict {
        Verdict::Fail(failure) => Some(failure),
        _ => None,
    };
    let reason = match &judged.verdict {
        Verdict::Skip(why) | Verdict::Broken(why) => Some(why.as_str()),
        _ => None,
    };
    let check = judged.check;
    CheckResult {
        id: check.id,
        family: check.family.as_str(),
        level: check.level.as_str(),
        verdict: judged.verdict.as_str(),
        title: check.title,
        scenario: check.scenario(style),
        expected: failure.map(|f| f.expected.as_str()),
        actual: failure.map(|f| f.actual.as_str()),
        evidence: failure.map_or(&[], |f| &f.evidence),
        remedy: failure.map(|_| check.remedy),
        sources: check.sources,
        reason,
        waived: judged.waived.as_deref(),
    }
}

fn pretty(value: &impl Serialize) -> String {
    // These types have no maps with keys that are no strings, the only way in which this can fail.
    let mut text = serde_json::to_string_pretty(value).unwrap_or_default();
    text.push('\n');
    text
}

/// The report on `outcomes`.
pub fn report(outcomes: &[Outcome]) -> String {
    let subject = |o: &'_ Outcome| -> (f64, Counts) {
        let counts =
            Counts { pass: o.count("pass"), fail: o.count("fail"), skip: o.count("skip"), broken: o.count("broken") };
        ((o.duration.as_secs_f64() * 10_000.0).round() / 10.0, counts)
    };
    let subjects = outcomes
        .iter()
        .map(|o| {
            let (duration_ms, counts) = subject(o);
            Subject {
                name: &o.name,
                command: o.command.iter().map(crate::observation::Text::as_str).collect(),
                profile: o.profile.as_str(),
                isolation: o.isolation.to_string(),
                conforms: o.conforms(),
                duration_ms,
                counts,
                checks: o.judged.iter().map(|judged| result(judged, o.recording.record.style)).collect(),
            }
        })
        .collect();
    pretty(&Report { schema: SCHEMA, subjects })
}

/// What was seen of some subjects, as a file.
#[derive(Debug, Serialize, Deserialize)]
struct Recordings {
    schema: String,
    subjects: Vec<Recording>,
}

/// The version of recordings.
const RECORDING: &str = "daemonspec-recording/1";

/// Writes what was seen of the `outcomes`, so that [`read_recordings`] can have it judged again.
pub fn recordings(outcomes: &[Outcome]) -> String {
    let subjects = outcomes.iter().map(|o| o.recording.clone()).collect();
    pretty(&Recordings { schema: RECORDING.to_owned(), subjects })
}

/// Reads what [`recordings`] wrote.
///
/// # Errors
/// One line that says what is wrong with the text.
pub fn read_recordings(text: &str) -> Result<Vec<Recording>, String> {
    let recordings: Recordings = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if recordings.schema != RECORDING {
        return Err(format!(
            "its schema is `{}`, and this version reads `{RECORDING}`",
            recordings.schema.escape_debug()
        ));
    }
    if recordings.subjects.is_empty() {
        return Err("it holds no subject".to_owned());
    }
    Ok(recordings.subjects)
}

/// The catalogue, or a part of it.
pub fn list(checks: &[&'static Check]) -> String {
    let checks = checks
        .iter()
        .map(|c| Listed {
            id: c.id,
            family: c.family.as_str(),
            level: c.level.as_str(),
            title: c.title,
            profiles: c.profiles.iter().map(|p| p.as_str()).collect(),
            sources: c.sources,
            scenario: c.scenario,
        })
        .collect();
    pretty(&List { schema: SCHEMA, checks })
}
