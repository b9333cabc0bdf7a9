//! The daemon-to-be is held at its birth, before the call that makes it ready, and the writer of the PID file before that is
//! whole: does the launcher wait?

use super::{Planned, Series, learned, only_in_background, tell};
use crate::observation::{Call, Done, Event, MAKES_READY, Seen, Text, Trace, What, serves};
use crate::trace::{Calls, Deed, Newborn, Plan};

pub(super) static SERIES: Series = Series {
    name: "held",
    about: "the process that becomes the daemon is held at its birth, and the one that writes the PID file before it does",
    exhaustive: false,
    plan: |known, style| {
        only_in_background(style)?;
        let trace = learned(known)?;
        let mut planned = Vec::new();
        if let Some(daemon) = daemon_at_birth(trace) {
            planned.push(Planned {
                trial: Planned::trial("birth", &daemon.lineage, Done::Held),
                calls: Calls::Leaving,
                plan: Plan::Birth(daemon),
                last: None,
                stale: false,
                looks: false,
            });
        }
        let completion = trace.completion_of(&known.paths_of_pidfile);
        if let Some((event, call)) = completion {
            planned.push(Planned::at(trace, event, call, Calls::Start, Deed::HoldBefore, Done::Held));
        }
        // Where that is the PID file's completion, nothing else was declared, or all else comes before it.
        if let Some((event, call)) = maker_of_readiness(trace).filter(|maker| completion != Some(*maker)) {
            let mut at = Planned::at(trace, event, call, Calls::Start, Deed::HoldBefore, Done::Held);
            at.trial.at = Text::printed(&format!("{MAKES_READY}{}", at.trial.at));
            planned.push(at);
        }
        Ok(planned.into())
    },
    act: |world, _, name, planned| {
        let start = world.start().traced(planned.calls, planned.plan.clone());
        let outcome = world.launch_held(name, start)?;
        let mut trial = planned.trial.clone();
        trial.reached = outcome.held.is_some();
        trial.pid = outcome.held;
        trial.meanwhile = outcome.meanwhile;
        trial.waited = outcome.waited;
        trial.pidfile = outcome.pidfile;
        world.record(&serves(name), Seen::Fact(outcome.serves));
        world.look_as_is(name)?;
        tell(world, name, trial);
        Ok(())
    },
};

/// The call of the daemon's by which all that was declared to mean "ready" was there.
fn maker_of_readiness(trace: &Trace) -> Option<(&Event, &Call)> {
    let (ready, main) = (trace.ready?, trace.main.filter(|main| *main != 0)?);
    let own = trace.calls().filter(|(_, event, call)| event.process == main && event.at <= ready && !call.loader);
    own.last().map(|(_, event, call)| (event, call))
}

/// The process that becomes the daemon, as it is born.
pub(super) fn daemon_at_birth(trace: &Trace) -> Option<Newborn> {
    let main = trace.main?;
    let lineage = trace.processes.get(main)?.lineage.clone();
    Some(Newborn { lineage, programs: programs_of_start(trace, main) })
}

/// How many programs the process executes before its launcher ends, or before it is ready: that of the last one is what is to
/// be waited for. Whoever waits for execve(2) alone, as vfork(2) and posix_spawn(3) do, waits for nothing of that program's.
fn programs_of_start(trace: &Trace, process: usize) -> usize {
    let until = trace.launcher_ended().map(|(at, _)| at).max(trace.ready);
    let is_its_program = |event: &&Event| event.process == process && matches!(event.what, What::Program(_));
    let mut programs = trace.events.iter().filter(is_its_program);
    let in_time = programs.clone().filter(|event| until.is_none_or(|until| event.at <= until)).count();
    // Its parent goes on within that execve(2), and the launcher's end after that may be seen before the program is.
    let is_awaited = programs.next().is_some() && is_born_by_vfork(trace, process);
    in_time.max(usize::from(is_awaited))
}

fn is_born_by_vfork(trace: &Trace, process: usize) -> bool {
    let pid = trace.processes.get(process).map(|process| i64::from(process.pid));
    let waits = |call: &Call| call.name == "vfork" || call.arguments.as_str().contains("CLONE_VFORK");
    pid.is_some() && trace.calls().any(|(_, _, call)| call.result == pid && waits(call))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observation::{Exit, Traced};

    /// A start whose launcher makes one process by that call, which executes a program; when that is seen, and the launcher's end.
    fn start(call: &str, program: u64, end: u64) -> Trace {
        let call = Call {
            name: call.to_owned(),
            arguments: Text::default(),
            path: None,
            to: None,
            fd: None,
            result: Some(1003),
            nth: 1,
            times: 1,
            loader: false,
            compat: false,
        };
        let event = |at, process, what| Event { at, process, thread: 1002 + process as i32, what };
        let mut events = vec![
            event(1, 0, What::Call(call)),
            event(2, 0, What::Child(1)),
            event(program, 1, What::Program(Text::default())),
            event(end, 0, What::Ended(Exit::Status(0))),
        ];
        events.sort_by_key(|event| event.at);
        let processes = vec![
            Traced { pid: 1002, parent: None, lineage: Vec::new() },
            Traced { pid: 1003, parent: Some(0), lineage: vec![1] },
        ];
        Trace { processes, events, main: Some(1), ready: Some(2), ..Trace::default() }
    }

    #[test]
    fn a_parent_in_vfork_waits_for_the_program_whichever_is_seen_first() {
        assert_eq!(programs_of_start(&start("vfork", 8, 9), 1), 1);
        assert_eq!(programs_of_start(&start("vfork", 9, 8), 1), 1);
    }

    #[test]
    fn a_program_after_the_launcher_s_end_is_of_no_account_else() {
        assert_eq!(programs_of_start(&start("fork", 8, 9), 1), 1);
        assert_eq!(programs_of_start(&start("fork", 9, 8), 1), 0);
    }
}
