//! The PID file. Skipped, with a reason, where the subject has none.

use super::common::content_of;
use super::{ARTICLE, Case, Check, Judgement, PEP, SYSV, broken, check, fail, pass, skip};
use crate::observation::{Exit, FileKind, FileSeen, Isolation, Stop, Unseen};

pub(super) const CHECKS: &[Check] = &[
    check!("pidfile-present-at-exit", Must, Pidfile, ARTICLE, "terminal",
        title: "has written its PID file, whole, at the instant the launcher ends",
        sources: &["daemon(7) SysV step 12: write the daemon PID to a PID file", "daemon(7) SysV step 15: exit after that"],
        remedy: "write the PID file before telling the launcher, through a pipe, that it may end",
        judge: present_at_exit),
    check!("pidfile-names-main-process", Must, Pidfile, ARTICLE, "terminal",
        title: "names its main process in the PID file",
        sources: &["daemon(7) SysV step 12: the daemon PID, as returned by getpid()"],
        remedy: "write getpid() of the process that stays, after the last fork",
        judge: names_main_process),
    check!("pidfile-format", Must, Pidfile, SYSV, "terminal",
        title: "writes one decimal number and a newline",
        sources: &["FHS 3.0 section 3.15: the process identifier in decimal, followed by a newline"],
        remedy: "write \"%d\\n\" and nothing else",
        judge: format),
    check!("pidfile-removed", Should, Pidfile, PEP, "terminal",
        title: "removes its PID file when it stops",
        sources: &["daemon(7) SysV step 12", "LSB 5.0 Core, init script functions: pidofproc", "PEP 3143: pidfile"],
        remedy: "unlink the PID file while still holding its lock; where the account may not, empty it",
        judge: removed),
    check!("pidfile-removed-by-owner-only", Must, Pidfile, SYSV, "twice",
        title: "leaves the PID file of a running instance alone when a second start is refused",
        sources: &["daemon(7) SysV step 12: the PID file must be handled in a race-free way"],
        remedy: "register the removal only after the lock on the PID file is held",
        judge: removed_by_owner_only),
];

/// The PID file at rest, if the subject has one at all.
fn pidfile<'a>(case: &Case<'a>) -> Result<&'a FileSeen, Unseen> {
    match &case.clean_look()?.pidfile {
        Some(file) => Ok(file),
        None => skip(match case.record.isolation {
            Isolation::Full => "no PID file was declared or found",
            Isolation::None => "no PID file was declared, and finding one needs a sandbox; give --pidfile",
        }),
    }
}

/// The PID file at rest, where it was written.
fn written<'a>(case: &Case<'a>) -> Result<&'a FileSeen, Unseen> {
    case.daemon()?;
    let file = pidfile(case)?;
    if file.found.is_none() {
        skip(format!("{} was never written (see pidfile-present-at-exit)", file.path))
    } else {
        Ok(file)
    }
}

/// The stop that counts for what a stop leaves: its own stop command's, or else SIGTERM's.
pub(super) fn clean_stop<'a>(case: &Case<'a>) -> Result<&'a Stop, Unseen> {
    case.daemon()?;
    case.clean()?.stop(if case.record.own_stop { "stop" } else { "sigterm" })
}

fn present_at_exit(case: &Case<'_>) -> Judgement {
    let at_rest = pidfile(case)?;
    let launch = case.clean_launch()?;
    if launch.ended.is_none() {
        return broken("the launcher did not end");
    }
    case.daemon()?;
    let Some(at_exit) = &launch.pidfile_at_exit else {
        return broken("the PID file was not looked at when the launcher ended");
    };
    // A number that is still another (the launcher's, before a fork) helps nobody; whether the last one is right is
    // pidfile-names-main-process's matter. Where it is never written, at rest there is none either.
    if at_exit.number().is_some() && at_exit.number() == at_rest.number() {
        return pass();
    }
    let evidence = vec![
        format!("when the launcher ended: {}: {}", at_exit.path, content_of(at_exit)),
        format!("at rest: {}", content_of(at_rest)),
    ];
    fail(
        "the PID file is there, and says what it says at rest",
        format!("{} when the launcher ends", content_of(at_exit)),
        evidence,
    )
}

fn names_main_process(case: &Case<'_>) -> Judgement {
    let file = written(case)?;
    let main = case.daemon()?;
    if file.number() == Some(main.pid) {
        return pass();
    }
    let evidence = vec![format!("{}: {}", file.path, content_of(file)), format!("the main process is {main}")];
    fail(main.pid.to_string(), content_of(file), evidence)
}

fn format(case: &Case<'_>) -> Judgement {
    let file = written(case)?;
    let regular = file.found.as_ref().is_some_and(|f| f.kind == FileKind::Regular);
    let content = file.found.as_ref().and_then(|f| f.content.as_ref()).map_or("", |c| c.as_str());
    let number = content.strip_suffix("\\n").filter(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
    if regular && number.is_some() {
        return pass();
    }
    fail("decimal digits and one newline", content_of(file), vec![format!("{}: {}", file.path, content_of(file))])
}

fn removed(case: &Case<'_>) -> Judgement {
    written(case)?;
    let stop = clean_stop(case)?;
    if !stop.gone {
        return broken("it did not stop (see sigterm-stops)");
    }
    let Some(file) = &stop.pidfile else { return broken("the PID file was not looked at after the stop") };
    let Some(found) = &file.found else { return pass() };
    // Under an account that may not unlink it there, it can only empty it.
    let dropped = case.record.drops_to.is_some() || case.daemon()?.uid() != Some(0);
    if dropped && found.length == 0 {
        return pass();
    }
    fail(
        "no PID file after a clean stop",
        format!("it is still there: {}", content_of(file)),
        vec![format!("{}: {}", file.path, content_of(file))],
    )
}

fn removed_by_owner_only(case: &Case<'_>) -> Judgement {
    case.daemon()?;
    let seen = case.scenario("twice")?;
    let (before, after) = (seen.look("before")?, seen.look("after")?);
    let Some(had) = &before.pidfile else { return skip("no PID file was declared or found") };
    if had.number().is_none() {
        return skip(format!("{} was never written (see pidfile-present-at-exit)", had.path));
    }
    if !super::instance::was_refused(seen)? {
        return skip("the second start was not refused (see second-instance-refused)");
    }
    let Some(has) = &after.pidfile else { return broken("the PID file was not looked at after the second start") };
    if has.found.as_ref().map(|f| &f.content) == had.found.as_ref().map(|f| &f.content) {
        return pass();
    }
    let exit = seen.launch("second")?.ended.map_or("it did not end".to_owned(), |e: Exit| e.to_string());
    let evidence = vec![format!("the second start ended with {exit}"), format!("{}: {}", has.path, content_of(has))];
    fail(format!("it still holds {}", content_of(had)), content_of(has), evidence)
}
