//! What the benches share: finding and building the programs, starting one and timing it, and the arithmetic.
//!
//! - `startup.rs`: from start to launcher's exit and to a valid PID file, the reference daemon beside its peers;
//! - `steps.rs`: what each of the reference daemon's steps costs;
//! - `harness.rs`: a whole check, and how much of it is the daemon's own launches;
//! - `manifest.rs`: the daemons of a manifest of yours, beside the reference daemon, each start in a sandbox;
//! - `tracing.rs`: a start traced by the harness, beside one that is not and one under strace(1); and the exhaustive check.
//!
//! They print what criterion prints, and at the end a table of their own.

mod launch;
mod programs;
mod subject;

pub use launch::{Daemon, Launched, Started, adopt_orphans};
pub use programs::{Programs, Skipped, reference_daemon};
pub use subject::{check, subject};

/// What cargo, or a person, has asked of a bench.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// To measure.
    Measure,
    /// To show that everything works, quickly: `cargo test --benches`.
    Test,
    /// To name the benches: `--list`.
    List,
}

impl Mode {
    /// Reads it from the arguments, by criterion's own rule: only `cargo bench` passes `--bench`.
    pub fn from_arguments() -> Self {
        let has = |wanted| std::env::args().any(|argument| argument == wanted);
        if has("--list") {
            Self::List
        } else if has("--test") || !has("--bench") {
            Self::Test
        } else {
            Self::Measure
        }
    }

    /// `rounds` when measuring, and otherwise as many as show that it works.
    pub fn rounds(self, rounds: usize) -> usize {
        match self {
            Self::Measure => rounds,
            Self::Test => 2,
            Self::List => 0,
        }
    }
}
