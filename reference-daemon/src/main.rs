//! The program: it hands its arguments to the library, and the library's answer to the kernel.
//!
//! It has a C `main` instead of a Rust one. What Rust's runtime does before `main` (looking at
//! descriptors 0 to 2, ignoring SIGPIPE, an alternate signal stack with handlers for its overflow) a
//! daemon would have to undo, and each is system calls between exec and the PID file.

#![no_main]

use std::ffi::{CStr, OsStr, OsString, c_char, c_int};
use std::os::unix::ffi::OsStrExt;

/// Called by the C start-up code.
#[unsafe(no_mangle)]
extern "C" fn main(count: c_int, values: *const *const c_char) -> c_int {
    let arguments = (1..usize::try_from(count).unwrap_or(0)).map(|index| {
        // SAFETY: the C start-up code hands over `count` pointers to NUL-terminated strings, which
        // live as long as the process.
        let value = unsafe { CStr::from_ptr(*values.add(index)) };
        OsString::from(OsStr::from_bytes(value.to_bytes()))
    });
    reference_daemon::run(arguments.collect())
}
