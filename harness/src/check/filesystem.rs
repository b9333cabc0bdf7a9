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
    let release = case.scenario("terminal")?.release("release")?;
    if release.unmounted {
        return pass();
    }
    let look = case.clean_look()?;
    let given = |path: &Text| [&look.pidfile, &look.log].into_iter().flatten().any(|file| file.path == *path);
    // A program that lies in the launch directory, and the files it was told to keep there, hold it by the caller's choice.
    let by_itself = |holder: &&Holder| holder.by != Hold::Program && !(holder.by == Hold::File && given(&holder.path));
    let holders: Vec<&Holder> = release.holders.iter().filter(by_itself).collect();
    if holders.is_empty() && !release.holders.is_empty() {
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
