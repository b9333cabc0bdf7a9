//! Famous daemons, each verdict compared with the committed one (ci/third-party.expected.toml).
//!
//! A daemon that is not installed is shown as ignored; in CI, which installs them all, it fails.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use daemonspec::check::catalogue;
use daemonspec::manifest::{self, Entry};
use daemonspec::run::{self, Options};
use daemonspec::scenario::SERIES;
use libtest_mimic::{Arguments, Failed, Trial};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;

const MANIFEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../ci/third-party.toml");
const EXPECTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../ci/third-party.expected.toml");

/// What is expected of one daemon: check, and how that was confirmed. All others pass.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Expected {
    fail: BTreeMap<String, String>,
    skip: BTreeMap<String, String>,
}

impl Expected {
    fn allows(&self, id: &str, verdict: &str) -> bool {
        let expected = if self.fail.contains_key(id) {
            "fail"
        } else if self.skip.contains_key(id) {
            "skip"
        } else {
            "pass"
        };
        verdict == expected
    }
}

fn is_installed(program: &str) -> bool {
    let path = std::env::var("PATH").unwrap_or_default();
    let directories = path.split(':').chain(["/usr/sbin", "/sbin"]);
    Path::new(program).is_absolute() && Path::new(program).exists()
        || directories.into_iter().any(|dir| Path::new(dir).join(program).exists())
}

fn judge(entry: &Entry, expected: &Expected) -> Result<(), Failed> {
    let program = entry.subject.command[0].to_string_lossy();
    if !is_installed(&program) {
        return Err(format!("{program} is not installed; ci/field/install does that").into());
    }
    let mut subject = entry.subject.clone();
    // Ordinary users have no sbin on their PATH, and daemons live there.
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    subject.environment.push(("PATH".into(), path.into()));
    // What starts a daemon hundreds of times is tried on our own.
    let many = catalogue().filter(|check| SERIES.iter().any(|s| s.exhaustive && s.name == check.scenario));
    let options = Options {
        profile: entry.profile.unwrap_or(Options::default().profile),
        skip: many.map(|check| check.id).collect(),
        ..Options::default()
    };
    let outcome = run::check(&subject, &options, &|_| {}).map_err(|error| error.to_string())?;
    let wrong: Vec<String> = outcome
        .judged
        .iter()
        .filter(|j| !expected.allows(j.check.id, j.verdict.as_str()))
        .map(|j| format!("{}: {:?}", j.check.id, j.verdict))
        .collect();
    let ids: Vec<&str> = outcome.judged.iter().map(|j| j.check.id).collect();
    let named = expected.fail.keys().chain(expected.skip.keys());
    let unknown: Vec<&String> = named.filter(|id| !ids.contains(&id.as_str())).collect();
    if wrong.is_empty() && unknown.is_empty() {
        return Ok(());
    }
    Err(format!("other than expected: {}\nno such check: {unknown:?}", wrong.join("\n")).into())
}

fn main() {
    let arguments = Arguments::from_args();
    let entries = manifest::read(Path::new(MANIFEST), &[]).unwrap();
    let expected: BTreeMap<String, Expected> = toml::from_str(&std::fs::read_to_string(EXPECTED).unwrap()).unwrap();
    let in_ci = std::env::var_os("CI").is_some();
    let trials = entries
        .into_iter()
        .map(|entry| {
            let name = entry.subject.name.clone();
            let missing = !is_installed(&entry.subject.command[0].to_string_lossy());
            let expected = expected.get(&name).cloned().unwrap_or_default();
            Trial::test(name, move || judge(&entry, &expected)).with_ignored_flag(missing && !in_ci)
        })
        .collect();
    libtest_mimic::run(&arguments, trials).exit();
}
