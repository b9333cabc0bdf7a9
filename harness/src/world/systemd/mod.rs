//! Having a real systemd start, restart and stop the subject, and asking what it made of that.

mod boot;
mod unit;

pub(super) use boot::Manager;

use super::patience::Deadline;
use super::{Acted, World};
use crate::observation::{Exit, LogLine, Member, Pid, Process, Seen, ServiceType, Text, UnitState, Unseen, Witness};
use crate::observe::{self, files};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What systemctl is given beyond all that systemd itself waits for.
const MARGIN: Duration = Duration::from_secs(10);
/// What a unit is asked for.
const PROPERTIES: &str = "--property=ActiveState,SubState,Result,MainPID,ExecMainCode,ExecMainStatus";
/// The most that is kept of the log between two questions.
const MOST_LINES: usize = 100;

/// The name of a service's unit.
fn name(service: ServiceType) -> String {
    format!("subject-{service}.service")
}

impl World<'_> {
    /// Boots a systemd, and has it start, restart and stop the subject as each of these types of service.
    pub(crate) fn call_witness(&mut self, services: &[ServiceType]) -> Acted {
        let units = match self.units(services) {
            Ok(units) => self.boot(&units)?.map(|()| units),
            Err(why) => Err(Unseen::Broken(why)),
        };
        let units = match units {
            Ok(units) => units,
            Err(why) => {
                services.iter().for_each(|service| self.unseen(service.as_str(), why.clone()));
                return Ok(());
            }
        };
        for (service, unit) in units {
            match self.testify(service, &unit)? {
                Ok(witness) => self.record(service.as_str(), Seen::Witness(Box::new(witness))),
                Err(why) => self.unseen(service.as_str(), why),
            }
        }
        Ok(())
    }

    fn units(&self, services: &[ServiceType]) -> Result<Vec<(ServiceType, String)>, String> {
        let program = self.program().ok_or("the command's program is not on PATH")?;
        let unit = |service: &ServiceType| {
            Ok((*service, unit::unit(self.subject, *service, &program, self.launch_directory())?))
        };
        services.iter().map(unit).collect()
    }

    /// Where the shell finds the command's program.
    fn program(&self) -> Option<PathBuf> {
        let program = Path::new(self.subject.command.first()?);
        if program.components().count() > 1 {
            return Some(self.launch_directory().join(program));
        }
        let path = self.environment.iter().find(|(key, _)| key == "PATH").map(|(_, value)| value.clone());
        let path = path.unwrap_or_else(|| OsString::from("/usr/bin:/bin"));
        std::env::split_paths(&path)
            .map(|directory| self.launch_directory().join(directory).join(program))
            .find(|place| nix::unistd::access(place, nix::unistd::AccessFlags::X_OK).is_ok() && place.is_file())
    }

    /// One service, from its start to its stop.
    fn testify(&mut self, service: ServiceType, unit: &str) -> Acted<Result<Witness, Unseen>> {
        let name = name(service);
        let started = match self.ask("start", &name)? {
            Ok(state) => state,
            Err(why) => return Ok(Err(why)),
        };
        let restarted = if started.is_active() { Some(self.ask("restart", &name)?) } else { None };
        let stopped = self.ask("stop", &name)?;
        let (restarted, stopped) = match (restarted.transpose(), stopped) {
            (Ok(restarted), Ok(stopped)) => (restarted, stopped),
            (Err(why), _) | (_, Err(why)) => return Ok(Err(why)),
        };
        let Some(manager) = &self.manager else { return Ok(Err(Unseen::Broken("systemd is gone".to_owned()))) };
        Ok(Ok(Witness {
            version: version(&manager.log),
            service,
            has_pidfile: service == ServiceType::Forking && self.subject.pidfile.is_some(),
            unit: unit.lines().map(|line| Text::new(line.as_bytes())).collect(),
            started,
            restarted,
            stopped,
            said: manager.said.output(),
        }))
    }

    /// Asks systemd to do something with a unit, lets what comes of it come to rest, and looks.
    fn ask(&mut self, verb: &str, unit: &str) -> Acted<Result<UnitState, Unseen>> {
        self.pump()?;
        let before = self.manager.as_ref().map_or(0, |manager| manager.log.len());
        // A restart waits for a stop and a start, and each of those for a second time where it has to use force.
        let deadline = self.within(self.subject.timeout * 4 + MARGIN);
        let (ended, said) = self.systemctl(&[verb, unit], deadline)?;
        if ended.is_none() {
            return Ok(Err(Unseen::Broken(format!("systemctl {verb} did not come to an end"))));
        }
        self.settle()?;
        self.let_pauses_pass()?;
        let deadline = self.within(self.subject.timeout + MARGIN);
        let (_, shown) = self.systemctl(&["show", PROPERTIES, unit], deadline)?;
        let properties: BTreeMap<&str, &str> =
            shown.as_str().split("\\n").filter_map(|line| line.split_once('=')).collect();
        let Some(active) = properties.get("ActiveState") else {
            let why = if shown.is_empty() { said } else { shown };
            return Ok(Err(Unseen::Broken(format!("systemctl {verb} could not ask systemd: {}", why.short(200)))));
        };
        let text = |key: &str| Text::printed(properties.get(key).copied().unwrap_or_default());
        let number = |key: &str| properties.get(key).and_then(|value| value.parse::<i32>().ok()).filter(|n| *n != 0);
        let main_ended = match (number("ExecMainCode"), number("ExecMainStatus").unwrap_or_default()) {
            (Some(libc::CLD_EXITED), status) => Some(Exit::Status(status)),
            (Some(_), signal) => Some(Exit::Signal(signal)),
            (None, _) => None,
        };
        let processes = observe::processes(&self.member_pids());
        let alive = |p: &&Process| !p.is_zombie();
        let named = self.pidfile.as_deref().and_then(files::number_in);
        let manager = self.manager.as_ref().map_or(0, |manager| manager.pid);
        let daemon = observe::main_of(&processes, named, None, manager).map(|(pid, _)| pid);
        let inner = |pid: Pid| processes.iter().find(|p| p.pid == pid).map(|p| p.inner_pid);
        let log = self.manager.as_ref().map(|manager| lines(&manager.log[before..], unit)).unwrap_or_default();
        Ok(Ok(UnitState {
            active: Text::printed(active),
            sub: text("SubState"),
            result: text("Result"),
            main: number("MainPID"),
            main_ended,
            control_ended: log.iter().find_map(|line| control_process(line.text.as_str())),
            daemon: daemon.and_then(inner),
            is_adopted: processes.iter().any(|p| Some(p.pid) == daemon && p.ppid == manager),
            processes: processes
                .iter()
                .filter(alive)
                .map(|p| Member { pid: p.inner_pid, name: p.name.clone() })
                .collect(),
            log,
        }))
    }

    /// Runs systemctl where that systemd is.
    fn systemctl(&mut self, words: &[&str], deadline: Deadline) -> Acted<(Option<Exit>, Text)> {
        let options = ["systemctl", "--no-pager", "--no-ask-password"];
        let command: Vec<OsString> = options.iter().chain(words).map(OsString::from).collect();
        let path = OsString::from("/usr/bin:/bin:/usr/sbin:/sbin");
        self.run_beside(&command, &[(OsString::from("PATH"), path)], true, deadline)
    }
}

/// `systemd 252 (252.38-1)`, from the first line of the log.
fn version(log: &[u8]) -> Text {
    let first = log.split(|b| *b == b'\n').next().unwrap_or_default();
    let text = String::from_utf8_lossy(first);
    let version = text.split_once("]: ").map_or(&*text, |(_, rest)| rest);
    Text::new(version.split(" running").next().unwrap_or_default().as_bytes())
}

/// The lines of the log that are about a unit: `<30>systemd[1]: subject.service: ...`.
fn lines(log: &[u8], unit: &str) -> Vec<LogLine> {
    let of = |line: &[u8]| {
        let line = String::from_utf8_lossy(line);
        let (priority, rest) = line.strip_prefix('<')?.split_once('>')?;
        let (_, text) = rest.split_once("]: ")?;
        // The facility is of no interest.
        let priority = priority.parse::<u8>().ok()? & 7;
        let text = text.strip_prefix(unit)?.strip_prefix(": ")?;
        Some(LogLine { priority, text: Text::new(text.as_bytes()) })
    };
    log.split(|b| *b == b'\n').filter_map(of).take(MOST_LINES).collect()
}

/// How the process of `ExecStart=` ended: `Control process exited, code=exited, status=1/FAILURE`.
fn control_process(line: &str) -> Option<Exit> {
    let rest = line.strip_prefix("Control process exited, code=")?;
    let (code, status) = rest.split_once(", status=")?;
    let number = status.split('/').next()?.parse().ok()?;
    Some(if code == "exited" { Exit::Status(number) } else { Exit::Signal(number) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &[u8] = b"<30>systemd[1]: systemd 252.38-1~deb12u1 running in system mode (+PAM)\n\
        <28>systemd[1]: d.service: Can't open PID file /run/d.pid (yet?) after start: No such file or directory\n\
        <27>(d)[7]: d.service: Failed at step EXEC spawning /d: No such file or directory\n\
        <29>systemd[1]: d.service: Control process exited, code=exited, status=203/EXEC\n\
        <30>systemd[1]: e.service: Deactivated successfully.\n";

    #[test]
    fn of_the_log_the_lines_of_one_unit_are_taken() {
        let found = lines(LOG, "d.service");
        assert_eq!(found.iter().map(|line| line.priority).collect::<Vec<_>>(), [4, 3, 5]);
        assert!(found[0].text.as_str().starts_with("Can't open PID file"));
        assert_eq!(found.iter().find_map(|line| control_process(line.text.as_str())), Some(Exit::Status(203)));
        assert_eq!(version(LOG).as_str(), "systemd 252.38-1~deb12u1");
    }
}
