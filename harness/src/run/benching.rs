//! Many starts of some daemons in turn, each timed.

use super::performing::{Run, first_start};
use super::timing::Timed;
use super::{Event, RunError, Wanted};
use crate::check::Profile;
use crate::observation::{Isolation, Style, Text, Unseen};
use crate::scenario::SCENARIOS;
use crate::subject::Subject;
use crate::world::did_not_end;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

/// How long all rounds together are to take where nobody says how many there are.
const WANTED: Duration = Duration::from_secs(2);
/// Of fewer rounds an interval says little, and of more it is no narrower than the machine is steady.
const FEWEST: u32 = 10;
const MOST: u32 = 200;

/// One daemon that is timed.
#[derive(Debug, Clone)]
pub struct Contestant {
    /// What to start.
    pub subject: Subject,
    /// What kind of daemon it means to be.
    pub profile: Profile,
    /// How much isolation.
    pub isolation: Wanted,
}

/// How often all are timed.
#[derive(Debug, Clone, Copy)]
pub struct BenchOptions {
    /// Rounds that count, each with one start of every daemon; `None`: as many as take about two seconds, from 10 to 200.
    pub runs: Option<u32>,
    /// Rounds before those, while caches fill.
    pub warm_up: u32,
    /// What the order within each round is drawn from.
    pub seed: u64,
}

impl Default for BenchOptions {
    fn default() -> Self {
        BenchOptions { runs: None, warm_up: 2, seed: 0 }
    }
}

/// What many starts took.
#[derive(Debug, Clone, PartialEq)]
pub struct Benched {
    /// The daemons; the others are compared with the first.
    pub daemons: Vec<Timings>,
    /// How many rounds came before those that count.
    pub warm_up: u32,
    /// What the order within each round was drawn from.
    pub seed: u64,
}

/// One daemon and its starts.
#[derive(Debug, Clone, PartialEq)]
pub struct Timings {
    /// What reports call it.
    pub name: String,
    /// Its command.
    pub command: Vec<Text>,
    /// What kind of daemon it is.
    pub profile: Profile,
    /// How much of a sandbox there was.
    pub isolation: Isolation,
    /// The PID file, declared or found.
    pub pidfile: Option<PathBuf>,
    /// What "ready" means beside that, as `--ready` writes it.
    pub ready: Vec<String>,
    /// Its starts; the same index means the same round.
    pub starts: Vec<Timed>,
}

/// Starts each of the daemons once a round, in an order drawn anew for each round, so that a machine that grows slower or has
/// other things to do does so to all of them; and times every start.
///
/// # Errors
/// As for [`check`](super::check), and when one start of one of them fails; which one is said.
pub fn bench(
    contestants: &[Contestant],
    options: BenchOptions,
    on_event: &(dyn Fn(Event<'_>) + Sync),
) -> Result<Benched, RunError> {
    on_event(Event::Planned(contestants.len()));
    let first = contestants.iter().map(|contestant| first_of(contestant, on_event));
    let mut all: Vec<(Run<'_>, Timings)> = first.collect::<Result<_, _>>()?;
    let mut rounds = Rounds { order: (0..all.len()).collect(), random: fastrand::Rng::with_seed(options.seed) };
    on_event(Event::Planned(all.len() * options.warm_up as usize));
    let mut last = Duration::ZERO;
    for round in 1..=options.warm_up {
        last = rounds.perform(&mut all, &format!("warm-up round {round} of {}", options.warm_up), on_event)?;
    }
    if options.warm_up == 0 && options.runs.is_none() {
        on_event(Event::Planned(all.len()));
        last = rounds.perform(&mut all, "a round to see how long one takes", on_event)?;
    }
    all.iter_mut().for_each(|(_, timings)| timings.starts.clear());
    let runs = options.runs.unwrap_or_else(|| runs_of(last));
    on_event(Event::Planned(all.len() * runs as usize));
    for round in 1..=runs {
        rounds.perform(&mut all, &format!("round {round} of {runs}"), on_event)?;
    }
    let daemons = all.into_iter().map(|(_, timings)| timings).collect();
    Ok(Benched { daemons, warm_up: options.warm_up, seed: options.seed })
}

fn runs_of(round: Duration) -> u32 {
    let rounds = WANTED.as_secs_f64() / round.as_secs_f64().max(1e-6);
    (rounds as u32).clamp(FEWEST, MOST)
}

struct Rounds {
    order: Vec<usize>,
    random: fastrand::Rng,
}

impl Rounds {
    /// One start of each; says how long that took.
    fn perform(
        &mut self,
        all: &mut [(Run<'_>, Timings)],
        when: &str,
        on_event: &(dyn Fn(Event<'_>) + Sync),
    ) -> Result<Duration, RunError> {
        self.random.shuffle(&mut self.order);
        let mut sum = Duration::ZERO;
        for index in &self.order {
            let (run, timings) = &mut all[*index];
            on_event(Event::Begins(&timings.name));
            let untimed = |why| RunError::Untimed { name: timings.name.clone(), when: when.to_owned(), why };
            let timed = run.time(false)?.map_err(untimed)?;
            sum += timed.whole;
            timings.starts.push(timed);
            on_event(Event::Done(&timings.name));
        }
        Ok(sum)
    }
}

/// One start that is watched and not timed: whether there is a daemon at all, how much of a sandbox, and where its PID file is.
fn first_of<'a>(
    contestant: &'a Contestant,
    on_event: &(dyn Fn(Event<'_>) + Sync),
) -> Result<(Run<'a>, Timings), RunError> {
    let Contestant { subject, profile, isolation } = contestant;
    let style = profile.style();
    let untimed = |why| RunError::Untimed { name: subject.name.clone(), when: "its first start".to_owned(), why };
    let Some(clean) = SCENARIOS.iter().find(|scenario| scenario.name == style.clean_scenario()) else {
        return Err(RunError::NoChecks);
    };
    let (mut run, seen) = first_start(subject, style, *isolation, &clean.start_alone(), None, on_event)?;
    run.learn(&seen);
    let observation = seen.map_err(|(Unseen::Skip(why) | Unseen::Broken(why)): Unseen| untimed(why))?;
    let (launch, look) = (observation.launch("start"), observation.look("rest"));
    if style == Style::SysV && launch.as_ref().is_ok_and(|launch| launch.ended.is_none()) {
        return Err(untimed(did_not_end(subject)));
    }
    if let (Ok(launch), Ok(look)) = (launch, look)
        && look.main.is_none()
    {
        let (ended, said) = super::watching::how_it_ended(launch);
        return Err(untimed(format!("no daemon was left, and the start ended {ended}{said}")));
    }
    let nothing_tells = run.subject.pidfile.is_none() && subject.ready.is_empty();
    if nothing_tells && style == Style::NewStyle {
        let why = "it stays, and nothing says when it is ready: give --ready or --pidfile (or the manifest's keys)";
        return Err(untimed(why.to_owned()));
    }
    if nothing_tells {
        let name = &subject.name;
        let line =
            format!("no PID file of `{name}` was found, and no --ready is given: only its launcher's end is timed");
        on_event(Event::Warning(&line));
    }
    on_event(Event::Done(clean.name));
    let timings = Timings {
        name: subject.name.clone(),
        command: run.subject.command.iter().map(|word| Text::new(word.as_bytes())).collect(),
        profile: *profile,
        isolation: run.isolation,
        pidfile: run.subject.pidfile.clone(),
        ready: run.subject.ready.iter().map(ToString::to_string).collect(),
        starts: Vec::new(),
    };
    Ok((run, timings))
}
