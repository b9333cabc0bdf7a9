//! Reads what a stopped thread's call is about: its arguments in words, and the files it means.

use super::calls::{Interface, Is, Known, SETLK64, SETLKW64};
use crate::observation::{Pid, Text, signal_name};
use crate::sys::ptrace;
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use std::ffi::OsString;
use std::fs;
use std::io::IoSliceMut;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// The most that is shown of the bytes that a call writes.
const MOST_BYTES: usize = 64;
/// The longest path (PATH_MAX).
const LONGEST_PATH: usize = 4096;
const PAGE: usize = 4096;

/// What a call is about.
#[derive(Debug, Default)]
pub(super) struct Meaning {
    pub(super) arguments: String,
    pub(super) path: Option<Text>,
    pub(super) to: Option<Text>,
    pub(super) fd: Option<i32>,
}

/// Reads a process's memory; less where it ends there.
fn memory(tid: Pid, address: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    let pid = nix::unistd::Pid::from_raw(tid);
    let remote = [RemoteIoVec { base: address as usize, len: length }];
    let read = process_vm_readv(pid, &mut [IoSliceMut::new(&mut bytes)], &remote).unwrap_or(0);
    bytes.truncate(read);
    bytes
}

/// A string that ends with a NUL byte; page by page, since the page after its end may not be there.
fn string(tid: Pid, address: u64) -> Option<Vec<u8>> {
    let mut found = Vec::new();
    let mut at = address;
    while found.len() < LONGEST_PATH {
        let piece = memory(tid, at, (PAGE - at as usize % PAGE).min(256));
        if piece.is_empty() {
            return None;
        }
        if let Some(end) = piece.iter().position(|byte| *byte == 0) {
            found.extend_from_slice(&piece[..end]);
            return Some(found);
        }
        at += piece.len() as u64;
        found.extend(piece);
    }
    Some(found)
}

/// What a descriptor leads to, as /proc says.
fn target(tid: Pid, fd: i32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{tid}/fd/{fd}")).ok()
}

/// The whole path that a call means, as the process sees it.
fn whole(tid: Pid, directory: Option<i32>, path: &[u8]) -> Option<PathBuf> {
    let path = PathBuf::from(OsString::from_vec(path.to_vec()));
    if path.is_absolute() {
        return Some(tidy(&path));
    }
    let base = match directory.filter(|fd| *fd != libc::AT_FDCWD) {
        Some(fd) => target(tid, fd)?,
        None => fs::read_link(format!("/proc/{tid}/cwd")).ok()?,
    };
    Some(if path.as_os_str().is_empty() { base } else { tidy(&base.join(path)) })
}

/// Without `.` and double slashes; `..` stays, since what is before it may be a link.
fn tidy(path: &Path) -> PathBuf {
    path.components().filter(|part| !matches!(part, std::path::Component::CurDir)).collect()
}

fn text(path: &Path) -> Text {
    Text::new(path.as_os_str().as_bytes())
}

/// Reads the call `known` with its raw `arguments`, which the thread is about to make.
pub(super) fn read(tid: Pid, known: &Known, arguments: &[u64; 6], interface: Interface) -> Meaning {
    let Interface { compat, wide_time } = interface;
    let mut meaning = Meaning::default();
    let mut words = Vec::new();
    let mut directory = None;
    for (index, is) in known.arguments.iter().enumerate() {
        let raw = arguments[index];
        let next = arguments.get(index + 1).copied().unwrap_or(0);
        let number = raw as i32;
        let word = match is {
            Is::Hidden => continue,
            Is::Fd => {
                meaning.fd = Some(number);
                // What is closed by the thousand is not looked up each time.
                if known.name != "close" && meaning.path.is_none() {
                    meaning.path = target(tid, number).map(|path| text(&path));
                }
                number.to_string()
            }
            Is::Number => number.to_string(),
            Is::Octal => octal(raw),
            Is::Hex => format!("{raw:#x}"),
            Is::Dir => {
                directory = Some(number);
                match number {
                    libc::AT_FDCWD => "AT_FDCWD".to_owned(),
                    number => number.to_string(),
                }
            }
            Is::Path => {
                let bytes = string(tid, raw);
                let path = bytes.as_deref().and_then(|bytes| whole(tid, directory.take(), bytes)).map(|p| text(&p));
                if meaning.path.is_none() {
                    meaning.path = path;
                } else {
                    meaning.to = path;
                }
                bytes.map_or("NULL".to_owned(), |bytes| format!("\"{}\"", Text::new(&bytes)))
            }
            Is::OpenFlags => open_flags(number),
            Is::CreateMode => {
                let flags = arguments[index - 1] as i32;
                if flags & libc::O_CREAT == 0 && flags & libc::O_TMPFILE != libc::O_TMPFILE {
                    continue;
                }
                octal(raw)
            }
            Is::Signal if number == 0 => "0".to_owned(),
            Is::Signal => signal_name(number),
            Is::How => ["SIG_BLOCK", "SIG_UNBLOCK", "SIG_SETMASK"]
                .get(number as usize)
                .map_or_else(|| number.to_string(), |&name| name.to_owned()),
            Is::Set => word_at(tid, raw, false).map_or("?".to_owned(), set),
            Is::Action => match word_at(tid, raw, compat) {
                Some(0) => "SIG_DFL".to_owned(),
                Some(1) => "SIG_IGN".to_owned(),
                Some(_) => "a handler".to_owned(),
                None => "?".to_owned(),
            },
            Is::Fcntl => fcntl(tid, number, arguments[index + 1]),
            Is::Flock => flock(number),
            Is::CloneFlags => clone_flags(raw),
            // Flags first, and the signal as the fifth of its words, which are as wide for all.
            Is::CloneArguments => match (word_at(tid, raw, false), word_at(tid, raw + 32, false)) {
                (Some(flags), Some(signal)) => clone_flags((flags & !0xff) | (signal & 0xff)),
                _ => "?".to_owned(),
            },
            Is::Bytes => {
                let length = next as usize;
                let shown = memory(tid, raw, length.min(MOST_BYTES));
                let more = if length > shown.len() { "..." } else { "" };
                format!("\"{}\"{more}", Text::new(&shown))
            }
            Is::Address => address(&memory(tid, raw, (next as usize).min(128)), next as usize),
            Is::Resource => resource(number),
            // That of prlimit(2) is as wide for all.
            Is::Limits => match self::words(tid, raw, compat && known.name != "prlimit") {
                Some([soft, hard]) => format!("soft {}, hard {}", limit(soft), limit(hard)),
                _ => "?".to_owned(),
            },
            Is::Time => match self::words(tid, raw, !wide_time) {
                Some([seconds, nanoseconds]) => format!("{seconds}.{nanoseconds:09} s"),
                _ => "?".to_owned(),
            },
            Is::Groups => {
                let count = (arguments[index - 1] as usize).min(32);
                let ids: Vec<String> = memory(tid, raw, count * 4)
                    .chunks_exact(4)
                    .map(|id| u32::from_ne_bytes([id[0], id[1], id[2], id[3]]).to_string())
                    .collect();
                format!("[{}]", ids.join(" "))
            }
        };
        words.push(word);
    }
    meaning.arguments = words.join(", ");
    meaning
}

/// A mode as C and the shell write it.
fn octal(mode: u64) -> String {
    format!("0{:03o}", mode as u32)
}

/// The program that a process has just executed, by the name under which it did that: that of a script and not of its
/// interpreter, of a link and not of what it leads to. `name` is where it is in the process's memory (AT_EXECFN).
pub(super) fn program(tid: Pid, name: Option<u64>) -> PathBuf {
    let named = name.and_then(|address| string(tid, address)).and_then(|name| whole(tid, None, &name));
    // These names of descriptors and of links to programs say nothing.
    let says_nothing = |path: &PathBuf| ["/proc/", "/dev/fd/"].iter().any(|start| path.starts_with(start));
    let file = || fs::read_link(format!("/proc/{tid}/exe")).unwrap_or_default();
    named.filter(|path| path.parent().is_some() && !says_nothing(path)).unwrap_or_else(file)
}

/// Two C longs of the process's.
pub(super) fn words(tid: Pid, address: u64, compat: bool) -> Option<[u64; 2]> {
    Some([word_at(tid, address, compat)?, word_at(tid, address + if compat { 4 } else { 8 }, compat)?])
}

/// A C long of the process's.
fn word_at(tid: Pid, address: u64, compat: bool) -> Option<u64> {
    // Of a stopped thread that is the cheapest way; one that makes its call has only the other.
    if !compat && let Some(word) = ptrace::word(tid, address) {
        return Some(word);
    }
    let bytes = memory(tid, address, if compat { 4 } else { 8 });
    match bytes.len() {
        4 => Some(u64::from(u32::from_ne_bytes(bytes.try_into().ok()?))),
        8 => Some(u64::from_ne_bytes(bytes.try_into().ok()?)),
        _ => None,
    }
}

fn limit(value: u64) -> String {
    if value >= u64::from(u32::MAX) { "unlimited".to_owned() } else { value.to_string() }
}

/// The names of the bits of `value` that `names` has, and the rest as a number.
fn names(value: u64, names: &[(u64, &str)]) -> Vec<String> {
    let mut rest = value;
    let mut found = Vec::new();
    for (bits, name) in names {
        if *bits != 0 && rest & bits == *bits {
            found.push((*name).to_owned());
            rest &= !bits;
        }
    }
    if rest != 0 {
        found.push(format!("{rest:#x}"));
    }
    found
}

fn open_flags(flags: i32) -> String {
    const NAMES: [(i32, &str); 14] = [
        // Those of more than one bit first.
        (libc::O_TMPFILE, "O_TMPFILE"),
        (libc::O_SYNC, "O_SYNC"),
        (libc::O_CREAT, "O_CREAT"),
        (libc::O_EXCL, "O_EXCL"),
        (libc::O_NOCTTY, "O_NOCTTY"),
        (libc::O_TRUNC, "O_TRUNC"),
        (libc::O_APPEND, "O_APPEND"),
        (libc::O_NONBLOCK, "O_NONBLOCK"),
        (libc::O_DSYNC, "O_DSYNC"),
        (libc::O_DIRECTORY, "O_DIRECTORY"),
        (libc::O_NOFOLLOW, "O_NOFOLLOW"),
        (libc::O_CLOEXEC, "O_CLOEXEC"),
        (libc::O_PATH, "O_PATH"),
        // O_LARGEFILE, which 64-bit headers define as nothing.
        (0o100_000, "O_LARGEFILE"),
    ];
    let access =
        ["O_RDONLY", "O_WRONLY", "O_RDWR"].get((flags & libc::O_ACCMODE) as usize).copied().unwrap_or("O_ACCMODE");
    let rest = names((flags & !libc::O_ACCMODE) as u32 as u64, &NAMES.map(|(bits, name)| (bits as u64, name)));
    std::iter::once(access.to_owned()).chain(rest).collect::<Vec<_>>().join("|")
}

fn clone_flags(flags: u64) -> String {
    const NAMES: [(i32, &str); 8] = [
        (libc::CLONE_VM, "CLONE_VM"),
        (libc::CLONE_VFORK, "CLONE_VFORK"),
        (libc::CLONE_FILES, "CLONE_FILES"),
        (libc::CLONE_THREAD, "CLONE_THREAD"),
        (libc::CLONE_NEWPID, "CLONE_NEWPID"),
        (libc::CLONE_NEWNS, "CLONE_NEWNS"),
        (libc::CLONE_NEWUSER, "CLONE_NEWUSER"),
        (libc::CLONE_NEWNET, "CLONE_NEWNET"),
    ];
    let known = NAMES.iter().fold(0, |all, (bits, _)| all | *bits as u64);
    let mut found = names(flags & known, &NAMES.map(|(bits, name)| (bits as u64, name)));
    let signal = (flags & 0xff) as i32;
    if signal != 0 {
        found.push(signal_name(signal));
    }
    found.join("|")
}

fn flock(operation: i32) -> String {
    let names = [
        (libc::LOCK_SH as u64, "LOCK_SH"),
        (libc::LOCK_EX as u64, "LOCK_EX"),
        (libc::LOCK_UN as u64, "LOCK_UN"),
        (libc::LOCK_NB as u64, "LOCK_NB"),
    ];
    self::names(operation as u32 as u64, &names).join("|")
}

fn fcntl(tid: Pid, command: i32, argument: u64) -> String {
    let name = match command {
        libc::F_DUPFD => "F_DUPFD",
        libc::F_DUPFD_CLOEXEC => "F_DUPFD_CLOEXEC",
        libc::F_GETFD => "F_GETFD",
        libc::F_SETFD => "F_SETFD",
        libc::F_SETLK | SETLK64 => "F_SETLK",
        libc::F_SETLKW | SETLKW64 => "F_SETLKW",
        libc::F_OFD_SETLK => "F_OFD_SETLK",
        libc::F_OFD_SETLKW => "F_OFD_SETLKW",
        other => return format!("{other}, {argument:#x}"),
    };
    match command {
        libc::F_GETFD => name.to_owned(),
        libc::F_SETFD => format!("{name}, {}", if argument & 1 == 1 { "FD_CLOEXEC" } else { "0" }),
        libc::F_DUPFD | libc::F_DUPFD_CLOEXEC => format!("{name}, {argument}"),
        _ => {
            // struct flock begins with the kind, a C short.
            let kind = memory(tid, argument, 2);
            let kind = match kind.first() {
                Some(0) => "F_RDLCK",
                Some(1) => "F_WRLCK",
                Some(2) => "F_UNLCK",
                _ => "?",
            };
            format!("{name}, {kind}")
        }
    }
}

fn set(set: u64) -> String {
    let signals: Vec<String> = (1..=64).filter(|n| set >> (n - 1) & 1 == 1).map(signal_name).collect();
    match signals.len() {
        0..=8 => format!("[{}]", signals.join(" ")),
        count => format!("[{count} signals]"),
    }
}

fn resource(number: i32) -> String {
    const NAMES: [&str; 16] = [
        "RLIMIT_CPU",
        "RLIMIT_FSIZE",
        "RLIMIT_DATA",
        "RLIMIT_STACK",
        "RLIMIT_CORE",
        "RLIMIT_RSS",
        "RLIMIT_NPROC",
        "RLIMIT_NOFILE",
        "RLIMIT_MEMLOCK",
        "RLIMIT_AS",
        "RLIMIT_LOCKS",
        "RLIMIT_SIGPENDING",
        "RLIMIT_MSGQUEUE",
        "RLIMIT_NICE",
        "RLIMIT_RTPRIO",
        "RLIMIT_RTTIME",
    ];
    usize::try_from(number).ok().and_then(|n| NAMES.get(n)).map_or_else(|| number.to_string(), |&name| name.to_owned())
}

/// A struct sockaddr, as long as the caller says.
fn address(bytes: &[u8], length: usize) -> String {
    let Some(family) = bytes.first_chunk::<2>().map(|family| i32::from(u16::from_ne_bytes(*family))) else {
        return "?".to_owned();
    };
    let port = || bytes.get(2..4).map_or(0, |port| u16::from_be_bytes([port[0], port[1]]));
    match family {
        libc::AF_UNIX => {
            let name = &bytes[2..length.min(bytes.len())];
            match name.first() {
                None => "unix, unnamed".to_owned(),
                Some(0) => format!("unix @{}", Text::new(&name[1..])),
                Some(_) => format!("unix {}", Text::new(name.split(|byte| *byte == 0).next().unwrap_or_default())),
            }
        }
        libc::AF_INET => match bytes.get(4..8) {
            Some(ip) => format!("{}.{}.{}.{}:{}", ip[0], ip[1], ip[2], ip[3], port()),
            None => "?".to_owned(),
        },
        libc::AF_INET6 => match bytes.get(8..24).and_then(|ip| <[u8; 16]>::try_from(ip).ok()) {
            Some(ip) => format!("[{}]:{}", std::net::Ipv6Addr::from(ip), port()),
            None => "?".to_owned(),
        },
        libc::AF_NETLINK => "netlink".to_owned(),
        other => format!("family {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_every_length_are_read() {
        assert_eq!(address(&[2, 0, 0, 80, 127, 0, 0, 1], 16), "127.0.0.1:80");
        assert_eq!(address(b"\x01\x00/run/x\0\0\0", 110), "unix /run/x");
        assert_eq!(address(b"\x01\x00\0name", 7), "unix @name");
        for length in 0..4 {
            let _ = address(&[2, 0, 0, 80][..length], length);
            let _ = address(&[1, 0, 0, 0][..length], 128);
        }
    }

    #[test]
    fn flags_are_named_and_the_rest_is_a_number() {
        assert_eq!(open_flags(libc::O_RDWR | libc::O_CREAT | libc::O_CLOEXEC), "O_RDWR|O_CREAT|O_CLOEXEC");
        assert_eq!(open_flags(libc::O_RDONLY), "O_RDONLY");
        assert_eq!(flock(libc::LOCK_EX | libc::LOCK_NB), "LOCK_EX|LOCK_NB");
        assert_eq!(clone_flags(0x0120_0011), "SIGCHLD");
    }

    #[test]
    fn memory_that_is_not_there_reads_as_nothing() {
        let me = nix::unistd::getpid().as_raw();
        assert!(string(me, 8).is_none());
        assert_eq!(string(me, c"here".as_ptr() as u64).as_deref(), Some(&b"here"[..]));
    }
}
