//! What systemd complains of, beside what the checks say of the same things.
//!
//! Each kind of complaint names the checks that are about it: where systemd complains, one of them must have failed. If none
//! did, one of the two is wrong, and a reader has to know. The other way round proves nothing: systemd looks at one start, and
//! a check may be judged on one whose race was brought about.

use super::{Check, Profile, Verdict, find};
use crate::observation::{LogLine, ServiceType, UnitState, Unseen, Witness};
use std::fmt;

/// A kind of complaint.
pub struct Complaint {
    /// Its name.
    pub id: &'static str,
    /// What systemd complains of.
    pub title: &'static str,
    /// The checks that are about that.
    pub checks: &'static [&'static str],
    /// How systemd's start is unlike all those that checks are judged on, where that may be the reason.
    pub unlike: Option<&'static str>,
    /// Where it is seen: in evidence, which is empty where it is not.
    seen: fn(&Witness) -> Vec<String>,
}

impl fmt::Debug for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Complaint").field("id", &self.id).finish_non_exhaustive()
    }
}

/// All kinds, the gravest first.
pub static COMPLAINTS: &[Complaint] = &[
    Complaint {
        id: "not-executed",
        title: "systemd could not execute the program",
        checks: &[],
        unlike: Some("a shell runs what execve(2) does not: a script without `#!`"),
        seen: |w| logged(w, NOT_EXECUTED),
    },
    Complaint {
        id: "launcher-stays",
        title: "the process that was started did not end, and systemd waited for that in vain",
        checks: &["launcher-exits"],
        unlike: Some(
            "started by process 1, without a terminal, a daemon may take itself to be in the background already and stay where \
             it is; here a shell stands in between. Give it its foreground option, and Type=exec or notify",
        ),
        seen: launcher_stays,
    },
    Complaint {
        id: "start-timed-out",
        title: "the start did not come to an end",
        checks: &[
            "pidfile-present-at-exit",
            "pidfile-names-main-process",
            "pidfile-format",
            "systemd-trusts-pidfile",
            "notify-ready",
        ],
        unlike: None,
        seen: start_timed_out,
    },
    Complaint {
        id: "start-failed",
        title: "the service was not up after its start",
        checks: &[
            "launcher-status",
            "launcher-exits",
            "daemon-stays-up",
            "left-its-launcher",
            "stays-in-foreground",
            "starts-with-stdio-closed",
            "pidfile-present-at-exit",
            "pidfile-names-main-process",
            "systemd-trusts-pidfile",
        ],
        unlike: None,
        seen: start_failed,
    },
    Complaint {
        id: "pidfile-not-there",
        title: "the PID file was not there when the launcher ended",
        checks: &["pidfile-present-at-exit", "systemd-trusts-pidfile"],
        unlike: None,
        seen: |w| logged(w, PIDFILE_NOT_THERE),
    },
    Complaint {
        id: "pidfile-not-a-number",
        title: "the PID file did not hold a process id",
        checks: &["pidfile-format", "pidfile-present-at-exit", "systemd-trusts-pidfile"],
        unlike: None,
        seen: |w| logged(w, PIDFILE_NOT_A_NUMBER),
    },
    Complaint {
        id: "pidfile-names-no-process",
        title: "the PID file did not name a process of the service's that stays",
        checks: &["pidfile-names-main-process", "pidfile-present-at-exit", "systemd-trusts-pidfile", "daemon-stays-up"],
        unlike: None,
        seen: |w| logged(w, PIDFILE_NAMES_NO_PROCESS),
    },
    Complaint {
        id: "pidfile-of-a-stranger",
        title: "the PID file named a process outside the service, and was not to be trusted",
        checks: &["pidfile-owner", "pidfile-names-main-process", "pidfile-link-refused", "systemd-trusts-pidfile"],
        unlike: None,
        seen: |w| logged(w, PIDFILE_OF_A_STRANGER),
    },
    Complaint {
        id: "not-our-child",
        title: "the main process is not systemd's child: its end would go unnoticed",
        checks: &["left-its-launcher", "no-leftover-processes", "pidfile-names-main-process"],
        unlike: None,
        seen: |w| alien(w, false),
    },
    Complaint {
        id: "not-yet-our-child",
        title: "the main process was not yet systemd's child when the launcher ended: its end may go unnoticed",
        checks: &["left-its-launcher"],
        unlike: Some(
            "the process between launcher and daemon ended after the launcher, a race that is lost now and then: have the launcher \
             wait for it",
        ),
        seen: |w| alien(w, true),
    },
    Complaint {
        id: "another-main-process",
        title: "systemd supervises another process than the daemon",
        checks: &[
            "pidfile-names-main-process",
            "systemd-trusts-pidfile",
            "left-its-launcher",
            "no-leftover-processes",
            "stays-in-foreground",
        ],
        unlike: None,
        seen: another_main_process,
    },
    Complaint {
        id: "notification-refused",
        title: "a notification came from a process that may not send any",
        checks: &["notify-ready", "notify-stopping", "notify-socket-kept"],
        unlike: None,
        seen: |w| logged(w, NOTIFICATION_REFUSED),
    },
    Complaint {
        id: "restart-failed",
        title: "the service was not up after a restart",
        checks: &[
            "restart-after-kill",
            "stale-pidfile",
            "recycled-pid",
            "pidfile-removed",
            "lock-not-inherited",
            "sigterm-stops",
            "stop-leaves-no-orphans",
            "launcher-status",
            "daemon-stays-up",
            "pidfile-present-at-exit",
            "systemd-trusts-pidfile",
        ],
        unlike: None,
        seen: restart_failed,
    },
    Complaint {
        id: "stop-timed-out",
        title: "the service did not stop, and was killed",
        checks: &["sigterm-stops", "stop-leaves-no-orphans"],
        unlike: None,
        seen: stop_timed_out,
    },
    Complaint {
        id: "left-behind",
        title: "processes were left after the stop",
        checks: &["stop-leaves-no-orphans", "sigterm-stops"],
        unlike: None,
        seen: left_behind,
    },
    Complaint {
        id: "stop-failed",
        title: "the service stopped as one that failed",
        checks: &["stop-status"],
        unlike: None,
        seen: stop_failed,
    },
    Complaint { id: "other", title: "systemd warned of something else", checks: &[], unlike: None, seen: other },
];

// Words of systemd's (src/core/service.c, 237 to 257), and of those before that.
const NOT_EXECUTED: &[&str] = &["Failed at step ", "Failed to spawn"];
const PIDFILE_NOT_THERE: &[&str] = &["(yet?) after "];
const PIDFILE_NOT_A_NUMBER: &[&str] = &["Failed to parse PID from", "Failed to read PID from"];
const PIDFILE_NAMES_NO_PROCESS: &[&str] =
    &["does not exist or is a zombie", "is the control process, refusing", "is the manager, refusing"];
const PIDFILE_OF_A_STRANGER: &[&str] =
    &["does not belong to service", "outside of service control group", "potentially unsafe symbolic link"];
const NOT_OUR_CHILD: &[&str] = &["which is not our child"];
const NOTIFICATION_REFUSED: &[&str] = &["but reception only permitted", "but reception is disabled"];
const START_TIMED_OUT: &[&str] = &["start operation timed out"];
const KILLED: &[&str] = &["timed out. Killing", "still around after SIGKILL"];
const LEFT_BEHIND: &[&str] = &["left-over process", "remains running after unit stopped"];
/// What follows from something that is a complaint of its own.
const CONSEQUENCES: &[&str] =
    &["with signal SIGKILL", "Failed with result", "rocess exited, code=", "timed out", "Failed to kill"];

/// The gravest line that is no complaint (syslog(3)): a notice.
const NOTICE: u8 = 5;

fn states(witness: &Witness) -> impl Iterator<Item = (&'static str, &UnitState)> {
    let restarted = witness.restarted.as_ref().map(|state| ("restart", state));
    [("start", &witness.started)].into_iter().chain(restarted).chain([("stop", &witness.stopped)])
}

fn says(line: &LogLine, words: &[&str]) -> bool {
    words.iter().any(|words| line.text.as_str().contains(words))
}

/// The lines of the log that have one of these words.
fn logged(witness: &Witness, words: &[&str]) -> Vec<String> {
    let of = |(when, state): (&str, &'_ UnitState)| -> Vec<String> {
        state
            .log
            .iter()
            .filter(|line| says(line, words))
            .map(|line| format!("{when}: {}", line.text.short(300)))
            .collect()
    };
    states(witness).flat_map(of).collect()
}

/// `start: failed (result timeout), main PID 12`.
fn line(when: &str, state: &UnitState) -> String {
    format!("{when}: {}", summary(state))
}

/// A unit's state in words.
pub fn summary(state: &UnitState) -> String {
    let mut words = format!("{} ({}), result {}", state.active, state.sub, state.result);
    let ended = |what: &str, ended: Option<crate::observation::Exit>| {
        ended.map(|exit| format!(", {what} ended with {exit}")).unwrap_or_default()
    };
    if let Some(pid) = state.main {
        words.push_str(&format!(", main PID {pid}"));
    }
    words.push_str(&ended("the control process", state.control_ended));
    if state.main.is_none() {
        words.push_str(&ended("the main process", state.main_ended));
    }
    words
}

/// Whether systemd was still waiting for the launcher: once that has ended, it says what is wrong with the PID file.
fn is_launcher_awaited(witness: &Witness) -> bool {
    let words = [PIDFILE_NOT_THERE, PIDFILE_NOT_A_NUMBER, PIDFILE_NAMES_NO_PROCESS, PIDFILE_OF_A_STRANGER];
    let says = |line: &LogLine| words.iter().any(|words| says(line, words));
    witness.service == ServiceType::Forking && !witness.started.log.iter().any(says)
}

fn timed_out(witness: &Witness) -> Vec<String> {
    if witness.started.is_active() { Vec::new() } else { logged(witness, START_TIMED_OUT) }
}

fn launcher_stays(witness: &Witness) -> Vec<String> {
    if is_launcher_awaited(witness) { timed_out(witness) } else { Vec::new() }
}

fn start_timed_out(witness: &Witness) -> Vec<String> {
    if is_launcher_awaited(witness) { Vec::new() } else { timed_out(witness) }
}

fn start_failed(witness: &Witness) -> Vec<String> {
    let known = || !logged(witness, START_TIMED_OUT).is_empty() || !logged(witness, NOT_EXECUTED).is_empty();
    if witness.started.is_active() || known() { Vec::new() } else { vec![line("start", &witness.started)] }
}

fn restart_failed(witness: &Witness) -> Vec<String> {
    witness.restarted.iter().filter(|state| !state.is_active()).map(|state| line("restart", state)).collect()
}

/// The lines that say that the main process is not systemd's child, of when it had become that by the time all was at `rest`,
/// or of when it had not.
fn alien(witness: &Witness, at_rest: bool) -> Vec<String> {
    let of = |(when, state): (&str, &UnitState)| {
        let lines = state.log.iter().filter(|line| says(line, NOT_OUR_CHILD) && state.is_adopted == at_rest);
        lines.map(|line| format!("{when}: {}", line.text.short(300))).collect::<Vec<_>>()
    };
    states(witness).flat_map(of).collect()
}

fn another_main_process(witness: &Witness) -> Vec<String> {
    let mut found = Vec::new();
    for (when, state) in states(witness).filter(|(when, state)| *when != "stop" && state.is_active()) {
        match (state.main, state.daemon) {
            (Some(main), Some(daemon)) if main != daemon => {
                found.push(format!("{when}: main PID {main}, and the daemon is pid {daemon}"));
            }
            // Without a PID file to go by systemd only guesses, and does without where it cannot.
            (None, Some(daemon)) if witness.has_pidfile => {
                found.push(format!("{when}: no main PID, and the daemon is pid {daemon}"));
            }
            _ => {}
        }
    }
    found
}

fn stop_timed_out(witness: &Witness) -> Vec<String> {
    if witness.started.is_active() { logged(witness, KILLED) } else { Vec::new() }
}

fn left_behind(witness: &Witness) -> Vec<String> {
    let left = witness.stopped.processes.iter().map(|p| format!("stop: pid {} ({}) is left", p.pid, p.name));
    // systemd does not wait for the end of a process that is not its child.
    let expected = !logged(witness, NOT_OUR_CHILD).is_empty();
    logged(witness, LEFT_BEHIND).into_iter().filter(|_| !expected).chain(left).collect()
}

fn stop_failed(witness: &Witness) -> Vec<String> {
    let failed = ["exit-code", "signal", "core-dump"].contains(&witness.stopped.result.as_str());
    let was_up = witness.restarted.as_ref().unwrap_or(&witness.started).is_active();
    if failed && was_up && stop_timed_out(witness).is_empty() {
        vec![line("stop", &witness.stopped)]
    } else {
        Vec::new()
    }
}

fn other(witness: &Witness) -> Vec<String> {
    let known = [
        NOT_EXECUTED,
        PIDFILE_NOT_THERE,
        PIDFILE_NOT_A_NUMBER,
        PIDFILE_NAMES_NO_PROCESS,
        PIDFILE_OF_A_STRANGER,
        NOT_OUR_CHILD,
        NOTIFICATION_REFUSED,
        START_TIMED_OUT,
        KILLED,
        LEFT_BEHIND,
        CONSEQUENCES,
    ];
    let of = |(when, state): (&str, &'_ UnitState)| -> Vec<String> {
        let unknown = |line: &&LogLine| line.priority < NOTICE && !known.iter().any(|words| says(line, words));
        state.log.iter().filter(unknown).map(|line| format!("{when}: {}", line.text.short(300))).collect()
    };
    states(witness).flat_map(of).collect()
}

/// The checks of a profile by which a complaint may be explained; the others have nothing to say here.
pub fn that_explain(profile: Profile) -> impl Iterator<Item = &'static Check> {
    let ids = COMPLAINTS.iter().flat_map(|complaint| complaint.checks);
    ids.filter_map(|id| find(id).ok()).filter(move |check| check.profiles.contains(&profile))
}

/// What becomes of a complaint beside our verdicts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// A check that is about it failed.
    Explained,
    /// Those that are about it were kept; but systemd's start is unlike theirs.
    Unlike,
    /// Those that are about it were kept.
    Disagrees,
    /// They were not all judged, or could not be.
    NotCompared,
}

impl Standing {
    /// All of them.
    pub const ALL: &'static [Standing] =
        &[Standing::Explained, Standing::Unlike, Standing::Disagrees, Standing::NotCompared];

    /// The word that reports use.
    pub fn as_str(self) -> &'static str {
        match self {
            Standing::Explained => "explained",
            Standing::Unlike => "unlike",
            Standing::Disagrees => "disagrees",
            Standing::NotCompared => "not-compared",
        }
    }
}

/// A complaint that was heard.
#[derive(Debug, Clone)]
pub struct Heard {
    /// Of what kind it is.
    pub complaint: &'static Complaint,
    /// Systemd's side: its words, and what it shows.
    pub evidence: Vec<String>,
    /// The verdicts of the checks that are about it, as far as there are any.
    pub ours: Vec<(&'static str, &'static str)>,
    /// What becomes of it.
    pub standing: Standing,
}

/// One service that systemd was given, and what it complains of.
#[derive(Debug, Clone)]
pub struct Service {
    /// What was seen.
    pub witness: Witness,
    /// The complaints.
    pub complaints: Vec<Heard>,
}

/// All that systemd makes of a subject.
#[derive(Debug, Clone, Default)]
pub struct Testimony {
    /// The services.
    pub services: Vec<Service>,
    /// Those that could not be tried, and why; one that is not even known has no type.
    pub unseen: Vec<(Option<ServiceType>, String)>,
}

impl Testimony {
    /// Puts what was seen beside the verdicts of a run by that profile. `None` where systemd was not asked.
    pub fn new(record: &super::Record, profile: Profile, verdicts: &[(&'static Check, &Verdict)]) -> Option<Testimony> {
        let why = |unseen: Unseen| match unseen {
            Unseen::Skip(why) | Unseen::Broken(why) => why,
        };
        let seen = match record.scenarios.get("witness")? {
            Ok(seen) => seen,
            Err(unseen) => {
                return Some(Testimony { services: Vec::new(), unseen: vec![(None, why(unseen.clone()))] });
            }
        };
        let mut testimony = Testimony::default();
        for service in ServiceType::ALL.iter().filter(|s| seen.seen.iter().any(|(name, _)| name == s.as_str())) {
            match seen.witness(service.as_str()) {
                Ok(witness) => testimony
                    .services
                    .push(Service { witness: witness.clone(), complaints: compare(witness, profile, verdicts) }),
                Err(unseen) => testimony.unseen.push((Some(*service), why(unseen))),
            }
        }
        Some(testimony)
    }

    /// Whether all was seen, and for each complaint a check has failed, as far as they could be compared.
    pub fn agrees(&self) -> bool {
        let is_open = |heard: &Heard| matches!(heard.standing, Standing::Disagrees | Standing::Unlike);
        let mut heard = self.services.iter().flat_map(|service| &service.complaints);
        self.unseen.is_empty() && !self.services.is_empty() && !heard.any(is_open)
    }
}

fn compare(witness: &Witness, profile: Profile, verdicts: &[(&'static Check, &Verdict)]) -> Vec<Heard> {
    let heard = |complaint: &'static Complaint| {
        let evidence = (complaint.seen)(witness);
        let about = complaint.checks.iter().filter_map(|id| find(id).ok()).filter(|c| c.profiles.contains(&profile));
        let about: Vec<&Check> = about.collect();
        let judged = verdicts.iter().filter(|(check, _)| complaint.checks.contains(&check.id));
        let ours: Vec<(&str, &str)> = judged.map(|(check, verdict)| (check.id, verdict.as_str())).collect();
        let all_judged = about.iter().all(|c| ours.iter().any(|(id, _)| *id == c.id));
        let outside = about.is_empty() && !complaint.checks.is_empty();
        let standing = if ours.iter().any(|(_, verdict)| *verdict == "fail") {
            Standing::Explained
        } else if outside || !all_judged || ours.iter().any(|(_, verdict)| *verdict == "broken") {
            Standing::NotCompared
        } else if complaint.unlike.is_some() {
            Standing::Unlike
        } else {
            Standing::Disagrees
        };
        (!evidence.is_empty()).then_some(Heard { complaint, evidence, ours, standing })
    };
    COMPLAINTS.iter().filter_map(heard).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observation::{Output, Text};

    fn state(active: &str, result: &str, log: &[(u8, &str)]) -> UnitState {
        let log = log.iter().map(|(priority, text)| LogLine { priority: *priority, text: Text::new(text.as_bytes()) });
        UnitState {
            active: Text::new(active.as_bytes()),
            sub: Text::new(b"running"),
            result: Text::new(result.as_bytes()),
            main: Some(7),
            main_ended: None,
            control_ended: None,
            daemon: Some(7),
            is_adopted: true,
            processes: Vec::new(),
            log: log.collect(),
        }
    }

    fn witness(started: UnitState, stopped: UnitState) -> Witness {
        Witness {
            version: Text::new(b"systemd 252"),
            service: ServiceType::Forking,
            has_pidfile: true,
            unit: Vec::new(),
            started,
            restarted: None,
            stopped,
            said: Output::default(),
        }
    }

    fn complaints(witness: &Witness) -> Vec<(&'static str, Standing)> {
        let pass = Verdict::Pass;
        let all: Vec<_> = super::super::catalogue().map(|check| (check, &pass)).collect();
        compare(witness, Profile::Sysv, &all).iter().map(|heard| (heard.complaint.id, heard.standing)).collect()
    }

    fn clean() -> (UnitState, UnitState) {
        (state("active", "success", &[]), state("inactive", "success", &[]))
    }

    #[test]
    fn the_checks_that_complaints_name_exist() {
        for complaint in COMPLAINTS {
            for id in complaint.checks {
                assert!(find(id).is_ok(), "{}: {id}", complaint.id);
            }
        }
    }

    #[test]
    fn a_service_that_systemd_takes_is_no_complaint() {
        let (started, stopped) = clean();
        assert_eq!(complaints(&witness(started, stopped)), []);
    }

    #[test]
    fn a_complaint_that_no_failing_check_explains_is_a_disagreement() {
        let log = [(6, "Can't open PID file /run/d.pid (yet?) after start: No such file or directory")];
        let late = witness(state("active", "success", &log), clean().1);
        assert_eq!(complaints(&late), [("pidfile-not-there", Standing::Disagrees)]);
        let fail = Verdict::Fail(super::super::Failure {
            expected: String::new(),
            actual: String::new(),
            evidence: Vec::new(),
        });
        let check = find("pidfile-present-at-exit").unwrap();
        let heard = compare(&late, Profile::Sysv, &[(check, &fail)]);
        assert_eq!(heard[0].standing, Standing::Explained);
        // Where the other check was left out, nobody knows.
        let heard = compare(&late, Profile::Sysv, &[(check, &Verdict::Pass)]);
        assert_eq!(heard[0].standing, Standing::NotCompared);
    }

    #[test]
    fn a_stop_by_force_and_a_warning_that_nobody_knows_are_heard() {
        let log = [(4, "State 'stop-sigterm' timed out. Killing."), (4, "The moon is full.")];
        let killed = witness(clean().0, state("failed", "timeout", &log));
        let ids: Vec<&str> = complaints(&killed).into_iter().map(|(id, _)| id).collect();
        assert_eq!(ids, ["stop-timed-out", "other"]);
    }

    #[test]
    fn another_process_than_the_daemon_is_heard_of() {
        let (mut started, stopped) = clean();
        started.main = None;
        let ids: Vec<&str> = complaints(&witness(started, stopped)).into_iter().map(|(id, _)| id).collect();
        assert_eq!(ids, ["another-main-process"]);
    }
}
