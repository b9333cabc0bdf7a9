//! Which errors fit which call: those that its manual page gives and that a correct program cannot rule out.

use crate::observation::{Call, Event, Trace};
use crate::trace::Deed;
use libc::{
    EACCES, EADDRINUSE, EAGAIN, EINTR, EIO, EMFILE, ENFILE, ENOENT, ENOLCK, ENOMEM, ENOSPC, ENOSYS, EPERM, EROFS,
};

/// Whether a call is about a regular file, not a pipe, a socket or a device.
fn is_about_file(call: &Call) -> bool {
    call.path.as_ref().is_some_and(|path| path.as_str().starts_with('/') && !path.as_str().starts_with("/dev/"))
}

/// Whether a call that closes a descriptor closes a file that its process has opened for writing: closing any other loses
/// nothing, and does not fail.
fn closes_what_was_written(trace: &Trace, event: &Event, call: &Call) -> bool {
    let earlier = trace.calls().filter(|(_, other, _)| other.process == event.process && other.at < event.at);
    let last = earlier.map(|(_, _, other)| other).filter(|other| match other.name.as_str() {
        "open" | "openat" | "openat2" | "creat" | "dup" | "dup2" | "dup3" | "fcntl" | "socket" => {
            call.fd.is_some_and(|fd| other.result == Some(i64::from(fd)))
        }
        "close" => other.fd == call.fd,
        _ => false,
    });
    last.last().is_some_and(|other| {
        let writes = ["O_WRONLY", "O_RDWR"].iter().any(|flag| other.arguments.as_str().contains(flag));
        is_about_file(other) && ((other.name.starts_with("open") && writes) || other.name == "creat")
    })
}

/// The faults that fit a call of the traced start.
pub(super) fn of(trace: &Trace, event: &Event, call: &Call) -> Vec<Deed> {
    // What failed by itself is no fault to be tried: its failure is a part of the start.
    if call.result.is_some_and(|result| result < 0) {
        return Vec::new();
    }
    let arguments = call.arguments.as_str();
    let has = |word: &str| arguments.contains(word);
    let is_file = is_about_file(call);
    let errors: &[i32] = match call.name.as_str() {
        "fork" | "vfork" | "clone" | "clone3" => &[EAGAIN, ENOMEM],
        "execve" | "execveat" => &[EACCES, ENOMEM],
        "setsid" | "setpgid" => &[EPERM],
        "chdir" | "fchdir" => &[EACCES, ENOENT],
        "chroot" => &[EPERM],
        "open" | "openat" | "openat2" | "creat" if has("O_CREAT") || call.name == "creat" => {
            &[EACCES, EMFILE, ENOSPC, EROFS, EINTR]
        }
        "open" | "openat" | "openat2" => &[EACCES, EMFILE],
        "dup" => &[EMFILE],
        // The number that they make is one that the limit allows.
        "dup2" | "dup3" => &[EINTR],
        "fcntl" if has("F_DUPFD") => &[EMFILE],
        // EAGAIN and EWOULDBLOCK are an answer: another instance runs.
        "fcntl" if has("F_UNLCK") => &[],
        "fcntl" if has("F_SETLKW") || has("F_OFD_SETLKW") => &[ENOLCK, EINTR],
        "fcntl" => &[ENOLCK],
        "flock" if has("LOCK_UN") => &[],
        "flock" => &[ENOLCK, EINTR],
        "pipe" | "pipe2" => &[EMFILE, ENFILE],
        "rename" | "renameat" | "renameat2" | "link" | "linkat" | "symlink" | "symlinkat" => &[EACCES, ENOSPC],
        "unlink" | "unlinkat" => &[EACCES, EROFS],
        "mkdir" | "mkdirat" => &[EACCES, ENOSPC],
        "socket" => &[EMFILE, ENOMEM],
        "bind" => &[EADDRINUSE, EACCES],
        "listen" => &[EADDRINUSE],
        "write" | "pwrite64" | "writev" if is_file => &[ENOSPC, EIO, EINTR],
        "write" | "pwrite64" | "writev" => &[EINTR],
        "ftruncate" | "truncate" => &[EIO, EINTR],
        "chmod" | "fchmod" | "fchmodat" | "chown" | "lchown" | "fchown" | "fchownat" => &[EPERM],
        "setuid" | "setreuid" | "setresuid" => &[EAGAIN, EPERM],
        "setgid" | "setregid" | "setresgid" | "setgroups" | "setrlimit" | "prlimit" => &[EPERM],
        "nanosleep" | "clock_nanosleep" => &[EINTR],
        "close_range" => &[ENOSYS],
        _ => &[],
    };
    let mut faults: Vec<Deed> = errors.iter().map(|errno| Deed::Fail(*errno)).collect();
    match call.name.as_str() {
        // It gives the descriptor back whatever it returns.
        "close" if closes_what_was_written(trace, event, call) => faults.push(Deed::Pretend(EIO)),
        "write" | "pwrite64" if call.result.is_some_and(|result| result > 1) => faults.push(Deed::Shorten),
        _ => {}
    }
    faults
}
