//! Booting a systemd of one's own: the first process of a pid namespace below the sandbox's, in the sandbox's control group,
//! with nothing to start but what it is asked for.
//!
//! It logs to /dev/kmsg, which is a FIFO here, and its services log to a journal's socket at which init listens: no journald,
//! no message bus.

use super::super::terminal::{Sink, drain};
use super::super::{Acted, World, system};
use crate::observation::{ServiceType, Unseen};
use crate::sandbox::cgroup::ControlGroup;
use crate::sandbox::root;
use crate::sys;
use nix::fcntl::OFlag;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::stat::Mode;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, mkfifo, pipe2};
use std::ffi::CString;
use std::fs;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

/// Where systemd is, by distribution.
const PROGRAMS: [&str; 2] = ["/lib/systemd/systemd", "/usr/lib/systemd/systemd"];
const UNITS: &str = "/run/systemd/system";
const LOG: &str = "/dev/kmsg";
const JOURNAL: &str = "/run/systemd/journal";
const MACHINE_ID: &str = "/etc/machine-id";
const TARGET: &str = "witness.target";
/// The least time that is given for a boot, which takes a twentieth of a second.
const PATIENCE: Duration = Duration::from_secs(20);
/// The most that is kept of the log, in bytes.
const MOST_LOG: usize = 1 << 20;
/// The lines before the words of a service on a stream to the journal.
const HEADER: usize = 7;
/// How many streams to the journal are heard.
const MOST_STREAMS: usize = 1000;

/// A systemd that runs, and what is heard of it.
pub(in super::super) struct Manager {
    pub(super) pid: i32,
    pub(super) pidfd: OwnedFd,
    /// What it has logged.
    pub(super) log: Vec<u8>,
    kmsg: fs::File,
    journal: UnixListener,
    streams: Vec<(UnixStream, usize)>,
    /// What services have written to the journal.
    pub(super) said: Sink,
}

impl Manager {
    pub(in super::super) fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.kmsg.as_fd()
    }

    /// In the child of a fork: runs something in systemd's namespaces, and ends as that does. `run` never returns.
    pub(in super::super) fn enter_and(&self, run: impl FnOnce()) -> ! {
        let namespaces = CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWCGROUP;
        if setns(&self.pidfd, namespaces).is_err() {
            sys::exit_now(1);
        }
        // Only what is forked from now on is in the pid namespace.
        match sys::fork() {
            Ok(ForkResult::Child) => {
                run();
                sys::exit_now(1)
            }
            Ok(ForkResult::Parent { child }) => sys::exit_now(match waitpid(child, None) {
                Ok(WaitStatus::Exited(_, status)) => status,
                _ => 1,
            }),
            Err(_) => sys::exit_now(1),
        }
    }

    /// Takes in what has come.
    pub(in super::super) fn hear(&mut self) {
        let Manager { log, kmsg, journal, streams, said, .. } = self;
        drain(kmsg, |bytes| {
            let room = MOST_LOG.saturating_sub(log.len()).min(bytes.len());
            log.extend_from_slice(&bytes[..room]);
        });
        while let Ok((stream, _)) = journal.accept() {
            if stream.set_nonblocking(true).is_ok() && streams.len() < MOST_STREAMS {
                streams.push((stream, HEADER));
            }
        }
        streams.retain_mut(|(stream, header)| {
            let ended = drain(stream, |mut bytes| {
                while *header > 0 && !bytes.is_empty() {
                    let line = bytes.iter().position(|b| *b == b'\n').map_or(bytes.len(), |end| {
                        *header -= 1;
                        end + 1
                    });
                    bytes = &bytes[line..];
                }
                said.take(bytes);
            });
            !ended
        });
    }

    fn has_logged(&self, words: &str) -> bool {
        self.log.windows(words.len()).any(|window| window == words.as_bytes())
    }
}

impl World<'_> {
    /// Why no systemd can be booted here, if none can.
    fn why_no_systemd(&self) -> Option<String> {
        if !self.is_isolated() {
            return Some("systemd is only booted in a sandbox".to_owned());
        }
        if !nix::unistd::geteuid().is_root() {
            return Some("only root may boot a systemd".to_owned());
        }
        if program().is_none() {
            return Some(format!("systemd is not installed (no {})", PROGRAMS[0]));
        }
        self.inside.control_group.as_ref().err().map(|why| format!("systemd needs a control group of its own: {why}"))
    }

    /// Boots a systemd that has these units.
    pub(super) fn boot(&mut self, units: &[(ServiceType, String)]) -> Acted<Result<(), Unseen>> {
        if let Some(why) = self.why_no_systemd() {
            return Ok(Err(Unseen::Broken(why)));
        }
        let (Some(program), Ok(group)) = (program(), &self.inside.control_group) else {
            return Ok(Err(Unseen::Broken(String::new())));
        };
        let (kmsg, journal) = system("preparing systemd's files", prepare(units))?;
        let (reader, writer) = system("pipe", pipe2(OFlag::O_CLOEXEC))?;
        if let ForkResult::Child = system("fork", sys::fork())? {
            bear(program, group, &writer, self.inside.nice);
        }
        drop(writer);
        let deadline = self.within(PATIENCE.max(self.subject.timeout));
        let mut number = [0; 4];
        if !self.await_readable(reader.as_fd(), deadline)? || fs::File::from(reader).read_exact(&mut number).is_err() {
            return Ok(Err(Unseen::Broken("systemd could not be given namespaces of its own".to_owned())));
        }
        let pid = i32::from_ne_bytes(number);
        let pidfd = system("pidfd_open", sys::pidfd_open(nix::unistd::Pid::from_raw(pid)))?;
        self.bystanders.push(pid);
        let (log, streams, said) = (Vec::new(), Vec::new(), Sink::default());
        self.manager = Some(Manager { pid, pidfd, log, kmsg, journal, streams, said });
        let booted = self.await_that(deadline, |world| {
            let ended = world.exits.contains_key(&pid);
            Ok(ended || world.manager.as_ref().is_some_and(|manager| manager.has_logged("Startup finished in")))
        })?;
        if booted && !self.exits.contains_key(&pid) {
            return Ok(Ok(()));
        }
        let log = self.manager.as_ref().map(|manager| String::from_utf8_lossy(&manager.log).into_owned());
        let last = log.as_deref().unwrap_or_default().lines().last().unwrap_or("it said nothing").to_owned();
        let last = crate::observation::Text::new(last.as_bytes());
        Ok(Err(Unseen::Broken(format!("systemd did not come up: {}", last.short(200)))))
    }
}

fn program() -> Option<&'static str> {
    PROGRAMS.into_iter().find(|path| Path::new(path).is_file())
}

/// All that systemd finds: its units and no others, a journal's socket, and a log.
fn prepare(units: &[(ServiceType, String)]) -> std::io::Result<(fs::File, UnixListener)> {
    // systemd mounts a /run of its own unless one is mounted; the subject's is to stay.
    mount(Some("/run"), "/run", None::<&str>, MsFlags::MS_BIND | MsFlags::MS_REC, None::<&str>)?;
    fs::create_dir_all("/run/systemd")?;
    // What the machine's own systemd has there is not this one's.
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some("tmpfs"), "/run/systemd", Some("tmpfs"), flags, Some("mode=755,size=16m"))?;
    fs::create_dir_all(UNITS)?;
    fs::write(format!("{UNITS}/{TARGET}"), "[Unit]\nDefaultDependencies=no\n")?;
    for (service, text) in units {
        fs::write(format!("{UNITS}/{}", super::name(*service)), text)?;
    }
    fs::create_dir_all(JOURNAL)?;
    let socket = format!("{JOURNAL}/stdout");
    let journal = UnixListener::bind(&socket)?;
    journal.set_nonblocking(true)?;
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o666))?;
    // Without one it takes itself to boot for the first time, and has much to do.
    if fs::read(MACHINE_ID).is_ok_and(|id| id.is_empty()) || !Path::new(MACHINE_ID).exists() {
        fs::write(MACHINE_ID, "0123456789abcdef0123456789abcdef\n")?;
    }
    mkfifo(LOG, Mode::from_bits_truncate(0o600))?;
    // Open for writing as well, so that there is always a reader and never an end.
    let kmsg = fs::OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(LOG)?;
    Ok((kmsg, journal))
}

/// In the child of a fork: puts itself into the control group, begets systemd, says by which number init knows it, and ends.
fn bear(program: &str, group: &ControlGroup, tell: &OwnedFd, nice: i32) -> ! {
    let apart = CloneFlags::CLONE_NEWCGROUP | CloneFlags::CLONE_NEWPID;
    if group.join().is_err() || unshare(apart).is_err() {
        sys::exit_now(1);
    }
    match sys::fork() {
        Ok(ForkResult::Child) => become_systemd(program, nice),
        Ok(ForkResult::Parent { child }) => {
            let _ = nix::unistd::write(tell, &child.as_raw().to_ne_bytes());
            sys::exit_now(0)
        }
        Err(_) => sys::exit_now(1),
    }
}

fn become_systemd(program: &str, nice: i32) -> ! {
    sys::reset_signals();
    sys::set_nice(nice);
    let _ = nix::unistd::setsid();
    sys::close_range(3, i32::MAX);
    let quiet = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    let furnished = root::fresh_proc()
        .and_then(|()| mount(Some("cgroup2"), "/sys/fs/cgroup", Some("cgroup2"), quiet, None::<&str>));
    if furnished.is_err() {
        sys::exit_now(1);
    }
    let (unit, path) = (format!("--unit={TARGET}"), format!("SYSTEMD_UNIT_PATH={UNITS}"));
    let words = [program, "--system", &unit, "--log-target=kmsg", "--log-level=info", "--show-status=no"];
    // No generators either: they look at the machine's own files, for much longer than all the rest takes.
    let variables = [
        "container=daemonspec",
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        &path,
        "SYSTEMD_GENERATOR_PATH=",
        "SYSTEMD_ENVIRONMENT_GENERATOR_PATH=",
    ];
    let c = |all: &[&str]| all.iter().filter_map(|word| CString::new(*word).ok()).collect::<Vec<_>>();
    if let Ok(program) = CString::new(program) {
        sys::exec(&program, &c(&words), &c(&variables));
    }
    sys::exit_now(1)
}
