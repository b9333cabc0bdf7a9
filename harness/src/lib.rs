//! A conformance tester for Unix daemons: it says which promises a daemon keeps, with evidence, and how to mend the rest.
//!
//! This is the library of the `daemonspec` command, for tests written in Rust. The daemon under test may be written in any
//! language: all that is needed is its command. It is started for real, from a shell on a terminal, as often as the checks
//! need, each time in a sandbox of its own (Linux 5.11 or newer; root is not needed where users may have namespaces).
//!
//! # A first verdict
//!
//! ```
//! use daemonspec::Daemon;
//!
//! Daemon::command("sh")
//!     .args(["-c", "setsid sleep 600 <&- >&- 2>&- & echo $! > {dir}/my.pid"])
//!     .pidfile("{dir}/my.pid")
//!     .only(["new-session", "no-controlling-terminal", "pidfile-names-main-process"])
//!     .check()
//!     .conforms();
//! ```
//!
//! `{dir}` is a private directory, fresh in each sandbox. Without [`only`](Daemon::only) all checks of the
//! [`profile`](Daemon::profile) are made, some seventy; `daemonspec list` and [`check::catalogue`] have them all. A program of
//! your own package is [`Daemon::cargo_bin`]`("mydaemon")`. A claim that does not hold panics with the report:
//!
//! ```should_panic
//! # use daemonspec::Daemon;
//! let checked = Daemon::command("sh").args(["-c", "sleep 600 &"]).only(["new-session"]).check();
//! checked.conforms();
//! // sh -c sleep 600 &                              sysv · sandboxed · 1 starts · 62 ms
//! //
//! // FAIL  must    new-session               pid 7 (sleep) is in session 5
//! //               expected  another session than the shell's
//! // ...
//! ```
//!
//! When [`check`](Daemon::check) returns, and when it panics, nothing of the daemon is left.
//!
//! # Reading what was seen
//!
//! Verdicts are made of observations, and a test may look at those itself: with predicates in the manner of `assert_cmd`
//! (crate `predicates`), or as plain data.
//!
//! ```
//! # use daemonspec::Daemon;
//! use daemonspec::check::Verdict;
//! use daemonspec::observation::{Exit, Process};
//! use predicates::prelude::*;
//!
//! let checked = Daemon::command("sh").args(["-c", "cd /tmp; sleep 600 &"]).only(["new-session", "cwd-root"]).check();
//! checked
//!     .fails("new-session")
//!     .verdict("cwd-root", predicate::function(|verdict| matches!(verdict, Verdict::Fail(f) if f.actual.contains("/tmp"))))
//!     .main(predicate::function(|process: &Process| process.name.as_str() == "sleep"));
//!
//! assert_eq!(checked.start()?.ended, Some(Exit::Status(0)));
//! assert_eq!(checked.at_rest()?.alive().count(), 1);
//! # Ok::<(), daemonspec::observation::Unseen>(())
//! ```
//!
//! Each claim has a twin that returns the report as an error: [`try_conforms`](Checked::try_conforms) and so on.
//! [`observation`] describes the data, and [`Checked::outcome`] has all of it.
//!
//! # Failures that are known
//!
//! Each with its reason. What is expected to fail may not pass one day without your noticing, so the list can only get
//! shorter.
//!
//! ```
//! # use daemonspec::Daemon;
//! let daemon = Daemon::command("sh").args(["-c", "setsid sleep 600 &"]).only(["new-session", "not-session-leader"]);
//! daemon.clone().expect("not-session-leader", "forks once; see issue 12").check().conforms();
//! daemon.expect("new-session", "mended long ago").check().try_conforms().unwrap_err();
//! ```
//!
//! # Manifests
//!
//! What is said of a daemon in more than one place goes into a manifest, `daemonspec.toml`, which `daemonspec init` writes.
//! [`Daemon::from_manifest`] takes one daemon from it. With the cargo feature `libtest` a test target of three lines,
//!
//! ```ignore
//! fn main() -> std::process::ExitCode {
//!     daemonspec::libtest::main(["daemonspec.toml"])
//! }
//! ```
//!
//! has a test of its own name for each check of each of its daemons (`mydaemon::new-session`), to be listed, filtered and
//! reported by `cargo test` and `cargo nextest` like any other.
//!
//! # Recording, and judging again
//!
//! What was seen is plain data. Kept, it is judged again on another machine, or by the checks of a later version, and
//! nothing is started for that.
//!
//! ```
//! # use daemonspec::Daemon;
//! use daemonspec::{Checked, report::json};
//!
//! let daemon = Daemon::command("sh").args(["-c", "setsid sleep 600 &"]).only(["new-session"]);
//! let text = json::recordings(&[daemon.check().outcome().clone()]);
//!
//! let (_, options) = daemon.parts();
//! for recording in json::read_recordings(&text)? {
//!     Checked::from(recording.judge(options)?).passes("new-session");
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # In CI
//!
//! [`report`] writes what a CI server reads: JUnit, TAP, Markdown, JSON, HTML. `daemonspec check --manifest daemonspec.toml
//! --format junit` does the same without a line of Rust. Where the variable `CI` is set, a manifest's daemon that is not
//! installed fails its tests instead of being ignored. Where a machine grants no namespaces, a run goes on without a sandbox
//! and skips what needs one; [`isolation`](Daemon::isolation)`(`[`Wanted::Full`](run::Wanted::Full)`)` refuses instead.
//!
//! # How it is made
//!
//! Data flows one way:
//!
//! ```text
//! subject -> scenario -> sandbox -> observation -> check -> verdict -> report
//! ```
//!
//! A [`subject`] says what to start. A [`scenario`] acts on it inside a [`sandbox`] and looks; what it saw is an
//! [`observation`], plain data. A [`check`](mod@check) is a pure function from that to a verdict, and a [`report`] a pure
//! function from verdicts to text. [`run`] puts them together. A [`timeline`] is to one traced start what a report is to
//! verdicts, and a [`comparison`] to many timed starts.

pub mod check;
#[doc(hidden)]
pub mod cli;
pub mod comparison;
#[cfg(feature = "libtest")]
pub mod libtest;
pub mod manifest;
pub mod observation;
mod observe;
pub mod report;
pub mod run;
pub mod sandbox;
pub mod scenario;
pub mod statistics;
pub mod subject;
mod sys;
pub mod testing;
pub mod timeline;
mod trace;
mod world;

pub use testing::{Checked, Daemon};
