//! Every check judged on data alone: nothing is started here.
//!
//! The recordings are of the reference daemon (`daemonspec check --record`): reference.json in the background,
//! reference-account.json with an account to drop to. Each case changes one thing in the first that passes its check, and
//! the check has to notice.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use daemonspec::check::{Record, Verdict, catalogue, find};
use daemonspec::observation::{
    Attributes, Event, Exit, FileKind, FileSeen, Hold, Holder, Instances, Kept, Launch, Look, MainBy, Notice,
    Observation, Output, Pipes, Process, Release, Seen, Stop, Stranger, Text, Trace, Treatment, Trial, What,
};
use daemonspec::report;
use daemonspec::run::{Options, Recording};
use proptest::prelude::*;

const RECORDINGS: &[&str] = &[
    include_str!("reference.json"),
    include_str!("reference-container.json"),
    include_str!("reference-account.json"),
    include_str!("reference-exhaustive.json"),
];

fn read(text: &str) -> Recording {
    report::json::read_recordings(text).unwrap().remove(0)
}

fn recording() -> Recording {
    read(RECORDINGS[0])
}

/// The first of the recordings that passes the check.
fn passing(id: &str) -> Record {
    let check = find(id).unwrap();
    let mut records = RECORDINGS.iter().map(|text| read(text).record);
    records.find(|record| check.judge(record) == Verdict::Pass).unwrap_or_else(|| panic!("none passes {id}"))
}

fn observation<'a>(record: &'a mut Record, scenario: &str) -> &'a mut Observation {
    record.scenarios.get_mut(scenario).unwrap().as_mut().unwrap()
}

macro_rules! getters {
    ($($name:ident: $variant:ident -> $type:ty;)*) => {
        $(fn $name<'a>(record: &'a mut Record, scenario: &str, wanted: &str) -> &'a mut $type {
            let found = observation(record, scenario).seen.iter_mut().find_map(|(name, seen)| match seen {
                Seen::$variant(value) if name == wanted => Some(value),
                _ => None,
            });
            found.unwrap()
        })*
    };
}

getters! {
    launch: Launch -> Launch;
    look: Look -> Look;
    treatment: Treatment -> Treatment;
    release: Release -> Release;
    stop: Stop -> Stop;
    kept: Kept -> Kept;
    file: File -> FileSeen;
    pipes: Pipes -> Pipes;
    stranger: Stranger -> Stranger;
    writable: Writable -> Vec<FileSeen>;
    fact: Fact -> bool;
    notices: Notices -> Vec<Notice>;
    output: Output -> Output;
    trial: Trial -> Trial;
    trace: Trace -> Trace;
}

/// An event of the traced start's launcher.
fn event(record: &mut Record, at: usize, what: What) {
    let events = &mut trace(record, "traced", "start").events;
    let (time, thread) = (events[at].at, events[at].thread);
    events.insert(at, Event { at: time, process: 0, thread, what });
}

/// The place of the launcher's first fork among the events.
fn first_fork(record: &mut Record) -> usize {
    trace(record, "traced", "start").events.iter().position(|event| matches!(event.what, What::Child(_))).unwrap()
}

/// What was left of the first two starts.
fn instances(record: &mut Record) -> &mut Instances {
    trial(record, "interleaved", "1").instances.as_mut().unwrap()
}

/// The daemon at rest after its clean start.
fn daemon(record: &mut Record) -> &mut Process {
    let look = look(record, "terminal", "rest");
    let (pid, _) = look.main.unwrap();
    look.members.iter_mut().find(|p| p.pid == pid).unwrap()
}

/// The daemon of another look.
fn daemon_of<'a>(record: &'a mut Record, scenario: &str, name: &str) -> &'a mut Process {
    let look = look(record, scenario, name);
    let (pid, _) = look.main.unwrap();
    look.members.iter_mut().find(|p| p.pid == pid).unwrap()
}

fn attributes_of<'a>(record: &'a mut Record, scenario: &str, name: &str) -> &'a mut Attributes {
    daemon_of(record, scenario, name).attributes.as_mut().unwrap()
}

/// A process that the daemon has executed a program in.
fn child(look: &mut Look) -> &mut Process {
    let (main, _) = look.main.unwrap();
    another(look, |p| {
        p.ppid = main;
        p.image += 4096;
    });
    look.members.last_mut().unwrap()
}

fn gone(look: &mut Look) {
    look.members.clear();
    look.main = None;
}

fn another(look: &mut Look, change: impl FnOnce(&mut Process)) {
    let mut other = look.members[0].clone();
    other.pid += 50;
    change(&mut other);
    look.members.push(other);
}

fn descriptor(record: &mut Record, fd: i32, kind: FileKind) {
    let terminal = launch(record, "terminal", "start").terminal;
    let descriptor = daemon(record).descriptors.as_mut().unwrap().iter_mut().find(|d| d.fd == fd).unwrap();
    descriptor.kind = kind;
    descriptor.rdev = terminal;
}

type Case = (&'static str, fn(&mut Record));

/// A check, and a change that it has to notice.
const CASES: &[Case] = &[
    ("launcher-exits", |r| launch(r, "terminal", "start").ended = None),
    ("daemon-stays-up", |r| gone(look(r, "terminal", "rest"))),
    ("left-its-launcher", |r| {
        let shell = launch(r, "terminal", "start").shell;
        daemon(r).ppid = shell;
    }),
    ("launcher-status", |r| launch(r, "terminal", "start").ended = Some(Exit::Status(1))),
    ("launcher-status", |r| launch(r, "obstructed", "missing").ended = Some(Exit::Status(0))),
    ("launcher-status", |r| launch(r, "obstructed", "read-only").ended = Some(Exit::Status(0))),
    ("failure-explained", |r| launch(r, "obstructed", "missing").errors = Some(Output::default())),
    ("no-leftover-processes", |r| another(look(r, "terminal", "rest"), |p| p.state = 'Z')),
    ("no-leftover-processes", |r| {
        another(look(r, "terminal", "rest"), |p| p.ppid = 1);
        daemon(r).ppid += 48;
        let look = look(r, "terminal", "rest");
        look.members[0].ppid = look.members[1].pid;
    }),
    ("sigterm-stops", |r| stop(r, "terminal", "sigterm").gone = false),
    ("stop-status", |r| stop(r, "terminal", "sigterm").ended = Some(Exit::Status(143))),
    ("stop-status", |r| stop(r, "terminal", "sigterm").ended = Some(Exit::Signal(9))),
    ("stop-leaves-no-orphans", |r| {
        let left = daemon(r).clone();
        stop(r, "terminal", "stop").left.push(left);
    }),
    ("restart-after-kill", |r| gone(look(r, "crash", "after"))),
    ("new-session", |r| {
        let shell = launch(r, "terminal", "start").shell;
        daemon(r).session = shell;
    }),
    ("new-session", |r| {
        let shell = launch(r, "terminal", "start").shell;
        another(look(r, "terminal", "rest"), |p| p.session = shell);
    }),
    ("no-controlling-terminal", |r| daemon(r).tty_nr = 34816),
    ("no-controlling-terminal", |r| another(look(r, "terminal", "rest"), |p| p.tty_nr = 34816)),
    ("not-session-leader", |r| {
        let daemon = daemon(r);
        daemon.session = daemon.pid;
    }),
    ("terminal-released", |r| descriptor(r, 3, FileKind::Terminal)),
    ("survives-hangup", |r| treatment(r, "terminal", "hangup").survived = false),
    ("survives-interrupt", |r| treatment(r, "terminal", "interrupt").survived = false),
    ("survives-interrupt", |r| treatment(r, "terminal", "quit").survived = false),
    ("terminal-silent", |r| {
        let seen = Seen::Output(Output { text: Text::new(b"hello"), bytes: 5, whole_lines: false });
        observation(r, "terminal").seen.push(("terminal".to_owned(), seen));
    }),
    ("cwd-root", |r| daemon(r).cwd = Some(Text::new(b"/home"))),
    ("launch-directory-released", |r| {
        let holder = Holder { pid: 5, by: Hold::WorkingDirectory, path: Text::new(b"/home") };
        *release(r, "terminal", "release") = Release { unmounted: false, holders: vec![holder] };
    }),
    ("stdin-redirected", |r| descriptor(r, 0, FileKind::Terminal)),
    ("stdout-redirected", |r| descriptor(r, 1, FileKind::Terminal)),
    ("stdout-redirected", |r| descriptor(r, 1, FileKind::Socket)),
    ("stderr-redirected", |r| descriptor(r, 2, FileKind::CharacterDevice)),
    ("stdio-open", |r| daemon(r).descriptors.as_mut().unwrap().retain(|d| d.fd != 0)),
    ("stdio-open", |r| {
        daemon(r).descriptors.as_mut().unwrap().iter_mut().for_each(|d| d.writable = false);
    }),
    ("survives-sighup", |r| treatment(r, "terminal", "sighup").survived = false),
    ("pidfile-present-at-exit", |r| {
        launch(r, "terminal", "start").pidfile_at_exit.as_mut().unwrap().found = None;
    }),
    ("pidfile-present-at-exit", |r| {
        let found = &mut launch(r, "terminal", "start").pidfile_at_exit.as_mut().unwrap().found;
        found.as_mut().unwrap().content = Some(Text::new(b""));
    }),
    ("pidfile-present-at-exit", |r| {
        launch(r, "held", "2").pidfile_at_exit.as_mut().unwrap().found = None;
    }),
    ("systemd-trusts-pidfile", |r| launch(r, "held", "2").alive_at_exit.clear()),
    ("ready-before-exit", |r| {
        let held = trial(r, "held", "1");
        (held.waited, held.meanwhile) = (false, Some(Exit::Status(0)));
    }),
    ("simultaneous-starts", |r| instances(r).first = vec![77]),
    ("simultaneous-starts", |r| {
        let left = instances(r);
        (left.first, left.other) = (Vec::new(), Vec::new());
    }),
    ("simultaneous-starts", |r| trial(r, "interleaved", "2").pidfile.as_mut().unwrap().found = None),
    ("early-sigterm", |r| trial(r, "terminated", "1").ended = false),
    ("early-sigterm", |r| look(r, "terminated", "11").main = None),
    ("crash-anywhere-restarts", |r| look(r, "killed", "11").main = None),
    ("crash-anywhere-restarts", |r| launch(r, "killed", "1").ended = Some(Exit::Status(1))),
    ("startup-faults-reported", |r| {
        // It fails, as it may, and its launcher says that all is well.
        launch(r, "failing", "11").ended = Some(Exit::Status(0));
    }),
    ("startup-faults-reported", |r| launch(r, "failing", "11").errors = Some(Output::default())),
    ("startup-faults-reported", |r| launch(r, "failing", "11").ended = None),
    ("startup-faults-reported", |r| {
        let file = look(r, "terminal", "rest").pidfile.clone().unwrap();
        trial(r, "failing", "11").left.push(file);
    }),
    ("startup-faults-reported", |r| {
        // It comes up, and in its caller's session.
        let shell = launch(r, "failing", "1").shell;
        daemon_of(r, "failing", "1").session = shell;
    }),
    ("close-cost-bounded", |r| {
        let many = trace(r, "traced", "many").events.iter_mut().find_map(|event| match &mut event.what {
            What::Call(call) if !call.loader => Some(call),
            _ => None,
        });
        many.unwrap().times = 4000;
    }),
    ("fork-before-threads", |r| {
        let fork = first_fork(r);
        event(r, fork, What::Thread(1234));
    }),
    ("pidfile-names-main-process", |r| {
        let look = look(r, "terminal", "rest");
        look.main = look.main.map(|(pid, _)| (pid, MainBy::OnlySurvivor));
        look.pidfile.as_mut().unwrap().found.as_mut().unwrap().content = Some(Text::new(b"99\n"));
    }),
    ("pidfile-format", |r| set_pidfile(r, b"5")),
    ("pidfile-format", |r| set_pidfile(r, b" 5\n")),
    ("pidfile-format", |r| set_pidfile(r, b"5\n\n")),
    ("pidfile-format", |r| set_pidfile(r, b"5\r\n")),
    ("pidfile-format", |r| set_pidfile(r, b"5\\n")),
    ("pidfile-format", |r| set_pidfile(r, b"5\0\n")),
    ("pidfile-removed", |r| {
        let file = look(r, "terminal", "rest").pidfile.clone();
        stop(r, "terminal", "stop").pidfile = file;
    }),
    ("pidfile-removed-by-owner-only", |r| look(r, "twice", "after").pidfile.as_mut().unwrap().found = None),
    ("second-instance-refused", |r| another(look(r, "twice", "after"), |_| {})),
    ("second-instance-refused", |r| gone(look(r, "twice", "after"))),
    ("second-instance-reported", |r| launch(r, "twice", "second").ended = Some(Exit::Status(0))),
    ("second-instance-reported", |r| launch(r, "twice", "second").errors = Some(Output::default())),
    ("stale-pidfile", |r| gone(look(r, "seeded", "dead"))),
    ("stale-pidfile", |r| gone(look(r, "seeded", "no-newline"))),
    ("stale-pidfile", |r| {
        let planted = file(r, "seeded", "dead").clone();
        look(r, "seeded", "dead").pidfile = Some(planted);
    }),
    ("recycled-pid", |r| gone(look(r, "seeded", "stranger"))),
    ("recycled-pid", |r| gone(look(r, "seeded", "thread"))),
    ("recycled-pid", |r| gone(look(r, "seeded", "own"))),
    ("recycled-pid", |r| stranger(r, "seeded", "thread").alive = false),
    ("recycled-pid", |r| stranger(r, "seeded", "stranger").received.push(15)),
    ("garbage-pidfile", |r| gone(look(r, "seeded", "text"))),
    ("garbage-pidfile", |r| {
        gone(look(r, "seeded", "nuls"));
        launch(r, "seeded", "nuls").ended = Some(Exit::Status(1));
    }),
    ("garbage-pidfile", |r| stranger(r, "seeded", "minus-one").received.push(15)),
    ("lock-not-inherited", |r| {
        // A child of the instance that was killed lives on, and no new daemon is there.
        let running = look(r, "crash", "running");
        let (main, _) = running.main.unwrap();
        another(running, |p| p.ppid = main);
        let child = running.members.last().unwrap().clone();
        let after = look(r, "crash", "alone");
        gone(after);
        after.members.push(child);
    }),
    ("stop-verifies-identity", |r| stranger(r, "seeded", "stop").received.push(15)),
    ("survives-leader-exit", |r| gone(look(r, "leader", "rest"))),
    ("umask-set", |r| attributes_of(r, "dirty", "everything").umask = Some(0)),
    ("umask-set", |r| gone(look(r, "dirty", "umask-0777"))),
    ("no-world-writable-files", |r| {
        let file = look(r, "terminal", "rest").pidfile.clone().unwrap();
        writable(r, "dirty", "everything").push(file);
    }),
    ("relative-paths", |r| gone(look(r, "relative", "rest"))),
    ("relative-paths", |r| look(r, "relative", "rest").log.as_mut().unwrap().found = None),
    ("run-directory-missing", |r| {
        gone(look(r, "obstructed", "run"));
        launch(r, "obstructed", "run").ended = Some(Exit::Status(1));
    }),
    ("pipes-released", |r| pipes(r, "pipes", "pipes").ended = [true, false]),
    ("starts-with-stdio-closed", |r| gone(look(r, "closed", "0, 1"))),
    ("starts-with-stdio-closed", |r| {
        let found = daemon_of(r, "closed", "2").descriptors.as_mut().unwrap();
        found.iter_mut().find(|d| d.fd == 2).unwrap().kind = FileKind::Socket;
    }),
    ("starts-with-stdio-closed", |r| daemon_of(r, "closed", "1").descriptors.as_mut().unwrap().retain(|d| d.fd != 1)),
    ("inherited-descriptors-closed", |r| {
        let planted = launch(r, "dirty", "everything").planted.clone().unwrap();
        let found = daemon_of(r, "dirty", "everything").descriptors.as_mut().unwrap();
        let mut leaked = found[0].clone();
        (leaked.fd, leaked.device, leaked.inode) = (300, planted.device, planted.inode);
        found.push(leaked);
    }),
    ("descriptors-kept-from-children", |r| {
        let look = look(r, "terminal", "rest");
        child(look);
    }),
    ("signal-mask-reset", |r| attributes_of(r, "dirty", "everything").blocked |= 1),
    ("signal-mask-reset", |r| {
        let (launch, look) = (launch(r, "dirty", "everything").clone(), look(r, "dirty", "everything").clone());
        let seen = &mut observation(r, "dirty").seen;
        seen.push(("blocked".to_owned(), Seen::Launch(Box::new(launch))));
        seen.push(("blocked".to_owned(), Seen::Look(Box::new(Look { members: Vec::new(), main: None, ..look }))));
    }),
    ("signal-dispositions-reset", |r| attributes_of(r, "dirty", "everything").ignored |= 1),
    ("starts-with-sigchld-ignored", |r| gone(look(r, "dirty", "sigchld"))),
    ("starts-with-sigchld-ignored", |r| another(look(r, "dirty", "sigchld"), |p| p.state = 'Z')),
    ("survives-broken-pipe", |r| treatment(r, "pipes", "broken").survived = false),
    ("pidfile-mode", |r| {
        let file = look(r, "dirty", "everything").pidfile.as_mut().unwrap();
        file.found.as_mut().unwrap().mode = 0o664;
    }),
    ("pidfile-owner", |r| {
        look(r, "terminal", "rest").pidfile.as_mut().unwrap().found.as_mut().unwrap().uid = 33;
    }),
    ("pidfile-owner", |r| {
        look(r, "terminal", "rest").pidfile_directories[0].found.as_mut().unwrap().mode = 0o777;
    }),
    ("pidfile-link-refused", |r| {
        file(r, "seeded", "sentinel").found.as_mut().unwrap().content = Some(Text::new(b"12\n"));
    }),
    ("pidfile-link-refused", |r| file(r, "seeded", "sentinel").found.as_mut().unwrap().uid = 65534),
    ("pidfile-odd-path", |r| launch(r, "seeded", "fifo").ended = None),
    ("pidfile-odd-path", |r| {
        let launch = launch(r, "seeded", "directory");
        (launch.ended, launch.errors) = (Some(Exit::Status(0)), Some(Output::default()));
    }),
    ("systemd-trusts-pidfile", |r| launch(r, "terminal", "start").alive_at_exit.clear()),
    ("systemd-trusts-pidfile", |r| {
        let file = launch(r, "terminal", "start").pidfile_at_exit.as_mut().unwrap();
        file.found.as_mut().unwrap().content = Some(Text::new(b"1004 daemon\n"));
    }),
    ("log-reopened", |r| {
        let old = look(r, "rotated", "before").log.as_ref().unwrap().found.clone().unwrap();
        let found = daemon_of(r, "rotated", "after").descriptors.as_mut().unwrap();
        let stdout = found.iter_mut().find(|d| d.fd == 1).unwrap();
        (stdout.device, stdout.inode) = (old.device, old.inode);
    }),
    ("log-disk-full", |r| treatment(r, "obstructed", "filled").survived = false),
    ("log-disk-full", |r| *fact(r, "obstructed", "rests") = false),
    ("log-disk-full", |r| launch(r, "obstructed", "log").ended = Some(Exit::Status(0))),
    ("privileges-dropped", |r| attributes_of(r, "account", "rest").uids[2] = 0),
    ("privileges-dropped", |r| attributes_of(r, "account", "rest").gids[0] = 0),
    ("privileges-dropped", |r| attributes_of(r, "account", "rest").other_threads.push((1006, 0))),
    ("privileges-dropped", |r| attributes_of(r, "account", "rest").groups.push(61_001)),
    ("privileges-dropped", |r| attributes_of(r, "account", "rest").capabilities = 1 << 7),
    ("memory-independent-of-limits", |r| {
        for round in 1..=4 {
            *attributes_of(r, "limits", &format!("high {round}")).peak_memory.as_mut().unwrap() += 4096;
        }
    }),
    ("oom-score-not-inherited", |r| {
        let score =
            launch(r, "dirty", "everything").inherited.as_ref().unwrap().attributes.clone().unwrap().oom_score_adj;
        attributes_of(r, "dirty", "everything").oom_score_adj = score;
        child(look(r, "dirty", "everything"));
    }),
    ("core-dumps-prevented", |r| attributes_of(r, "terminal", "rest").core_limit = Some(1)),
    ("environment-sanitised", |r| {
        let planted = launch(r, "dirty", "everything").planted.clone().unwrap().variables;
        child(look(r, "dirty", "everything")).attributes.as_mut().unwrap().variables = Some(planted);
    }),
    ("environment-sanitised", |r| daemon_of(r, "dirty", "everything").cwd = Some(Text::new(b"/home"))),
    ("deleted-launch-directory", |r| gone(look(r, "deleted", "rest"))),
    ("launcher-status", |r| launch(r, "obstructed", "log").ended = Some(Exit::Status(0))),
    ("launcher-status", |r| launch(r, "obstructed", "locked").ended = Some(Exit::Status(0))),
    ("failure-explained", |r| launch(r, "obstructed", "full").errors = Some(Output::default())),
    ("log-appended", |r| kept(r, "crash", "log").kept = false),
    ("stays-in-foreground", |r| launch(r, "foreground", "start").ended = Some(Exit::Status(0))),
    ("stays-in-foreground", |r| {
        let look = look(r, "foreground", "rest");
        another(look, |_| {});
        look.main = Some((look.members[1].pid, MainBy::PidFile));
    }),
    ("stays-in-foreground", |r| daemon_of(r, "foreground", "rest").ppid = 1),
    ("notify-ready", |r| notices(r, "notify", "notices").clear()),
    ("notify-ready", |r| notices(r, "notify", "notices").iter_mut().for_each(|n| n.sender += 1)),
    ("notify-ready", |r| notices(r, "notify", "notices")[0].ready = false),
    ("notify-ready", |r| notices(r, "notify", "notices")[0].text = Text::new(b"STATUS=READY=1")),
    ("notify-socket-kept", |r| {
        let variables = &mut child(look(r, "notify", "rest")).attributes.as_mut().unwrap().variables;
        *variables = Some(vec![Text::new(b"HOME"), Text::new(b"NOTIFY_SOCKET")]);
    }),
    ("notify-stopping", |r| notices(r, "notify", "notices").retain(|n| !n.says("STOPPING=1"))),
    ("notify-stopping", |r| {
        notices(r, "notify", "notices").iter_mut().filter(|n| n.says("STOPPING=1")).for_each(|n| n.sender += 1);
    }),
    ("listen-pid-checked", |r| *fact(r, "notify", "accepted") = true),
    ("listen-pid-checked", |r| {
        gone(look(r, "notify", "passed"));
        launch(r, "notify", "passed").ended = Some(Exit::Status(1));
    }),
    ("logs-to-stderr", |r| output(r, "foreground", "stderr").whole_lines = false),
    ("logs-to-stderr", |r| {
        let said = std::mem::take(output(r, "foreground", "stderr"));
        *output(r, "foreground", "stdout") = said;
    }),
    ("logs-to-stderr", |r| {
        *output(r, "foreground", "stderr") = Output::default();
        let look = look(r, "foreground", "rest");
        look.log.clone_from(&look.pidfile);
    }),
    ("logs-to-stderr", |r| {
        *output(r, "foreground", "stderr") = Output::default();
        let daemon = daemon_of(r, "foreground", "rest");
        let mut log = daemon.descriptor(0).unwrap().clone();
        (log.fd, log.kind, log.writable, log.target) = (7, FileKind::Regular, true, Text::new(b"/srv/d/error.log"));
        daemon.descriptors.as_mut().unwrap().push(log);
    }),
    ("pid1-sigterm", |r| stop(r, "pid1", "sigterm").gone = false),
    ("pid1-reaps", |r| *fact(r, "pid1", "reaped") = false),
    ("pid1-restart", |r| gone(look(r, "pid1", "rest"))),
    ("pid1-restart", |r| gone(look(r, "pid1", "again"))),
    ("pid1-restart", |r| {
        let pidfile = look(r, "pid1", "again").pidfile.as_mut().unwrap();
        pidfile.found.as_mut().unwrap().content = Some(Text::new(b"77\n"));
    }),
];

fn set_pidfile(record: &mut Record, content: &[u8]) {
    let pidfile = look(record, "terminal", "rest").pidfile.as_mut().unwrap();
    pidfile.found.as_mut().unwrap().content = Some(Text::new(content));
}

#[test]
fn the_reference_daemon_s_recordings_pass_everything() {
    for check in catalogue() {
        let verdicts = RECORDINGS.iter().map(|text| check.judge(&read(text).record));
        assert!(verdicts.into_iter().any(|verdict| verdict == Verdict::Pass), "{}", check.id);
    }
}

#[test]
fn each_change_is_noticed_by_its_check() {
    for (index, (id, change)) in CASES.iter().enumerate() {
        let mut record = passing(id);
        change(&mut record);
        let verdict = find(id).unwrap().judge(&record);
        let Verdict::Fail(failure) = &verdict else { panic!("case {index}, {id}: {verdict:?}") };
        assert!(!failure.expected.is_empty() && !failure.actual.is_empty(), "{id}: {failure:?}");
    }
}

#[test]
fn every_check_has_a_case() {
    for check in catalogue() {
        assert!(CASES.iter().any(|(id, _)| *id == check.id), "{}", check.id);
    }
}

#[test]
fn what_could_not_be_proven_is_not_a_pass() {
    for step in ["hangup", "interrupt", "sighup"] {
        let mut record = recording().record;
        treatment(&mut record, "terminal", step).delivered = false;
        let id = format!("survives-{step}");
        assert!(matches!(find(&id).unwrap().judge(&record), Verdict::Broken(_)), "{id}");
        let mut record = recording().record;
        treatment(&mut record, "terminal", step).at_rest = false;
        assert!(matches!(find(&id).unwrap().judge(&record), Verdict::Broken(_)), "{id}");
    }
    let mut record = recording().record;
    launch(&mut record, "terminal", "start").shell_tty_nr = 0;
    assert!(matches!(find("no-controlling-terminal").unwrap().judge(&record), Verdict::Broken(_)));
}

/// One failure is one check's: the run can still be judged.
#[test]
fn a_failed_start_that_does_not_end_is_the_launcher_status_s_alone() {
    let mut record = recording().record;
    launch(&mut record, "obstructed", "full").ended = None;
    let verdict = |id: &str| find(id).unwrap().judge(&record);
    assert!(matches!(verdict("launcher-status"), Verdict::Fail(_)));
    assert_eq!(verdict("failure-explained"), Verdict::Pass, "the other starts that failed were explained");
}

/// The launcher waits for the daemon's word, and the word comes before what `--ready` declares.
#[test]
fn a_word_that_is_given_too_early_is_not_waiting() {
    let mut record = passing("ready-before-exit");
    let held = observation(&mut record, "held");
    let of_it: Vec<(String, Seen)> = held.seen.iter().filter(|(name, _)| name == "1").cloned().collect();
    held.seen.extend(of_it.into_iter().map(|(_, seen)| ("9".to_owned(), seen)));
    held.seen.push(("9 serves".to_owned(), Seen::Fact(false)));
    launch(&mut record, "held", "9").ended = Some(Exit::Status(0));
    let early = trial(&mut record, "held", "9");
    (early.at, early.waited) = (Text::new(b"ready by listen(5, 16)"), false);
    let verdict = |record: &Record| find("ready-before-exit").unwrap().judge(record);
    assert!(matches!(verdict(&record), Verdict::Fail(_)));
    trial(&mut record, "held", "9").waited = true;
    assert_eq!(verdict(&record), Verdict::Pass);
    trial(&mut record, "held", "9").waited = false;
    *fact(&mut record, "held", "9 serves") = true;
    assert_eq!(verdict(&record), Verdict::Pass, "it was ready by another call");
}

#[test]
fn what_could_not_be_proven_of_a_supervised_daemon_is_not_a_pass() {
    let cases: &[Case] = &[
        ("listen-pid-checked", |r| *fact(r, "notify", "connected") = false),
        ("listen-pid-checked", |r| launch(r, "notify", "passed").inherited = None),
        ("pid1-sigterm", |r| launch(r, "pid1", "start").inherited.as_mut().unwrap().inner_pid = 1002),
        ("pid1-reaps", |r| *fact(r, "pid1", "adopted") = false),
        ("pid1-restart", |r| launch(r, "pid1", "again").inherited.as_mut().unwrap().inner_pid = 1002),
    ];
    for (id, change) in cases {
        let mut record = passing(id);
        change(&mut record);
        assert!(matches!(find(id).unwrap().judge(&record), Verdict::Broken(_)), "{id}");
    }
    let mut silent = passing("logs-to-stderr");
    *output(&mut silent, "foreground", "stderr") = Output::default();
    assert!(matches!(find("logs-to-stderr").unwrap().judge(&silent), Verdict::Skip(_)));
}

#[test]
fn a_replay_gives_the_same_bytes() {
    let outcome = || recording().judge(&Options::default()).unwrap();
    assert_eq!(report::json::report(&[outcome()]), report::json::report(&[outcome()]));
    let again = report::json::read_recordings(&report::json::recordings(&[outcome()])).unwrap().remove(0);
    assert_eq!(report::json::report(&[again.judge(&Options::default()).unwrap()]), report::json::report(&[outcome()]));
}

/// Replaces one leaf of a JSON value, chosen by `at`, with `by`.
fn replace_leaf(value: &mut serde_json::Value, at: &mut usize, by: &serde_json::Value) {
    match value {
        serde_json::Value::Array(items) => items.iter_mut().for_each(|item| replace_leaf(item, at, by)),
        serde_json::Value::Object(map) => map.values_mut().for_each(|item| replace_leaf(item, at, by)),
        leaf => {
            if *at == 0 {
                *leaf = by.clone();
            }
            *at = at.wrapping_sub(1);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn no_recording_upsets_a_judge_or_a_report(
        at in 0..12_000usize,
        by in prop_oneof![
            any::<i64>().prop_map(serde_json::Value::from),
            ".{0,40}".prop_map(serde_json::Value::from),
            Just(serde_json::Value::Null),
            Just(serde_json::json!([])),
        ],
    ) {
        let mut value: serde_json::Value = serde_json::from_str(RECORDINGS[0]).unwrap();
        replace_leaf(&mut value, &mut at.clone(), &by);
        if let Ok(mut recordings) = report::json::read_recordings(&value.to_string()) {
            let outcome = recordings.remove(0).judge(&Options::default()).unwrap();
            let text = report::terminal::report(std::slice::from_ref(&outcome), true);
            let visible = anstream::adapter::strip_str(&text).to_string();
            prop_assert!(visible.chars().all(|c| c == '\n' || !c.is_control()), "{visible:?}");
            let json: serde_json::Value = serde_json::from_str(&report::json::report(&[outcome])).unwrap();
            prop_assert_eq!(&json["schema"], "daemonspec/1");
        }
    }

    #[test]
    fn no_text_upsets_the_reader_of_recordings(text in "(?s).{0,200}") {
        prop_assert!(report::json::read_recordings(&text).is_err());
    }
}
