//! What is done to a subject. A scenario acts and looks; it judges nothing.
//!
//! Each scenario is one file with one static record, listed once below. It brings the subject up in `start`, then goes
//! through its `steps`. A step after which the world cannot serve the next one (the daemon did not outlive it) ends that
//! life, and the remaining steps are done with a new life in a fresh sandbox.

mod account;
mod closed;
mod crash;
mod dirty;
mod ends;
mod foreground;
mod leader;
mod limits;
mod moved;
mod notify;
mod obstructed;
mod pid1;
mod pipes;
mod rotated;
mod seeded;
mod series;
mod terminal;
mod traced;
mod twice;
mod witness;

use crate::observation::{
    AT_ONCE, Exit, FileFound, FileKind, FileSeen, LockKind, Look, Observation, Pid, Seen, Trace, Unseen,
};
use crate::sandbox::Inside;
pub use crate::world::Halt;
pub(crate) use crate::world::Setting;
use crate::world::{Acted, World};
use serde::{Deserialize, Serialize};
pub use series::{SERIES, Series};
use std::path::PathBuf;

/// One way of starting and treating a subject.
pub struct Scenario {
    /// Its name, as reports and checks use it.
    pub name: &'static str,
    /// What is done, in one line.
    pub about: &'static str,
    /// Brings the subject up.
    start: fn(&mut World<'_>, &Known) -> Acted,
    /// What is done to it then, in order.
    steps: &'static [Step],
}

/// Why a scenario does not apply to a daemon that a shell starts.
const FOR_SUPERVISED: &str = "it is for daemons under a supervisor (--profile foreground or container)";

struct Step {
    name: &'static str,
    /// Whether it needs the daemon that `start` brought up.
    needs_daemon: bool,
    act: fn(&mut World<'_>, &Known) -> Acted<Then>,
}

/// Where the next step can be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    Continue,
    /// In a new life.
    Fresh,
    /// No other step is needed.
    Done,
}

impl Then {
    fn if_survived(survived: bool) -> Then {
        if survived { Then::Continue } else { Then::Fresh }
    }
}

/// What the clean launch has taught about the subject, for the scenarios after it.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// The PID file as the running daemon had it.
    pub pidfile: Option<FileFound>,
    /// A declared PID file that named no live process even at the deadline: nobody waits for it again.
    pub pidfile_names_nobody: bool,
    /// It was to say that it is ready, and did not: nobody waits for that again either.
    pub never_said_ready: bool,
    /// It was heard to say that it is ready.
    pub says_ready: bool,
    /// It did not come to rest within its deadline.
    pub restless: bool,
    /// Its streams changed after its start seemed to be over: nobody may look too early.
    pub is_late: bool,
    /// It was all there at the first moment at which it rested.
    pub comes_up_at_once: bool,
    /// A first life was watched until its start had no more pauses; the look that counts is that one's.
    pub pauses_have_passed: bool,
    /// How the launcher ended.
    pub ended: Option<Exit>,
    /// The daemon's process id. Inside a sandbox the ids are the same every time, if it forks alike.
    pub main: Option<Pid>,
    /// A regular file that the daemon holds a lock on, and how.
    pub lock: Option<(PathBuf, LockKind)>,
    /// Where the PID file is, declared or found.
    pub path_of_pidfile: Option<PathBuf>,
    /// The same, and with links followed (/var/run is one, often): calls name either.
    pub paths_of_pidfile: Vec<PathBuf>,
    /// The start call by call, once it has been traced.
    pub trace: Option<Trace>,
    /// The same of all calls on files, without a PID file before it, and with a dead process's.
    pub traces_of_files: [Option<Trace>; 2],
}

impl Known {
    /// What is known once `seen` has been seen.
    pub(crate) fn from_clean_launch(seen: &[(String, Seen)]) -> Self {
        let look = seen.iter().find_map(|(_, seen)| if let Seen::Look(look) = seen { Some(look) } else { None });
        let launch =
            seen.iter().find_map(|(_, seen)| if let Seen::Launch(launch) = seen { Some(launch) } else { None });
        let Some(look) = look else { return Known::default() };
        let named = look.pidfile.as_ref().and_then(FileSeen::number);
        let lock = look.main().and_then(|main| {
            let locked = main.descriptors.iter().flatten().filter(|d| d.kind == FileKind::Regular);
            // The PID file itself before another: a log may be locked for a moment.
            let of = |d: &crate::observation::Descriptor| look.pidfile.as_ref().is_some_and(|f| f.path == d.target);
            let best = locked.filter(|d| d.lock.is_some()).max_by_key(|d| of(d))?;
            Some((PathBuf::from(best.target.as_str()), best.lock?))
        });
        let notices = seen.iter().find_map(|(_, seen)| if let Seen::Notices(said) = seen { Some(said) } else { None });
        Known {
            never_said_ready: notices.is_some_and(|said| !said.iter().any(|notice| notice.says("READY=1"))),
            says_ready: false,
            pidfile: look.pidfile.as_ref().and_then(|file| file.found.clone()),
            restless: !look.at_rest,
            is_late: look.late,
            comes_up_at_once: seen.iter().any(|(name, seen)| name == AT_ONCE && matches!(seen, Seen::Fact(true))),
            pauses_have_passed: true,
            pidfile_names_nobody: look.pidfile.is_some()
                && !look.alive().any(|p| Some(p.pid) == named || Some(p.inner_pid) == named),
            ended: launch.and_then(|launch| launch.ended),
            main: look.main.map(|(pid, _)| pid),
            lock,
            paths_of_pidfile: look.pidfile.iter().flat_map(|file| paths_of(file, &look.pidfile_directories)).collect(),
            path_of_pidfile: look.pidfile.as_ref().map(|file| PathBuf::from(file.path.as_str())),
            trace: None,
            traces_of_files: [None, None],
        }
    }

    /// Adds what the start with a supervisor that listens has taught.
    pub(crate) fn learn_notices(&mut self, notified: &Observation) {
        let said = notified.notices("notices");
        self.says_ready = said.is_ok_and(|said| said.iter().any(|notice| notice.says("READY=1")));
    }

    /// Adds what the traced start has taught.
    pub(crate) fn learn_traces(&mut self, traced: &Observation) {
        self.trace = traced.trace(traced::START).ok().cloned();
        self.traces_of_files = traced::FILES.map(|name| traced.trace(name).ok().cloned());
    }

    /// Has a world make use of it.
    fn prepare(&self, world: &mut World<'_>) {
        world.awaits_pidfile = !self.pidfile_names_nobody;
        world.awaits_notice = !self.never_said_ready;
        world.restless = self.restless;
        world.comes_up_at_once = self.comes_up_at_once && !self.is_late;
        world.is_patient = self.is_late;
    }

    /// Has a world look for the PID file where it was found, from the first start on.
    fn point_out_pidfile(&self, world: &mut World<'_>) {
        if world.pidfile.is_none() {
            world.pidfile.clone_from(&self.path_of_pidfile);
        }
    }

    /// Whether a start came up as the clean one did.
    fn is_matched_by(&self, ended: Option<Exit>, look: &Look) -> bool {
        ended == self.ended && look.main().is_some_and(|main| !main.is_zombie())
    }
}

/// The path of a file as it is given, and below its directory with links followed, which is the nearest of those above it.
fn paths_of(file: &FileSeen, above: &[FileSeen]) -> Vec<PathBuf> {
    let given = PathBuf::from(file.path.as_str());
    let followed =
        above.first().zip(given.file_name()).map(|(nearest, name)| PathBuf::from(nearest.path.as_str()).join(name));
    std::iter::once(given.clone()).chain(followed.filter(|followed| *followed != given)).collect()
}

/// What one life of a scenario gave.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Life {
    pub(crate) seen: Vec<(String, Seen)>,
    /// The step to go on with in a fresh sandbox; `None` when all is done.
    pub(crate) next: Option<usize>,
    pub(crate) halt: Option<Halt>,
    /// Whether a PID file was waited for in vain; the next life need not do so too.
    pub(crate) waited_in_vain: bool,
    /// Whether it did not come to rest in time; the next life is not given as long.
    pub(crate) restless: bool,
    /// Parts of the machine's file system that the sandbox could not show.
    pub(crate) missing: Vec<String>,
}

/// All scenarios, the clean starts first: from that of the subject's style the others learn.
pub static SCENARIOS: &[&Scenario] = &[
    &terminal::SCENARIO,
    &foreground::SCENARIO,
    &twice::SCENARIO,
    &crash::SCENARIO,
    &traced::SCENARIO,
    &leader::SCENARIO,
    &dirty::SCENARIO,
    &pipes::SCENARIO,
    &closed::SCENARIO,
    &seeded::SCENARIO,
    &obstructed::SCENARIO,
    &moved::RELATIVE,
    &moved::DELETED,
    &limits::SCENARIO,
    &account::SCENARIO,
    &rotated::SCENARIO,
    &notify::SCENARIO,
    &pid1::SCENARIO,
    &witness::SCENARIO,
];

/// One life: a world is made, something is done in it, and what was seen is taken out of it.
fn live(setting: Setting<'_>, inside: Inside, act: impl FnOnce(&mut World<'_>) -> Acted<Option<usize>>) -> Life {
    let missing = inside.root.as_ref().map(|root| root.missing.clone()).unwrap_or_default();
    let mut world = match World::new(setting, inside) {
        Ok(world) => world,
        Err(halt) => return Life { halt: Some(halt), missing, ..Life::default() },
    };
    let outcome = world.set_up().and_then(|()| act(&mut world));
    let (waited_in_vain, restless) = (world.waited_in_vain, world.restless);
    let seen = world.finish();
    let (next, halt) = match outcome {
        Ok(next) => (next, None),
        Err(halt) => (None, Some(halt)),
    };
    Life { seen, next, halt, waited_in_vain, restless, missing }
}

impl Scenario {
    /// Whether a manager of services is started in it, which needs a control group.
    pub(crate) fn rules_services(&self) -> bool {
        self.name == witness::SCENARIO.name
    }

    /// Its start, and nothing after that.
    pub(crate) fn start_alone(&self) -> Scenario {
        Scenario { steps: &[], ..*self }
    }

    /// Its start and its first step, and nothing after that.
    pub(crate) fn first_step_alone(&self) -> Scenario {
        Scenario { steps: self.steps.get(..1).unwrap_or_default(), ..*self }
    }

    /// Performs the scenario from step `from` on, as init of a sandbox.
    pub(crate) fn perform(&self, from: usize, setting: Setting<'_>, known: &Known, inside: Inside) -> Life {
        live(setting, inside, |world| self.live(from, world, known))
    }

    fn live(&self, from: usize, world: &mut World<'_>, known: &Known) -> Acted<Option<usize>> {
        known.prepare(world);
        (self.start)(world, known)?;
        // Each new life would wait for the launcher as long as this one has.
        let hangs = world.launcher_hangs;
        for (index, step) in self.steps.iter().enumerate().skip(from) {
            if step.needs_daemon && !world.main_lives() {
                world.record_end_by_itself();
                world.unseen(step.name, Unseen::Broken("no daemon was running".to_owned()));
                continue;
            }
            match (step.act)(world, known)? {
                Then::Done => break,
                Then::Continue => continue,
                Then::Fresh if index + 1 == self.steps.len() => break,
                Then::Fresh => {}
            }
            if !hangs {
                return Ok(Some(index + 1));
            }
            for step in &self.steps[index + 1..] {
                world.unseen(step.name, Unseen::Broken("the launcher did not end (see launcher-exits)".to_owned()));
            }
            break;
        }
        Ok(None)
    }
}
