//! What a careless caller leaves, and a daemon has to cope with.

use super::common::named;
use super::descriptors::moved;
use super::{ANY_STYLE, Case, Check, Judgement, SYSV, broken, check, fail, pass, steered};
use crate::observation::{Look, Process, Style, Text, Unseen};

pub(super) const CHECKS: &[Check] = &[
    check!("environment-sanitised", Should, Robustness, ANY_STYLE, "dirty" + "terminal",
        title: "is not steered by the caller's variables, and does not hand them to the programs it runs",
        sources: &["daemon(7) SysV step 4: sanitize the environment block", "environ(7)"],
        remedy: "call clearenv() and set what is needed; let a daemon that executes itself anew know that by an argument, not a variable",
        judge: environment_sanitised),
    check!("fork-before-threads", Should, Robustness, SYSV, "traced" + "terminal",
        title: "makes no thread before its last fork",
        sources: &["fork(2): the child has one thread, a copy of the one that called it", "pthread_atfork(3)"],
        remedy: "daemonize first of all, before a library that makes threads is initialised",
        judge: steered::fork_before_threads),
    check!("startup-faults-reported", Should, Robustness, ANY_STYLE, "failing" + "traced" + "terminal",
        title: "comes up whole whichever call of its start fails, or ends non-zero, says why, and leaves nothing",
        sources: &["daemon(7) SysV step 14: notify the original process", "the ERRORS section of each call's manual page"],
        remedy: "look at what each call returns; carry the error through the readiness pipe to the launcher, and remove what was made",
        judge: steered::faults_reported),
    check!("crash-anywhere-restarts", Must, Robustness, ANY_STYLE, "killed" + "traced" + "terminal",
        title: "starts again wherever in its start it was killed",
        sources: &["daemon(7) SysV step 12: the lock decides, not the file's existence"],
        remedy: "let a lock, which ends with the process, say that an instance runs; take an empty or half-written file for none",
        judge: steered::crash_anywhere),
    check!("deleted-launch-directory", May, Robustness, ANY_STYLE, "deleted" + "terminal",
        title: "starts from a directory that is gone",
        sources: &["getcwd(3): ENOENT"],
        remedy: "ask for the current directory only where a relative path has to be resolved, and chdir(\"/\") first of all otherwise",
        judge: deleted_launch_directory),
];

fn environment_sanitised(case: &Case<'_>) -> Judgement {
    case.daemon()?;
    let (launch, look) = case.dirty("environment")?;
    let Some(planted) = launch.planted.as_ref().filter(|planted| !planted.variables.is_empty()) else {
        return broken("no variable could be planted");
    };
    let mut names: Vec<&str> = planted.variables.iter().map(Text::as_str).collect();
    names.truncate(3);
    let shown = format!("started with {} and others set", names.join(", "));
    if let Some(lacking) = case.lacks(look, launch.ended)? {
        return fail("it starts as it does without", lacking, vec![shown]);
    }
    if let Some(other) = other_than_clean(case, look)? {
        return fail("it starts as it does without", other, vec![shown]);
    }
    // A supervisor gives a service the variables that it and its children are to have.
    if case.record.style == Style::NewStyle {
        return pass();
    }
    let has = |p: &Process| {
        let theirs = p.attributes.as_ref().and_then(|a| a.variables.as_ref());
        theirs.is_some_and(|theirs| theirs.iter().any(|name| planted.variables.contains(name)))
    };
    let heirs: Vec<&Process> = look.executed_children().into_iter().filter(|p| has(p)).collect();
    if heirs.is_empty() {
        return pass();
    }
    let evidence = heirs.iter().map(|p| format!("/proc/{}/environ has {}", p.pid, names[0])).collect();
    fail("no variable of the caller's in the programs it runs", format!("in {}", named(&heirs)), evidence)
}

/// How the daemon differs from the one that a clean start gave.
fn other_than_clean(case: &Case<'_>, look: &Look) -> Result<Option<String>, Unseen> {
    let (clean, daemon) = (case.daemon()?, look.daemon()?);
    let (was_leader, is_leader) = (clean.session == clean.pid, daemon.session == daemon.pid);
    if was_leader != is_leader {
        let word = if is_leader { "leads" } else { "does not lead" };
        return Ok(Some(format!("pid {} {word} its session", daemon.pid)));
    }
    if (clean.tty_nr == 0) != (daemon.tty_nr == 0) {
        let word = if daemon.tty_nr == 0 { "has no" } else { "has a" };
        return Ok(Some(format!("pid {} {word} controlling terminal", daemon.pid)));
    }
    if clean.cwd != daemon.cwd {
        let cwd = daemon.cwd.as_ref().map_or("an unknown directory", Text::as_str);
        return Ok(Some(format!("pid {} works in {cwd}", daemon.pid)));
    }
    for fd in [1, 2] {
        if let Some((_, now)) = moved(case, look, fd)? {
            return Ok(Some(format!("its descriptor {fd} leads to {now}")));
        }
    }
    Ok(None)
}

fn deleted_launch_directory(case: &Case<'_>) -> Judgement {
    case.daemon()?;
    let seen = case.scenario("deleted")?;
    let (launch, look) = (seen.launch("start")?, seen.look("rest")?);
    let gone =
        launch.inherited.as_ref().and_then(|p| p.cwd.as_ref()).is_some_and(|cwd| cwd.as_str().ends_with(" (deleted)"));
    if !gone {
        return broken("the directory it was started from could not be removed");
    }
    let Some(lacking) = case.lacks(look, launch.ended)? else { return pass() };
    fail("it starts from a directory that has been removed", lacking, launch.words())
}
