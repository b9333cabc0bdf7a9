//! `daemonspec bench` from end to end: the structure of what it says, never a figure.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use assert_cmd::Command;
use daemonspec::comparison::json;
use daemonspec_tests::programs::program;
use predicates::prelude::*;
use predicates::str::{contains, ends_with, is_empty, is_match, starts_with};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

const SCHEMA: &str = include_str!("../../docs/schema/bench.json");

fn bench() -> Command {
    let mut command = Command::new(program("daemonspec"));
    command.env_remove("CLICOLOR_FORCE").env_remove("NO_COLOR").arg("bench");
    command
}

/// The reference daemon with files of that name.
fn reference(name: &str) -> Vec<String> {
    let program = program("reference-daemon").to_string_lossy().into_owned();
    [program, "--pid-file".into(), format!("{{dir}}/{name}.pid"), "--log-file".into(), format!("{{dir}}/{name}.log")]
        .into()
}

fn one_line() -> impl Predicate<str> {
    is_match(r"\A[^\n]+\n\z").unwrap()
}

/// Runs it with `--format json`, and holds what it says against the committed schema.
fn figures(arguments: &[&str], command: &[String]) -> Value {
    let mut bench = bench();
    bench.args(["--format", "json"]).args(arguments);
    if !command.is_empty() {
        bench.arg("--").args(command);
    }
    let output = bench.assert().code(0).get_output().stdout.clone();
    let report: Value = serde_json::from_slice(&output).unwrap();
    let validator = jsonschema::validator_for(&serde_json::from_str(SCHEMA).unwrap()).unwrap();
    let errors: Vec<String> = validator.iter_errors(&report).map(|e| format!("{}: {e}", e.instance_path())).collect();
    assert!(errors.is_empty(), "{errors:#?}");
    report
}

fn count(times: &Value) -> usize {
    times["times_ms"].as_array().unwrap().len()
}

#[test]
fn daemons_are_started_in_turn_and_compared_with_the_first() {
    let other = reference("other").join(" ");
    // Neither PID file is named: each one's own is found.
    let report = figures(&["--runs", "4", "--warm-up", "1", "--versus", &other], &reference("one"));
    assert_eq!((&report["schema"], &report["runs"]), (&json::SCHEMA.into(), &4.into()));
    let [one, other] = report["daemons"].as_array().unwrap().as_slice() else { panic!("two daemons") };
    for (daemon, pidfile) in [(one, "/daemonspec/one.pid"), (other, "/daemonspec/other.pid")] {
        assert_eq!(daemon["pidfile"], pidfile);
        assert_eq!((count(&daemon["exit"]), count(&daemon["ready"])), (4, 4));
        assert_eq!(daemon["isolation"], "full");
        for times in [&daemon["exit"], &daemon["ready"]] {
            let [least, median, most] =
                ["minimum_ms", "median_ms", "maximum_ms"].map(|key| times[key].as_f64().unwrap());
            assert!(0.0 < least && least <= median && median <= most, "{times}");
        }
    }
    assert!(one["exit"]["ratio"].is_null() && one["ready"]["ratio"].is_null());
    let ratio = &other["exit"]["ratio"];
    let [low, value, high] = ["low", "value", "high"].map(|key| ratio[key].as_f64().unwrap());
    assert!(low <= value && value <= high, "{ratio}");
}

#[test]
fn every_format_goes_where_it_is_told() {
    let directory = tempfile::tempdir().unwrap();
    for (format, begins, ends) in [
        ("terminal", "reference-daemon: ", "\n"),
        ("json", "{\n", "}\n"),
        ("markdown", "## How ", "\n"),
        ("html", "<!doctype html>\n", "</html>\n"),
    ] {
        let whole = || starts_with(begins).and(ends_with(ends));
        let options = ["--runs", "2", "--warm-up", "0", "--format", format];
        let mut run = bench();
        run.args(options).arg("--").args(reference("d"));
        run.assert().code(0).stdout(whole()).stderr(is_empty());
        let file = directory.path().join(format);
        let mut run = bench();
        run.args(options).arg("--output").arg(&file).arg("--").args(reference("d"));
        run.assert().code(0).stdout(is_empty()).stderr(is_empty());
        assert!(whole().eval(&fs::read_to_string(&file).unwrap()), "{format}");
    }
    let file = directory.path().join("none");
    bench().args(["--output"]).arg(&file).args(["--", "false"]).assert().code(3).stdout(is_empty());
    assert!(!file.exists(), "it is written whole or not at all");
}

#[test]
fn the_daemons_of_a_manifest_have_options_of_their_own() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("daemons.toml");
    let program = program("reference-daemon");
    let entry = |name: &str, more: &str| {
        format!(
            "[daemon.{name}]\ncommand = [{program:?}, \"--pid-file\", \"{{dir}}/{name}.pid\", {more}]\npidfile = \"{{dir}}/{name}.pid\"\n"
        )
    };
    let background = entry("background", "\"--log-file\", \"{dir}/d.log\"");
    let foreground = entry("foreground", "\"--foreground\"") + "profile = \"foreground\"\nready = [\"notify\"]\n";
    fs::write(&path, background + &foreground).unwrap();
    let path = path.to_str().unwrap();
    let report = figures(&["--runs", "3", "--manifest", path, "foreground", "background"], &[]);
    let [foreground, background] = report["daemons"].as_array().unwrap().as_slice() else { panic!("two daemons") };
    assert_eq!((&foreground["name"], &background["name"]), (&"foreground".into(), &"background".into()));
    // It is there to stay; that its supervisor hears of it is what is timed.
    assert!(foreground["exit"].is_null());
    assert_eq!((count(&foreground["ready"]), count(&background["ready"])), (3, 3));
    assert_eq!(foreground["ready_when"], serde_json::json!(["notify"]));
    assert!(background["exit"]["ratio"].is_null(), "there is nothing to compare it with");
    assert!(background["ready"]["ratio"].is_object());
    bench().args(["--manifest", path, "nobody"]).assert().code(2).stderr(contains("nobody").and(one_line()));
}

#[test]
fn what_is_ready_later_than_its_launcher_ends_is_waited_for() {
    // A file that comes after a directory that has to come first, a socket, a port: each by another event, or by looking.
    let line = "reference-daemon --pid-file {dir}/d.pid --log-file {dir}/d.log; \
                (mkdir {dir}/a {dir}/a/b; echo > {dir}/a/b/ready) </dev/null >/dev/null 2>&1 &";
    let line = line.replace("reference-daemon", &program("reference-daemon").to_string_lossy());
    let command = ["sh", "-c", &line].map(str::to_owned);
    let report = figures(&["--runs", "2", "--ready", "file:{dir}/a/b/ready", "--pidfile", "{dir}/d.pid"], &command);
    assert_eq!(count(&report["daemons"][0]["ready"]), 2);
}

#[test]
fn a_start_that_fails_is_named() {
    let directory = tempfile::tempdir().unwrap();
    // On the machine itself it can tell how often it was started.
    let script = format!(
        "echo >> {count}; [ $(wc -l < {count}) -lt 4 ] || {{ echo no more >&2; exit 7; }}; exec {program} --pid-file {pid} --log-file {log}",
        count = directory.path().join("count").display(),
        program = program("reference-daemon").display(),
        pid = directory.path().join("d.pid").display(),
        log = directory.path().join("d.log").display(),
    );
    let pidfile = directory.path().join("d.pid");
    let mut run = bench();
    run.args(["--isolation", "none", "--runs", "5", "--warm-up", "1", "--pidfile"]).arg(&pidfile);
    // One watched, one to warm up, one that counts.
    let line = contains("round 2 of 5: its launcher ended with status 7: no more").and(one_line());
    run.args(["--", "sh", "-c", &script]).assert().code(3).stdout(is_empty()).stderr(line);
    assert!(!pidfile.exists());
}

#[test]
fn what_is_never_ready_or_stays_is_said_to() {
    let never = ["--timeout", "1", "--ready", "file:/never", "--"];
    let line = contains("it was not ready within 1 s (--timeout): no file is at /never").and(one_line());
    bench().args(never).args(reference("d")).assert().code(3).stdout(is_empty()).stderr(line);
    let line = contains("its launcher did not end within 1 s").and(contains("--profile foreground")).and(one_line());
    let stays = ["--timeout", "1", "--pidfile", "/run/x.pid", "--", "sleep", "1000"];
    bench().args(stays).assert().code(3).stdout(is_empty()).stderr(line);
}

/// Processes that carry `mark` in their environment, in whatever namespace.
fn marked(mark: &str) -> usize {
    let wanted = format!("DAEMONSPEC_TEST_MARK={mark}");
    let all = fs::read_dir("/proc").unwrap().flatten();
    let environments = all.filter_map(|entry| fs::read(entry.path().join("environ")).ok());
    environments.filter(|environ| environ.split(|b| *b == 0).any(|variable| variable == wanted.as_bytes())).count()
}

fn names(directory: &Path) -> Vec<std::ffi::OsString> {
    let mut names: Vec<_> = fs::read_dir(directory).unwrap().flatten().map(|entry| entry.file_name()).collect();
    names.sort();
    names
}

#[test]
fn interrupted_it_leaves_nothing() {
    let temporary = tempfile::tempdir().unwrap();
    for isolation in ["full", "none"] {
        let mark = format!("bench-{isolation}-{}", std::process::id());
        let mut child = std::process::Command::new(program("daemonspec"))
            .args(["bench", "--runs", "100000", "--isolation", isolation, "--pidfile", "{dir}/d.pid", "--"])
            .args(reference("d"))
            .env("DAEMONSPEC_TEST_MARK", &mark)
            .env("TMPDIR", temporary.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        while marked(&mark) < 3 {
            assert!(Instant::now() < deadline, "no start was seen");
            std::thread::yield_now();
        }
        let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(130));
        assert_eq!(marked(&mark), 0, "it exits only when everything it started is gone");
        assert_eq!(names(temporary.path()), Vec::<std::ffi::OsString>::new());
    }
}
