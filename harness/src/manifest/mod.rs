//! daemonspec.toml: what a project commits beside its daemon.

mod read;
mod write;

pub use read::{Entry, ManifestError, keys, parse, read};
pub use write::{NotUtf8, WriteError, is_writable, write};
