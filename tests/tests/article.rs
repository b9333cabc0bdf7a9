//! The article's recipe, followed to the letter (fixtures/article.py), and just what is wrong with it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use daemonspec::check::Profile;
use daemonspec::run::{self, Options, Outcome};
use daemonspec::subject::Subject;

fn check(profile: Profile) -> Outcome {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/article.py");
    let mut subject = Subject::new(["python3", script]);
    subject.pidfile = Some("/var/run/daemon.pid".into());
    subject.log = Some("/var/log/daemon.log".into());
    run::check(&subject, &Options { profile, ..Options::default() }, &|_| {}).unwrap()
}

fn ids(outcome: &Outcome, verdict: &str) -> Vec<&'static str> {
    let chosen = outcome.judged.iter().filter(|j| j.verdict.as_str() == verdict);
    chosen.map(|j| j.check.id).collect()
}

#[test]
fn what_the_article_promises() {
    let outcome = check(Profile::Article);
    assert_eq!(
        ids(&outcome, "fail"),
        [
            "new-session",
            "no-controlling-terminal",
            // Closing or replacing the interpreter's stream objects leaves descriptors 0, 1 and 2 as they were.
            "stdin-redirected",
            "stdout-redirected",
            "stderr-redirected",
            // Its launcher exits at once, while the interpreter in its child is held.
            "pidfile-present-at-exit",
        ]
    );
    assert_eq!(
        ids(&outcome, "pass"),
        [
            "launcher-exits",
            "daemon-stays-up",
            "left-its-launcher",
            "cwd-root",
            "pidfile-names-main-process",
            "second-instance-refused",
            "log-appended",
        ]
    );
    assert!(!outcome.conforms());
    assert_eq!(outcome.exit_code(), 1);
}

#[test]
fn what_else_a_daemon_owes_its_users() {
    let outcome = check(Profile::Sysv);
    assert_eq!(
        ids(&outcome, "fail"),
        [
            "ready-before-exit",
            "launcher-status",
            "failure-explained",
            "restart-after-kill",
            "new-session",
            "no-controlling-terminal",
            "terminal-released",
            "survives-hangup",
            "survives-leader-exit",
            "survives-interrupt",
            "umask-set",
            "no-world-writable-files",
            "stdin-redirected",
            "stdout-redirected",
            "stderr-redirected",
            "pipes-released",
            "starts-with-stdio-closed",
            "inherited-descriptors-closed",
            "signal-mask-reset",
            "signal-dispositions-reset",
            "survives-sighup",
            "pidfile-present-at-exit",
            "pidfile-format",
            "pidfile-mode",
            "pidfile-odd-path",
            "pidfile-removed",
            "systemd-trusts-pidfile",
            "second-instance-reported",
            "simultaneous-starts",
            "stale-pidfile",
            "recycled-pid",
            "garbage-pidfile",
            "log-disk-full",
            "core-dumps-prevented",
        ]
    );
    assert_eq!(outcome.count("broken"), 0, "all others pass or are skipped");
}
