//! A start in the foreground, up to the daemon that is ready.

use std::env;
use std::thread;
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal};
use reference_daemon::{
    Account, Failure, Log, Options, PidFile, Supervisor, hold_signals, prevent_core_dumps, reap_children, repair_stdio,
    resolve_paths,
};

use crate::Defective;
use crate::claims::Held;
use crate::life::Daemon;
use crate::pid_file::{alive, number};
use crate::tricks::{accept_on_three, heed_sigterm, ignore_sigterm, is_open};
use crate::workers::{Worker, child};

impl Defective {
    /// As `recipe::foreground`, and step 0.
    pub(crate) fn foreground(self, mut options: Options) -> Result<i32, Failure> {
        repair_stdio()?;
        let signals = hold_signals()?;
        if self.has("default-sigterm") {
            let _ = SigSet::from(Signal::SIGTERM).thread_unblock();
        }
        if self.has("deaf-in-foreground") {
            ignore_sigterm();
            let _ = SigSet::from(Signal::SIGTERM).thread_unblock();
        }
        if !self.has("never-reaps") {
            reap_children();
        }
        let passed = env::var_os("LISTEN_FDS").is_some() && is_open(3);
        let socket = env::var_os("NOTIFY_SOCKET");
        // SAFETY: nothing has started a thread yet.
        let supervisor = unsafe { Supervisor::from_environment() };
        resolve_paths(&mut options)?;
        let account = options.user.as_deref().map(Account::look_up).transpose()?;
        prevent_core_dumps()?;
        if self.has("ready-too-early") {
            supervisor.ready();
            // The defect is the delay: what it has announced comes only now.
            thread::sleep(Duration::from_millis(200));
        }
        if let Some(pid) = number(&options.pid_file).filter(|pid| self.has("believes-own-pid") && alive(*pid)) {
            return Err(Failure::AlreadyRunning { path: options.pid_file, pid: Some(pid) });
        }
        let pid_file =
            if options.pid_file_named { Some(Held::Sound(PidFile::acquire(&options.pid_file)?)) } else { None };
        let log = Log::standard_error();
        let (workers, files) = (Vec::new(), Vec::new());
        let mut daemon = Daemon { signals, pid_file, log, supervisor: Some(supervisor), workers, files, pipe: None };
        if let Err(failure) = self.prepare(&mut daemon, &options, account.as_ref()) {
            daemon.undo();
            return if failure == Failure::Stopped { Ok(0) } else { Err(failure) };
        }
        if self.has("deaf-in-foreground") {
            let _ = SigSet::from(Signal::SIGTERM).thread_block();
            heed_sigterm();
        }
        if self.has("hands-on-notify-socket") {
            let variables = socket.map(|socket| ("NOTIFY_SOCKET".into(), socket));
            daemon.workers.extend(Worker::executed(variables));
        }
        if self.has("takes-any-socket") && passed {
            accept_on_three();
        }
        let _ = self.line(&daemon.log, "ready");
        Ok(self.live(daemon, None))
    }

    fn prepare(self, daemon: &mut Daemon, options: &Options, account: Option<&Account>) -> Result<(), Failure> {
        if self.has("logs-to-file") {
            daemon.log = Log::open(&options.log_file)?;
        }
        account.map_or(Ok(()), Account::assume)?;
        if !options.ready_delay.is_zero() && daemon.signals.stopped_within(options.ready_delay) {
            return Err(Failure::Stopped);
        }
        Ok(())
    }

    /// Tells the supervisor that all is ready.
    pub(crate) fn say_ready(self, supervisor: &Supervisor) {
        if self.has("ready-from-child") {
            child(|| supervisor.ready());
        } else if !self.has("never-ready") && !self.has("ready-too-early") {
            supervisor.ready();
        }
    }
}
