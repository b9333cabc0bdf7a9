//! Nothing is left behind: no process, mount, terminal or temporary file, however a run ends. And the same daemon gets the
//! same verdicts, however often it is asked.
//!
//! `DAEMONSPEC_SOAK=N` sets how often; CI asks less often than a person before a release.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use daemonspec_tests::programs::program;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

fn soak(default: usize) -> usize {
    std::env::var("DAEMONSPEC_SOAK").ok().and_then(|n| n.parse().ok()).unwrap_or(default)
}

fn names(directory: &Path) -> BTreeSet<OsString> {
    fs::read_dir(directory).map(|d| d.flatten().map(|e| e.file_name()).collect()).unwrap_or_default()
}

/// What a run could leave on the machine, apart from processes.
#[derive(Debug, PartialEq, Eq)]
struct Machine {
    mounts: String,
    terminals: BTreeSet<OsString>,
    temporary: BTreeSet<OsString>,
    run: BTreeSet<OsString>,
}

impl Machine {
    fn look(temporary: &Path) -> Self {
        Machine {
            mounts: fs::read_to_string("/proc/self/mountinfo").unwrap(),
            terminals: names(Path::new("/dev/pts")),
            temporary: names(temporary),
            run: names(Path::new("/run")),
        }
    }
}

/// Processes that carry `mark` in their environment: everything that a run started, in whatever namespace.
fn marked(mark: &str) -> Vec<String> {
    let wanted = format!("DAEMONSPEC_TEST_MARK={mark}");
    let pids =
        names(Path::new("/proc")).into_iter().filter_map(|n| n.into_string().ok()).filter(|n| n.parse::<u32>().is_ok());
    pids.filter(|pid| {
        let environ = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environ.split(|b| *b == 0).any(|variable| variable == wanted.as_bytes())
    })
    .collect()
}

fn start(mark: &str, temporary: &Path, arguments: &[&str]) -> Child {
    Command::new(program("daemonspec"))
        .arg("check")
        .args(arguments)
        .env("DAEMONSPEC_TEST_MARK", mark)
        .env("TMPDIR", temporary)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Waits until nothing with that mark is left; the kernel takes a moment to end a namespace.
fn await_none(mark: &str) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !marked(mark).is_empty() {
        assert!(Instant::now() < deadline, "still there: {:?}", marked(mark));
        std::thread::yield_now();
    }
}

/// Interrupts runs at moments spread over their length.
fn interrupted(mark: &str, signal: i32, isolation: &str, expected: Option<i32>) {
    let temporary = tempfile::tempdir().unwrap();
    let arguments = ["--isolation", isolation];
    let whole = Instant::now();
    assert!(start(mark, temporary.path(), &arguments).wait().unwrap().success());
    let whole = whole.elapsed();
    let before = Machine::look(temporary.path());
    let rounds = soak(12);
    for round in 0..rounds {
        let mut child = start(mark, temporary.path(), &arguments);
        let moment = Instant::now()
            + whole.mul_f64(f64::from(u32::try_from(round).unwrap()) / f64::from(u32::try_from(rounds).unwrap()));
        while Instant::now() < moment {
            std::thread::yield_now();
        }
        let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::try_from(signal).unwrap()).unwrap();
        let status = child.wait().unwrap();
        if let Some(expected) = expected {
            // Before the handler is set there is nothing to end, and after the last sandbox the run may just succeed.
            let code = std::os::unix::process::ExitStatusExt::signal(&status).map_or(status.code(), |_| None);
            assert!(code.is_none_or(|code| code == expected || code == 0), "{status}");
            assert_eq!(marked(mark), Vec::<String>::new(), "it exits only when everything it started is gone");
        }
        await_none(mark);
    }
    let after = Machine::look(temporary.path());
    if isolation == "full" || expected.is_some() {
        assert_eq!(before, after);
    }
}

// One test, so that none of them sees the terminals of another.
#[test]
fn nothing_is_left_behind() {
    interrupted("kill-full", libc::SIGKILL, "full", None);
    interrupted("interrupt-full", libc::SIGINT, "full", Some(130));
    interrupted("kill-none", libc::SIGKILL, "none", None);
    interrupted("interrupt-none", libc::SIGINT, "none", Some(130));
    the_same_verdicts_every_time();
}

fn the_same_verdicts_every_time() {
    let temporary = tempfile::tempdir().unwrap();
    let before = Machine::look(temporary.path());
    let mut seen = BTreeSet::new();
    let rounds = soak(16);
    let mut load: Vec<Child> = Vec::new();
    for round in 0..rounds {
        if round == rounds / 2 {
            // The other half of them on processors that are busy.
            load.extend((0..2).map(|_| Command::new("sh").args(["-c", "while :; do :; done"]).spawn().unwrap()));
        }
        let output = Command::new(program("daemonspec"))
            .args(["check", "--format", "json"])
            .env("TMPDIR", temporary.path())
            .output()
            .unwrap();
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let checks = report["subjects"][0]["checks"].as_array().unwrap().clone();
        seen.insert(checks.iter().map(|c| format!("{}={} ", c["id"], c["verdict"])).collect::<String>());
    }
    for mut child in load {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert_eq!(seen.len(), 1, "{seen:#?}");
    assert_eq!(before, Machine::look(temporary.path()));
}
