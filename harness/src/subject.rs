//! What is under test, as data. The command line and a manifest are two ways to write one.

use crate::observation::Style;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;
use thiserror::Error;

/// The variable by which the reference daemon's stop command finds this program.
const OWN_PROGRAM: &str = "DAEMONSPEC";

/// The longest deadline anyone may ask for.
pub const LONGEST_TIMEOUT: Duration = Duration::from_secs(3600);

/// The daemon under test: how it is started and stopped, and what it is documented to do.
#[derive(Debug, Clone)]
pub struct Subject {
    /// What reports call it.
    pub name: String,
    /// Program and arguments; `{dir}` stands for a fresh private directory.
    pub command: Vec<OsString>,
    /// Variables added to its environment.
    pub environment: Vec<(OsString, OsString)>,
    /// The PID file it must write; relative to the launch directory. Discovered where `None`.
    pub pidfile: Option<PathBuf>,
    /// The log it must write. Discovered where `None`.
    pub log: Option<PathBuf>,
    /// Its documented working directory.
    pub cwd: PathBuf,
    /// The account it must drop to.
    pub user: Option<String>,
    /// Its own stop command, a shell line; SIGTERM to the main process where `None`.
    pub stop: Option<String>,
    /// What else "ready" means.
    pub ready: Vec<Ready>,
    /// The deadline for each thing awaited; time in which the machine stands still, or its disk is waited for, does not count.
    pub timeout: Duration,
    /// A shell line run in the sandbox before the first start.
    pub setup: Option<String>,
    /// Files written below `{dir}` before that: path, content.
    pub files: BTreeMap<String, String>,
    /// The checks that are known to fail, and why.
    pub expected: BTreeMap<String, String>,
}

impl Subject {
    /// A subject with everything else at its default.
    pub fn new(command: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        let command: Vec<OsString> = command.into_iter().map(Into::into).collect();
        let program = command.first().map(Path::new).and_then(Path::file_name).unwrap_or_default();
        Subject {
            name: program.to_string_lossy().into_owned(),
            command,
            environment: Vec::new(),
            pidfile: None,
            log: None,
            cwd: PathBuf::from("/"),
            user: None,
            stop: None,
            ready: Vec::new(),
            timeout: Duration::from_secs(10),
            setup: None,
            files: BTreeMap::new(),
            expected: BTreeMap::new(),
        }
    }

    /// The reference daemon, as this very program carries it, told to start in that style.
    ///
    /// # Errors
    /// When the running program cannot be found again.
    pub fn reference(style: Style) -> std::io::Result<Self> {
        let me = std::env::current_exe()?;
        let mut words = vec![me.as_os_str(), OsStr::new("reference-daemon")];
        words.extend(["--pid-file", "{dir}/daemon.pid"].map(OsStr::new));
        match style {
            Style::SysV => words.extend(["--log-file", "{dir}/daemon.log"].map(OsStr::new)),
            Style::NewStyle => words.push(OsStr::new("--foreground")),
        }
        let mut subject = Subject::new(words);
        subject.name = "reference-daemon".to_owned();
        subject.pidfile = Some(PathBuf::from("{dir}/daemon.pid"));
        subject.log = (style == Style::SysV).then(|| PathBuf::from("{dir}/daemon.log"));
        // The shell line names the program by a variable: its path may hold anything.
        subject.environment.push((OsString::from(OWN_PROGRAM), me.into_os_string()));
        subject.stop = Some(format!("\"${OWN_PROGRAM}\" reference-daemon --stop --pid-file {{dir}}/daemon.pid"));
        Ok(subject)
    }

    /// The same with `{dir}` replaced everywhere, and its paths made absolute against the launch directory.
    #[must_use]
    pub fn located(&self, dir: &Path, launch_directory: &Path) -> Self {
        let mut subject = self.clone();
        subject.fill("{dir}", &dir.to_string_lossy());
        let absolute = |path: &mut PathBuf| *path = launch_directory.join(&*path);
        subject.pidfile.iter_mut().chain(&mut subject.log).for_each(absolute);
        absolute(&mut subject.cwd);
        for ready in &mut subject.ready {
            if let Ready::Unix(path) | Ready::File(path) = ready {
                absolute(path);
            }
        }
        subject
    }

    /// Replaces `placeholder` by `by` wherever a word, a path or a file's content holds it.
    pub(crate) fn fill(&mut self, placeholder: &str, by: &str) {
        let text = |text: &mut String| *text = text.replace(placeholder, by);
        let word = |word: &mut OsString| {
            if let Some(text) = word.to_str() {
                *word = text.replace(placeholder, by).into();
            }
        };
        let path = |path: &mut PathBuf| word(path.as_mut_os_string());
        self.command.iter_mut().for_each(word);
        self.environment.iter_mut().for_each(|(_, value)| word(value));
        self.pidfile.iter_mut().chain(&mut self.log).for_each(path);
        path(&mut self.cwd);
        self.stop.iter_mut().chain(&mut self.setup).chain(self.files.values_mut()).for_each(text);
        for ready in &mut self.ready {
            if let Ready::Unix(p) | Ready::File(p) = ready {
                path(p);
            }
        }
    }
}

/// What else "ready" means, besides the launcher's end and a PID file that names a live process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ready {
    /// Something listens at that TCP address.
    Tcp(SocketAddr),
    /// A UNIX-domain socket is at that path.
    Unix(PathBuf),
    /// A file is at that path.
    File(PathBuf),
    /// It says READY=1 to its supervisor (sd_notify(3)).
    Notify,
}

impl fmt::Display for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ready::Tcp(address) => write!(f, "tcp:{address}"),
            Ready::Unix(path) => write!(f, "unix:{}", path.display()),
            Ready::File(path) => write!(f, "file:{}", path.display()),
            Ready::Notify => f.write_str("notify"),
        }
    }
}

/// A `--ready` that cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ReadyError {
    /// None of the known kinds.
    #[error("`{0}` is not `tcp:ADDR:PORT`, `unix:PATH`, `file:PATH` or `notify`")]
    Unknown(String),
    /// Not an address.
    #[error("`{0}` is not a numeric address and port, such as 127.0.0.1:6379 or [::1]:6379")]
    Address(String),
}

impl FromStr for Ready {
    type Err = ReadyError;

    fn from_str(spec: &str) -> Result<Self, ReadyError> {
        match spec.split_once(':') {
            Some(("tcp", address)) => address
                .replacen("localhost", "127.0.0.1", 1)
                .parse()
                .map(Ready::Tcp)
                .map_err(|_| ReadyError::Address(address.to_owned())),
            Some(("unix", path)) if !path.is_empty() => Ok(Ready::Unix(PathBuf::from(path))),
            Some(("file", path)) if !path.is_empty() => Ok(Ready::File(PathBuf::from(path))),
            None if spec == "notify" => Ok(Ready::Notify),
            _ => Err(ReadyError::Unknown(spec.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ready_is_read_as_the_contract_writes_it() {
        assert_eq!("tcp:127.0.0.1:80".parse(), Ok(Ready::Tcp("127.0.0.1:80".parse().unwrap())));
        assert_eq!("unix:/run/s".parse(), Ok(Ready::Unix("/run/s".into())));
        assert_eq!("notify".parse(), Ok(Ready::Notify));
        assert_eq!("tcp:80".parse::<Ready>(), Err(ReadyError::Address("80".to_owned())));
        assert_eq!("carrier pigeon".parse::<Ready>(), Err(ReadyError::Unknown("carrier pigeon".to_owned())));
    }

    #[test]
    fn the_private_directory_and_relative_paths_are_filled_in() {
        let mut subject = Subject::new(["d", "-p", "{dir}/x.pid"]);
        subject.pidfile = Some("run/d.pid".into());
        let located = subject.located(Path::new("/private"), Path::new("/home/me"));
        assert_eq!(located.command[2], "/private/x.pid");
        assert_eq!(located.pidfile, Some(PathBuf::from("/home/me/run/d.pid")));
        assert_eq!(located.cwd, PathBuf::from("/"));
    }

    proptest! {
        #[test]
        fn any_ready_is_answered(spec in ".{0,60}") {
            let _ = spec.parse::<Ready>();
        }
    }
}
