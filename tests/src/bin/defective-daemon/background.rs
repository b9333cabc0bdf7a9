//! A start in the background, up to the daemon that is ready.

use std::env;
use std::fs::{self, File};
use std::io::{self, PipeReader, PipeWriter, Read};
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
    LockFile, ask_to_limit, callers_umask, close_one_by_one, close_to_limit, closed_within_a_second, directory_for_all,
    duplicate, duplicate_of_pipe, end_in_a_second, forget_sigterm, heed_sigterm, ignore_sigterm, is_open, keep,
    keep_terminal, listen, map_a_file_here, map_by_limit, mark_to_limit, run_is_empty, start_thread, take_terminal,
    terminal, watch,
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

/// The daemon's end of what the launcher waits for; it says once how it went.
struct Teller {
    /// None where nobody is told.
    report: Option<Report>,
    /// Another pipe, for a launcher that waits in a way of its own: closed when all has been said.
    awaited: Option<PipeWriter>,
}

impl Teller {
    fn ready(&mut self) -> Result<(), Failure> {
        let told = self.report.take().map_or(Ok(()), Report::ready);
        self.awaited = None;
        told
    }

    fn failed(&mut self, failure: &Failure) {
        if let Some(report) = self.report.take() {
            report.failed(failure);
        }
        self.awaited = None;
    }
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
            let teller = Teller { report: Some(report), awaited: None };
            return Ok(self.daemon(&options, account.as_ref(), &start, teller));
        }
        if self.has("thread-in-launcher") {
            start_thread();
        }
        let waits = self.has("launcher-gives-up") || self.has("takes-interruption-for-ready");
        let (told, awaited) = if waits { io::pipe().ok().unzip() } else { (None, None) };
        // SAFETY: nothing has started a thread yet, or one that sleeps and holds nothing.
        match unsafe { fork()? } {
            // 5
            Fork::Parent(first_child) => {
                drop((report, awaited));
                self.launcher(outcome, first_child, told.as_ref())?; // 15
                Ok(0)
            }
            Fork::Child => {
                drop((outcome, told));
                if self.has("deaf-at-start") {
                    ignore_sigterm();
                }
                if self.has("needs-sigchld") {
                    reset_signal_dispositions()?;
                }
                let report = if self.never_tells() { None } else { Some(report) };
                Ok(self.daemon(&options, account.as_ref(), &start, Teller { report, awaited }))
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
        } else if self.has("closes-to-limit") {
            close_to_limit();
        } else if self.has("asks-to-limit") {
            ask_to_limit();
        } else if !self.has("closes-nothing") {
            if self.has("marks-to-limit") {
                mark_to_limit();
            }
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

    /// Where the launcher does not listen.
    fn never_tells(self) -> bool {
        ["launcher-leaves-at-once", "launcher-waits-for-first-child", "launcher-sleeps"].contains(&self.name)
    }

    fn launcher(self, outcome: Outcome, first_child: Pid, told: Option<&PipeReader>) -> Result<(), Failure> {
        if self.has("launcher-leaves-at-once") {
            return Ok(());
        }
        if self.has("launcher-waits-for-first-child") {
            wait_for(first_child);
            return Ok(());
        }
        if self.has("launcher-sleeps") {
            // The defect: that will be long enough.
            thread::sleep(Duration::from_millis(100));
            return Ok(());
        }
        if self.has("launcher-has-alarm") {
            end_in_a_second();
        }
        if self.has("launcher-gives-up") && !told.is_none_or(closed_within_a_second) {
            return Ok(());
        }
        if self.has("takes-interruption-for-ready") {
            let answer = told.map(|mut told| told.read(&mut [0]));
            if answer.is_some_and(|answer| answer.is_err_and(|error| error.kind() == io::ErrorKind::Interrupted)) {
                return Ok(());
            }
        }
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

    fn daemon(self, options: &Options, account: Option<&Account>, start: &Start, teller: Teller) -> i32 {
        let mut teller = match self.detach(start, teller) {
            Ok(teller) => teller,
            Err((mut teller, failure)) => {
                teller.failed(&failure);
                return 1;
            }
        };
        if self.has("reports-early") {
            let told = teller.ready();
            // The defect is the delay: what follows comes after the launcher has ended.
            thread::sleep(Duration::from_millis(200));
            return match self.become_daemon(options, account, start, &mut teller) {
                Ok(daemon) if told.is_ok() => self.live(daemon, Some(start)),
                _ => 1,
            };
        }
        match self.become_daemon(options, account, start, &mut teller) {
            Err(failure) if self.takes_for_success(&failure) => i32::from(teller.ready().is_err()),
            Err(failure) => {
                if self.has("refused-start-removes") && matches!(failure, Failure::AlreadyRunning { .. }) {
                    let _ = fs::remove_file(&options.pid_file);
                }
                teller.failed(&failure); // 14
                1
            }
            Ok(daemon) => {
                if self.has("forgets-early-sigterm") {
                    forget_sigterm();
                }
                let nobody_cares = self.has("launcher-gives-up") || self.has("launcher-has-alarm");
                match teller.ready() {
                    // 14
                    Err(_) if !nobody_cares => self.end(daemon, 1),
                    _ => self.live(daemon, Some(start)),
                }
            }
        }
    }

    /// Where the launcher is told that all is well, and that is all.
    fn takes_for_success(self, failure: &Failure) -> bool {
        let text = failure.to_string();
        (self.has("refuses-silently") && matches!(failure, Failure::AlreadyRunning { .. }))
            || (self.has("vanishes-without-descriptors")
                && text.starts_with("log file ")
                && text.ends_with(Errno::EMFILE.desc()))
    }

    /// Steps 6 to 8. The teller is handed through because the first child may stay, and must not keep it.
    fn detach(self, start: &Start, mut teller: Teller) -> Result<Teller, (Teller, Failure)> {
        if self.stays_where_it_is(start) {
            return Ok(teller);
        }
        let stays = self.has("no-setsid") || self.has("dies-of-interrupt") || self.has("setsid-last");
        if let Err(failure) = if stays { Ok(()) } else { new_session() } {
            // 6
            return Err((teller, failure));
        }
        if self.has("one-fork") {
            return Ok(teller);
        }
        if self.has("thread-in-first-child") {
            start_thread();
        }
        // SAFETY: nothing has started a thread yet, or one that sleeps and holds nothing.
        match unsafe { fork() } {
            // 7
            Ok(Fork::Child) => Ok(teller),
            Ok(Fork::Parent(child)) if self.has("intermediate-stays") => {
                drop(teller);
                // It is no better and no worse a daemon than its child, but that it is there.
                let _ = redirect_stdio();
                set_umask();
                let _ = change_to_root();
                wait_for(child);
                end_first_child()
            }
            Ok(Fork::Parent(_)) => end_first_child(), // 8
            Err(_) if self.has("second-fork-unchecked") => {
                let _ = teller.ready();
                end_first_child()
            }
            Err(failure) => Err((teller, failure)),
        }
    }

    fn become_daemon(
        self,
        options: &Options,
        account: Option<&Account>,
        start: &Start,
        teller: &mut Teller,
    ) -> Result<Daemon, Failure> {
        let early = if self.has("early-lock-left") { Some(LockFile::beside(&options.pid_file)?) } else { None };
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
            input: if self.has("keeps-stdin") { Some(duplicate(&io::stdin())) } else { None },
            output: if self.has("keeps-stdout") { Some(duplicate(&io::stdout())) } else { None },
            error: if self.has("keeps-stderr") { Some(duplicate(&io::stderr())) } else { None },
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
        if self.has("deaf-at-start") {
            heed_sigterm();
        }
        let late = if self.has("start-lock-left") { Some(LockFile::beside(&options.pid_file)?) } else { None };
        let tell = &mut || {
            let _ = teller.ready();
        };
        let pid_file = self.pid_file(&options.pid_file, start, &mut workers, tell)?; // 12
        drop((early, late));
        if self.has("tells-before-log") {
            let _ = teller.ready();
        }
        let log = Log::standard_error();
        let mut daemon = Daemon { signals, pid_file, log, supervisor: None, workers, files, pipe };
        match self.initialise(&mut daemon, options, account, start, kept) {
            Ok(()) => Ok(daemon),
            Err(failure @ Failure::System { .. }) if self.has("runs-on-after-failure") => {
                teller.failed(&failure);
                Ok(daemon)
            }
            Err(failure) => {
                if self.has("failed-start-leaves-pidfile") {
                    std::mem::forget(daemon.pid_file.take());
                }
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
            let _ = log.and_then(|mut log| io::Write::write_all(&mut log, b"started\n"));
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
