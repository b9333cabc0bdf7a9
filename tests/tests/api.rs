//! The library as a Rust developer's own tests use it: `Daemon`, `Checked`, and manifests as tests.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use daemonspec::check::{Profile, Verdict};
use daemonspec::libtest::Field;
use daemonspec::observation::{Exit, Observation, Process};
use daemonspec::{Checked, Daemon};
use predicates::prelude::*;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::ExitCode;

/// A daemon of one shell line: a session of its own, no streams, a PID file.
const SHELL: &str = "setsid sleep 600 <&- >&- 2>&- & echo $! > {dir}/d.pid";

fn shell(line: &str) -> Daemon {
    Daemon::command("sh").args(["-c", line]).name("shell")
}

fn refused(result: Result<&Checked, daemonspec::testing::AssertionError>) -> String {
    let error = result.unwrap_err();
    assert_eq!(format!("{error}"), format!("{error:?}"), "unwrap shows it as it is meant to be read");
    assert!(!error.to_string().contains('\u{1b}'), "no colours where there is no terminal");
    error.to_string()
}

#[test]
fn what_holds_can_be_chained() {
    let daemon = shell(SHELL).pidfile("{dir}/d.pid").only(["new-session", "not-session-leader", "log-appended"]);
    let checked = daemon.check();
    checked
        .conforms()
        .passes("new-session")
        .fails("not-session-leader")
        .verdict("log-appended", predicate::function(|verdict| matches!(verdict, Verdict::Skip(_))))
        .main(predicate::function(|process: &Process| process.name.as_str() == "sleep"))
        .observed("terminal", predicate::function(|seen: &Observation| seen.launches() > 0));
    assert_eq!(checked.start().unwrap().ended, Some(Exit::Status(0)));
    assert_eq!(checked.at_rest().unwrap().members.len(), 1);
}

#[test]
fn what_does_not_hold_is_reported() {
    let checked = shell("sleep 600 &").only(["new-session", "cwd-root", "pidfile-mode"]).check();
    let report = refused(checked.try_conforms());
    assert!(report.starts_with("shell: it does not conform\nsh -c sleep 600 &"), "{report}");
    assert!(report.contains("FAIL  must    new-session"), "{report}");
    assert!(report.contains("daemonspec explain new-session"), "{report}");
    assert!(!report.contains("pidfile-mode"), "only what is wrong: {report}");
    let report = refused(checked.try_passes("new-session"));
    assert!(report.contains("not so that `new-session` passes") && !report.contains("cwd-root"), "{report}");
    let report = refused(checked.try_fails("pidfile-mode"));
    assert!(report.contains("skip  must    pidfile-mode"), "{report}");
    let report = refused(checked.try_main(predicate::function(|_: &Process| false).fn_name("is_odd")));
    assert!(report.contains("its main process is not is_odd(var)") && report.contains("pgrp"), "{report}");
    let report = refused(checked.try_observed("twice", predicate::always()));
    assert!(report.contains("scenario `twice`: it was not performed, only `dirty`, `terminal`"), "{report}");
    let report = refused(checked.try_passes("new-sesion"));
    assert!(report.contains("did you mean `new-session`?"), "{report}");
    let report = refused(checked.try_passes("umask-set"));
    assert!(report.contains("shell was not judged by `umask-set`"), "{report}");
    let panic = catch_unwind(AssertUnwindSafe(|| drop(checked.conforms().clone()))).unwrap_err();
    assert_eq!(*panic.downcast::<String>().unwrap(), refused(checked.try_conforms()));
}

#[test]
fn what_cannot_be_judged_is_said_in_a_line() {
    let refused = |daemon: Daemon| daemon.try_check().unwrap_err().to_string();
    assert_eq!(refused(Daemon::command("no-such-daemon")), "cannot start `no-such-daemon`: no such command on PATH");
    assert_eq!(refused(shell("true").only(["new-sesion"])), "no check named `new-sesion`; did you mean `new-session`?");
    assert!(refused(shell("true").ready("tcp:80")).contains("is not a numeric address and port"));
    let panic = catch_unwind(|| Daemon::cargo_bin("no-such-program")).unwrap_err();
    assert!(panic.downcast::<String>().unwrap().contains("no program `no-such-program` beside this test"));
}

#[test]
fn expected_failures_are_for_the_list_to_get_shorter() {
    let daemon = shell("setsid sleep 600 &").only(["new-session", "cwd-root"]);
    daemon.clone().expect("cwd-root", "documented").check().conforms();
    let report = refused(daemon.expect("new-session", "issue 12").check().try_conforms());
    assert!(report.contains("take `new-session` (\"issue 12\") out"), "{report}");
}

#[test]
fn a_program_of_the_package_and_one_that_stays_in_the_foreground() {
    let daemon = Daemon::cargo_bin("defective-daemon");
    assert!(Path::new(&daemon.parts().0.command[0]).is_file());
    let stays = Daemon::command("sleep").arg("600").profile(Profile::Foreground).only(["stays-in-foreground"]);
    stays.check().conforms().main(predicate::function(|process: &Process| process.name.as_str() == "sleep"));
}

#[test]
fn nothing_is_left_when_a_test_panics() {
    let directory = tempfile::tempdir().unwrap();
    let mark = format!("{}", 600_000 + u64::from(std::process::id()));
    let daemon = shell(&format!("setsid sleep {mark} & echo $! > {}/left", directory.path().display()));
    let panic =
        catch_unwind(AssertUnwindSafe(|| drop(daemon.only(["new-session"]).check().fails("new-session").clone())));
    assert!(panic.is_err());
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0, "what it wrote is gone");
    let runs = |pid: fs::DirEntry| fs::read(pid.path().join("cmdline")).unwrap_or_default();
    let words = ["sleep", &mark, ""].join("\0").into_bytes();
    assert!(!fs::read_dir("/proc").unwrap().flatten().any(|pid| runs(pid) == words), "and so is what it started");
}

/// What the tests of a manifest print, and whether they pass.
fn tests(manifest: &str, words: &[&str], seed: Option<u64>) -> (String, bool) {
    let directory = tempfile::tempdir().unwrap();
    let (file, log) = (directory.path().join("m.toml"), directory.path().join("log"));
    fs::write(&file, manifest).unwrap();
    let words = ["field", "--logfile", log.to_str().unwrap()].into_iter().chain(words.iter().copied());
    let field = Field::new(words, [&file]).unwrap().and("how many", |rows| Err(format!("{} rows", rows.len())));
    let field = if let Some(seed) = seed { field.shuffled(seed) } else { field };
    let passed = field.run() == ExitCode::SUCCESS;
    (fs::read_to_string(log).unwrap(), passed)
}

const MANIFEST: &str = r#"
[daemon.good]
command = ["sh", "-c", "cd /; setsid sleep 600 &"]
only = ["new-session", "cwd-root", "log-appended", "not-session-leader", "umask-set"]
[daemon.good.expect]
not-session-leader = "forks once"
[daemon.bad]
command = ["sh", "-c", "sleep 600 &"]
only = ["new-session", "cwd-root"]
[daemon.bad.expect]
cwd-root = "it passes where it was started from /"
[daemon.absent]
command = ["no-such-daemon"]
only = ["cwd-root"]
"#;

/// Each test's name and what it came to, in order.
fn results(log: &str) -> Vec<(String, String)> {
    let line =
        |line: &str| line.strip_prefix("test ")?.split_once(" ... ").map(|(a, b)| (a.trim().to_owned(), b.to_owned()));
    log.lines().filter_map(line).collect()
}

#[test]
fn each_check_of_a_manifest_is_a_test() {
    let (log, passed) = tests(MANIFEST, &["good::", "--test-threads=1"], None);
    assert!(passed, "{log}");
    let came_out = results(&log);
    let of = |name: &str| came_out.iter().find(|(test, _)| test == name).map(|(_, result)| result.as_str());
    assert_eq!(of("good::new-session"), Some("ok"));
    assert_eq!(of("good::not-session-leader"), Some("ok"), "its failure is expected");
    assert!(of("good::log-appended").unwrap().starts_with("ignored (no log"), "{log}");
    assert!(of("good::umask-set").unwrap().starts_with("ignored (it fails, which is no `must`"), "{log}");
    assert_eq!(came_out.len(), 5, "{log}");
    let (shuffled, _) = tests(MANIFEST, &["good::", "--test-threads=1"], Some(7));
    let (again, _) = tests(MANIFEST, &["good::", "--test-threads=1"], Some(7));
    assert_ne!(results(&shuffled), came_out, "another order");
    assert_eq!(results(&shuffled), results(&again), "and the same for the same number");
    let sorted = |log: &str| results(log).into_iter().collect::<std::collections::BTreeSet<_>>();
    assert_eq!(sorted(&shuffled), sorted(&log), "with the same results");
}

#[test]
fn what_fails_or_is_not_installed_is_told_apart() {
    let (log, passed) = tests(MANIFEST, &["bad::"], None);
    assert!(!passed);
    assert!(log.contains("FAIL  must    new-session"), "{log}");
    let (log, passed) = tests(MANIFEST, &["absent::"], None);
    let in_ci = std::env::var_os("CI").is_some();
    assert_eq!(passed, !in_ci, "{log}");
    assert!(log.contains("cannot start `no-such-daemon`: no such command on PATH"), "{log}");
    let (log, _) = tests(MANIFEST, &["how many"], None);
    assert!(log.contains("no-such-daemon"), "a test on all needs all: {log}");
    let present = MANIFEST.split("[daemon.absent]").next().unwrap();
    let (log, passed) = tests(present, &["how many"], None);
    assert!(!passed && log.contains("2 rows"), "{log}");
}

#[test]
fn the_list_is_what_nextest_reads() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log");
    let file = directory.path().join("m.toml");
    fs::write(&file, "[daemon.a]\ncommand = ['a']\n").unwrap();
    let list = |words: &[&str]| {
        let words = ["field", "--list", "--format", "terse", "--logfile", log.to_str().unwrap()]
            .into_iter()
            .chain(words.iter().copied());
        assert_eq!(Field::new(words, [&file]).unwrap().run(), ExitCode::SUCCESS);
        fs::read_to_string(&log).unwrap()
    };
    let all = list(&[]);
    assert!(all.lines().all(|line| line.starts_with("a::") && line.ends_with(": test")), "{all}");
    assert_eq!(list(&["--exact", "a::cwd-root"]), "a::cwd-root: test\n");
    let many = list(&["--ignored"]);
    assert!(many.contains("a::startup-faults-reported: test\n") && !many.contains("cwd-root"), "{many}");
}

#[test]
fn what_systemd_makes_of_a_daemon_is_a_test() {
    let manifest = format!(
        "[daemon.heard]\ncommand = ['sh', '-c', '{SHELL}']\npidfile = '{{dir}}/d.pid'\nwitness = 'systemd'\n\
         [daemon.stays]\ncommand = ['sleep', '600']\ntimeout = 1\nonly = ['cwd-root']\nwitness = 'systemd'\n"
    );
    let (log, _) = tests(&manifest, &["::systemd", "--test-threads=1", "--skip", "trusts"], None);
    let came_out = results(&log);
    let of = |name: &str| came_out.iter().find(|(test, _)| test == name).map(|(_, result)| result.as_str());
    assert_eq!(came_out.len(), 2, "{log}");
    if std::env::var_os("CI").is_none() && of("heard::systemd").unwrap().starts_with("ignored (systemd could not be") {
        return;
    }
    assert_eq!(of("heard::systemd"), Some("ok"), "{log}");
    let unjudged = of("stays::systemd").unwrap();
    assert!(unjudged.starts_with("ignored (systemd complains: the process that was started did not end"), "{log}");
    assert!(unjudged.contains("not all were judged that may say why: launcher-exits"), "{log}");
}

#[test]
fn manifests_that_do_not_go_together_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = directory.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let one = write("one.toml", "[daemon.a]\ncommand = ['a']\n");
    let other = write("other.toml", "[daemon.b]\ncommand = ['b']\n[daemon.b.expect]\nstays-in-foreground = 'x'\n");
    let refused = |files: &[&Path]| Field::new(["field"], files).err().unwrap().to_string();
    assert!(refused(&[&one, &one]).starts_with("daemon `a` is in "));
    assert!(refused(&[&other]).contains("`b` expects `stays-in-foreground` to fail, and is never judged by it"));
    assert!(refused(&[&directory.path().join("three.toml")]).starts_with("cannot read manifest "));
    assert!(refused(&[]).contains("there is no manifest"));
}
