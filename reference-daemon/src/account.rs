//! Step 13: the account to drop to.

use std::fs;

use nix::errno::Errno;
use nix::unistd::{Gid, Uid, getgroups, getresgid, getresuid, setgroups, setresgid, setresuid};

use crate::failure::Failure;

/// An account, as the system's own files describe it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    name: String,
    user: Uid,
    group: Gid,
    /// All groups, the primary one included, in order.
    groups: Vec<Gid>,
}

impl Account {
    /// Looks an account up in `/etc/passwd` and `/etc/group`.
    ///
    /// The C library's `getpwnam()` would ask directories on the network as well. It does so through
    /// shared objects that it loads at that moment, which a static program cannot do soundly; and a service
    /// account that only exists while the network does is no account to start a daemon with.
    pub fn look_up(name: &str) -> Result<Self, Failure> {
        let (passwd, group) = (read("/etc/passwd")?, read("/etc/group")?);
        Self::from_tables(name, &passwd, &group)
            .ok_or_else(|| Failure::Account { name: name.into(), cause: "no such account in /etc/passwd".into() })
    }

    /// Its user id.
    pub fn user(&self) -> Uid {
        self.user
    }

    /// Its primary group's id.
    pub fn group(&self) -> Gid {
        self.group
    }

    fn from_tables(name: &str, passwd: &str, group: &str) -> Option<Self> {
        // name:password:uid:gid:comment:home:shell
        let fields: Vec<&str> = entries(passwd).find(|fields| fields[0] == name && fields.len() >= 4)?;
        let primary = Gid::from_raw(fields[3].parse().ok()?);
        // name:password:gid:member,member
        let member = entries(group).filter(|fields| fields.len() >= 4 && fields[3].split(',').any(|one| one == name));
        let mut groups: Vec<Gid> = member.filter_map(|fields| fields[2].parse().ok()).map(Gid::from_raw).collect();
        groups.push(primary);
        groups.sort_by_key(|group| group.as_raw());
        groups.dedup();
        Some(Self { name: name.into(), user: Uid::from_raw(fields[2].parse().ok()?), group: primary, groups })
    }

    /// Step 13: become that account, for good.
    ///
    /// *Source:* daemon(7), SysV step 13: "in the daemon process, drop privileges, if possible and applicable";
    /// CWE-273 (the result is to be checked), setresuid(2).
    ///
    /// *Without it, or half done:* a flaw in the daemon is a flaw with root's rights. Groups that are
    /// forgotten (`setuid()` alone) leave root's; in the wrong order `setgroups()` is no longer permitted; a saved
    /// id that is left behind is the way back.
    ///
    /// *The article* has no such step. Here: groups, group, user, in that order, all of the real,
    /// effective and saved ids; then they are read back; then the way back is tried, and must be barred.
    ///
    /// What only root may open, PID file and log, is open by now. Neither is given to the account: to change
    /// the owner of a path in a directory that the account can write to is to give away whatever file
    /// it has linked there.
    pub fn assume(&self) -> Result<(), Failure> {
        let cannot = |doing: &'static str| {
            move |errno: Errno| Failure::Account {
                name: self.name.clone(),
                cause: format!("{doing}: {}", errno.desc()),
            }
        };
        setgroups(&self.groups).map_err(cannot("cannot set its groups"))?;
        setresgid(self.group, self.group, self.group).map_err(cannot("cannot change to its group"))?;
        setresuid(self.user, self.user, self.user).map_err(cannot("cannot change to its user"))?;
        match self.is_assumed() {
            Ok(true) => Ok(()),
            Ok(false) => Err(cannot("its ids did not take hold")(Errno::EPERM)),
            Err(errno) => Err(cannot("cannot verify its ids")(errno)),
        }
    }

    fn is_assumed(&self) -> Result<bool, Errno> {
        let user = getresuid()?;
        let group = getresgid()?;
        let mut groups = getgroups()?;
        groups.sort_by_key(|group| group.as_raw());
        let root = Uid::from_raw(0);
        let barred = self.user.is_root() || setresuid(root, root, root).is_err();
        Ok(barred
            && [user.real, user.effective, user.saved] == [self.user; 3]
            && [group.real, group.effective, group.saved] == [self.group; 3]
            && groups == self.groups)
    }
}

/// The lines of such a table, split into their fields.
fn entries(table: &str) -> impl Iterator<Item = Vec<&str>> {
    table.lines().map(|line| line.split(':').collect())
}

fn read(path: &'static str) -> Result<String, Failure> {
    let bytes = fs::read(path).map_err(|error| {
        let errno = Errno::from_raw(error.raw_os_error().unwrap_or(0));
        Failure::file("account table", path.as_ref(), errno.desc())
    })?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use rusty_fork::rusty_fork_test;

    use super::*;
    use crate::in_child::in_child;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\n+nis\nweb:x:33:33:web:/var/www:/bin/false\nbad:x:y:z:::\n";
    const GROUP: &str = "root:x:0:\nweb:x:33:\ncerts:x:7:mail,web\nextra:x:5:web\nwebmasters:x:6:webs\n";

    #[test]
    fn an_account_has_its_primary_group_and_those_that_list_it() {
        let account = Account::from_tables("web", PASSWD, GROUP).unwrap();
        assert_eq!((account.user.as_raw(), account.group.as_raw()), (33, 33));
        assert_eq!(account.groups, [5, 7, 33].map(Gid::from_raw));
    }

    #[test]
    fn unknown_and_malformed_accounts_are_none() {
        for name in ["nobody", "+nis", "bad", "", "we"] {
            assert_eq!(Account::from_tables(name, PASSWD, GROUP), None, "{name}");
        }
    }

    rusty_fork_test! {
        #[test]
        fn there_is_no_way_back() {
            if !Uid::effective().is_root() {
                return;
            }
            let [web, root] = ["web", "root"].map(|name| Account::from_tables(name, PASSWD, GROUP).unwrap());
            // Beside other threads the C library changes ids by a signal to each of them (nptl(7)), and a test's main thread,
            // which has just started this one, is not always ready for it.
            assert!(in_child(|| {
                let assumed = web.assume().is_ok() && Uid::effective().as_raw() == 33;
                let back = setresuid(Uid::from_raw(0), Uid::from_raw(0), Uid::from_raw(0));
                assumed && back.is_err() && root.assume().is_err()
            }));
        }
    }
}
