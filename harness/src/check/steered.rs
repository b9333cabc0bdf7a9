//! Judges of starts that were traced and steered: which order things came in, and what becomes of a start in the worst one.

use super::common::content_of;
use super::{Case, Judgement, Level, Record, Ruling, Unseen, broken, catalogue, fail, pass};
use crate::observation::{
    Exit, FileSeen, Instances, Launch, Look, MAKES_READY, Observation, Pid, Style, Trace, Trial, What, serves,
};
use std::collections::{BTreeMap, BTreeSet};

/// The most lines of evidence.
const MOST_LINES: usize = 12;

/// Trials, with their names.
type Trials<'a> = Vec<(&'a str, &'a Trial)>;

impl<'a> Case<'a> {
    /// The trials of a series, with their names; at least one of them came to its place.
    fn trials(&self, series: &str) -> Result<(&'a Observation, Trials<'a>), Unseen> {
        let seen = self.scenario(series)?;
        let trials: Trials<'_> = seen.trials().collect();
        if trials.is_empty() {
            // What is there instead says why.
            seen.launch("1")?;
            return broken("nothing was tried");
        }
        if !trials.iter().any(|(_, trial)| trial.reached) {
            return broken(
                "no start came to the call at which something was to be done: this daemon starts otherwise each time",
            );
        }
        Ok((seen, trials.into_iter().filter(|(_, trial)| trial.reached).collect()))
    }

    fn trace(&self, name: &str) -> Result<&'a Trace, Unseen> {
        self.scenario("traced")?.trace(name)
    }

    /// The start in which the writer of the PID file was held before that was whole.
    fn start_before_pidfile(&self) -> Result<(&'a Trial, &'a Launch, &'a Look), Unseen> {
        let (seen, _) = self.trials("held")?;
        let Some((name, trial)) = seen.trials().find(|(_, trial)| is_at_pidfile(trial)) else {
            return broken("the call that writes the PID file was not seen");
        };
        let (launch, look) = (seen.launch(name)?, seen.look(name)?);
        let number = |file: &Option<FileSeen>| file.as_ref().and_then(FileSeen::number);
        let (at_exit, at_rest) = (number(&launch.pidfile_at_exit), number(&look.pidfile));
        match (launch.ended, trial.reached) {
            (None, _) => broken("the launcher did not end"),
            // The launcher ended before anybody came to that call: there is nothing worse, even where the file has another
            // number until then.
            (Some(_), false) if at_exit.is_none() || at_exit != at_rest => Ok((trial, launch, look)),
            (Some(_), false) => broken("the PID file was written otherwise than in the start before"),
            (Some(_), true) => Ok((trial, launch, look)),
        }
    }

    /// The same, with words for how the launcher ended; the clean start, where that shows enough already.
    pub(super) fn worst_start(
        &self,
        is_bad: impl Fn(&Launch) -> bool,
    ) -> Result<(&'a Launch, Option<&'a Look>, String), Unseen> {
        let clean = self.clean_launch()?;
        if clean.ended.is_some() && is_bad(clean) {
            return Ok((clean, None, "when the launcher ended".to_owned()));
        }
        let (trial, launch, look) = self.start_before_pidfile()?;
        let words = match (trial.meanwhile, trial.pid) {
            (Some(exit), Some(pid)) => {
                format!("when the launcher ended with {exit}, pid {pid} held before {}", trial.at.short(60))
            }
            _ => "when the launcher ended".to_owned(),
        };
        Ok((launch, Some(look), words))
    }
}

/// The place that is no call.
const BIRTH: &str = "birth";

pub(super) fn ready_before_exit(case: &Case<'_>) -> Judgement {
    case.daemon()?;
    let (seen, trials) = case.trials("held")?;
    let Some((name, trial)) = trials.into_iter().find(|(_, trial)| trial.at.as_str() == BIRTH) else {
        return broken("the process that became the daemon was not born in the same way again");
    };
    match (trial.waited, trial.meanwhile) {
        (true, _) => ready_by_then(seen),
        (false, Some(Exit::Status(0))) => {
            let pid = trial.pid.unwrap_or_default();
            let file = trial.pidfile.as_ref().map(|file| format!("; {}: {}", file.path, content_of(file)));
            let launch = seen.launch(name)?;
            let evidence = vec![
                format!("pid {pid}, which was to become the daemon, was held before its first instruction"),
                format!("pid {}, the launcher, ended with status 0 meanwhile", launch.launcher),
            ];
            fail(
                format!("it waits while pid {pid}, the daemon to be, is held"),
                format!("it ended with status 0{}", file.unwrap_or_default()),
                evidence,
            )
        }
        // It gave up, and says so.
        (false, Some(_)) => pass(),
        (false, None) => broken("how the launcher ended could not be seen"),
    }
}

/// A trial at neither the birth of the daemon nor the call that makes it ready.
fn is_at_pidfile(trial: &Trial) -> bool {
    trial.at.as_str() != BIRTH && !trial.at.as_str().starts_with(MAKES_READY)
}

/// A launcher that waits for its daemon's word: whether that comes only when what `--ready` declares is there.
fn ready_by_then(seen: &Observation) -> Judgement {
    let Some((name, trial)) = seen.trials().find(|(_, trial)| trial.at.as_str().starts_with(MAKES_READY)) else {
        return pass();
    };
    let launch = seen.launch(name)?;
    if trial.waited || launch.ended != Some(Exit::Status(0)) || *seen.fact(&serves(name))? {
        return pass();
    }
    let evidence = vec![
        format!("its daemon was held at the call that makes it {}", trial.at.short(80)),
        format!("pid {}, the launcher, ended with status 0 meanwhile", launch.launcher),
    ];
    fail(
        "it ends when what --ready declares is there",
        "it ended with status 0 before what --ready declares was there",
        evidence,
    )
}

pub(super) fn simultaneous_starts(case: &Case<'_>) -> Judgement {
    case.daemon()?;
    let (_, trials) = case.trials("interleaved")?;
    let mut wrong = Vec::new();
    for (_, trial) in &trials {
        let Some(instances) = &trial.instances else { continue };
        if let Some(why) = not_one(instances, trial.pidfile.as_ref()) {
            wrong.push((trial, instances, why));
        }
    }
    let Some((trial, instances, why)) = wrong.first() else { return pass() };
    let before = if instances.stale { "with a dead process's PID file there" } else { "with no PID file there" };
    let how = |exit: Option<Exit>| exit.map_or("does not end".to_owned(), |exit| format!("ends with {exit}"));
    let mut evidence = vec![
        format!("1. start A, {before}, is held when it is back from {}", trial.at.short(80)),
        if trial.waited {
            "2. start B runs until it waits".to_owned()
        } else {
            format!("2. start B runs to its end: its launcher {}", how(instances.exits[1]))
        },
        format!("3. A goes on: its launcher {}", how(instances.exits[0])),
        format!("4. left: {}", left(instances, trial.pidfile.as_ref())),
    ];
    if wrong.len() > 1 {
        let others: Vec<String> = wrong.iter().skip(1).take(6).map(|(trial, _, _)| trial.at.short(40)).collect();
        evidence.push(format!("the same at {} of {} calls, {}", wrong.len(), trials.len(), others.join(", ")));
    }
    fail("one of two starts survives, and the PID file names it", why.clone(), evidence)
}

/// What is wrong with what two starts left.
fn not_one(instances: &Instances, pidfile: Option<&FileSeen>) -> Option<String> {
    match (instances.first.is_empty(), instances.other.is_empty()) {
        (true, true) => return Some("none of the two is left".to_owned()),
        (false, false) => return Some("both run".to_owned()),
        _ => {}
    }
    let survivors = [instances.first.as_slice(), &instances.other].concat();
    let number = pidfile.and_then(FileSeen::number);
    if number.is_some_and(|number| survivors.contains(&number)) {
        return None;
    }
    let file = pidfile.map_or("no PID file".to_owned(), content_of);
    Some(format!("one runs, and the PID file does not name it: {file}"))
}

fn left(instances: &Instances, pidfile: Option<&FileSeen>) -> String {
    let pids = |pids: &[Pid]| match pids {
        [] => "nothing".to_owned(),
        pids => pids.iter().take(5).map(|pid| format!("pid {pid}")).collect::<Vec<_>>().join(", "),
    };
    let file = pidfile.map_or("no PID file".to_owned(), content_of);
    format!("of A {}, of B {}; the PID file: {file}", pids(&instances.first), pids(&instances.other))
}

/// Where a trial was, in words.
fn place(trial: &Trial) -> String {
    let who = match trial.process.as_slice() {
        [] => "the process that was started".to_owned(),
        [_] => "its child".to_owned(),
        [_, _] => "its grandchild".to_owned(),
        more => format!("its descendant {more:?}"),
    };
    format!("{} in {who}, {:.2} ms after the start", trial.at.short(80), trial.time as f64 / 1000.0)
}

pub(super) fn early_sigterm(case: &Case<'_>) -> Judgement {
    case.daemon()?;
    let (seen, trials) = case.trials("terminated")?;
    judge_each(
        &trials,
        "SIGTERM ends it also before its handlers are set, and it can be started again",
        |name, trial| {
            if !trial.ended {
                return Ok(Some("it goes on running".to_owned()));
            }
            let (launch, look) = (seen.launch(name)?, seen.look(name)?);
            Ok(case.lacks(look, launch.ended)?.map(|lacking| format!("it ended, and at the next start {lacking}")))
        },
    )
}

pub(super) fn crash_anywhere(case: &Case<'_>) -> Judgement {
    case.daemon()?;
    let (seen, trials) = case.trials("killed")?;
    judge_each(&trials, "it starts again wherever it was killed", |name, _| {
        let (launch, look) = (seen.launch(name)?, seen.look(name)?);
        Ok(case.lacks(look, launch.ended)?.map(|lacking| format!("at the next start {lacking}")))
    })
}

/// Judges one trial after the other; the first that went wrong is told in full, the others in a line each.
fn judge_each(
    trials: &[(&str, &Trial)],
    expected: &str,
    judge: impl Fn(&str, &Trial) -> Result<Option<String>, Unseen>,
) -> Judgement {
    let mut wrong = Vec::new();
    let mut unseen = None;
    for (name, trial) in trials {
        match judge(name, trial) {
            Ok(None) => {}
            Ok(Some(why)) => wrong.push((trial, why)),
            Err(why) => unseen = unseen.or(Some(why)),
        }
    }
    let Some((trial, why)) = wrong.first() else { return unseen.map_or_else(pass, Err) };
    let mut evidence: Vec<String> = wrong
        .iter()
        .take(MOST_LINES)
        .map(|(trial, why)| format!("{}, {}: {why}", place(trial), trial.deed.words()))
        .collect();
    evidence.push(format!("{} of {} starts that were tried", wrong.len(), trials.len()));
    fail(expected, format!("{} {}: {why}", trial.at.short(60), trial.deed.words()), evidence)
}

pub(super) fn faults_reported(case: &Case<'_>) -> Judgement {
    case.daemon()?;
    let (seen, trials) = case.trials("failing")?;
    let musts = snapshot_musts(case);
    judge_each(&trials, "it comes up whole, or its start ends non-zero, says why, and leaves nothing", |name, trial| {
        let (launch, look) = (seen.launch(name)?, seen.look(name)?);
        match case.lacks(look, launch.ended)? {
            None => Ok(not_whole(case, launch, look, &musts)),
            Some(lacking) => Ok(not_clean_failure(case, trial, launch, look)?
                .map(|why| if lacking.contains(&why) { lacking } else { format!("{lacking}; {why}") })),
        }
    })
}

/// The checks of level `must` that the clean start alone shows, and that it passes.
fn snapshot_musts(case: &Case<'_>) -> Vec<&'static super::Check> {
    let of_start = |check: &&super::Check| {
        check.level == Level::Must
            && check.also.is_empty()
            && check.scenario(case.record.style) == case.record.style.clean_scenario()
    };
    catalogue().filter(of_start).filter(|check| (check.judge)(case) == Ok(Ruling::Kept)).collect()
}

/// What a start that came up is nevertheless without.
fn not_whole(case: &Case<'_>, launch: &Launch, look: &Look, musts: &[&super::Check]) -> Option<String> {
    let clean = case.record.style.clean_scenario();
    let seen = vec![
        ("start".to_owned(), crate::observation::Seen::Launch(Box::new(launch.clone()))),
        ("rest".to_owned(), crate::observation::Seen::Look(Box::new(look.clone()))),
    ];
    let observation = Observation { scenario: clean.to_owned(), seen };
    let record = Record {
        style: case.record.style,
        isolation: case.record.isolation,
        documented_cwd: case.record.documented_cwd.clone(),
        named: case.record.named.clone(),
        drops_to: case.record.drops_to.clone(),
        own_stop: case.record.own_stop,
        scenarios: BTreeMap::from([(clean.to_owned(), Ok(observation))]),
    };
    musts.iter().find_map(|check| match (check.judge)(&Case { record: &record }) {
        Ok(Ruling::Broken(failure)) => Some(format!("it comes up, but not {}: {}", check.id, failure.actual)),
        _ => None,
    })
}

/// What is wrong with a start that failed.
fn not_clean_failure(case: &Case<'_>, trial: &Trial, launch: &Launch, look: &Look) -> Result<Option<String>, Unseen> {
    let what = if case.record.style == Style::SysV { "the launcher" } else { "it" };
    match launch.ended {
        None => return Ok(Some(format!("{what} does not end"))),
        Some(Exit::Status(0)) => return Ok(Some(format!("{what} ended with status 0"))),
        Some(_) => {}
    }
    let alive = look.alive().count();
    if alive > 0 {
        return Ok(Some(format!("{alive} of its processes run on")));
    }
    // A number left in a file may be taken for a running instance; an empty file says nothing.
    if let Some(file) = trial.left.iter().find(|file| file.number().is_some()) {
        return Ok(Some(format!("{} is left, with {}", file.path, content_of(file))));
    }
    if !launch.explains(case.clean_launch()?) {
        return Ok(Some("nothing on standard error says why".to_owned()));
    }
    Ok(None)
}

/// Calls that close or mark descriptors, under a low limit of open files and under a high one.
pub(super) fn close_cost_bounded(case: &Case<'_>) -> Judgement {
    case.daemon()?;
    let count = |name: &str| -> Result<(u64, u64), Unseen> {
        let launch = case.scenario("traced")?.launch(name)?;
        let Some(limit) = launch.inherits()?.open_files else { return broken("the limit could not be read") };
        let trace = case.trace(name)?;
        Ok((limit, trace.calls().map(|(_, _, call)| u64::from(call.times)).sum::<u64>() + trace.left_out))
    };
    let ((few, low), (many, high)) = (count("few")?, count("many")?);
    if many <= few {
        return broken("the limit of open files could not be changed");
    }
    if high.saturating_sub(low) < (many - few) / 2 {
        let looks = ["few", "many"].map(|name| case.scenario("traced").and_then(|seen| seen.look(name)));
        return if looks.into_iter().all(|look| look.is_ok_and(Look::is_up)) {
            pass()
        } else {
            broken("it did not come up under a changed limit of open files")
        };
    }
    let longest = case.trace("many")?.calls().max_by_key(|(_, _, call)| call.times);
    let evidence = longest.map(|(_, event, call)| {
        let pid = case.trace("many").ok().and_then(|trace| trace.processes.get(event.process)).map_or(0, |p| p.pid);
        format!("pid {pid}: {}({}), {} times", call.name, call.arguments.short(60), call.times)
    });
    fail(
        "as many calls under one limit as under another",
        format!("{low} calls where {few} files may be open, {high} where {many} may"),
        evidence.into_iter().collect(),
    )
}

/// Whether a process executes another program: what it was forked from no longer matters then.
fn executes(trace: &Trace, process: usize) -> bool {
    trace.events.iter().any(|event| event.process == process && matches!(event.what, What::Program(_)))
}

/// Whether somebody on the way to the daemon forked while it had other threads: those are not in the child.
pub(super) fn fork_before_threads(case: &Case<'_>) -> Judgement {
    case.daemon()?;
    let trace = case.trace("start")?;
    if trace.main.is_none() {
        return broken("the daemon is none of the processes that were traced");
    }
    let chain = trace.chain();
    let mut threads: BTreeMap<usize, BTreeSet<Pid>> = BTreeMap::new();
    for event in &trace.events {
        let own = threads.entry(event.process).or_default();
        match &event.what {
            What::Thread(thread) => drop(own.insert(*thread)),
            What::ThreadEnded => drop(own.remove(&event.thread)),
            What::Program(_) => own.clear(),
            What::Child(child) if chain.contains(child) && !executes(trace, *child) && !own.is_empty() => {
                let pid = |index: usize| trace.processes.get(index).map_or(0, |process| process.pid);
                let (parent, child) = (pid(event.process), pid(*child));
                let evidence = vec![
                    format!("pid {parent} makes a thread, and has {} beside its first", own.len()),
                    format!(
                        "{:.2} ms after the start it forks pid {child}, in which they are not",
                        event.at as f64 / 1000.0
                    ),
                ];
                return fail(
                    "no thread but the first one when it forks",
                    format!("pid {parent} forks while it has {} more", own.len()),
                    evidence,
                );
            }
            _ => {}
        }
    }
    pass()
}
