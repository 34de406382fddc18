//! Who set a registry policy of Windows: the local group policy, a domain's, or device management (MDM).
//!
//! Windows keeps the values of group policies in `Registry.pol` files: those of the local policy under
//! `System32\GroupPolicy`, and all that were applied (local and domain) in `ntuser.pol` of the machine and of each
//! profile. A value that stands only in the latter came from a domain; what stands in neither was written into
//! the registry directly, by device management or by hand.
//!
//! A `.pol` file is `PReg`, version 1, and entries `[key;value;type;size;data]` in UTF-16LE, with binary type,
//! size and data.

use std::collections::BTreeSet;

use super::sources::Sources;
use crate::sys::{Sys, SysError, UserHive};

const MAX_FILE: u64 = 8 * 1024 * 1024;
const MAX_ENTRIES: usize = 50_000;
const LOCAL_MACHINE: &str = "/Windows/System32/GroupPolicy/Machine/Registry.pol";
const LOCAL_USERS: &str = "/Windows/System32/GroupPolicy/User/Registry.pol";
/// Local policies of single people, by SID.
const LOCAL_USER: &str = "/Windows/System32/GroupPolicyUsers";
const APPLIED: &str = "/ProgramData/ntuser.pol";
const MDM: &str = r"HKLM\SOFTWARE\Microsoft\PolicyManager\current";

/// Set by the local group policy.
pub const LOCAL: &str = "local";
/// Set by a domain's group policy.
pub const DOMAIN: &str = "domain";
/// Set by device management.
pub const MDM_ORIGIN: &str = "mdm";
/// Written into the registry, by no group policy that is on record.
pub const REGISTRY: &str = "registry";

/// Values by `key\value`, lower case, without the hive.
type Names = BTreeSet<String>;

/// The group policies of one scope: the machine, or one user.
#[derive(Debug, Default)]
pub struct Origins {
    local: Names,
    applied: Names,
    managed: Names,
}

impl Origins {
    /// Policies of the machine. Files that cannot be read are gaps of `sources`.
    pub fn of_machine(sys: &Sys, sources: &mut Sources) -> Self {
        let local = read(sys, LOCAL_MACHINE, sources);
        let applied = read(sys, APPLIED, sources);
        Self { local, applied, managed: managed(sys, "device", sources) }
    }

    /// What the local policy sets for all users; [`Self::of_user`] makes it that of one.
    pub fn of_users(sys: &Sys, sources: &mut Sources) -> Self {
        Self { local: read(sys, LOCAL_USERS, sources), ..Self::default() }
    }

    /// Policies of one user, where these are those of all.
    pub fn of_user(&self, sys: &Sys, user: &UserHive, sources: &mut Sources) -> Self {
        let mut out = Self { local: self.local.clone(), ..Self::default() };
        if let Some(Ok(profile)) = user.profile.as_deref().map(|profile| sys.windows_path(profile)) {
            out.applied = read(sys, &format!("{profile}/ntuser.pol"), sources);
        }
        if !user.sid.is_empty() {
            out.local.extend(read(sys, &format!("{LOCAL_USER}/{}/User/Registry.pol", user.sid), sources));
            out.managed = managed(sys, &user.sid, sources);
        }
        out
    }

    /// Who set `value` of `key` (without its hive); `area` is the name device management gives the subject.
    #[must_use]
    pub fn of(&self, key: &str, value: &str, areas: &[&str]) -> &'static str {
        let name = name(key, value);
        if self.local.contains(&name) {
            LOCAL
        } else if self.applied.contains(&name) {
            DOMAIN
        } else if areas.iter().any(|area| self.managed.contains(&area.to_lowercase())) {
            MDM_ORIGIN
        } else {
            REGISTRY
        }
    }
}

fn name(key: &str, value: &str) -> String {
    format!("{key}\\{value}").to_lowercase()
}

/// Areas that device management has set for the device, or for a user by SID.
fn managed(sys: &Sys, scope: &str, sources: &mut Sources) -> Names {
    let key = format!(r"{MDM}\{scope}");
    let areas = sys.registry(&key).and_then(|key| key.map(|key| key.subkeys()).transpose());
    let areas = areas.inspect_err(|error| sources.error(&key, error)).ok().flatten().unwrap_or_default();
    areas.into_iter().map(|area| area.to_lowercase()).collect()
}

fn read(sys: &Sys, path: &str, sources: &mut Sources) -> Names {
    match sys.read_capped(path, MAX_FILE) {
        Ok(bytes) => match parse(&bytes) {
            Some(names) => {
                sources.known(path, names.len());
                names
            }
            None => {
                sources.error(path, &SysError::malformed(path, "no policy file"));
                Names::new()
            }
        },
        Err(SysError::Absent { .. }) => Names::new(),
        Err(error) => {
            sources.error(path, &error);
            Names::new()
        }
    }
}

/// Names of the values a policy file sets; `None` where it is none.
#[must_use]
pub fn parse(bytes: &[u8]) -> Option<BTreeSet<String>> {
    let mut rest = bytes.strip_prefix(b"PReg\x01\0\0\0")?;
    let mut names = Names::new();
    while !rest.is_empty() && names.len() < MAX_ENTRIES {
        rest = rest.strip_prefix(b"[\0")?;
        let (key, after) = text(rest)?;
        let (value, after) = text(after)?;
        // Type, separator, size, separator.
        let size = u32::from_le_bytes(after.get(6..10)?.try_into().ok()?) as usize;
        let end = 12_usize.checked_add(size)?;
        rest = after.get(end..)?.strip_prefix(b"]\0")?;
        // `**del.Name` takes a value away; it sets nothing.
        if !value.starts_with("**") {
            names.insert(name(&key, &value));
        }
    }
    Some(names)
}

/// Text up to its NUL, and what follows the separator.
fn text(bytes: &[u8]) -> Option<(String, &[u8])> {
    let units: Vec<u16> = bytes
        .chunks_exact(2)
        .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
        .take_while(|unit| *unit != 0)
        .take(2_000)
        .collect();
    let rest = bytes.get((units.len() + 1) * 2..)?.strip_prefix(b";\0")?;
    Some((String::from_utf16_lossy(&units), rest))
}

/// A policy file that sets numbers, for tests.
#[cfg(test)]
pub fn pol(entries: &[(&str, &str, u32)]) -> Vec<u8> {
    let wide = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    let mut out = b"PReg\x01\0\0\0".to_vec();
    for (key, value, number) in entries {
        out.extend(wide(&format!("[{key}\0;{value}\0;")));
        out.extend(4_u32.to_le_bytes());
        out.extend(wide(";"));
        out.extend(4_u32.to_le_bytes());
        out.extend(wide(";"));
        out.extend(number.to_le_bytes());
        out.extend(wide("]"));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_deletions_are_none() {
        let file =
            pol(&[(r"Software\Policies\X", "Deny_All", 1), ("Software\\方針　一", "**del.Deny_All", 0)]);
        let names = parse(&file).unwrap();
        assert_eq!(names.into_iter().collect::<Vec<_>>(), [r"software\policies\x\deny_all"]);
        assert_eq!(parse(b"PReg\x01\0\0\0"), Some(Names::new()));
        for end in 9..file.len() {
            let cut = parse(&file[..end]);
            assert!(cut.is_none_or(|names| names.len() <= 1), "{end}");
        }
        assert_eq!(parse(b"rubbish"), None);
    }

    #[test]
    fn a_value_of_the_domain_stands_only_among_the_applied() {
        let names = |n: &str| BTreeSet::from([n.to_owned()]);
        let origins =
            Origins { local: names(r"k\a"), applied: names(r"k\b"), managed: names("deviceinstallation") };
        assert_eq!(origins.of("K", "A", &[]), LOCAL);
        assert_eq!(origins.of("K", "B", &["DeviceInstallation"]), DOMAIN);
        assert_eq!(origins.of("K", "C", &["DeviceInstallation"]), MDM_ORIGIN);
        assert_eq!(origins.of("K", "C", &["Storage"]), REGISTRY);
    }
}
