//! Signals that some thread blocks, or that are blocked for a while: who gets them, and what is made of them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use daemonspec::run::{self, Options};
use daemonspec::subject::Subject;

/// The verdict of one check on a daemon of tests/fixtures that answers so.
fn verdict(daemon: &str, answer: &str, id: &'static str) -> &'static str {
    let script = format!("{}/fixtures/{daemon}.py", env!("CARGO_MANIFEST_DIR"));
    let mut subject = Subject::new(["python3", &script, "{dir}", answer]);
    subject.pidfile = Some(format!("{{dir}}/{daemon}.pid").into());
    subject.log = Some(format!("{{dir}}/{daemon}.log").into());
    let outcome = run::check(&subject, &Options { only: [id].into(), ..Options::default() }, &|_| {}).unwrap();
    outcome.judged[0].verdict.as_str()
}

#[test]
fn a_log_reopened_at_the_next_turn_is_reopened() {
    assert_eq!(verdict("late", "reopen", "log-reopened"), "pass");
}

#[test]
fn who_ends_at_the_next_turn_does_not_survive() {
    assert_eq!(verdict("late", "end", "survives-sighup"), "fail");
}

#[test]
fn what_the_main_thread_blocks_another_lets_in() {
    assert_eq!(verdict("masks", "clear", "signal-mask-reset"), "pass");
}

#[test]
fn what_every_thread_has_inherited_is_blocked() {
    assert_eq!(verdict("masks", "keep", "signal-mask-reset"), "fail");
}
