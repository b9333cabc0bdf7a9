//! The session and its terminal.

use super::common::named;
use super::{ARTICLE_PEP, Case, Check, Judgement, PEP, SYSV, broken, check, fail, pass, skip};
use crate::observation::{Observation, Process};

pub(super) const CHECKS: &[Check] = &[
    check!("new-session", Must, Session, ARTICLE_PEP, "terminal",
        title: "is in another session than the shell that started it",
        sources: &["daemon(7) SysV step 6: call setsid() in the child", "PEP 3143", "setsid(2)"],
        remedy: "call setsid() in the child of the first fork",
        judge: new_session),
    check!("no-controlling-terminal", Must, Session, ARTICLE_PEP, "terminal",
        title: "has no controlling terminal, nor has any process of its own",
        sources: &["daemon(7) SysV step 6: detach from any terminal", "PEP 3143", "credentials(7)"],
        remedy: "call setsid() after the first fork, and open terminals with O_NOCTTY",
        judge: no_controlling_terminal),
    check!("not-session-leader", Should, Session, PEP, "terminal",
        title: "is not a session leader, so that it cannot acquire a terminal by opening one",
        sources: &["daemon(7) SysV step 7: call fork() again, so that it can never re-acquire a terminal", "PEP 3143"],
        remedy: "fork once more after setsid(), and go on in the child",
        judge: not_session_leader),
    check!("terminal-released", Must, Session, SYSV, "terminal",
        title: "holds no descriptor of the terminal it was started from, in any process",
        sources: &["daemon(7) SysV step 9: connect /dev/null to standard input, output and error"],
        remedy: "put /dev/null or a log on 0, 1 and 2, and close what else leads to the terminal",
        judge: terminal_released),
    check!("survives-hangup", Must, Session, SYSV, "terminal",
        title: "outlives the terminal it was started from",
        sources: &["daemon(7) SysV step 6: detach from any terminal", "setsid(2)", "ioctl_tty(2)"],
        remedy: "leave the terminal's session with setsid(), and do not read from or write to the terminal",
        judge: |case| survives(case.clean()?, case, "hangup", "its terminal hung up")),
    check!("survives-leader-exit", Must, Session, SYSV, "leader" + "terminal",
        title: "outlives a launcher that leads the session of a terminal",
        sources: &["daemon(7) SysV step 6: call setsid() in the child", "daemon(7) SysV step 15: exit when initialisation is complete", "setsid(2), exit(3): the leader's end hangs the terminal up"],
        remedy: "let the launcher wait, on a pipe, until the child has called setsid(); or ignore SIGHUP before the fork",
        judge: survives_leader_exit),
    check!("survives-interrupt", Must, Session, SYSV, "terminal",
        title: "outlives Ctrl-C and Ctrl-\\ typed at that terminal",
        sources: &["daemon(7) SysV step 6: create an independent session", "termios(3): VINTR, VQUIT"],
        remedy: "leave the terminal's foreground process group with setsid()",
        judge: survives_interrupt),
    check!("terminal-silent", Should, Session, SYSV, "terminal" + "held",
        title: "writes nothing to the terminal once the launcher has ended",
        sources: &["daemon(7) SysV step 9: connect /dev/null to standard input, output and error"],
        remedy: "write to a log or to syslog; redirect 1 and 2 before the launcher ends",
        judge: terminal_silent),
];

fn stat_line(process: &Process) -> String {
    format!("/proc/{}/stat: pgrp {}, session {}, tty_nr {}", process.pid, process.pgrp, process.session, process.tty_nr)
}

fn new_session(case: &Case<'_>) -> Judgement {
    let launch = case.clean_launch()?;
    let inside: Vec<&Process> = case.members()?.into_iter().filter(|p| p.session == launch.shell).collect();
    if inside.is_empty() {
        return pass();
    }
    let actual = format!("{} in session {}, the shell's", named(&inside), launch.shell);
    fail(format!("a session other than {}", launch.shell), actual, inside.iter().map(|p| stat_line(p)).collect())
}

fn no_controlling_terminal(case: &Case<'_>) -> Judgement {
    let (members, main) = (case.members()?, case.daemon()?);
    let planted = case.clean_launch()?.shell_tty_nr;
    if planted == 0 {
        return broken("the shell had no controlling terminal, so the daemon could not inherit one");
    }
    // What it starts on a terminal of its own (a login, a pane) is its service; the launch's terminal is not.
    let holds = |p: &&Process| p.tty_nr == planted || (p.pid == main.pid && p.tty_nr != 0);
    let holding: Vec<&Process> = members.into_iter().filter(holds).collect();
    if holding.is_empty() {
        return pass();
    }
    let evidence = holding.iter().map(|p| stat_line(p)).collect();
    fail("no controlling terminal (tty_nr 0)", format!("{} with a controlling terminal", named(&holding)), evidence)
}

fn not_session_leader(case: &Case<'_>) -> Judgement {
    let main = case.daemon()?;
    if main.session != main.pid {
        return pass();
    }
    fail(
        "its session's id differs from its own",
        format!("pid {} leads session {}", main.pid, main.session),
        vec![stat_line(main)],
    )
}

fn terminal_released(case: &Case<'_>) -> Judgement {
    let launch = case.clean_launch()?;
    let mut evidence = Vec::new();
    let mut holders = Vec::new();
    for process in case.members()? {
        let Some(descriptors) = &process.descriptors else {
            return broken(format!("the descriptors of pid {} could not be read", process.pid));
        };
        let held: Vec<String> = descriptors
            .iter()
            .filter(|d| launch.is_its_terminal(d))
            .map(|d| format!("/proc/{}/fd/{} -> {}", process.pid, d.fd, d.target))
            .collect();
        if !held.is_empty() {
            holders.push(process);
            evidence.extend(held);
        }
    }
    if holders.is_empty() {
        return pass();
    }
    fail("no descriptor leads to the terminal", format!("held by {}", named(&holders)), evidence)
}

/// Whether the daemon outlived what a step did to it.
pub(super) fn survives(seen: &Observation, case: &Case<'_>, step: &str, what: &str) -> Judgement {
    case.daemon()?;
    let treatment = seen.treatment(step)?;
    if !treatment.delivered {
        return broken(format!("it could not be proven that {what}"));
    }
    if treatment.survived && !treatment.at_rest {
        return broken(format!("it never came to rest after {what}, so whether it outlives that cannot be told"));
    }
    if treatment.survived {
        return pass();
    }
    let how = treatment.ended.map_or("it is gone".to_owned(), |exit| format!("it ended with {exit}"));
    fail(
        format!("pid {} lives on after {what}", treatment.main),
        how.clone(),
        vec![format!("pid {}: {how}", treatment.main)],
    )
}

fn survives_interrupt(case: &Case<'_>) -> Judgement {
    match survives(case.clean()?, case, "interrupt", "Ctrl-C was typed")? {
        super::Ruling::Kept => survives(case.clean()?, case, "quit", "Ctrl-\\ was typed"),
        failed @ super::Ruling::Broken(_) => Ok(failed),
    }
}

fn survives_leader_exit(case: &Case<'_>) -> Judgement {
    case.daemon()?;
    let seen = case.scenario("leader")?;
    let (launch, look) = (seen.launch("start")?, seen.look("rest")?);
    let leads = launch.inherited.as_ref().is_some_and(|p| p.session == p.pid && p.tty_nr != 0);
    if !leads {
        return broken("the launcher did not lead the session of a terminal, so its end hung nothing up");
    }
    let Some(exit) = launch.ended else { return broken("the launcher did not end") };
    if look.is_up() {
        return pass();
    }
    let mut evidence = vec![
        format!("pid {}, leader of session {0}, ended with {exit}", launch.launcher),
        "a setsid() of its children's was held until then".to_owned(),
    ];
    evidence.extend(launch.words());
    fail(
        "it is running after the launcher, leader of the terminal's session, has ended",
        format!("nothing is left; the launcher ended with {exit}"),
        evidence,
    )
}

fn terminal_silent<'a>(case: &Case<'a>) -> Judgement {
    case.daemon()?;
    if case.clean_launch()?.ended.is_none() {
        return skip("the launcher never ended (see launcher-exits)");
    }
    // Whether a daemon is quick enough to have said it before its launcher ends is luck, but not where it was held until then.
    let held = case.scenario("held").ok();
    let showed = |seen: &'a Observation| seen.later_output().filter(|output| output.bytes > 0);
    let Some((output, when)) = showed(case.clean()?)
        .map(|output| (output, ""))
        .chain(held.into_iter().flat_map(showed).map(|output| (output, ", held until the launcher had ended")))
        .next()
    else {
        return pass();
    };
    let evidence = vec![format!("the terminal showed{when}: {}", output.text.short(200))];
    fail("nothing", format!("{} bytes{when}", output.bytes), evidence)
}
