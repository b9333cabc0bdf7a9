//! Step 1: what the caller left open.

use std::fs::read_dir;

use nix::errno::Errno;

use crate::failure::Failure;

/// Step 1: close every descriptor above 2.
///
/// *Source:* daemon(7), SysV step 1: "close all open file descriptors except standard input, output,
/// and error". CWE-403 is what it prevents.
///
/// *Without it:* whatever the caller had open (a deployment script's lock, a listening socket, the file
/// with the key in it) stays open for as long as the daemon runs. The lock is never released, the port
/// never free, the file system never unmountable.
///
/// *The article* has no such step. The recipe of old, a loop of `close()` up to the limit, is no
/// better: the limit is a million in many a container, and the start takes as many calls. Here it is one
/// call, `close_range()`; where the kernel has none, the descriptors that are open are looked up in
/// `/proc`. Where there is neither, the start fails: it cannot keep the promise.
pub fn close_inherited_descriptors() -> Result<(), Failure> {
    // SAFETY: nothing in this program holds a descriptor above 2 yet.
    match unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, 0) } {
        0 => Ok(()),
        _ => close_listed(),
    }
}

fn close_listed() -> Result<(), Failure> {
    let cannot = |errno| Failure::File { role: "inherited descriptors", path: "/proc/self/fd".into(), cause: errno };
    let entries = read_dir("/proc/self/fd")
        .map_err(|error| cannot(Errno::from_raw(error.raw_os_error().unwrap_or(0)).desc().into()))?;
    // The list is complete before the first is closed: closing changes the directory being read.
    let open: Vec<i32> = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    for descriptor in open.into_iter().filter(|number| *number > 2) {
        // The descriptor of the listing itself is among them, and closed by now; EBADF is its answer.
        // SAFETY: nothing in this program holds a descriptor above 2 yet.
        unsafe { libc::close(descriptor) };
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rusty_fork::rusty_fork_test;

    use super::*;

    fn plant() {
        for number in [3, 77, 900] {
            // SAFETY: plain numbers; this process is the test's own.
            assert_eq!(unsafe { libc::dup2(1, number) }, number);
        }
    }

    fn above_two() -> usize {
        // SAFETY: asks only.
        (3..1024).filter(|number| unsafe { libc::fcntl(*number, libc::F_GETFD) } != -1).count()
    }

    rusty_fork_test! {
        #[test]
        fn low_and_high_descriptors_are_closed() {
            plant();
            close_inherited_descriptors().unwrap();
            assert_eq!(above_two(), 0);
        }

        #[test]
        fn the_listing_closes_the_same() {
            plant();
            close_listed().unwrap();
            assert_eq!(above_two(), 0);
        }
    }
}
