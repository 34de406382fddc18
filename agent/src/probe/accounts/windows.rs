//! Local accounts of a Windows machine, and who is administrator by the group `S-1-5-32-544`.
//!
//! A running system is asked by its API; a folder is read from the `SAM` hive. Neither groups nor the built-in
//! accounts are known by name, which differs by language (`管理者`) and can be changed. A member that is no local
//! account is listed with the name the system gives it, else with its SID; a group of a directory is a rule, whose
//! people are not listed: the directory stands in `directories`.
//! Privilege: administrator (SYSTEM for a hive that is loaded).

use tenken_shared::collected::{Reason, Status};
use tenken_shared::fact::accounts::{Account, AccountUse, Accounts, AccountsObserved};

use crate::probe::Collection;
use crate::probe::sam;
use crate::probe::sources::{Sources, collected};
use crate::probe::windows::directories;
use crate::sys::{LocalUser, LocalUsers, Member, MemberKind, Sys, SysError};

/// The administrators' group.
const VIA: &str = "group:S-1-5-32-544";
/// RIDs below are given by Windows itself.
const FIRST_OWN_RID: u32 = 1_000;
/// Groups that everyone who logs on belongs to: Everyone, Network, Interactive, Authenticated Users, local accounts.
const EVERYBODY: [&str; 5] = ["S-1-1-0", "S-1-5-2", "S-1-5-4", "S-1-5-11", "S-1-5-113"];
/// RIDs of groups that every domain has: its admins, users, guests, computers, schema and enterprise admins.
const DOMAIN_GROUPS: [&str; 6] = ["-512", "-513", "-514", "-515", "-518", "-519"];

/// What is watched.
pub(super) const WATCH: &[&str] =
    &[r"HKLM\SAM\SAM\Domains\Account\Users\Names", r"HKLM\SAM\SAM\Domains\Builtin\Aliases\00000220"];

/// Collects both facts.
pub(super) fn collect(sys: &Sys) -> Vec<Collection> {
    let (source, users, admins) = if sys.is_live() {
        (
            "NetUserEnum; NetLocalGroupGetMembers",
            sys.local_users().map(|users| (users, false)),
            sys.administrators(),
        )
    } else {
        (
            r"HKLM\SAM",
            sam::users(sys),
            sam::administrators(sys).map(|sids| sids.into_iter().map(unnamed).collect()),
        )
    };
    let (users, outdated) = match checked(users) {
        Ok(users) => users,
        Err(error) => {
            return super::KINDS.iter().map(|k| Collection::missing(*k, &error, sys.now())).collect();
        }
    };
    let mut sources = Sources::new();
    sources.known("accounts", users.users.len());
    if outdated {
        sources.gap("accounts", Status::Partial, Reason::with("hive_outdated", sam::ACCOUNT));
    }
    let admins = match admins {
        Ok(admins) => {
            sources.known(VIA, admins.len());
            Some(admins)
        }
        Err(error) => {
            sources.gap(VIA, Status::Partial, error.reason());
            None
        }
    };
    let directories = directories(sys, &mut sources);
    let mut body = accounts(sys, &users, admins.as_deref());
    body.directories = directories;
    body.sources = sources.into_vec();
    let states = body.sources.clone();
    let observed = AccountsObserved { items: users.users.iter().filter_map(usage).collect() };
    vec![
        Collection::of(collected(body, &states), source, sys.now()),
        Collection::of(collected(observed, &states), source, sys.now()),
    ]
}

/// Every Windows has the built-in administrator, whatever it is called: a list without it is no answer.
fn checked(users: Result<(LocalUsers, bool), SysError>) -> Result<(LocalUsers, bool), SysError> {
    let (users, outdated) = users?;
    if !users.users.iter().any(|user| user.rid == 500) {
        return Err(SysError::malformed("accounts", "no built-in administrator"));
    }
    Ok((users, outdated))
}

/// A member as a hive has it: what it is can only be told of accounts and groups every machine or domain has.
fn unnamed(sid: String) -> Member {
    let group = DOMAIN_GROUPS.iter().any(|rid| sid.ends_with(rid)) || EVERYBODY.contains(&sid.as_str());
    Member { sid, name: None, kind: if group { MemberKind::Group } else { MemberKind::Unknown } }
}

fn accounts(sys: &Sys, users: &LocalUsers, admins: Option<&[Member]>) -> Accounts {
    let sid_of = |user: &LocalUser| format!("{}-{}", users.machine_sid, user.rid);
    let everybody = admins.and_then(|m| m.iter().find(|m| EVERYBODY.contains(&m.sid.as_str())));
    let mut items: Vec<Account> = users
        .users
        .iter()
        .map(|user| {
            let id = sid_of(user);
            let mut via = Vec::new();
            if admins.is_some_and(|m| m.iter().any(|m| m.sid == id)) {
                via.push(VIA.to_owned());
            }
            via.extend(everybody.map(|m| format!("{VIA}/{}", m.sid)));
            let expired = user.expires_at.is_some_and(|at| at <= sys.now());
            Account {
                name: user.name.clone(),
                enabled: Some(!user.disabled && !expired),
                administrator: admins.map(|_| !via.is_empty()),
                administrator_via: via,
                password: user.has_password.map(|has| if has { "set" } else { "empty" }.into()),
                built_in: user.rid < FIRST_OWN_RID,
                id,
            }
        })
        .collect();
    let others = admins.unwrap_or_default().iter().filter(|m| !items.iter().any(|a| a.id == m.sid));
    let (groups, people): (Vec<&Member>, Vec<&Member>) = others.partition(|m| m.kind == MemberKind::Group);
    items.extend(people.into_iter().map(|member| Account {
        name: member.name.clone().unwrap_or_else(|| member.sid.clone()),
        id: member.sid.clone(),
        administrator: Some(true),
        administrator_via: vec![VIA.into()],
        ..Account::default()
    }));
    items.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
    let named = |member: &Member| match &member.name {
        Some(name) => format!("group:{} ({name})", member.sid),
        None => format!("group:{}", member.sid),
    };
    let mut admin_rules = vec![VIA.to_owned()];
    admin_rules.extend(groups.into_iter().map(named));
    Accounts { items, admin_rules, ..Accounts::default() }
}

fn usage(user: &LocalUser) -> Option<AccountUse> {
    let known = user.last_logon.is_some() || user.password_changed_at.is_some();
    known.then(|| AccountUse {
        name: user.name.clone(),
        last_logon: user.last_logon,
        password_changed_at: user.password_changed_at,
    })
}

#[cfg(test)]
mod tests;
