//! The daemons of ci/field, each check of each of them a test of its own (see `daemonspec::libtest`).
//!
//! `DAEMONSPEC_MANIFEST=FILE[:FILE...] cargo test --test field` takes other manifests; paths are relative to the workspace's
//! root, from which `daemonspec` is called too.

use daemonspec::libtest::{Field, FieldError};
use daemonspec::manifest::Entry;
use std::path::Path;
use std::process::ExitCode;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// Ordinary users have no sbin on their PATH, and daemons live there.
fn look_in_sbin(entry: &mut Entry) {
    if !entry.subject.environment.iter().any(|(name, _)| name == "PATH") {
        let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
        entry.subject.environment.push(("PATH".into(), path.into()));
    }
}

fn field() -> Result<Field, FieldError> {
    let manifests = if Path::new("ci/field").is_dir() { "ci/field" } else { "ci/third-party.toml" };
    Ok(Field::from_env([manifests])?.each(look_in_sbin))
}

fn main() -> ExitCode {
    let entered = std::env::set_current_dir(ROOT).map_err(|error| error.to_string());
    match entered.and_then(|()| field().map_err(|error| error.to_string())) {
        Ok(field) => field.run(),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}
