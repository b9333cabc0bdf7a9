//! The commands as a user or a script meets them: exit codes, where words go, what bad input gets.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use assert_cmd::Command;
use daemonspec_tests::programs::program;
use predicates::prelude::*;
use predicates::str::{contains, is_empty, is_match, starts_with};
use std::fs;

fn daemonspec() -> Command {
    let mut command = Command::new(program("daemonspec"));
    command.env_remove("CLICOLOR_FORCE").env_remove("NO_COLOR");
    command
}

/// One line on standard error, nothing on standard output.
fn one_line() -> impl Predicate<str> {
    is_match(r"\A[^\n]+\n\z").unwrap()
}

#[test]
fn the_reference_daemon_conforms() {
    daemonspec().arg("check").assert().code(0).stdout(contains("reference-daemon conforms.")).stderr(is_empty());
}

#[test]
fn a_program_that_is_no_daemon_does_not_conform() {
    daemonspec().args(["check", "--", "true"]).assert().code(1).stdout(contains("FAIL  must    daemon-stays-up"));
    let hangs = ["check", "--timeout", "1", "--", "sleep", "1000"];
    daemonspec().args(hangs).assert().code(1).stdout(contains("FAIL  must    launcher-exits"));
}

#[test]
fn json_holds_what_the_contract_says() {
    let output = daemonspec().args(["check", "--format", "json"]).assert().code(0).get_output().stdout.clone();
    let report: serde_json::Value = serde_json::from_slice(&output).unwrap();
    assert_eq!(report["schema"], "daemonspec/1");
    let subject = &report["subjects"][0];
    for key in ["name", "command", "profile", "isolation", "conforms", "duration_ms", "counts", "checks"] {
        assert!(!subject[key].is_null(), "{key}");
    }
    let checks = subject["checks"].as_array().unwrap();
    let count = |verdict: &str| checks.iter().filter(|check| check["verdict"] == verdict).count();
    for verdict in ["pass", "fail", "skip", "broken"] {
        assert_eq!(subject["counts"][verdict], count(verdict), "{verdict}");
    }
    assert_eq!(count("fail") + count("broken"), 0);
    let check = checks[0].as_object().unwrap();
    let keys = [
        "id", "family", "level", "verdict", "title", "scenario", "expected", "actual", "evidence", "remedy", "sources",
        "reason", "waived", "note",
    ];
    assert!(keys.iter().all(|key| check.contains_key(*key)) && check.len() == keys.len(), "{check:?}");
    assert!(check["expected"].is_null() && check["remedy"].is_null() && check["reason"].is_null());
}

#[test]
fn every_format_goes_to_standard_output_and_nothing_else_does() {
    let recording = concat!(env!("CARGO_MANIFEST_DIR"), "/../harness/tests/reference.json");
    for (format, begins, ends) in [
        ("json", "{\n", "}\n"),
        ("junit", "<?xml ", "</testsuites>\n"),
        ("tap", "TAP version 14\n1..1\n", " skipped\n"),
        ("markdown", "## ", "</details>\n"),
        ("html", "<!doctype html>\n", "</html>\n"),
    ] {
        let assert = daemonspec().args(["check", "--replay", recording, "--format", format]).assert().code(0);
        assert.stdout(starts_with(begins).and(predicates::str::ends_with(ends))).stderr(is_empty());
    }
}

#[test]
fn the_list_has_every_check_of_a_profile() {
    let output = daemonspec()
        .args(["list", "--profile", "article", "--format", "json"])
        .assert()
        .code(0)
        .get_output()
        .stdout
        .clone();
    let list: serde_json::Value = serde_json::from_slice(&output).unwrap();
    let checks = list["checks"].as_array().unwrap();
    assert!(checks.iter().all(|c| c["profiles"].as_array().unwrap().iter().any(|p| p == "article")));
    assert!(checks.iter().any(|c| c["id"] == "log-appended"));
    assert!(!checks.iter().any(|c| c["id"] == "survives-sighup"));
}

#[test]
fn explain_prints_the_page() {
    daemonspec().args(["explain", "new-session"]).assert().code(0).stdout(starts_with("# new-session\n"));
    daemonspec().args(["explain", "nonsense"]).assert().code(2).stdout(is_empty()).stderr(one_line());
}

#[test]
fn what_cannot_be_started_is_named() {
    for (command, words) in [
        ("ngnix-of-no-package", "cannot start `ngnix-of-no-package`: no such command on PATH"),
        ("/no/such/program", "cannot start `/no/such/program`: no such file or directory"),
        ("/etc/passwd", "cannot start `/etc/passwd`: permission denied"),
        ("/etc", "cannot start `/etc`: is a directory"),
        ("", "cannot start ``: no such command on PATH"),
    ] {
        let assert = daemonspec().args(["check", "--", command]).assert().code(3);
        assert.stdout(is_empty()).stderr(contains(words).and(one_line()));
    }
}

#[test]
fn wrong_usage_is_one_line_and_2() {
    for arguments in [
        &["check", "--bogus"][..],
        &["check", "--only", "no-controling-terminal"],
        &["check", "--skip", "x"],
        &["check", "--profile", "sysw"],
        &["check", "--level", "most"],
        &["check", "--timeout", "0"],
        &["check", "--timeout", "NaN"],
        &["check", "--timeout", "1e300"],
        &["check", "--jobs", "0"],
        &["check", "--ready", "tcp:80", "--", "true"],
        &["check", "--env", "novalue", "--", "true"],
        &["check", "--format", "papyrus"],
        &["list", "--format", "junit"],
        &["list", "--format", "html"],
        &["check", "--manifest", "/no/such/manifest"],
        &["check", "--manifest", "/tmp"],
        &["check", "--manifest", "x.toml", "--", "true"],
        &["check", "stray-name"],
        &["check", "--output", "/no/such/directory/report"],
        &["check", "--output", "/tmp"],
        &["init"],
        &["init", "true"],
        &["init", "--manifest", "x.toml", "--", "true"],
        &["init", "--force", "--", "true"],
        &["init", "--output", "/no/such/directory/manifest", "--", "true"],
        &["explain"],
        &["unheard-of"],
    ] {
        daemonspec().args(arguments).assert().code(2).stdout(is_empty()).stderr(one_line());
    }
    daemonspec()
        .args(["check", "--only", "no-controling-terminal"])
        .assert()
        .stderr(contains("did you mean `no-controlling-terminal`?"));
}

#[test]
fn no_check_left_is_an_error() {
    let arguments = ["check", "--only", "new-session", "--skip", "new-session"];
    daemonspec().args(arguments).assert().code(3).stderr(contains("no check is left to run").and(one_line()));
}

#[test]
fn manifests_name_key_and_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("daemonspec.toml");
    let manifest = |text: &str| {
        fs::write(&path, text).unwrap();
        daemonspec().arg("check").arg("--manifest").arg(&path).assert()
    };
    manifest("[daemon.d]\ncommand = [\"d\"]\npid = 3\n")
        .code(2)
        .stderr(contains("line 3: no key named `pid`").and(one_line()));
    manifest("[daemon.d]\ncommand = 3\n").code(2).stderr(contains("line 2").and(one_line()));
    manifest("").code(2).stderr(contains("names no daemon").and(one_line()));
    manifest("[daemon.d]\ncommand = [\"true\"]\nsetup = \"echo oh no; false\"\n")
        .code(3)
        .stderr(contains("oh no").and(one_line()));
    fs::write(&path, [0xff, 0xfe]).unwrap();
    daemonspec().arg("check").arg("--manifest").arg(&path).assert().code(2).stderr(one_line());
}

#[test]
fn an_expected_failure_is_waived_and_an_unexpected_pass_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("daemonspec.toml");
    let daemon = env!("CARGO_BIN_EXE_defective-daemon");
    let manifest = |expect: &str| {
        let command = format!(
            "command = [\"{daemon}\", \"one-fork\", \"--pid-file\", \"{{dir}}/d.pid\", \"--log-file\", \"{{dir}}/d.log\"]"
        );
        fs::write(&path, format!("[daemon.d]\n{command}\npidfile = \"{{dir}}/d.pid\"\n[daemon.d.expect]\n{expect}\n"))
            .unwrap();
        daemonspec().args(["check", "--level", "should", "--manifest"]).arg(&path).assert()
    };
    manifest("").code(1).stdout(contains("FAIL  should  not-session-leader"));
    manifest("not-session-leader = \"by design\"").code(0).stdout(contains("1 waived").and(contains("FAIL").not()));
    manifest("not-session-leader = \"by design\"\nnew-session = \"never\"").code(1).stdout(contains("it passes now"));
}

#[test]
fn a_report_is_written_whole_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("report.json");
    fs::write(&path, "old").unwrap();
    let check = |command: &str| {
        daemonspec().args(["check", "--format", "json", "--output"]).arg(&path).args(["--", command]).assert()
    };
    check("no-such-command-at-all").code(3);
    assert_eq!(fs::read_to_string(&path).unwrap(), "old");
    check("true").code(1).stdout(is_empty());
    assert!(fs::read_to_string(&path).unwrap().contains("daemonspec/1"));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing else is left there");
}

#[test]
fn subjects_without_bounds_are_bounded() {
    let forks = ["check", "--", "sh", "-c", "f() { while :; do f & done; }; f"];
    daemonspec().args(forks).assert().code(3).stderr(contains("forks without end").and(one_line()));
    let talks = ["check", "--timeout", "2", "--only", "launcher-exits", "--", "sh", "-c", "yes"];
    daemonspec().args(talks).assert().code(1).stdout(contains("FAIL  must    launcher-exits"));
    let fills = "head -c 3000000000 /dev/zero > /run/d.pid; setsid -f sleep 1000 >/dev/null 2>&1 </dev/null";
    let fills =
        ["check", "--timeout", "5", "--pidfile", "/run/d.pid", "--only", "pidfile-format", "--", "sh", "-c", fills];
    daemonspec().args(fills).assert().code(1).stdout(contains("FAIL  must    pidfile-format"));
}

#[test]
fn hostile_words_do_not_reach_the_terminal() {
    let command = "printf '\\033]0;owned\\007\\377' >&2; exit 3";
    let assert = daemonspec().args(["check", "--", "sh", "-c", command]).assert().code(1);
    let clean = |bytes: &[u8]| bytes.iter().all(|b| *b == b'\n' || (*b >= b' ' && *b != 0x7f));
    assert!(clean(&assert.get_output().stdout), "{:?}", String::from_utf8_lossy(&assert.get_output().stdout));
}

#[test]
fn colour_only_where_it_was_asked_for() {
    daemonspec().args(["check", "--", "true"]).assert().stdout(contains("\u{1b}[").not());
    daemonspec().args(["check", "--", "true"]).env("CLICOLOR_FORCE", "1").assert().stdout(contains("\u{1b}["));
    let both = daemonspec().args(["check", "--", "true"]).env("CLICOLOR_FORCE", "1").env("NO_COLOR", "1").assert();
    both.stdout(contains("\u{1b}[").not());
}

#[test]
fn without_isolation_it_says_so_and_runs_all_the_same() {
    let assert = daemonspec().args(["check", "--isolation", "none", "--format", "json"]).assert().code(0);
    let report: serde_json::Value = serde_json::from_slice(&assert.get_output().stdout).unwrap();
    let subject = &report["subjects"][0];
    assert_eq!(subject["isolation"], "none");
    let checks = subject["checks"].as_array().unwrap();
    let find = |id: &str| checks.iter().find(|check| check["id"] == id).unwrap();
    for (id, why) in [("launch-directory-released", "mount namespace"), ("ready-before-exit", "needs a sandbox")] {
        assert_eq!(find(id)["verdict"], "skip", "{id}");
        assert!(find(id)["reason"].as_str().unwrap().contains(why), "{id}");
    }
}

#[test]
fn without_isolation_a_pid_file_that_is_there_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("d.pid");
    fs::write(&path, "1\n").unwrap();
    let assert =
        daemonspec().args(["check", "--isolation", "none", "--pidfile"]).arg(&path).args(["--", "true"]).assert();
    assert.code(3).stderr(contains("is there already").and(one_line()));
    assert_eq!(fs::read_to_string(&path).unwrap(), "1\n");
}

#[test]
fn help_and_version_go_to_standard_output() {
    daemonspec().arg("--help").assert().code(0).stdout(contains("Usage: daemonspec")).stderr(is_empty());
    daemonspec().arg("--version").assert().code(0).stdout(is_match(r"\Adaemonspec \d+\.\d+\.\d+\n\z").unwrap());
    daemonspec().assert().code(2).stdout(is_empty());
}

#[test]
fn the_reference_daemon_is_inside() {
    daemonspec().args(["reference-daemon", "--help"]).assert().code(0).stdout(contains("--pid-file"));
    daemonspec().args(["reference-daemon", "--bogus"]).assert().code(2).stderr(one_line());
}
