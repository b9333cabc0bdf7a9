//! One instance at a time.

use super::common::{content_of, named, worst};
use super::steered;
use super::{ARTICLE, Case, Check, Judgement, SYSV, broken, check, fail, pass, skip};
use crate::observation::{Exit, Launch, Look, Observation, Process, Unseen, signal_name};

pub(super) const CHECKS: &[Check] = &[
    check!("second-instance-refused", Must, Instance, ARTICLE, "twice",
        title: "runs once: after a second start the first one runs on, alone and unharmed",
        sources: &["daemon(7) SysV step 12: ensure that the daemon cannot be started more than once"],
        remedy: "hold a lock on the PID file for as long as the daemon runs, and give up when it is taken",
        judge: refused),
    check!("second-instance-reported", Should, Instance, SYSV, "twice",
        title: "ends a second start with a status other than 0, and says why",
        sources: &["daemon(7) SysV step 14: notify the original process", "LSB 5.0 Core, init script actions"],
        remedy: "carry \"already running\" through the readiness pipe to the launcher: print it, exit 1",
        judge: reported),
    check!("simultaneous-starts", Must, Instance, SYSV, "interleaved" + "traced" + "terminal",
        title: "of two starts at once leaves one, which the PID file names",
        sources: &["daemon(7) SysV step 12: the PID file must be handled in a race-free way"],
        remedy: "open the PID file without O_TRUNC, lock it, compare its inode with the path's, and only then write to it",
        judge: steered::simultaneous_starts),
    check!("stale-pidfile", Must, Instance, SYSV, "seeded",
        title: "starts over a PID file that names a dead process",
        sources: &["daemon(7) SysV step 12: the lock decides, not the file's existence"],
        remedy: "take a lock on the file instead of testing whether it is there; a dead daemon holds no lock",
        judge: stale),
    check!("recycled-pid", Must, Instance, SYSV, "seeded",
        title: "starts over a PID file whose number is a stranger's by now, or its own, and leaves that process alone",
        sources: &["daemon(7) SysV step 12: verify that the PID is of a running instance of the daemon"],
        remedy: "take a lock on the file instead of asking whether a process of that number lives; never signal a number you read",
        judge: recycled),
    check!("garbage-pidfile", Must, Instance, SYSV, "seeded",
        title: "starts over a PID file that holds rubbish, or says why not, and signals nobody",
        sources: &["daemon(7) SysV step 12", "kill(2): 0 and -1 mean many processes"],
        remedy: "read the number strictly (digits, above 0, in range), take anything else for no PID, and let a lock decide",
        judge: garbage),
    check!("lock-not-inherited", Should, Instance, SYSV, "crash",
        title: "can be started again although a child of the instance that was killed lives on",
        sources: &["daemon(7) SysV step 12", "fcntl(2): record locks are not inherited; flock(2): those of a child are the same lock"],
        remedy: "lock with fcntl(F_SETLK) after the last fork, or close the lock's descriptor in every child",
        judge: lock_not_inherited),
    check!("stop-verifies-identity", Should, Instance, SYSV, "seeded",
        title: "has a stop command that never signals a stranger",
        sources: &["LSB 5.0 Core, init script functions: killproc", "kill(2)"],
        remedy: "ask the lock who holds it (fcntl(F_GETLK)), or compare /proc/PID/exe and start time, and signal through a pidfd",
        judge: stop_verifies_identity),
];

/// The processes that the second start added, at rest.
fn added(seen: &Observation) -> Result<Vec<&Process>, Unseen> {
    let before = seen.look("before")?;
    if !before.is_up() {
        return broken("no daemon was running before the second start");
    }
    let first = before.main.map_or(0, |(pid, _)| pid);
    let known = |p: &&Process| !before.members.iter().any(|b| b.pid == p.pid);
    // A pool of workers grows and shrinks under the first instance: what descends from that is its own.
    let after = seen.look("after")?;
    let members: Vec<&Process> = after.members.iter().collect();
    let own = |p: &&Process| !p.descends_from(first, &members);
    Ok(after.alive().filter(known).filter(own).collect())
}

fn first_lives(seen: &Observation) -> Result<bool, Unseen> {
    let first = seen.look("before")?.main.map(|(pid, _)| pid);
    Ok(seen.look("after")?.alive().any(|p| Some(p.pid) == first))
}

/// Whether the second start came to nothing and the first goes on.
pub(super) fn was_refused(seen: &Observation) -> Result<bool, Unseen> {
    Ok(added(seen)?.is_empty() && first_lives(seen)?)
}

fn refused(case: &Case<'_>) -> Judgement {
    case.daemon()?;
    let seen = case.scenario("twice")?;
    let added = added(seen)?;
    let exit = seen.launch("second")?.ended.map_or("did not end".to_owned(), |e| format!("ended with {e}"));
    if !first_lives(seen)? {
        let evidence = vec![format!("the second start {exit}")];
        return fail("the first instance lives on", "it ended when a second one was started", evidence);
    }
    if added.is_empty() {
        return pass();
    }
    let evidence = vec![format!("the second start {exit}"), format!("beside the first: {}", named(&added))];
    fail("one instance", format!("{} beside the first", named(&added)), evidence)
}

fn reported(case: &Case<'_>) -> Judgement {
    case.daemon()?;
    let seen = case.scenario("twice")?;
    if !was_refused(seen)? {
        return skip("the second start was not refused (see second-instance-refused)");
    }
    let launch = seen.launch("second")?;
    let Some(exit) = launch.ended else { return broken("the second start did not end") };
    let said = launch.explains(case.clean_launch()?);
    let status = exit != Exit::Status(0);
    if status && said {
        return pass();
    }
    let words = match &launch.errors {
        Some(errors) if said => format!("standard error: {}", errors.text.short(120)),
        _ if !launch.output.text.is_empty() => {
            format!("standard error is empty; standard output: {}", launch.output.text.short(120))
        }
        _ => "standard error is empty".to_owned(),
    };
    let actual = format!("{exit}, {}", if said { "and a message" } else { "and no message on standard error" });
    fail(
        "a status other than 0, and a line on standard error",
        actual,
        vec![format!("the second start ended with {exit}"), words],
    )
}

/// What the start lacks that found something at the PID file's path.
fn over<'a>(case: &Case<'a>, name: &str) -> Result<(&'a Launch, &'a Look, Option<String>), Unseen> {
    let seen = case.scenario("seeded")?;
    let (launch, look) = (seen.launch(name)?, seen.look(name)?);
    if launch.ended.is_none() {
        return Ok((launch, look, Some("the launcher did not end".to_owned())));
    }
    Ok((launch, look, case.lacks(look, launch.ended)?))
}

/// What was planted, what was said, what is there now.
fn evidence(case: &Case<'_>, name: &str, launch: &Launch, look: &Look) -> Result<Vec<String>, Unseen> {
    let planted = case.scenario("seeded")?.file(name)?;
    let mut evidence = vec![format!("{} held {} before the start", planted.path, content_of(planted))];
    evidence.extend(launch.words());
    evidence.extend(look.pidfile.as_ref().map(|file| format!("{} afterwards: {}", file.path, content_of(file))));
    Ok(evidence)
}

/// Whether the stranger was left alone.
fn stranger_unharmed(case: &Case<'_>, name: &str) -> Judgement {
    let stranger = case.scenario("seeded")?.stranger(name)?;
    let sent: Vec<String> = stranger.received.iter().copied().map(signal_name).collect();
    let what = match (stranger.alive, sent.is_empty()) {
        (true, true) => return pass(),
        (true, false) => format!("{} was sent to pid {}", sent.join(", "), stranger.pid),
        (false, _) => format!("pid {} was killed", stranger.pid),
    };
    let planted = case.scenario("seeded")?.file(name);
    let evidence = planted.ok().map(|f| format!("{} held {}", f.path, content_of(f))).into_iter();
    fail(format!("pid {}, which is no process of the daemon's, gets no signal", stranger.pid), what, evidence.collect())
}

fn stale(case: &Case<'_>) -> Judgement {
    case.daemon()?;
    worst(["dead", "no-newline"].into_iter().map(|name| {
        let (launch, look, lacking) = over(case, name)?;
        let Some(lacking) = lacking else { return pass() };
        fail("it starts, and the PID file names it", lacking, evidence(case, name, launch, look)?)
    }))
}

fn recycled(case: &Case<'_>) -> Judgement {
    case.daemon()?;
    worst(["stranger", "thread", "own"].into_iter().flat_map(|name| {
        let starts = || {
            let (launch, look, lacking) = over(case, name)?;
            if name == "own" {
                is_own(case, launch, look)?;
            }
            let Some(lacking) = lacking else { return pass() };
            fail("it starts, and the PID file names it", lacking, evidence(case, name, launch, look)?)
        };
        [stranger_unharmed(case, name), starts()]
    }))
}

/// Whether the number that was planted was the one that the daemon got, or would have got had it come so far.
fn is_own(case: &Case<'_>, launch: &Launch, look: &Look) -> Result<(), Unseen> {
    let planted = case.scenario("seeded")?.file("own")?.number();
    let got = match look.main {
        Some((main, _)) => Some(main),
        None => Some(launch.launcher + case.daemon()?.pid - case.clean_launch()?.launcher),
    };
    if planted == got { Ok(()) } else { skip("its process id differs from start to start and cannot be foretold") }
}

fn garbage(case: &Case<'_>) -> Judgement {
    case.daemon()?;
    worst(["empty", "text", "zero", "minus-one", "20-digits", "nuls"].into_iter().flat_map(|name| {
        let starts = || {
            let (launch, look, lacking) = over(case, name)?;
            let Some(lacking) = lacking else { return pass() };
            let refused = launch.ended.is_some_and(|exit| exit != Exit::Status(0)) && !look.is_up();
            if refused && launch.explains(case.clean_launch()?) {
                return pass();
            }
            let actual = if refused { format!("{lacking}, and no word on standard error") } else { lacking };
            fail("it starts, or says why not", actual, evidence(case, name, launch, look)?)
        };
        [stranger_unharmed(case, name), starts()]
    }))
}

fn lock_not_inherited(case: &Case<'_>) -> Judgement {
    case.daemon()?;
    let seen = case.scenario("crash")?;
    let killed = seen.treatment("killed")?;
    if !killed.delivered || killed.survived {
        return broken("the main process could not be killed");
    }
    let (before, launch, look) = (seen.look("running")?, seen.launch("alone")?, seen.look("alone")?);
    let is_old = |p: &&Process| before.members.iter().any(|b| b.pid == p.pid && b.image == p.image);
    let left: Vec<&Process> = look.alive().filter(is_old).collect();
    // Without a PID file a survivor may well be taken for the main process.
    let started = look.alive().any(|p| !is_old(&p) && p.pid != launch.launcher);
    let lacking = match launch.ended {
        None => Some("the launcher did not end".to_owned()),
        Some(exit) if !started => Some(format!("no new daemon is running; the launcher ended with {exit}")),
        ended => case.lacks(look, ended)?,
    };
    let Some(lacking) = lacking else { return pass() };
    if left.is_empty() {
        return skip("no child outlived the main process: that it does not start again is no child's doing");
    }
    let mut evidence = vec![format!("SIGKILL was sent to pid {} alone", killed.main)];
    evidence.push(format!("left of that instance: {}", named(&left)));
    evidence.extend(launch.words());
    fail("it starts again", lacking, evidence)
}

fn stop_verifies_identity(case: &Case<'_>) -> Judgement {
    stranger_unharmed(case, "stop")
}
