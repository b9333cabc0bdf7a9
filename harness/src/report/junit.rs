//! JUnit XML, as Jenkins, GitLab and most test dashboards read it: a suite for each subject, a case for each check.
//!
//! Every failure is a `failure`, of whatever level; its `type` is the level, and the exit status of the run says whether it
//! counted. Without timestamps, so that the same observations give the same bytes; `time` of the suite aside.

use super::{Standing, UNEXPECTED, command, shown, take_out};
use crate::check::{Check, Failure};
use crate::run::{Judged, Outcome};
use quick_junit::{NonSuccessKind, Property, Report, TestCase, TestCaseStatus, TestSuite};
use std::fmt::Write;

/// The report on `outcomes`.
pub fn report(outcomes: &[Outcome]) -> String {
    let mut report = Report::new("daemonspec");
    report.add_test_suites(outcomes.iter().map(suite));
    // Writing to memory does not fail, and every name in it is a legal one.
    report.to_string().unwrap_or_default()
}

fn suite(outcome: &Outcome) -> TestSuite {
    let mut suite = TestSuite::new(shown(&outcome.name));
    suite.set_time(outcome.duration);
    suite.add_properties([
        Property::new("command", command(&outcome.command)),
        Property::new("profile", outcome.profile.as_str()),
        Property::new("isolation", outcome.isolation.to_string()),
        Property::new("level", outcome.level.as_str()),
    ]);
    suite.add_test_cases(outcome.judged.iter().map(case));
    suite
}

fn case(judged: &Judged) -> TestCase {
    let check = judged.check;
    let status = match Standing::of(judged) {
        Standing::Passed => TestCaseStatus::success(),
        Standing::Failed(failure) => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            status.set_type(check.level.as_str());
            status.set_message(shown(&failure.actual)).set_description(details(check, failure));
            status
        }
        Standing::Unexpected(why) => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            status.set_type(check.level.as_str());
            status.set_message(UNEXPECTED).set_description(format!("remedy:   {}\n", take_out(check.id, why)));
            status
        }
        Standing::Broken(why) => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
            status.set_message(shown(why));
            status
        }
        Standing::Waived(failure, why) => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(format!("waived: {}", shown(why))).set_description(details(check, failure));
            status
        }
        Standing::Skipped(why) => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(shown(why));
            status
        }
    };
    let mut case = TestCase::new(check.id, status);
    case.set_classname(check.family.as_str());
    case
}

fn details(check: &Check, failure: &Failure) -> String {
    let mut out = String::new();
    let mut field = |name: &str, value: &str| {
        let _ = writeln!(out, "{:<9} {}", format!("{name}:"), shown(value));
    };
    field("expected", &failure.expected);
    field("actual", &failure.actual);
    failure.evidence.iter().for_each(|line| field("evidence", line));
    field("remedy", check.remedy);
    check.sources.iter().for_each(|source| field("source", source));
    out
}
