//! The PID file. Skipped, with a reason, where the subject has none.

use super::common::{content_of, worst};
use super::{ARTICLE, Case, Check, Judgement, PEP, SYSV, broken, check, fail, pass, skip};
use crate::observation::{Exit, FileFound, FileKind, FileSeen, Isolation, Launch, Pid, Stop, Unseen};

pub(super) const CHECKS: &[Check] = &[
    check!("pidfile-present-at-exit", Must, Pidfile, ARTICLE, "held" + "traced" + "terminal",
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
    check!("pidfile-mode", Must, Pidfile, SYSV, "dirty" + "terminal",
        title: "makes a PID file that neither group nor others may write, whatever the caller's umask",
        sources: &["CWE-732", "open(2): mode & ~umask"],
        remedy: "open it with mode 0644 (not 0666), or set the umask first; fchmod() one that was there already",
        judge: mode),
    check!("pidfile-owner", Must, Pidfile, SYSV, "terminal",
        title: "started by root, keeps its PID file out of reach of the account it drops to",
        sources: &["CWE-282", "systemd.service(5): PIDFile="],
        remedy: "write it as root, in a directory that root owns, before dropping privileges; do not chown it",
        judge: owner),
    check!("pidfile-link-refused", Must, Pidfile, SYSV, "seeded" + "terminal",
        title: "does not write through a symbolic link that another user planted at the path",
        sources: &["CWE-59", "open(2): O_NOFOLLOW"],
        remedy: "open it with O_NOFOLLOW, or write a new file with O_EXCL and rename() it into place",
        judge: link_refused),
    check!("pidfile-odd-path", Should, Pidfile, SYSV, "seeded" + "terminal",
        title: "says so when there is a FIFO or a directory at the path, and does not hang",
        sources: &["open(2): O_NONBLOCK; fifo(7)"],
        remedy: "open it with O_NONBLOCK, fstat() it, and fail the start unless it is a regular file",
        judge: odd_path),
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
    check!("systemd-trusts-pidfile", Should, Pidfile, SYSV, "held" + "traced" + "terminal",
        title: "writes a PID file that systemd takes, at the instant the launcher ends",
        sources: &["systemd.service(5): PIDFile=", "daemon(7) SysV step 15: exit after that"],
        remedy: "have the launcher wait until the number of the process that stays stands on the file's first line",
        judge: systemd_trusts),
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
    case.daemon()?;
    // A number that is still another (the launcher's, before a fork) helps nobody; whether the last one is right is
    // pidfile-names-main-process's matter. Where it is never written, at rest there is none either.
    let is_whole = |launch: &Launch, at_rest: &FileSeen| {
        let number = launch.pidfile_at_exit.as_ref().and_then(FileSeen::number);
        number.is_some() && number == at_rest.number()
    };
    let (launch, look, when) = case.worst_start(|clean| !is_whole(clean, at_rest))?;
    let at_rest = look.and_then(|look| look.pidfile.as_ref()).unwrap_or(at_rest);
    let Some(at_exit) = &launch.pidfile_at_exit else {
        return broken("the PID file was not looked at when the launcher ended");
    };
    if is_whole(launch, at_rest) {
        return pass();
    }
    let evidence =
        vec![format!("{when}: {}: {}", at_exit.path, content_of(at_exit)), format!("at rest: {}", content_of(at_rest))];
    fail("the PID file is there, and says what it says at rest", format!("{} {when}", content_of(at_exit)), evidence)
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

/// Whether somebody besides the owner, and root's own group, may write it.
fn others_may_write(found: &FileFound) -> bool {
    found.mode & 0o002 != 0 || (found.mode & 0o020 != 0 && found.gid != 0)
}

fn mode(case: &Case<'_>) -> Judgement {
    written(case)?;
    let (launch, look) = case.dirty("umask")?;
    if launch.inherits()?.umask != Some(0) {
        return broken("the umask could not be set to 0 before the start");
    }
    let Some(found) = look.pidfile.as_ref().and_then(|file| file.found.as_ref()) else {
        return broken("under umask 0 it wrote no PID file (see umask-set)");
    };
    if found.mode & 0o022 == 0 {
        return pass();
    }
    let path = look.pidfile.as_ref().map_or("", |file| file.path.as_str());
    fail(
        "not writable by group or others",
        format!("mode {:04o}", found.mode),
        vec![format!("started under umask 0: {path}: mode {:04o}", found.mode)],
    )
}

fn owner(case: &Case<'_>) -> Judgement {
    let file = written(case)?;
    let look = case.clean_look()?;
    if case.clean_launch()?.inherits()?.uids[1] != 0 {
        return skip("it was not started by root, so there is no account to keep the file from");
    }
    let root_is_roots = look.pidfile_directories.last().and_then(|d| d.found.as_ref()).is_some_and(|d| d.uid == 0);
    if !root_is_roots {
        return skip("this root is not the machine's: / belongs to somebody else");
    }
    let mut evidence = Vec::new();
    for seen in std::iter::once(file).chain(&look.pidfile_directories) {
        let Some(found) = &seen.found else { continue };
        // In a sticky directory only the owner of a file may put another in its place.
        let sticky = found.kind == FileKind::Directory && found.mode & 0o1000 != 0;
        if found.uid != 0 || (others_may_write(found) && !sticky) {
            evidence.push(format!("{}: owner {}, group {}, mode {:04o}", seen.path, found.uid, found.gid, found.mode));
        }
    }
    if evidence.is_empty() {
        return pass();
    }
    fail("the file, and each directory above it, is root's and nobody else's to write", evidence[0].clone(), evidence)
}

fn link_refused(case: &Case<'_>) -> Judgement {
    case.daemon()?;
    pidfile(case)?;
    let seen = case.scenario("seeded")?;
    let planted = seen.file("link")?;
    if planted.found.as_ref().is_none_or(|f| f.kind != FileKind::Link || f.uid == 0) {
        return broken("no other user's link could be planted");
    }
    let sentinel = seen.file("sentinel")?;
    let untouched = |f: &FileFound| {
        let content = f.content.as_ref().is_some_and(|c| c.as_str() == "precious\\n");
        content && f.uid == 0 && f.gid == 0 && f.mode == 0o644
    };
    if sentinel.found.as_ref().is_some_and(untouched) {
        return pass();
    }
    let now = match &sentinel.found {
        Some(f) => format!("owner {}, mode {:04o}, {}", f.uid, f.mode, content_of(sentinel)),
        None => "nothing there".to_owned(),
    };
    let evidence = vec![
        format!(
            "{} was user {}'s link to {}",
            planted.path,
            planted.found.as_ref().map_or(0, |f| f.uid),
            sentinel.path
        ),
        format!("{} afterwards: {now}", sentinel.path),
    ];
    fail("what the link leads to stays as it was", now, evidence)
}

fn odd_path(case: &Case<'_>) -> Judgement {
    case.daemon()?;
    pidfile(case)?;
    let seen = case.scenario("seeded")?;
    worst([("fifo", FileKind::Pipe, "a FIFO"), ("directory", FileKind::Directory, "a directory")].into_iter().map(
        |(name, kind, what)| {
            let planted = seen.file(name)?;
            if planted.found.as_ref().is_none_or(|f| f.kind != kind) {
                return broken(format!("{what} could not be put at {}", planted.path));
            }
            let (launch, look) = (seen.launch(name)?, seen.look(name)?);
            let mut evidence = vec![format!("{} was {what}", planted.path)];
            evidence.extend(launch.words());
            let Some(exit) = launch.ended else {
                return fail("the start fails", "the launcher was still running at the deadline", evidence);
            };
            let replaced = look.pidfile.as_ref().is_some_and(|file| file.number().is_some());
            if exit != Exit::Status(0) || replaced || launch.explains(case.clean_launch()?) {
                return pass();
            }
            let state = if look.is_up() { "it runs without a PID file" } else { "nothing is running" };
            fail("the start fails, or says what is wrong", format!("{exit}, no word of it, and {state}"), evidence)
        },
    ))
}

/// The number that systemd reads: the first line, blanks before it and nothing after it.
fn systemd_reads(file: &FileSeen) -> Option<Pid> {
    let content = file.found.as_ref()?.content.as_ref()?.as_str();
    let line = content.split("\\n").next()?.trim_start_matches([' ', '\t']);
    line.bytes().all(|b| b.is_ascii_digit()).then(|| line.parse().ok()).flatten().filter(|pid| *pid > 0)
}

fn systemd_trusts(case: &Case<'_>) -> Judgement {
    case.daemon()?;
    pidfile(case)?;
    let main = |launch: &Launch| launch.pidfile_at_exit.as_ref().and_then(systemd_reads);
    let is_taken = |launch: &Launch| main(launch).is_some_and(|pid| launch.alive_at_exit.contains(&pid));
    let (launch, _, when) = case.worst_start(|clean| !is_taken(clean))?;
    let Some(file) = &launch.pidfile_at_exit else {
        return broken("the PID file was not looked at when the launcher ended");
    };
    let expected = "the number of a live process of the service on the first line";
    let evidence = vec![format!("{when}: {}: {}", file.path, content_of(file))];
    match main(launch) {
        Some(_) if is_taken(launch) => pass(),
        Some(pid) => fail(expected, format!("pid {pid}, which was no live process of the service"), evidence),
        None => fail(expected, format!("{} {when}", content_of(file)), evidence),
    }
}
