//! Every check judged on data alone: nothing is started here.
//!
//! reference.json is a recording of the reference daemon (`daemonspec check --record`). Each case changes one thing in it
//! and names the check that has to notice.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use daemonspec::check::{Record, Verdict, catalogue, find};
use daemonspec::observation::{
    Exit, FileKind, Hold, Holder, Kept, Launch, Look, MainBy, Observation, Output, Process, Release, Seen, Stop, Text,
    Treatment,
};
use daemonspec::report;
use daemonspec::run::{Options, Recording};
use proptest::prelude::*;

fn recording() -> Recording {
    report::json::read_recordings(include_str!("reference.json")).unwrap().remove(0)
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
}

/// The daemon at rest after its clean start.
fn daemon(record: &mut Record) -> &mut Process {
    let look = look(record, "terminal", "rest");
    let (pid, _) = look.main.unwrap();
    look.members.iter_mut().find(|p| p.pid == pid).unwrap()
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
        stop(r, "terminal", "sigterm").left.push(left);
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
        let seen = Seen::Output(Output { text: Text::new(b"hello"), bytes: 5 });
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
        stop(r, "terminal", "sigterm").pidfile = file;
    }),
    ("pidfile-removed-by-owner-only", |r| look(r, "twice", "after").pidfile.as_mut().unwrap().found = None),
    ("second-instance-refused", |r| another(look(r, "twice", "after"), |_| {})),
    ("second-instance-refused", |r| gone(look(r, "twice", "after"))),
    ("second-instance-reported", |r| launch(r, "twice", "second").ended = Some(Exit::Status(0))),
    ("second-instance-reported", |r| launch(r, "twice", "second").errors = Some(Output::default())),
    ("stale-pidfile", |r| gone(look(r, "stale", "rest"))),
    ("stale-pidfile", |r| {
        let planted = observation(r, "stale").planted("planted").unwrap().clone();
        look(r, "stale", "rest").pidfile = Some(planted);
    }),
    ("log-appended", |r| kept(r, "crash", "log").kept = false),
];

fn set_pidfile(record: &mut Record, content: &[u8]) {
    let pidfile = look(record, "terminal", "rest").pidfile.as_mut().unwrap();
    pidfile.found.as_mut().unwrap().content = Some(Text::new(content));
}

#[test]
fn the_reference_daemon_s_recording_passes_everything() {
    let record = recording().record;
    for check in catalogue() {
        assert_eq!(check.judge(&record), Verdict::Pass, "{}", check.id);
    }
}

#[test]
fn each_change_is_noticed_by_its_check() {
    for (index, (id, change)) in CASES.iter().enumerate() {
        let mut record = recording().record;
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
        at in 0..2000usize,
        by in prop_oneof![
            any::<i64>().prop_map(serde_json::Value::from),
            ".{0,40}".prop_map(serde_json::Value::from),
            Just(serde_json::Value::Null),
            Just(serde_json::json!([])),
        ],
    ) {
        let mut value: serde_json::Value = serde_json::from_str(include_str!("reference.json")).unwrap();
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
