//! daemonize: a builder; `start` returns in the daemon alone.

use daemonize::Daemonize;
use std::process::ExitCode;

fn main() -> ExitCode {
    let pid_file = std::env::args_os().nth(1).expect("a PID file is named");
    if let Err(error) = Daemonize::new().pid_file(pid_file).start() {
        eprintln!("rust_daemonize: {error}");
        return ExitCode::FAILURE;
    }
    loop {
        std::thread::park();
    }
}
