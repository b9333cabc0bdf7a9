//! A daemon in a Rust developer's own tests: described in a line, judged, and asserted on.
//!
//! ```
//! use daemonspec::Daemon;
//!
//! Daemon::command("sh")
//!     .args(["-c", "umask 022; setsid sleep 600 <&- >&- 2>&- & echo $! > {dir}/d.pid"])
//!     .pidfile("{dir}/d.pid")
//!     .only(["new-session", "pidfile-mode"])
//!     .check()
//!     .conforms();
//! ```
//!
//! [`Daemon`] writes a [`Subject`](crate::subject::Subject) and [`run::Options`](crate::run::Options), and
//! [`check`](Daemon::check) is [`run::check`](crate::run::check): what it says is what `daemonspec check` says. Nothing of
//! the daemon is left when it returns, nor when it panics: all of it ran in sandboxes that are gone by then, and the kernel
//! ends those when the test process dies, however it dies.

mod checked;
mod daemon;

pub use checked::{AssertionError, Checked};
pub use daemon::{CheckError, Daemon};
