//! Where the workspace's programs are. Cargo is asked, because only cargo knows: `CARGO_BIN_EXE_*` covers a package's own
//! programs, and a path into `target/` breaks with another target directory or profile.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The program of that name, built with the profile of the test that asks.
///
/// # Panics
/// When the workspace does not build, or has no such program.
pub fn program(name: &str) -> &'static Path {
    static PROGRAMS: OnceLock<BTreeMap<String, PathBuf>> = OnceLock::new();
    let programs = PROGRAMS.get_or_init(build);
    programs.get(name).unwrap_or_else(|| panic!("the workspace has no program `{name}`"))
}

fn build() -> BTreeMap<String, PathBuf> {
    // The whole workspace at once: the same features, and so the same files, as the build that brought this test about.
    let mut cargo = escargot::CargoBuild::new()
        .manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"))
        .arg("--workspace")
        .bins();
    if !cfg!(debug_assertions) {
        cargo = cargo.release();
    }
    let messages = cargo.exec().unwrap_or_else(|error| panic!("cargo build: {error}"));
    let mut found = BTreeMap::new();
    for message in messages.flatten() {
        if let Ok(escargot::format::Message::CompilerArtifact(artifact)) = message.decode()
            && let Some(path) = artifact.executable
        {
            found.insert(artifact.target.name.into_owned(), path.into_owned());
        }
    }
    found
}
