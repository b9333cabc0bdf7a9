//! What systemd made of a subject, in the JSON of the contract.

use super::json::one_of;
use crate::check::witness::{Heard, Service, Standing, Testimony};
use crate::observation::{ServiceType, Text, UnitState};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;

/// What systemd made of one daemon.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct WitnessResult<'a> {
    /// Who was asked: `systemd`, and its version where it was.
    by: &'a str,
    /// Whether all was seen, and nothing in it contradicts a verdict. A daemon of which it does not is not said to conform.
    agrees: bool,
    /// Why systemd, or a type of service, could not be tried.
    unseen: Vec<&'a str>,
    /// The services that it was given.
    services: Vec<ServiceResult<'a>>,
}

/// One service.
#[derive(Debug, Serialize, JsonSchema)]
struct ServiceResult<'a> {
    /// `Type=` of its unit.
    #[serde(rename = "type")]
    #[schemars(schema_with = "service_type")]
    service: &'static str,
    /// The unit file, line by line.
    unit: Vec<&'a str>,
    /// After `systemctl start`.
    started: State<'a>,
    /// After `systemctl restart`; null where the start failed.
    restarted: Option<State<'a>>,
    /// After `systemctl stop`.
    stopped: State<'a>,
    /// What systemd complains of.
    complaints: Vec<ComplaintResult<'a>>,
}

/// A unit, as `systemctl show` has it. Process ids are those of its own pid namespace.
#[derive(Debug, Serialize, JsonSchema)]
struct State<'a> {
    /// `ActiveState`.
    active: &'a str,
    /// `SubState`.
    sub: &'a str,
    /// `Result`.
    result: &'a str,
    /// `MainPID`.
    main_pid: Option<i32>,
    /// Whether that is the daemon; null where one of the two is not there.
    main_is_daemon: Option<bool>,
    /// How the process of `ExecStart=` ended, where systemd did not take that for a success.
    control: Option<String>,
    /// How many processes the service has.
    processes: usize,
    /// What systemd logged of the unit.
    log: Vec<&'a str>,
}

/// One complaint.
#[derive(Debug, Serialize, JsonSchema)]
struct ComplaintResult<'a> {
    /// Its name.
    id: &'static str,
    /// What it is about.
    title: &'static str,
    /// `explained`: a check that is about it failed. `disagrees`: those that are about it were kept. `unlike`: so they were,
    /// and systemd's start is unlike theirs, which may be why. `not-compared`: they were not all judged.
    #[schemars(schema_with = "standing")]
    standing: &'static str,
    /// What systemd says, and shows.
    evidence: &'a [String],
    /// The checks that are about it.
    checks: &'static [&'static str],
    /// Those of them that failed.
    failed: Vec<&'static str>,
    /// How systemd's start is unlike those that they are judged on; where `standing` says so.
    perhaps: Option<&'static str>,
}

fn service_type(_: &mut SchemaGenerator) -> Schema {
    one_of(&ServiceType::ALL.iter().map(|s| s.as_str()).collect::<Vec<_>>())
}

fn standing(_: &mut SchemaGenerator) -> Schema {
    one_of(&Standing::ALL.iter().map(|s| s.as_str()).collect::<Vec<_>>())
}

/// All that systemd makes of a subject.
pub(super) fn witness(testimony: &Testimony) -> WitnessResult<'_> {
    WitnessResult {
        by: testimony.services.first().map_or("systemd", |service| service.witness.version.as_str()),
        agrees: testimony.agrees(),
        unseen: testimony.unseen.iter().map(|(_, why)| why.as_str()).collect(),
        services: testimony.services.iter().map(service).collect(),
    }
}

fn service(service: &Service) -> ServiceResult<'_> {
    let Service { witness, complaints } = service;
    ServiceResult {
        service: witness.service.as_str(),
        unit: witness.unit.iter().map(Text::as_str).collect(),
        started: state(&witness.started),
        restarted: witness.restarted.as_ref().map(state),
        stopped: state(&witness.stopped),
        complaints: complaints.iter().map(complaint).collect(),
    }
}

fn state(state: &UnitState) -> State<'_> {
    State {
        active: state.active.as_str(),
        sub: state.sub.as_str(),
        result: state.result.as_str(),
        main_pid: state.main,
        main_is_daemon: state.main.zip(state.daemon).map(|(main, daemon)| main == daemon),
        control: state.control_ended.map(|exit| exit.to_string()),
        processes: state.processes.len(),
        log: state.log.iter().map(|line| &line.text).map(Text::as_str).collect(),
    }
}

fn complaint(heard: &Heard) -> ComplaintResult<'_> {
    let Heard { complaint, evidence, ours, standing } = heard;
    ComplaintResult {
        id: complaint.id,
        title: complaint.title,
        standing: standing.as_str(),
        evidence,
        checks: complaint.checks,
        failed: ours.iter().filter(|(_, verdict)| *verdict == "fail").map(|(id, _)| *id).collect(),
        perhaps: complaint.unlike.filter(|_| *standing == Standing::Unlike),
    }
}
