//! Tells whether processes are at rest, without waiting for any fixed time.
//!
//! Two readings in a row that show the same threads, all asleep, with the same counts of context switches, prove that no
//! thread ran in between: between the end of the first reading and the start of the second all of them slept at once. Only
//! a timer or somebody outside can wake them then.

use super::{read_proc, status};
use crate::observation::Pid;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Duration;

/// A wait with a limit up to this one may be a part of the start (`sleep(1)`), or a turn of the main loop.
const SHORT: Duration = Duration::from_millis(1500);

/// One reading of all threads: who they are, and how often each has been switched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pulse {
    threads: Vec<(Pid, Pid, u64)>,
    asleep: bool,
}

impl Pulse {
    /// Whether nothing ran between an `earlier` reading and this one.
    pub(crate) fn proves_rest(&self, earlier: &Pulse) -> bool {
        self.asleep && self == earlier
    }
}

/// Tells a pause in the start from the turns of a main loop, by letting each short wait run out once.
///
/// A thread that slept at a place in its program, ran, and sleeps at that same place again goes round in a loop.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    first: BTreeMap<((Pid, Pid), String), u64>,
    /// Places that some thread has come back to; a worker forked later sleeps at the same ones.
    loops: BTreeSet<String>,
}

impl Turns {
    /// Whether every thread that waits for a short time only is known to be in a loop, as of the resting `pulse`.
    pub(crate) fn have_passed(&mut self, pulse: &Pulse) -> bool {
        self.have_passed_of(pulse, Wait::is_short)
    }

    /// The same of every thread that may wake up by itself before `left` is over.
    pub(crate) fn have_passed_within(&mut self, pulse: &Pulse, left: Duration) -> bool {
        self.have_passed_of(pulse, |wait| match wait.limit {
            Limit::None => false,
            Limit::Within(limit) => limit <= left,
            Limit::Unknown => true,
        })
    }

    fn have_passed_of(&mut self, pulse: &Pulse, counts: impl Fn(&Wait) -> bool) -> bool {
        let pids: BTreeSet<Pid> = pulse.threads.iter().map(|(pid, _, _)| *pid).collect();
        let pids: Vec<Pid> = pids.into_iter().collect();
        let switches = |thread: (Pid, Pid)| pulse.threads.iter().find(|t| (t.0, t.1) == thread).map_or(0, |t| t.2);
        let mut passed = true;
        // Who is in no pulse is held, or stopped for good.
        let is_pulsing = |wait: &Wait| pulse.threads.iter().any(|t| (t.0, t.1) == wait.thread);
        for wait in waits(&pids).into_iter().filter(|wait| is_pulsing(wait) && counts(wait)) {
            let now = switches(wait.thread);
            let place = wait.place.clone();
            if now > *self.first.entry((wait.thread, wait.place)).or_insert(now) {
                self.loops.insert(place.clone());
            }
            passed &= self.loops.contains(&place);
        }
        // Who has woken up since that pulse may have been running just now, and then waits for nothing.
        passed && pulse.threads.iter().all(|(pid, tid, before)| thread(*pid, *tid) == Some((true, *before)))
    }

    /// Whether no short wait has been seen at all.
    pub(crate) fn none(&self) -> bool {
        self.first.is_empty()
    }
}

/// Takes a reading of the processes `pids`, but for the threads that are kept `quiet`.
pub(crate) fn pulse(pids: &[Pid], quiet: &[Pid]) -> Pulse {
    let mut threads = Vec::new();
    let mut asleep = true;
    for pid in pids {
        for tid in threads_of(*pid).into_iter().filter(|tid| !quiet.contains(tid)) {
            let Some((sleeps, switches)) = thread(*pid, tid) else { continue };
            asleep &= sleeps;
            threads.push((*pid, tid, switches));
        }
    }
    Pulse { threads, asleep }
}

/// Whether a thread is asleep, and how often it has been switched; `None` where there is none any more.
fn thread(pid: Pid, tid: Pid) -> Option<(bool, u64)> {
    // Of the sixty lines three: no file is read as often.
    let bytes = read_proc(&format!("/proc/{pid}/task/{tid}/status")).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let (mut state, mut switches) = ("", 0);
    for (name, value) in text.lines().filter_map(|line| line.split_once(":\t")) {
        match name {
            "State" => state = value,
            "voluntary_ctxt_switches" | "nonvoluntary_ctxt_switches" => switches += value.parse().unwrap_or(0),
            _ => {}
        }
    }
    // S sleeps, T is stopped, Z and X have ended, I idles; R runs, D waits for the disk or a vfork child, and t for its tracer,
    // which will let it go on. Who is only kept waiting by a child that is held does rest.
    let sleeps = state.starts_with(['S', 'T', 'Z', 'X', 'I']) || (state.starts_with('D') && waits_for_child(pid, tid));
    Some((sleeps, switches))
}

/// Whether a thread of `pids` waits for a disk, or whatever else no signal interrupts.
pub(crate) fn any_waits_for_disk(pids: &[Pid]) -> bool {
    let waits = |pid: Pid, tid: Pid| {
        let status = status(&format!("/proc/{pid}/task/{tid}/status"));
        status.is_some_and(|status| status.state.starts_with('D')) && !waits_for_child(pid, tid)
    };
    pids.iter().any(|pid| threads_of(*pid).into_iter().any(|tid| waits(*pid, tid)))
}

/// Whether a thread that no signal interrupts waits until its child executes something or ends, and not for a disk.
fn waits_for_child(pid: Pid, tid: Pid) -> bool {
    let line = read_proc(&format!("/proc/{pid}/task/{tid}/syscall")).unwrap_or_default();
    let line = String::from_utf8_lossy(&line);
    let number = line.split_whitespace().next().and_then(|number| number.parse().ok());
    let makes_a_child = match number {
        Some(libc::SYS_clone | libc::SYS_clone3) => true,
        #[cfg(target_arch = "x86_64")]
        Some(libc::SYS_vfork) => true,
        _ => false,
    };
    makes_a_child && limit_of(&line, |_| None, |_| None) == Limit::None
}

/// Whether a signal waits for the process or its main thread.
pub(crate) fn has_pending_signals(pid: Pid) -> bool {
    status(&format!("/proc/{pid}/status")).is_some_and(|s| (s.sigpnd | s.shdpnd) & !s.sigblk != 0)
}

/// The signals that wait for the process or one of its threads.
pub(crate) fn pending_signals(pid: Pid) -> Vec<i32> {
    let tasks = threads_of(pid).into_iter().filter_map(|tid| status(&format!("/proc/{pid}/task/{tid}/status")));
    let pending = tasks.fold(0, |all, status| all | status.sigpnd | status.shdpnd);
    (1..=64).filter(|signal| pending >> (signal - 1) & 1 == 1).collect()
}

pub(super) fn threads_of(pid: Pid) -> Vec<Pid> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let mut tids: Vec<Pid> = entries.flatten().filter_map(|e| e.file_name().to_str()?.parse().ok()).collect();
    tids.sort_unstable();
    tids
}

/// How long a sleeping thread can sleep if nothing but time wakes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limit {
    /// For ever.
    None,
    /// At most so long.
    Within(Duration),
    /// It cannot be told: it runs, is of another architecture, or may not be looked at.
    Unknown,
}

/// A sleeping thread: where in its program it sleeps, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wait {
    /// The thread.
    pub(crate) thread: (Pid, Pid),
    /// System call, stack pointer and program counter: the same for every turn of a loop.
    pub(crate) place: String,
    /// How long.
    pub(crate) limit: Limit,
}

impl Wait {
    /// Whether it may be a pause within something, or a turn of a loop.
    pub(crate) fn is_short(&self) -> bool {
        matches!(self.limit, Limit::Within(limit) if limit <= SHORT)
    }
}

/// Whether a thread has ended, or is gone altogether.
fn has_ended(pid: Pid, tid: Pid) -> bool {
    status(&format!("/proc/{pid}/task/{tid}/status")).is_none_or(|status| status.state.starts_with(['Z', 'X']))
}

/// What every thread of `pids` waits for.
///
/// An alarm set earlier cannot be seen from here; such a thread seems to wait for ever.
pub(crate) fn waits(pids: &[Pid]) -> Vec<Wait> {
    let mut found = Vec::new();
    for pid in pids {
        for tid in threads_of(*pid) {
            let line = read_proc(&format!("/proc/{pid}/task/{tid}/syscall")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line);
            // What has ended waits for nothing.
            if (line.is_empty() || line.starts_with("-1")) && has_ended(*pid, tid) {
                continue;
            }
            let limit = limit_of(&line, |address| timespec_at(*pid, address), now);
            let words: Vec<&str> = line.split_whitespace().collect();
            let place = [words.first(), words.iter().rev().nth(1), words.last()]
                .into_iter()
                .flatten()
                .copied()
                .collect::<Vec<_>>();
            found.push(Wait { thread: (*pid, tid), place: place.join(" "), limit });
        }
    }
    found
}

/// The limit that one line of /proc/PID/syscall tells of: the call's number and six arguments in hexadecimal
/// (proc_pid_syscall(5)). `timespec` reads a struct timespec of the process, `now` a clock.
fn limit_of(
    line: &str,
    timespec: impl Fn(u64) -> Option<Duration>,
    now: impl Fn(libc::clockid_t) -> Option<Duration>,
) -> Limit {
    let mut words = line.split_whitespace();
    let Some(Ok(number)) = words.next().map(str::parse::<libc::c_long>) else { return Limit::Unknown };
    let arguments: Vec<u64> =
        words.map_while(|w| u64::from_str_radix(w.trim_start_matches("0x"), 16).ok()).take(6).collect();
    let [first, second, third, fourth, fifth, _] = arguments.as_slice() else { return Limit::Unknown };
    // Milliseconds are a C int, of which the register's upper half is no part; a negative one is none.
    let milliseconds = |argument: u64| match u64::from(argument as u32) {
        none if none > i32::MAX as u64 => Limit::None,
        some => Limit::Within(Duration::from_millis(some)),
    };
    let pointed = |address: u64| match address {
        0 => Limit::None,
        _ => timespec(address).map_or(Limit::Unknown, Limit::Within),
    };
    let until = |clock: libc::clockid_t, address: u64| match (pointed(address), now(clock)) {
        (Limit::Within(end), Some(now)) => Limit::Within(end.saturating_sub(now)),
        (Limit::None, _) => Limit::None,
        _ => Limit::Unknown,
    };
    match number {
        libc::SYS_read
        | libc::SYS_readv
        | libc::SYS_recvfrom
        | libc::SYS_recvmsg
        | libc::SYS_accept
        | libc::SYS_accept4
        | libc::SYS_wait4
        | libc::SYS_waitid
        | libc::SYS_rt_sigsuspend
        | libc::SYS_flock
        | libc::SYS_fcntl => Limit::None,
        // A FIFO that nobody has opened at its other end; a pipe or socket that is full.
        libc::SYS_openat
        | libc::SYS_openat2
        | libc::SYS_write
        | libc::SYS_writev
        | libc::SYS_sendto
        | libc::SYS_sendmsg => Limit::None,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_open => Limit::None,
        // Whoever is seen to sleep there waits until the child has done with its memory.
        libc::SYS_clone3 => Limit::None,
        libc::SYS_clone if *first as libc::c_int & libc::CLONE_VFORK != 0 => Limit::None,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_vfork => Limit::None,
        libc::SYS_epoll_pwait => milliseconds(*fourth),
        libc::SYS_epoll_pwait2 => pointed(*fourth),
        libc::SYS_ppoll | libc::SYS_rt_sigtimedwait => pointed(*third),
        libc::SYS_pselect6 => pointed(*fifth),
        libc::SYS_nanosleep => pointed(*first),
        libc::SYS_clock_nanosleep if *second & 1 == 0 => pointed(*third),
        libc::SYS_clock_nanosleep => until(*first as libc::clockid_t, *third),
        libc::SYS_futex => {
            let operation = *second as libc::c_int;
            let clock =
                if operation & libc::FUTEX_CLOCK_REALTIME == 0 { libc::CLOCK_MONOTONIC } else { libc::CLOCK_REALTIME };
            match operation & libc::FUTEX_CMD_MASK {
                libc::FUTEX_WAIT_BITSET => until(clock, *fourth),
                _ => pointed(*fourth),
            }
        }
        #[cfg(target_arch = "x86_64")]
        libc::SYS_pause => Limit::None,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_poll => milliseconds(*third),
        #[cfg(target_arch = "x86_64")]
        libc::SYS_epoll_wait => milliseconds(*fourth),
        // A struct timeval: microseconds where a timespec has nanoseconds, which only makes it look shorter.
        #[cfg(target_arch = "x86_64")]
        libc::SYS_select => pointed(*fifth),
        _ => Limit::Unknown,
    }
}

/// A struct timespec in the memory of a process.
fn timespec_at(pid: Pid, address: u64) -> Option<Duration> {
    use std::os::unix::fs::FileExt;
    let mut bytes = [0; 16];
    fs::File::open(format!("/proc/{pid}/mem")).ok()?.read_exact_at(&mut bytes, address).ok()?;
    let (seconds, nanoseconds) = bytes.split_at(8);
    let seconds = u64::try_from(i64::from_ne_bytes(seconds.try_into().ok()?)).ok()?;
    let nanoseconds = u32::try_from(i64::from_ne_bytes(nanoseconds.try_into().ok()?)).ok()?;
    (nanoseconds < 1_000_000_000).then(|| Duration::new(seconds, nanoseconds))
}

fn now(clock: libc::clockid_t) -> Option<Duration> {
    let time = nix::time::clock_gettime(nix::time::ClockId::from_raw(clock)).ok()?;
    Some(Duration::from(time))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn limit(line: &str) -> Limit {
        limit_of(line, |_| Some(Duration::from_secs(7)), |_| Some(Duration::from_secs(5)))
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn tells_limits_from_their_absence() {
        for (line, expected) in [
            ("34 0x0 0x0 0x0 0x0 0x0 0x0 0x7ffe 0x7f00", Limit::None),
            ("257 0xffffff9c 0x7ffe 0x241 0x1b6 0x0 0x0 0x7ffe 0x7f00", Limit::None),
            ("7 0x7ffe 0x2 0xffffffff 0x0 0x0 0x0 0x7ffe 0x7f00", Limit::None),
            ("7 0x7ffe 0x2 0x3e8 0x0 0x0 0x0 0x7ffe 0x7f00", Limit::Within(Duration::from_secs(1))),
            ("230 0x0 0x0 0x7ffe 0x0 0x0 0x0 0x7ffe 0x7f00", Limit::Within(Duration::from_secs(7))),
            ("230 0x0 0x1 0x7ffe 0x0 0x0 0x0 0x7ffe 0x7f00", Limit::Within(Duration::from_secs(2))),
            ("202 0x7f 0x189 0x0 0x7ffe 0x0 0xffffffff 0x7ffe 0x7f00", Limit::Within(Duration::from_secs(2))),
            ("202 0x7f 0x80 0x0 0x0 0x0 0x0 0x7ffe 0x7f00", Limit::None),
            ("58 0x0 0x0 0x0 0x0 0x0 0x0 0x7ffe 0x7f00", Limit::None),
            ("56 0x4111 0x0 0x0 0x0 0x0 0x0 0x7ffe 0x7f00", Limit::None),
            ("56 0x1200011 0x0 0x0 0x0 0x0 0x0 0x7ffe 0x7f00", Limit::Unknown),
            ("running", Limit::Unknown),
            ("-1 0x7ffe 0x7f00", Limit::Unknown),
        ] {
            assert_eq!(limit(line), expected, "{line}");
        }
    }

    #[test]
    fn a_running_thread_is_not_at_rest() {
        let me = nix::unistd::getpid().as_raw();
        let (first, second) = (pulse(&[me], &[]), pulse(&[me], &[]));
        assert!(!second.proves_rest(&first));
    }

    proptest! {
        #[test]
        fn any_line_is_read_without_panic(line in ".{0,200}") {
            let _ = limit(&line);
        }
    }
}
