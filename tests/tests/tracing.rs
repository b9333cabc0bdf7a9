//! `daemonspec trace` with the tracer itself: what it sees of the reference daemon, of programs that are hard to follow, and of
//! what is no daemon.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use assert_cmd::Command;
use daemonspec_tests::programs::program;
use predicates::prelude::*;
use predicates::str::{contains, is_empty, is_match};
use serde_json::Value;
use std::path::{Path, PathBuf};

const PID_FILE: &str = "/run/traced.pid";

fn trace(options: &[&str], command: &[&str]) -> Command {
    let mut trace = Command::new(program("daemonspec"));
    trace.env_remove("CLICOLOR_FORCE").env_remove("NO_COLOR");
    trace.arg("trace").args(options).arg("--").args(command);
    trace
}

fn reference(options: &[&str]) -> Command {
    let daemon = program("reference-daemon").to_str().unwrap();
    trace(&[&["--pidfile", PID_FILE], options].concat(), &[daemon, "--pid-file", PID_FILE])
}

fn json(command: &mut Command) -> Value {
    let output = command.assert().code(0).stderr(is_empty()).get_output().stdout.clone();
    serde_json::from_slice(&output).unwrap()
}

fn calls<'a>(report: &'a Value, name: &'a str) -> impl Iterator<Item = &'a Value> {
    report["events"].as_array().unwrap().iter().filter(move |e| e["what"] == "call" && e["name"] == name)
}

fn steps(report: &Value) -> Vec<u64> {
    report["steps"].as_array().unwrap().iter().filter_map(|step| step["step"].as_u64()).collect()
}

/// A program of tests/tracing/, in a directory of its own.
fn built(source: &str, options: &[&str]) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("program");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tracing").join(source);
    let mut cc = std::process::Command::new("cc");
    assert!(cc.args(options).arg("-o").arg(&program).arg(source).status().unwrap().success());
    (directory, program)
}

#[test]
fn every_step_of_the_reference_daemon_is_found() {
    let report = json(&mut reference(&["--format", "json"]));
    let schema = serde_json::from_str(&daemonspec::timeline::json::schema()).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors: Vec<String> = validator.iter_errors(&report).map(|error| error.to_string()).collect();
    assert_eq!(errors, [] as [String; 0]);
    assert_eq!(report["not_seen"], serde_json::json!([]));
    assert_eq!(report["remarks"], serde_json::json!([]));
    assert_eq!(report["chain"], serde_json::json!([0, 1, 2]));
    // Who did it, in the order in which one process has them; between processes the kernel decides.
    let by = |process: u64| -> Vec<u64> {
        let steps = report["steps"].as_array().unwrap().iter();
        let mut numbers: Vec<u64> =
            steps.filter(|step| step["process"] == process).map(|step| step["step"].as_u64().unwrap()).collect();
        numbers.dedup();
        numbers
    };
    assert_eq!([by(0), by(1), by(2)], [vec![1, 2, 3, 5, 15], vec![6, 7, 8], vec![9, 10, 11, 12, 14]]);
    let daemon = &report["processes"][2];
    assert_eq!(
        (&report["main"], &daemon["role"], &daemon["lineage"]),
        (&2.into(), &"daemon".into(), &vec![1, 1].into())
    );
    let written = calls(&report, "pwrite64").find(|call| call["path"] == PID_FILE).unwrap();
    assert_eq!(written["arguments"].as_str().unwrap().split('"').nth(1), Some(&*format!("{}\\n", daemon["pid"])));
    assert!(report["ready_us"].as_u64() < report["launcher_ended_us"].as_u64() && report["launcher_status"] == 0);
}

#[test]
fn the_terminal_s_has_a_lane_for_each_process_in_eighty_columns() {
    let output = reference(&[]).assert().code(0).stderr(is_empty()).get_output().stdout.clone();
    let text = String::from_utf8(output).unwrap();
    // The first line is the command, as long as it is.
    assert!(text.lines().skip(1).all(|line| line.chars().count() <= 80), "{text}");
    for words in ["exec reference-daemon", "▶ born", "◀ launcher ends", "┄┄ ready ┄", "12 PID file locked"] {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert!(!text.contains("not seen") && !text.contains('▲'), "{text}");
    reference(&["--verbose"]).assert().code(0).stdout(contains("setsid() = "));
}

#[test]
fn the_page_is_one_whole_file() {
    let directory = tempfile::tempdir().unwrap();
    let page = directory.path().join("start.html");
    reference(&["--format", "html", "--output", page.to_str().unwrap()])
        .assert()
        .code(0)
        .stdout(is_empty())
        .stderr(is_empty());
    let page = std::fs::read_to_string(page).unwrap();
    assert!(page.starts_with("<!") && page.trim_end().ends_with("</html>"));
    assert!(page.contains(PID_FILE) && page.contains("second fork"));
}

#[test]
fn a_command_that_is_not_there_cannot_be_traced() {
    let line = is_match(r"\Adaemonspec: cannot start `no-such-command`: [^\n]+\n\z").unwrap();
    trace(&[], &["no-such-command"]).assert().code(3).stdout(is_empty()).stderr(line);
}

#[test]
fn a_program_that_stays_in_the_foreground_is_said_to() {
    let foreground = contains("it stayed in the foreground").and(contains("sleep 100000 s"));
    let no_launcher = foreground.and(contains("launcher").not()).and(contains("not seen").not());
    trace(&["--timeout", "1"], &["sleep", "100000"]).assert().code(0).stdout(no_launcher).stderr(is_empty());
    // One that never rests is not said to.
    let busy = contains("it stayed in the foreground").and(contains("at rest").not());
    trace(&["--timeout", "1"], &["sh", "-c", "while :; do :; done"]).assert().code(0).stdout(busy).stderr(is_empty());
}

#[test]
fn a_program_that_leaves_no_daemon_is_said_to() {
    let none = contains("with status 1").and(contains("no daemon was left"));
    trace(&[], &["false"]).assert().code(0).stdout(none).stderr(is_empty());
}

#[test]
fn a_thread_that_executes_takes_the_first_one_s_place() {
    let (_directory, program) = built("exec.c", &["-pthread"]);
    let command = [program.to_str().unwrap(), PID_FILE];
    let report = json(&mut trace(&["--pidfile", PID_FILE, "--format", "json"], &command));
    let daemon = report["processes"][1]["pid"].as_i64();
    let executed = calls(&report, "execve").find(|call| call["process"] == 1).unwrap();
    assert!(executed["thread"].as_i64() != daemon && executed["result"] == 0, "{executed}");
    // What the first one was in has no end.
    assert!(calls(&report, "clock_nanosleep").all(|call| call["result"].is_null()));
    let programs: Vec<&Value> =
        report["events"].as_array().unwrap().iter().filter(|event| event["what"] == "program").collect();
    assert!(programs.len() == 2 && programs.iter().all(|event| event["program"] == command[0]), "{programs:?}");
    let written = calls(&report, "write").find(|call| call["path"] == PID_FILE).unwrap();
    assert_eq!(written["thread"].as_i64(), daemon);
    assert_eq!(report["main"], 1);
}

#[test]
#[cfg(target_arch = "x86_64")]
fn a_program_of_32_bits_is_followed() {
    let (_directory, program) = built("narrow.s", &["-m32", "-nostdlib", "-static"]);
    let report = json(&mut trace(&["--format", "json"], &[program.to_str().unwrap(), PID_FILE]));
    let all = report["events"].as_array().unwrap();
    assert!(all.iter().filter(|event| event["what"] == "call").all(|call| call["compat"] == true));
    let only = |name| calls(&report, name).next().unwrap();
    assert_eq!(only("umask")["arguments"], "0027");
    assert_eq!(only("fcntl")["arguments"], "3, F_SETLK, F_WRLCK");
    assert_eq!(only("open")["path"], PID_FILE);
    assert_eq!(calls(&report, "close").count(), 0);
    let mut steps = steps(&report);
    steps.sort_unstable();
    assert_eq!(steps, [5, 6, 10, 11, 12, 12, 15]);
}
