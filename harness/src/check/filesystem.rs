//! Directories and modes.

use super::{ARTICLE_PEP, Case, Check, Judgement, PEP, SYSV, broken, check, fail, pass};
use crate::observation::{Exit, FileSeen, Hold, Holder, Text};

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
    check!("umask-set", Should, Filesystem, PEP, "dirty" + "terminal",
        title: "has a umask of its own, whatever the caller's",
        sources: &["daemon(7) SysV step 10: reset the umask to 0", "PEP 3143: umask", "CWE-732, which speaks for 022 rather than 0"],
        remedy: "call umask() with a value of your own; 022 keeps what is created without thought from being world-writable",
        judge: umask_set),
    check!("no-world-writable-files", Must, Filesystem, SYSV, "dirty" + "terminal",
        title: "creates no file that anybody may write, whatever the caller's umask",
        sources: &["CWE-732", "umask(2)"],
        remedy: "set a umask of 022 or stricter before the first file is created, or give open(2) and mkdir(2) the mode that is meant",
        judge: no_world_writable_files),
    check!("relative-paths", Should, Filesystem, SYSV, "relative" + "terminal",
        title: "resolves relative paths among its arguments before it leaves the directory it was started in",
        sources: &["daemon(7) SysV step 11: change the current directory to /", "realpath(3)"],
        remedy: "make every path absolute (realpath(3), or join it to getcwd(3)) before chdir(\"/\")",
        judge: relative_paths),
    check!("run-directory-missing", Should, Filesystem, SYSV, "obstructed" + "terminal",
        title: "makes its run directory after a boot has emptied /run, or says that it cannot",
        sources: &["FHS 3.0 section 3.15: files below /run are removed at boot", "systemd.exec(5): RuntimeDirectory="],
        remedy: "create the directory below /run at each start, as root, with the owner and mode it needs",
        judge: run_directory_missing),
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

fn umask_set(case: &Case<'_>) -> Judgement {
    case.daemon()?;
    let seen = case.scenario("dirty")?;
    let mut umasks = Vec::new();
    for (planted, (launch, look)) in
        [(0, case.dirty("umask")?), (0o777, (seen.launch("umask-0777")?, seen.look("umask-0777")?))]
    {
        if launch.inherits()?.umask != Some(planted) {
            return broken(format!("the umask could not be set to {planted:04o} before the start"));
        }
        if let Some(lacking) = case.lacks(look, launch.ended)? {
            return fail(format!("it starts also under umask {planted:04o}"), lacking, launch.words());
        }
        let daemon = look.daemon()?;
        let Some(umask) = daemon.carries()?.umask else { return broken("its umask could not be read") };
        umasks.push((planted, daemon.pid, umask));
    }
    if umasks.windows(2).all(|pair| pair[0].2 == pair[1].2) {
        return pass();
    }
    let evidence = umasks
        .iter()
        .map(|(planted, pid, umask)| format!("started under {planted:04o}: /proc/{pid}/status: Umask: {umask:04o}"))
        .collect();
    let actual = umasks.iter().map(|(planted, _, umask)| format!("{umask:04o} after {planted:04o}"));
    fail("the same umask under whatever umask it is started", actual.collect::<Vec<_>>().join(", "), evidence)
}

fn no_world_writable_files(case: &Case<'_>) -> Judgement {
    case.daemon()?;
    let (launch, look) = case.dirty("umask")?;
    if launch.inherits()?.umask != Some(0) {
        return broken("the umask could not be set to 0 before the start");
    }
    if let Some(lacking) = case.lacks(look, launch.ended)? {
        return broken(format!("it did not come up under umask 0: {lacking}"));
    }
    let seen = case.scenario("dirty")?;
    let files = seen.writable("umask").or_else(|_| seen.writable("everything"))?;
    if files.is_empty() {
        return pass();
    }
    let line = |file: &FileSeen| format!("{}: mode {:04o}", file.path, file.found.as_ref().map_or(0, |f| f.mode));
    let evidence: Vec<String> = files.iter().map(line).collect();
    let actual = match files.as_slice() {
        [only] => line(only),
        all => format!("{} of them", all.len()),
    };
    fail("no file or directory that others may write", actual, evidence)
}

fn relative_paths(case: &Case<'_>) -> Judgement {
    case.daemon()?;
    let seen = case.scenario("relative")?;
    let (launch, look) = (seen.launch("start")?, seen.look("rest")?);
    if let Some(lacking) = case.lacks(look, launch.ended)? {
        let mut evidence = vec![format!("started in {}, with ./NAME for its paths there", launch.directory)];
        evidence.extend(launch.words());
        return fail("it starts, and its files come to be where it was started", lacking, evidence);
    }
    let was_written = |file: &Option<FileSeen>| file.as_ref().is_some_and(|f| f.found.is_some());
    let clean = case.clean_look()?;
    for (before, now) in [(&clean.pidfile, &look.pidfile), (&clean.log, &look.log)] {
        if let (true, Some(file)) = (was_written(before) && !was_written(now), before) {
            let evidence = vec![format!("started in {}: {} was not written", launch.directory, file.path)];
            return fail(file.path.as_str(), "nothing there", evidence);
        }
    }
    pass()
}

fn run_directory_missing(case: &Case<'_>) -> Judgement {
    case.daemon()?;
    let seen = case.scenario("obstructed")?;
    let (launch, look) = (seen.launch("run")?, seen.look("run")?);
    let Some(exit) = launch.ended else { return broken("the launcher did not end") };
    let Some(lacking) = case.lacks(look, launch.ended)? else { return pass() };
    let failed = exit != Exit::Status(0) && !look.is_up();
    if failed && launch.explains(case.clean_launch()?) {
        return pass();
    }
    let actual = if failed { format!("{lacking}, and no word on standard error") } else { lacking };
    fail("it starts where /run is empty, or says why it does not", actual, launch.words())
}
