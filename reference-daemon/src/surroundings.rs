//! Steps 10 and 11, and one more: what a process inherits without holding it.

use nix::sys::resource::{Resource, setrlimit};
use nix::sys::stat::{Mode, umask};
use nix::unistd::chdir;

use crate::failure::Failure;

/// Step 10: a umask of one's own, 022.
///
/// *Source:* daemon(7), SysV step 10; PEP 3143 (`umask`).
///
/// *Without it:* the caller's decides. Started under 077 nobody may read the PID file; under 0 everything
/// that is created without much thought can be written by anybody.
///
/// *The authorities disagree:* daemon(7) and PEP 3143 say 0, so that the modes given to `open()` hold
/// to the letter. That is right for the call that thinks about its mode, and the many that do not (`fopen()`
/// asks for 0666, as do most languages' libraries) make world-writable files, CWE-732. So here it is
/// 022, which never takes away what this daemon asks for, 0644 and 0640.
///
/// *The article* has no such step.
pub fn set_umask() {
    umask(Mode::from_bits_truncate(0o022));
}

/// Step 11: change to the root directory.
///
/// *Source:* daemon(7), SysV step 11: "change the current directory to the root directory (/), in order to avoid
/// that the daemon involuntarily blocks mount points from being unmounted".
///
/// *Without it:* the file system that the daemon happened to be started from stays busy, and a relative path
/// means something else at each start. (Relative paths among the arguments have been resolved by now.)
///
/// *The article* does this.
pub fn change_to_root() -> Result<(), Failure> {
    chdir("/").map_err(Failure::system("change to the directory /"))
}

/// Allow no core dump, to hold whatever the process knows.
///
/// *Source:* PEP 3143 (`prevent_core`).
///
/// *Without it:* a crash leaves the memory, keys and passwords with it, in a file in the working
/// directory.
pub fn prevent_core_dumps() -> Result<(), Failure> {
    setrlimit(Resource::RLIMIT_CORE, 0, 0).map_err(Failure::system("forbid core dumps"))
}

#[cfg(test)]
mod tests {
    use rusty_fork::rusty_fork_test;

    use super::*;

    rusty_fork_test! {
        #[test]
        fn the_umask_is_not_the_callers() {
            umask(Mode::from_bits_truncate(0o777));
            set_umask();
            assert_eq!(umask(Mode::empty()).bits(), 0o022);
        }

        #[test]
        fn the_root_directory_is_entered() {
            change_to_root().unwrap();
            assert_eq!(std::env::current_dir().unwrap(), std::path::Path::new("/"));
        }

        #[test]
        fn no_core_is_dumped() {
            prevent_core_dumps().unwrap();
            assert_eq!(nix::sys::resource::getrlimit(Resource::RLIMIT_CORE), Ok((0, 0)));
        }
    }
}
