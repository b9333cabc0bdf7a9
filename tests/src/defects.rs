//! The catalogue of single defects: what the defective daemon can do wrong, and which check is to notice.
//!
//! The program is `src/bin/defective-daemon/`; each row here is one place there.

/// One way to be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Defect {
    /// The program's first argument.
    pub name: &'static str,
    /// What is done otherwise than in the reference daemon.
    pub flaw: &'static str,
    /// The id of the check that has to fail.
    pub target: &'static str,
    /// The profile to judge it by; it says as well where it is started.
    pub profile: Profile,
    /// What shows it besides.
    pub needs: Needs,
}

/// The profile that a defect is judged by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// `sysv`: it puts itself into the background.
    Sysv,
    /// `foreground`: a supervisor starts it.
    Foreground,
    /// `container`: so does a container.
    Container,
}

impl Profile {
    /// As `--profile` takes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sysv => "sysv",
            Self::Foreground => "foreground",
            Self::Container => "container",
        }
    }

    /// The daemon's arguments for it, after the program and the defect. The log is one of the subject's only where it stays
    /// in the background: in the foreground a good daemon leaves it alone.
    #[must_use]
    pub fn arguments(self) -> Vec<&'static str> {
        let mut arguments = vec!["--pid-file", "{dir}/d.pid", "--log-file", LOG];
        if self != Self::Sysv {
            arguments.push("--foreground");
        }
        arguments
    }
}

/// What the subject is given, besides its PID file and its log, for the defect to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Nothing.
    Nothing,
    /// The account to drop to, nobody: on the command line (`--user`) and in the subject.
    Account,
    /// A stop command: the daemon's own `--stop`, by [`Defect::stop_line`].
    StopCommand,
    /// What else "ready" means (`--ready`): that its log is there.
    Ready,
}

impl Defect {
    const fn in_foreground(mut self) -> Self {
        self.profile = Profile::Foreground;
        self
    }

    const fn in_container(mut self) -> Self {
        self.profile = Profile::Container;
        self
    }

    const fn needs(mut self, needs: Needs) -> Self {
        self.needs = needs;
        self
    }

    /// The daemon's arguments, after the program: the defect's name, and the reference daemon's options.
    #[must_use]
    pub fn arguments(&self) -> Vec<&'static str> {
        let mut arguments = vec![self.name];
        arguments.extend(self.profile.arguments());
        if self.needs == Needs::Account {
            arguments.extend(["--user", ACCOUNT]);
        }
        arguments
    }

    /// The account that the subject is said to drop to.
    #[must_use]
    pub fn user(&self) -> Option<&'static str> {
        (self.needs == Needs::Account).then_some(ACCOUNT)
    }

    /// The file that has to be there before the subject is ready, besides its PID file.
    #[must_use]
    pub fn ready(&self) -> Option<&'static str> {
        (self.needs == Needs::Ready).then_some(LOG)
    }

    /// The subject's stop command, for the program at that path.
    #[must_use]
    pub fn stop_line(&self, program: &str) -> Option<String> {
        let line = || format!("'{program}' {} --stop --pid-file {{dir}}/d.pid", self.name);
        (self.needs == Needs::StopCommand).then(line)
    }
}

const ACCOUNT: &str = "nobody";

/// Where its log is; the last that a good daemon sets up before it says that it is ready.
pub const LOG: &str = "{dir}/d.log";

const fn defect(name: &'static str, target: &'static str, flaw: &'static str) -> Defect {
    Defect { name, flaw, target, profile: Profile::Sysv, needs: Needs::Nothing }
}

/// All of them, in the catalogue's order of their targets.
#[rustfmt::skip]
pub const DEFECTS: &[Defect] = &[
    defect("launcher-stays", "launcher-exits", "the launcher waits for ever once the daemon is up"),
    defect("dies-when-ready", "daemon-stays-up", "the daemon ends, without a word, as soon as the launcher was told that all is well; its PID file stays"),
    defect("ends-soon", "daemon-stays-up", "the daemon ends 300 ms after the launcher was told that all is well"),
    defect("intermediate-stays", "left-its-launcher", "the first child stays, and waits for the daemon"),
    defect("launcher-leaves-at-once", "ready-before-exit", "the launcher ends as soon as it has forked, as that of daemon(3) does"),
    defect("launcher-waits-for-first-child", "ready-before-exit", "the launcher waits until the first child has ended, and not for the daemon"),
    defect("tells-before-log", "ready-before-exit", "the launcher is told that all is well before the log is opened, which the subject declares to be a part of being ready").needs(Needs::Ready),
    defect("launcher-sleeps", "ready-before-exit", "the launcher sleeps for 100 ms, and ends"),
    defect("launcher-gives-up", "ready-before-exit", "the launcher waits to be told, though for a second at most, and then ends with status 0"),
    defect("launcher-has-alarm", "ready-before-exit", "the launcher waits to be told, and an alarm after a second ends it with status 0"),
    defect("exit-0-on-failure", "launcher-status", "a start that failed is explained, and ends with status 0"),
    defect("reports-early", "launcher-status", "the launcher is told that all is well, 200 ms before anything is tried"),
    defect("exit-0-without-log", "launcher-status", "a start that failed for its log is explained, and ends with status 0"),
    defect("exit-0-when-locked", "launcher-status", "a start that finds its PID file locked is explained, and ends with status 0"),
    defect("silent-failure", "failure-explained", "a start that failed ends with status 1, and says nothing"),
    defect("silent-without-log", "failure-explained", "a start that failed for its log ends with status 1, and says nothing"),
    defect("zombie-child", "no-leftover-processes", "a child ends at once, and is never reaped"),
    defect("ignores-sigterm", "sigterm-stops", "told to stop, it goes on"),
    defect("exit-1-on-sigterm", "stop-status", "told to stop, it ends in order, and with status 1"),
    defect("orphans-worker", "stop-leaves-no-orphans", "a worker that ignores every signal outlives it"),
    defect("deaf-at-start", "early-sigterm", "SIGTERM is ignored from the fork until the daemon waits for it"),
    defect("deaf-in-foreground", "early-sigterm", "SIGTERM is ignored until the daemon waits for it").in_foreground(),
    defect("forgets-early-sigterm", "early-sigterm", "a SIGTERM that came before the daemon was ready is dropped"),
    defect("early-lock-left", "early-sigterm", "a lock file, which is never found stale, is made before SIGTERM is held back, and removed once there is a PID file"),
    defect("stale-socket", "restart-after-kill", "a socket beside the PID file is bound without removing what a crash has left there"),
    defect("no-setsid", "new-session", "no session of its own is begun"),
    defect("takes-terminal", "no-controlling-terminal", "as leader of a session it opens a terminal without O_NOCTTY"),
    defect("one-fork", "not-session-leader", "the second fork is left out"),
    defect("keeps-terminal-fd", "terminal-released", "a duplicate of the terminal's descriptor stays open"),
    defect("ends-with-terminal", "survives-hangup", "it watches the terminal that it was started from, and ends when that hangs up"),
    defect("setsid-last", "survives-leader-exit", "the launcher is told that all is well before the daemon begins its session; until then SIGHUP ends it"),
    defect("dies-of-interrupt", "survives-interrupt", "it stays in the launcher's session and process group, with the default disposition of SIGINT and SIGQUIT"),
    defect("talks-to-terminal", "terminal-silent", "on SIGHUP it writes a line to the terminal that it was started from"),
    defect("no-chdir", "cwd-root", "it stays in the directory it was started in"),
    defect("holds-launch-directory", "launch-directory-released", "a descriptor of the directory it was started in stays open"),
    defect("maps-launch-directory", "launch-directory-released", "a file of the directory it was started in stays mapped"),
    defect("keeps-umask", "umask-set", "the caller's umask stays"),
    defect("adds-to-umask", "umask-set", "022 is added to the caller's umask"),
    defect("world-writable-state", "no-world-writable-files", "a state file is made with mode 0666 before the umask is set"),
    defect("world-writable-directory", "no-world-writable-files", "a state directory is made with mode 0777, whatever the umask"),
    defect("relative-pidfile", "relative-paths", "the PID file's path is resolved after the change to /"),
    defect("relative-log", "relative-paths", "the log's path is resolved after the change to /"),
    defect("vanishes-without-run-directory", "run-directory-missing", "where /run is empty it ends at once, with status 0 and without a word"),
    defect("silent-without-run-directory", "run-directory-missing", "where /run is empty it ends at once, with status 1 and without a word"),
    defect("keeps-stdin", "stdin-redirected", "descriptor 0 stays what it was"),
    defect("keeps-stdout", "stdout-redirected", "descriptor 1 stays what it was"),
    defect("keeps-stderr", "stderr-redirected", "descriptor 2 stays what it was"),
    defect("closes-stdin", "stdio-open", "descriptor 0 is closed"),
    defect("keeps-pipe", "pipes-released", "a duplicate of descriptor 1 stays open, where that is a pipe"),
    defect("worker-keeps-pipe", "pipes-released", "a worker is forked before the standard streams are redirected, where 1 is a pipe"),
    defect("no-stdio-repair", "starts-with-stdio-closed", "closed standard streams are not opened: what is opened next takes their place"),
    defect("needs-stdin", "starts-with-stdio-closed", "where descriptor 0 is closed the start fails"),
    defect("closes-nothing", "inherited-descriptors-closed", "inherited descriptors stay open"),
    defect("closes-to-256", "inherited-descriptors-closed", "inherited descriptors from 256 on stay open"),
    defect("closes-to-first-gap", "inherited-descriptors-closed", "inherited descriptors behind the first one that is not open stay open"),
    defect("closes-to-limit", "close-cost-bounded", "every number that RLIMIT_NOFILE allows is closed"),
    defect("asks-to-limit", "close-cost-bounded", "every number that RLIMIT_NOFILE allows is asked after by F_GETFD, and closed where it is open"),
    defect("marks-to-limit", "close-cost-bounded", "every number that RLIMIT_NOFILE allows is marked close-on-exec by F_SETFD"),
    defect("hands-on-pidfile", "descriptors-kept-from-children", "the PID file's descriptor is not close-on-exec, and a program is executed"),
    defect("hands-on-socket", "descriptors-kept-from-children", "a socket is not close-on-exec, and a program is executed"),
    defect("keeps-signal-mask", "signal-mask-reset", "what the caller has blocked stays blocked"),
    defect("keeps-dispositions", "signal-dispositions-reset", "what the caller has ignored stays ignored"),
    defect("needs-sigchld", "starts-with-sigchld-ignored", "the launcher waits for the first child, and takes it for a failure that an ignored SIGCHLD leaves it none"),
    defect("dies-of-sighup", "survives-sighup", "SIGHUP has its default disposition"),
    defect("dies-after-reload", "survives-sighup", "300 ms after SIGHUP it ends"),
    defect("dies-of-broken-pipe", "survives-broken-pipe", "on SIGHUP it writes to the pipe that it was started with, with the default disposition of SIGPIPE"),
    defect("late-pidfile", "pidfile-present-at-exit", "the PID file is empty until the launcher has ended and been reaped"),
    defect("tells-before-pidfile", "pidfile-present-at-exit", "the launcher is told that all is well just before there is a PID file"),
    defect("tells-before-content", "pidfile-present-at-exit", "the launcher is told that all is well when the PID file is created and locked, and still empty"),
    defect("tells-before-rename", "pidfile-present-at-exit", "the PID file is written under another name, the launcher is told that all is well, and then it is renamed"),
    defect("wrong-pid", "pidfile-names-main-process", "the PID file names the launcher"),
    defect("no-newline", "pidfile-format", "the PID file's number has no newline"),
    defect("pidfile-0666", "pidfile-mode", "the PID file has mode 0666"),
    defect("pidfile-mode-by-umask", "pidfile-mode", "the PID file has mode 0664 less the caller's umask"),
    defect("pidfile-given-away", "pidfile-owner", "the PID file belongs to nobody"),
    defect("follows-pidfile-link", "pidfile-link-refused", "a symbolic link at the PID file's path is followed"),
    defect("hangs-on-fifo", "pidfile-odd-path", "the PID file is opened without O_NONBLOCK"),
    defect("ignores-odd-pidfile", "pidfile-odd-path", "where something at the PID file's path cannot be used it does without, and says nothing"),
    defect("leaves-pidfile", "pidfile-removed", "the PID file is not removed"),
    defect("refused-start-removes", "pidfile-removed-by-owner-only", "a start that finds another instance running removes its PID file"),
    defect("pidfile-with-name", "systemd-trusts-pidfile", "the PID file's number is followed by a name"),
    defect("no-lock", "second-instance-refused", "the PID file is opened and closed once more, and with that its lock is lost"),
    defect("refuses-silently", "second-instance-reported", "a start that finds another instance running says nothing, and ends with status 0"),
    defect("checks-then-creates", "simultaneous-starts", "whether the PID file is there and names an instance is asked first, and then it is created; nothing is locked"),
    defect("reads-then-writes", "simultaneous-starts", "the PID file is opened, read, judged, emptied and written; nothing is locked"),
    defect("unlinks-before-locking", "simultaneous-starts", "a PID file that names a process which has ended is removed before one is created and locked"),
    defect("truncates-before-locking", "simultaneous-starts", "the PID file is emptied as it is opened, and then locked"),
    defect("renames-unlocked", "simultaneous-starts", "what the PID file names is asked first, and then another is renamed into its place; nothing is locked"),
    defect("links-unlocked", "simultaneous-starts", "the PID file is linked into its place, which succeeds once; but a stale one is removed first, and nothing is locked"),
    defect("refuses-stale", "stale-pidfile", "a PID file that exists is taken for an instance that runs"),
    defect("believes-any-pid", "recycled-pid", "any process with the number in the PID file is taken for an instance that runs"),
    defect("refuses-own-pid", "recycled-pid", "its own number in the PID file is taken for an instance that runs"),
    defect("kills-recycled-pid", "recycled-pid", "once it has the lock, the process with the number that the PID file held is sent SIGTERM"),
    defect("dies-of-garbage", "garbage-pidfile", "a PID file that holds no number ends the start with status 1, and without a word"),
    defect("signals-garbage", "garbage-pidfile", "a PID file that holds no number goes through atoi(), and SIGTERM to what that gives: -1 is everybody"),
    defect("lock-in-child", "lock-not-inherited", "the PID file's lock is flock()'s as well, and a child that outlives a killed daemon inherits it"),
    defect("stop-believes-pidfile", "stop-verifies-identity", "the stop command signals the process with the number in the PID file").needs(Needs::StopCommand),
    defect("overwrites-log", "log-appended", "each start writes over the beginning of the log"),
    defect("truncates-log", "log-appended", "the log begins anew at each start"),
    defect("keeps-old-log", "log-reopened", "on SIGHUP the log is not reopened"),
    defect("leaks-old-log", "log-reopened", "on SIGHUP the log is opened anew, and the old one stays open, too"),
    defect("dies-when-log-full", "log-disk-full", "it ends when a line cannot be written"),
    defect("spins-when-log-full", "log-disk-full", "a line that cannot be written is tried again, for ever"),
    defect("starts-without-log", "log-disk-full", "where the log cannot be opened or written it starts without, and says nothing"),
    defect("drops-only-user", "privileges-dropped", "the user is changed, and neither group nor groups").needs(Needs::Account),
    defect("keeps-groups", "privileges-dropped", "user and group are changed, and the supplementary groups stay").needs(Needs::Account),
    defect("keeps-gid", "privileges-dropped", "user and supplementary groups are changed, and the group stays").needs(Needs::Account),
    defect("keeps-saved-ids", "privileges-dropped", "only the effective ids are changed").needs(Needs::Account),
    defect("allocates-by-limit", "memory-independent-of-limits", "16 bytes are allocated for each descriptor that RLIMIT_NOFILE allows"),
    defect("hands-on-oom-score", "oom-score-not-inherited", "a worker keeps the oom_score_adj that the daemon was started with"),
    defect("allows-core-dumps", "core-dumps-prevented", "RLIMIT_CORE stays the caller's"),
    defect("hands-on-environment", "environment-sanitised", "the caller's variables reach a program that is executed"),
    defect("believes-marker", "environment-sanitised", "where _GO_DAEMON is set it stays where it was started: somebody must have put it into the background"),
    defect("thread-in-launcher", "fork-before-threads", "the launcher starts a thread before it forks"),
    defect("thread-in-first-child", "fork-before-threads", "the first child starts a thread before it forks"),
    defect("ignores-pidfile-errors", "startup-faults-reported", "whether the PID file could be written is not asked"),
    defect("takes-short-write", "startup-faults-reported", "a PID file that could be written in part is taken for whole"),
    defect("does-without-when-interrupted", "startup-faults-reported", "where a signal interrupts the opening of the PID file it does without, and says nothing"),
    defect("takes-interruption-for-ready", "startup-faults-reported", "the launcher, interrupted while it waits to be told, takes that for being told"),
    defect("second-fork-unchecked", "startup-faults-reported", "where the second fork fails the launcher is told that all is well"),
    defect("vanishes-without-descriptors", "startup-faults-reported", "where the log cannot be opened because too many files are open, it ends, with status 0 and without a word"),
    defect("failed-start-leaves-pidfile", "startup-faults-reported", "a start that fails once it has a PID file leaves that behind"),
    defect("runs-on-after-failure", "startup-faults-reported", "where core dumps cannot be forbidden the launcher says so and ends with status 1, and the daemon runs"),
    defect("start-lock-left", "crash-anywhere-restarts", "a lock file, which is never found stale, is there while the PID file is made"),
    defect("temporary-file-left", "crash-anywhere-restarts", "the PID file is written under another name, which may not exist, and renamed"),
    defect("believes-empty", "crash-anywhere-restarts", "an empty PID file is taken for an instance that runs"),
    defect("needs-getcwd", "deleted-launch-directory", "the name of the current directory is asked for, and a start fails that cannot have it"),
    defect("forks-anyway", "stays-in-foreground", "it puts itself into the background all the same").in_foreground(),
    defect("never-ready", "notify-ready", "the supervisor is not told").in_foreground(),
    defect("ready-from-child", "notify-ready", "the supervisor is told by a child").in_foreground(),
    defect("ready-too-early", "notify-ready", "the supervisor is told, 200 ms before there is a PID file").in_foreground(),
    defect("hands-on-notify-socket", "notify-socket-kept", "a program is executed with NOTIFY_SOCKET").in_foreground(),
    defect("never-stopping", "notify-stopping", "the supervisor is not told").in_foreground(),
    defect("takes-any-socket", "listen-pid-checked", "where LISTEN_FDS is set it serves descriptor 3, whoever that was meant for").in_foreground(),
    defect("logs-to-file", "logs-to-stderr", "it logs to its log file").in_foreground(),
    defect("writes-half-lines", "logs-to-stderr", "its lines have no end").in_foreground(),
    defect("default-sigterm", "pid1-sigterm", "SIGTERM has its default disposition, which for process 1 is to be ignored").in_container(),
    defect("never-reaps", "pid1-reaps", "a child that ended is left a zombie").in_container(),
    defect("believes-own-pid", "pid1-restart", "any process with the number in the PID file, itself too, is taken for an instance that runs").in_container(),
];

#[cfg(test)]
mod tests {
    use super::*;

    const PROGRAM: &[&str] = &[
        include_str!("bin/defective-daemon/main.rs"),
        include_str!("bin/defective-daemon/background.rs"),
        include_str!("bin/defective-daemon/claims.rs"),
        include_str!("bin/defective-daemon/foreground.rs"),
        include_str!("bin/defective-daemon/life.rs"),
        include_str!("bin/defective-daemon/pid_file.rs"),
        include_str!("bin/defective-daemon/stop.rs"),
        include_str!("bin/defective-daemon/tricks.rs"),
        include_str!("bin/defective-daemon/workers.rs"),
    ];

    #[test]
    fn every_defect_has_its_place_in_the_program_and_the_other_way_round() {
        let asked = PROGRAM.iter().flat_map(|file| file.split("has(\"").skip(1));
        let mut named: Vec<&str> = asked.filter_map(|rest| rest.split('"').next()).collect();
        named.sort_unstable();
        named.dedup();
        let mut listed: Vec<&str> = DEFECTS.iter().map(|defect| defect.name).collect();
        listed.sort_unstable();
        assert_eq!(named, listed);
    }
}
