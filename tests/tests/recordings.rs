//! The recordings on which the checks are judged without starting anything (harness/tests/*.json): of the reference daemon,
//! in each of the ways in which it is started.
//!
//! `DAEMONSPEC_UPDATE=1 cargo test --test recordings` makes them anew, which is needed whenever an observation's type changes.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use daemonspec::report::json::read_recordings;
use daemonspec::scenario::SERIES;
use daemonspec_tests::programs::program;
use std::path::Path;
use std::process::Command;

const DIRECTORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../harness/tests");

type Words = &'static [&'static str];

/// Each file, the options that `check` is given, and whether the command is given too, with what it adds to that.
const RECORDINGS: &[(&str, Words, Option<Words>)] = &[
    ("reference.json", &[], None),
    (
        "reference-exhaustive.json",
        &["--exhaustive", "--only", "early-sigterm,startup-faults-reported,crash-anywhere-restarts"],
        None,
    ),
    ("reference-container.json", &["--profile", "container"], None),
    (
        "reference-account.json",
        &["--only", "privileges-dropped", "--user", "nobody", "--pidfile", "{dir}/d.pid"],
        Some(&["--user", "nobody", "--pid-file", "{dir}/d.pid", "--log-file", "{dir}/d.log"]),
    ),
];

fn record(options: Words, command: Option<Words>) -> String {
    let program = program("daemonspec");
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut check = Command::new(program);
    // From / and with next to no environment, so that nothing of whoever records it gets in.
    check.current_dir("/").env_clear().env("PATH", "/usr/bin:/bin").arg("check").args(options);
    check.arg("--record").arg(file.path());
    if let Some(arguments) = command {
        check.arg("--").arg(program).arg("reference-daemon").args(arguments);
    }
    let output = check.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = std::fs::read_to_string(file.path()).unwrap();
    let mut recording: serde_json::Value = serde_json::from_str(&text).unwrap();
    recording["subjects"][0]["record"]["named"] = serde_json::json!([]);
    if options.contains(&"--exhaustive") {
        thin(&mut recording["subjects"][0]["record"]["scenarios"]);
    }
    format!("{recording}\n").replace(program.to_str().unwrap(), "daemonspec")
}

/// Of the trials of each series one in ten is enough to judge the judges.
fn thin(scenarios: &mut serde_json::Value) {
    for series in SERIES {
        if let Some(seen) =
            scenarios.pointer_mut(&format!("/{}/Ok/seen", series.name)).and_then(|seen| seen.as_array_mut())
        {
            seen.retain(|one| {
                one[0].as_str().and_then(|name| name.parse().ok()).is_none_or(|trial: usize| trial % 10 == 1)
            });
        }
    }
}

#[test]
fn the_recordings_can_be_read() {
    for (name, options, command) in RECORDINGS {
        let path = Path::new(DIRECTORY).join(name);
        if std::env::var_os("DAEMONSPEC_UPDATE").is_some() {
            std::fs::write(&path, record(options, *command)).unwrap();
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let read = read_recordings(&text);
        assert!(
            read.is_ok(),
            "{name}: {:?}; DAEMONSPEC_UPDATE=1 cargo test --test recordings makes it anew",
            read.err()
        );
    }
}
