//! Follows a start call by call, and steers it: holds a process at a call, or has that call fail.
//!
//! A second way of observing beside the look: init traces the launcher and all that comes of it (ptrace(2)). A filter that
//! the launcher installs before it executes the subject's program stops each of them at the calls that matter and nowhere
//! else (seccomp(2), SECCOMP_RET_TRACE). Init is the tracer and the reaper at once, and has one thread: it takes stops in
//! where it takes in ended children, and never waits for a tracee that waits for it.

mod alarms;
mod calls;
mod decode;
mod steering;

pub(crate) use crate::sys::ptrace::CAN_STEER;
pub(crate) use calls::{Calls, prepare};
pub(crate) use steering::{Deed, Newborn, Plan, Point, Steering};

use crate::observation::{Call, Event, Exit, Pid, Text, Trace, Traced, What};
use crate::observe;
use crate::sys::ptrace::{self, Resume, Stopped};
use alarms::Alarm;
use decode::Meaning;
use std::collections::BTreeMap;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::time::Instant;

/// The most events that are kept.
const MOST_EVENTS: usize = 20_000;

struct Thread {
    process: usize,
    /// The event of the call that it is in, where its result is awaited.
    call: Option<usize>,
    /// What to do when it is back from that.
    afterwards: Option<Deed>,
    /// It has been born and not yet been let go.
    is_new: bool,
}

/// What is only needed while a process runs.
#[derive(Default)]
struct Notes {
    counts: BTreeMap<&'static str, u32>,
    children: u32,
    /// How many programs it has executed.
    programs: usize,
    /// Where the dynamic loader is in its memory.
    loader: Range<u64>,
    has_ended: bool,
}

/// Traces one start.
pub(crate) struct Tracer {
    steering: Steering,
    /// How many calls like that of the plan's point there were.
    met: u32,
    began: Instant,
    /// Whether the launcher has executed the subject's program; what it did before is the harness's own.
    runs: bool,
    trace: Trace,
    notes: Vec<Notes>,
    threads: BTreeMap<Pid, Thread>,
    /// Threads that stopped before their birth was told of.
    unborn: BTreeMap<Pid, libc::c_int>,
    /// Stopped as job control wants it.
    listening: Vec<Pid>,
    held: Vec<Pid>,
    has_reached: bool,
    /// When a call last returned by which the subject may have become ready, and nobody has asked yet.
    news: Option<u64>,
    /// When an alarm goes off that a process has set, if that can be told: nobody sees from outside that it does not just
    /// sleep.
    alarms: BTreeMap<usize, Option<Instant>>,
}

impl Tracer {
    /// Begins to trace the launcher, which has not yet executed anything.
    ///
    /// # Errors
    /// Where the kernel does not let it be traced.
    pub(crate) fn seize(launcher: Pid, steering: Steering) -> nix::Result<Self> {
        ptrace::seize(launcher)?;
        let thread = Thread { process: 0, call: None, afterwards: None, is_new: false };
        let first = Traced { pid: launcher, parent: None, lineage: Vec::new() };
        Ok(Tracer {
            steering,
            met: 0,
            began: Instant::now(),
            runs: false,
            trace: Trace { processes: vec![first], ..Trace::default() },
            notes: vec![Notes::default()],
            threads: BTreeMap::from([(launcher, thread)]),
            unborn: BTreeMap::new(),
            listening: Vec::new(),
            held: Vec::new(),
            has_reached: false,
            news: None,
            alarms: BTreeMap::new(),
        })
    }

    /// Ends the recording; what is seen later is let go at once.
    pub(crate) fn finish(&mut self, main: Option<Pid>, at_rest: bool) -> Trace {
        let now = self.now();
        self.trace.rest = at_rest.then_some(now);
        self.trace.main = main.and_then(|main| self.trace.processes.iter().rposition(|process| process.pid == main));
        self.runs = false;
        self.trace.clone()
    }

    /// How the start is steered.
    pub(crate) fn plan(&self) -> &Plan {
        &self.steering.plan
    }

    /// Whether a thread is held.
    pub(crate) fn is_holding(&self) -> bool {
        !self.held.is_empty()
    }

    /// Whether the plan's point has been come to.
    pub(crate) fn has_reached(&self) -> bool {
        self.has_reached
    }

    /// Threads that are stopped and stay so until init says otherwise.
    pub(crate) fn quiet(&self) -> impl Iterator<Item = Pid> {
        self.held.iter().chain(&self.listening).copied()
    }

    /// Processes that are held.
    pub(crate) fn held_processes(&self) -> Vec<Pid> {
        let process = |tid| self.trace.processes.get(self.threads.get(tid)?.process);
        self.held.iter().filter_map(process).map(|process| process.pid).collect()
    }

    /// Holds nobody from now on, and lets whoever is held go on.
    pub(crate) fn let_all_go(&mut self) {
        self.steering.plan = Plan::Watch;
        self.let_go();
    }

    /// Lets whoever was to be last go on, or not be held when he comes; says whether there was such a one.
    pub(crate) fn let_last_go(&mut self) -> bool {
        let there_was = self.steering.last.take().is_some();
        if there_was {
            self.let_go();
        }
        there_was
    }

    /// Lets one process go on.
    pub(crate) fn let_go_of(&mut self, pid: Pid) {
        let of_it =
            |tid: &Pid| self.threads.get(tid).is_some_and(|thread| self.trace.processes[thread.process].pid == pid);
        let (own, others) = std::mem::take(&mut self.held).into_iter().partition(of_it);
        self.held = own;
        self.let_go();
        self.held = others;
    }

    /// The process whose thread is held.
    pub(crate) fn held_process(&self) -> Option<Pid> {
        let thread = self.threads.get(self.held.first()?)?;
        self.trace.processes.get(thread.process).map(|process| process.pid)
    }

    /// Traced processes that have not ended.
    pub(crate) fn live_pids(&self) -> Vec<Pid> {
        let live = self.trace.processes.iter().zip(&self.notes).filter(|(_, notes)| !notes.has_ended);
        live.map(|(process, _)| process.pid).collect()
    }

    /// When the subject may have become ready, if it may have since this was last asked.
    pub(crate) fn take_news(&mut self) -> Option<u64> {
        self.news.take()
    }

    /// Notes that all that means "ready" was there then.
    pub(crate) fn note_ready(&mut self, at: u64) {
        self.trace.ready.get_or_insert(at);
    }

    /// Whether a process that lives will be woken by an alarm before the deadline.
    pub(crate) fn will_be_woken(&self, deadline: Instant) -> bool {
        let now = Instant::now();
        let is_to_come = |at: &Option<Instant>| at.is_none_or(|at| now <= at && at < deadline);
        self.alarms.iter().any(|(process, at)| is_to_come(at) && !self.notes[*process].has_ended)
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.trace.ready.is_some()
    }

    /// Lets whoever is held go on.
    pub(crate) fn let_go(&mut self) {
        for tid in std::mem::take(&mut self.held) {
            if let Some(thread) = self.threads.get(&tid) {
                // A call whose result is awaited was held before it was made.
                let how = if thread.call.is_some() { Resume::ToEndOfCall } else { Resume::On };
                ptrace::resume(tid, how, 0);
            }
        }
    }

    fn now(&self) -> u64 {
        self.began.elapsed().as_micros() as u64
    }

    fn push(&mut self, process: usize, thread: Pid, what: What) -> Option<usize> {
        if !self.runs {
            return None;
        }
        if self.trace.events.len() >= MOST_EVENTS {
            self.trace.left_out += 1;
            return None;
        }
        self.trace.events.push(Event { at: self.now(), process, thread, what });
        Some(self.trace.events.len() - 1)
    }

    fn call_mut(&mut self, event: usize) -> Option<&mut Call> {
        match &mut self.trace.events.get_mut(event)?.what {
            What::Call(call) => Some(call),
            _ => None,
        }
    }

    /// Takes in that a child or tracee has ended; says whether that was a part of the start, and not its launcher's end.
    pub(crate) fn ended(&mut self, pid: Pid, exit: Exit) -> bool {
        self.unborn.remove(&pid);
        self.held.retain(|tid| *tid != pid);
        self.listening.retain(|tid| *tid != pid);
        let thread = self.threads.remove(&pid);
        if let Some(process) = thread.map(|thread| thread.process)
            && self.trace.processes[process].pid != pid
        {
            self.push(process, pid, What::ThreadEnded);
            return true;
        }
        // A process id that is used again belongs to the younger one.
        let Some(process) = self.trace.processes.iter().rposition(|process| process.pid == pid) else { return false };
        if !std::mem::replace(&mut self.notes[process].has_ended, true) {
            self.push(process, pid, What::Ended(exit));
        }
        process != 0
    }

    /// Takes in a stop, and lets the thread go on unless the plan holds it.
    pub(crate) fn stopped(&mut self, tid: Pid, status: libc::c_int) {
        if !self.threads.contains_key(&tid) {
            // Its birth will be told of by its parent's stop.
            self.unborn.insert(tid, status);
            return;
        }
        let signal = libc::WSTOPSIG(status);
        self.listening.retain(|listening| *listening != tid);
        match status >> 16 {
            libc::PTRACE_EVENT_SECCOMP => self.about_to_call(tid),
            libc::PTRACE_EVENT_FORK | libc::PTRACE_EVENT_VFORK | libc::PTRACE_EVENT_CLONE => self.bore(tid),
            libc::PTRACE_EVENT_EXEC => self.executed(tid),
            libc::PTRACE_EVENT_STOP => self.came_to_a_stop(tid, signal),
            0 if signal == libc::SIGTRAP | 0x80 => self.back_from_call(tid),
            0 => {
                if let Some(thread) = self.threads.get(&tid) {
                    self.push(thread.process, tid, What::Signal(signal));
                }
                ptrace::resume(tid, Resume::On, signal);
            }
            _ => ptrace::resume(tid, Resume::On, 0),
        }
    }

    fn came_to_a_stop(&mut self, tid: Pid, signal: i32) {
        let Some(thread) = self.threads.get_mut(&tid) else { return };
        if std::mem::take(&mut thread.is_new) {
            let process = thread.process;
            let is_first = self.trace.processes[process].pid == tid;
            if is_first && self.is_birth(process) {
                return self.held.push(tid);
            }
            return ptrace::resume(tid, Resume::On, 0);
        }
        if matches!(signal, libc::SIGSTOP | libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU) {
            self.listening.push(tid);
            return ptrace::resume(tid, Resume::Listen, 0);
        }
        ptrace::resume(tid, Resume::On, 0);
    }

    /// Whether that process is to be held now that it has been born, or has executed one more program.
    fn is_birth(&mut self, process: usize) -> bool {
        let (lineage, programs) = (&self.trace.processes[process].lineage, self.notes[process].programs);
        let is = |newborn: &Newborn| newborn.programs == programs && newborn.lineage == *lineage;
        let is_planned = matches!(&self.steering.plan, Plan::Birth(newborn) if !self.has_reached && is(newborn));
        self.has_reached |= is_planned;
        is_planned || self.steering.last.as_ref().is_some_and(is)
    }

    fn bore(&mut self, tid: Pid) {
        let (Ok(child), Some(thread)) = (ptrace::event_message(tid), self.threads.get_mut(&tid)) else {
            return ptrace::resume(tid, Resume::On, 0);
        };
        let (process, call) = (thread.process, thread.call.take());
        if let Some(call) = call.and_then(|event| self.call_mut(event)) {
            call.result = Some(i64::from(child));
        }
        let is_thread = observe::is_thread_of(child, self.trace.processes[process].pid);
        let place = if is_thread {
            self.push(process, tid, What::Thread(child));
            process
        } else {
            let notes = &mut self.notes[process];
            notes.children += 1;
            let (nth, loader) = (notes.children, notes.loader.clone());
            let mut lineage = self.trace.processes[process].lineage.clone();
            lineage.push(nth);
            self.trace.processes.push(Traced { pid: child, parent: Some(process), lineage });
            self.notes.push(Notes { loader, ..Notes::default() });
            let place = self.notes.len() - 1;
            self.push(process, tid, What::Child(place));
            place
        };
        self.threads.insert(child, Thread { process: place, call: None, afterwards: None, is_new: true });
        self.go_on_after(tid, call);
        if let Some(status) = self.unborn.remove(&child) {
            self.stopped(child, status);
        }
    }

    /// Lets a thread go on whose call is as good as over.
    fn go_on_after(&mut self, tid: Pid, call: Option<usize>) {
        let Some(thread) = self.threads.get_mut(&tid) else { return };
        if thread.afterwards.is_some() {
            // It is to be held, or given another result, only when it is back.
            thread.call = call;
            return ptrace::resume(tid, Resume::ToEndOfCall, 0);
        }
        ptrace::resume(tid, Resume::On, 0);
    }

    fn executed(&mut self, tid: Pid) {
        // The first thread's id goes to the one that executes, and what was awaited of the first one never comes.
        let former = ptrace::event_message(tid).unwrap_or(tid);
        let Some(mut thread) = self.threads.remove(&former).or_else(|| self.threads.remove(&tid)) else {
            return ptrace::resume(tid, Resume::On, 0);
        };
        let (process, call) = (thread.process, thread.call.take());
        // The others are gone, those that were stopped too.
        self.threads.retain(|_, other| other.process != process);
        self.threads.insert(tid, thread);
        self.held.retain(|held| self.threads.contains_key(held));
        self.listening.retain(|listening| self.threads.contains_key(listening));
        self.notes[process].loader = loader(tid);
        if let Some(call) = call.and_then(|event| self.call_mut(event)) {
            call.result = Some(0);
        }
        if !self.runs && process == 0 && self.trace.events.is_empty() {
            self.runs = true;
            self.began = Instant::now();
        }
        let program = decode::program(tid, told(tid, libc::AT_EXECFN));
        self.push(process, tid, What::Program(Text::new(program.as_os_str().as_bytes())));
        self.notes[process].programs += 1;
        if self.is_birth(process) {
            return self.held.push(tid);
        }
        self.go_on_after(tid, call);
    }

    fn about_to_call(&mut self, tid: Pid) {
        let (Ok(info), Some(thread)) = (ptrace::system_call(tid), self.threads.get(&tid)) else {
            return ptrace::resume(tid, Resume::On, 0);
        };
        let process = thread.process;
        let Stopped::Entry { number, mut arguments } = info.stopped else { return ptrace::resume(tid, Resume::On, 0) };
        let known = calls::known(info.architecture, number);
        if known.is_some_and(|(_, interface)| interface.compat) {
            // Of what a 64-bit program has in its registers the kernel takes the lower halves here.
            arguments = arguments.map(|argument| u64::from(argument as u32));
        }
        let known = known.filter(|(known, _)| self.runs && self.steering.calls.include(known, &arguments));
        let Some((known, interface)) = known else { return ptrace::resume(tid, Resume::On, 0) };
        if let Some(alarm) = alarms::alarm(known, tid, &arguments, interface.compat) {
            match alarm {
                Alarm::Off => self.alarms.remove(&process),
                Alarm::After(after) => self.alarms.insert(process, Instant::now().checked_add(after)),
                Alarm::Sometime => self.alarms.insert(process, None),
            };
        }
        let notes = &mut self.notes[process];
        let is_loader = notes.loader.contains(&info.instruction);
        let count = notes.counts.entry(known.name).or_default();
        *count += u32::from(!is_loader);
        let nth = *count;
        // A start that is steered is not shown: that a call is made is all that counts, not of what, nor what came of it.
        let is_shown = self.steering.plan == Plan::Watch;
        let is_awaited = known.returns && is_shown;
        let read = || decode::read(tid, known, &arguments, interface);
        let meaning = if is_shown && !(is_awaited && known.is_kept) { read() } else { Meaning::default() };
        let call = Call {
            name: known.name.to_owned(),
            arguments: Text::printed(&meaning.arguments),
            path: meaning.path,
            to: meaning.to,
            fd: meaning.fd,
            result: None,
            nth,
            times: 1,
            loader: is_loader,
            compat: interface.compat,
        };
        let event = self.push(process, tid, What::Call(call));
        let deed = match &self.steering.plan {
            Plan::At(point, deed)
                if !self.has_reached
                    && !is_loader
                    && point.call == known.name
                    && point.lineage == self.trace.processes[process].lineage
                    && point.kind == steering::kind(read().path.as_ref()) =>
            {
                self.met += 1;
                (point.nth == self.met).then_some(*deed)
            }
            Plan::Leaving if known.name == "setsid" && process != 0 => Some(Deed::HoldBefore),
            Plan::Leaving if known.name == "exit_group" && process == 0 => Some(Deed::HoldBefore),
            _ => None,
        };
        self.go_into(tid, event, known.returns, deed);
        // It makes its call meanwhile, and stops again before it goes on.
        if is_awaited
            && known.is_kept
            && let Some(call) = event.and_then(|event| self.call_mut(event))
        {
            let Meaning { arguments, path, to, fd } = read();
            (call.arguments, call.path, call.to, call.fd) = (Text::printed(&arguments), path, to, fd);
        }
    }

    /// Has a thread go into the call of `event`, or not, as the `deed` wants it.
    fn go_into(&mut self, tid: Pid, event: Option<usize>, returns: bool, deed: Option<Deed>) {
        self.has_reached |= deed.is_some();
        let Some(thread) = self.threads.get_mut(&tid) else { return };
        let is_awaited = returns && self.steering.plan == Plan::Watch;
        let how = if is_awaited { Resume::ToEndOfCall } else { Resume::On };
        thread.call = event.filter(|_| is_awaited);
        match deed {
            None => ptrace::resume(tid, how, 0),
            Some(Deed::HoldBefore) => self.held.push(tid),
            Some(Deed::HoldAfter) if !returns => {
                // What ends the process does not come back; the moment before is as good.
                self.held.push(tid);
            }
            Some(deed @ (Deed::HoldAfter | Deed::Pretend(_))) => {
                thread.afterwards = Some(deed);
                ptrace::resume(tid, Resume::ToEndOfCall, 0);
            }
            Some(Deed::Fail(errno)) => {
                thread.call = None;
                if ptrace::replace_call(tid, -i64::from(errno)).is_ok()
                    && let Some(call) = event.and_then(|event| self.call_mut(event))
                {
                    call.result = Some(-i64::from(errno));
                }
                ptrace::resume(tid, Resume::On, 0);
            }
            Some(Deed::Shorten) => {
                let _ = ptrace::replace_third_argument(tid, 1);
                ptrace::resume(tid, how, 0);
            }
        }
    }

    fn back_from_call(&mut self, tid: Pid) {
        let info = ptrace::system_call(tid);
        let Some(thread) = self.threads.get_mut(&tid) else { return ptrace::resume(tid, Resume::On, 0) };
        let (event, afterwards) = (thread.call.take(), thread.afterwards.take());
        let mut result = match info {
            Ok(info) => match info.stopped {
                Stopped::Exit(result) => Some(result),
                Stopped::Entry { .. } => None,
            },
            Err(_) => None,
        };
        if let Some(Deed::Pretend(errno)) = afterwards {
            let _ = ptrace::replace_result(tid, -i64::from(errno));
            result = Some(-i64::from(errno));
        }
        if let Some(event) = event {
            if let Some(call) = self.call_mut(event) {
                call.result = result;
            }
            self.put_together(event);
        }
        if event.is_some_and(|event| self.may_make_ready(event)) {
            self.news = Some(self.now());
        }
        if afterwards == Some(Deed::HoldAfter) {
            return self.held.push(tid);
        }
        ptrace::resume(tid, Resume::On, 0);
    }

    /// Whether the subject may have become ready by that call. To look whether it has is not cheap: the kernel goes through
    /// the sockets of the whole machine.
    fn may_make_ready(&self, event: usize) -> bool {
        const MAKERS: [&str; 6] = ["listen", "bind", "write", "pwrite64", "writev", "ftruncate"];
        let Some(What::Call(call)) = self.trace.events.get(event).map(|event| &event.what) else { return false };
        let gives_a_name =
            call.to.is_some() || ["creat", "mkdir", "mkdirat", "symlink", "symlinkat"].contains(&&*call.name);
        let creates = call.name.starts_with("open") && call.arguments.as_str().contains("O_CREAT");
        self.steering.calls == Calls::Start
            && self.steering.plan == Plan::Watch
            && (MAKERS.contains(&&*call.name) || gives_a_name || creates)
    }

    /// Puts a call that closed nothing to the one before it, if that did so too: a loop over all numbers.
    fn put_together(&mut self, last: usize) {
        let is_last = last + 1 == self.trace.events.len();
        let [.., before, event] = self.trace.events.as_mut_slice() else { return };
        let same = before.process == event.process && before.thread == event.thread;
        let (What::Call(before), What::Call(call)) = (&mut before.what, &event.what) else { return };
        let idle = |call: &Call| match call.name.as_str() {
            "close" => call.result == Some(-i64::from(libc::EBADF)),
            "fcntl" => self.steering.calls == Calls::Descriptors,
            _ => false,
        };
        if is_last && same && before.name == call.name && idle(before) && idle(call) {
            before.times += 1;
            let first = before.arguments.as_str().split(" to ").next().unwrap_or_default();
            before.arguments = Text::printed(&format!("{first} to {}", call.arguments));
            self.trace.events.pop();
        }
    }
}

/// What the kernel has told a process that has just executed a program (getauxval(3)): one value by its kind.
fn told(tid: Pid, kind: u64) -> Option<u64> {
    let bytes = std::fs::read(format!("/proc/{tid}/auxv")).ok()?;
    let words: Vec<u64> =
        bytes.chunks_exact(8).filter_map(|word| Some(u64::from_ne_bytes(word.try_into().ok()?))).collect();
    // A 32-bit program's words are half as wide, so that each of these is a kind and a value.
    let is_narrow = words.chunks_exact(2).any(|pair| pair[0] > u64::from(u32::MAX));
    let narrow = words.iter().map(|word| [word & u64::from(u32::MAX), word >> 32]);
    let mut pairs: Vec<[u64; 2]> = narrow.collect();
    if !is_narrow {
        pairs = words.chunks_exact(2).map(|pair| [pair[0], pair[1]]).collect();
    }
    pairs.into_iter().find(|pair| pair[0] == kind).map(|pair| pair[1])
}

/// Where the dynamic loader is in the memory of a process that has just executed a program; empty where there is none.
fn loader(tid: Pid) -> Range<u64> {
    use procfs_core::{FromBufRead, process::MMapPath, process::MemoryMaps};
    let base = told(tid, libc::AT_BASE);
    let Some(base) = base.filter(|base| *base != 0) else { return 0..0 };
    let Some(maps) = std::fs::read(format!("/proc/{tid}/maps"))
        .ok()
        .and_then(|bytes| MemoryMaps::from_buf_read(bytes.as_slice()).ok())
    else {
        return 0..0;
    };
    let is_file = |path: &MMapPath| matches!(path, MMapPath::Path(_));
    let Some(file) = maps.iter().find(|map| map.address.0 == base && is_file(&map.pathname)).map(|map| &map.pathname)
    else {
        return 0..0;
    };
    let of_it = maps.iter().filter(|map| map.pathname == *file);
    base..of_it.map(|map| map.address.1).max().unwrap_or(base)
}
