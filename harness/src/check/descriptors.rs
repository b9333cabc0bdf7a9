//! Open files: the three standard streams above all.

use super::common::{named, worst};
use super::{ANY_STYLE, ARTICLE_PEP, Case, Check, Judgement, PEP, SYSV, broken, check, fail, pass, skip, steered};
use crate::observation::{Descriptor, FileKind, Launch, Look, Process, Style, Text, Unseen};

pub(super) const CHECKS: &[Check] = &[
    check!("stdin-redirected", Must, Descriptors, ARTICLE_PEP, "terminal",
        title: "reads nothing of the caller's: descriptor 0 is on /dev/null or on its own",
        sources: &["daemon(7) SysV step 9: connect /dev/null to standard input", "PEP 3143: stdin"],
        remedy: "open /dev/null and dup2() it to 0; reassigning a stream object leaves the descriptor as it was",
        judge: |case| redirected(case, 0)),
    check!("stdout-redirected", Must, Descriptors, ARTICLE_PEP, "terminal",
        title: "has descriptor 1 on a log or on /dev/null",
        sources: &["daemon(7) SysV step 9: connect /dev/null to standard output", "PEP 3143: stdout"],
        remedy: "open the log or /dev/null and dup2() it to 1; reassigning a stream object leaves the descriptor as it was",
        judge: |case| redirected(case, 1)),
    check!("stderr-redirected", Must, Descriptors, ARTICLE_PEP, "terminal",
        title: "has descriptor 2 on a log or on /dev/null",
        sources: &["daemon(7) SysV step 9: connect /dev/null to standard error", "PEP 3143: stderr"],
        remedy: "open the log or /dev/null and dup2() it to 2; reassigning a stream object leaves the descriptor as it was",
        judge: |case| redirected(case, 2)),
    check!("stdio-open", Must, Descriptors, SYSV, "terminal",
        title: "has 0, 1 and 2 open: 0 to read from, 1 and 2 to write to",
        sources: &["daemon(7) SysV step 9: connect /dev/null, rather than close", "CERT C FIO22-C"],
        remedy: "connect 0, 1 and 2 to /dev/null instead of closing them: the next file opened would take their place",
        judge: stdio_open),
    check!("pipes-released", Must, Descriptors, SYSV, "pipes" + "terminal",
        title: "lets whoever reads its output see the end: ssh HOST DAEMON and $(daemon) return",
        sources: &["daemon(7) SysV step 9: connect /dev/null to standard output and error", "pipe(7)"],
        remedy: "put /dev/null or a log on 0, 1 and 2 in the daemon and in every child, and close duplicates of what was there",
        judge: pipes_released),
    check!("starts-with-stdio-closed", Must, Descriptors, ANY_STYLE, "closed" + "terminal",
        title: "starts with any of 0, 1 and 2 closed, and puts nothing of its own in their place",
        sources: &["open(2): the lowest number that is free", "CERT C FIO22-C"],
        remedy: "before anything is opened, open /dev/null until the descriptor returned is above 2",
        judge: starts_with_stdio_closed),
    check!("inherited-descriptors-closed", Must, Descriptors, PEP, "dirty" + "terminal",
        title: "closes the descriptors it was not meant to have",
        sources: &["daemon(7) SysV step 1: close all open file descriptors except 0, 1 and 2", "PEP 3143", "CWE-403"],
        remedy: "call close_range(3, ~0U, 0) first of all; where that is missing, close what /proc/self/fd lists",
        judge: inherited_descriptors_closed),
    check!("close-cost-bounded", Should, Descriptors, SYSV, "traced" + "terminal",
        title: "closes what it inherited at a cost that does not grow with the limit of open files",
        sources: &["daemon(7) SysV step 1: close all open file descriptors", "close_range(2); getrlimit(2): RLIMIT_NOFILE"],
        remedy: "call close_range(3, ~0U, 0), or close what /proc/self/fd lists, instead of each number up to the limit",
        judge: steered::close_cost_bounded),
    check!("descriptors-kept-from-children", Should, Descriptors, SYSV, "terminal",
        title: "does not hand its own descriptors to the programs it executes",
        sources: &["open(2): O_CLOEXEC", "CWE-403"],
        remedy: "open everything with O_CLOEXEC (SOCK_CLOEXEC, pipe2, accept4), and pass on by dup2() only what a child is to have",
        judge: descriptors_kept_from_children),
];

fn descriptor(process: &Process, fd: i32) -> Result<Option<&Descriptor>, Unseen> {
    if process.descriptors.is_none() {
        return broken(format!("the descriptors of pid {} could not be read", process.pid));
    }
    Ok(process.descriptor(fd))
}

fn line(process: &Process, descriptor: &Descriptor) -> String {
    format!("/proc/{}/fd/{} -> {}", process.pid, descriptor.fd, descriptor.target)
}

/// What is wrong with what the main process's `fd` leads to, if anything.
fn flaw(found: Option<&Descriptor>, fd: i32, launch: &Launch, pidfile: Option<&Text>) -> Option<String> {
    let Some(found) = found else {
        // Closed, it reads nothing of the caller's; that it is closed is another check's matter.
        return (fd != 0).then(|| "it is closed".to_owned());
    };
    match found.kind {
        _ if launch.is_its_terminal(found) => Some("it is the caller's terminal".to_owned()),
        _ if fd == 0 => None,
        FileKind::Regular if Some(&found.target) == pidfile => Some("it is the PID file".to_owned()),
        FileKind::NullDevice | FileKind::Regular | FileKind::Pipe | FileKind::LocalStream => None,
        FileKind::Terminal => Some(format!("it is a terminal, {}", found.target)),
        FileKind::Socket => Some(format!("it is a socket, {}", found.target)),
        _ => Some(format!("it is {}, which is no log", found.target)),
    }
}

fn redirected(case: &Case<'_>, fd: i32) -> Judgement {
    let launch = case.clean_launch()?;
    let main = case.daemon()?;
    let pidfile = case.clean_look()?.pidfile.as_ref().map(|file| &file.path);
    let expected = if fd == 0 { "/dev/null, or something of its own" } else { "a log or /dev/null" };
    for process in case.members()? {
        let found = descriptor(process, fd)?;
        // Children may have streams of whatever kind, a terminal of their own included; not the caller's.
        let callers =
            found.is_some_and(|d| launch.is_its_terminal(d)).then(|| "it is the caller's terminal".to_owned());
        let flaw = if process.pid == main.pid { flaw(found, fd, launch, pidfile) } else { callers };
        if let Some(flaw) = flaw {
            let evidence =
                found.map_or_else(|| format!("/proc/{}/fd/{fd} is not there", process.pid), |d| line(process, d));
            return fail(expected, format!("in {process} {flaw}"), vec![evidence]);
        }
    }
    pass()
}

fn stdio_open(case: &Case<'_>) -> Judgement {
    let main = case.daemon()?;
    let mut evidence = Vec::new();
    let mut wrong = Vec::new();
    for (fd, name) in [(0, "standard input"), (1, "standard output"), (2, "standard error")] {
        match descriptor(main, fd)? {
            None => {
                wrong.push(format!("{name} is closed"));
                evidence.push(format!("/proc/{}/fd/{fd} is not there", main.pid));
            }
            Some(found) if fd == 0 && !found.readable => {
                wrong.push(format!("{name} cannot be read from"));
                evidence.push(line(main, found));
            }
            Some(found) if fd != 0 && !found.writable => {
                wrong.push(format!("{name} cannot be written to"));
                evidence.push(line(main, found));
            }
            Some(_) => {}
        }
    }
    if wrong.is_empty() { pass() } else { fail("0 readable, 1 and 2 writable", wrong.join("; "), evidence) }
}

fn pipes_released(case: &Case<'_>) -> Judgement {
    case.daemon()?;
    let seen = case.scenario("pipes")?;
    let (launch, look) = (seen.launch("start")?, seen.look("rest")?);
    if launch.ended.is_none() {
        return broken("the launcher did not end");
    }
    if let Some(lacking) = case.lacks(look, launch.ended)? {
        return fail("it starts with its streams on pipes", lacking, launch.words());
    }
    let pipes = seen.pipes("pipes")?;
    if pipes.ended == [true; 2] {
        return pass();
    }
    let holders: Vec<&Process> =
        look.members.iter().filter(|p| pipes.holders.iter().any(|(pid, _)| *pid == p.pid)).collect();
    let evidence = pipes.holders.iter().map(|(pid, fd)| format!("/proc/{pid}/fd/{fd} is the caller's pipe")).collect();
    let streams: Vec<&str> = ["standard output", "standard error"]
        .into_iter()
        .zip(pipes.ended)
        .filter_map(|(name, ended)| (!ended).then_some(name))
        .collect();
    fail(
        format!("the reader of {} sees the end", streams.join(" and ")),
        format!("held by {}", named(&holders)),
        evidence,
    )
}

/// What a stream of the daemon's leads to, so that two starts can be compared.
fn leads_to(found: Option<&Descriptor>) -> String {
    match found {
        None => "nothing: it is closed".to_owned(),
        Some(d) if matches!(d.kind, FileKind::Pipe | FileKind::Socket | FileKind::LocalStream) => {
            format!("{:?}", d.kind).to_lowercase()
        }
        Some(d) => d.target.as_str().to_owned(),
    }
}

/// Where descriptor 1 or 2 ends up otherwise than after the clean start, if it does. What the caller gave and the daemon
/// kept is another check's matter, and another at each start.
pub(super) fn moved(case: &Case<'_>, look: &Look, fd: i32) -> Result<Option<(String, String)>, Unseen> {
    let (clean, launch) = (case.daemon()?, case.clean_launch()?);
    let before = descriptor(clean, fd)?;
    let callers = |d: &Descriptor| {
        launch.is_its_terminal(d) || (case.record.style == Style::NewStyle && d.kind == FileKind::Pipe)
    };
    if before.is_some_and(callers) {
        return Ok(None);
    }
    let now = descriptor(look.daemon()?, fd)?;
    let (before, now) = (leads_to(before), leads_to(now));
    Ok((before != now).then_some((before, now)))
}

/// The closed streams that scenario `closed` starts with.
const CLOSED: [&str; 6] = ["0", "1", "2", "0, 1", "1, 2", "0, 1, 2"];

fn starts_with_stdio_closed(case: &Case<'_>) -> Judgement {
    case.daemon()?;
    let seen = case.scenario("closed")?;
    worst(CLOSED.into_iter().map(|closed| {
        let (launch, look) = (seen.launch(closed)?, seen.look(closed)?);
        let Some(inherited) = &launch.inherited else { return broken("what it inherited could not be read") };
        if closed.split(", ").any(|fd| inherited.descriptor(fd.parse().unwrap_or(0)).is_some()) {
            return broken(format!("descriptors {closed} could not be closed before the start"));
        }
        if let Some(lacking) = case.lacks(look, launch.ended)? {
            return fail(format!("it starts with {closed} closed"), lacking, launch.words());
        }
        let daemon = look.daemon()?;
        if !look.at_rest && case.clean_look()?.at_rest {
            let busy = look.alive().filter(|p| p.state == 'R');
            let evidence = busy.map(|p| format!("/proc/{}/stat: {}, state R", p.pid, p.name.short(24))).collect();
            let actual = format!("started with {closed} closed, it runs without a pause");
            return fail("it comes to rest, as after a clean start", actual, evidence);
        }
        let pidfile = look.pidfile.as_ref().map(|file| &file.path);
        for fd in 0..=2 {
            let (Some(found), before) = (descriptor(daemon, fd)?, descriptor(case.daemon()?, fd)?) else { continue };
            let is_odd = |d: &Descriptor| Some(&d.target) == pidfile || d.lock.is_some() || d.kind == FileKind::Socket;
            if is_odd(found) && !before.is_some_and(is_odd) {
                let what = if Some(&found.target) == pidfile { "the PID file" } else { found.target.as_str() };
                let actual = format!("started with {closed} closed, descriptor {fd} is {what}");
                return fail("nothing of its own on 0, 1 and 2", actual, vec![line(daemon, found)]);
            }
        }
        for fd in [1, 2] {
            if let Some((before, now)) = moved(case, look, fd)? {
                let evidence = match descriptor(daemon, fd)? {
                    Some(found) => vec![line(daemon, found)],
                    None => vec![format!("/proc/{}/fd/{fd} is not there", daemon.pid)],
                };
                let actual = format!("started with {closed} closed, descriptor {fd} leads to {now}");
                return fail(format!("descriptor {fd} leads to {before}, as after a clean start"), actual, evidence);
            }
        }
        pass()
    }))
}

fn inherited_descriptors_closed(case: &Case<'_>) -> Judgement {
    case.daemon()?;
    let (launch, look) = case.dirty("descriptors")?;
    let Some(planted) = launch.planted.as_ref().filter(|planted| !planted.descriptors.is_empty()) else {
        return broken("no descriptor could be planted before the start");
    };
    if let Some(lacking) = case.lacks(look, launch.ended)? {
        return fail("it starts also where descriptors are open", lacking, launch.words());
    }
    let mut holders = Vec::new();
    let mut evidence = Vec::new();
    for process in look.alive().filter(|p| p.pid != launch.launcher) {
        let Some(descriptors) = &process.descriptors else {
            return broken(format!("the descriptors of pid {} could not be read", process.pid));
        };
        let held: Vec<String> = descriptors
            .iter()
            .filter(|d| (d.device, d.inode) == (planted.device, planted.inode))
            .map(|d| d.fd.to_string())
            .collect();
        if !held.is_empty() {
            holders.push(process);
            evidence.push(format!("/proc/{}/fd: {} are the caller's", process.pid, held.join(", ")));
        }
    }
    if holders.is_empty() {
        return pass();
    }
    let all = planted.descriptors.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    fail(format!("none of {all}, which the caller had open"), format!("held by {}", named(&holders)), evidence)
}

fn descriptors_kept_from_children(case: &Case<'_>) -> Judgement {
    let main = case.daemon()?;
    let look = case.clean_look()?;
    let Some(own) = &main.descriptors else {
        return broken(format!("the descriptors of pid {} could not be read", main.pid));
    };
    // Devices can be opened by anybody, and what the kernel makes of no file all looks alike.
    let telling = |d: &&Descriptor| {
        d.fd > 2
            && matches!(
                d.kind,
                FileKind::Regular | FileKind::Directory | FileKind::Pipe | FileKind::Socket | FileKind::LocalStream
            )
    };
    let children = look.executed_children();
    if children.is_empty() {
        let open = own.iter().filter(|d| d.fd > 2 && !d.close_on_exec).count();
        return match open {
            0 => pass(),
            _ => skip(format!("it ran no other program, which would have got {open} of its descriptors")),
        };
    }
    let mut evidence = Vec::new();
    let mut heirs = Vec::new();
    for child in children {
        let Some(theirs) = &child.descriptors else { continue };
        let same = |d: &&Descriptor| own.iter().any(|o| (o.fd, o.device, o.inode) == (d.fd, d.device, d.inode));
        let inherited: Vec<&Descriptor> = theirs.iter().filter(telling).filter(same).collect();
        if !inherited.is_empty() {
            heirs.push(child);
            evidence.extend(inherited.into_iter().map(|d| line(child, d)));
        }
    }
    if heirs.is_empty() {
        return pass();
    }
    fail("no descriptor of its own in a program that it executed", format!("inherited by {}", named(&heirs)), evidence)
}
