//! What was seen: plain, serializable data, and the only thing that checks read.
//!
//! Nothing here acts or reads the system. Every word that comes from the subject is held in [`Text`],
//! bounded and escaped at the moment it is taken, so that no later reader has to be careful with it.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Bytes of the subject's (a path, a title, a file's content), made printable and bounded.
///
/// Invalid UTF-8 and control characters are written as `\xNN`, newline and tab as `\n` and `\t`, a backslash as `\\`.
/// What is cut off is counted, never dropped silently.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Text(String);

impl Text {
    /// The most bytes of the subject's that one `Text` keeps.
    pub const LIMIT: usize = 4096;

    /// Escapes `bytes`, keeping at most [`Text::LIMIT`] of them.
    pub fn new(bytes: &[u8]) -> Self {
        let kept = &bytes[..bytes.len().min(Self::LIMIT)];
        let mut out = String::with_capacity(kept.len());
        for chunk in kept.utf8_chunks() {
            for c in chunk.valid().chars() {
                escape(c, &mut out);
            }
            for byte in chunk.invalid() {
                out.push_str(&format!("\\x{byte:02x}"));
            }
        }
        if bytes.len() > kept.len() {
            out.push_str(&format!("[and {} bytes more]", bytes.len() - kept.len()));
        }
        Text(out)
    }

    /// The escaped text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether nothing was there.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// At most `width` characters of it, with an ellipsis where it was cut.
    pub fn short(&self, width: usize) -> String {
        if self.0.chars().count() <= width {
            return self.0.clone();
        }
        let mut cut: String = self.0.chars().take(width.saturating_sub(3)).collect();
        cut.push_str("...");
        cut
    }
}

/// `text` as a terminal may show it: what is already printable stays as it is, backslashes included.
pub(crate) fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c == '\\' { out.push(c) } else { escape(c, &mut out) }
    }
    out
}

/// Controls, and the characters that reorder or hide text on a terminal, are written out.
fn escape(c: char, out: &mut String) {
    match c {
        '\n' => out.push_str("\\n"),
        '\t' => out.push_str("\\t"),
        '\r' => out.push_str("\\r"),
        '\\' => out.push_str("\\\\"),
        c if c.is_control() => out.push_str(&format!("\\x{:02x}", u32::from(c))),
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' => {
            out.push_str(&format!("\\u{{{:04x}}}", u32::from(c)));
        }
        c => out.push(c),
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A process id as seen inside the sandbox.
pub type Pid = i32;

/// How a process ended (waitid(2)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Exit {
    /// It exited with this status.
    Status(i32),
    /// This signal ended it.
    Signal(i32),
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Exit::Status(status) => write!(f, "status {status}"),
            Exit::Signal(number) => write!(f, "{}", signal_name(*number)),
        }
    }
}

/// `SIGTERM` for 15, `signal 40` for what has no name of its own.
pub fn signal_name(number: i32) -> String {
    nix::sys::signal::Signal::try_from(number).map_or_else(|_| format!("signal {number}"), |s| s.as_str().to_owned())
}

/// What kind of thing a descriptor or a path leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileKind {
    /// A regular file.
    Regular,
    /// A directory.
    Directory,
    /// /dev/null, by its device number.
    NullDevice,
    /// A terminal: a slave of devpts, /dev/tty, or a console.
    Terminal,
    /// Any other character device.
    CharacterDevice,
    /// A block device.
    BlockDevice,
    /// A pipe or FIFO.
    Pipe,
    /// A socket.
    Socket,
    /// A connected stream socket of the UNIX domain, as leads to a logger of one's own.
    LocalStream,
    /// A symbolic link (of paths only).
    Link,
    /// epoll, eventfd, signalfd, timerfd, pidfd and their like.
    Anonymous,
}

/// One open descriptor of a process (/proc/PID/fd, /proc/PID/fdinfo).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Descriptor {
    /// Its number.
    pub fd: i32,
    /// What /proc/PID/fd says it leads to.
    pub target: Text,
    /// Its kind, by stat(2).
    pub kind: FileKind,
    /// Device number of a device; 0 otherwise.
    pub rdev: u64,
    /// Open for reading.
    pub readable: bool,
    /// Open for writing.
    pub writable: bool,
    /// The mount it was opened on (fdinfo's `mnt_id`).
    pub mount: Option<i32>,
}

/// One process of the subject's, alive or zombie.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its process id.
    pub pid: Pid,
    /// Its parent.
    pub ppid: Pid,
    /// Its process group.
    pub pgrp: Pid,
    /// Its session.
    pub session: Pid,
    /// Its controlling terminal's device number; 0 for none (proc(5), stat field 7).
    pub tty_nr: i32,
    /// Its state: `S`, `R`, `Z` ... (proc(5)).
    pub state: char,
    /// How many threads it has; those of a process whose main thread has ended count.
    pub threads: i64,
    /// Its command name.
    pub name: Text,
    /// Its working directory, as /proc/PID/cwd shows it.
    pub cwd: Option<Text>,
    /// Its root directory.
    pub root: Option<Text>,
    /// Its descriptors; `None` where they could not be read.
    pub descriptors: Option<Vec<Descriptor>>,
    /// Effective user id.
    pub uid: u32,
}

impl Process {
    /// Whether it has ended and only waits to be reaped.
    pub fn is_zombie(&self) -> bool {
        matches!(self.state, 'Z' | 'X') && self.threads <= 1
    }

    /// Whether `ancestor` is above it, as far as `all` tells who begot whom.
    pub fn descends_from(&self, ancestor: Pid, all: &[&Process]) -> bool {
        let mut at = self.ppid;
        // No further than there are processes: what a recording says may go round in a circle.
        for _ in 0..all.len() {
            if at == ancestor {
                return true;
            }
            match all.iter().find(|p| p.pid == at) {
                Some(parent) => at = parent.ppid,
                None => return false,
            }
        }
        false
    }

    /// Its descriptor `fd`, if that is open.
    pub fn descriptor(&self, fd: i32) -> Option<&Descriptor> {
        self.descriptors.as_ref()?.iter().find(|d| d.fd == fd)
    }
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pid {} ({})", self.pid, self.name.short(24))
    }
}

/// A file at a path, at one instant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileSeen {
    /// Where.
    pub path: Text,
    /// What was there; `None` for nothing.
    pub found: Option<FileFound>,
}

/// What was at the path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileFound {
    /// Its kind, the path's last link not followed.
    pub kind: FileKind,
    /// Length in bytes.
    pub length: u64,
    /// Its inode, which tells a rewritten file from a replaced one.
    pub inode: u64,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Its first bytes, of a regular file that could be read.
    pub content: Option<Text>,
}

impl FileSeen {
    /// The process id it begins with, as most readers of PID files take it (a line or a word more does no harm to that).
    pub fn number(&self) -> Option<Pid> {
        let content = self.found.as_ref()?.content.as_ref()?.as_str().trim_start();
        let end = content.bytes().position(|b| !b.is_ascii_digit()).unwrap_or(content.len());
        parse_pid(&content[..end])
    }

    /// The number it holds, if it holds one and nothing else (white space aside).
    pub fn only_number(&self) -> Option<Pid> {
        parse_pid(self.found.as_ref()?.content.as_ref()?.as_str().trim_end_matches("\\n"))
    }
}

/// A process id as a PID file may write it: decimal digits, white space around them ignored.
pub fn parse_pid(text: &str) -> Option<Pid> {
    let digits = text.trim();
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok().filter(|pid| *pid > 0)
}

/// What came out of a terminal or a pipe.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// Its first bytes.
    pub text: Text,
    /// How many bytes there were in all.
    pub bytes: u64,
}

/// How the main process was told from the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MainBy {
    /// The PID file names it.
    PidFile,
    /// Nothing else is alive.
    OnlySurvivor,
    /// Init adopted it, and the others descend from it.
    Ancestor,
}

/// The processes and files at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Look {
    /// Whether all was at rest: between two readings no thread of any member ran.
    pub at_rest: bool,
    /// All members, by process id.
    pub members: Vec<Process>,
    /// The main process, and how it was found.
    pub main: Option<(Pid, MainBy)>,
    /// The PID file, where one was declared or discovered.
    pub pidfile: Option<FileSeen>,
    /// The log, where one was declared or discovered.
    pub log: Option<FileSeen>,
}

impl Look {
    /// The main process.
    pub fn main(&self) -> Option<&Process> {
        let (pid, _) = self.main?;
        self.members.iter().find(|p| p.pid == pid)
    }

    /// Members that have not ended.
    pub fn alive(&self) -> impl Iterator<Item = &Process> {
        self.members.iter().filter(|p| !p.is_zombie())
    }
}

/// One start of the subject by a shell on a terminal of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Launch {
    /// The shell: leader of the session that owns the terminal.
    pub shell: Pid,
    /// The terminal's device number as a process's `tty_nr` shows it; what `no-controlling-terminal` looks for.
    pub shell_tty_nr: i32,
    /// The same as descriptors show it (st_rdev).
    pub terminal: u64,
    /// The started process.
    pub launcher: Pid,
    /// The directory it was started from.
    pub directory: Text,
    /// How the launcher ended; `None` when it had not by the deadline.
    pub ended: Option<Exit>,
    /// Small files that the subject wrote, at the instant the launcher ended and before it was reaped.
    pub files_at_exit: Vec<FileSeen>,
    /// The PID file at that instant, where its path was known.
    pub pidfile_at_exit: Option<FileSeen>,
    /// What the terminal showed up to the launcher's end.
    pub output: Output,
    /// What came on standard error, where that was a pipe of its own.
    pub errors: Option<Output>,
}

/// The treatment that is none: the daemon ended although nothing had been done to it.
pub const BY_ITSELF: &str = "by-itself";

/// Something done to a running daemon, and what became of its main process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Treatment {
    /// Whether it is proven that the act took place (a canary died of it, the kernel accepted the signal).
    pub delivered: bool,
    /// Whether all came to rest afterwards, so that nothing more can come of it.
    pub at_rest: bool,
    /// The main process it was aimed at.
    pub main: Pid,
    /// Whether that process outlived it.
    pub survived: bool,
    /// How it ended, where it ended and init could see it.
    pub ended: Option<Exit>,
}

/// Whether the launch directory's mount could be taken away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// The mount was unmounted.
    pub unmounted: bool,
    /// Who held it: a process, and by what (`cwd`, `root`, `fd 5 ...`, `exe`).
    pub holders: Vec<Holder>,
}

/// One thing that keeps a file system busy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The process.
    pub pid: Pid,
    /// By what it holds the file system.
    pub by: Hold,
    /// The path held.
    pub path: Text,
}

/// By what a process keeps a file system busy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hold {
    /// Its working directory.
    WorkingDirectory,
    /// Its root directory.
    Root,
    /// An open directory.
    Directory,
    /// An open file.
    File,
    /// The program it runs, or a library.
    Program,
}

/// The end of a daemon that was told to stop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stop {
    /// The main process that was told.
    pub main: Pid,
    /// Whether it was gone by the deadline.
    pub gone: bool,
    /// How it ended, where init could see it.
    pub ended: Option<Exit>,
    /// Members still alive afterwards, at rest or at the deadline.
    pub left: Vec<Process>,
    /// The PID file afterwards.
    pub pidfile: Option<FileSeen>,
}

/// A file planted or kept over a restart, before and after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// What was planted, a whole line.
    pub line: Text,
    /// The path.
    pub path: Text,
    /// Whether the line was still there afterwards, where it had been.
    pub kept: bool,
}

/// One thing seen in a scenario.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Seen {
    /// A start.
    Launch(Box<Launch>),
    /// A look around.
    Look(Box<Look>),
    /// Something done.
    Treatment(Treatment),
    /// An attempt to unmount the launch directory.
    Release(Release),
    /// A stop.
    Stop(Box<Stop>),
    /// What the terminal showed after the launcher's end.
    Output(Output),
    /// A line planted in a file.
    Kept(Kept),
    /// A file put in the subject's way.
    Planted(FileSeen),
    /// A part that could not be carried out, and why.
    Unseen(Unseen),
}

/// Why something was not seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unseen {
    /// It does not apply to this subject or this isolation.
    Skip(String),
    /// It should have been seen and could not be.
    Broken(String),
}

/// Everything seen in one scenario, in order, each under the name the scenario gave it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    /// The scenario's name.
    pub scenario: String,
    /// What was seen.
    pub seen: Vec<(String, Seen)>,
}

macro_rules! finders {
    ($($(#[$doc:meta])* $name:ident: $variant:ident -> $type:ty;)*) => {
        $($(#[$doc])*
        ///
        /// # Errors
        /// The reason why it was not seen.
        pub fn $name(&self, name: &str) -> Result<&$type, Unseen> {
            for (_, seen) in self.seen.iter().filter(|(n, _)| n == name) {
                match seen {
                    Seen::$variant(value) => return Ok(value),
                    Seen::Unseen(why) => return Err(why.clone()),
                    _ => {}
                }
            }
            Err(Unseen::Broken(format!("scenario `{}` did not come to `{name}`", self.scenario)))
        })*
    };
}

impl Observation {
    finders! {
        /// The start of that name.
        launch: Launch -> Launch;
        /// The look of that name.
        look: Look -> Look;
        /// The treatment of that name.
        treatment: Treatment -> Treatment;
        /// The release of that name.
        release: Release -> Release;
        /// The stop of that name.
        stop: Stop -> Stop;
        /// The planted line of that name.
        kept: Kept -> Kept;
        /// The planted file of that name.
        planted: Planted -> FileSeen;
    }

    /// Everything the terminal showed after a launcher's end, in all lives of the daemon.
    pub fn later_output(&self) -> impl Iterator<Item = &Output> {
        self.seen.iter().filter_map(|(_, seen)| match seen {
            Seen::Output(output) => Some(output),
            _ => None,
        })
    }
}

/// How much of the sandbox a run had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Isolation {
    /// Namespaces and an overlay root: nothing reaches the machine.
    Full,
    /// None of them: a subreaper on the machine itself.
    None,
}

impl fmt::Display for Isolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Isolation::Full => "full",
            Isolation::None => "none",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn text_keeps_plain_words_and_writes_out_the_rest() {
        assert_eq!(Text::new(b"a b\n\x1b[2J\xff\\").as_str(), "a b\\n\\x1b[2J\\xff\\\\");
        assert_eq!(Text::new("\u{202e}gnp".as_bytes()).as_str(), "\\u{202e}gnp");
    }

    #[test]
    fn text_is_bounded_and_says_what_it_left_out() {
        let text = Text::new(&vec![b'x'; Text::LIMIT + 7]);
        assert!(text.as_str().ends_with("[and 7 bytes more]"));
    }

    #[test]
    fn a_pid_is_decimal_digits_and_nothing_else() {
        assert_eq!(parse_pid(" 12\n"), Some(12));
        for bad in ["", "0", "-1", "+1", "1 2", "12abc", "99999999999999999999", "\0"] {
            assert_eq!(parse_pid(bad), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn text_never_lets_a_control_character_through(bytes in proptest::collection::vec(any::<u8>(), 0..9000)) {
            let text = Text::new(&bytes);
            prop_assert!(text.as_str().chars().all(|c| !c.is_control()));
            prop_assert!(text.as_str().len() <= Text::LIMIT * 4 + 40);
        }

        #[test]
        fn parse_pid_accepts_what_it_prints(pid in 1..i32::MAX) {
            prop_assert_eq!(parse_pid(&format!("{pid}\n")), Some(pid));
        }
    }
}
