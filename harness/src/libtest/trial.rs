//! What becomes of a test, once its daemon has been judged.

use super::shared::Judge;
use crate::check::witness::Standing;
use crate::check::{Check, Verdict};
use crate::report::matrix::{NotJudged, Row};
use crate::report::terminal;
use anstream::adapter::strip_str;
use libtest_mimic::{Arguments, Completion, Failed};

/// A test on all daemons at once.
pub(super) type Whole = Box<dyn FnOnce(&[Row]) -> Result<(), String> + Send>;

/// Who runs the tests.
#[derive(Debug, Clone, Copy)]
pub(super) struct Surroundings {
    /// A CI server, which has everything installed.
    pub(super) ci: bool,
    /// cargo-nextest, which gives each test a process of its own and knows nothing of tests that are ignored as they run.
    pub(super) nextest: bool,
}

impl Surroundings {
    pub(super) fn look() -> Self {
        let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        Surroundings { ci: is_set("CI"), nextest: is_set("NEXTEST") }
    }

    /// How many sandboxes at a time. nextest runs as many processes as there are processors; here there are more of them than
    /// processors, since who starts strangers waits most of the time: for a launcher that hangs, until the deadline.
    pub(super) fn jobs(self, arguments: &Arguments) -> usize {
        const FOR_EACH_PROCESSOR: usize = 4;
        let jobs = || FOR_EACH_PROCESSOR * std::thread::available_parallelism().map_or(1, usize::from);
        arguments.test_threads.unwrap_or_else(|| if self.nextest { 1 } else { jobs() })
    }

    fn could_not_be_judged(self, error: &NotJudged) -> Result<Completion, Failed> {
        if error.missing && !self.ci { Ok(Completion::ignored_with(&error.why)) } else { Err(Failed::from(&error.why)) }
    }
}

/// The test of one check on one daemon.
pub(super) fn came_out(row: &Row, check: &'static Check, surroundings: Surroundings) -> Result<Completion, Failed> {
    let outcome = match &row.result {
        Ok(outcome) => outcome,
        Err(error) => return surroundings.could_not_be_judged(error),
    };
    let Some(judged) = outcome.judged.iter().find(|judged| judged.check.id == check.id) else {
        return Err(format!("{} was not judged by `{}`", outcome.name, check.id).into());
    };
    let report = || Failed::from(strip_str(&terminal::excerpt(outcome, [judged])));
    match (&judged.verdict, &judged.waived) {
        (Verdict::Pass, None) | (Verdict::Fail(_), Some(_)) => Ok(Completion::Completed),
        (Verdict::Fail(failure), None) if check.level < outcome.level => {
            Ok(Completion::ignored_with(format!("it fails, which is no `{}`: {}", outcome.level, failure.actual)))
        }
        (Verdict::Skip(why), _) => Ok(Completion::ignored_with(why)),
        (Verdict::Pass, Some(_)) | (Verdict::Fail(_) | Verdict::Broken(_), _) => Err(report()),
    }
}

/// The test of what the witness makes of a daemon: for each of its complaints a check has failed.
pub(super) fn agrees(row: &Row, surroundings: Surroundings) -> Result<Completion, Failed> {
    let outcome = match &row.result {
        Ok(outcome) => outcome,
        Err(error) => return surroundings.could_not_be_judged(error),
    };
    let Some(testimony) = &outcome.witness else {
        return Err(format!("{}: nobody was asked what he makes of it", outcome.name).into());
    };
    if let Some((_, why)) = testimony.unseen.first() {
        let why = format!("systemd could not be asked: {why}");
        return if surroundings.ci { Err(why.into()) } else { Ok(Completion::ignored_with(why)) };
    }
    let heard = || testimony.services.iter().flat_map(|service| &service.complaints);
    let of = |standing| heard().find(|heard| heard.standing == standing).map(|heard| heard.complaint);
    if of(Standing::Disagrees).is_some() {
        return Err(strip_str(&terminal::of_witness(outcome)).to_string().into());
    }
    // Neither right nor wrong: it is started in a way in which no check starts it, or what would say why was left out.
    Ok(match (of(Standing::Unlike), of(Standing::NotCompared)) {
        (Some(complaint), _) => Completion::ignored_with(format!(
            "systemd complains: {}; its start is unlike those that are judged: {}",
            complaint.title,
            complaint.unlike.unwrap_or_default()
        )),
        (None, Some(complaint)) => Completion::ignored_with(format!(
            "systemd complains: {}; not all were judged that may say why: {}",
            complaint.title,
            complaint.checks.join(", ")
        )),
        (None, None) => Completion::Completed,
    })
}

/// A test on all daemons at once.
pub(super) fn whole(judge: &Judge, test: Whole, surroundings: Surroundings) -> Result<Completion, Failed> {
    let rows: Vec<Row> = judge.entries().enumerate().map(|(number, _)| judge.wait(number).clone()).collect();
    if let Some(error) = rows.iter().find_map(|row| row.result.as_ref().err()) {
        return surroundings.could_not_be_judged(error);
    }
    if judge.is_exhaustive() {
        return Ok(Completion::ignored_with("more checks than usual were run"));
    }
    test(&rows).map(|()| Completion::Completed).map_err(Failed::from)
}
