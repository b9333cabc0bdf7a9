//! Manifests from end to end: `init` writes one that gives the verdicts of a run by hand, and what the command line says wins.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use assert_cmd::Command;
use assert_cmd::assert::Assert;
use daemonspec::manifest;
use daemonspec_tests::programs::program;
use predicates::prelude::*;
use predicates::str::{contains, is_empty, is_match, starts_with};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

fn daemonspec() -> Command {
    let mut command = Command::new(program("daemonspec"));
    command.env_remove("CLICOLOR_FORCE").env_remove("NO_COLOR");
    command
}

fn one_line() -> impl Predicate<str> {
    is_match(r"\A[^\n]+\n\z").unwrap()
}

fn stdout(assert: &Assert) -> String {
    String::from_utf8(assert.get_output().stdout.clone()).unwrap()
}

/// A directory with a manifest of this text in it.
fn manifest(text: &str) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("daemonspec.toml");
    fs::write(&path, text).unwrap();
    (dir, path)
}

fn check(path: &Path) -> Command {
    let mut command = daemonspec();
    command.args(["check", "--manifest"]).arg(path);
    command
}

/// Each subject's verdicts, by its name and the check's.
fn verdicts(assert: &Assert) -> BTreeMap<(String, String), String> {
    let report: serde_json::Value = serde_json::from_str(&stdout(assert)).unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let mut found = BTreeMap::new();
    for subject in report["subjects"].as_array().unwrap() {
        for check in subject["checks"].as_array().unwrap() {
            found.insert((text(&subject["name"]), text(&check["id"])), text(&check["verdict"]));
        }
    }
    found
}

/// The verdicts by hand are those of the manifest that `init` writes.
fn init_gives_the_same_verdicts(command: &[&str]) {
    let written = daemonspec().args(["init", "--"]).args(command).assert().code(0).stderr(is_empty());
    let (_dir, path) = manifest(&stdout(&written));
    let entries = manifest::read(&path, &[]).unwrap();
    assert_eq!(entries[0].subject.pidfile, Some("{dir}/d.pid".into()));
    assert_eq!(entries[0].subject.log, Some("{dir}/d.log".into()));
    let by_hand = verdicts(&daemonspec().args(["check", "--format", "json", "--"]).args(command).assert());
    let by_manifest = verdicts(&check(&path).args(["--format", "json"]).assert());
    assert_eq!(by_hand, by_manifest);
}

#[test]
fn init_describes_the_reference_daemon() {
    let daemon = program("reference-daemon");
    let daemon = daemon.to_str().unwrap();
    init_gives_the_same_verdicts(&[daemon, "--pid-file", "{dir}/d.pid", "--log-file", "{dir}/d.log"]);
}

#[test]
fn init_describes_a_defective_daemon() {
    let daemon = env!("CARGO_BIN_EXE_defective-daemon");
    init_gives_the_same_verdicts(&[daemon, "one-fork", "--pid-file", "{dir}/d.pid", "--log-file", "{dir}/d.log"]);
}

#[test]
fn init_tells_what_stays_in_the_foreground() {
    let script =
        "import socket, time; s = socket.socket(socket.AF_UNIX); s.bind('/run/d.sock'); s.listen(); time.sleep(999)";
    let init = |arguments: &[&str]| daemonspec().args(["init", "--name", "my daemon"]).args(arguments).assert().code(0);
    init(&["--timeout", "1", "--", "sleep", "1000"]).stdout(contains("\nprofile = \"foreground\"\n"));
    init(&["--profile", "foreground", "--", "python3", "-c", script]).stdout(
        contains("[daemon.\"my daemon\"]\n")
            .and(contains("\nprofile = \"foreground\"\n"))
            .and(contains("\nready = [\"unix:/run/d.sock\"]\n")),
    );
}

#[test]
fn init_says_why_there_is_nothing_to_write() {
    for (command, code, words) in [
        (&["no-such-command-at-all"][..], 3, "cannot start `no-such-command-at-all`: no such command on PATH"),
        (&["sh", "-c", "echo oh no >&2; exit 4"], 3, "no daemon was left, and the start ended with status 4: oh no"),
    ] {
        let assert = daemonspec().args(["init", "--"]).args(command).assert().code(code);
        assert.stdout(is_empty()).stderr(contains(words).and(one_line()));
    }
    use std::os::unix::ffi::OsStrExt;
    let word = std::ffi::OsStr::from_bytes(b"caf\xe9");
    let assert = daemonspec().args(["init", "--", "true"]).arg(word).assert().code(2);
    assert.stdout(is_empty()).stderr(contains("word 2 of the command is not UTF-8").and(one_line()));
    daemonspec().arg("init").assert().code(2).stderr(contains("not provided: <COMMAND>...").and(one_line()));
}

#[test]
fn init_writes_over_nothing_unasked() {
    let (dir, path) = manifest("old");
    let daemon = program("reference-daemon");
    let init = |arguments: &[&str]| {
        let mut command = daemonspec();
        command.arg("init").args(arguments).arg("--output").arg(&path).arg("--").arg(daemon);
        command.args(["--pid-file", "{dir}/d.pid", "--log-file", "{dir}/d.log"]).assert()
    };
    init(&[])
        .code(2)
        .stdout(is_empty())
        .stderr(contains("it is there already; --force writes over it").and(one_line()));
    assert_eq!(fs::read_to_string(&path).unwrap(), "old");
    init(&["--force"]).code(0).stdout(is_empty());
    assert!(manifest::read(&path, &[]).is_ok());
    fs::remove_file(&path).unwrap();
    init(&[]).code(0).stdout(is_empty());
    assert!(manifest::read(&path, &[]).is_ok());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing else is left there");
}

/// Three that are no daemons, and are soon judged.
const THREE: &str = r#"
[daemon.a]
command = ["true"]
level = "should"
only = ["daemon-stays-up"]
[daemon.b]
command = ["true"]
profile = "article"
env = { STATUS = "0" }
skip = ["new-session"]
[daemon.c]
command = ["sh", "-c", "exit $STATUS"]
env.STATUS = "3"
only = ["daemon-stays-up", "launcher-exits"]
"#;

#[test]
fn names_keep_the_order_in_which_they_were_given() {
    let (_dir, path) = manifest(THREE);
    let assert = check(&path).args(["--only", "launcher-exits", "--format", "json", "c", "a"]).assert().code(0);
    let text = stdout(&assert);
    let places = ["\"c\"", "\"a\""].map(|name| text.find(&format!("\"name\": {name}")).unwrap());
    assert!(places[0] < places[1], "{text}");
    assert!(!text.contains("\"name\": \"b\""));
    check(&path).arg("d").assert().code(2).stderr(contains("no daemon named `d`").and(one_line()));
}

#[test]
fn the_manifest_says_how_to_judge_and_the_command_line_says_otherwise() {
    let (_dir, path) = manifest(THREE);
    let ids = |arguments: &[&str], daemon: &str| -> Vec<String> {
        let assert = check(&path).args(["--format", "json", daemon]).args(arguments).assert();
        verdicts(&assert).into_keys().map(|(_, id)| id).collect()
    };
    assert_eq!(ids(&[], "a"), ["daemon-stays-up"]);
    assert_eq!(ids(&["--only", "launcher-exits"], "a"), ["launcher-exits"]);
    let article = ids(&[], "b");
    assert!(
        article.contains(&"log-appended".to_owned()) && !article.contains(&"new-session".to_owned()),
        "{article:?}"
    );
    assert!(ids(&["--skip", "log-appended"], "b").contains(&"new-session".to_owned()));
    assert!(ids(&["--profile", "sysv"], "b").contains(&"survives-sighup".to_owned()));
    // `env` of the command line is added, and wins.
    let status = |arguments: &[&str]| stdout(&check(&path).args(["-v", "c"]).args(arguments).assert());
    assert!(status(&[]).contains("status 3"), "{}", status(&[]));
    assert!(status(&["--env", "STATUS=4"]).contains("status 4"));
}

#[test]
fn the_level_is_the_daemon_s_unless_the_command_line_says_it() {
    let daemon = env!("CARGO_BIN_EXE_defective-daemon");
    let (_dir, path) = manifest(&format!(
        "[daemon.d]\ncommand = [\"{daemon}\", \"one-fork\", \"--pid-file\", \"{{dir}}/p\", \"--log-file\", \"{{dir}}/l\"]\n\
         level = \"should\"\nonly = [\"not-session-leader\", \"new-session\"]\n"
    ));
    check(&path).assert().code(1).stdout(contains("FAIL  should  not-session-leader"));
    check(&path).args(["--level", "must"]).assert().code(0);
}

#[test]
fn an_expected_failure_that_passes_fails_the_run() {
    let text = |expect: &str| {
        format!(
            "[daemon.d]\ncommand = [\"true\"]\nonly = [\"launcher-exits\", \"daemon-stays-up\"]\n[daemon.d.expect]\n{expect}\n"
        )
    };
    let (_dir, path) = manifest(&text("daemon-stays-up = \"it is no daemon\""));
    check(&path).assert().code(0).stdout(contains("1 waived"));
    let (_dir, path) = manifest(&text("daemon-stays-up = \"it is no daemon\"\nlauncher-exits = \"once it did not\""));
    check(&path).assert().code(1).stdout(contains("launcher-exits").and(contains("it passes now")));
    let (_dir, path) = manifest(&text("new-session = \"out of date\""));
    let wrong = "line 5: `expect`: `new-session` is never judged here: `only` does not name it";
    check(&path).assert().code(2).stderr(contains(wrong).and(one_line()));
}

#[test]
fn what_belongs_to_a_run_is_no_key() {
    let (_dir, path) = manifest("[daemon.d]\ncommand = [\"true\"]\nverbose = true\n");
    let words = "line 3: `verbose` belongs to a run, not to a daemon; give it on the command line, as --verbose";
    check(&path).assert().code(2).stdout(is_empty()).stderr(contains(words).and(one_line()));
    daemonspec().args(["init", "--help"]).assert().code(0).stdout(starts_with("Watch a daemon start once"));
}
