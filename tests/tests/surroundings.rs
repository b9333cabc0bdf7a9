//! The harness in odd surroundings: what its own process inherited must not reach the subject or change a verdict.
//!
//! Each test changes the process it runs in, and so runs in one of its own.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use daemonspec::run::{self, Judged, Options, Outcome, RunError, Wanted};
use daemonspec::subject::Subject;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{SigHandler, SigSet, Signal, signal};
use rusty_fork::rusty_fork_test;
use std::path::Path;

fn reference() -> Subject {
    let program = daemonspec_tests::programs::program("reference-daemon");
    let options = ["--pid-file", "{dir}/d.pid", "--log-file", "{dir}/d.log"];
    let mut subject =
        Subject::new(std::iter::once(program.as_os_str()).chain(options.iter().map(std::ffi::OsStr::new)));
    subject.pidfile = Some("{dir}/d.pid".into());
    subject.log = Some("{dir}/d.log".into());
    subject
}

fn check(subject: &Subject, options: &Options) -> Outcome {
    run::check(subject, options, &|_| {}).unwrap()
}

/// What does not apply to the reference daemon as it is started here.
const NOT_DECLARED: &[&str] = &["stop-verifies-identity", "privileges-dropped"];
/// What starts it once for each of its calls, and is not asked for here.
const EXHAUSTIVE: &[&str] = &["early-sigterm", "startup-faults-reported", "crash-anywhere-restarts"];
/// What only root can have done to a daemon.
const ROOT_ONLY: &[&str] = &["pidfile-owner", "pidfile-link-refused"];

fn all_pass_but(outcome: &Outcome, skipped: &[&str]) {
    let may_skip = |id: &str| [NOT_DECLARED, EXHAUSTIVE, skipped].iter().any(|ids| ids.contains(&id));
    let is_odd = |j: &&Judged| match j.verdict.as_str() {
        "pass" => false,
        "skip" => !may_skip(j.check.id),
        _ => true,
    };
    let others: Vec<_> = outcome.judged.iter().filter(is_odd).collect();
    assert!(others.is_empty(), "{others:#?}");
}

fn all_pass(outcome: &Outcome) {
    all_pass_but(outcome, &[]);
}

rusty_fork_test! {
    #[test]
    fn every_signal_ignored_and_blocked() {
        let subject = reference();
        for number in Signal::iterator().filter(|s| ![Signal::SIGKILL, Signal::SIGSTOP, Signal::SIGCHLD].contains(s)) {
            // SAFETY: ignoring a signal runs no handler.
            unsafe { signal(number, SigHandler::SigIgn) }.unwrap();
        }
        SigSet::all().thread_block().unwrap();
        all_pass(&check(&subject, &Options::default()));
    }

    #[test]
    fn a_umask_that_allows_nothing() {
        let subject = reference();
        nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o777));
        all_pass(&check(&subject, &Options::default()));
    }

    #[test]
    fn standard_streams_closed() {
        let subject = reference();
        for fd in 0..=2 {
            // SAFETY: this process uses them no more: a failed assertion shows as its exit status.
            unsafe { libc::close(fd) };
        }
        all_pass(&check(&subject, &Options::default()));
    }

    #[test]
    fn started_from_the_root_directory() {
        let subject = reference();
        std::env::set_current_dir("/").unwrap();
        all_pass(&check(&subject, &Options::default()));
    }

    #[test]
    fn from_many_threads_at_once() {
        let subject = reference();
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            let runs: Vec<_> = (0..8).map(|_| scope.spawn(|| check(&subject, &Options { jobs: 1, ..Options::default() }))).collect();
            // Others take locks, allocate and make threads all the while: a fork in the middle of that must not hang the child.
            let noise = scope.spawn(|| {
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    let _ = format!("{:?}", std::env::vars_os().collect::<Vec<_>>());
                    std::thread::spawn(|| {}).join().unwrap();
                }
            });
            let outcomes: Vec<_> = runs.into_iter().map(|run| run.join().unwrap()).collect();
            done.store(true, std::sync::atomic::Ordering::Relaxed);
            noise.join().unwrap();
            outcomes.iter().for_each(all_pass);
        });
    }

    #[test]
    fn descriptors_of_the_caller_stay_out() {
        let secret = tempfile::tempfile().unwrap();
        let kept = nix::unistd::dup(&secret).unwrap();
        nix::fcntl::fcntl(&kept, nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty())).unwrap();
        // A program that closes nothing shows what it was given.
        let subject = Subject::new(["setsid", "-f", "sleep", "1000"]);
        let outcome = check(&subject, &Options::default());
        let seen = outcome.recording.record.scenarios["terminal"].as_ref().unwrap();
        let descriptors = seen.look("rest").unwrap().main().unwrap().descriptors.clone().unwrap();
        assert_eq!(descriptors.iter().map(|d| d.fd).collect::<Vec<_>>(), [0, 1, 2]);
    }

    #[test]
    fn names_resolve_as_they_do_outside() {
        // Under AI_ADDRCONFIG, the default of many programs, loopback alone is not enough for 127.0.0.1: there has to be
        // one more interface with an address.
        let script = "import socket as s; s.getaddrinfo('127.0.0.1', 80, flags=s.AI_ADDRCONFIG); s.socket().bind(('192.0.2.1', 0))";
        let outcome = check(&Subject::new(["python3", "-c", script]), &Options::default());
        let seen = outcome.recording.record.scenarios["terminal"].as_ref().unwrap();
        assert_eq!(seen.launch("start").unwrap().ended, Some(daemonspec::observation::Exit::Status(0)));
    }

    #[test]
    fn within_a_chroot() {
        let mut subject = reference();
        if !nix::unistd::geteuid().is_root() {
            return;
        }
        // A directory like any other, with the machine's own mounted below it: nothing may ever remove it with all that is
        // in it.
        let jail = tempfile::tempdir().unwrap().keep();
        unshare(CloneFlags::CLONE_NEWNS).unwrap();
        mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>).unwrap();
        for entry in std::fs::read_dir("/").unwrap().map(Result::unwrap).filter(|entry| entry.file_name() != "tmp") {
            let place = jail.join(entry.file_name());
            let kind = entry.file_type().unwrap();
            if kind.is_symlink() {
                std::os::unix::fs::symlink(std::fs::read_link(entry.path()).unwrap(), place).unwrap();
            } else if kind.is_dir() {
                std::fs::create_dir(&place).unwrap();
                let bound = MsFlags::MS_REC | MsFlags::MS_BIND;
                mount(Some(&entry.path()), &place, None::<&str>, bound, None::<&str>).unwrap();
            }
        }
        std::fs::create_dir(jail.join("tmp")).unwrap();
        // The build may lie below /tmp, which is not to be seen.
        std::fs::copy(Path::new(&subject.command[0]), jail.join("reference-daemon")).unwrap();
        subject.command[0] = "/reference-daemon".into();
        let machine = std::fs::File::open("/").unwrap();
        nix::unistd::chroot(&jail).unwrap();
        std::env::set_current_dir("/tmp").unwrap();
        let outcome = run::check(&subject, &Options { isolation: Wanted::Full, ..Options::default() }, &|_| {});
        nix::unistd::fchdir(&machine).unwrap();
        nix::unistd::chroot(".").unwrap();
        for entry in std::fs::read_dir(&jail).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                let _ = umount2(&entry.path(), MntFlags::MNT_DETACH);
                std::fs::remove_dir(entry.path()).unwrap();
            } else {
                std::fs::remove_file(entry.path()).unwrap();
            }
        }
        std::fs::remove_dir(jail).unwrap();
        all_pass(&outcome.unwrap());
    }

    #[test]
    fn an_ordinary_user_judges_as_root_does() {
        let subject = reference();
        if nix::unistd::geteuid().is_root() {
            // The program lies where the build put it, which an ordinary user may not be able to reach.
            let directory = tempfile::tempdir().unwrap().keep();
            let program = directory.join("reference-daemon");
            std::fs::copy(Path::new(&subject.command[0]), &program).unwrap();
            for path in [&directory, &program] {
                std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
            }
            // So that it may be removed again as that user.
            std::os::unix::fs::chown(&directory, Some(65534), Some(65534)).unwrap();
            std::env::set_current_dir("/").unwrap();
            let nobody = nix::unistd::Uid::from_raw(65534);
            nix::unistd::setgroups(&[]).unwrap();
            nix::unistd::setresgid(65534.into(), 65534.into(), 65534.into()).unwrap();
            nix::unistd::setresuid(nobody, nobody, nobody).unwrap();
            // Dropping privileges makes /proc/self root's, until the next exec; a user's own shell has no such past.
            nix::sys::prctl::set_dumpable(true).unwrap();
            let subject = Subject { command: std::iter::once(program.into()).chain(subject.command[1..].iter().cloned()).collect(), ..subject };
            match run::check(&subject, &Options { isolation: Wanted::Full, ..Options::default() }, &|_| {}) {
                Ok(outcome) => all_pass_but(&outcome, ROOT_ONLY),
                // A machine may forbid its users namespaces; it says so, and nothing is judged.
                Err(RunError::Sandbox { error, .. }) => assert!(error.to_string().contains("namespaces"), "{error}"),
                Err(error) => panic!("{error}"),
            }
            std::fs::remove_dir_all(&directory).unwrap();
        } else {
            all_pass_but(&check(&subject, &Options::default()), ROOT_ONLY);
        }
    }
}
