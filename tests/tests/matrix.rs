//! `daemonspec matrix` from end to end: the verdicts are those of `check`, nobody is left out, and nothing is left behind.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use assert_cmd::Command;
use daemonspec_tests::programs::program;
use predicates::prelude::*;
use predicates::str::{contains, is_empty, is_match};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tempfile::TempDir;

fn matrix(arguments: &[&str], manifests: &[&Path]) -> Command {
    let mut command = Command::new(program("daemonspec"));
    command.env_remove("CLICOLOR_FORCE").env_remove("NO_COLOR");
    command.arg("matrix").args(arguments).arg("--manifest").args(manifests);
    command
}

/// A directory with a manifest of this text in it.
fn manifest(text: &str) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("daemonspec.toml");
    fs::write(&path, text).unwrap();
    (dir, path)
}

fn one_line() -> impl Predicate<str> {
    is_match(r"\A[^\n]+\n\z").unwrap()
}

/// A daemon with that defect, under that name.
fn daemon(name: &str, defect: &str) -> String {
    let daemon = env!("CARGO_BIN_EXE_defective-daemon");
    format!(
        "[daemon.{name}]\nlanguage = \"Rust\"\n\
         command = [\"{daemon}\", \"{defect}\", \"--pid-file\", \"{{dir}}/p\", \"--log-file\", \"{{dir}}/l\"]\n"
    )
}

fn json(command: &mut Command) -> Value {
    serde_json::from_slice(&command.args(["--format", "json"]).output().unwrap().stdout).unwrap()
}

#[test]
fn the_verdicts_are_those_of_check() {
    let text = [daemon("a", "one-fork"), daemon("b", "no-setsid"), daemon("c", "no-chdir")].concat();
    let (_dir, path) = manifest(&text);
    let mut check = Command::new(program("daemonspec"));
    let one_by_one = json(check.args(["check", "--manifest"]).arg(&path));
    let mut side_by_side = json(&mut matrix(&["--jobs", "3"], &[&path]));
    for (subject, other) in
        side_by_side["subjects"].as_array_mut().unwrap().iter_mut().zip(one_by_one["subjects"].as_array().unwrap())
    {
        assert_eq!(subject["language"].take(), "Rust");
        assert!(other["language"].is_null());
        subject["duration_ms"] = other["duration_ms"].clone();
        assert_eq!(subject["launches"], other["launches"]);
        let verdicts = |subject: &Value| -> Vec<(Value, Value)> {
            let checks = subject["checks"].as_array().unwrap();
            checks.iter().map(|check| (check["id"].clone(), check["verdict"].clone())).collect()
        };
        assert_eq!(verdicts(subject), verdicts(other), "{}", other["name"]);
    }
    assert_eq!(side_by_side["subjects"].as_array().unwrap().len(), 3);
}

#[test]
fn nobody_is_left_out() {
    let text = "[daemon.gone]\ncommand = ['no-such-command-at-all']\n[daemon.fails]\ncommand = ['true']\n\
                setup = 'echo no such module >&2; exit 4'\n[daemon.there]\ncommand = ['true']\n";
    let (_dir, path) = manifest(text);
    let only = ["--only", "launcher-exits"];
    let report = json(&mut matrix(&only, &[&path]));
    let reasons: Vec<Option<&str>> =
        report["subjects"].as_array().unwrap().iter().map(|subject| subject["reason"].as_str()).collect();
    assert_eq!(reasons[0], Some("cannot start `no-such-command-at-all`: no such command on PATH"));
    assert!(reasons[1].unwrap().contains("its setup line ended with status 4: no such module"), "{reasons:?}");
    assert_eq!(reasons[2], None);

    for format in ["terminal", "markdown", "html"] {
        let assert = matrix(&only, &[&path]).args(["--format", format]).assert().code(3).stderr(is_empty());
        assert.stdout(contains("no such command on").and(contains("no such module")));
    }
    matrix(&["gone", "there", "--skip-missing"], &[&path]).args(only).assert().code(0).stdout(contains("gone"));
    matrix(&["gone", "--skip-missing"], &[&path]).args(only).assert().code(3);
    matrix(&["fails", "there", "--skip-missing"], &[&path]).args(only).assert().code(3);
    // What failed decides.
    matrix(&["--only", "daemon-stays-up"], &[&path]).assert().code(1);
}

#[test]
fn daemons_of_several_manifests_are_rows_of_one_table() {
    let (_a, first) = manifest("[daemon.a]\ncommand = ['true']\n[daemon.b]\ncommand = ['true']\n");
    let (_b, second) = manifest("[daemon.c]\ncommand = ['true']\nprofile = 'foreground'\n");
    let names = |arguments: &[&str]| -> Vec<String> {
        let report = json(matrix(arguments, &[&first, &second]).args(["--only", "launcher-exits"]));
        let subjects = report["subjects"].as_array().unwrap();
        subjects.iter().map(|subject| subject["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&[]), ["a", "b", "c"]);
    assert_eq!(names(&["c", "a", "c"]), ["c", "a"]);
    let wrong = matrix(&["d"], &[&first, &second]).assert().code(2).stdout(is_empty());
    wrong.stderr(contains("no daemon named `d`").and(one_line()));
    matrix(&[], &[&first, Path::new("a")]).assert().code(2).stderr(contains("daemons are named before --manifest"));
    let (_c, wrong) = manifest("[daemon.a]\ncommand = ['true']\npidfil = 'x'\n");
    matrix(&[], &[&first, &wrong]).assert().code(2).stderr(contains("line 3: no key named `pidfil`").and(one_line()));
}

#[test]
fn a_table_is_written_whole_or_not_at_all() {
    let (dir, path) = manifest("[daemon.a]\ncommand = ['true']\n");
    let output = dir.path().join("field.html");
    let only = ["--only", "launcher-exits", "--format", "html", "--output"];
    matrix(&only, &[]).arg(&path).assert().code(2);
    let write = |to: &Path| {
        let mut command = Command::new(program("daemonspec"));
        command.args(["matrix", "--manifest"]).arg(&path).args(only).arg(to).assert()
    };
    write(&output).code(0).stdout(is_empty()).stderr(is_empty());
    assert!(fs::read_to_string(&output).unwrap().ends_with("</html>\n"));
    write(&dir.path().join("no/such/directory")).code(2).stdout(is_empty()).stderr(one_line());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "nothing else is left there");
}

/// On the machine itself these two would find each other's PID file.
#[test]
fn without_isolation_they_do_not_meet() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = env!("CARGO_BIN_EXE_defective-daemon");
    let pidfile = dir.path().join("same.pid");
    let one = |name: &str| {
        format!(
            "[daemon.{name}]\npidfile = \"{0}\"\ncommand = [\"{daemon}\", \"one-fork\", \"--pid-file\", \"{0}\", \
             \"--log-file\", \"{{dir}}/l\"]\n",
            pidfile.display()
        )
    };
    let (_dir, path) = manifest(&[one("a"), one("b"), one("c")].concat());
    let arguments = ["--isolation", "none", "--jobs", "3", "--only", "launcher-exits,new-session,sigterm-stops"];
    matrix(&arguments, &[&path]).assert().code(0);
}

/// Processes with that mark in their environment.
fn marked(mark: &str) -> Vec<String> {
    let wanted = format!("DAEMONSPEC_TEST_MARK={mark}");
    let directories = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    directories
        .filter(|path| {
            let environment = fs::read(path.join("environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|variable| variable == wanted.as_bytes())
        })
        .map(|path| fs::read_to_string(path.join("comm")).unwrap_or_default())
        .collect()
}

#[test]
fn interrupted_it_leaves_nothing() {
    // They never end by themselves, so all of them are at work when the signal comes.
    let text: String = ["a", "b", "c"].map(|name| format!("[daemon.{name}]\ncommand = ['sleep', '100000']\n")).concat();
    let (dir, path) = manifest(&text);
    let output = dir.path().join("table");
    let mark = format!("matrix-{}", std::process::id());
    let mut child = std::process::Command::new(program("daemonspec"))
        .args(["matrix", "--jobs", "2", "--manifest"])
        .arg(&path)
        .arg("--output")
        .arg(&output)
        .env("DAEMONSPEC_TEST_MARK", &mark)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while marked(&mark).iter().filter(|name| name.trim() == "sleep").count() < 2 {
        assert!(Instant::now() < deadline, "{:?}", marked(&mark));
        std::thread::yield_now();
    }
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(marked(&mark), Vec::<String>::new());
    assert!(!output.exists());
}
