//! A start in the background, up to the daemon that is ready.

use std::env;
use std::fs::{self, File};
use std::os::fd::{FromRawFd, OwnedFd};
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::stat::Mode;
use nix::sys::wait::waitpid;
use nix::unistd::{
    dup2_stderr, dup2_stdin, dup2_stdout, getpid, pause, setegid, seteuid, setgroups, setresgid, setresuid, truncate,
};
use reference_daemon::{
    Account, Failure, Fork, Log, Options, Outcome, Pid, Report, change_to_root, close_inherited_descriptors,
    end_first_child, fork, hold_signals, new_session, prevent_core_dumps, readiness_pipe, redirect_stdio, repair_stdio,
    reset_signal_dispositions, reset_signal_mask, resolve_paths, sanitise_environment, set_umask, wait_for,
};

use crate::Defective;
use crate::life::Daemon;
use crate::tricks::{
    callers_umask, close_one_by_one, directory_for_all, duplicate, duplicate_of_pipe, is_open, keep, keep_terminal,
    listen, map_a_file_here, map_by_limit, run_is_empty, take_terminal, terminal, watch,
};
use crate::workers::{Worker, child, work_unstoppably};

/// What is known of the caller, and of the start.
pub(crate) struct Start {
    pub(crate) launcher: Pid,
    /// The terminal it was started from.
    pub(crate) terminal: Option<PathBuf>,
    pub(crate) umask: Mode,
    mask: SigSet,
    /// Whether the environment says that somebody has put the program into the background already.
    marked: bool,
}

/// The caller's streams that are kept.
struct Kept {
    input: Option<OwnedFd>,
    output: Option<OwnedFd>,
    error: Option<OwnedFd>,
}

impl Defective {
    /// As `recipe::background`, and step 0.
    pub(crate) fn background(self, mut options: Options) -> Result<i32, Failure> {
        if self.has("needs-stdin") && !is_open(0) {
            return Err(Failure::system("read standard input")(Errno::EBADF));
        }
        if !self.has("no-stdio-repair") {
            repair_stdio()?; // 0
        }
        self.close_descriptors()?; // 1
        let mask = SigSet::thread_get_mask().unwrap_or_else(|_| SigSet::empty());
        if !self.has("keeps-dispositions") && !self.has("needs-sigchld") {
            reset_signal_dispositions()?; // 2
        }
        if !self.has("keeps-signal-mask") {
            reset_signal_mask()?; // 3
        }
        let marked = env::var_os("_GO_DAEMON").is_some();
        if !self.has("hands-on-environment") {
            // SAFETY: nothing has started a thread yet.
            unsafe { sanitise_environment()? }; // 4
        }
        self.resolve(&mut options)?;
        if run_is_empty() {
            if self.has("vanishes-without-run-directory") {
                return Ok(0);
            }
            if self.has("silent-without-run-directory") {
                return Ok(1);
            }
        }
        let account = options.user.as_deref().map(Account::look_up).transpose()?;
        let start = Start { launcher: getpid(), terminal: terminal(), umask: callers_umask(), mask, marked };
        let (outcome, report) = readiness_pipe()?;
        if self.stays_where_it_is(&start) {
            // With nobody to read it the report would fail.
            std::mem::forget(outcome);
            return Ok(self.daemon(&options, account.as_ref(), &start, report));
        }
        // SAFETY: nothing has started a thread yet.
        match unsafe { fork()? } {
            // 5
            Fork::Parent(first_child) => {
                drop(report);
                self.launcher(outcome, first_child)?; // 15
                Ok(0)
            }
            Fork::Child => {
                drop(outcome);
                if self.has("needs-sigchld") {
                    reset_signal_dispositions()?;
                }
                Ok(self.daemon(&options, account.as_ref(), &start, report))
            }
        }
    }

    fn stays_where_it_is(self, start: &Start) -> bool {
        self.has("believes-marker") && start.marked
    }

    fn close_descriptors(self) -> Result<(), Failure> {
        if self.has("closes-to-256") {
            close_one_by_one(256, false);
        } else if self.has("closes-to-first-gap") {
            close_one_by_one(i32::MAX, true);
        } else if !self.has("closes-nothing") {
            close_inherited_descriptors()?;
        }
        Ok(())
    }

    fn resolve(self, options: &mut Options) -> Result<(), Failure> {
        if self.has("needs-getcwd") {
            env::current_dir().map_err(|_| Failure::system("find the current directory")(Errno::ENOENT))?;
        }
        let given = options.clone();
        resolve_paths(options)?;
        if self.has("relative-pidfile") {
            options.pid_file = given.pid_file;
        } else if self.has("relative-log") {
            options.log_file = given.log_file;
        }
        Ok(())
    }

    fn launcher(self, outcome: Outcome, first_child: Pid) -> Result<(), Failure> {
        if self.has("one-fork") || self.has("intermediate-stays") {
            // The first child does not end; to wait for what is no child is not to wait.
            return outcome.wait(getpid());
        }
        if self.has("needs-sigchld") {
            let ended = waitpid(first_child, None);
            outcome.wait(getpid())?;
            return ended.map(drop).map_err(Failure::system("wait for the first child"));
        }
        outcome.wait(first_child)?;
        while self.has("launcher-stays") {
            pause();
        }
        Ok(())
    }

    fn daemon(self, options: &Options, account: Option<&Account>, start: &Start, report: Report) -> i32 {
        let report = match self.detach(start, report) {
            Ok(report) => report,
            Err((report, failure)) => {
                report.failed(&failure);
                return 1;
            }
        };
        if self.has("reports-early") {
            let told = report.ready();
            // The defect is the delay: what follows comes after the launcher has ended.
            thread::sleep(Duration::from_millis(200));
            return match self.become_daemon(options, account, start) {
                Ok(daemon) if told.is_ok() => self.live(daemon, Some(start)),
                _ => 1,
            };
        }
        match self.become_daemon(options, account, start) {
            Err(Failure::AlreadyRunning { .. }) if self.has("refuses-silently") => i32::from(report.ready().is_err()),
            Err(failure) => {
                if self.has("refused-start-removes") && matches!(failure, Failure::AlreadyRunning { .. }) {
                    let _ = fs::remove_file(&options.pid_file);
                }
                report.failed(&failure); // 14
                1
            }
            Ok(daemon) => match report.ready() {
                // 14
                Ok(()) => self.live(daemon, Some(start)),
                Err(_) => self.end(daemon, 1),
            },
        }
    }

    /// Steps 6 to 8. The report is handed through because the first child may stay, and must not keep it.
    fn detach(self, start: &Start, report: Report) -> Result<Report, (Report, Failure)> {
        if self.stays_where_it_is(start) {
            return Ok(report);
        }
        let stays = self.has("no-setsid") || self.has("dies-of-interrupt") || self.has("setsid-last");
        if let Err(failure) = if stays { Ok(()) } else { new_session() } {
            // 6
            return Err((report, failure));
        }
        if self.has("one-fork") {
            return Ok(report);
        }
        // SAFETY: nothing has started a thread yet.
        match unsafe { fork() } {
            // 7
            Ok(Fork::Child) => Ok(report),
            Ok(Fork::Parent(child)) if self.has("intermediate-stays") => {
                drop(report);
                // It is no better and no worse a daemon than its child, but that it is there.
                let _ = redirect_stdio();
                set_umask();
                let _ = change_to_root();
                wait_for(child);
                end_first_child()
            }
            Ok(Fork::Parent(_)) => end_first_child(), // 8
            Err(failure) => Err((report, failure)),
        }
    }

    fn become_daemon(self, options: &Options, account: Option<&Account>, start: &Start) -> Result<Daemon, Failure> {
        if self.has("keeps-terminal-fd") {
            keep_terminal();
        }
        if let Some(pipe) = if self.has("keeps-pipe") { duplicate_of_pipe() } else { None } {
            keep::<()>(Ok(pipe));
        }
        let pipe = if self.has("dies-of-broken-pipe") { duplicate_of_pipe() } else { None };
        let mut workers = Vec::new();
        if self.has("worker-keeps-pipe") && duplicate_of_pipe().is_some() {
            workers.extend(Worker::forked(|| {}));
        }
        let kept = Kept {
            input: if self.has("keeps-stdin") { Some(duplicate(&std::io::stdin())) } else { None },
            output: if self.has("keeps-stdout") { Some(duplicate(&std::io::stdout())) } else { None },
            error: if self.has("keeps-stderr") { Some(duplicate(&std::io::stderr())) } else { None },
        };
        redirect_stdio()?; // 9
        if let Some(stdin) = &kept.input {
            let _ = dup2_stdin(stdin);
        }
        let mut files = Vec::new();
        if self.has("world-writable-state") {
            let path = options.pid_file.with_extension("state");
            // The umask is the caller's still.
            if File::create(&path).is_ok() {
                files.push(path);
            }
        }
        self.choose_umask(start); // 10
        if self.has("holds-launch-directory") {
            keep(File::open(".").map(OwnedFd::from));
        }
        if self.has("maps-launch-directory") {
            map_a_file_here();
        }
        if !self.has("no-chdir") {
            change_to_root()?; // 11
        }
        let signals = hold_signals()?;
        if self.has("keeps-signal-mask") {
            let _ = start.mask.thread_block();
        }
        if self.has("dies-of-sighup") || self.has("setsid-last") {
            let _ = SigSet::from(Signal::SIGHUP).thread_unblock();
        }
        if self.has("dies-of-interrupt") {
            let _ = SigSet::from(Signal::SIGINT).thread_unblock();
        }
        let pid_file = self.pid_file(&options.pid_file, start, &mut workers)?; // 12
        let log = Log::standard_error();
        let mut daemon = Daemon { signals, pid_file, log, supervisor: None, workers, files, pipe };
        match self.initialise(&mut daemon, options, account, start, kept) {
            Ok(()) => Ok(daemon),
            Err(failure) => {
                daemon.undo();
                Err(failure)
            }
        }
    }

    fn choose_umask(self, start: &Start) {
        if self.has("adds-to-umask") {
            nix::sys::stat::umask(start.umask | Mode::from_bits_truncate(0o022));
        } else if !self.has("keeps-umask") {
            set_umask();
        }
    }

    fn initialise(
        self,
        daemon: &mut Daemon,
        options: &Options,
        account: Option<&Account>,
        start: &Start,
        kept: Kept,
    ) -> Result<(), Failure> {
        if self.has("truncates-log") {
            let _ = truncate(&options.log_file, 0);
        }
        if self.has("overwrites-log") {
            let log = fs::OpenOptions::new().write(true).open(&options.log_file);
            let _ = log.and_then(|mut log| std::io::Write::write_all(&mut log, b"started\n"));
        }
        daemon.log = match Log::open(&options.log_file) {
            Err(_) if self.has("starts-without-log") => Log::standard_error(),
            opened => opened?,
        };
        if let Some(stdout) = kept.output {
            let _ = dup2_stdout(stdout);
        }
        if let Some(stderr) = kept.error {
            let _ = dup2_stderr(stderr);
        }
        if !self.has("allows-core-dumps") {
            prevent_core_dumps()?;
        }
        if let Some(account) = account {
            self.assume(account)?; // 13
        }
        if !options.ready_delay.is_zero() && daemon.signals.stopped_within(options.ready_delay) {
            return Err(Failure::Stopped);
        }
        if self.has("takes-terminal") {
            take_terminal();
        }
        if self.has("allocates-by-limit") {
            map_by_limit();
        }
        if self.has("world-writable-directory") {
            daemon.files.extend(directory_for_all(&options.pid_file.with_extension("d")));
        }
        if self.has("zombie-child") {
            child(|| {});
        }
        if self.has("orphans-worker") {
            child(work_unstoppably);
        }
        daemon.workers.extend(self.executed_worker(&options.pid_file));
        if self.has("hands-on-oom-score") {
            daemon.workers.extend(Worker::forked_as_it_is());
        }
        if self.has("ends-with-terminal") {
            watch(start.terminal.as_deref());
        }
        if self.has("stale-socket") {
            daemon.files.push(listen(&options.pid_file)?);
        }
        match self.line(&daemon.log, "ready") {
            Err(_) if self.has("starts-without-log") => {}
            written => written?,
        }
        if self.has("closes-stdin") {
            // SAFETY: descriptor 0 has no owner.
            drop(unsafe { OwnedFd::from_raw_fd(0) });
        }
        Ok(())
    }

    /// As `Account::assume`, of which each of these leaves something out.
    fn assume(self, account: &Account) -> Result<(), Failure> {
        let (user, group) = (account.user(), account.group());
        let done = if self.has("drops-only-user") {
            setresuid(user, user, user)
        } else if self.has("keeps-groups") {
            setresgid(group, group, group).and_then(|()| setresuid(user, user, user))
        } else if self.has("keeps-gid") {
            setgroups(&[group]).and_then(|()| setresuid(user, user, user))
        } else if self.has("keeps-saved-ids") {
            setgroups(&[group]).and_then(|()| setegid(group)).and_then(|()| seteuid(user))
        } else {
            return account.assume();
        };
        done.map_err(Failure::system("assume the account"))
    }
}
