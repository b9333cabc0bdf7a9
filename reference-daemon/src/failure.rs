//! Why a start failed, in words fit for the one line that the caller gets to see.

use std::fmt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

/// Why a step could not be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The system refused something that concerns no file.
    System {
        /// What was tried: it follows "cannot".
        doing: &'static str,
        /// The kernel's answer.
        errno: Errno,
    },
    /// A file or directory is missing, odd or not to be had.
    File {
        /// What the file is to the daemon: "PID file", "log file".
        role: &'static str,
        /// Where it is.
        path: PathBuf,
        /// What is wrong.
        cause: String,
    },
    /// Another instance holds the PID file.
    AlreadyRunning {
        /// The PID file.
        path: PathBuf,
        /// The process that holds it; `None` where it cannot be seen (another PID namespace).
        pid: Option<i32>,
    },
    /// No instance holds the PID file.
    NotRunning {
        /// The PID file.
        path: PathBuf,
    },
    /// The account to drop to is unknown, or could not be assumed.
    Account {
        /// Its name.
        name: String,
        /// What is wrong.
        cause: String,
    },
    /// The daemon was told to stop before it was ready.
    Stopped,
    /// The daemon-to-be ended without a word: killed, or out of memory.
    EndedBeforeReady,
    /// What the daemon-to-be said of its own failure, word for word.
    Reported(String),
}

impl Failure {
    /// For `map_err`: a system call's error in terms of what it was for.
    pub fn system(doing: &'static str) -> impl FnOnce(Errno) -> Self {
        move |errno| Self::System { doing, errno }
    }

    /// A file that is not as it should be.
    pub fn file(role: &'static str, path: &Path, cause: impl Into<String>) -> Self {
        Self::File { role, path: path.to_path_buf(), cause: cause.into() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System { doing, errno } => write!(f, "cannot {doing}: {}", errno.desc()),
            Self::File { role, path, cause } => write!(f, "{role} {}: {cause}", one_line(path)),
            Self::AlreadyRunning { path, pid: Some(pid) } => {
                write!(f, "already running as process {pid} (PID file {})", one_line(path))
            }
            Self::AlreadyRunning { path, pid: None } => {
                write!(f, "already running: another process holds PID file {}", one_line(path))
            }
            Self::NotRunning { path } => write!(f, "not running: nobody holds PID file {}", one_line(path)),
            Self::Account { name, cause } => write!(f, "account {}: {cause}", name.escape_debug()),
            Self::Stopped => write!(f, "told to stop before it was ready"),
            Self::EndedBeforeReady => write!(f, "the daemon ended before it was ready"),
            Self::Reported(text) => write!(f, "{text}"),
        }
    }
}

impl std::error::Error for Failure {}

/// A path as text that cannot break the line it stands in, whatever bytes it holds.
fn one_line(path: &Path) -> String {
    path.to_string_lossy().escape_debug().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_one_line_whatever_the_path() {
        let failure = Failure::file("PID file", Path::new("/run/a\nb"), "is a directory");
        assert_eq!(failure.to_string(), "PID file /run/a\\nb: is a directory");
    }

    #[test]
    fn an_already_running_instance_is_named() {
        let failure = Failure::AlreadyRunning { path: "/run/d.pid".into(), pid: Some(17) };
        assert_eq!(failure.to_string(), "already running as process 17 (PID file /run/d.pid)");
    }
}
