//! Coming up, staying up, ending.

use super::common::{named, worst};
use super::steered;
use super::{
    ANY_STYLE, ARTICLE_ANY_STYLE, ARTICLE_PEP, Case, Check, Judgement, PEP_ANY_STYLE, SYSV, broken, check, fail, pass,
    skip,
};
use crate::observation::{BY_ITSELF, Exit, Launch, Look, Process, Style, Unseen};

pub(super) const CHECKS: &[Check] = &[
    check!("launcher-exits", Must, Lifecycle, ARTICLE_PEP, "terminal",
        title: "ends the process that was started",
        sources: &["daemon(7) SysV step 15: call exit() in the original process", "PEP 3143"],
        remedy: "exit in the original process once the daemon has reported that it is ready; if it is meant to stay in the foreground, judge it with --profile foreground",
        judge: launcher_exits),
    check!("daemon-stays-up", Must, Lifecycle, ARTICLE_ANY_STYLE, "terminal",
        title: "is still running when its start is over and all is at rest",
        sources: &["daemon(7) SysV step 15: the daemon goes on after the original process has ended", "daemon(7) New-Style: it runs until it is told to stop"],
        remedy: "find out why it ends: its log, or strace -f; a start that fails ends with a status other than 0",
        judge: daemon_stays_up),
    check!("left-its-launcher", Must, Lifecycle, ARTICLE_PEP, "terminal",
        title: "is adopted by init: the processes it descends from have ended",
        sources: &["daemon(7) SysV step 8: call exit() in the first child, so that the daemon is re-parented to init", "PEP 3143"],
        remedy: "exit in the launcher and in every process between it and the daemon",
        judge: left_its_launcher),
    check!("ready-before-exit", Must, Lifecycle, SYSV, "held" + "traced" + "terminal",
        title: "ends its launcher only when the daemon is initialised",
        sources: &["daemon(7) SysV step 14: notify the original process that initialisation is complete", "daemon(7) SysV step 15: exit in the original process, after that"],
        remedy: "let the launcher read the outcome from a pipe before it exits; the daemon writes to it when all is ready",
        judge: steered::ready_before_exit),
    check!("launcher-status", Must, Lifecycle, SYSV, "obstructed" + "terminal",
        title: "starts with status 0, and fails to start with another",
        sources: &["daemon(7) SysV step 15: the original process ends when initialisation is complete", "LSB 5.0 Core, init script actions"],
        remedy: "carry the outcome from the daemon to the launcher through a pipe, and exit with it",
        judge: launcher_status),
    check!("failure-explained", Should, Lifecycle, SYSV, "obstructed",
        title: "says on the caller's standard error why a start failed",
        sources: &["daemon(7) SysV step 14: notify the original process"],
        remedy: "send the error text through the readiness pipe and print it in the launcher, which still has the caller's standard error",
        judge: failure_explained),
    check!("no-leftover-processes", Should, Lifecycle, SYSV, "terminal" + "obstructed",
        title: "leaves no zombie and no intermediate process, and none at all after a failed start",
        sources: &["daemon(7) SysV step 8: only the second child, the daemon itself, stays"],
        remedy: "exit in intermediate processes, wait for children that end, and end what was started when the start fails",
        judge: no_leftover_processes),
    check!("sigterm-stops", Must, Lifecycle, PEP_ANY_STYLE, "terminal",
        title: "ends on SIGTERM within the deadline",
        sources: &["daemon(7) New-Style item 2: shut down on SIGTERM", "PEP 3143"],
        remedy: "handle SIGTERM (or leave its default action), and unblock it once the handler is set",
        judge: sigterm_stops),
    check!("stop-status", Should, Lifecycle, ANY_STYLE, "terminal",
        title: "ends with status 0 on SIGTERM, or by that signal itself",
        sources: &["daemon(7) New-Style item 2: exit cleanly", "LSB 5.0 Core, init script actions"],
        remedy: "exit 0 after a clean shutdown; a supervisor takes another status for a crash",
        judge: stop_status),
    check!("stop-leaves-no-orphans", Should, Lifecycle, ANY_STYLE, "terminal",
        title: "takes its children with it when it stops",
        sources: &["daemon(7) New-Style item 2: shut down the daemon"],
        remedy: "end and wait for every child before exiting, or ask for PR_SET_PDEATHSIG in them",
        judge: stop_leaves_no_orphans),
    check!("early-sigterm", Should, Lifecycle, ANY_STYLE, "terminated" + "traced" + "terminal",
        title: "ends on a SIGTERM that comes before it is ready for it, and can be started again",
        sources: &["daemon(7) New-Style item 2: shut down on SIGTERM", "sigaction(2), sigprocmask(2)"],
        remedy: "leave SIGTERM its default action, or block it, until the handler is set; never ignore it; let a lock say that an instance runs",
        judge: steered::early_sigterm),
    check!("restart-after-kill", Must, Lifecycle, SYSV, "crash",
        title: "starts again after SIGKILL, over whatever that left",
        sources: &["daemon(7) SysV step 12: the PID file must not keep it from starting twice, and no more than that"],
        remedy: "let a lock, not the mere existence of a PID file, socket or lock file, say that an instance runs; remove what is stale",
        judge: restart_after_kill),
];

/// How the start ended, or that it did not.
fn ended(launch: &Launch) -> Result<Exit, Unseen> {
    launch.ended.map_or_else(|| broken("the launcher did not end"), Ok)
}

fn launcher_exits(case: &Case<'_>) -> Judgement {
    let launch = case.clean_launch()?;
    match launch.ended {
        Some(_) => pass(),
        None => {
            let evidence = case.clean_look().map(|l| states(l.alive())).unwrap_or_default();
            fail(
                "the started process ends",
                format!("pid {} was still running at the deadline", launch.launcher),
                evidence,
            )
        }
    }
}

fn states<'a>(processes: impl Iterator<Item = &'a Process>) -> Vec<String> {
    processes
        .take(5)
        .map(|p| format!("/proc/{}/stat: {}, state {}, parent {}", p.pid, p.name.short(24), p.state, p.ppid))
        .collect()
}

fn daemon_stays_up(case: &Case<'_>) -> Judgement {
    let (look, launch) = (case.clean_look()?, case.clean_launch()?);
    if case.record.style == Style::SysV {
        ended(launch)?;
    }
    if let Ok(treatment) = case.clean()?.treatment(BY_ITSELF) {
        let how = treatment.ended.map_or("and how could not be seen".to_owned(), |exit| exit.to_string());
        let actual = format!("pid {} ended by itself soon after: {how}", treatment.main);
        return fail("it goes on running when nothing is done to it", actual, Vec::new());
    }
    if look.is_up() {
        return pass();
    }
    let said = [Some(&launch.output), launch.errors.as_ref()].into_iter().flatten().filter(|said| said.bytes > 0);
    let evidence = said.map(|said| format!("it said: {}", said.text.short(200))).collect();
    fail(
        "a process is left when all is at rest",
        match launch.ended {
            Some(exit) => format!("nothing is running; the process that was started ended with {exit}"),
            None => "nothing is running".to_owned(),
        },
        evidence,
    )
}

fn left_its_launcher(case: &Case<'_>) -> Judgement {
    let main = case.daemon()?;
    let look = case.clean_look()?;
    let launch = case.clean_launch()?;
    let parent = look.members.iter().find(|p| p.pid == main.ppid);
    if parent.is_none() && main.ppid != launch.shell {
        return pass();
    }
    let parent =
        if main.ppid == launch.shell { "the shell that started it".to_owned() } else { format!("pid {}", main.ppid) };
    fail("its parent is init", format!("its parent is {parent}"), states([main].into_iter()))
}

fn launcher_status(case: &Case<'_>) -> Judgement {
    let clean = case.clean_launch()?;
    let exit = ended(clean)?;
    if case.clean_look()?.is_up() && exit != Exit::Status(0) {
        return fail(
            "status 0: the daemon is running",
            exit.to_string(),
            vec![format!("pid {} ended with {exit}", clean.launcher)],
        );
    }
    for_each_failed_start(case, |name, what, launch, look| {
        let Some(exit) = launch.ended else {
            let expected = format!("the launcher ends although {what}");
            let evidence = states(look.alive());
            return fail(expected, "it was still running long after the deadline (--timeout sets that)", evidence);
        };
        // Without its PID file or log it may still serve; without the port that says it is ready it cannot.
        let is_up = look.is_up() && name != "port";
        if (exit == Exit::Status(0)) == is_up && (is_up || look.alive().next().is_none()) {
            return pass();
        }
        let mut evidence = vec![format!("{what}: pid {} (the launcher) ended with {exit}", launch.launcher)];
        evidence.extend(launch.words());
        let left: Vec<&Process> = look.alive().collect();
        if left.is_empty() {
            return fail(
                "a status other than 0: no daemon came up",
                format!("{exit}, and no daemon is running"),
                evidence,
            );
        }
        if exit == Exit::Status(0) {
            let actual = format!("{exit}, though it cannot be ready; still running: {}", named(&left));
            return fail("a status other than 0, and no daemon", actual, evidence);
        }
        fail("status 0, or no daemon", format!("{exit}, yet still running: {}", named(&left)), evidence)
    })
}

/// The starts that must fail, and what was in their way (scenario `obstructed`).
pub(crate) const OBSTACLES: &[(&str, &str)] = &[
    ("missing", "its PID file's directory was missing"),
    ("read-only", "its PID file's directory was read-only"),
    ("full", "its PID file's disk was full"),
    ("locked", "another process held its lock"),
    ("log", "there was a directory at its log's path"),
    ("log-read-only", "its log's directory was read-only"),
    ("port", "its port was taken"),
];

/// Judges every obstructed start that could be made.
fn for_each_failed_start(case: &Case<'_>, judge: impl Fn(&str, &str, &Launch, &Look) -> Judgement) -> Judgement {
    let seen = case.scenario("obstructed")?;
    worst(OBSTACLES.iter().map(|(name, what)| judge(name, what, seen.launch(name)?, seen.look(name)?)))
}

fn failure_explained(case: &Case<'_>) -> Judgement {
    for_each_failed_start(case, |_, what, launch, look| {
        let Some(exit) = launch.ended else {
            return skip(format!(
                "its start does not end where {} (see launcher-status)",
                what.replacen("was", "is", 1)
            ));
        };
        if look.is_up() && exit == Exit::Status(0) {
            return Err(Unseen::Skip(format!("it also starts where {}", what.replacen("was", "is", 1))));
        }
        if launch.explains(case.clean_launch()?) {
            return pass();
        }
        let elsewhere = if launch.output.text.is_empty() {
            "nothing on the terminal either".to_owned()
        } else {
            format!("standard output: {}", launch.output.text.short(120))
        };
        let evidence = vec![format!("{what}: the launcher ended with {exit}"), elsewhere];
        fail(
            "a line on standard error that says why",
            "nothing on standard error, or only what a good start says too",
            evidence,
        )
    })
}

fn no_leftover_processes(case: &Case<'_>) -> Judgement {
    let main = case.daemon()?;
    let look = case.clean_look()?;
    let launcher = case.clean_launch()?.launcher;
    let zombies: Vec<&Process> = look.members.iter().filter(|p| p.is_zombie() && p.ppid != launcher).collect();
    if !zombies.is_empty() {
        return fail("no zombie at rest", named(&zombies), states(zombies.iter().copied()));
    }
    let mut above = Vec::new();
    let mut at = main.ppid;
    while let Some(parent) = look.members.iter().find(|p| p.pid == at && !above.contains(p)) {
        above.push(parent);
        at = parent.ppid;
    }
    if !above.is_empty() {
        let actual = format!("{} is still there above the main process {}", named(&above), main.pid);
        return fail("no process between init and the daemon", actual, states(above.iter().copied()));
    }
    let seen = case.scenario("obstructed")?;
    for (name, what) in OBSTACLES {
        let (Ok(launch), Ok(look)) = (seen.launch(name), seen.look(name)) else { continue };
        let left: Vec<&Process> = look.alive().collect();
        if launch.ended.is_some_and(|exit| exit != Exit::Status(0)) && !left.is_empty() {
            let actual = format!("{} left after a start that failed because {what}", named(&left));
            return fail("no process after a failed start", actual, states(left.iter().copied()));
        }
    }
    pass()
}

fn sigterm_stops(case: &Case<'_>) -> Judgement {
    case.daemon()?;
    let stop = case.clean()?.stop("sigterm")?;
    if stop.gone && case.record.own_stop {
        let own = case.clean()?.stop("stop")?;
        if !own.gone {
            let actual = format!("pid {} was still there at the deadline", own.main);
            return fail("it ends by its own stop command", actual, states(own.left.iter()));
        }
    }
    if stop.gone {
        return pass();
    }
    fail("it ends on SIGTERM", format!("pid {} was still there at the deadline", stop.main), states(stop.left.iter()))
}

fn stop_status(case: &Case<'_>) -> Judgement {
    let stop = case.clean()?.stop("sigterm")?;
    if !stop.gone {
        return broken("it did not end on SIGTERM (see sigterm-stops)");
    }
    match stop.ended {
        Some(Exit::Status(0) | Exit::Signal(libc::SIGTERM)) => pass(),
        Some(exit) => fail(
            "status 0, or ended by SIGTERM",
            exit.to_string(),
            vec![format!("pid {} ended with {exit}", stop.main)],
        ),
        None => broken("its parent is neither init nor who started it, so its status could not be seen"),
    }
}

fn stop_leaves_no_orphans(case: &Case<'_>) -> Judgement {
    let stop = super::pidfile::clean_stop(case)?;
    if !stop.gone {
        return broken("it did not stop (see sigterm-stops)");
    }
    if stop.left.is_empty() {
        return pass();
    }
    let left: Vec<&Process> = stop.left.iter().collect();
    fail("no process of its own is left", format!("{} left", named(&left)), states(left.iter().copied()))
}

fn restart_after_kill(case: &Case<'_>) -> Judgement {
    let seen = case.scenario("crash")?;
    if !seen.look("before")?.is_up() {
        return broken("no daemon was running that could be killed");
    }
    let (launch, look) = (seen.launch("again")?, seen.look("after")?);
    let exit = ended(launch)?;
    let Some(lacking) = case.lacks(look, Some(exit))? else { return pass() };
    let mut evidence = Vec::new();
    if !launch.output.text.is_empty() {
        evidence.push(format!("it said: {}", launch.output.text.short(200)));
    }
    fail("it starts again", format!("after SIGKILL, {lacking}"), evidence)
}
