//! One instance at a time.

use super::common::{content_of, named};
use super::{ARTICLE, Case, Check, Judgement, SYSV, broken, check, fail, pass, skip};
use crate::observation::{Exit, Observation, Process, Unseen};

pub(super) const CHECKS: &[Check] = &[
    check!("second-instance-refused", Must, Instance, ARTICLE, "twice",
        title: "runs once: after a second start the first one runs on, alone and unharmed",
        sources: &["daemon(7) SysV step 12: ensure that the daemon cannot be started more than once"],
        remedy: "hold a lock on the PID file for as long as the daemon runs, and give up when it is taken",
        judge: refused),
    check!("second-instance-reported", Should, Instance, SYSV, "twice",
        title: "ends a second start with a status other than 0, and says why",
        sources: &["daemon(7) SysV step 14: notify the original process", "LSB 5.0 Core, init script actions"],
        remedy: "carry \"already running\" through the readiness pipe to the launcher: print it, exit 1",
        judge: reported),
    check!("stale-pidfile", Must, Instance, ARTICLE, "stale",
        title: "starts over a PID file that names a dead process",
        sources: &["daemon(7) SysV step 12: the lock decides, not the file's existence"],
        remedy: "take a lock on the file instead of testing whether it is there; a dead daemon holds no lock",
        judge: stale),
];

/// The processes that the second start added, at rest.
fn added(seen: &Observation) -> Result<Vec<&Process>, Unseen> {
    let before = seen.look("before")?;
    if !before.is_up() {
        return broken("no daemon was running before the second start");
    }
    let first = before.main.map_or(0, |(pid, _)| pid);
    let known = |p: &&Process| !before.members.iter().any(|b| b.pid == p.pid);
    // A pool of workers grows and shrinks under the first instance: what descends from that is its own.
    let after = seen.look("after")?;
    let members: Vec<&Process> = after.members.iter().collect();
    let own = |p: &&Process| !p.descends_from(first, &members);
    Ok(after.alive().filter(known).filter(own).collect())
}

fn first_lives(seen: &Observation) -> Result<bool, Unseen> {
    let first = seen.look("before")?.main.map(|(pid, _)| pid);
    Ok(seen.look("after")?.alive().any(|p| Some(p.pid) == first))
}

/// Whether the second start came to nothing and the first goes on.
pub(super) fn was_refused(seen: &Observation) -> Result<bool, Unseen> {
    Ok(added(seen)?.is_empty() && first_lives(seen)?)
}

fn refused(case: &Case<'_>) -> Judgement {
    case.daemon()?;
    let seen = case.scenario("twice")?;
    let added = added(seen)?;
    let exit = seen.launch("second")?.ended.map_or("did not end".to_owned(), |e| format!("ended with {e}"));
    if !first_lives(seen)? {
        let evidence = vec![format!("the second start {exit}")];
        return fail("the first instance lives on", "it ended when a second one was started", evidence);
    }
    if added.is_empty() {
        return pass();
    }
    let evidence = vec![format!("the second start {exit}"), format!("beside the first: {}", named(&added))];
    fail("one instance", format!("{} beside the first", named(&added)), evidence)
}

fn reported(case: &Case<'_>) -> Judgement {
    case.daemon()?;
    let seen = case.scenario("twice")?;
    if !was_refused(seen)? {
        return skip("the second start was not refused (see second-instance-refused)");
    }
    let launch = seen.launch("second")?;
    let Some(exit) = launch.ended else { return broken("the second start did not end") };
    let said = launch.explains(case.clean_launch()?);
    let status = exit != Exit::Status(0);
    if status && said {
        return pass();
    }
    let words = match &launch.errors {
        Some(errors) if said => format!("standard error: {}", errors.text.short(120)),
        _ if !launch.output.text.is_empty() => {
            format!("standard error is empty; standard output: {}", launch.output.text.short(120))
        }
        _ => "standard error is empty".to_owned(),
    };
    let actual = format!("{exit}, {}", if said { "and a message" } else { "and no message on standard error" });
    fail(
        "a status other than 0, and a line on standard error",
        actual,
        vec![format!("the second start ended with {exit}"), words],
    )
}

fn stale(case: &Case<'_>) -> Judgement {
    case.daemon()?;
    let seen = case.scenario("stale")?;
    let (launch, look) = (seen.launch("start")?, seen.look("rest")?);
    let Some(exit) = launch.ended else { return broken("the launcher did not end") };
    let Some(lacking) = case.lacks(look, Some(exit))? else { return pass() };
    let mut evidence = vec![format!("over a PID file that names a dead process the start ended with {exit}")];
    if let Some(errors) = launch.errors.as_ref().filter(|e| e.bytes > 0) {
        evidence.push(format!("it said: {}", errors.text.short(120)));
    }
    evidence.extend(look.pidfile.as_ref().map(|file| format!("{}: {}", file.path, content_of(file))));
    fail("it starts, and the PID file names it", lacking, evidence)
}
