//! What a service manager made of the subject: systemd, booted for this alone.

use super::{Exit, Output, Pid, Text};
use serde::{Deserialize, Serialize};
use std::fmt;

/// How a unit tells the manager that the service is up (systemd.service(5), `Type=`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ServiceType {
    /// The process that is started ends, and the daemon stays.
    Forking,
    /// Its program has been executed.
    Exec,
    /// It says READY=1.
    Notify,
}

impl ServiceType {
    /// All of them.
    pub const ALL: &'static [ServiceType] = &[ServiceType::Forking, ServiceType::Exec, ServiceType::Notify];

    /// The word of a unit file.
    pub fn as_str(self) -> &'static str {
        match self {
            ServiceType::Forking => "forking",
            ServiceType::Exec => "exec",
            ServiceType::Notify => "notify",
        }
    }
}

impl fmt::Display for ServiceType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One service, from its start to its stop, as systemd saw it. Process ids are those of its pid namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Witness {
    /// systemd's version, in its own words.
    pub version: Text,
    /// `Type=`.
    pub service: ServiceType,
    /// Whether the unit has a `PIDFile=`.
    pub has_pidfile: bool,
    /// The unit file, line by line.
    pub unit: Vec<Text>,
    /// After `systemctl start`, at rest.
    pub started: UnitState,
    /// After `systemctl restart`, at rest; only where the start was a success.
    pub restarted: Option<UnitState>,
    /// After `systemctl stop`.
    pub stopped: UnitState,
    /// What the service wrote to the journal.
    pub said: Output,
}

/// A unit after something was asked of the manager (systemctl(1), `show`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitState {
    /// `ActiveState`: `active`, `inactive`, `failed` ...
    pub active: Text,
    /// `SubState`: `running`, `dead`, `exited` ...
    pub sub: Text,
    /// `Result`: `success`, `exit-code`, `timeout`, `protocol` ...
    pub result: Text,
    /// `MainPID`, where there is one.
    pub main: Option<Pid>,
    /// How the last main process ended.
    pub main_ended: Option<Exit>,
    /// How the process of `ExecStart=` ended, where the manager did not take that for a success.
    pub control_ended: Option<Exit>,
    /// The daemon: which process this harness takes for it.
    pub daemon: Option<Pid>,
    /// Whether that is a child of systemd's.
    pub is_adopted: bool,
    /// The service's processes.
    pub processes: Vec<Member>,
    /// What the manager logged of the unit meanwhile.
    pub log: Vec<LogLine>,
}

/// A process of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its process id.
    pub pid: Pid,
    /// Its command name.
    pub name: Text,
}

/// A line of the manager's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// How grave it is (syslog(3)): 3 is an error, 4 a warning, 6 information.
    pub priority: u8,
    /// What it says.
    pub text: Text,
}

impl UnitState {
    /// Whether the service is up.
    pub fn is_active(&self) -> bool {
        self.active.as_str() == "active"
    }
}
