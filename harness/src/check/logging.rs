//! The log.

use super::common::worst;
use super::{ARTICLE, Case, Check, Judgement, SYSV, broken, check, fail, pass, skip};
use crate::observation::{Account, Descriptor, Exit, FileFound, FileKind, FileSeen};

pub(super) const CHECKS: &[Check] = &[
    check!("log-appended", Must, Logging, ARTICLE, "crash",
        title: "keeps what its log held when it is started again",
        sources: &["open(2): O_APPEND", "the article: open(log, 'a')"],
        remedy: "open the log with O_APPEND and without O_TRUNC",
        judge: appended),
    check!("log-reopened", Should, Logging, SYSV, "rotated" + "terminal",
        title: "lets go of a log that was renamed when it gets SIGHUP",
        sources: &["daemon(7) New-Style item 3: SIGHUP reloads", "logrotate(8): postrotate"],
        remedy: "on SIGHUP open the log's path anew and dup2() it over the old descriptors, in every process that logs",
        judge: reopened),
    check!("log-disk-full", Should, Logging, SYSV, "obstructed" + "terminal",
        title: "outlives a full disk without spinning, and fails loudly when its log cannot be created",
        sources: &["write(2): ENOSPC"],
        remedy: "let a log line that cannot be written be lost, and go on; open the log before the launcher is told that all is well",
        judge: disk_full),
];

fn appended(case: &Case<'_>) -> Judgement {
    case.daemon()?;
    let kept = case.scenario("crash")?.kept("log")?;
    if kept.kept {
        return pass();
    }
    let evidence = vec![format!("{}: the line \"{}\" is no longer where it was", kept.path, kept.line)];
    fail("a restart leaves what the log held", "what it held is gone", evidence)
}

/// Whether the account may create a file in that directory.
fn may_create(account: &Account, directory: &FileFound) -> bool {
    let owner = directory.uid == account.uid && directory.mode & 0o300 == 0o300;
    let group = account.groups.contains(&directory.gid) && directory.mode & 0o030 == 0o030;
    account.uid == 0 || owner || group || directory.mode & 0o003 == 0o003
}

fn reopened(case: &Case<'_>) -> Judgement {
    case.daemon()?;
    let seen = case.scenario("rotated")?;
    let (directory, treatment) = (seen.file("directory")?, seen.treatment("sighup")?);
    if let (Some(account), Some(found)) = (&case.record.drops_to, &directory.found)
        && !may_create(account, found)
    {
        return skip(format!("{} may not create a file in {}", account.name, directory.path));
    }
    if !treatment.survived {
        return skip("it does not outlive SIGHUP (see survives-sighup)");
    }
    let (before, after) = (seen.look("before")?, seen.look("after")?);
    let Some(old) = before.log.as_ref().and_then(|log| log.found.as_ref()) else {
        return broken("its log was not there before it was renamed");
    };
    let holds =
        |d: &&Descriptor| d.kind == FileKind::Regular && d.writable && (d.device, d.inode) == (old.device, old.inode);
    let holders: Vec<String> = after
        .alive()
        .flat_map(|p| {
            p.descriptors
                .iter()
                .flatten()
                .filter(holds)
                .map(move |d| format!("/proc/{}/fd/{} -> {}", p.pid, d.fd, d.target))
        })
        .collect();
    // One that opens the path for each line holds nothing, and writes to a new file next time.
    if holders.is_empty() {
        return pass();
    }
    let path = before.log.as_ref().map_or("", |log| log.path.as_str());
    fail(format!("it writes to a new file at {path}"), "it still holds the renamed one", holders)
}

fn disk_full(case: &Case<'_>) -> Judgement {
    case.daemon()?;
    worst([fills(case), cannot_be_created(case)])
}

fn fills(case: &Case<'_>) -> Judgement {
    let seen = case.scenario("obstructed")?;
    seen.launch("filling")?;
    let treatment = seen.treatment("filled")?;
    if !treatment.delivered {
        return broken("SIGHUP, which makes it say something, could not be sent");
    }
    let what = "the disk with its log was full, and SIGHUP was sent";
    if !treatment.survived {
        if case.clean()?.treatment("sighup").is_ok_and(|alone| !alone.survived) {
            return skip("SIGHUP, which makes it say something, ends it by itself (see survives-sighup)");
        }
        let how = treatment.ended.map_or("it is gone".to_owned(), |exit| format!("it ended with {exit}"));
        return fail(format!("pid {} lives on after {what}", treatment.main), how, Vec::new());
    }
    if *seen.fact("rests")? || !case.clean_look()?.at_rest {
        return pass();
    }
    fail(format!("it comes to rest after {what}"), "it was still running at the deadline", Vec::new())
}

fn cannot_be_created(case: &Case<'_>) -> Judgement {
    let seen = case.scenario("obstructed")?;
    let (launch, look) = (seen.launch("log")?, seen.look("log")?);
    let Some(exit) = launch.ended else { return broken("the launcher did not end") };
    let path = look.log.as_ref().map_or("its log", |file: &FileSeen| file.path.as_str());
    let mut evidence = vec![format!("there was a directory at {path}; the launcher ended with {exit}")];
    evidence.extend(launch.words());
    let made_room = look.log.as_ref().and_then(|log| log.found.as_ref()).is_some_and(|f| f.kind == FileKind::Regular);
    if look.is_up() && made_room {
        return pass();
    }
    if look.is_up() {
        return fail("the start fails where its log cannot be created", "it runs without its log", evidence);
    }
    if exit != Exit::Status(0) && launch.explains(case.clean_launch()?) {
        return pass();
    }
    fail("a status other than 0, and a line on standard error", format!("{exit}, and nothing is running"), evidence)
}
