//! Memory, limits, and what the kernel is asked for.

use super::common::named;
use super::{ANY_STYLE, Case, Check, Judgement, PEP_ANY_STYLE, broken, check, fail, pass};
use crate::observation::Process;

pub(super) const CHECKS: &[Check] = &[
    check!("memory-independent-of-limits", Should, Resources, ANY_STYLE, "limits",
        title: "takes no more memory because more files may be opened",
        sources: &["getrlimit(2): RLIMIT_NOFILE", "systemd.exec(5): LimitNOFILE="],
        remedy: "let tables grow with the descriptors that are open, not with the limit, which may be a million or more",
        judge: memory_independent_of_limits),
    check!("oom-score-not-inherited", May, Resources, ANY_STYLE, "dirty" + "terminal",
        title: "does not hand its oom_score_adj to its children",
        sources: &["proc_pid_oom_score_adj(5): it is inherited by fork(2)"],
        remedy: "write 0 to /proc/self/oom_score_adj in each child, before it executes",
        judge: oom_score_not_inherited),
    check!("core-dumps-prevented", May, Resources, PEP_ANY_STYLE, "terminal",
        title: "allows no core dump of itself, in which its secrets would be",
        sources: &["PEP 3143: prevent_core", "core(5), getrlimit(2): RLIMIT_CORE"],
        remedy: "call setrlimit(RLIMIT_CORE) with 0, in a daemon that holds secrets",
        judge: core_dumps_prevented),
];

/// What one descriptor more may cost at the least, in bytes: an int.
const LEAST: u64 = 4;

fn memory_independent_of_limits(case: &Case<'_>) -> Judgement {
    case.daemon()?;
    let seen = case.scenario("limits")?;
    let mut starts = Vec::new();
    for name in (1..=4).flat_map(|round| [format!("low {round}"), format!("high {round}")]) {
        let (launch, look) = (seen.launch(&name)?, seen.look(&name)?);
        let Some(limit) = launch.inherits()?.open_files else { return broken("the limit could not be read") };
        if let Some(lacking) = case.lacks(look, launch.ended)? {
            return fail(format!("it starts also where {limit} files may be open"), lacking, launch.words());
        }
        let daemon = look.daemon()?;
        let Some(peak) = daemon.carries()?.peak_memory else { return broken("its VmPeak could not be read") };
        starts.push((limit, daemon.pid, peak));
    }
    let of = |high: usize| starts.iter().skip(high).step_by(2);
    let limits = (of(0).map(|s| s.0).max().unwrap_or(0), of(1).map(|s| s.0).min().unwrap_or(0));
    let files = limits.1.saturating_sub(limits.0);
    if files == 0 {
        return broken("both starts had the same limit of open files");
    }
    // The least of the one against the most of the other: what differs from start to start anyway is no growth.
    let (most, least) = (of(0).map(|s| s.2).max().unwrap_or(0), of(1).map(|s| s.2).min().unwrap_or(0));
    let growth = least.saturating_sub(most) * 1024;
    if growth < files * LEAST {
        return pass();
    }
    let evidence = starts
        .iter()
        .map(|(limit, pid, peak)| format!("with a limit of {limit}: /proc/{pid}/status: VmPeak: {peak} kB"))
        .collect();
    let actual = format!("{} KiB more, {} bytes for each file it might open", growth / 1024, growth / files);
    fail("as much memory under a high limit as under a low one", actual, evidence)
}

fn oom_score_not_inherited(case: &Case<'_>) -> Judgement {
    case.daemon()?;
    let (launch, look) = case.dirty("oom-score")?;
    let planted = launch.inherits()?.oom_score_adj;
    if planted.is_none_or(|score| score == 0) {
        return broken("no oom_score_adj could be given to it");
    }
    if let Some(lacking) = case.lacks(look, launch.ended)? {
        return broken(format!("it did not come up with an oom_score_adj: {lacking}"));
    }
    let main = look.daemon()?;
    let own = main.carries()?.oom_score_adj.filter(|score| *score != 0);
    let same = |p: &Process| own.is_some() && p.attributes.as_ref().is_some_and(|a| a.oom_score_adj == own);
    let heirs: Vec<&Process> = look.children().into_iter().filter(|p| same(p)).collect();
    if heirs.is_empty() {
        return pass();
    }
    let score = own.unwrap_or_default();
    let evidence = heirs.iter().map(|p| format!("/proc/{}/oom_score_adj: {score}", p.pid)).collect();
    fail("its children have an oom_score_adj of their own", format!("its own, {score}, in {}", named(&heirs)), evidence)
}

fn core_dumps_prevented(case: &Case<'_>) -> Judgement {
    let main = case.daemon()?;
    let planted = case.clean_launch()?.inherits()?.core_limit;
    if planted == Some(0) {
        return broken("the caller's own limit allows no core dump, so the daemon need not prevent one");
    }
    match main.carries()?.core_limit {
        Some(0) => pass(),
        Some(limit) => {
            let shown = if limit == u64::MAX { "unlimited".to_owned() } else { format!("{limit} bytes") };
            let evidence = vec![format!("/proc/{}/limits: Max core file size: {shown}", main.pid)];
            fail("a limit of 0 (RLIMIT_CORE)", format!("the caller's: {shown}"), evidence)
        }
        None => broken("its limits could not be read"),
    }
}
