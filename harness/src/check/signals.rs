//! Masks, dispositions, reactions.

use super::common::signals;
use super::session::survives;
use super::{ANY_STYLE, Case, Check, Judgement, SYSV, broken, check, fail, pass, skip};
use crate::observation::{Attributes, Process};

pub(super) const CHECKS: &[Check] = &[
    check!("signal-mask-reset", Must, Signals, SYSV, "dirty" + "terminal",
        title: "starts with the signal mask it wants, not with the caller's",
        sources: &["daemon(7) SysV step 3: reset the signal mask using sigprocmask()", "execve(2): the mask is preserved"],
        remedy: "call sigprocmask(SIG_SETMASK) with an empty set before anything else; block what you want blocked after that",
        judge: |case| reset(case, "blocked", "blocked", |a| a.blocked)),
    check!("signal-dispositions-reset", Should, Signals, SYSV, "dirty" + "terminal",
        title: "starts with the dispositions it wants: what the caller ignored is not ignored for that",
        sources: &["daemon(7) SysV step 2: reset all signal handlers to their default", "execve(2): ignored signals stay ignored"],
        remedy: "set SIG_DFL for every signal up to _NSIG before anything else, then the handlers you want",
        judge: |case| reset(case, "ignored", "ignored", |a| a.ignored)),
    check!("starts-with-sigchld-ignored", Should, Signals, SYSV, "dirty" + "terminal",
        title: "starts, and reaps its children, also where the caller ignored SIGCHLD",
        sources: &["daemon(7) SysV step 2: reset all signal handlers to their default", "wait(2): with SIGCHLD ignored, wait() fails with ECHILD"],
        remedy: "set SIGCHLD to SIG_DFL before the first fork, or do not take ECHILD for a failure",
        judge: starts_with_sigchld_ignored),
    check!("survives-sighup", Should, Signals, ANY_STYLE, "terminal",
        title: "reloads or ignores SIGHUP",
        sources: &["daemon(7) New-Style item 3: SIGHUP reloads the configuration"],
        remedy: "handle SIGHUP by reopening the log and reading the configuration again, or ignore it",
        judge: |case| survives(case.clean()?, case, "sighup", "SIGHUP was sent")),
    check!("survives-broken-pipe", Should, Signals, SYSV, "pipes" + "terminal",
        title: "outlives the reader of its output",
        sources: &["signal(7): SIGPIPE ends a process by default", "daemon(7) SysV step 9: connect /dev/null to standard output and error"],
        remedy: "put /dev/null or a log on 1 and 2; ignore SIGPIPE (and heed EPIPE) where something is written to pipes or sockets",
        judge: survives_broken_pipe),
];

/// Whether nothing is left in a set of signals of what the caller put there; what the daemon sets after a clean start is its
/// own wish.
fn reset(case: &Case<'_>, kind: &str, word: &str, set: fn(&Attributes) -> u64) -> Judgement {
    let clean = set(case.daemon()?.carries()?);
    let (launch, look) = case.dirty(kind)?;
    let inherited = set(launch.inherits()?);
    if inherited == 0 {
        return broken(format!("no signal could be {word} before the start"));
    }
    let planted = inherited & !clean;
    if planted == 0 {
        return skip(format!("after a clean start, too, every signal is {word}"));
    }
    if let Some(lacking) = case.lacks(look, launch.ended)? {
        return fail(format!("it starts also where every signal is {word}"), lacking, launch.words());
    }
    let daemon = look.daemon()?;
    let left = set(daemon.carries()?) & planted;
    if left == 0 {
        return pass();
    }
    let (field, path) = match (kind, daemon.threads) {
        ("blocked", 2..) => ("SigBlk", "task/*/status: of all threads,"),
        ("blocked", _) => ("SigBlk", "status:"),
        _ => ("SigIgn", "status:"),
    };
    let evidence = vec![
        format!("/proc/{}/{path} {field} {:016x}", daemon.pid, set(daemon.carries()?)),
        format!("after a clean start: {field} {clean:016x}"),
    ];
    fail(
        format!("no signal {word} that is not after a clean start"),
        format!("{} still {word}", signals(left)),
        evidence,
    )
}

fn starts_with_sigchld_ignored(case: &Case<'_>) -> Judgement {
    case.daemon()?;
    let seen = case.scenario("dirty")?;
    let (launch, look) = (seen.launch("sigchld")?, seen.look("sigchld")?);
    if launch.inherits()?.ignored >> (libc::SIGCHLD - 1) & 1 == 0 {
        return broken("SIGCHLD could not be ignored before the start");
    }
    if let Some(lacking) = case.lacks(look, launch.ended)? {
        return fail("it starts also where SIGCHLD is ignored", lacking, launch.words());
    }
    let zombies = |members: &[Process]| members.iter().filter(|p| p.is_zombie()).count();
    let (now, clean) = (zombies(&look.members), zombies(&case.clean_look()?.members));
    if now <= clean {
        return pass();
    }
    fail(
        "it reaps its children as after a clean start",
        format!("{now} zombies, and {clean} after a clean start"),
        Vec::new(),
    )
}

fn survives_broken_pipe(case: &Case<'_>) -> Judgement {
    case.daemon()?;
    if case.clean()?.treatment("sighup").is_ok_and(|treatment| treatment.delivered && !treatment.survived) {
        return skip("SIGHUP, which makes it say something, ends it by itself (see survives-sighup)");
    }
    survives(case.scenario("pipes")?, case, "broken", "the reader of its output went away, and SIGHUP was sent")
}
