//! A conformance tester for Unix daemons.
//!
//! Point it at a daemon's command, in any language, and it says which promises the daemon keeps, with evidence, and how to
//! mend the rest:
//!
//! ```no_run
//! use daemonspec::{run, subject::Subject};
//!
//! let mut subject = Subject::new(["nginx"]);
//! subject.pidfile = Some("/run/nginx.pid".into());
//! let outcome = run::check(&subject, &run::Options::default(), &|_event| {})?;
//! for judged in outcome.failures() {
//!     println!("{}: {:?}", judged.check.id, judged.verdict);
//! }
//! # Ok::<(), run::RunError>(())
//! ```
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
//! verdicts.

pub mod check;
#[doc(hidden)]
pub mod cli;
#[cfg(feature = "libtest")]
pub mod libtest;
pub mod manifest;
pub mod observation;
mod observe;
pub mod report;
pub mod run;
pub mod sandbox;
pub mod scenario;
pub mod subject;
mod sys;
pub mod testing;
pub mod timeline;
mod trace;
mod world;

pub use testing::{Checked, Daemon};
