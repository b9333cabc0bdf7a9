//! The log.

use super::{ARTICLE, Case, Check, Judgement, check, fail, pass};

pub(super) const CHECKS: &[Check] = &[check!("log-appended", Must, Logging, ARTICLE, "crash",
        title: "keeps what its log held when it is started again",
        sources: &["open(2): O_APPEND", "the article: open(log, 'a')"],
        remedy: "open the log with O_APPEND and without O_TRUNC",
        judge: appended)];

fn appended(case: &Case<'_>) -> Judgement {
    case.daemon()?;
    let kept = case.scenario("crash")?.kept("log")?;
    if kept.kept {
        return pass();
    }
    let evidence = vec![format!("{}: the line \"{}\" is no longer where it was", kept.path, kept.line)];
    fail("a restart leaves what the log held", "what it held is gone", evidence)
}
