//! Which errors fit which call: those that its manual page gives and that a correct program cannot rule out.

use crate::observation::Call;
use crate::trace::Deed;
use libc::{
    EACCES, EADDRINUSE, EAGAIN, EINTR, EIO, EMFILE, ENFILE, ENOENT, ENOLCK, ENOMEM, ENOSPC, ENOSYS, EPERM, EROFS,
};

/// The faults that fit a call of the traced start.
pub(super) fn of(call: &Call) -> Vec<Deed> {
    // What failed by itself is no fault to be tried: its failure is a part of the start.
    if call.result.is_some_and(|result| result < 0) {
        return Vec::new();
    }
    let arguments = call.arguments.as_str();
    let has = |word: &str| arguments.contains(word);
    // A regular file, not a pipe, a socket or a device.
    let is_file =
        call.path.as_ref().is_some_and(|path| path.as_str().starts_with('/') && !path.as_str().starts_with("/dev/"));
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
        "dup2" | "dup3" => &[EINTR, EMFILE],
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
        "close" => faults.push(Deed::Pretend(EIO)),
        "write" | "pwrite64" if call.result.is_some_and(|result| result > 1) => faults.push(Deed::Shorten),
        _ => {}
    }
    faults
}
