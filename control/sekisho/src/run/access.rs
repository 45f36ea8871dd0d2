//! Who may ask what over the socket: by the credentials that the kernel gives of the process at its other end
//! (`SO_PEERCRED`), and the groups of the appliance file.

use std::ffi::CString;

use nix::unistd::{Gid, Group, Uid, User, getgrouplist};
use sekisho_policy::Appliance;

use crate::failure::Failure;

/// What a peer may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Everything.
    Admin,
    /// Ask, and change nothing.
    Reader,
    /// Nothing.
    Stranger,
}

/// The groups whose members are let in.
#[derive(Clone, Debug, Default)]
pub(crate) struct Access {
    read: Option<(Gid, String)>,
    admin: Option<(Gid, String)>,
}

/// The other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Peer {
    /// The user that connected.
    pub(crate) uid: u32,
    /// The group that the process had first.
    pub(crate) gid: u32,
}

impl Access {
    /// What the appliance file says; a group that the system does not know is a fault of it.
    pub(crate) fn of(appliance: &Appliance) -> Result<Self, Failure> {
        let find = |group: &Option<sekisho_policy::appliance::Group>| {
            let Some(group) = group else { return Ok(None) };
            let (name, place) = (&group.name, group.place);
            match Group::from_name(name) {
                Ok(Some(found)) => Ok(Some((found.gid, name.clone()))),
                Ok(None) => Err(Failure::Input(format!(
                    "{}:{}:{}: there is no group \"{name}\" here; make it with groupadd --system {name}, or name another",
                    appliance.file, place.line, place.column
                ))),
                Err(error) => Err(Failure::Failed(
                    anyhow::Error::new(error).context(format!("the group {name} cannot be looked up")),
                )),
            }
        };
        Ok(Self { read: find(&appliance.read_group)?, admin: find(&appliance.admin_group)? })
    }

    /// How the socket's file is to stand: its mode, and its group where that is not the process's own.
    ///
    /// One group: it alone is let through by the file already. Two: a file has room for one only, so that everybody may
    /// connect, and is told by name what he may not.
    pub(crate) fn file_mode(&self) -> (u32, Option<Gid>) {
        match (&self.read, &self.admin) {
            (None, None) => (0o660, None),
            (Some((one, _)), None) | (None, Some((one, _))) => (0o660, Some(*one)),
            (Some((one, _)), Some((other, _))) if one == other => (0o660, Some(*one)),
            (Some(_), Some(_)) => (0o666, None),
        }
    }

    /// What a peer may do whose groups need not be looked up.
    pub(crate) fn role_at_once(&self, peer: Peer) -> Option<Role> {
        let is_own = peer.uid == 0 || peer.uid == nix::unistd::geteuid().as_raw();
        if is_own {
            return Some(Role::Admin);
        }
        (self.read.is_none() && self.admin.is_none()).then_some(Role::Stranger)
    }

    /// What a peer may do. Asks the system for the groups of its user, which may take a while.
    pub(crate) fn role(&self, peer: Peer) -> Role {
        self.role_at_once(peer).unwrap_or_else(|| self.role_in(&groups(peer)))
    }

    fn role_in(&self, groups: &[Gid]) -> Role {
        let is_in =
            |group: &Option<(Gid, String)>| group.as_ref().is_some_and(|(gid, _)| groups.contains(gid));
        match (is_in(&self.admin), is_in(&self.read)) {
            (true, _) => Role::Admin,
            (false, true) => Role::Reader,
            (false, false) => Role::Stranger,
        }
    }

    /// Why a peer with `role` may not do what it asks for, and who may.
    pub(crate) fn refusal(&self, peer: Peer, role: Role) -> String {
        let admins = self.admin.as_ref().map_or_else(
            || "only root may: the appliance file names no access.admin_group".to_owned(),
            |(_, group)| format!("members of the group {group} may (access.admin_group)"),
        );
        let readers = self.read.as_ref().map_or_else(String::new, |(_, group)| {
            format!(", and members of {group} may ask without changing anything (access.read_group)")
        });
        match role {
            Role::Reader => format!("user {} may ask, and change nothing: {admins}", peer.uid),
            _ => format!("user {} may not speak to the appliance: {admins}{readers}", peer.uid),
        }
    }
}

/// The groups of a peer: the one that its process had first, and those that the system has for its user now. What more
/// the process may have had the kernel does not tell with its credentials.
fn groups(peer: Peer) -> Vec<Gid> {
    let own = Gid::from_raw(peer.gid);
    let user = User::from_uid(Uid::from_raw(peer.uid)).ok().flatten();
    let listed = user.and_then(|user| {
        let name = CString::new(user.name).ok()?;
        getgrouplist(&name, user.gid).ok()
    });
    let mut groups = listed.unwrap_or_default();
    groups.push(own);
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(read: Option<u32>, admin: Option<u32>) -> Access {
        let named = |gid: Option<u32>, name: &str| gid.map(|gid| (Gid::from_raw(gid), name.to_owned()));
        Access { read: named(read, "monitor"), admin: named(admin, "net-ops") }
    }

    #[test]
    fn members_have_the_role_of_their_best_group() {
        let access = access(Some(70), Some(80));
        let role = |groups: &[u32]| {
            access.role_in(&groups.iter().map(|gid| Gid::from_raw(*gid)).collect::<Vec<_>>())
        };
        assert_eq!(role(&[1, 70]), Role::Reader);
        assert_eq!(role(&[70, 80]), Role::Admin);
        assert_eq!(role(&[1, 2]), Role::Stranger);
        assert_eq!(role(&[]), Role::Stranger);
    }

    #[test]
    fn root_and_the_own_user_are_let_in_and_others_only_by_a_group() {
        let nobody = Peer { uid: 65_534, gid: 65_534 };
        assert_eq!(access(None, None).role(Peer { uid: 0, gid: 5 }), Role::Admin);
        let own = Peer { uid: nix::unistd::geteuid().as_raw(), gid: 5 };
        assert_eq!(access(None, None).role(own), Role::Admin);
        if own.uid != nobody.uid {
            assert_eq!(access(None, None).role(nobody), Role::Stranger);
            assert_eq!(access(Some(65_534), None).role(nobody), Role::Reader, "by its first group");
        }
        assert_eq!(access(None, None).role_at_once(Peer { uid: 4_000_000, gid: 1 }), Some(Role::Stranger));
        assert_eq!(access(Some(1), None).role_at_once(Peer { uid: 4_000_000, gid: 1 }), None);
    }

    #[test]
    fn the_file_lets_one_group_through_and_with_two_the_peer_is_asked() {
        assert_eq!(access(None, None).file_mode(), (0o660, None));
        assert_eq!(access(Some(7), None).file_mode(), (0o660, Some(Gid::from_raw(7))));
        assert_eq!(access(None, Some(8)).file_mode(), (0o660, Some(Gid::from_raw(8))));
        assert_eq!(access(Some(8), Some(8)).file_mode(), (0o660, Some(Gid::from_raw(8))));
        assert_eq!(access(Some(7), Some(8)).file_mode(), (0o666, None));
    }

    #[test]
    fn a_refusal_says_who_may() {
        let peer = Peer { uid: 1000, gid: 1000 };
        let told = access(Some(70), Some(80)).refusal(peer, Role::Stranger);
        assert!(told.contains("user 1000") && told.contains("net-ops") && told.contains("monitor"), "{told}");
        let told = access(Some(70), None).refusal(peer, Role::Reader);
        assert!(told.contains("change nothing") && told.contains("only root"), "{told}");
    }
}
