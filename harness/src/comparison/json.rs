//! The JSON of a comparison. Its types are its schema.

use super::{Comparison, Figures, Quantity, in_ms, times};
use crate::check::Profile;
use crate::observation::{Isolation, Text};
use crate::report::json::pretty;
use crate::run::Timings;
use crate::statistics::{Ratio, Summary};
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;

/// The version that readers may rely on.
pub const SCHEMA: &str = "daemonspec-bench/1";

/// What `daemonspec bench --format json` writes.
#[derive(Debug, Serialize, JsonSchema)]
struct Report<'a> {
    /// The version of this format. What it names stays; readers have to bear additions.
    #[schemars(schema_with = "version")]
    schema: &'static str,
    /// Rounds that counted: so often each daemon was started.
    runs: usize,
    /// Rounds before those.
    warm_up: u32,
    /// What the order within each round was drawn from.
    seed: u64,
    /// The daemons; the others are compared with the first.
    daemons: Vec<Daemon<'a>>,
    /// What everybody should know before a figure is believed.
    warnings: Vec<String>,
}

/// One daemon.
#[derive(Debug, Serialize, JsonSchema)]
struct Daemon<'a> {
    /// Its name in the manifest, or that of its program.
    name: &'a str,
    /// Its command, word by word.
    command: Vec<&'a str>,
    /// What kind of daemon it is.
    #[schemars(schema_with = "profile")]
    profile: &'static str,
    /// How much of a sandbox there was.
    #[schemars(schema_with = "isolation")]
    isolation: String,
    /// Its PID file, declared or found.
    pidfile: Option<String>,
    /// What else "ready" means, as `--ready` writes it.
    ready_when: &'a [String],
    /// From start to the launcher's exit; null where the daemon stays in the foreground.
    exit: Option<Times>,
    /// From start to ready; null where nothing says what that is.
    ready: Option<Times>,
    /// Whole starts, sandboxes made and left, in milliseconds, in the order of the rounds.
    whole_ms: Vec<f64>,
}

/// One thing that was timed.
#[derive(Debug, Serialize, JsonSchema)]
struct Times {
    /// Half of the times are below.
    median_ms: f64,
    /// A quarter of them is below.
    lower_quartile_ms: f64,
    /// A quarter of them is above.
    upper_quartile_ms: f64,
    /// The least.
    minimum_ms: f64,
    /// The greatest.
    maximum_ms: f64,
    /// How many are further from the quartiles than three times the distance between those.
    outliers: usize,
    /// How many times as long as the first daemon takes; null for that.
    ratio: Option<Compared>,
    /// All times, in the order of the rounds.
    times_ms: Vec<f64>,
}

/// A ratio.
#[derive(Debug, Serialize, JsonSchema)]
struct Compared {
    /// The median of the rounds' ratios.
    value: f64,
    /// The lower end of its 95% confidence interval.
    low: f64,
    /// The upper end.
    high: f64,
}

fn version(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "const": SCHEMA })
}

fn profile(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "enum": Profile::ALL.iter().map(|profile| profile.as_str()).collect::<Vec<_>>() })
}

fn isolation(_: &mut SchemaGenerator) -> Schema {
    let words = [Isolation::Full, Isolation::None].map(|isolation| isolation.to_string());
    json_schema!({ "type": "string", "enum": words })
}

/// The JSON Schema of [`report`].
pub fn schema() -> String {
    pretty(&SchemaSettings::draft2020_12().for_serialize().into_generator().into_root_schema_for::<Report<'static>>())
}

/// The comparison as JSON.
pub fn report(comparison: &Comparison<'_>) -> String {
    let benched = comparison.benched;
    pretty(&Report {
        schema: SCHEMA,
        runs: comparison.runs(),
        warm_up: benched.warm_up,
        seed: benched.seed,
        daemons: benched.daemons.iter().enumerate().map(|(index, one)| daemon(comparison, index, one)).collect(),
        warnings: comparison.warnings(),
    })
}

fn daemon<'a>(comparison: &'a Comparison<'_>, index: usize, daemon: &'a Timings) -> Daemon<'a> {
    let of = |quantity: Quantity| {
        let mut all = comparison.each().filter(|(other, _)| *other == quantity).map(|(_, figures)| figures);
        all.find(|figures| figures.daemon == index).map(|figures| timed(figures, &times(daemon, quantity)))
    };
    Daemon {
        name: &daemon.name,
        command: daemon.command.iter().map(Text::as_str).collect(),
        profile: daemon.profile.as_str(),
        isolation: daemon.isolation.to_string(),
        pidfile: daemon.pidfile.as_ref().map(|path| path.to_string_lossy().into_owned()),
        ready_when: &daemon.ready,
        exit: of(Quantity::Exit),
        ready: of(Quantity::Ready),
        whole_ms: daemon.starts.iter().map(|start| rounded(in_ms(start.whole))).collect(),
    }
}

fn timed(figures: &Figures, times: &[f64]) -> Times {
    let Summary { minimum, lower, median, upper, maximum, outliers, .. } = figures.summary;
    Times {
        median_ms: rounded(median),
        lower_quartile_ms: rounded(lower),
        upper_quartile_ms: rounded(upper),
        minimum_ms: rounded(minimum),
        maximum_ms: rounded(maximum),
        outliers,
        ratio: figures.ratio.map(|Ratio { value, interval }| Compared {
            value: rounded(value),
            low: rounded(interval.low),
            high: rounded(interval.high),
        }),
        times_ms: times.iter().copied().map(rounded).collect(),
    }
}

/// To a ten-thousandth: no clock here is better.
fn rounded(value: f64) -> f64 {
    (value * 10_000.0).round() / 10_000.0
}
