//! Tells whether processes are at rest, without waiting for any fixed time.
//!
//! Two readings in a row that show the same threads, all asleep, with the same counts of context switches, prove that no
//! thread ran in between: between the end of the first reading and the start of the second all of them slept at once. Only
//! a timer or somebody outside can wake them then.

use super::{read_proc, status};
use crate::observation::Pid;
use std::fs;

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

/// Takes a reading of the processes `pids`.
pub(crate) fn pulse(pids: &[Pid]) -> Pulse {
    let mut threads = Vec::new();
    let mut asleep = true;
    for pid in pids {
        for tid in threads_of(*pid) {
            let Some(status) = status(&format!("/proc/{pid}/task/{tid}/status")) else { continue };
            // S sleeps, T and t are stopped, Z and X have ended, I idles; R runs, D waits for the disk or a vfork child.
            asleep &= status.state.starts_with(['S', 'T', 't', 'Z', 'X', 'I']);
            let switches = status.voluntary_ctxt_switches.unwrap_or(0) + status.nonvoluntary_ctxt_switches.unwrap_or(0);
            threads.push((*pid, tid, switches));
        }
    }
    Pulse { threads, asleep }
}

fn threads_of(pid: Pid) -> Vec<Pid> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let mut tids: Vec<Pid> = entries.flatten().filter_map(|e| e.file_name().to_str()?.parse().ok()).collect();
    tids.sort_unstable();
    tids
}

/// Whether every thread of `pids` waits in a system call that has no time limit, so that waiting on would show nothing new.
///
/// An alarm set earlier cannot be seen from here; such a thread counts as waiting without limit.
pub(crate) fn waits_without_limit(pids: &[Pid]) -> bool {
    pids.iter().all(|pid| {
        threads_of(*pid).iter().all(|tid| {
            read_proc(&format!("/proc/{pid}/task/{tid}/syscall"))
                .is_ok_and(|bytes| call_without_limit(&String::from_utf8_lossy(&bytes)))
        })
    })
}

/// The same of one line of /proc/PID/syscall: the call's number and six arguments in hexadecimal (proc_pid_syscall(5)).
fn call_without_limit(line: &str) -> bool {
    let mut words = line.split_whitespace();
    let Some(Ok(number)) = words.next().map(str::parse::<libc::c_long>) else { return false };
    let arguments: Vec<u64> =
        words.map_while(|w| u64::from_str_radix(w.trim_start_matches("0x"), 16).ok()).take(6).collect();
    let [_, _, third, fourth, fifth, _] = arguments.as_slice() else { return false };
    // Timeouts in milliseconds are C ints: the upper half of the register means nothing.
    let limited = |argument: u64| argument & 0x8000_0000 == 0;
    match number {
        libc::SYS_read | libc::SYS_readv | libc::SYS_recvfrom | libc::SYS_recvmsg | libc::SYS_accept | libc::SYS_accept4
        | libc::SYS_wait4 | libc::SYS_waitid | libc::SYS_rt_sigsuspend | libc::SYS_flock | libc::SYS_fcntl => true,
        libc::SYS_epoll_pwait => !limited(*fourth),
        libc::SYS_epoll_pwait2 => *fourth == 0,
        libc::SYS_ppoll | libc::SYS_rt_sigtimedwait => *third == 0,
        libc::SYS_pselect6 => *fifth == 0,
        libc::SYS_futex => *fourth == 0,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_pause => true,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_poll => !limited(*third),
        #[cfg(target_arch = "x86_64")]
        libc::SYS_epoll_wait => !limited(*fourth),
        #[cfg(target_arch = "x86_64")]
        libc::SYS_select => *fifth == 0,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn tells_limits_from_their_absence() {
        assert!(call_without_limit("34 0x0 0x0 0x0 0x0 0x0 0x0 0x7ffe 0x7f00"));
        assert!(call_without_limit("7 0x7ffe 0x2 0xffffffff 0x0 0x0 0x0 0x7ffe 0x7f00"));
        assert!(!call_without_limit("7 0x7ffe 0x2 0x3e8 0x0 0x0 0x0 0x7ffe 0x7f00"));
        assert!(!call_without_limit("230 0x0 0x0 0x7ffe 0x0 0x0 0x0 0x7ffe 0x7f00"));
        assert!(!call_without_limit("running"));
        assert!(!call_without_limit("-1 0x7ffe 0x7f00"));
    }

    #[test]
    fn a_running_thread_is_not_at_rest() {
        let me = nix::unistd::getpid().as_raw();
        let (first, second) = (pulse(&[me]), pulse(&[me]));
        assert!(!second.proves_rest(&first));
    }

    proptest! {
        #[test]
        fn any_line_is_read_without_panic(line in ".{0,200}") {
            let _ = call_without_limit(&line);
        }
    }
}
