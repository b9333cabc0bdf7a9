//! The calls that a trace looks at: which, what their arguments are, and the filter that stops at them and at no others.

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};
use std::collections::BTreeMap;
use std::sync::LazyLock;
use syscalls::{Sysno, x86::Sysno as Sysno32};

/// What an argument means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Is {
    /// A descriptor that the call is about.
    Fd,
    /// Another number in decimal: a descriptor to be, an id, a length, an option. `-1` is written as that.
    Number,
    Octal,
    Hex,
    /// A path; relative to the working directory, or to the `Dir` before it.
    Path,
    Dir,
    OpenFlags,
    /// A mode that counts only where open(2) creates a file.
    CreateMode,
    Signal,
    /// How a mask is changed.
    How,
    /// fcntl(2)'s command, and what that takes.
    Fcntl,
    Flock,
    CloneFlags,
    /// A struct clone_args.
    CloneArguments,
    /// Bytes, as many as the next argument says.
    Bytes,
    /// A socket's address, as long as the next argument says.
    Address,
    Resource,
    /// A struct rlimit.
    Limits,
    /// A struct timespec.
    Time,
    /// Group ids, as many as the argument before says, which is not shown.
    Groups,
    /// A struct sigaction, of which the handler is shown.
    Action,
    /// A signal set.
    Set,
    /// Not shown.
    Hidden,
}

/// Which calls a trace looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Calls {
    /// What a start is made of.
    Start,
    /// What may be done with a PID file.
    Files,
    /// Closing descriptors, or marking them.
    Descriptors,
    /// Leaving a session, and ending.
    Leaving,
}

const START: u8 = 1;
const FILES: u8 = 2;
const DESCRIPTORS: u8 = 4;
const LEAVING: u8 = 8;
/// Both of a start and of its files.
const BOTH: u8 = START | FILES;

impl Calls {
    fn bit(self) -> u8 {
        match self {
            Calls::Start => START,
            Calls::Files => FILES,
            Calls::Descriptors => DESCRIPTORS,
            Calls::Leaving => LEAVING,
        }
    }
}

/// A call that a trace may look at.
pub(super) struct Known {
    pub(super) name: &'static str,
    pub(super) arguments: &'static [Is],
    looks: u8,
    /// Whether what it returns is waited for: a second stop each time.
    pub(super) returns: bool,
    /// Whether what its arguments mean is still to be seen while the call is made.
    pub(super) is_kept: bool,
    /// It counts only where this argument is not null.
    unless_null: Option<u8>,
}

const fn call(name: &'static str, looks: u8, arguments: &'static [Is]) -> Known {
    Known { name, arguments, looks, returns: true, is_kept: true, unless_null: None }
}

impl Known {
    /// It does not return, or says nothing by what it returns.
    const fn silent(mut self) -> Known {
        self.returns = false;
        self
    }

    /// It changes what its arguments mean: a path, since the directory is another one, or memory that it writes to.
    const fn changing(mut self) -> Known {
        self.is_kept = false;
        self
    }

    const fn unless_null(mut self, argument: u8) -> Known {
        self.unless_null = Some(argument);
        self
    }
}

use Is::{
    Action, Address, Bytes, CloneArguments, CloneFlags, CreateMode, Dir, Fcntl, Fd, Flock, Groups, Hex, Hidden, How,
    Limits, Number, Octal, OpenFlags, Path, Resource, Set, Signal, Time,
};

const KNOWN: &[Known] = &[
    call("fork", START, &[]),
    call("vfork", START, &[]),
    call("clone", START, &[CloneFlags]),
    call("clone3", START, &[CloneArguments]).changing(),
    call("execve", START, &[Path]).changing(),
    call("execveat", START, &[Dir, Path]).changing(),
    call("exit_group", START | LEAVING, &[Number]).silent(),
    call("setsid", START | LEAVING, &[]),
    call("setpgid", START, &[Number, Number]),
    call("chdir", START, &[Path]).changing(),
    call("fchdir", START, &[Fd]),
    call("chroot", START, &[Path]).changing(),
    call("umask", START, &[Octal]),
    call("open", BOTH, &[Path, OpenFlags, CreateMode]),
    call("creat", BOTH, &[Path, Octal]),
    call("openat", BOTH, &[Dir, Path, OpenFlags, CreateMode]),
    call("openat2", BOTH, &[Dir, Path]),
    call("close", START | DESCRIPTORS, &[Fd]),
    call("close_range", START | DESCRIPTORS, &[Number, Number, Hex]),
    call("dup", START, &[Fd]),
    call("dup2", START, &[Fd, Number]),
    call("dup3", START, &[Fd, Number, Hex]),
    call("pipe", START, &[]),
    call("pipe2", START, &[Hidden, OpenFlags]),
    call("fcntl", BOTH | DESCRIPTORS, &[Fd, Fcntl]),
    call("flock", BOTH, &[Fd, Flock]),
    call("rename", BOTH, &[Path, Path]),
    call("renameat", BOTH, &[Dir, Path, Dir, Path]),
    call("renameat2", BOTH, &[Dir, Path, Dir, Path]),
    call("link", BOTH, &[Path, Path]),
    call("linkat", BOTH, &[Dir, Path, Dir, Path]),
    call("symlink", BOTH, &[Hidden, Path]),
    call("symlinkat", BOTH, &[Hidden, Dir, Path]),
    call("unlink", BOTH, &[Path]),
    call("unlinkat", BOTH, &[Dir, Path]),
    call("mkdir", START, &[Path, Octal]),
    call("mkdirat", START, &[Dir, Path, Octal]),
    call("socket", START, &[Number, Hex, Number]),
    call("bind", START, &[Fd, Address]),
    call("listen", START, &[Fd, Number]),
    call("write", BOTH, &[Fd, Bytes, Number]),
    call("pwrite64", BOTH, &[Fd, Bytes, Number, Number]),
    call("writev", BOTH, &[Fd]),
    call("ftruncate", BOTH, &[Fd, Number]),
    call("truncate", BOTH, &[Path, Number]),
    call("chmod", START, &[Path, Octal]),
    call("fchmod", START, &[Fd, Octal]),
    call("fchmodat", START, &[Dir, Path, Octal]),
    call("chown", START, &[Path, Number, Number]),
    call("lchown", START, &[Path, Number, Number]),
    call("fchown", START, &[Fd, Number, Number]),
    call("fchownat", START, &[Dir, Path, Number, Number]),
    call("rt_sigaction", START, &[Signal, Action]).silent().unless_null(1),
    call("sigaction", START, &[Signal]).silent().unless_null(1),
    call("signal", START, &[Signal, Hex]).silent(),
    call("rt_sigprocmask", START, &[How, Set]).silent().unless_null(1),
    call("sigprocmask", START, &[How]).silent().unless_null(1),
    call("prctl", START, &[Number, Hex]),
    call("setuid", START, &[Number]),
    call("setgid", START, &[Number]),
    call("setreuid", START, &[Number, Number]),
    call("setregid", START, &[Number, Number]),
    call("setresuid", START, &[Number, Number, Number]),
    call("setresgid", START, &[Number, Number, Number]),
    call("setgroups", START, &[Hidden, Groups]),
    call("setrlimit", START, &[Resource, Limits]),
    call("prlimit", START, &[Number, Resource, Limits]).changing().unless_null(2),
    call("nanosleep", START, &[Time]).changing(),
    call("clock_nanosleep", START, &[Number, Hex, Time]).changing(),
    call("kill", BOTH, &[Number, Signal]),
    call("alarm", START | LEAVING, &[Number]).silent(),
    call("setitimer", START | LEAVING, &[Number, Hidden]).silent(),
    call("timer_settime", START | LEAVING, &[Number, Hex, Hidden]).silent(),
    call("read", FILES, &[Fd]),
    call("pread64", FILES, &[Fd]),
    call("readv", FILES, &[Fd]),
    call("access", FILES, &[Path]),
    call("faccessat", FILES, &[Dir, Path]),
    call("faccessat2", FILES, &[Dir, Path]),
    call("stat", FILES, &[Path]),
    call("lstat", FILES, &[Path]),
    call("newfstatat", FILES, &[Dir, Path]),
    call("fstatat", FILES, &[Dir, Path]),
    call("fstat", FILES, &[Fd]),
    call("statx", FILES, &[Dir, Path]),
    call("readlink", FILES, &[Path]),
    call("readlinkat", FILES, &[Dir, Path]),
];

/// Commands of fcntl(2) that are looked at; the rest would only be noise.
const DUPLICATES: [libc::c_int; 2] = [libc::F_DUPFD, libc::F_DUPFD_CLOEXEC];
const LOCKS: [libc::c_int; 6] =
    [libc::F_SETLK, libc::F_SETLKW, SETLK64, SETLKW64, libc::F_OFD_SETLK, libc::F_OFD_SETLKW];
/// F_SETLK64 and F_SETLKW64, which 32-bit programs use and no others have (asm-generic/fcntl.h).
pub(super) const SETLK64: libc::c_int = 13;
pub(super) const SETLKW64: libc::c_int = 14;
const MARKS: [libc::c_int; 2] = [libc::F_GETFD, libc::F_SETFD];

/// The signals that have a part in a daemon's life. Whoever resets all of them, or nearly all, resets these too.
const SIGNALS: [libc::c_int; 12] = [
    libc::SIGHUP,
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGPIPE,
    libc::SIGALRM,
    libc::SIGTERM,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGCHLD,
    libc::SIGTSTP,
    libc::SIGTTIN,
    libc::SIGTTOU,
];
/// Calls that are about a signal's disposition.
const DISPOSITIONS: [&str; 3] = ["rt_sigaction", "sigaction", "signal"];

/// Descriptors below this one are seen to be closed at a start.
const MOST_CLOSED: u64 = 256;

/// Calls by the 32-bit interface, and those of the x32 one, all stop: they are told apart by whoever looks.
const TOLD_APART: u32 = libc::SECCOMP_RET_TRACE;
/// The bit of a call's number that marks the x32 interface.
const X32: u32 = 0x4000_0000;

/// AUDIT_ARCH_* of this program's own architecture and of its 32-bit companion (linux/audit.h).
const NATIVE: u32 = if cfg!(target_arch = "aarch64") { 0xc000_00b7 } else { 0xc000_003e };
const COMPANION: u32 = 0x4000_0003;

/// The name of a call without what only tells the widths of its arguments apart.
fn plain(name: &'static str) -> &'static str {
    // Of these the number is a part of the name that tells something.
    if ["pread64", "pwrite64", "clone3"].contains(&name) {
        return name;
    }
    let stripped = name.strip_suffix("_time64").or_else(|| name.strip_suffix("64")).or_else(|| name.strip_suffix("32"));
    stripped.unwrap_or(name)
}

/// The interface by which a call came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Interface {
    /// The 32-bit one.
    pub(super) compat: bool,
    /// Its times are as wide as a 64-bit program's all the same.
    pub(super) wide_time: bool,
}

/// The call of that number, if the trace looks at such calls; and the interface by which it came.
pub(super) fn known(architecture: u32, number: i64) -> Option<(&'static Known, Interface)> {
    let number = usize::try_from(number).ok()?;
    let (name, compat) = match architecture {
        NATIVE => return TABLE.get(number)?.map(|known| (known, Interface { compat: false, wide_time: true })),
        COMPANION if cfg!(target_arch = "x86_64") => (Sysno32::new(number)?.name(), true),
        _ => return None,
    };
    let interface = Interface { compat, wide_time: !compat || name.ends_with("_time64") };
    named(name).map(|known| (known, interface))
}

/// What is known of the calls of this program's own interface, by their numbers.
static TABLE: LazyLock<Vec<Option<&'static Known>>> = LazyLock::new(|| {
    let last = Sysno::iter().map(|number| number.id() as usize).max().unwrap_or(0);
    (0..=last).map(|number| Sysno::new(number).and_then(|number| named(number.name()))).collect()
});

/// Prepares what is looked up for each call. Before a fork, since another thread of the caller's might be at it then.
pub(crate) fn prepare() {
    LazyLock::force(&TABLE);
}

fn named(name: &'static str) -> Option<&'static Known> {
    let name = plain(name);
    KNOWN.iter().find(|known| known.name == name)
}

impl Calls {
    /// Whether it looks at a call that stopped, whose filter may have let others through.
    pub(super) fn include(self, known: &Known, arguments: &[u64; 6]) -> bool {
        known.looks & self.bit() != 0
            && known.unless_null.is_none_or(|argument| arguments[usize::from(argument)] != 0)
            && (known.name != "fcntl" || self.commands().contains(&(arguments[1] as libc::c_int)))
            && (!DISPOSITIONS.contains(&known.name) || SIGNALS.contains(&(arguments[0] as libc::c_int)))
            && (known.name != "close" || self != Calls::Start || (arguments[0] as u32) < MOST_CLOSED as u32)
    }

    /// The names by which this machine's own interface has them.
    pub(crate) fn names(self) -> impl Iterator<Item = &'static str> {
        self.numbered().map(|(number, _)| number.name())
    }

    /// These calls by their numbers.
    fn numbered(self) -> impl Iterator<Item = (Sysno, &'static Known)> {
        let known = TABLE.iter().enumerate().filter_map(|(number, known)| Sysno::new(number).zip(*known));
        known.filter(move |(_, known)| known.looks & self.bit() != 0)
    }

    fn commands(self) -> Vec<libc::c_int> {
        match self {
            Calls::Start => [DUPLICATES.as_slice(), &LOCKS].concat(),
            Calls::Files => LOCKS.to_vec(),
            Calls::Descriptors => MARKS.to_vec(),
            Calls::Leaving => Vec::new(),
        }
    }

    /// The program that stops at these calls, and at all that come by another interface than this program's own.
    ///
    /// # Errors
    /// Where this architecture is none that filters can be made for.
    pub(crate) fn filter(self) -> Result<Vec<libc::sock_filter>, String> {
        let architecture = TargetArch::try_from(std::env::consts::ARCH).map_err(|error| error.to_string())?;
        let condition = |argument: u8, width: SeccompCmpArgLen, operator: SeccompCmpOp, value: u64| {
            SeccompCondition::new(argument, width, operator, value).map_err(|error| error.to_string())
        };
        let mut rules: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
        for (number, known) in self.numbered() {
            let name = known.name;
            // All that is to hold, and of what follows one.
            let mut all = Vec::new();
            let mut one_of = Vec::new();
            if let Some(argument) = known.unless_null {
                all.push(condition(argument, SeccompCmpArgLen::Qword, SeccompCmpOp::Ne, 0)?);
            }
            if name == "fcntl" {
                for command in self.commands() {
                    one_of.push(condition(1, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, command as u64)?);
                }
            }
            if DISPOSITIONS.contains(&name) {
                for signal in SIGNALS {
                    one_of.push(condition(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, signal as u64)?);
                }
            }
            // Whoever closes all numbers up to a limit is known by the first of them; to count is what `Descriptors` is for.
            if name == "close" && self == Calls::Start {
                all.push(condition(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Lt, MOST_CLOSED)?);
            }
            let mut chains: Vec<Vec<SeccompCondition>> =
                one_of.into_iter().map(|one| all.iter().cloned().chain([one]).collect()).collect();
            if chains.is_empty() && !all.is_empty() {
                chains.push(all);
            }
            let chains = chains.into_iter().map(|chain| SeccompRule::new(chain).map_err(|error| error.to_string()));
            let chain = chains.collect::<Result<_, _>>()?;
            rules.insert(i64::from(number.id()), chain);
        }
        let filter = SeccompFilter::new(rules, SeccompAction::Allow, SeccompAction::Trace(0), architecture);
        let program: BpfProgram =
            filter.and_then(TryInto::try_into).map_err(|error: seccompiler::BackendError| error.to_string())?;
        let program =
            program.into_iter().map(|step| libc::sock_filter { code: step.code, jt: step.jt, jf: step.jf, k: step.k });
        Ok(apart().into_iter().chain(program).collect())
    }
}

/// The crate's own program ends whoever makes a call of another architecture; here such calls stop before it sees them.
fn apart() -> Vec<libc::sock_filter> {
    let load = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    let equal = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    let set = (libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K) as u16;
    let answer = (libc::BPF_RET | libc::BPF_K) as u16;
    let step = |code, k, jt, jf| libc::sock_filter { code, jt, jf, k };
    // struct seccomp_data: the call's number at 0, the architecture at 4.
    vec![
        step(load, 4, 0, 0),
        step(equal, NATIVE, 0, 2),
        step(load, 0, 0, 0),
        step(set, X32, 0, 1),
        step(answer, TOLD_APART, 0, 0),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_a_system_call_of_some_table() {
        let native: Vec<&str> = Sysno::iter().map(|number| plain(number.name())).collect();
        let companion: Vec<&str> = Sysno32::iter().map(|number| plain(number.name())).collect();
        for known in KNOWN {
            assert!(native.contains(&known.name) || companion.contains(&known.name), "{}", known.name);
        }
    }

    #[test]
    fn of_dispositions_only_those_that_matter_to_a_daemon_are_looked_at() {
        let known = named("rt_sigaction").unwrap_or(&KNOWN[0]);
        let is_looked_at =
            |signal: libc::c_int, action: u64| Calls::Start.include(known, &[signal as u64, action, 0, 8, 0, 0]);
        assert!(is_looked_at(libc::SIGHUP, 1) && is_looked_at(libc::SIGCHLD, 1));
        assert!(!is_looked_at(libc::SIGHUP, 0) && !is_looked_at(libc::SIGWINCH, 1) && !is_looked_at(40, 1));
    }

    #[test]
    fn each_set_of_calls_has_a_filter() {
        for calls in [Calls::Start, Calls::Files, Calls::Descriptors, Calls::Leaving] {
            assert!(calls.filter().is_ok_and(|filter| filter.len() > 5));
        }
    }
}
