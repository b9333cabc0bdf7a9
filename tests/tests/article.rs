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
    assert_eq!(outcome.count("broken"), 0, "all others pass or are skipped");
}
