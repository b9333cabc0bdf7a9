//! The JSON of the contract. Its types are its schema.

use super::matrix::Row;
use crate::check::{Check, Family, Level, Profile, Verdict};
use crate::observation::{Isolation, Style, Text};
use crate::run::{Judged, Outcome, Recording};
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// The version that readers may rely on.
pub const SCHEMA: &str = "daemonspec/1";

/// What `check` and `matrix` write with `--format json`.
#[derive(Debug, Serialize, JsonSchema)]
struct Report<'a> {
    /// The version of this format. What it names stays; readers have to bear additions.
    #[schemars(schema_with = "version")]
    schema: &'static str,
    /// The daemons that were judged.
    subjects: Vec<Subject<'a>>,
}

/// One daemon.
#[derive(Debug, Serialize, JsonSchema)]
struct Subject<'a> {
    /// Its name in the manifest, or that of its program.
    name: &'a str,
    /// Its command, word by word.
    command: Vec<&'a str>,
    /// What kind of daemon it was judged as.
    #[schemars(schema_with = "profile")]
    profile: &'static str,
    /// How much of a sandbox there was; null where it was not judged.
    #[schemars(schema_with = "isolation")]
    isolation: Option<String>,
    /// Whether no check that counts failed, all were observed, and one passed.
    conforms: bool,
    /// How long it took.
    duration_ms: f64,
    /// How often it was started.
    launches: usize,
    /// What it is written in, where its manifest says so; in a matrix only.
    language: Option<&'a str>,
    /// What installs it, where its manifest says so; in a matrix only.
    package: Option<&'a str>,
    /// Why it could not be judged at all; in a matrix only, elsewhere there is no report then.
    reason: Option<&'a str>,
    /// How many checks came to what.
    counts: Counts,
    /// The checks, in the catalogue's order.
    checks: Vec<CheckResult<'a>>,
}

/// How many checks came to what.
#[derive(Debug, Serialize, JsonSchema)]
struct Counts {
    pass: usize,
    fail: usize,
    skip: usize,
    broken: usize,
}

/// What one check came to.
#[derive(Debug, Serialize, JsonSchema)]
struct CheckResult<'a> {
    /// Its name, for ever.
    id: &'static str,
    /// What it is about.
    #[schemars(schema_with = "family")]
    family: &'static str,
    /// How strongly it is meant.
    #[schemars(schema_with = "level")]
    level: &'static str,
    /// `skip`: it does not apply. `broken`: it could not be observed.
    #[schemars(schema_with = "verdict")]
    verdict: &'static str,
    /// What a correct daemon does.
    title: &'static str,
    /// The scenario it is judged on.
    scenario: &'static str,
    /// What a correct daemon would have shown; of failures only.
    expected: Option<&'a str>,
    /// What this one showed; of failures only.
    actual: Option<&'a str>,
    /// Where that was seen; of failures only.
    evidence: &'a [String],
    /// How to mend it; of failures only.
    remedy: Option<&'static str>,
    /// Where the promise is written.
    sources: &'static [&'static str],
    /// Why it was skipped, or could not be observed.
    reason: Option<&'a str>,
    /// Why the manifest expects it to fail. A failure is waived by that; a pass is a failure.
    waived: Option<&'a str>,
    /// How much was tried, where it is judged on many starts.
    note: Option<&'a str>,
}

/// What `daemonspec list --format json` writes.
#[derive(Debug, Serialize, JsonSchema)]
struct List {
    /// The version of this format. What it names stays; readers have to bear additions.
    #[schemars(schema_with = "version")]
    schema: &'static str,
    /// The checks, in the catalogue's order.
    checks: Vec<Listed>,
}

/// One check of the catalogue.
#[derive(Debug, Serialize, JsonSchema)]
struct Listed {
    /// Its name, for ever.
    id: &'static str,
    /// What it is about.
    #[schemars(schema_with = "family")]
    family: &'static str,
    /// How strongly it is meant.
    #[schemars(schema_with = "level")]
    level: &'static str,
    /// What a correct daemon does.
    title: &'static str,
    /// The profiles it belongs to.
    #[schemars(schema_with = "profiles")]
    profiles: Vec<&'static str>,
    /// Where the promise is written.
    sources: &'static [&'static str],
    /// The scenario it is judged on.
    scenario: &'static str,
}

// The words of the catalogue's own types, which know nothing of schemas.

fn one_of(words: &[&str]) -> Schema {
    json_schema!({ "type": "string", "enum": words })
}

fn version(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "const": SCHEMA })
}

fn profile(_: &mut SchemaGenerator) -> Schema {
    one_of(&Profile::ALL.iter().map(|p| p.as_str()).collect::<Vec<_>>())
}

fn profiles(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "array", "items": profile(generator) })
}

fn family(_: &mut SchemaGenerator) -> Schema {
    one_of(&Family::ALL.iter().map(|f| f.as_str()).collect::<Vec<_>>())
}

fn level(_: &mut SchemaGenerator) -> Schema {
    one_of(&Level::ALL.iter().map(|l| l.as_str()).collect::<Vec<_>>())
}

fn isolation(_: &mut SchemaGenerator) -> Schema {
    let [full, none] = [Isolation::Full, Isolation::None].map(|isolation| isolation.to_string());
    json_schema!({ "type": ["string", "null"], "enum": [full, none, null] })
}

fn verdict(_: &mut SchemaGenerator) -> Schema {
    one_of(&["pass", "fail", "skip", "broken"])
}

fn schema_of<T: JsonSchema>() -> String {
    pretty(&SchemaSettings::draft2020_12().for_serialize().into_generator().into_root_schema_for::<T>())
}

/// The JSON Schema of [`report`].
pub fn schema() -> String {
    schema_of::<Report<'static>>()
}

/// The JSON Schema of [`list`].
pub fn list_schema() -> String {
    schema_of::<List>()
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
        note: judged.note.as_deref(),
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
    pretty(&Report { schema: SCHEMA, subjects: outcomes.iter().map(subject).collect() })
}

/// The report on the `rows` of a matrix.
pub fn matrix(rows: &[Row]) -> String {
    let subjects = rows.iter().map(|row| {
        let judged = match &row.result {
            Ok(outcome) => subject(outcome),
            Err(why) => not_judged(row, &why.why),
        };
        Subject { language: row.language.as_deref(), package: row.package.as_deref(), ..judged }
    });
    pretty(&Report { schema: SCHEMA, subjects: subjects.collect() })
}

fn subject(outcome: &Outcome) -> Subject<'_> {
    let count = |verdict| outcome.count(verdict);
    Subject {
        name: &outcome.name,
        command: outcome.command.iter().map(Text::as_str).collect(),
        profile: outcome.profile.as_str(),
        isolation: Some(outcome.isolation.to_string()),
        conforms: outcome.conforms(),
        duration_ms: (outcome.duration.as_secs_f64() * 10_000.0).round() / 10.0,
        launches: outcome.launches(),
        language: None,
        package: None,
        reason: None,
        counts: Counts { pass: count("pass"), fail: count("fail"), skip: count("skip"), broken: count("broken") },
        checks: outcome.judged.iter().map(|judged| result(judged, outcome.recording.record.style)).collect(),
    }
}

fn not_judged<'a>(row: &'a Row, why: &'a str) -> Subject<'a> {
    Subject {
        name: &row.name,
        command: row.command.iter().map(Text::as_str).collect(),
        profile: row.profile.as_str(),
        isolation: None,
        conforms: false,
        duration_ms: 0.0,
        launches: 0,
        language: None,
        package: None,
        reason: Some(why),
        counts: Counts { pass: 0, fail: 0, skip: 0, broken: 0 },
        checks: Vec::new(),
    }
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
    // For programs, and long: no white space.
    let mut text = serde_json::to_string(&Recordings { schema: RECORDING.to_owned(), subjects }).unwrap_or_default();
    text.push('\n');
    text
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
