//! AppX packages, from the list of packages that deployment keeps for the whole machine.
//!
//! `Applications` and `InboxApplications` hold what every user gets; keys named by a SID what that user has.
//! Languages and scales of a package, and the bundles around packages, are no titles of their own.

use tenken_shared::fact::software::SoftwareItem;

use super::super::parse_windows::{AppxName, arch};
use super::{Context, Part, Read, item, of_user, part};
use crate::sys::{RegistryKey, SysError};

const STORE: &str = "HKLM\\SOFTWARE\\Microsoft\\Windows\\CurrentVersion\\Appx\\AppxAllUserStore";
const FOR_ALL: [&str; 2] = ["Applications", "InboxApplications"];
/// Packages staged by the system itself; those that someone uses are listed with that user.
const SYSTEM: &str = "S-1-5-18";

pub(super) fn collect(context: &Context<'_>) -> Vec<Part> {
    let store = match context.sys.registry(STORE) {
        Ok(Some(store)) => store,
        other => return vec![part(&format!("appx:{STORE}"), other.map(|_| None))],
    };
    let mut out: Vec<Part> = FOR_ALL.iter().map(|name| of_key(&store, name)).collect();
    match store.subkeys() {
        Ok(names) => {
            let users = names.iter().filter(|n| n.starts_with("S-1-") && *n != SYSTEM);
            out.extend(users.take(1_000).map(|sid| of_sid(context, &store, sid)));
        }
        Err(error) => out.push(part(&format!("appx:{STORE}"), Err(error))),
    }
    out
}

fn of_key(store: &RegistryKey, name: &str) -> Part {
    let read = store.open(name).and_then(|key| key.map(|key| packages(&key)).transpose());
    part(&format!("appx:{STORE}\\{name}"), read)
}

fn of_sid(context: &Context<'_>, store: &RegistryKey, sid: &str) -> Part {
    let (mut items, state) = of_key(store, sid);
    let user = context.users.iter().find(|u| u.sid.eq_ignore_ascii_case(sid));
    for item in &mut items {
        *item = match user {
            Some(user) => of_user(std::mem::take(item), user),
            None => SoftwareItem { scope: "user".into(), user: Some(sid.to_owned()), ..std::mem::take(item) },
        };
    }
    (items, state)
}

/// The packages that the subkeys name; nothing inside them is needed.
fn packages(key: &RegistryKey) -> Result<Read, SysError> {
    let names = key.subkeys()?;
    let truncated = names.len() > super::MAX_ENTRIES;
    let whole = names.iter().take(super::MAX_ENTRIES).filter_map(|n| AppxName::parse(n));
    let items = whole.filter(AppxName::is_whole).map(|package| SoftwareItem {
        arch: arch(package.arch).map(str::to_owned),
        vendor: package.vendor().map(str::to_owned),
        ..item("appx", package.name.to_owned(), package.version.to_owned())
    });
    Ok(Read { items: items.collect(), outdated: key.is_outdated(), truncated, damaged: None })
}
