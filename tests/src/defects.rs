//! The catalogue of single defects: what the defective daemon can do wrong, and which check is to notice.
//!
//! The program is `src/bin/defective-daemon.rs`; each row here is one place there.

/// One way to be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Defect {
    /// The program's first argument.
    pub name: &'static str,
    /// What is done otherwise than in the reference daemon.
    pub flaw: &'static str,
    /// The id of the check that has to fail.
    pub target: &'static str,
}

const fn defect(name: &'static str, target: &'static str, flaw: &'static str) -> Defect {
    Defect { name, flaw, target }
}

/// All of them, in the catalogue's order of their targets.
#[rustfmt::skip]
pub const DEFECTS: &[Defect] = &[
    defect("launcher-stays", "launcher-exits", "the launcher waits for ever once the daemon is up"),
    defect("dies-when-ready", "daemon-stays-up", "the daemon ends, without a word, as soon as the launcher was told that all is well; its PID file stays"),
    defect("ends-soon", "daemon-stays-up", "the daemon ends 300 ms after the launcher was told that all is well"),
    defect("intermediate-stays", "left-its-launcher", "the first child stays, and waits for the daemon"),
    defect("exit-0-on-failure", "launcher-status", "a start that failed is explained, and ends with status 0"),
    defect("reports-early", "launcher-status", "the launcher is told that all is well, 200 ms before anything is tried"),
    defect("silent-failure", "failure-explained", "a start that failed ends with status 1, and says nothing"),
    defect("zombie-child", "no-leftover-processes", "a child ends at once, and is never reaped"),
    defect("ignores-sigterm", "sigterm-stops", "told to stop, it goes on"),
    defect("exit-1-on-sigterm", "stop-status", "told to stop, it ends in order, and with status 1"),
    defect("orphans-worker", "stop-leaves-no-orphans", "a worker that ignores every signal outlives it"),
    defect("stale-socket", "restart-after-kill", "a socket beside the PID file is bound without removing what a crash has left there"),
    defect("no-setsid", "new-session", "no session of its own is begun"),
    defect("takes-terminal", "no-controlling-terminal", "as leader of a session it opens a terminal without O_NOCTTY"),
    defect("one-fork", "not-session-leader", "the second fork is left out"),
    defect("keeps-terminal-fd", "terminal-released", "a duplicate of the terminal's descriptor stays open"),
    defect("ends-with-terminal", "survives-hangup", "it watches the terminal that it was started from, and ends when that hangs up"),
    defect("dies-of-interrupt", "survives-interrupt", "it stays in the launcher's session and process group, with the default disposition of SIGINT and SIGQUIT"),
    defect("talks-to-terminal", "terminal-silent", "on SIGHUP it writes a line to the terminal that it was started from"),
    defect("no-chdir", "cwd-root", "it stays in the directory it was started in"),
    defect("holds-launch-directory", "launch-directory-released", "a descriptor of the directory it was started in stays open"),
    defect("maps-launch-directory", "launch-directory-released", "a file of the directory it was started in stays mapped"),
    defect("keeps-stdin", "stdin-redirected", "descriptor 0 stays what it was"),
    defect("keeps-stdout", "stdout-redirected", "descriptor 1 stays what it was"),
    defect("keeps-stderr", "stderr-redirected", "descriptor 2 stays what it was"),
    defect("closes-stdin", "stdio-open", "descriptor 0 is closed"),
    defect("dies-of-sighup", "survives-sighup", "SIGHUP has its default disposition"),
    defect("dies-after-reload", "survives-sighup", "300 ms after SIGHUP it ends"),
    defect("late-pidfile", "pidfile-present-at-exit", "the PID file is empty until the launcher has ended and been reaped"),
    defect("wrong-pid", "pidfile-names-main-process", "the PID file names the launcher"),
    defect("no-newline", "pidfile-format", "the PID file's number has no newline"),
    defect("leaves-pidfile", "pidfile-removed", "the PID file is not removed"),
    defect("refused-start-removes", "pidfile-removed-by-owner-only", "a start that finds another instance running removes its PID file"),
    defect("no-lock", "second-instance-refused", "the PID file is opened and closed once more, and with that its lock is lost"),
    defect("refuses-silently", "second-instance-reported", "a start that finds another instance running says nothing, and ends with status 0"),
    defect("refuses-stale", "stale-pidfile", "a PID file that exists is taken for an instance that runs"),
    defect("overwrites-log", "log-appended", "each start writes over the beginning of the log"),
    defect("truncates-log", "log-appended", "the log begins anew at each start"),
];

#[cfg(test)]
mod tests {
    use super::*;

    const PROGRAM: &str = include_str!("bin/defective-daemon.rs");

    #[test]
    fn every_defect_has_its_place_in_the_program_and_the_other_way_round() {
        let mut named: Vec<&str> = PROGRAM.split("has(\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        named.sort_unstable();
        named.dedup();
        let mut listed: Vec<&str> = DEFECTS.iter().map(|defect| defect.name).collect();
        listed.sort_unstable();
        assert_eq!(named, listed);
    }
}
