//! One login as its other end sees it: the terminal's output before and after the launcher's end, and the shell.

use crate::observation::{Output, Pid, Text};
use crate::sandbox::shell::MARK;
use nix::fcntl::OFlag;
use nix::pty::{PtyMaster, grantpt, posix_openpt, ptsname_r, unlockpt};
use std::fs;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::Path;

/// How much is read from one terminal or pipe before the others get their turn.
const TURN: usize = 1 << 20;

/// Keeps the first bytes and counts all.
#[derive(Default)]
pub(super) struct Sink {
    pub(super) head: Vec<u8>,
    pub(super) bytes: u64,
    last: Option<u8>,
}

impl Sink {
    pub(super) fn take(&mut self, bytes: &[u8]) {
        let room = Text::LIMIT.saturating_sub(self.head.len()).min(bytes.len());
        self.head.extend_from_slice(&bytes[..room]);
        self.bytes += bytes.len() as u64;
        self.last = bytes.last().copied().or(self.last);
    }

    pub(super) fn output(&self) -> Output {
        let whole_lines = self.last.is_none_or(|byte| byte == b'\n');
        Output { text: Text::new(&self.head), bytes: self.bytes, whole_lines }
    }
}

/// A terminal as its other end sees it: what came before the shell's mark, and what came after.
pub(super) struct Terminal {
    pub(super) master: Option<PtyMaster>,
    /// The device number of its slave side.
    pub(super) device: u64,
    pub(super) before: Sink,
    pub(super) after: Sink,
    pub(super) marked: bool,
    /// The last bytes before the mark, in which it may have begun.
    pub(super) carry: Vec<u8>,
}

impl Terminal {
    pub(super) fn take(&mut self, bytes: &[u8]) {
        if self.marked {
            return self.after.take(bytes);
        }
        let mut window = std::mem::take(&mut self.carry);
        window.extend_from_slice(bytes);
        if let Some(start) = window.windows(MARK.len()).position(|w| w == MARK) {
            self.before.take(&window[..start]);
            self.marked = true;
            return self.after.take(&window[start + MARK.len()..]);
        }
        let keep = window.len().min(MARK.len() - 1);
        let (done, rest) = window.split_at(window.len() - keep);
        self.before.take(done);
        self.carry = rest.to_vec();
    }
}

/// The end of a pipe from which is read what the subject says there.
pub(super) struct PipeEnd {
    pub(super) file: fs::File,
    pub(super) sink: Sink,
    /// Nobody can write to it any more.
    pub(super) ended: bool,
}

impl PipeEnd {
    pub(super) fn new(fd: OwnedFd) -> Self {
        PipeEnd { file: fd.into(), sink: Sink::default(), ended: false }
    }
}

/// A shell, its terminal, and the launch it made.
pub(super) struct Login {
    pub(super) shell: Pid,
    pub(super) pidfd: OwnedFd,
    pub(super) control: OwnedFd,
    pub(super) terminal: Terminal,
    /// The writing end of what is its standard input, kept open.
    pub(super) _input: Option<OwnedFd>,
    /// The reading ends of what are its standard output and error, where those are pipes.
    pub(super) pipes: [Option<PipeEnd>; 2],
    /// Canaries it forked; none is a member.
    pub(super) canaries: Vec<Pid>,
}

impl Login {
    pub(super) fn drain(&mut self) {
        if let Some(master) = &mut self.terminal.master {
            let mut got = Vec::new();
            drain(master, |bytes| got.extend_from_slice(bytes));
            self.terminal.take(&got);
        }
        for pipe in self.pipes.iter_mut().flatten() {
            pipe.ended |= drain(&mut pipe.file, |bytes| pipe.sink.take(bytes));
        }
    }
}

/// Reads what is there without waiting, at most [`TURN`] bytes; says whether that was the end.
pub(super) fn drain(from: &mut impl Read, mut take: impl FnMut(&[u8])) -> bool {
    let mut chunk = [0; 16384];
    let mut left = TURN;
    while left > 0 {
        match from.read(&mut chunk) {
            Ok(0) => return true,
            Ok(n) => {
                take(&chunk[..n]);
                left = left.saturating_sub(n);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // EAGAIN: nothing more now. EIO: nobody holds the terminal's other side.
            Err(_) => return false,
        }
    }
    false
}

pub(super) fn open_terminal() -> nix::Result<(PtyMaster, OwnedFd)> {
    let master = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
    grantpt(&master)?;
    unlockpt(&master)?;
    let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let slave = nix::fcntl::open(Path::new(&ptsname_r(&master)?), flags, nix::sys::stat::Mode::empty())?;
    Ok((master, slave))
}
