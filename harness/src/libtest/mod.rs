//! Manifests as tests: each check of each daemon is a test of its own, named `daemon::check`, that cargo and its kin list,
//! filter, run and report like any other (cargo feature `libtest`).
//!
//! In the package's Cargo.toml:
//!
//! ```toml
//! [dev-dependencies]
//! daemonspec = { version = "0.1", features = ["libtest"] }
//!
//! [[test]]
//! name = "daemon"
//! harness = false
//! ```
//!
//! and in tests/daemon.rs:
//!
//! ```no_run
//! fn main() -> std::process::ExitCode {
//!     daemonspec::libtest::main(["daemonspec.toml"])
//! }
//! ```
//!
//! `cargo test --test daemon -- mydaemon::pidfile` runs what has that in its name, `-- --list` shows all names, and
//! `cargo nextest run` gives each test a process of its own, and a JUnit report. Other manifests are taken where the variable
//! `DAEMONSPEC_MANIFEST` names some, with `:` between them; a directory stands for the manifests in it. With
//! `DAEMONSPEC_SHUFFLE=7` daemons and tests come in another order, the same for the same number.
//!
//! In one process a daemon is started only as often as the chosen checks need, and its tests share what was seen; several
//! daemons are judged side by side, in as many sandboxes at a time as `--test-threads` says, else four for each processor.
//!
//! | verdict | test |
//! |---|---|
//! | pass | passes |
//! | fail | fails, with the report; below the manifest's `level` it is ignored, and says so |
//! | fail, and listed under `expect` | passes |
//! | pass, and listed under `expect` | fails: the line is to be taken out |
//! | skip | is ignored, with the reason (nextest, which has no such thing, shows a pass) |
//! | broken | fails, with the reason |
//!
//! With `witness = "systemd"` in a manifest there is one more test, `daemon::systemd`: it fails where systemd complains and no
//! check says why, and is ignored where that could not be compared, or systemd's start is unlike those that are judged.
//!
//! A daemon whose program is not installed has its tests ignored; where the variable `CI` is set they fail. Checks that
//! start a daemon once for each call of its start are ignored unless its manifest says `exhaustive = true`;
//! `-- --include-ignored` runs them too.

mod field;
mod shared;
mod trial;

pub use field::{Field, FieldError};

use std::path::Path;
use std::process::ExitCode;

/// The whole of a test target: the daemons of these manifests, or of those that `DAEMONSPEC_MANIFEST` names.
///
/// A relative path is looked for in the directory that cargo runs the test in, which is the package's, and then in those
/// above it.
pub fn main<P: AsRef<Path>>(manifests: impl IntoIterator<Item = P>) -> ExitCode {
    match Field::from_env(manifests) {
        Ok(field) => field.run(),
        Err(error) => {
            anstream::eprintln!("daemonspec: {error}");
            ExitCode::from(2)
        }
    }
}
