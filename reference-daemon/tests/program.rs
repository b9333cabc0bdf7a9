//! The program from outside: what its caller sees. What a terminal, a supervisor and an adversary see is the
//! harness's to judge, in the workspace's `tests/`.

#![allow(clippy::unwrap_used, reason = "a test that cannot get at its own files has failed")]

use std::fs;
use std::io::Read;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A directory of its own, and a daemon's files in it.
struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn start(&self, more: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_reference-daemon"));
        command.arg("--pid-file").arg(self.path("d.pid")).arg("--log-file").arg(self.path("d.log"));
        command.args(more).stdin(Stdio::null()).output().unwrap()
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(fs::read_to_string(self.path("d.pid")).unwrap().trim().parse().unwrap())
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("d.log")).unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(pid) = fs::read_to_string(self.path("d.pid")).ok().and_then(|text| text.trim().parse().ok()) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}

fn until(what: &str, happened: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !happened() {
        assert!(Instant::now() < deadline, "{what}: not within ten seconds");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn failed_with(output: &Output, status: i32, text: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(status), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains(text), "{said}");
}

#[test]
fn it_is_ready_when_the_launcher_ends_and_stops_when_told() {
    let place = Place::new();
    let output = place.start(&[]);
    assert!(output.status.success() && output.stdout.is_empty() && output.stderr.is_empty(), "{output:?}");
    let pid = place.pid();
    assert!(Path::new(&format!("/proc/{pid}")).exists());
    assert_eq!(place.log(), format!("reference-daemon[{pid}]: ready\n"));
    kill(pid, Signal::SIGTERM).unwrap();
    until("the last line", || place.log().ends_with(": stopped\n"));
    assert!(!place.path("d.pid").exists());
}

#[test]
fn a_second_start_names_the_first_and_leaves_it_alone() {
    let place = Place::new();
    place.start(&[]);
    let pid = place.pid();
    failed_with(&place.start(&[]), 1, &format!("already running as process {pid} "));
    assert_eq!(place.pid(), pid);
}

#[test]
fn a_killed_daemon_is_no_obstacle() {
    let place = Place::new();
    place.start(&[]);
    let first = place.pid();
    kill(first, Signal::SIGKILL).unwrap();
    until("the next start", || place.start(&[]).status.success());
    assert_ne!(place.pid(), first);
}

#[test]
fn a_start_that_fails_says_why_and_leaves_nothing() {
    let place = Place::new();
    failed_with(&place.start(&["--pid-file", "/nowhere/d.pid"]), 1, "PID file /nowhere/d.pid: No such file");
    failed_with(&place.start(&["--log-file", "/nowhere/d.log"]), 1, "log file /nowhere/d.log: No such file");
    failed_with(&place.start(&["--log-file", "/dev/full"]), 1, "log file /dev/full: cannot be written");
    failed_with(&place.start(&["--user", "no-such-account"]), 1, "account no-such-account: ");
    failed_with(&place.start(&["--nonsense"]), 2, "--nonsense");
    assert!(!place.path("d.pid").exists());
}

#[test]
fn the_launcher_waits_for_initialisation() {
    let place = Place::new();
    let begun = Instant::now();
    assert!(place.start(&["--ready-delay", "200"]).status.success());
    assert!(begun.elapsed() >= Duration::from_millis(200));
    assert!(place.log().ends_with(": ready\n"));
}

#[test]
fn a_stop_ends_the_daemon_and_waits_for_its_end() {
    let place = Place::new();
    place.start(&[]);
    let pid = place.pid();
    let mut stranger = Command::new("sleep").arg("1000").spawn().unwrap();
    // The lock is asked, not the content.
    fs::write(place.path("d.pid"), format!("{}\n", stranger.id())).unwrap();
    let output = place.start(&["--stop"]);
    assert!(output.status.success() && output.stdout.is_empty() && output.stderr.is_empty(), "{output:?}");
    assert!(place.log().ends_with(&format!("reference-daemon[{pid}]: stopped\n")));
    assert!(!place.path("d.pid").exists());
    assert!(stranger.try_wait().unwrap().is_none());

    failed_with(&place.start(&["--stop"]), 1, "not running: nobody holds PID file /");
    fs::write(place.path("d.pid"), format!("{}\n", stranger.id())).unwrap();
    failed_with(&place.start(&["--stop"]), 1, "not running");
    fs::remove_file(place.path("d.pid")).unwrap();
    assert!(stranger.try_wait().unwrap().is_none());
    stranger.kill().unwrap();
    stranger.wait().unwrap();
}

#[test]
fn children_that_ended_before_it_was_executed_are_reaped() {
    let place = Place::new();
    let (mut reader, writer) = std::io::pipe().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_reference-daemon"));
    command.arg("--foreground").arg("--pid-file").arg(place.path("d.pid")).stderr(Stdio::null());
    // SAFETY: nothing but system calls, in a process that is about to execute another program.
    unsafe {
        command.pre_exec(move || {
            let child = libc::fork();
            if child == 0 {
                libc::_exit(0);
            }
            let mut seen: libc::siginfo_t = std::mem::zeroed();
            libc::waitid(libc::P_PID, child as libc::id_t, &raw mut seen, libc::WEXITED | libc::WNOWAIT);
            libc::write(writer.as_raw_fd(), (&raw const child).cast(), size_of_val(&child));
            Ok(())
        });
    }
    let mut daemon = command.spawn().unwrap();
    let mut child = [0; 4];
    reader.read_exact(&mut child).unwrap();
    until("the child's end", || !Path::new(&format!("/proc/{}", i32::from_ne_bytes(child))).exists());
    until("the PID file", || fs::read_to_string(place.path("d.pid")).is_ok_and(|text| text.ends_with('\n')));
    kill(place.pid(), Signal::SIGTERM).unwrap();
    assert!(daemon.wait().unwrap().success());
}

#[test]
fn in_the_foreground_it_stays_and_logs_to_standard_error() {
    let place = Place::new();
    let mut command = Command::new(env!("CARGO_BIN_EXE_reference-daemon"));
    command.arg("--foreground").arg("--pid-file").arg(place.path("d.pid")).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    until("the PID file", || fs::read_to_string(place.path("d.pid")).is_ok_and(|text| text.ends_with('\n')));
    assert_eq!(place.pid().as_raw(), i32::try_from(child.id()).unwrap());
    kill(place.pid(), Signal::SIGTERM).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).ends_with(": stopped\n"));
    assert!(!place.path("d.pid").exists());
}
