//! What a run gives: what was seen, and what is made of it. Nothing is started here.

use super::{Options, RunError};
use crate::check::{Check, Level, Profile, Record, Verdict};
use crate::observation::{Isolation, Launch, Look, Observation, Text, Trace, Unseen};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// One check's verdict on one subject.
#[derive(Debug, Clone)]
pub struct Judged {
    /// The check.
    pub check: &'static Check,
    /// Its verdict.
    pub verdict: Verdict,
    /// Why its failure was expected.
    pub waived: Option<String>,
    /// How much was tried, where it was many starts.
    pub note: Option<String>,
}

/// The result of a run on one subject.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The subject's name.
    pub name: String,
    /// Its command, `{dir}` filled in.
    pub command: Vec<Text>,
    /// The profile it was judged by.
    pub profile: Profile,
    /// How much of a sandbox there was.
    pub isolation: Isolation,
    /// Failing checks of this level and above count.
    pub level: Level,
    /// How long it took.
    pub duration: Duration,
    /// Every chosen check's verdict, in the catalogue's order.
    pub judged: Vec<Judged>,
    /// What was seen, and judged.
    pub recording: Recording,
}

/// What was seen of one subject: enough to judge it again, later and elsewhere.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Recording {
    /// The subject's name.
    pub name: String,
    /// Its command, `{dir}` filled in.
    pub command: Vec<Text>,
    /// The failures that its manifest expects, and why.
    pub expected: BTreeMap<String, String>,
    /// How long it took.
    pub duration: Duration,
    /// What was seen.
    pub record: Record,
}

/// One start, call by call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TracedStart {
    /// The subject's name.
    pub name: String,
    /// Its command, `{dir}` filled in.
    pub command: Vec<Text>,
    /// How much of a sandbox there was.
    pub isolation: Isolation,
    /// What was done, in order.
    pub trace: Trace,
    /// The start as a whole.
    pub launch: Launch,
    /// What was there afterwards.
    pub look: Look,
}

impl TracedStart {
    /// The start of a traced scenario.
    ///
    /// # Errors
    /// When it was not seen.
    pub(super) fn seen(
        name: &str,
        command: Vec<Text>,
        isolation: Isolation,
        seen: &Observation,
    ) -> Result<Self, Unseen> {
        Ok(TracedStart {
            name: name.to_owned(),
            command,
            isolation,
            trace: seen.trace("start")?.clone(),
            launch: seen.launch("start")?.clone(),
            look: seen.look("rest")?.clone(),
        })
    }
}

impl Recording {
    /// Judges what was seen. Nothing is started.
    ///
    /// # Errors
    /// When the options leave no check.
    pub fn judge(self, options: &Options) -> Result<Outcome, RunError> {
        let checks = options.checks();
        if checks.is_empty() {
            return Err(RunError::NoChecks);
        }
        let judged = checks
            .into_iter()
            .map(|check| Judged {
                check,
                verdict: check.judge(&self.record),
                waived: self.expected.get(check.id).cloned(),
                note: check.note(&self.record),
            })
            .collect();
        Ok(Outcome {
            name: self.name.clone(),
            command: self.command.clone(),
            profile: options.profile,
            isolation: self.record.isolation,
            level: options.level,
            duration: self.duration,
            judged,
            recording: self,
        })
    }
}

impl Outcome {
    /// How often the daemon was started.
    pub fn launches(&self) -> usize {
        self.recording.record.scenarios.values().flatten().map(Observation::launches).sum()
    }

    /// Its start call by call, where one was traced.
    pub fn traced_start(&self) -> Option<TracedStart> {
        let seen = self.recording.record.scenarios.get("traced")?.as_ref().ok()?;
        TracedStart::seen(&self.name, self.command.clone(), self.isolation, seen).ok()
    }

    /// How many checks came out so.
    pub fn count(&self, verdict: &str) -> usize {
        self.judged.iter().filter(|j| j.verdict.as_str() == verdict).count()
    }

    /// The failures that count: at or above the level and not expected, or expected and not there.
    pub fn failures(&self) -> impl Iterator<Item = &Judged> {
        self.judged.iter().filter(|j| match &j.verdict {
            Verdict::Fail(_) => j.waived.is_none() && j.check.level >= self.level,
            Verdict::Pass => j.waived.is_some(),
            Verdict::Skip(_) | Verdict::Broken(_) => false,
        })
    }

    /// Whether it conforms: nothing that counts failed, and at least one check passed.
    pub fn conforms(&self) -> bool {
        self.failures().next().is_none() && self.count("broken") == 0 && self.count("pass") > 0
    }

    /// The exit code of the contract: 0, 1 or 3.
    pub fn exit_code(&self) -> i32 {
        if self.failures().next().is_some() {
            1
        } else if self.conforms() {
            0
        } else {
            3
        }
    }
}
