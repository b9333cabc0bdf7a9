//! The steps, composed: a start in the background, a start in the foreground, and the life of either.

use crate::account::Account;
use crate::descriptors::close_inherited_descriptors;
use crate::environment::sanitise_environment;
use crate::failure::Failure;
use crate::log::Log;
use crate::notify::Supervisor;
use crate::options::{Options, resolve_paths};
use crate::pid_file::PidFile;
use crate::readiness::{Report, readiness_pipe};
use crate::session::{Fork, end_first_child, fork, new_session};
use crate::signals::{Awaited, Event, hold_signals, reap_children, reset_signal_dispositions, reset_signal_mask};
use crate::stdio::redirect_stdio;
use crate::surroundings::{change_to_root, prevent_core_dumps, set_umask};

/// Puts a daemon into the background. Returns in two processes: in the launcher once the outcome is known,
/// and in the daemon when that has ended; each with its exit status. Step 0 has been done.
pub(crate) fn background(mut options: Options) -> Result<i32, Failure> {
    close_inherited_descriptors()?; // 1
    reset_signal_dispositions()?; // 2
    reset_signal_mask()?; // 3
    // SAFETY: `run` asks its caller for a process of one thread.
    unsafe { sanitise_environment()? }; // 4
    resolve_paths(&mut options)?;
    let account = options.user.as_deref().map(Account::look_up).transpose()?;
    let (outcome, report) = readiness_pipe()?;
    // SAFETY: as above.
    match unsafe { fork()? } {
        // 5
        Fork::Parent(first_child) => {
            drop(report);
            outcome.wait(first_child)?; // 15
            Ok(0)
        }
        Fork::Child => {
            drop(outcome);
            Ok(daemon(&options, account.as_ref(), report))
        }
    }
}

/// The child's way from the fork to its end; what goes wrong is the launcher's to say.
fn daemon(options: &Options, account: Option<&Account>, report: Report) -> i32 {
    match become_daemon(options, account) {
        Err(failure) => {
            report.failed(&failure); // 14
            1
        }
        Ok(daemon) => match report.ready() {
            // 14
            Ok(()) => daemon.live(),
            Err(_) => daemon.give_up(),
        },
    }
}

fn become_daemon(options: &Options, account: Option<&Account>) -> Result<Daemon, Failure> {
    new_session()?; // 6
    // SAFETY: `run` asks its caller for a process of one thread.
    if let Fork::Parent(_) = unsafe { fork()? } {
        // 7
        end_first_child(); // 8
    }
    redirect_stdio()?; // 9
    set_umask(); // 10
    change_to_root()?; // 11
    let signals = hold_signals()?;
    let pid_file = PidFile::acquire(&options.pid_file)?; // 12
    match initialise(options, account, &signals) {
        Ok(log) => Ok(Daemon { signals, pid_file: Some(pid_file), log, supervisor: None }),
        Err(failure) => {
            pid_file.remove();
            Err(failure)
        }
    }
}

/// What is left to be done while the PID file is held.
fn initialise(options: &Options, account: Option<&Account>, signals: &Awaited) -> Result<Log, Failure> {
    let log = Log::open(&options.log_file)?;
    prevent_core_dumps()?;
    if let Some(account) = account {
        account.assume()?; // 13
    }
    take_time(options, signals)?;
    // A log that cannot be written to is found out now, while there is somebody to be told.
    log.line("ready")?;
    Ok(log)
}

/// Stays with the caller, which is a supervisor: it has made the surroundings (steps 1 to 11 are its own), reads
/// standard error, and knows which process the daemon is. So a PID file is written only where one is asked for.
pub(crate) fn foreground(mut options: Options) -> Result<i32, Failure> {
    // First of all: as process 1 of a container, a SIGTERM that comes before this is lost.
    let signals = hold_signals()?;
    // Whoever executed this program may have left it children (`worker & exec daemon`), and those that have ended by now
    // will send no signal any more.
    reap_children();
    // SAFETY: `run` asks its caller for a process of one thread.
    let supervisor = unsafe { Supervisor::from_environment() };
    resolve_paths(&mut options)?;
    let account = options.user.as_deref().map(Account::look_up).transpose()?;
    prevent_core_dumps()?;
    let pid_file = if options.pid_file_named { Some(PidFile::acquire(&options.pid_file)?) } else { None };
    let dropped = account.map_or(Ok(()), |account| account.assume());
    if let Err(failure) = dropped.and_then(|()| take_time(&options, &signals)) {
        if let Some(pid_file) = pid_file {
            pid_file.remove();
        }
        // Told to stop, it stops; that is no failure where nobody waits for a launcher.
        return if failure == Failure::Stopped { Ok(0) } else { Err(failure) };
    }
    let daemon = Daemon { signals, pid_file, log: Log::standard_error(), supervisor: Some(supervisor) };
    daemon.say("ready");
    Ok(daemon.live())
}

/// Takes the time that initialisation is told to take.
fn take_time(options: &Options, signals: &Awaited) -> Result<(), Failure> {
    if !options.ready_delay.is_zero() && signals.stopped_within(options.ready_delay) {
        return Err(Failure::Stopped);
    }
    Ok(())
}

/// A daemon that is ready.
struct Daemon {
    signals: Awaited,
    pid_file: Option<PidFile>,
    log: Log,
    supervisor: Option<Supervisor>,
}

impl Daemon {
    /// Waits for signals, and does as they say, until one says to end.
    fn live(self) -> i32 {
        self.tell(Supervisor::ready);
        loop {
            match self.signals.next() {
                Event::Stop => break,
                Event::Reload => {
                    self.tell(Supervisor::reloading);
                    self.log.reopen();
                    self.tell(Supervisor::ready);
                }
                Event::ChildEnded => reap_children(),
            }
        }
        self.tell(Supervisor::stopping);
        self.end();
        0
    }

    /// Undoes a start of which nobody was told.
    fn give_up(self) -> i32 {
        self.end();
        1
    }

    fn end(mut self) {
        if let Some(pid_file) = self.pid_file.take() {
            pid_file.remove();
        }
        self.say("stopped");
    }

    fn say(&self, text: &str) {
        // From now on a line that cannot be written is lost, and that is all.
        let _ = self.log.line(text);
    }

    fn tell(&self, what: impl FnOnce(&Supervisor)) {
        if let Some(supervisor) = &self.supervisor {
            what(supervisor);
        }
    }
}
