//! Open files: the three standard streams above all.

use super::{ARTICLE_PEP, Case, Check, Judgement, SYSV, broken, check, fail, pass};
use crate::observation::{Descriptor, FileKind, Launch, Process, Text, Unseen};

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
