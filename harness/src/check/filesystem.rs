//! Directories and modes.

use super::{ARTICLE_PEP, Case, Check, Judgement, SYSV, broken, check, fail, pass};
use crate::observation::{Hold, Holder, Text};

pub(super) const CHECKS: &[Check] = &[
    check!("cwd-root", Must, Filesystem, ARTICLE_PEP, "terminal",
        title: "works in / or in its documented directory",
        sources: &["daemon(7) SysV step 11: change the current directory to /", "PEP 3143: working_directory"],
        remedy: "call chdir(\"/\"), or to a directory that is documented (then give --cwd)",
        judge: cwd_root),
    check!("launch-directory-released", Must, Filesystem, SYSV, "terminal",
        title: "does not keep the file system it was started from busy",
        sources: &["daemon(7) SysV step 11: so that it does not block mount points from being unmounted"],
        remedy: "call chdir(\"/\") and keep no directory or file of the launch directory open",
        judge: launch_directory_released),
];

fn cwd_root(case: &Case<'_>) -> Judgement {
    let main = case.daemon()?;
    let Some(cwd) = &main.cwd else { return broken(format!("/proc/{}/cwd could not be read", main.pid)) };
    let documented = Text::new(case.record.documented_cwd.as_bytes());
    // After chroot(2) the root it sees is its own.
    let root_of_its_own = main.root.as_ref() == Some(cwd) && documented.as_str() == "/";
    if *cwd == documented || root_of_its_own {
        return pass();
    }
    fail(documented.as_str(), format!("it works in {cwd}"), vec![format!("/proc/{}/cwd -> {cwd}", main.pid)])
}

fn launch_directory_released(case: &Case<'_>) -> Judgement {
    case.daemon()?;
    let release = case.clean()?.release("release")?;
    if release.unmounted {
        return pass();
    }
    // What the caller put there, or told the daemon to keep there, holds it by the caller's choice: the program and the
    // words of the command that are files, and whatever lies beside the PID file or the log.
    let look = case.clean_look()?;
    let directory_of = |path: &Text| path.as_str().rsplit_once('/').map(|(directory, _)| directory.to_owned());
    let beside = |path: &Text| {
        [&look.pidfile, &look.log].into_iter().flatten().any(|f| directory_of(&f.path) == directory_of(path))
    };
    let chosen = |path: &Text| case.record.named.contains(path) || beside(path);
    let launcher = case.clean_launch()?.launcher;
    let by_itself =
        |h: &&Holder| h.pid != launcher && h.by != Hold::Program && !(h.by == Hold::File && chosen(&h.path));
    if release.holders.is_empty() {
        return broken("it could not be unmounted, and what holds it was not found");
    }
    let holders: Vec<&Holder> = release.holders.iter().filter(by_itself).collect();
    if holders.is_empty() {
        return pass();
    }
    let evidence = holders
        .iter()
        .map(|h| match h.by {
            Hold::WorkingDirectory => format!("/proc/{}/cwd -> {}", h.pid, h.path),
            Hold::Root => format!("/proc/{}/root -> {}", h.pid, h.path),
            Hold::Directory | Hold::File => format!("pid {} has {} open", h.pid, h.path),
            Hold::Program => format!("/proc/{}/exe -> {}", h.pid, h.path),
        })
        .collect();
    let directory = &case.clean_launch()?.directory;
    fail(format!("{directory} can be unmounted"), format!("it keeps {directory} busy"), evidence)
}
