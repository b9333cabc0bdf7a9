//! Timing a start: until its launcher has ended, and until all that "ready" means is there.
//!
//! Both are events: the launcher's end on a pidfd, a file in a watched directory (inotify(7)), a message at the notify socket. A
//! TCP port has none that a bystander could wait for, and is looked for again after a short pause.

use super::looking::is_there;
use super::{Acted, Start, World, system};
use crate::observation::{Exit, Style};
use crate::observe::{self, files};
use crate::subject::{Ready, Subject};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Between two looks for a TCP port.
const LOOK: Duration = Duration::from_micros(100);
/// Between two looks at what has no event of its own and is not timed: that somebody is still there.
const GLANCE: Duration = Duration::from_millis(20);

const ENDED: u64 = 1;
const WRITTEN: u64 = 2;

/// The moments of one start, counted from the word to go.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Moments {
    /// The launcher had ended.
    pub(crate) ended: Option<Duration>,
    /// All that "ready" means was there: a PID file that names a live process, and what `--ready` declares.
    pub(crate) ready: Option<Duration>,
    /// From the time that a variable of the daemon's said, until the launcher had ended.
    pub(crate) since_stamp: Option<Duration>,
}

/// What is waited for.
struct Watch {
    epoll: Epoll,
    written: Inotify,
    /// The files that may come.
    files: Vec<PathBuf>,
}

impl Watch {
    fn new(files: Vec<PathBuf>) -> nix::Result<Self> {
        let written = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(&written, EpollEvent::new(EpollFlags::EPOLLIN, WRITTEN))?;
        let watch = Watch { epoll, written, files };
        watch.arm();
        Ok(watch)
    }

    /// Watches each file's directory, or what is there of the way to it.
    fn arm(&self) {
        let flags = AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_MOVED_TO;
        for file in &self.files {
            let found = file.ancestors().skip(1).find(|directory| directory.is_dir()).unwrap_or(Path::new("/"));
            // One directory is watched once, however often that is asked for.
            let _ = self.written.add_watch(found, flags);
        }
    }

    /// Whether the launcher has ended since that was last asked.
    fn has_ended(&self, launcher: BorrowedFd<'_>) -> bool {
        let mut events = [EpollEvent::empty(); 2];
        let count = self.epoll.wait(&mut events, EpollTimeout::ZERO).unwrap_or(0);
        let told = |of: u64| events[..count].iter().any(|event| event.data() == of);
        if told(WRITTEN) {
            // Emptied before anybody looks: what is written from now on is told of anew.
            let _ = self.written.read_events();
            self.arm();
        }
        // It stays readable, and would be told of for ever.
        told(ENDED) && self.epoll.delete(launcher).is_ok()
    }
}

/// What is said of a launcher that is still there at the deadline.
pub(crate) fn did_not_end(subject: &Subject) -> String {
    let seconds = subject.timeout.as_secs_f64();
    format!(
        "its launcher did not end within {seconds} s (--timeout; of a daemon that stays in the foreground: --profile foreground)"
    )
}

fn now() -> Acted<TimeSpec> {
    system("clock_gettime", clock_gettime(ClockId::CLOCK_MONOTONIC))
}

impl World<'_> {
    /// Starts the subject, and says how long that took, or why the start failed. `stamp` names a variable of the daemon's that
    /// holds a time, in nanoseconds of CLOCK_MONOTONIC.
    pub(crate) fn time_launch(&mut self, start: Start, stamp: &str) -> Acted<Result<Moments, String>> {
        let watch = system("inotify", Watch::new(self.awaited_files()))?;
        let awaits_ready = self.pidfile.is_some() || !self.subject.ready.is_empty();
        let begun = self.begin(start)?;
        let launcher = begun.pidfd.as_fd();
        system("epoll", watch.epoll.add(launcher, EpollEvent::new(EpollFlags::EPOLLIN, ENDED)))?;
        let (mut ended, mut ready, mut reaped) = (None, None, false);
        loop {
            let has_ended = watch.has_ended(launcher);
            let moment = now()?;
            if has_ended {
                ended = Some(moment);
            }
            if ready.is_none() && awaits_ready && self.seems_ready() {
                ready = Some(moment);
            }
            let done = match self.style {
                Style::SysV => ended.is_some() && ready.is_some() == awaits_ready,
                Style::NewStyle => ready.is_some(),
            };
            // Only where no moment is awaited closely any more: it takes its time.
            if ended.is_some_and(|ended| done || Duration::from(moment - ended) >= GLANCE) && !reaped {
                reaped = true;
                if let Some(exit @ (Exit::Status(1..) | Exit::Signal(_))) = self.reap_launcher()? {
                    return Ok(Err(format!("its launcher ended with {exit}{}", self.last_words())));
                }
            }
            if done && self.still_ready(awaits_ready) {
                break;
            }
            if done {
                // The PID file named a process that was about to end.
                ready = None;
            }
            if reaped && self.member_pids().is_empty() {
                return Ok(Err(format!("no process was left of it, and it was not ready{}", self.last_words())));
            }
            let Some(left) = self.left(begun.deadline) else {
                return Ok(Err(self.why_not_done(ended.is_some())));
            };
            self.pump()?;
            let pause = if self.looks_for_port() && ready.is_none() { LOOK } else { GLANCE };
            self.sleep(Some(watch.epoll.0.as_fd()), pause.min(left));
        }
        let daemon = self.pidfile.as_deref().and_then(files::number_in);
        let stamped = daemon.and_then(|pid| observe::variable(pid, stamp)).and_then(|value| value.parse().ok());
        let since = |from: TimeSpec, to: TimeSpec| Duration::from(to - from);
        Ok(Ok(Moments {
            ended: ended.map(|ended| since(begun.went, ended)),
            ready: ready.map(|ready| since(begun.went, ready)),
            since_stamp: stamped
                .zip(ended)
                .map(|(nanoseconds, ended)| since(TimeSpec::from(Duration::from_nanos(nanoseconds)), ended)),
        }))
    }

    fn awaited_files(&self) -> Vec<PathBuf> {
        let ready = self.subject.ready.iter().filter_map(|ready| match ready {
            Ready::Unix(path) | Ready::File(path) => Some(path.clone()),
            Ready::Tcp(_) | Ready::Notify => None,
        });
        self.pidfile.iter().cloned().chain(ready).collect()
    }

    fn looks_for_port(&self) -> bool {
        self.subject.ready.iter().any(|ready| matches!(ready, Ready::Tcp(_)))
    }

    /// Whether it looks ready, at the price of a few calls: whose process the PID file names is asked later.
    fn seems_ready(&self) -> bool {
        let names_somebody = |path: &Path| files::number_in(path).is_some_and(|pid| !observe::alive(&[pid]).is_empty());
        self.pidfile.as_deref().is_none_or(names_somebody) && self.serves() && self.has_said_ready()
    }

    fn still_ready(&self, awaits_ready: bool) -> bool {
        !awaits_ready || self.shows_ready_of(self.pidfile.as_deref(), &self.member_pids())
    }

    /// What the start has said so far, if anything, after a colon.
    fn last_words(&mut self) -> String {
        let Some(login) = self.logins.last_mut() else { return String::new() };
        login.drain();
        let pipes = login.pipes.iter().rev().flatten().map(|pipe| pipe.sink.output());
        let said = pipes.chain([login.terminal.before.output()]).find(|output| output.bytes > 0);
        said.map_or(String::new(), |said| format!(": {}", said.text.short(200)))
    }

    fn why_not_done(&mut self, has_ended: bool) -> String {
        let seconds = self.subject.timeout.as_secs_f64();
        if !has_ended && self.style == Style::SysV {
            return did_not_end(self.subject) + &self.last_words();
        }
        let members = self.member_pids();
        let named = self
            .pidfile
            .as_deref()
            .filter(|path| !files::number_in(path).is_some_and(|pid| observe::is_among(pid, &members)));
        let mut missing: Vec<String> =
            named.map(|path| format!("{} names no process of it", path.display())).into_iter().collect();
        missing.extend(
            self.subject
                .ready
                .iter()
                .filter(|ready| !is_there(ready) || (**ready == Ready::Notify && !self.has_said_ready()))
                .map(|ready| match ready {
                    Ready::Tcp(address) => format!("nothing listens at {address}"),
                    Ready::Unix(path) => format!("no socket is at {}", path.display()),
                    Ready::File(path) => format!("no file is at {}", path.display()),
                    Ready::Notify => "it did not say READY=1".to_owned(),
                }),
        );
        format!("it was not ready within {seconds} s (--timeout): {}{}", missing.join(", "), self.last_words())
    }
}
