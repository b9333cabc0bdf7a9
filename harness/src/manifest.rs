//! Reads daemonspec.toml: what a project commits beside its daemon.

use crate::check::{Profile, UnknownName, find};
use crate::subject::{Ready, Subject};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;
use thiserror::Error;
use toml::Spanned;

/// A manifest larger than this is none.
const LARGEST: u64 = 1 << 20;

/// One daemon of a manifest.
#[derive(Debug, Clone)]
pub struct Entry {
    /// What to start.
    pub subject: Subject,
    /// What kind of daemon it means to be, where the manifest says so.
    pub profile: Option<Profile>,
    /// Only these checks.
    pub only: Vec<&'static str>,
    /// Not these.
    pub skip: Vec<&'static str>,
}

/// Why a manifest cannot be used.
#[derive(Debug, Error)]
pub enum ManifestError {
    /// It cannot be read.
    #[error("cannot read manifest {0}: {1}")]
    Unreadable(PathBuf, std::io::Error),
    /// It is too large.
    #[error("manifest {0} is larger than 1 MiB")]
    TooLarge(PathBuf),
    /// It does not parse, or has a key that nobody knows.
    #[error("manifest {path}, line {line}: {what}")]
    Wrong {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong.
        what: String,
    },
    /// It names no daemon.
    #[error("manifest {0} names no daemon; write one as [daemon.NAME] with a command")]
    Empty(PathBuf),
    /// A name given on the command line is not in it.
    #[error("manifest {0}: {1}")]
    NoSuchDaemon(PathBuf, UnknownName),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    daemon: toml::map::Map<String, toml::Value>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Typed {
    #[serde(default)]
    daemon: BTreeMap<String, Daemon>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Daemon {
    command: Spanned<Vec<String>>,
    profile: Option<Spanned<String>>,
    pidfile: Option<PathBuf>,
    log: Option<PathBuf>,
    cwd: Option<PathBuf>,
    user: Option<String>,
    stop: Option<String>,
    #[serde(default)]
    ready: Option<Spanned<OneOrMore>>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    timeout: Option<Spanned<f64>>,
    #[serde(default)]
    only: Vec<Spanned<String>>,
    #[serde(default)]
    skip: Vec<Spanned<String>>,
    setup: Option<String>,
    #[serde(default)]
    files: BTreeMap<String, String>,
    #[serde(default)]
    expect: BTreeMap<Spanned<String>, String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

/// Reads the manifest at `path`; of its daemons those in `names`, or all of them in the file's order.
///
/// # Errors
/// Each names the file, and the line where there is one.
pub fn read(path: &Path, names: &[String]) -> Result<Vec<Entry>, ManifestError> {
    let meta = std::fs::metadata(path).map_err(|error| ManifestError::Unreadable(path.to_owned(), error))?;
    if meta.is_file() && meta.len() > LARGEST {
        return Err(ManifestError::TooLarge(path.to_owned()));
    }
    if !meta.is_file() {
        let error = std::io::Error::other("it is not a regular file");
        return Err(ManifestError::Unreadable(path.to_owned(), error));
    }
    let text = std::fs::read_to_string(path).map_err(|error| ManifestError::Unreadable(path.to_owned(), error))?;
    parse(&text, path, names)
}

/// The same of a text; `path` is only named in errors.
///
/// # Errors
/// As for [`read`].
pub fn parse(text: &str, path: &Path, names: &[String]) -> Result<Vec<Entry>, ManifestError> {
    let wrong = |at: usize, what: String| ManifestError::Wrong { path: path.to_owned(), line: line_of(text, at), what };
    let from_toml = |error: toml::de::Error| {
        let at = error.span().map_or(0, |span| span.start);
        wrong(at, error.message().lines().next().unwrap_or_default().to_owned())
    };
    let typed: Typed = toml::from_str(text).map_err(from_toml)?;
    let order: File = toml::from_str(text).map_err(from_toml)?;
    if typed.daemon.is_empty() {
        return Err(ManifestError::Empty(path.to_owned()));
    }
    for name in names {
        if !typed.daemon.contains_key(name) {
            let unknown = UnknownName::new("daemon", name, typed.daemon.keys().map(String::as_str));
            return Err(ManifestError::NoSuchDaemon(path.to_owned(), unknown));
        }
    }
    let chosen: Vec<&String> = if names.is_empty() { order.daemon.keys().collect() } else { names.iter().collect() };
    chosen
        .into_iter()
        .filter_map(|name| typed.daemon.get(name).map(|daemon| (name, daemon)))
        .map(|(name, daemon)| entry(name, daemon).map_err(|(at, what)| wrong(at, what)))
        .collect()
}

fn entry(name: &str, daemon: &Daemon) -> Result<Entry, (usize, String)> {
    if daemon.command.get_ref().is_empty() {
        return Err((daemon.command.span().start, format!("daemon `{name}` has an empty command")));
    }
    let ids = |list: &[Spanned<String>]| {
        list.iter()
            .map(|id| find(id.get_ref()).map(|c| c.id).map_err(|e| (id.span().start, e.to_string())))
            .collect::<Result<Vec<_>, _>>()
    };
    let profile = match &daemon.profile {
        Some(word) => Some(word.get_ref().parse::<Profile>().map_err(|e| (word.span().start, e.to_string()))?),
        None => None,
    };
    let mut subject = Subject::new(daemon.command.get_ref());
    name.clone_into(&mut subject.name);
    subject.pidfile.clone_from(&daemon.pidfile);
    subject.log.clone_from(&daemon.log);
    subject.user.clone_from(&daemon.user);
    subject.stop.clone_from(&daemon.stop);
    subject.setup.clone_from(&daemon.setup);
    subject.files.clone_from(&daemon.files);
    subject.environment = daemon.env.iter().map(|(k, v)| (OsString::from(k), OsString::from(v))).collect();
    if let Some(cwd) = &daemon.cwd {
        subject.cwd.clone_from(cwd);
    }
    if let Some(ready) = &daemon.ready {
        let specs = match ready.get_ref() {
            OneOrMore::One(spec) => std::slice::from_ref(spec),
            OneOrMore::More(specs) => specs,
        };
        let parsed = specs.iter().map(|spec| spec.parse::<Ready>().map_err(|e| (ready.span().start, e.to_string())));
        subject.ready = parsed.collect::<Result<_, _>>()?;
    }
    if let Some(timeout) = &daemon.timeout {
        subject.timeout = Duration::try_from_secs_f64(*timeout.get_ref())
            .ok()
            .filter(|t| !t.is_zero())
            .ok_or_else(|| (timeout.span().start, "timeout is in seconds, above 0".to_owned()))?;
    }
    for (id, reason) in &daemon.expect {
        let check = find(id.get_ref()).map_err(|e| (id.span().start, e.to_string()))?;
        if reason.trim().is_empty() {
            return Err((id.span().start, format!("expected failure `{}` needs a reason", check.id)));
        }
        subject.expected.insert(check.id.to_owned(), reason.clone());
    }
    Ok(Entry { subject, profile, only: ids(&daemon.only)?, skip: ids(&daemon.skip)? })
}

fn line_of(text: &str, at: usize) -> usize {
    text.as_bytes().iter().take(at).filter(|b| **b == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Result<Vec<Entry>, String> {
        parse(text, Path::new("m.toml"), &[]).map_err(|e| e.to_string())
    }

    #[test]
    fn reads_what_the_contract_shows() {
        let entries = read(
            r#"
            [daemon.zeta]
            command = ["z"]
            [daemon.nginx]
            command = ["nginx", "-c", "{dir}/nginx.conf"]
            pidfile = "{dir}/nginx.pid"
            profile = "sysv"
            ready = "tcp:127.0.0.1:80"
            setup = "mkdir -p {dir}/logs"
            files."nginx.conf" = "events {}"
            [daemon.nginx.expect]
            not-session-leader = "upstream forks once by design"
            "#,
        )
        .unwrap();
        assert_eq!(entries.len(), 2);
        let nginx = entries.iter().find(|e| e.subject.name == "nginx").unwrap();
        assert_eq!(nginx.subject.expected["not-session-leader"], "upstream forks once by design");
        assert_eq!(nginx.subject.ready.len(), 1);
    }

    #[test]
    fn errors_name_the_line_and_the_key() {
        for (text, message) in [
            ("[daemon.a]\ncommand = [\"a\"]\npidfil = \"x\"\n", "m.toml, line 3: unknown field `pidfil`"),
            ("[daemon.a]\ncommand = []\n", "m.toml, line 2: daemon `a` has an empty command"),
            (
                "[daemon.a]\ncommand = [\"a\"]\nprofile = \"sysw\"\n",
                "line 3: no profile named `sysw`; did you mean `sysv`?",
            ),
            (
                "[daemon.a]\ncommand = [\"a\"]\n[daemon.a.expect]\nnew-sesion = \"x\"\n",
                "line 4: no check named `new-sesion`",
            ),
            ("[daemon.a]\ncommand = [\"a\"]\n[daemon.a.expect]\nnew-session = \" \"\n", "needs a reason"),
            ("", "names no daemon"),
            ("[daemon.a\n", "line 1"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(message), "{error}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text in "(?s).{0,300}") {
            let _ = read(&text);
        }
    }
}
