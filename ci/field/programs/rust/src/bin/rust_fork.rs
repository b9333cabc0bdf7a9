//! fork: `daemon` in the manner of daemon(3). It knows of no PID file, so the program writes one afterwards.

use fork::{Fork, daemon};
use std::process::ExitCode;

fn main() -> ExitCode {
    let pid_file = std::env::args_os().nth(1).expect("a PID file is named");
    match daemon(false, false) {
        Ok(Fork::Child) => {}
        Ok(Fork::Parent(_)) => return ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("rust_fork: {error}");
            return ExitCode::FAILURE;
        }
    }
    if std::fs::write(pid_file, format!("{}\n", std::process::id())).is_err() {
        return ExitCode::FAILURE;
    }
    loop {
        std::thread::park();
    }
}
