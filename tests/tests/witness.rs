//! systemd as a witness: what it makes of each daemon is compared with our verdicts (`check --witness systemd`).
//!
//! The daemons are the reference daemon in each of its ways, and defective ones of which systemd must complain; those of ci/field
//! are the `field` test's. Where systemd cannot be asked, that shows as ignored; in CI it fails.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use daemonspec::check::witness::{Heard, Standing, Testimony, that_explain};
use daemonspec::check::{Profile, Verdict};
use daemonspec::observation::{ServiceType, Style};
use daemonspec::run::{self, Manager, Options};
use daemonspec::subject::{Ready, Subject};
use daemonspec_tests::defects::{self, DEFECTS};
use daemonspec_tests::programs::program;
use libtest_mimic::{Arguments, Failed, Trial};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Defects of which systemd complains, and the name of that complaint.
const COMPLAINED_OF: &[(&str, &str)] = &[
    ("launcher-stays", "launcher-stays"),
    ("dies-when-ready", "start-failed"),
    ("ends-soon", "start-failed"),
    ("intermediate-stays", "not-our-child"),
    ("late-pidfile", "pidfile-not-a-number"),
    ("wrong-pid", "pidfile-names-no-process"),
    ("pidfile-with-name", "pidfile-not-a-number"),
    ("ignores-sigterm", "stop-timed-out"),
    ("orphans-worker", "stop-timed-out"),
    ("exit-1-on-sigterm", "stop-failed"),
    ("forks-anyway", "start-failed"),
    ("never-ready", "start-timed-out"),
    ("ready-from-child", "start-timed-out"),
];

/// Why systemd cannot be asked on this machine.
fn why_no_systemd() -> Option<&'static str> {
    if !Path::new("/lib/systemd/systemd").exists() {
        return Some("systemd is not installed");
    }
    // A test may not ask for more than a user has.
    let is_root = std::fs::metadata("/proc/self").is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0);
    (!is_root).then_some("only root may boot a systemd")
}

/// Only the checks by which a complaint may be explained.
fn about_systemd(profile: Profile) -> BTreeSet<&'static str> {
    that_explain(profile).map(|check| check.id).collect()
}

fn testimony(subject: &Subject, profile: Profile) -> Result<Testimony, Failed> {
    let only = about_systemd(profile);
    let options = Options { profile, only, witness: Some(Manager::Systemd), ..Options::default() };
    let outcome = run::check(subject, &options, &|_| {}).map_err(|error| error.to_string())?;
    for judged in &outcome.judged {
        // What was not seen cannot be compared, and a reader wants to know why.
        if let Verdict::Broken(why) = &judged.verdict {
            eprintln!("{}: {} not observed: {why}", subject.name, judged.check.id);
        }
    }
    let testimony = outcome.witness.ok_or("systemd was not asked")?;
    match testimony.unseen.first() {
        Some((_, why)) => Err(format!("not observed: {why}").into()),
        None => Ok(testimony),
    }
}

fn heard(testimony: &Testimony) -> Vec<&Heard> {
    testimony.services.iter().flat_map(|service| &service.complaints).collect()
}

/// Every complaint is explained by a check that failed, or by how systemd's start is unlike a shell's.
fn agrees(testimony: &Testimony) -> Result<(), Failed> {
    let is_explained = |heard: &Heard| matches!(heard.standing, Standing::Explained | Standing::Unlike);
    let unexplained = heard(testimony).into_iter().filter(|heard| !is_explained(heard));
    let unexplained: Vec<String> = unexplained
        .map(|h| format!("{} {}: {}; {:?}", h.complaint.id, h.standing.as_str(), h.evidence.join(", "), h.ours))
        .collect();
    if unexplained.is_empty() { Ok(()) } else { Err(unexplained.join("\n").into()) }
}

/// The reference daemon, of which nobody complains.
fn reference(profile: Profile, ready: Option<Ready>, wanted: &[ServiceType]) -> Result<(), Failed> {
    let mut command = vec![program("reference-daemon").as_os_str().to_owned()];
    command.extend(["--pid-file", "{dir}/d.pid"].map(OsString::from));
    command.extend(match profile.style() {
        Style::SysV => vec!["--log-file".into(), "{dir}/d.log".into()],
        Style::NewStyle => vec!["--foreground".into()],
    });
    let mut subject = Subject::new(command);
    subject.pidfile = Some("{dir}/d.pid".into());
    subject.ready.extend(ready);
    let mut options = Options { profile, witness: Some(Manager::Systemd), ..Options::default() };
    // What is heard of a supervised daemon decides as what it is tried.
    options.only = about_systemd(profile);
    let outcome = run::check(&subject, &options, &|_| {}).map_err(|error| error.to_string())?;
    let testimony = outcome.witness.as_ref().ok_or("systemd was not asked")?;
    let services: Vec<ServiceType> = testimony.services.iter().map(|s| s.witness.service).collect();
    assert_eq!(services, wanted, "{:?}", testimony.unseen);
    for service in &testimony.services {
        let witness = &service.witness;
        assert!(service.complaints.is_empty(), "{:?}", service.complaints);
        let states = [Some(&witness.started), witness.restarted.as_ref()];
        for state in states {
            let state = state.ok_or("it was not restarted")?;
            assert!(state.is_active() && state.main.is_some() && state.main == state.daemon, "{state:?}");
        }
        assert_ne!(witness.started.main, witness.restarted.as_ref().and_then(|state| state.main));
        assert_eq!(witness.stopped.result.as_str(), "success");
        assert!(witness.stopped.processes.is_empty(), "{:?}", witness.stopped);
    }
    assert_eq!(outcome.exit_code(), 0);
    Ok(())
}

fn defective(name: &str, complaint: &str) -> Result<(), Failed> {
    let defect = DEFECTS.iter().find(|defect| defect.name == name).ok_or("there is no such defect")?;
    let profile: Profile = defect.profile.as_str().parse().map_err(|_| "no such profile")?;
    let words = defect.arguments().into_iter().map(OsString::from);
    let mut subject = Subject::new(std::iter::once(program("defective-daemon").as_os_str().to_owned()).chain(words));
    subject.pidfile = Some("{dir}/d.pid".into());
    subject.timeout = Duration::from_secs(3);
    if profile.style() == Style::NewStyle && defects_ready(defect) {
        subject.ready.push(Ready::Notify);
    }
    let testimony = testimony(&subject, profile)?;
    let ids: Vec<&str> = heard(&testimony).iter().map(|heard| heard.complaint.id).collect();
    if !ids.contains(&complaint) {
        return Err(format!("systemd does not complain of {complaint}, but of {ids:?}").into());
    }
    agrees(&testimony)
}

/// Whether its defect is about what it tells its supervisor.
fn defects_ready(defect: &defects::Defect) -> bool {
    defect.target == "notify-ready"
}

/// The control groups of runs, wherever that hierarchy is mounted.
fn groups() -> Vec<PathBuf> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mut of = mounts.lines().filter(|line| line.contains(" - cgroup2 ")).filter_map(|line| line.split(' ').nth(4));
    let Some(root) = of.next() else { return Vec::new() };
    let own = std::fs::read_to_string("/proc/self/cgroup").unwrap();
    let own = own.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default();
    let entries = std::fs::read_dir(Path::new(root).join(own)).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|p| p.to_string_lossy().contains("/daemonspec-")).collect()
}

/// A run that is killed outright leaves no control group, and no systemd.
fn killed() -> Result<(), Failed> {
    let mut run = Command::new(program("daemonspec"))
        .args(["check", "--witness", "systemd", "--only", "pidfile-format", "--timeout", "2", "--"])
        .arg(program("defective-daemon"))
        .args(["ignores-sigterm", "--pid-file", "/run/d.pid", "--log-file", "/run/d.log"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let deadline = Instant::now() + Duration::from_secs(60);
    // By the number of the run's keeper, which is one of its children.
    let mine = |run: u32| {
        let children = std::fs::read_to_string(format!("/proc/{run}/task/{run}/children")).unwrap_or_default();
        let keepers: Vec<String> = children.split_whitespace().map(|pid| format!("daemonspec-{pid}-")).collect();
        groups().into_iter().find(|group| keepers.iter().any(|keeper| group.to_string_lossy().contains(keeper)))
    };
    let group = loop {
        if let Some(group) = mine(run.id()) {
            break group;
        }
        if Instant::now() > deadline || run.try_wait()?.is_some() {
            let _ = run.kill();
            return Err("no control group was seen".into());
        }
        std::thread::yield_now();
    };
    run.kill()?;
    run.wait()?;
    while group.exists() {
        if Instant::now() > deadline {
            return Err(format!("{} is left", group.display()).into());
        }
        std::thread::yield_now();
    }
    Ok(())
}

/// An ordinary user is told in one line, and nothing is said to conform.
fn ordinary_user() -> Result<(), Failed> {
    use std::os::unix::process::CommandExt;
    let output = Command::new(program("daemonspec"))
        .args(["check", "--witness", "systemd", "--only", "pidfile-format", "--format", "json"])
        .current_dir("/")
        .env("HOME", "/")
        .uid(65534)
        .gid(65534)
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = said.lines().filter(|line| line.contains("systemd")).collect();
    assert_eq!(lines, ["daemonspec: systemd could not be asked: only root may boot a systemd"], "{said}");
    assert_eq!(output.status.code(), Some(3), "{said}");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    assert_eq!(report["subjects"][0]["conforms"], false);
    assert_eq!(report["subjects"][0]["witness"]["agrees"], false);
    Ok(())
}

fn main() {
    let arguments = Arguments::from_args();
    let ignored = why_no_systemd().is_some() && std::env::var_os("CI").is_none();
    let mut trials = Vec::new();
    let mut add = |name: String, run: Box<dyn FnOnce() -> Result<(), Failed> + Send>| {
        trials.push(Trial::test(name, run).with_ignored_flag(ignored));
    };
    add("reference::forking".into(), Box::new(|| reference(Profile::Sysv, None, &[ServiceType::Forking])));
    add(
        "reference::exec_and_notify".into(),
        Box::new(|| reference(Profile::Foreground, None, &[ServiceType::Exec, ServiceType::Notify])),
    );
    add(
        "reference::notify".into(),
        Box::new(|| reference(Profile::Foreground, Some(Ready::Notify), &[ServiceType::Notify])),
    );
    for (name, complaint) in COMPLAINED_OF {
        add(format!("defect::{name}"), Box::new(|| defective(name, complaint)));
    }
    add("killed".into(), Box::new(killed));
    add("ordinary_user".into(), Box::new(ordinary_user));
    libtest_mimic::run(&arguments, trials).exit();
}
