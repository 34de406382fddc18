//! Notices of changes in the registry of the running system, which file watches cannot give.
//!
//! A key is watched with all below it; one that does not exist is waited for at its nearest existing parent.
//! `HKU\*\...` is that key of every user who is logged on. Notices can be missed (a key that was replaced
//! between two looks): whoever uses them also reads by the clock.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use super::super::{SysError, live};

/// Most keys watched; users of a terminal server multiply.
const MAX_KEYS: usize = 240;
/// Stands for each user who is logged on.
const EACH_USER: &str = r"HKU\*\";

#[cfg_attr(windows, path = "../live/windows/registry_watch.rs")]
#[cfg_attr(not(windows), path = "../live/no_registry_watch.rs")]
mod watcher;

/// Called with the key as it was asked for, from a thread of the watch.
pub type Told = Arc<dyn Fn(&str) + Send + Sync>;

/// Watches for the life of this value.
pub struct RegistryWatch {
    told: Told,
    /// What is watched: the key as it was asked for, by its full path.
    keys: BTreeMap<String, String>,
    watcher: Option<watcher::Watcher>,
}

impl fmt::Debug for RegistryWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegistryWatch").field("keys", &self.keys).finish_non_exhaustive()
    }
}

impl RegistryWatch {
    /// Watches nothing yet.
    #[must_use]
    pub fn new(told: Told) -> Self {
        Self { told, keys: BTreeMap::new(), watcher: None }
    }

    /// Watches `keys` and no others; called again, it also takes in users who have logged on since.
    /// Privilege: to read the keys. A single key that cannot be watched is logged.
    /// Errors: `Unsupported` where the system has no registry, `Failed` where it gives no events.
    pub fn watch(&mut self, keys: &BTreeSet<&str>) -> Result<(), SysError> {
        let keys = expand(keys, &users()?);
        if self.watcher.is_some() && self.keys == keys {
            return Ok(());
        }
        // Armed before the old one ends: what changes between is told twice rather than never.
        let watcher = watcher::Watcher::start(&keys, &self.told)?;
        self.watcher = Some(watcher);
        self.keys = keys;
        Ok(())
    }
}

/// SIDs of the people logged on.
fn users() -> Result<Vec<String>, SysError> {
    let Some(root) = live::registry::open("HKU")? else { return Ok(vec![]) };
    let mut sids = root.subkeys("HKU")?;
    sids.retain(|sid| is_person(sid));
    Ok(sids)
}

/// An account of a person, and not the hive of its classes.
fn is_person(sid: &str) -> bool {
    (sid.starts_with("S-1-5-21-") || sid.starts_with("S-1-12-1-")) && !sid.ends_with("_Classes")
}

fn expand(keys: &BTreeSet<&str>, users: &[String]) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    for key in keys {
        match key.strip_prefix(EACH_USER) {
            None => drop(out.insert((*key).to_owned(), (*key).to_owned())),
            Some(rest) => {
                out.extend(users.iter().map(|sid| (format!(r"HKU\{sid}\{rest}"), (*key).to_owned())));
            }
        }
    }
    if out.len() > MAX_KEYS {
        tracing::warn!(keys = out.len(), watched = MAX_KEYS, "Not every registry key can be watched.");
    }
    out.into_iter().take(MAX_KEYS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_users_are_those_of_each_person_logged_on() {
        let keys = BTreeSet::from([r"HKLM\SOFTWARE\X", r"HKU\*\Software\Y"]);
        let users: Vec<String> = [
            "S-1-5-18",
            "S-1-5-21-1-2-3-1001",
            "S-1-5-21-1-2-3-1001_Classes",
            "S-1-12-1-4-5-6-7",
            ".DEFAULT",
        ]
        .into_iter()
        .filter(|sid| is_person(sid))
        .map(str::to_owned)
        .collect();
        let expanded = expand(&keys, &users);
        let names: Vec<&str> = expanded.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            [r"HKLM\SOFTWARE\X", r"HKU\S-1-12-1-4-5-6-7\Software\Y", r"HKU\S-1-5-21-1-2-3-1001\Software\Y"]
        );
        assert_eq!(expanded[names[1]], r"HKU\*\Software\Y", "told as it was asked for");
    }

    #[test]
    fn many_users_are_watched_up_to_the_cap() {
        let users: Vec<String> = (0..1000).map(|i| format!("S-1-5-21-1-2-3-{i}")).collect();
        assert_eq!(expand(&BTreeSet::from([r"HKU\*\A"]), &users).len(), MAX_KEYS);
    }

    #[cfg(not(windows))]
    #[test]
    fn a_system_without_registry_says_so() {
        let mut watch = RegistryWatch::new(Arc::new(|_| {}));
        let error = watch.watch(&BTreeSet::from([r"HKLM\SOFTWARE"])).unwrap_err();
        assert_eq!(error.reason().code, "no_registry");
    }

    #[cfg(windows)]
    mod live {
        use std::sync::mpsc;
        use std::time::Duration;

        use winreg::RegKey;
        use winreg::enums::HKEY_LOCAL_MACHINE;

        use super::*;

        const BASE: &str = r"SOFTWARE\Tenken registry watch";
        const LONG: Duration = Duration::from_secs(60);

        #[test]
        fn changes_below_a_key_are_told_and_so_is_one_that_comes_and_goes() {
            let machine = RegKey::predef(HKEY_LOCAL_MACHINE);
            let _ = machine.delete_subkey_all(BASE);
            let (base, _) = machine.create_subkey(BASE).unwrap();
            let (there, _) = base.create_subkey("there").unwrap();
            let (send, told) = mpsc::channel();
            let send = std::sync::Mutex::new(send);
            let mut watch = RegistryWatch::new(Arc::new(move |key: &str| {
                let _ = send.lock().unwrap().send(key.rsplit('\\').next().unwrap_or_default().to_owned());
            }));
            let (one, two) = (format!(r"HKLM\{BASE}\there"), format!(r"HKLM\{BASE}\later\below\deep"));
            watch.watch(&BTreeSet::from([one.as_str(), two.as_str()])).unwrap();
            there.set_value("value", &1_u32).unwrap();
            assert_eq!(told.recv_timeout(LONG).unwrap(), "there");
            // A second change of the same key, and one below it.
            let (below, _) = there.create_subkey("more").unwrap();
            assert_eq!(told.recv_timeout(LONG).unwrap(), "there");
            below.set_value("value", &2_u32).unwrap();
            assert_eq!(told.recv_timeout(LONG).unwrap(), "there");
            // Its parents come one after the other; only the key itself is news.
            let (deep, _) = base.create_subkey(r"later\below\deep").unwrap();
            assert_eq!(told.recv_timeout(LONG).unwrap(), "deep");
            deep.set_value("value", &3_u32).unwrap();
            assert_eq!(told.recv_timeout(LONG).unwrap(), "deep");
            // Wine tells of what is removed below a key, but not of the key's own end as Windows does.
            drop(below);
            there.delete_subkey("more").unwrap();
            assert_eq!(told.recv_timeout(LONG).unwrap(), "there");
            drop(watch);
            machine.delete_subkey_all(BASE).unwrap();
        }
    }
}
