//! The programs that are measured: where they are, and how they are built.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use escargot::CargoBuild;
use tempfile::TempDir;

use crate::launch::Daemon;

/// Builds the reference daemon as `cargo build --release` at the workspace's root does, and says where it is.
///
/// `--workspace` makes it that very build, which cargo then need not repeat: the features of a dependency are
/// those that all members together ask for. Cargo has let go of its lock when a bench runs.
///
/// # Errors
/// When it does not build.
pub fn reference_daemon() -> io::Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
    CargoBuild::new()
        .manifest_path(root)
        .arg("--workspace")
        .bin("reference-daemon")
        .release()
        .run()
        .map(|built| built.path().to_path_buf())
        .map_err(io::Error::other)
}

/// A peer that is not to be had here, and why.
#[derive(Debug)]
pub struct Skipped {
    /// Its name in the tables.
    pub name: &'static str,
    /// Why.
    pub why: String,
}

/// A directory of programs and, on a tmpfs where there is one (as /run is), their PID files and logs. Both go with it.
#[derive(Debug)]
pub struct Programs {
    programs: TempDir,
    runtime: TempDir,
    /// What could not be had.
    pub skipped: Vec<Skipped>,
}

impl Programs {
    /// Makes both directories; `near` is where the programs go.
    ///
    /// # Errors
    /// When a directory cannot be made.
    pub fn new(near: &Path) -> io::Result<Self> {
        fs::create_dir_all(near)?;
        let prefix = "daemonspec-bench-";
        let runtime = tempfile::Builder::new()
            .prefix(prefix)
            .tempdir_in("/dev/shm")
            .or_else(|_| tempfile::Builder::new().prefix(prefix).tempdir())?;
        Ok(Self { programs: tempfile::Builder::new().prefix(prefix).tempdir_in(near)?, runtime, skipped: Vec::new() })
    }

    /// A daemon that is a program built elsewhere.
    ///
    /// # Errors
    /// When it cannot be copied, or its directory not be made.
    pub fn copied(&self, name: &'static str, program: &Path, arguments: &[&str]) -> io::Result<Daemon> {
        self.daemon(name, &self.copy(name, program)?, arguments)
    }

    /// A daemon that is a C program of `peers/`; noted as skipped where it cannot be compiled.
    ///
    /// # Errors
    /// When the directory for its files cannot be made.
    pub fn compiled(
        &mut self,
        name: &'static str,
        source: &str,
        flags: &[&str],
        arguments: &[&str],
    ) -> io::Result<Option<Daemon>> {
        match self.compile(name, source, flags) {
            Ok(program) => self.daemon(name, &program, arguments).map(Some),
            Err(why) => {
                self.skipped.push(Skipped { name, why });
                Ok(None)
            }
        }
    }

    /// A daemon started by start-stop-daemon(8), and an idle program for that to start.
    ///
    /// # Errors
    /// When the directory for its files cannot be made.
    pub fn start_stop_daemon(&mut self) -> io::Result<Option<Daemon>> {
        let name = "start-stop-daemon(8)";
        let found = env::var_os("PATH").and_then(|path| {
            env::split_paths(&path)
                .chain(["/usr/sbin".into(), "/sbin".into()])
                .map(|directory| directory.join("start-stop-daemon"))
                .find(|program| program.is_file())
        });
        let Some(program) = found else {
            let why = "not installed (Debian: package dpkg)".to_owned();
            self.skipped.push(Skipped { name, why });
            return Ok(None);
        };
        match self.compile("put into the background", "idle.c", &["-static", "-no-pie"]) {
            Err(why) => {
                self.skipped.push(Skipped { name, why });
                Ok(None)
            }
            Ok(idle) => {
                let idle = idle.display().to_string();
                let words = [
                    "--start",
                    "--quiet",
                    "--background",
                    "--make-pidfile",
                    "--pidfile",
                    "{pid}",
                    "--exec",
                    &idle,
                    "--",
                    "on",
                ];
                self.daemon(name, &program, &words).map(Some)
            }
        }
    }

    /// Every program is a copy, whoever wrote the original: in how large pieces a file was written decides how it lies in
    /// the page cache, and that decides how many page faults its start takes.
    ///
    /// # Errors
    /// When it cannot be copied.
    pub fn copy(&self, name: &str, program: &Path) -> io::Result<PathBuf> {
        let copy = self.programs.path().join(name.replace(['/', ' '], "-"));
        fs::copy(program, &copy)?;
        Ok(copy)
    }

    fn compile(&self, name: &str, source: &str, flags: &[&str]) -> Result<PathBuf, String> {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers").join(source);
        let linked = self.programs.path().join("linked");
        let compiler = env::var_os("CC").unwrap_or_else(|| "cc".into());
        let output = Command::new(&compiler)
            .args(["-O2", "-Wall", "-Werror"])
            .args(flags)
            .arg("-o")
            .arg(&linked)
            .arg(source)
            .stdin(Stdio::null())
            .output()
            .map_err(|error| format!("no C compiler ({}: {error})", compiler.display()))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(format!("does not compile: {}", said.trim()));
        }
        self.copy(name, &linked).map_err(|error| format!("cannot be copied: {error}"))
    }

    /// In its arguments `{pid}` and `{log}` stand for the PID file and the log.
    fn daemon(&self, name: &'static str, program: &Path, arguments: &[&str]) -> io::Result<Daemon> {
        let directory = self.runtime.path().join(name.replace(['/', ' '], "-"));
        fs::create_dir(&directory)?;
        fs::create_dir(directory.join("run"))?;
        let (pid_file, log_file) = (directory.join("run/daemon.pid"), directory.join("daemon.log"));
        let arguments = arguments
            .iter()
            .map(|word| match *word {
                "{pid}" => pid_file.clone().into_os_string(),
                "{log}" => log_file.clone().into_os_string(),
                word => OsString::from(word),
            })
            .collect();
        Daemon::new(name, program.into(), arguments, pid_file, log_file)
    }
}
