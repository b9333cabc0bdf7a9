//! Dirt: what a careless caller leaves to a daemon, planted before it is executed.

use super::World;
use super::launching::Start;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// The largest limit of open files that is planted: a daemon that closes one descriptor after another gets there, too.
const MOST_FILES: u64 = 65536;
/// Planted low, in the middle and beyond what careless loops reach; the highest allowed comes on top.
const DESCRIPTORS: [i32; 9] = [3, 4, 5, 9, 57, 255, 256, 300, 1023];
/// The highest limit under which memory use is looked at: a daemon that closes one after another gets to its end, too.
const HIGH_LIMIT: u64 = 1 << 18;
/// Below this nothing would be seen.
const LEAST_LIMIT: u64 = 4096;
/// What is added to the caller's own badness.
const OOM_SCORE: i32 = 123;
/// Groups that no account has.
const GROUPS: [u32; 2] = [61_001, 61_002];

/// Variables of the caller's: one like any other, one that looks like the dynamic linker's, one that a supervisor would
/// set, and those by which daemonization libraries tell the daemon that they have executed anew from the launcher.
const VARIABLES: &[(&str, &str)] = &[
    ("DAEMONSPEC_MARKER", "planted"),
    ("LD_DAEMONSPEC_MARKER", "planted"),
    ("UPSTART_JOB", "planted"),
    ("_GO_DAEMON", "1"),
    ("XW_DAEMON_IDX", "99"),
    ("_RCLONE_DAEMON_", "_rclone_daemon_"),
    ("_DAEMONIZE_PROCESS", "1"),
    ("__daemon", "true"),
    ("__daemonize", "true"),
    ("RUNNING_AS_DAEMON", "1"),
    ("DAEMON_CHILD", "1"),
];

/// One kind of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dirt {
    /// Open descriptors, low and high.
    Descriptors,
    /// Every signal blocked.
    Blocked,
    /// Every signal ignored that can be, but SIGCHLD.
    Ignored,
    /// SIGCHLD ignored, which changes what wait(2) does.
    ChildSignal,
    /// A umask that forbids nothing.
    Umask,
    /// Variables.
    Environment,
    /// An oom_score_adj.
    OomScore,
    /// Supplementary groups.
    Groups,
}

impl Dirt {
    /// All of it.
    pub(crate) const ALL: [Dirt; 7] =
        [Dirt::Descriptors, Dirt::Blocked, Dirt::Ignored, Dirt::Umask, Dirt::Environment, Dirt::OomScore, Dirt::Groups];
}

/// All signals but those that cannot be caught, and the two that the C library keeps to itself: no program can reset them
/// by its means.
fn signals() -> Vec<i32> {
    (1..=64).filter(|signal| ![libc::SIGKILL, libc::SIGSTOP, 32, 33].contains(signal)).collect()
}

impl World<'_> {
    /// A start with that dirt in its way.
    pub(crate) fn dirty_start(&self, dirt: &[Dirt]) -> Start {
        let mut start = self.start();
        let inheritance = &mut start.inheritance;
        for kind in dirt {
            match kind {
                Dirt::Descriptors => {
                    let hard = getrlimit(Resource::RLIMIT_NOFILE).map_or(1024, |(_, hard)| hard.min(MOST_FILES));
                    inheritance.open_files = Some((hard, hard));
                    let highest = i32::try_from(hard).unwrap_or(i32::MAX) - 1;
                    inheritance.descriptors = DESCRIPTORS.into_iter().filter(|fd| *fd < highest).collect();
                    inheritance.descriptors.push(highest);
                }
                Dirt::Blocked => inheritance.blocked = signals(),
                Dirt::Ignored => inheritance.ignored.extend(signals().into_iter().filter(|s| *s != libc::SIGCHLD)),
                Dirt::ChildSignal => inheritance.ignored.push(libc::SIGCHLD),
                Dirt::Umask => inheritance.umask = 0,
                Dirt::Environment => {
                    let pairs = VARIABLES.iter().map(|(name, value)| (name.into(), value.into()));
                    inheritance.variables.extend(pairs);
                }
                Dirt::OomScore => {
                    let own = std::fs::read_to_string("/proc/self/oom_score_adj").ok();
                    let own = own.and_then(|text| text.trim().parse::<i32>().ok()).unwrap_or_default();
                    inheritance.oom_score_adj = Some((own + OOM_SCORE).min(1000));
                }
                Dirt::Groups if self.may_change_accounts() => inheritance.groups = Some(GROUPS.to_vec()),
                Dirt::Groups => {}
            }
        }
        start
    }

    /// A low and a high limit of open files to be started under, where there is a difference that can be seen. The low one
    /// is half of the high one, so that what a daemon's own configuration bounds is below both.
    pub(crate) fn limits_of_files(&self) -> Option<(u64, u64)> {
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
        // Who may raise it may go as far as the kernel does (proc_sys_fs(5), nr_open).
        let most = std::fs::read_to_string("/proc/sys/fs/nr_open").ok().and_then(|text| text.trim().parse().ok());
        let most = most.unwrap_or(hard).max(hard).min(HIGH_LIMIT);
        let may_raise = hard < most && setrlimit(Resource::RLIMIT_NOFILE, soft, most).is_ok();
        if may_raise {
            let _ = setrlimit(Resource::RLIMIT_NOFILE, soft, hard);
        }
        let high = if may_raise { most } else { hard.min(HIGH_LIMIT) };
        (high >= LEAST_LIMIT).then_some((high / 2, high))
    }

    /// Whether the subject is started as root, and that is root of the machine's: it may take any account.
    pub(crate) fn may_change_accounts(&self) -> bool {
        // The user namespace of an ordinary user's sandbox maps one id, and setgroups(2) is denied in it.
        let maps = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
        let allowed = std::fs::read_to_string("/proc/self/setgroups").is_ok_and(|word| word.trim() == "allow");
        let everybody = maps.split_whitespace().nth(2).and_then(|n| n.parse::<u64>().ok()).is_some_and(|n| n > 65535);
        nix::unistd::geteuid().is_root() && allowed && everybody
    }
}
