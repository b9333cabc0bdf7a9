//! A daemon on the crate `fork`, as its documentation has it: `peer-fork PIDFILE LOGFILE`.
//!
//! The crate writes no PID file and keeps no log, so both are done here, the plain way; nothing waits for them.

use std::error::Error;
use std::fs::{self, OpenOptions};
use std::io::Write;

use fork::{Fork, daemon};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(pid_file), Some(log_file)) = (arguments.next(), arguments.next()) else {
        return Err("usage: peer-fork PIDFILE LOGFILE".into());
    };
    if let Fork::Child = daemon(false, false)? {
        fs::write(pid_file, format!("{}\n", std::process::id()))?;
        let mut log = OpenOptions::new().append(true).create(true).open(log_file)?;
        writeln!(log, "ready")?;
        loop {
            std::thread::park();
        }
    }
    Ok(())
}
