//! What each of the reference daemon's steps costs by itself.
//!
//! A step that changes the process is done in a forked child, again and again, the ground prepared anew before each
//! time and outside of the time. So these are the costs of a step whose code is warm; the first time in a fresh process
//! costs page faults as well, which `startup.rs` includes. Forks copy the bench's own address space, which is
//! larger than the daemon's.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use criterion::Criterion;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, Uid};
use reference_daemon::{Account, Failure, Fork, Log, Options, PidFile};

/// What a step may report; the bench has no use for the value.
type Done = Result<(), Failure>;

fn main() -> Result<(), Box<dyn Error>> {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(400))
        .sample_size(40)
        .nresamples(5000)
        .configure_from_args();
    let runtime =
        tempfile::Builder::new().prefix("daemonspec-bench-").tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir())?;
    inherited(&mut criterion);
    detached(&mut criterion);
    surroundings(&mut criterion);
    files(&mut criterion, runtime.path());
    account(&mut criterion);
    readiness(&mut criterion);
    criterion.final_summary();
    Ok(())
}

/// Steps 0 to 4: what the caller left.
fn inherited(criterion: &mut Criterion) {
    let nothing = || {};
    step(criterion, "0 repair_stdio, all open", nothing, |()| reference_daemon::repair_stdio());
    let close_all = || (0..3).for_each(close);
    step(criterion, "0 repair_stdio, all closed", close_all, |()| reference_daemon::repair_stdio());
    for count in [0, 3, 1000] {
        let name = format!("1 close_inherited_descriptors, {count} open");
        let plant = || plant_descriptors(count);
        step(criterion, &name, plant, |()| reference_daemon::close_inherited_descriptors());
    }
    step(criterion, "2 reset_signal_dispositions", nothing, |()| reference_daemon::reset_signal_dispositions());
    step(criterion, "3 reset_signal_mask", nothing, |()| reference_daemon::reset_signal_mask());
    let fill = || {
        for number in 0..30 {
            // SAFETY: the child has one thread.
            unsafe { std::env::set_var(format!("VARIABLE_{number}"), "/some/usual/value") };
        }
    };
    step(criterion, "4 sanitise_environment, 30 variables", fill, |()| {
        // SAFETY: the child has one thread.
        unsafe { reference_daemon::sanitise_environment() }
    });
}

/// Steps 5 to 8, and 15: from the caller's process to one that nothing ties to it, and back.
fn detached(criterion: &mut Criterion) {
    let name = "5-8, 14, 15 fork, new_session, fork; ready, wait";
    step(
        criterion,
        name,
        || {},
        |()| {
            let (outcome, report) = reference_daemon::readiness_pipe()?;
            // SAFETY: the child has one thread, and so have its children.
            match unsafe { reference_daemon::fork()? } {
                Fork::Parent(first_child) => {
                    drop(report);
                    outcome.wait(first_child)
                }
                Fork::Child => {
                    drop(outcome);
                    let _ = reference_daemon::new_session();
                    // SAFETY: as above.
                    if let Ok(Fork::Child) = unsafe { reference_daemon::fork() } {
                        let _ = report.ready();
                    }
                    reference_daemon::end_first_child()
                }
            }
        },
    );
}

/// Steps 9 to 11, and what else is one call or a few.
fn surroundings(criterion: &mut Criterion) {
    let nothing = || {};
    step(criterion, "9 redirect_stdio", nothing, |()| reference_daemon::redirect_stdio());
    step(criterion, "10 set_umask", nothing, |()| {
        reference_daemon::set_umask();
        Ok(())
    });
    step(criterion, "11 change_to_root", nothing, |()| reference_daemon::change_to_root());
    step(criterion, "hold_signals", nothing, |()| reference_daemon::hold_signals().map(drop));
    step(criterion, "prevent_core_dumps", nothing, |()| reference_daemon::prevent_core_dumps());
}

/// Step 12, and the log.
fn files(criterion: &mut Criterion, directory: &Path) {
    let (pid_file, log_file) = (directory.join("daemon.pid"), directory.join("daemon.log"));
    let remove = || {
        let _ = fs::remove_file(&pid_file);
    };
    // The file is closed in the time as well.
    step(criterion, "12 PidFile::acquire, none there", remove, |()| PidFile::acquire(&pid_file).map(drop));
    let leave_stale = || {
        let _ = fs::write(&pid_file, "4194304\n");
    };
    step(criterion, "12 PidFile::acquire, a stale one there", leave_stale, |()| PidFile::acquire(&pid_file).map(drop));
    step(criterion, "12 PidFile::remove", || PidFile::acquire(&pid_file), |held| held.map(PidFile::remove));
    let remove = || {
        let _ = fs::remove_file(&log_file);
    };
    step(criterion, "Log::open, none there", remove, |()| Log::open(&log_file).map(drop));
    step(criterion, "Log::line", || Log::open(&log_file), |log| log.and_then(|log| log.line("ready")));
}

/// Step 13.
fn account(criterion: &mut Criterion) {
    criterion.bench_function("13 Account::look_up", |bencher| bencher.iter(|| Account::look_up("nobody")));
    if !Uid::effective().is_root() {
        eprintln!("13 Account::assume: skipped, for it takes root");
        return;
    }
    // It cannot be done twice in one process, so each time is the first.
    criterion.bench_function("13 Account::assume", |bencher| {
        bencher.iter_custom(|count| {
            (0..count).map(|_| timed_in_child(1, || Account::look_up("nobody"), |account| account?.assume())).sum()
        });
    });
}

/// Steps 14 and 15 without the processes, and what comes before the first fork.
fn readiness(criterion: &mut Criterion) {
    criterion.bench_function("14, 15 readiness_pipe, ready, wait", |bencher| {
        bencher.iter(|| {
            let (outcome, report) = reference_daemon::readiness_pipe()?;
            report.ready()?;
            // No child of this process: there is nothing to wait for.
            outcome.wait(Pid::this())
        });
    });
    let words = ["--pid-file", "/run/daemon.pid", "--log-file", "/var/log/daemon.log"];
    criterion.bench_function("parse, resolve_paths", |bencher| {
        bencher.iter(|| {
            let _ = std::hint::black_box(reference_daemon::parse(words.map(Into::into).into()));
            reference_daemon::resolve_paths(&mut Options::default())
        });
    });
}

/// Times a step that changes the process: in a child, which does nothing else.
fn step<T>(criterion: &mut Criterion, name: &str, prepare: impl Fn() -> T, act: impl Fn(T) -> Done) {
    criterion.bench_function(name, |bencher| {
        bencher.iter_custom(|count| timed_in_child(count, &prepare, &act));
    });
}

/// Does it `count` times in a child, and answers with the sum of the times.
///
/// The child keeps no descriptor, for some of the steps close them all: it answers through memory that it shares
/// with its parent.
#[expect(clippy::panic, reason = "criterion's closures return no errors, and a figure of a step that failed is none")]
fn timed_in_child<T>(count: u64, prepare: impl Fn() -> T, act: impl Fn(T) -> Done) -> Duration {
    let answer = SharedNanos::new();
    // SAFETY: criterion, without its thread pool, leaves this process with one thread.
    match unsafe { nix::unistd::fork() } {
        Ok(ForkResult::Child) => {
            let mut sum = Duration::ZERO;
            for _ in 0..count {
                let prepared = prepare();
                let begin = Instant::now();
                let done = act(prepared);
                sum += begin.elapsed();
                if done.is_err() {
                    // SAFETY: ends the child, and runs nothing of the parent's.
                    unsafe { libc::_exit(1) };
                }
            }
            answer.set(sum);
            // SAFETY: as above.
            unsafe { libc::_exit(0) }
        }
        Ok(ForkResult::Parent { child }) => match waitpid(child, None) {
            Ok(WaitStatus::Exited(_, 0)) => answer.get(),
            other => panic!("the step failed in its child: {other:?}"),
        },
        Err(errno) => panic!("cannot fork: {errno}"),
    }
}

/// A number in memory that survives a fork as one and the same.
struct SharedNanos(NonNull<AtomicU64>);

impl SharedNanos {
    #[expect(clippy::expect_used, reason = "as in `timed_in_child`")]
    fn new() -> Self {
        let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS);
        // SAFETY: a new mapping; it touches none that is there.
        let address = unsafe { libc::mmap(std::ptr::null_mut(), size_of::<AtomicU64>(), protection, flags, -1, 0) };
        assert!(address != libc::MAP_FAILED, "cannot map a page");
        Self(NonNull::new(address.cast()).expect("a mapping is not at address 0"))
    }

    fn cell(&self) -> &AtomicU64 {
        // SAFETY: mapped for as long as `self` is, aligned, and zeroes are a valid value.
        unsafe { self.0.as_ref() }
    }

    fn set(&self, sum: Duration) {
        self.cell().store(u64::try_from(sum.as_nanos()).unwrap_or(u64::MAX), Ordering::Release);
    }

    fn get(&self) -> Duration {
        Duration::from_nanos(self.cell().load(Ordering::Acquire))
    }
}

impl Drop for SharedNanos {
    fn drop(&mut self) {
        // SAFETY: mapped in `new` with this length, and nobody else's.
        unsafe { libc::munmap(self.0.as_ptr().cast(), size_of::<AtomicU64>()) };
    }
}

fn close(number: i32) {
    // SAFETY: the child is done with its standard streams.
    unsafe { libc::close(number) };
}

/// Opens so many descriptors from 3 on.
fn plant_descriptors(count: i32) {
    for number in 3..3 + count {
        // SAFETY: nothing in the child uses these numbers.
        unsafe { libc::dup2(0, number) };
    }
}
