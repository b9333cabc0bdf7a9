//! Which steps of daemon(7) "SysV Daemons" a start takes, and where.
//!
//! A step is claimed where a call shows it, on the way from the launcher to the daemon; what no call shows is not claimed.

use super::{in_ms, number_in};
use crate::observation::{Call, Event, Trace, What};
use crate::run::TracedStart;
use std::collections::{BTreeMap, BTreeSet};

/// A step of daemon(7).
#[derive(Debug, PartialEq, Eq)]
pub struct Step {
    /// Its number there.
    pub number: u8,
    /// What it is.
    pub title: &'static str,
    /// The same in a narrow column.
    pub short: &'static str,
}

const fn step(number: u8, title: &'static str, short: &'static str) -> Step {
    Step { number, title, short }
}

/// All of them, in its order.
pub static STEPS: [Step; 15] = [
    step(1, "close inherited descriptors", "close descriptors"),
    step(2, "reset signal handlers", "reset signals"),
    step(3, "reset the signal mask", "reset mask"),
    step(4, "sanitise the environment", "environment"),
    step(5, "fork", "fork"),
    step(6, "new session", "new session"),
    step(7, "second fork", "second fork"),
    step(8, "the first child exits", "first child exits"),
    step(9, "/dev/null on 0, 1 and 2", "/dev/null on 0-2"),
    step(10, "set the umask", "umask"),
    step(11, "change to the root directory", "chdir /"),
    step(12, "write the PID file", "PID file"),
    step(13, "drop privileges", "drop privileges"),
    step(14, "tell the launcher", "tell launcher"),
    step(15, "the launcher exits", "launcher exits"),
];

/// A program that wants a handler of its own for some signals is not resetting all of them. Of all a trace looks at twelve.
const MANY_SIGNALS: u64 = 8;
/// Nor does one that closes what it has opened close all that is open.
const MANY_DESCRIPTORS: u64 = 5;

/// A step that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// Which.
    pub step: &'static Step,
    /// When it began, in microseconds.
    pub at: u64,
    /// By which process.
    pub process: usize,
    /// The events that are it, the first one first; never empty.
    pub events: Vec<usize>,
    /// What is worth saying of it.
    pub note: Option<String>,
    /// Whether that is a reproach.
    pub late: bool,
}

impl Taken {
    /// Whether it is the lock on the PID file, and not its writing.
    pub(super) fn is_lock(&self) -> bool {
        self.step.number == 12 && self.note.as_deref() == Some(LOCKED)
    }
}

const LOCKED: &str = "locked";

/// What is there of the steps.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) taken: Vec<Taken>,
    pub(super) not_seen: Vec<&'static Step>,
    pub(super) remarks: Vec<String>,
}

/// Whether a call may have done what it is for; that of one whose result was not waited for is taken as done.
fn done(call: &Call) -> bool {
    call.result.is_none_or(|result| result >= 0)
}

fn word(call: &Call, index: usize) -> &str {
    call.arguments.as_str().split(',').nth(index).unwrap_or_default().trim()
}

/// How many signals a set has that is shown by their number, since they are many.
fn signals(arguments: &str) -> u64 {
    let set = arguments.split('[').nth(1).and_then(|set| set.strip_suffix(" signals]"));
    set.and_then(|count| count.parse().ok()).unwrap_or(0)
}

/// The processes from the launcher to the daemon; where there is no daemon, to what lived longest.
pub(super) fn chain(trace: &Trace) -> Vec<usize> {
    let chain = trace.chain();
    if !chain.is_empty() {
        return chain;
    }
    let mut ends: BTreeMap<usize, u64> = (0..trace.processes.len()).map(|process| (process, u64::MAX)).collect();
    for event in &trace.events {
        if matches!(event.what, What::Ended(_)) {
            ends.insert(event.process, event.at);
        }
    }
    let last = ends.into_iter().filter(|(process, _)| *process < trace.processes.len()).max_by_key(|(p, at)| (*at, *p));
    Trace {
        main: last.map(|(process, _)| process),
        events: Vec::new(),
        processes: trace.processes.clone(),
        ..Trace::default()
    }
    .chain()
}

/// What the search goes by.
struct Search<'a> {
    trace: &'a Trace,
    chain: &'a [usize],
    launcher_ended: Option<u64>,
    /// Where the launcher's own program begins: what a script does before it executes that is no step.
    begins: usize,
    taken: Vec<Taken>,
}

impl<'a> Search<'a> {
    fn event(&self, index: usize) -> Option<&'a Event> {
        self.trace.events.get(index)
    }

    fn take(&mut self, number: u8, events: Vec<usize>, note: Option<String>) {
        let step = STEPS.iter().find(|step| step.number == number);
        let first = events.first().and_then(|index| self.event(*index));
        if let (Some(step), Some(Event { at, process, .. })) = (step, first) {
            self.taken.push(Taken { step, at: *at, process: *process, events, note, late: false });
        }
    }

    /// The calls on the way to the daemon.
    fn calls(&self) -> impl Iterator<Item = (usize, &'a Event, &'a Call)> {
        self.trace.calls().filter(|(index, event, _)| *index >= self.begins && self.chain.contains(&event.process))
    }

    /// Those that did what they are for.
    fn done(&self, names: &[&str]) -> Vec<(usize, &'a Event, &'a Call)> {
        self.calls().filter(|(_, _, call)| names.contains(&call.name.as_str()) && done(call)).collect()
    }

    /// Runs of calls that follow one another in their process, and how many each stands for.
    fn runs(&self, wanted: impl Fn(&Call) -> bool) -> Vec<(Vec<usize>, u64)> {
        let mut runs = Vec::new();
        for process in self.chain {
            let mut run = (Vec::new(), 0);
            for (index, event, call) in self.calls() {
                if event.process != *process {
                    continue;
                }
                if wanted(call) {
                    run.0.push(index);
                    run.1 += u64::from(call.times);
                } else if !run.0.is_empty() {
                    runs.push(std::mem::take(&mut run));
                }
            }
            if !run.0.is_empty() {
                runs.push(run);
            }
        }
        runs
    }

    fn descriptors(&mut self) {
        let ranges: Vec<usize> = self
            .done(&["close_range", "closefrom"])
            .into_iter()
            .filter(|(_, _, call)| number_in(word(call, 0)).is_some_and(|first| (3..=64).contains(&first)))
            .map(|(index, ..)| index)
            .collect();
        for index in ranges {
            self.take(1, vec![index], None);
        }
        // It is there for those who want to close what they have.
        let is_list = |path: &str| {
            let of_process = path.strip_prefix("/proc/").and_then(|rest| rest.strip_suffix("/fd"));
            path == "/dev/fd" || of_process.is_some_and(|process| !process.contains('/'))
        };
        let lists: Vec<usize> = self
            .done(&["open", "openat", "openat2"])
            .into_iter()
            .filter(|(.., call)| call.path.as_ref().is_some_and(|path| is_list(path.as_str())))
            .map(|(index, ..)| index)
            .collect();
        for index in lists {
            self.take(1, vec![index], Some("by the list of them".to_owned()));
        }
        for (events, count) in self.runs(|call| call.name == "close") {
            if count >= MANY_DESCRIPTORS {
                self.take(1, events, Some(format!("{count} calls")));
            }
        }
    }

    fn signals(&mut self) {
        let is_reset = |call: &Call| {
            ["rt_sigaction", "sigaction", "signal"].contains(&call.name.as_str())
                && call.arguments.as_str().contains("SIG_DFL")
        };
        for (events, count) in self.runs(is_reset) {
            if count >= MANY_SIGNALS {
                self.take(2, events, Some(format!("{count} calls")));
            }
        }
    }

    /// C libraries and programs block signals around a fork, or while they make a thread, and put the old mask back. That resets
    /// nothing.
    fn mask(&mut self) {
        // How often the old mask is still to be put back, by thread; a child begins with what its parent had.
        let mut owed: BTreeMap<i32, u32> = BTreeMap::new();
        // Threads whose mask the daemon's program has emptied: what it puts back from then on resets nothing.
        let mut empty: BTreeSet<i32> = BTreeSet::new();
        let mut found = Vec::new();
        for (index, event) in self.trace.events.iter().enumerate() {
            let thread = event.thread;
            let mut inherit = |child: i32| {
                let is_empty = empty.contains(&thread);
                let _ = if is_empty { empty.insert(child) } else { empty.remove(&child) };
            };
            let owes = owed.get(&thread).copied().unwrap_or(0);
            match &event.what {
                What::Child(child) => {
                    if let Some(child) = self.trace.processes.get(*child) {
                        owed.entry(child.pid).or_insert(owes);
                        inherit(child.pid);
                    }
                }
                What::Thread(id) => {
                    owed.entry(*id).or_insert(owes);
                    inherit(*id);
                }
                What::Call(call) if !call.loader && matches!(call.name.as_str(), "rt_sigprocmask" | "sigprocmask") => {
                    let arguments = call.arguments.as_str();
                    let is_none = !arguments.contains('[') || arguments.contains("[]");
                    let empties = match word(call, 0) {
                        "SIG_SETMASK" => is_none,
                        "SIG_UNBLOCK" if signals(arguments) >= MANY_SIGNALS => true,
                        "SIG_UNBLOCK" => continue,
                        _ => {
                            owed.insert(thread, owes.saturating_add(1));
                            continue;
                        }
                    };
                    if owes > 0 {
                        // What is put back is what was there before.
                        owed.insert(thread, owes - 1);
                    } else if !empties {
                        owed.insert(thread, 1);
                    } else if index >= self.begins && self.is_first_thread(event) && empty.insert(thread) {
                        found.push(index);
                    }
                }
                _ => {}
            }
        }
        for index in found {
            self.take(3, vec![index], None);
        }
    }

    /// Whether something is done by a process on the way, in the thread that it began with.
    fn is_first_thread(&self, event: &Event) -> bool {
        let process = self.trace.processes.get(event.process);
        self.chain.contains(&event.process) && process.is_some_and(|process| process.pid == event.thread)
    }

    /// Forks, the new session between them, and the ends.
    fn processes(&mut self) {
        let births: Vec<(usize, usize)> = self
            .chain
            .windows(2)
            .filter_map(|pair| {
                let of = |e: &Event| e.process == pair[0] && matches!(e.what, What::Child(child) if child == pair[1]);
                self.trace.events.iter().position(of).map(|index| (index, pair[1]))
            })
            .collect();
        let session = self.done(&["setsid"]).first().map(|(index, event, _)| (*index, event.process));
        if let Some((index, _)) = session {
            self.take(6, vec![index], None);
        }
        // The process that leads the session was made by the first fork; a script may have forked before.
        let led = session.and_then(|(_, leader)| births.iter().position(|(_, child)| *child == leader));
        let first = led.unwrap_or(0);
        if let Some((index, _)) = births.get(first) {
            self.take(5, vec![*index], None);
        }
        if let Some((index, middle)) = births.get(first + 1).zip(births.get(first)).map(|(b, a)| (b.0, a.1)) {
            self.take(7, vec![index], None);
            let ended = |e: &Event| e.process == middle && matches!(e.what, What::Ended(_));
            if let Some(index) = self.trace.events.iter().position(ended) {
                self.take(8, vec![index], None);
            }
        }
        let ended = |e: &Event| e.process == 0 && matches!(e.what, What::Ended(_));
        if let Some(index) = self.trace.events.iter().position(ended) {
            self.take(15, vec![index], None);
        }
    }

    fn streams(&mut self) {
        let mut by_process: BTreeMap<usize, (Vec<usize>, BTreeSet<i64>)> = BTreeMap::new();
        let names = ["dup", "dup2", "dup3", "fcntl", "open", "openat", "openat2", "creat"];
        for (index, event, call) in self.done(&names) {
            if call.path.as_ref().is_none_or(|path| path.as_str() != "/dev/null") {
                continue;
            }
            let target = match call.name.as_str() {
                "dup2" | "dup3" => number_in(word(call, 1)),
                "fcntl" if !call.arguments.as_str().contains("F_DUPFD") => None,
                _ => call.result,
            };
            if let Some(target) = target.filter(|target| (0..=2).contains(target)) {
                let (events, streams) = by_process.entry(event.process).or_default();
                events.push(index);
                streams.insert(target);
            }
        }
        let all: BTreeSet<i64> = by_process.values().flat_map(|(_, streams)| streams.iter().copied()).collect();
        for (_, (events, streams)) in by_process {
            let words: Vec<String> = streams.iter().map(i64::to_string).collect();
            let note = (all.len() < 3).then(|| format!("only on {}", words.join(" and ")));
            self.take(9, events, note);
        }
    }

    fn surroundings(&mut self) {
        let masks = self.done(&["umask"]);
        let mask = |call: &Call| i64::from_str_radix(word(call, 0), 8).ok();
        // The only way to read it is to set it, and to set it back.
        let is_read = |first: usize| match (masks.get(first), masks.get(first + 1)) {
            (Some((_, one, set)), Some((_, other, back))) => {
                one.process == other.process && set.result.is_some() && set.result == mask(back)
            }
            _ => false,
        };
        let mut place = 0;
        while let Some((index, _, call)) = masks.get(place) {
            if is_read(place) {
                place += 2;
                continue;
            }
            self.take(10, vec![*index], Some(call.arguments.short(12)).filter(|mask| !mask.is_empty()));
            place += 1;
        }
        let moves = self.done(&["chdir", "fchdir"]);
        let to = |call: &Call| call.path.as_ref().map_or("", |path| path.as_str()).to_owned();
        let root = moves.iter().find(|(_, _, call)| to(call) == "/");
        if let Some((index, _, call)) = root.or(moves.last()) {
            let note = Some(to(call)).filter(|path| path != "/").map(|path| format!("to {}, not /", shorten(&path)));
            self.take(11, vec![*index], note);
        }
        let ids = ["setuid", "setgid", "setreuid", "setregid", "setresuid", "setresgid", "setgroups"];
        let drops = |call: &Call| {
            call.name == "setgroups"
                || call.arguments.as_str().split(',').filter_map(|word| number_in(word.trim())).any(|id| id > 0)
        };
        let mut drop: Vec<usize> = Vec::new();
        for (index, event, call) in self.done(&ids) {
            let same = drop.first().and_then(|first| self.event(*first)).is_none_or(|e| e.process == event.process);
            if drops(call) && same {
                drop.push(index);
            }
        }
        // Groups alone are no account.
        let name = |index: &usize| match self.event(*index).map(|e| &e.what) {
            Some(What::Call(call)) => call.name != "setgroups",
            _ => false,
        };
        if drop.iter().any(name) {
            self.take(13, drop, None);
        }
    }

    /// The PID file: its writing, and a lock on it. Any process may do that.
    fn pid_file(&mut self, path: Option<&str>) {
        let is_it = |given: Option<&crate::observation::Text>| {
            given.is_some_and(|given| match path {
                Some(path) => plain(given.as_str()) == plain(path),
                None => given.as_str().ends_with(".pid"),
            })
        };
        let (mut made, mut written, mut locked) = (Vec::new(), Vec::new(), Vec::new());
        for (index, _, call) in self.trace.calls().filter(|(_, _, call)| done(call)) {
            let (on, onto) = (is_it(call.path.as_ref()), is_it(call.to.as_ref()));
            match call.name.as_str() {
                "write" | "pwrite64" | "writev" | "pwritev" | "pwritev2" if on => written.push(index),
                "rename" | "renameat" | "renameat2" | "link" | "linkat" if onto => written.push(index),
                "symlink" | "symlinkat" | "creat" if on => made.push(index),
                "open" | "openat" | "openat2" if on && call.arguments.as_str().contains("O_CREAT") => made.push(index),
                "flock" if on && !call.arguments.as_str().contains("LOCK_UN") => locked.push(index),
                "fcntl" if on && call.arguments.as_str().contains("F_WRLCK") => locked.push(index),
                _ => {}
            }
        }
        let note = written.is_empty().then(|| "made; no write was seen".to_owned());
        let Some(first) = written.first().or(made.first()).copied() else { return };
        self.take(12, vec![first], note);
        if let Some(index) = locked.first() {
            self.take(12, vec![*index], Some(LOCKED.to_owned()));
        }
        if let (Some(made), Some(mask)) = (made.first(), self.taken.iter().find(|t| t.step.number == 10))
            && mask.events[0] > *made
            && self.event(*made).is_some_and(|made| made.process == mask.process)
            && let Some(mask) = self.taken.iter_mut().find(|t| t.step.number == 10)
        {
            mask.late = true;
            mask.note = Some("after the PID file was made, which has the inherited mask".to_owned());
        }
    }

    /// A byte through a pipe, or a signal, up to the launcher's end; whether the launcher waits for it no trace shows.
    fn message(&mut self) {
        let launcher = self.trace.processes.first().map(|p| p.pid);
        let until = self.launcher_ended.unwrap_or(u64::MAX);
        let found = self.calls().filter(|(_, event, call)| {
            let on_pipe = call
                .path
                .as_ref()
                .is_some_and(|p| p.as_str().starts_with("pipe:") || p.as_str().starts_with("socket:"));
            let told = match call.name.as_str() {
                "write" | "writev" | "sendto" | "sendmsg" => on_pipe && call.fd.is_some_and(|fd| fd > 2),
                "kill" => {
                    number_in(word(call, 0)).is_some_and(|pid| launcher.map(i64::from) == Some(pid))
                        && word(call, 1) != "0"
                }
                _ => false,
            };
            told && done(call) && event.process != 0 && event.at <= until
        });
        // The last one is that which it ends for.
        if let Some((index, ..)) = found.last() {
            self.take(14, vec![index], None);
        }
    }
}

/// One name for what is the same directory everywhere.
fn plain(path: &str) -> &str {
    path.strip_prefix("/var").filter(|rest| rest.starts_with("/run/")).unwrap_or(path)
}

fn shorten(path: &str) -> String {
    super::tail(path, 30)
}

/// Finds the steps of `start`.
pub(super) fn find(start: &TracedStart, chain: &[usize]) -> Found {
    let trace = &start.trace;
    let launcher_ended = trace.launcher_ended().map(|(at, _)| at);
    let second = chain.get(1).copied();
    let birth = trace.events.iter().position(|event| matches!(event.what, What::Child(child) if Some(child) == second));
    let before = &trace.events[..birth.unwrap_or(0)];
    let begins = before.iter().rposition(|e| e.process == 0 && matches!(e.what, What::Program(_))).unwrap_or(0);
    let mut search = Search { trace, chain, launcher_ended, begins, taken: Vec::new() };
    search.descriptors();
    search.signals();
    search.mask();
    search.processes();
    search.streams();
    search.surroundings();
    search.pid_file(start.look.pidfile.as_ref().map(|file| file.path.as_str()));
    search.message();
    let mut taken = search.taken;
    taken.sort_by_key(|taken| (taken.events[0], taken.step.number));
    let remarks = order(&mut taken, trace, launcher_ended);
    let has = |number: u8| taken.iter().any(|taken| taken.step.number == number);
    // One that stays in the foreground has no launcher, and most steps are its supervisor's. Without a second fork there is no
    // child to end. Not every daemon has privileges to drop, and the environment is changed without a call.
    let foreground = trace.main == Some(0);
    let not_seen = STEPS
        .iter()
        .filter(|step| match step.number {
            _ if foreground => false,
            4 | 13 => false,
            8 => has(7) && !has(8),
            number => !has(number),
        })
        .collect();
    Found { taken, not_seen, remarks }
}

/// What is wrong with the order, where that matters.
fn order(taken: &mut [Taken], trace: &Trace, launcher_ended: Option<u64>) -> Vec<String> {
    let mut remarks = Vec::new();
    let first =
        |taken: &[Taken], number: u8| taken.iter().find(|t| t.step.number == number).map(|t| (t.events[0], t.at));
    let foreground = trace.main == Some(0);
    if let Some(ended) = launcher_ended.filter(|_| !foreground) {
        if let Some(file) = taken.iter_mut().find(|t| t.step.number == 12 && !t.is_lock())
            && file.at > ended
        {
            let late = format!("{} ms after the launcher ended", in_ms(file.at - ended));
            // Its note says so where it was made and nothing written to it.
            let done = if file.note.is_some() { "made" } else { "written" };
            remarks.push(format!("the PID file was {done} {late}"));
            file.note = Some(late);
            file.late = true;
        }
        if let Some(ready) = trace.ready.filter(|ready| *ready > ended) {
            remarks.push(format!("it was ready {} ms after the launcher ended", in_ms(ready - ended)));
        }
    }
    let (file, drop, told) = (first(taken, 12), first(taken, 13), first(taken, 14));
    if let (Some((file, _)), Some((told, _))) = (file, told)
        && file > told
    {
        remarks.push("the launcher was told before the PID file was written".to_owned());
    }
    if let (Some((file, _)), Some((drop, _))) = (file, drop)
        && file > drop
    {
        remarks
            .push("the PID file was written after privileges were dropped, so that account may change it".to_owned());
    }
    for (_, event, call) in trace.calls() {
        if call.name == "setsid" && call.result.is_some_and(|result| result < 0) {
            let pid = trace.processes.get(event.process).map_or(0, |process| process.pid);
            remarks.push(format!("setsid() failed in pid {pid}, {}", super::errno(call.result.unwrap_or_default())));
            break;
        }
    }
    if foreground {
        remarks.push("it stayed in the foreground, where most of these steps are its supervisor's".to_owned());
    } else if trace.main.is_none() {
        remarks.push("no daemon was left".to_owned());
    }
    remarks
}
