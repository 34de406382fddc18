//! Screen locks of a Windows machine: the limit of the machine, and the screen saver of each person.
//!
//! A screen saver locks where one is chosen, it is on, it asks for the password and it has a time; policy goes
//! before the person's own choice, value by value. The machine's limit (`InactivityTimeoutSecs`, 0 for none) locks
//! whoever is logged on; the shorter of both counts. Source: the registry; hives of people who are logged off.

use tenken_shared::fact::credential_policy::ScreenLock;

use crate::probe::sources::Sources;
use crate::probe::windows::{key, number};
use crate::sys::{RegistryKey, RegistryValue, Sys, SysError, UserHive};

const MACHINE: &str = r"HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Policies\System";
const POLICY: &str = r"Software\Policies\Microsoft\Windows\Control Panel\Desktop";
const OWN: &str = r"Control Panel\Desktop";

/// Seconds of idleness after which the machine locks, whoever is logged on; `None` where it never does.
pub(super) fn machine(sys: &Sys, sources: &mut Sources) -> Option<u64> {
    let policies = key(sys, MACHINE, sources)?;
    number(&policies, "InactivityTimeoutSecs", sources).filter(|seconds| *seconds > 0)
}

/// One row for each profile.
pub(super) fn users(sys: &Sys, machine: Option<u64>, sources: &mut Sources) -> Vec<ScreenLock> {
    let hives = match sys.user_hives() {
        Ok(hives) => hives,
        Err(error) => {
            sources.error("profiles", &error);
            return vec![];
        }
    };
    sources.known("profiles", hives.len());
    let (gone, hives): (Vec<_>, Vec<_>) = hives.into_iter().partition(UserHive::is_gone);
    for user in gone {
        sources.error(format!("profile {}", user.sid), &SysError::Absent { what: user.sid });
    }
    let mut rows: Vec<ScreenLock> = hives.into_iter().map(|hive| row(hive, machine)).collect();
    rows.sort_by(|a, b| (&a.user, &a.id).cmp(&(&b.user, &b.id)));
    rows
}

fn row(user: UserHive, machine: Option<u64>) -> ScreenLock {
    let name = user.user.unwrap_or_else(|| user.sid.clone());
    let row = ScreenLock { user: name, id: user.sid, ..ScreenLock::default() };
    match user.hive.and_then(|hive| saver(&hive)) {
        Ok(saver) => {
            let shortest = [machine.map(|s| (s, "machine")), saver].into_iter().flatten().min();
            ScreenLock {
                locks: Some(shortest.is_some()),
                after_s: shortest.map(|(seconds, _)| seconds),
                origin: shortest.map(|(_, origin)| origin.to_owned()),
                ..row
            }
        }
        // The machine's limit holds for those whose own choice could not be read, but theirs may be shorter.
        Err(error) => ScreenLock {
            locks: machine.map(|_| true),
            after_s: machine,
            origin: machine.map(|_| "machine".into()),
            reason: Some(error.reason()),
            ..row
        },
    }
}

/// After how many seconds the screen saver locks, and who set that time; `None` where it does not.
fn saver(hive: &RegistryKey) -> Result<Option<(u64, &'static str)>, SysError> {
    let keys = [(hive.open(POLICY)?, "policy"), (hive.open(OWN)?, "user")];
    let first = |name: &str| -> Result<Option<(String, &'static str)>, SysError> {
        for (key, origin) in &keys {
            if let Some(text) = key.as_ref().map(|key| word(key, name)).transpose()?.flatten() {
                return Ok(Some((text, *origin)));
            }
        }
        Ok(None)
    };
    let is_on = |name: &str| first(name).map(|found| found.is_some_and(|(text, _)| text == "1"));
    let chosen = first("SCRNSAVE.EXE")?.is_some();
    if !chosen || !is_on("ScreenSaveActive")? || !is_on("ScreenSaverIsSecure")? {
        return Ok(None);
    }
    let time = first("ScreenSaveTimeOut")?;
    Ok(time.and_then(|(text, origin)| Some((text.parse().ok().filter(|s| *s > 0)?, origin))))
}

/// A value that Windows writes as text, and others as a number.
fn word(key: &RegistryKey, name: &str) -> Result<Option<String>, SysError> {
    Ok(match key.value(name)? {
        Some(RegistryValue::String(text)) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
        Some(RegistryValue::Number(number)) => Some(number.to_string()),
        _ => None,
    })
}
