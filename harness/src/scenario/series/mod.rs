//! Scenarios of many starts, each of which is steered at another call of the traced one.
//!
//! A series plans its trials from what the traced start has taught, and each trial has a life of its own. They do not depend
//! on one another, and are performed side by side.

mod failing;
mod faults;
mod held;
mod interleaved;
mod killed;
mod terminated;

use super::{Known, Life};
use crate::observation::{Done, Event, Seen, Series as Count, Style, Text, Trace, Trial, Unseen, What};
use crate::sandbox::Inside;
use crate::trace::{Calls, Deed, Newborn, Plan, Point};
use crate::world::{Acted, Setting, World};

/// The most trials of one series.
const MOST_TRIALS: usize = 400;

/// Scenarios of many starts.
pub struct Series {
    /// Its name, as reports and checks use it.
    pub name: &'static str,
    /// What is done, in one line.
    pub about: &'static str,
    /// Whether it starts the subject once for each of its calls, and is performed only where that is asked for.
    pub exhaustive: bool,
    /// Plans the trials.
    plan: fn(&Known, Style) -> Result<Trials, Unseen>,
    /// Performs one.
    act: fn(&mut World<'_>, &Known, &str, &Planned) -> Acted,
}

/// A trial that is yet to be performed.
#[derive(Debug, Clone)]
pub(crate) struct Planned {
    /// What will be recorded, as far as it is known.
    trial: Trial,
    calls: Calls,
    plan: Plan,
    /// Who is held until the launcher has ended, or waits.
    last: Option<Newborn>,
    /// Whether a PID file of a dead process is there before.
    stale: bool,
    /// Whether it is at a call that only looks at something: of too many trials these are left out first.
    looks: bool,
}

/// What a series plans to try.
struct Trials {
    planned: Vec<Planned>,
    /// Calls that only look at something, for which another one in the same row stands.
    alike: usize,
}

impl From<Vec<Planned>> for Trials {
    fn from(planned: Vec<Planned>) -> Self {
        Trials { planned, alike: 0 }
    }
}

/// The trials of a series, and how many there might have been.
pub(crate) struct Schedule {
    pub(crate) trials: Vec<Planned>,
    pub(crate) count: Count,
}

/// All of them.
pub static SERIES: &[&Series] =
    &[&held::SERIES, &interleaved::SERIES, &failing::SERIES, &killed::SERIES, &terminated::SERIES];

impl Series {
    /// What is to be tried.
    pub(crate) fn schedule(&self, known: &Known, style: Style) -> Result<Schedule, Unseen> {
        let Trials { planned: trials, alike } = (self.plan)(known, style)?;
        let possible = trials.len();
        let trials = thinned(trials, MOST_TRIALS);
        let mut places: Vec<(&[u32], &str, u64)> =
            trials.iter().map(|p| (p.trial.process.as_slice(), p.trial.at.as_str(), p.trial.time)).collect();
        places.dedup();
        let loader = known.trace.as_ref().map_or(0, |trace| {
            trace.events.iter().filter(|event| matches!(&event.what, What::Call(call) if call.loader)).count()
        });
        let count = Count { possible, tried: trials.len(), places: places.len(), loader, alike };
        Ok(Schedule { trials, count })
    }

    /// Performs one trial, as init of a sandbox.
    pub(crate) fn perform(
        &self,
        number: usize,
        planned: &Planned,
        setting: Setting<'_>,
        known: &Known,
        inside: Inside,
    ) -> Life {
        let name = (number + 1).to_string();
        super::live(setting, inside, |world| {
            world.is_brief = true;
            known.prepare(world);
            known.point_out_pidfile(world);
            if !world.is_isolated() {
                world.unseen(
                    &name,
                    Unseen::Skip("starts that are steered leave things behind; that needs a sandbox".to_owned()),
                );
                return Ok(None);
            }
            if let Some(why) = world.why_untraced() {
                world.unseen(&name, why);
                return Ok(None);
            }
            (self.act)(world, known, &name, planned)?;
            Ok(None)
        })
    }
}

/// The traced start; without it nothing can be steered.
fn learned(known: &Known) -> Result<&Trace, Unseen> {
    known.trace.as_ref().ok_or_else(|| Unseen::Broken("no start could be traced, so none can be steered".to_owned()))
}

/// Why a series is not for daemons under a supervisor.
fn only_in_background(style: Style) -> Result<(), Unseen> {
    match style {
        Style::SysV => Ok(()),
        Style::NewStyle => Err(Unseen::Skip("it is for daemons that put themselves into the background".to_owned())),
    }
}

impl Planned {
    /// A trial at a call of the traced start.
    fn at(trace: &Trace, event: &Event, call: &crate::observation::Call, calls: Calls, deed: Deed, done: Done) -> Self {
        let point = Point::of(trace, event, call);
        let trial = Trial { time: event.at, ..Planned::trial(&in_words(call), &point.lineage, done) };
        Planned { trial, calls, plan: Plan::At(point, deed), last: None, stale: false, looks: only_looks(call) }
    }

    fn trial(at: &str, lineage: &[u32], deed: Done) -> Trial {
        Trial {
            at: Text::printed(at),
            process: lineage.to_vec(),
            time: 0,
            deed,
            reached: false,
            pid: None,
            meanwhile: None,
            waited: false,
            ended: false,
            pidfile: None,
            left: Vec::new(),
            instances: None,
        }
    }
}

/// At most so many of the trials, in their order: those at calls that only look are left out first, and of each kind what
/// is left is evenly spread.
fn thinned(trials: Vec<Planned>, most: usize) -> Vec<Planned> {
    let (looks, acts): (Vec<usize>, Vec<usize>) = (0..trials.len()).partition(|n| trials[*n].looks);
    let mut chosen = spread(&acts, most);
    chosen.extend(spread(&looks, most - chosen.len()));
    chosen.sort_unstable();
    let mut chosen = chosen.into_iter().peekable();
    trials.into_iter().enumerate().filter_map(|(n, trial)| chosen.next_if_eq(&n).map(|_| trial)).collect()
}

/// At most so many of them, evenly spread.
fn spread(all: &[usize], most: usize) -> Vec<usize> {
    let count = all.len().min(most);
    (0..count).map(|n| all[n * all.len() / count]).collect()
}

/// Whether a call leaves nothing that outlives its process, and nothing by which a signal would meet it otherwise: it
/// failed, opens a file only to read it, or does away with a descriptor. Interpreters begin with hundreds of them.
fn only_looks(call: &crate::observation::Call) -> bool {
    let has = |word: &str| call.arguments.as_str().contains(word);
    match call.name.as_str() {
        _ if call.result.is_some_and(|result| result < 0) => true,
        "open" | "openat" => has("O_RDONLY") && !["O_CREAT", "O_TRUNC", "O_TMPFILE"].into_iter().any(has),
        "close" | "close_range" => true,
        _ => false,
    }
}

/// The same with one call, the last, for each row of calls that only look; and how many that leaves out.
fn without_alike<'a>(
    calls: impl Iterator<Item = (&'a Event, &'a crate::observation::Call)>,
) -> (Vec<(&'a Event, &'a crate::observation::Call)>, usize) {
    let all: Vec<_> = calls.collect();
    let is_last = |n: usize| all.get(n + 1).is_none_or(|(_, next)| !only_looks(next));
    let kept: Vec<_> =
        all.iter().enumerate().filter(|(n, (_, call))| !only_looks(call) || is_last(*n)).map(|(_, at)| *at).collect();
    let alike = all.len() - kept.len();
    (kept, alike)
}

/// A call in few words: with the path it is about, and not what stands in for one where there is none.
fn in_words(call: &crate::observation::Call) -> String {
    let path = |text: &Option<Text>| text.clone().filter(|text| text.as_str().starts_with('/'));
    match (path(&call.path), path(&call.to)) {
        (Some(path), Some(to)) => format!("{}({path}, {to})", call.name),
        (Some(path), None) => format!("{}({path})", call.name),
        _ => format!("{}({})", call.name, call.arguments.short(40)),
    }
}

/// The calls of a start at which something is done: of several of one kind in a row the first.
fn places(trace: &Trace) -> impl Iterator<Item = (&Event, &crate::observation::Call)> {
    const MANY_IN_A_ROW: [&str; 5] = ["rt_sigaction", "rt_sigprocmask", "sigaction", "sigprocmask", "close"];
    let mut last: Option<(usize, &str)> = None;
    trace.calls().filter_map(move |(_, event, call)| {
        let this = (event.process, call.name.as_str());
        let again = last == Some(this) && MANY_IN_A_ROW.contains(&this.1);
        last = Some(this);
        (!again).then_some((event, call))
    })
}

/// Records what became of a trial.
fn tell(world: &mut World<'_>, name: &str, trial: Trial) {
    world.record(name, Seen::Trial(Box::new(trial)));
}

/// Ends all that is left of a trial, records it, and starts the daemon over what that has left.
fn start_over(world: &mut World<'_>, name: &str, mut trial: Trial) -> Acted {
    world.kill_all()?;
    trial.pidfile = world.pidfile.as_deref().map(crate::observe::files::seen);
    tell(world, name, trial);
    world.launch(name, world.start())?;
    world.look(name)?;
    Ok(())
}
