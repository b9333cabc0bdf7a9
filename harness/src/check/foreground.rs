//! Under a supervisor: staying, speaking, logging.

use super::common::named;
use super::{Case, Check, FOREGROUND, Judgement, broken, check, fail, pass, skip};
use crate::observation::{FileKind, FileSeen, Launch, Look, Notice, Pid, Process, Style, Unseen};

pub(super) const CHECKS: &[Check] = &[
    check!("stays-in-foreground", Must, Foreground, FOREGROUND, "foreground",
        title: "is the process that its supervisor started, and stays that one's child",
        sources: &["daemon(7) New-Style: none of the SysV steps, since some interfere with process monitoring", "systemd.service(5), Type="],
        remedy: "make going into the background an option, or leave it out: no fork, no exit of the started process",
        judge: stays_in_foreground),
    check!("notify-ready", Should, Foreground, FOREGROUND, "notify",
        title: "says READY=1 where NOTIFY_SOCKET is set, from its main process, once it is ready and not before",
        sources: &["daemon(7) New-Style: notify the init system about startup completion via sd_notify(3)", "sd_notify(3), READY=1"],
        remedy: "send READY=1 to NOTIFY_SOCKET as the last act of initialisation, from the process that was started",
        judge: notify_ready),
    check!("notify-socket-kept", Should, Foreground, FOREGROUND, "notify",
        title: "keeps NOTIFY_SOCKET from the programs that it executes",
        sources: &["sd_notify(3), unset_environment", "systemd.service(5), NotifyAccess="],
        remedy: "read NOTIFY_SOCKET once, at the very start, and remove it from the environment",
        judge: notify_socket_kept),
    check!("notify-stopping", May, Foreground, FOREGROUND, "notify",
        title: "says STOPPING=1 where NOTIFY_SOCKET is set and it is told to stop",
        sources: &["sd_notify(3), STOPPING=1"],
        remedy: "send STOPPING=1 to NOTIFY_SOCKET first thing on SIGTERM",
        judge: notify_stopping),
    check!("listen-pid-checked", May, Foreground, FOREGROUND, "notify",
        title: "takes over passed sockets only where LISTEN_PID is its own",
        sources: &["sd_listen_fds(3): LISTEN_PID is compared with the daemon's PID"],
        remedy: "compare LISTEN_PID with getpid() before any passed descriptor is used, and go on without them where it differs",
        judge: listen_pid_checked),
    check!("logs-to-stderr", Should, Foreground, FOREGROUND, "foreground",
        title: "logs to standard error, in whole lines",
        sources: &["daemon(7) New-Style: log to standard error, or via syslog(3)", "sd-daemon(3)"],
        remedy: "in the foreground write each line to standard error, whole, by one write(2)",
        judge: logs_to_stderr),
];

/// Skips what makes no sense of a daemon that a shell started.
fn supervised(case: &Case<'_>) -> Result<(), Unseen> {
    case.clean_launch()?;
    match case.record.style {
        Style::NewStyle => Ok(()),
        Style::SysV => skip("it is for daemons under a supervisor (--profile foreground or container)"),
    }
}

fn stat_line(process: &Process) -> String {
    format!("/proc/{}/stat: {}, parent {}", process.pid, process.name.short(24), process.ppid)
}

fn stays_in_foreground(case: &Case<'_>) -> Judgement {
    supervised(case)?;
    let (launch, look, main) = (case.clean_launch()?, case.clean_look()?, case.daemon()?);
    let started = launch.launcher;
    if let Some(exit) = launch.ended {
        let left: Vec<&Process> = look.alive().collect();
        let evidence = left.iter().take(5).map(|p| stat_line(p)).collect();
        let actual = format!("pid {started}, which was started, ended with {exit}, and {} runs on", named(&left));
        return fail("the process that was started runs on, as the daemon", actual, evidence);
    }
    if main.pid != started {
        let mut evidence = vec![stat_line(main)];
        evidence.extend(look.pidfile.as_ref().map(|f| format!("{}: {}", f.path, super::common::content_of(f))));
        let actual = format!("pid {started} was started, and the daemon is {main}");
        return fail(format!("pid {started}, which was started, is the daemon"), actual, evidence);
    }
    if main.ppid != launch.shell {
        let actual = format!("its parent is pid {}", main.ppid);
        return fail(format!("its parent is pid {}, the supervisor", launch.shell), actual, vec![stat_line(main)]);
    }
    pass()
}

/// The clean start under a supervisor that listens.
fn with_socket<'a>(case: &Case<'a>) -> Result<(&'a Launch, &'a Look, &'a [Notice]), Unseen> {
    let seen = case.scenario("notify")?;
    let found = (seen.launch("start")?, seen.look("rest")?, seen.notices("notices")?.as_slice());
    case.daemon()?;
    Ok(found)
}

/// Whether a message is the daemon's own: the process that was started is who a supervisor listens to.
fn is_own(notice: &Notice, launch: &Launch, look: &Look) -> bool {
    notice.sender == launch.launcher || look.main.is_some_and(|(pid, _)| pid == notice.sender)
}

fn sender(pid: Pid, look: &Look) -> String {
    look.members.iter().find(|p| p.pid == pid).map_or_else(|| format!("pid {pid}"), ToString::to_string)
}

fn heard(notices: &[Notice], look: &Look) -> Vec<String> {
    notices.iter().take(5).map(|n| format!("{} said {}", sender(n.sender, look), n.text.short(80))).collect()
}

fn notify_ready(case: &Case<'_>) -> Judgement {
    let (launch, look, notices) = with_socket(case)?;
    let expected = "READY=1 from the main process, once it is ready";
    let ready: Vec<&Notice> = notices.iter().filter(|notice| notice.says("READY=1")).collect();
    let Some(first) = ready.first() else {
        let end = launch.ended.map(|exit| format!("the process that was started ended with {exit}"));
        let evidence = end.into_iter().chain(heard(notices, look)).collect();
        return fail(expected, "it never said READY=1", evidence);
    };
    match ready.iter().find(|notice| is_own(notice, launch, look)) {
        Some(own) if own.ready => pass(),
        Some(_) => {
            let actual = "it said READY=1 before the PID file, or what --ready declares, was there";
            fail(expected, actual, heard(notices, look))
        }
        None => {
            let actual = format!("{} said READY=1, not pid {}", sender(first.sender, look), launch.launcher);
            fail(expected, actual, heard(notices, look))
        }
    }
}

fn notify_stopping(case: &Case<'_>) -> Judgement {
    let (launch, look, notices) = with_socket(case)?;
    if !notices.iter().any(|notice| notice.says("READY=1")) {
        return skip("it never said READY=1 either (see notify-ready)");
    }
    let stop = case.scenario("notify")?.stop("sigterm")?;
    let mut stopping = notices.iter().filter(|notice| notice.says("STOPPING=1"));
    if stopping.clone().any(|notice| is_own(notice, launch, look)) {
        return pass();
    }
    let expected = "STOPPING=1 from the main process, on SIGTERM";
    match stopping.next() {
        Some(other) => fail(expected, format!("{} said it", sender(other.sender, look)), heard(notices, look)),
        None if stop.gone => fail(expected, "it stopped without a word", heard(notices, look)),
        None => broken("it did not end on SIGTERM (see sigterm-stops)"),
    }
}

fn notify_socket_kept(case: &Case<'_>) -> Judgement {
    let (_, look, _) = with_socket(case)?;
    if look.main().is_none() {
        return broken("no daemon was running where NOTIFY_SOCKET was set");
    }
    let executed = look.executed_children();
    let mut having = Vec::new();
    for process in executed {
        let variables = process.attributes.as_ref().and_then(|attributes| attributes.variables.as_ref());
        let Some(variables) = variables else {
            return broken(format!("the environment of {process} could not be read"));
        };
        if variables.iter().any(|name| name.as_str() == "NOTIFY_SOCKET") {
            having.push(process);
        }
    }
    if having.is_empty() {
        return pass();
    }
    let evidence = having.iter().take(5).map(|p| format!("/proc/{}/environ has NOTIFY_SOCKET", p.pid)).collect();
    fail("no program that it executed has NOTIFY_SOCKET", format!("{} with NOTIFY_SOCKET", named(&having)), evidence)
}

fn listen_pid_checked(case: &Case<'_>) -> Judgement {
    const PASSED: i32 = 3;
    let seen = case.scenario("notify")?;
    let (launch, look) = (seen.launch("passed")?, seen.look("passed")?);
    case.daemon()?;
    let passed = launch.inherited.as_ref().and_then(|process| process.descriptor(PASSED));
    if !passed.is_some_and(|d| d.kind == FileKind::Socket && !d.close_on_exec) {
        return broken("it could not be proven that a socket was passed");
    }
    if !look.is_up() {
        let how = launch.ended.map_or("nothing is running".to_owned(), |exit| format!("it ended with {exit}"));
        let said = launch.errors.iter().filter(|errors| errors.bytes > 0);
        let said = said.map(|errors| format!("standard error: {}", errors.text.short(120))).collect();
        return fail("it starts as if no socket had been passed", how, said);
    }
    if !*seen.fact("connected")? {
        return broken("the socket that was passed could not be connected to");
    }
    if !*seen.fact("accepted")? {
        return pass();
    }
    let holders = look.alive().filter_map(|p| p.descriptor(PASSED).map(|d| (p, d)));
    let evidence = holders.map(|(p, d)| format!("/proc/{}/fd/{PASSED} -> {}", p.pid, d.target)).take(5).collect();
    fail(
        "a connection to a socket that was passed to another process waits",
        "it accepted the connection, although LISTEN_PID was that of another process",
        evidence,
    )
}

fn logs_to_stderr(case: &Case<'_>) -> Judgement {
    supervised(case)?;
    case.daemon()?;
    let (errors, output) = (case.clean()?.output("stderr")?, case.clean()?.output("stdout")?);
    let expected = "whole lines on standard error";
    if errors.bytes > 0 {
        if errors.whole_lines {
            return pass();
        }
        let actual = "what it wrote to standard error ends in the middle of a line";
        return fail(expected, actual, vec![format!("standard error: {}", errors.text.short(200))]);
    }
    let evidence = "standard error is empty up to its end".to_owned();
    if output.bytes > 0 {
        let said = format!("standard output: {}", output.text.short(200));
        return fail(expected, "it logs to standard output", vec![evidence, said]);
    }
    match log_elsewhere(case)? {
        Some(log) => fail(expected, format!("it logs to {log}"), vec![evidence]),
        None => skip("it said nothing anywhere"),
    }
}

/// A log that it writes to although it was not asked to: the declared one, or a file that it keeps open and that is called
/// or placed as logs are.
fn log_elsewhere(case: &Case<'_>) -> Result<Option<String>, Unseen> {
    let is_written = |file: &&FileSeen| file.found.as_ref().is_some_and(|found| found.length > 0);
    if let Some(log) = case.clean_look()?.log.as_ref().filter(is_written) {
        return Ok(Some(log.path.to_string()));
    }
    let descriptors = case.members()?.into_iter().flat_map(|p| p.descriptors.iter().flatten());
    let is_log = |path: &str| path.ends_with(".log") || path.starts_with("/var/log/");
    let mut logs = descriptors.filter(|d| d.kind == FileKind::Regular && d.writable && is_log(d.target.as_str()));
    Ok(logs.next().map(|d| d.target.to_string()))
}
