//! A signal that is blocked while the main loop waits (fixtures/late.py): what it brings about is waited for.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use daemonspec::run::{self, Options};
use daemonspec::subject::Subject;

/// The verdict of one check on the daemon that answers SIGHUP so.
fn verdict(answer: &str, id: &'static str) -> &'static str {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/late.py");
    let mut subject = Subject::new(["python3", script, "{dir}", answer]);
    subject.pidfile = Some("{dir}/late.pid".into());
    subject.log = Some("{dir}/late.log".into());
    let outcome = run::check(&subject, &Options { only: [id].into(), ..Options::default() }, &|_| {}).unwrap();
    outcome.judged[0].verdict.as_str()
}

#[test]
fn a_log_reopened_at_the_next_turn_is_reopened() {
    assert_eq!(verdict("reopen", "log-reopened"), "pass");
}

#[test]
fn who_ends_at_the_next_turn_does_not_survive() {
    assert_eq!(verdict("end", "survives-sighup"), "fail");
}
