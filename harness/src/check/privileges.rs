//! Accounts, groups, capabilities.

use super::{Case, Check, Judgement, PEP_ANY_STYLE, broken, check, fail, pass, skip};
use crate::observation::Process;

pub(super) const CHECKS: &[Check] = &[check!("privileges-dropped", Must, Privileges, PEP_ANY_STYLE, "account",
        title: "becomes the account it is told to, in all four ids and all groups, with no way back",
        sources: &["daemon(7) SysV step 13: drop privileges, if possible and applicable", "PEP 3143: uid, gid", "CWE-273"],
        remedy: "call initgroups(), setresgid(), setresuid() in that order, and check what each returns",
        judge: dropped)];

/// CAP_SETGID and CAP_SETUID (capabilities(7)): with one of these there is a way back.
const WAYS_BACK: [(u64, &str); 2] = [(6, "CAP_SETGID"), (7, "CAP_SETUID")];

fn dropped(case: &Case<'_>) -> Judgement {
    case.daemon()?;
    let seen = case.scenario("account")?;
    let (launch, look) = (seen.launch("start")?, seen.look("rest")?);
    let Some(account) = &case.record.drops_to else { return skip("no account was declared; give --user") };
    let planted: Vec<u32> =
        launch.inherits()?.groups.iter().copied().filter(|group| !account.groups.contains(group)).collect();
    if planted.is_empty() {
        return broken("no group could be planted that the account does not have");
    }
    if let Some(lacking) = case.lacks(look, launch.ended)? {
        return fail("it starts also where the caller is in other groups", lacking, launch.words());
    }
    let main = look.daemon()?.pid;
    for process in look.alive().filter(|p| p.pid == main || look.children().iter().any(|c| c.pid == p.pid)) {
        if let Some(flaw) = flaw(process, account)? {
            let expected = format!("uid {0} {0} {0} {0}, gid {1} {1} {1} {1}", account.uid, account.gid);
            let carries = process.carries()?;
            let evidence = vec![
                format!("/proc/{}/status: Uid: {:?}, Gid: {:?}", process.pid, carries.uids, carries.gids),
                format!("Groups: {:?}, CapPrm: {:016x}", carries.groups, carries.capabilities),
            ];
            return fail(format!("{expected}, groups {:?}", account.groups), format!("in {process} {flaw}"), evidence);
        }
    }
    pass()
}

/// What of the caller's is left.
fn flaw(
    process: &Process,
    account: &crate::observation::Account,
) -> Result<Option<String>, crate::observation::Unseen> {
    let carries = process.carries()?;
    if carries.uids.iter().any(|uid| *uid != account.uid) {
        return Ok(Some(format!("the user ids are {:?}", carries.uids)));
    }
    if carries.gids.iter().any(|gid| *gid != account.gid) {
        return Ok(Some(format!("the group ids are {:?}", carries.gids)));
    }
    if let Some((thread, uid)) = carries.other_threads.first() {
        return Ok(Some(format!("thread {thread} still has user id {uid}")));
    }
    let others: Vec<u32> = carries.groups.iter().copied().filter(|g| !account.groups.contains(g)).collect();
    if !others.is_empty() {
        return Ok(Some(format!("the groups {others:?} are not the account's")));
    }
    let missing: Vec<u32> =
        account.groups.iter().copied().filter(|g| *g != account.gid && !carries.groups.contains(g)).collect();
    if !missing.is_empty() {
        return Ok(Some(format!("the account's groups {missing:?} are missing")));
    }
    let back = WAYS_BACK.iter().find(|(bit, _)| account.uid != 0 && carries.capabilities >> bit & 1 == 1);
    Ok(back.map(|(_, name)| format!("{name} is left")))
}
