//! `--stop`.

use std::path::Path;
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use reference_daemon::{Failure, Pid};

use crate::Defective;
use crate::pid_file::{alive, number};

impl Defective {
    pub(crate) fn stop(self, path: &Path) -> Result<i32, Failure> {
        if !self.has("stop-believes-pidfile") {
            return reference_daemon::stop(path).map(|()| 0);
        }
        let pid = number(path).ok_or_else(|| Failure::NotRunning { path: path.into() })?;
        kill(Pid::from_raw(pid), Signal::SIGTERM).map_err(Failure::system("signal the process"))?;
        // Whatever it was is asked after for a second, and then given up.
        for _ in 0..1000 {
            if !alive(pid) {
                return Ok(0);
            }
            // The end of somebody else's child is no event; a stop command looks again and again.
            thread::sleep(Duration::from_millis(1));
        }
        Err(Failure::file("PID file", path, format!("names process {pid}, which does not end")))
    }
}
