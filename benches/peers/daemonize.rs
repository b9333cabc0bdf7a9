//! A daemon on the crate `daemonize`, as its documentation has it: `peer-daemonize PIDFILE LOGFILE`.
//!
//! Its launcher waits for the first child, not for the daemon, which writes the PID file some time later.

use std::error::Error;
use std::fs::OpenOptions;

use daemonize::Daemonize;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(pid_file), Some(log_file)) = (arguments.next(), arguments.next()) else {
        return Err("usage: peer-daemonize PIDFILE LOGFILE".into());
    };
    let log = OpenOptions::new().append(true).create(true).open(log_file)?;
    Daemonize::new().pid_file(pid_file).stdout(log.try_clone()?).stderr(log).start()?;
    eprintln!("ready");
    loop {
        std::thread::park();
    }
}
