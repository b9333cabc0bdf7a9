//! Step 4: the caller's variables.

use crate::failure::Failure;

/// What a daemon's children find programs by.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Step 4: replace the caller's environment by one that is known.
///
/// *Source:* daemon(7), SysV step 4: "sanitize the environment block, removing or resetting environment
/// variables that might negatively impact daemon runtime".
///
/// *Without it:* the daemon behaves differently when it was started by hand. `LD_PRELOAD` and `IFS`
/// reach the programs it runs, `TMPDIR` names a directory that ends with somebody's login, and
/// `NOTIFY_SOCKET` lets every child speak for it.
///
/// *The article* has no such step. Here nothing is kept, so that nothing need be known to be harmful;
/// a daemon that wants a variable takes it before, by name.
///
/// # Safety
///
/// No other thread may exist: the environment has no lock that all of a C library heeds.
pub unsafe fn sanitise_environment() -> Result<(), Failure> {
    // SAFETY: the caller's promise.
    let cleared = unsafe { nix::env::clearenv() };
    cleared.map_err(|_| Failure::system("clear the environment")(nix::errno::Errno::ENOMEM))?;
    // SAFETY: the same.
    unsafe { std::env::set_var("PATH", PATH) };
    Ok(())
}

#[cfg(test)]
mod tests {
    use rusty_fork::rusty_fork_test;

    use super::*;

    rusty_fork_test! {
        #[test]
        fn only_a_known_path_is_left() {
            // SAFETY: the process is this test's own, and its other thread only waits for this one.
            unsafe {
                std::env::set_var("NOTIFY_SOCKET", "/x");
                sanitise_environment().unwrap();
            }
            assert_eq!(std::env::vars().collect::<Vec<_>>(), [("PATH".to_string(), PATH.to_string())]);
        }
    }
}
