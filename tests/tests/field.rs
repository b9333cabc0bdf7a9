//! The daemons of ci/field, each check of each of them a test of its own (see `daemonspec::libtest`), and so is what systemd
//! makes of each.
//!
//! `DAEMONSPEC_MANIFEST=FILE[:FILE...] cargo test --test field` takes other manifests; paths are relative to the workspace's
//! root, from which `daemonspec` is called too.

use daemonspec::libtest::{Field, FieldError};
use daemonspec::manifest::Entry;
use daemonspec::report::matrix::{Row, markdown};
use daemonspec::run::Manager;
use std::process::ExitCode;

/// The page that shows what became of them.
const PAGE: &str = "docs/field.md";
const REMEDY: &str = "\nRead what has changed; then `DAEMONSPEC_UPDATE=1 cargo test --test field` writes it anew.";
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// Ordinary users have no sbin on their PATH, and daemons live there.
fn look_in_sbin(entry: &mut Entry) {
    if !entry.subject.environment.iter().any(|(name, _)| name == "PATH") {
        let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
        entry.subject.environment.push(("PATH".into(), path.into()));
    }
}

/// systemd is asked, too: where it complains, one of our checks has failed.
fn ask_systemd(entry: &mut Entry) {
    entry.witness = Some(Manager::Systemd);
}

/// Whether the page of the book says what these daemons come to. `DAEMONSPEC_UPDATE=1` writes it anew.
fn is_current(rows: &[Row]) -> Result<(), String> {
    let mut rows = rows.to_vec();
    // The page is of `daemonspec matrix` without a witness; what that one says has tests of its own.
    rows.iter_mut().filter_map(|row| row.result.as_mut().ok()).for_each(|outcome| outcome.witness = None);
    let now = markdown::report(&rows);
    if std::env::var_os("DAEMONSPEC_UPDATE").is_some() {
        return std::fs::write(PAGE, now).map_err(|error| format!("{PAGE}: {error}"));
    }
    let page = std::fs::read_to_string(PAGE).map_err(|error| format!("{PAGE}: {error}{REMEDY}"))?;
    let (page, now) = (markdown::comparable(&page), markdown::comparable(&now));
    let lines = page.lines().map(Some).chain(std::iter::repeat(None)).zip(now.lines().map(Some).chain([None]));
    match lines.zip(1..).find(|((old, new), _)| old != new) {
        Some(((old, new), number)) if page != now => Err(format!(
            "{PAGE} is not current; its line {number}, of what counts, is\n    {}\nand was to be\n    {}{REMEDY}",
            old.unwrap_or("the end"),
            new.unwrap_or("the end")
        )),
        _ => Ok(()),
    }
}

fn field() -> Result<Field, FieldError> {
    let field = Field::from_env(["ci/field"])?.each(look_in_sbin).each(ask_systemd);
    // The page is about those of ci/field and no others.
    let others = std::env::var_os("DAEMONSPEC_MANIFEST").is_some_and(|given| !given.is_empty());
    Ok(if others { field } else { field.and("docs/field.md is current", is_current) })
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
