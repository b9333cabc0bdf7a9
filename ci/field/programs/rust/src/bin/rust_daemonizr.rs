//! daemonizr: a builder; `spawn` returns in the daemon alone.

use daemonizr::Daemonizr;
use std::process::ExitCode;

fn main() -> ExitCode {
    let pid_file = std::env::args_os().nth(1).expect("a PID file is named");
    if let Err(error) = Daemonizr::new().pidfile(pid_file.into()).spawn() {
        eprintln!("rust_daemonizr: {error}");
        return ExitCode::FAILURE;
    }
    loop {
        std::thread::park();
    }
}
