//! As the first process of a container.

use super::common::content_of;
use super::{CONTAINER, Case, Check, Judgement, broken, check, fail, pass};
use crate::observation::{Launch, Observation, Process, Unseen};

pub(super) const CHECKS: &[Check] = &[
    check!("pid1-sigterm", Must, Container, CONTAINER, "pid1",
        title: "ends on SIGTERM as process 1, too, which has no default actions",
        sources: &["pid_namespaces(7): only signals for which it has a handler reach process 1", "daemon(7) New-Style: shut down on SIGTERM"],
        remedy: "set a handler for SIGTERM, or block it and wait for it, first of all; the default action does not exist for process 1",
        judge: sigterm),
    check!("pid1-reaps", Should, Container, CONTAINER, "pid1",
        title: "reaps the orphans that it is given as process 1",
        sources: &["pid_namespaces(7): orphans of the namespace become children of its process 1", "wait(2), NOTES"],
        remedy: "on SIGCHLD wait for any child until there is none left, or have an init for containers be process 1",
        judge: reaps),
    check!("pid1-restart", Must, Container, CONTAINER, "pid1",
        title: "starts again after SIGKILL over a PID file that names process 1, which it is itself",
        sources: &["pid_namespaces(7): the first process of each namespace is process 1", "flock(2): a lock ends with its process"],
        remedy: "write no PID file under a supervisor, or let a lock say who runs, and not whether the number in the file is alive",
        judge: restart),
];

/// What was seen of it as process 1, if it was.
fn contained<'a>(case: &Case<'a>) -> Result<&'a Observation, Unseen> {
    let seen = case.scenario("pid1")?;
    is_first(seen.launch("start")?)?;
    case.daemon()?;
    Ok(seen)
}

fn is_first(launch: &Launch) -> Result<(), Unseen> {
    match launch.inherited.as_ref().map(|process| process.inner_pid) {
        Some(1) => Ok(()),
        _ => broken("it could not be proven that it was process 1"),
    }
}

fn is_up(seen: &Observation) -> Result<(), Unseen> {
    let alive = seen.launch("start")?.ended.is_none() && seen.look("rest")?.is_up();
    if alive { Ok(()) } else { broken("no daemon was running as process 1 (see pid1-restart)") }
}

fn state(process: &Process) -> String {
    format!("/proc/{}/stat: {}, state {}, parent {}", process.pid, process.name.short(24), process.state, process.ppid)
}

fn sigterm(case: &Case<'_>) -> Judgement {
    let seen = contained(case)?;
    is_up(seen)?;
    let stop = seen.stop("sigterm")?;
    if stop.gone {
        return pass();
    }
    let actual = format!("pid {} (process 1 to itself) was still there at the deadline", stop.main);
    fail("it ends on SIGTERM", actual, stop.left.iter().take(5).map(state).collect())
}

fn reaps(case: &Case<'_>) -> Judgement {
    let seen = contained(case)?;
    is_up(seen)?;
    if !*seen.fact("adopted")? {
        return broken("it could not be proven that an orphan had become its child");
    }
    if *seen.fact("reaped")? {
        return pass();
    }
    let first = seen.launch("start")?.launcher;
    let zombies = seen.look("orphaned")?.members.iter().filter(|p| p.is_zombie() && p.ppid == first);
    fail("an orphan that has ended is gone", "it is left as a zombie", zombies.take(5).map(state).collect())
}

fn restart(case: &Case<'_>) -> Judgement {
    let seen = contained(case)?;
    let first = seen.launch("start")?;
    if let Some(lacking) = case.lacks(seen.look("rest")?, first.ended)? {
        return fail("it starts as process 1", lacking, said(first));
    }
    is_up(seen)?;
    let (launch, look) = (seen.launch("again")?, seen.look("again")?);
    is_first(launch)?;
    let Some(lacking) = case.lacks(look, launch.ended)? else { return pass() };
    let left = seen.file("left").ok().map(|file| format!("after SIGKILL {} held {}", file.path, content_of(file)));
    let evidence = left.into_iter().chain(said(launch)).collect();
    fail("it starts again as process 1", format!("after SIGKILL, {lacking}"), evidence)
}

fn said(launch: &Launch) -> Vec<String> {
    let errors = launch.errors.iter().filter(|errors| errors.bytes > 0);
    errors.map(|errors| format!("it said: {}", errors.text.short(200))).collect()
}
