//! Masks, dispositions, reactions.

use super::{Case, Check, Judgement, SYSV, broken, check, fail, pass};

pub(super) const CHECKS: &[Check] = &[
    check!("survives-sighup", Should, Signals, SYSV, "terminal",
        title: "reloads or ignores SIGHUP",
        sources: &["daemon(7) New-Style item 3: SIGHUP reloads the configuration"],
        remedy: "handle SIGHUP by reopening the log and reading the configuration again, or ignore it",
        judge: survives_sighup),
];

fn survives_sighup(case: &Case<'_>) -> Judgement {
    case.daemon()?;
    let treatment = case.scenario("terminal")?.treatment("sighup")?;
    if !treatment.delivered {
        return broken("SIGHUP could not be sent");
    }
    if treatment.survived {
        return pass();
    }
    let how = treatment.ended.map_or("it is gone".to_owned(), |exit| format!("it ended with {exit}"));
    fail(format!("pid {} lives on after SIGHUP", treatment.main), how.clone(), vec![format!("pid {}: {how}", treatment.main)])
}
