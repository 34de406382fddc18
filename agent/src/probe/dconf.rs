//! dconf databases: GVDB files as `dconf` writes them, and how a profile stacks them.
//!
//! A GVDB file is a header (`GVariant`, version, options, root table) and hash tables of 24-byte items;
//! an item names its parent, and its full key is the keys from the root down. Values are serialised
//! `GVariant` variants: the value's bytes, a NUL, and the type string. Only booleans, unsigned numbers
//! and strings are read; the database's owner may write anything, so every offset is checked.

use std::collections::{BTreeMap, BTreeSet};

use super::sources::Sources;
use crate::sys::{Sys, SysError};

const MAX_BYTES: u64 = 8 * 1024 * 1024;
const MAX_ITEMS: usize = 100_000;
const MAX_DEPTH: usize = 64;
const ITEM: usize = 24;

/// One value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// `b`.
    Bool(bool),
    /// `u`.
    Number(u32),
    /// `s`.
    Text(String),
    /// Any other type.
    Other,
}

/// A database: values by key (`/org/gnome/...`) and the keys it locks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Database {
    /// Values.
    pub values: BTreeMap<String, Value>,
    /// Keys users cannot change.
    pub locks: BTreeSet<String>,
}

impl Database {
    /// Reads a GVDB file. `None` where it is none or an offset leaves it.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        if bytes.is_empty() {
            // dconf leaves an empty file where nothing was ever set.
            return Some(Self::default());
        }
        if bytes.get(..8)? != b"GVariant" || word(bytes, 8)? != 0 {
            return None;
        }
        let mut out = Self::default();
        let root = slice(bytes, word(bytes, 16)?, word(bytes, 20)?)?;
        for (key, kind, range) in items(bytes, root)? {
            match kind {
                b'v' => drop(out.values.insert(key, value(slice(bytes, range.0, range.1)?))),
                b'H' if key == ".locks" => {
                    let table = slice(bytes, range.0, range.1)?;
                    out.locks.extend(items(bytes, table)?.into_iter().map(|(key, _, _)| key));
                }
                _ => {}
            }
        }
        Some(out)
    }
}

type Item = (String, u8, (usize, usize));

fn items(bytes: &[u8], table: &[u8]) -> Option<Vec<Item>> {
    if table.is_empty() {
        return Some(vec![]);
    }
    let bloom = word(table, 0)? & 0x07ff_ffff;
    let buckets = word(table, 4)?;
    let start = bloom.checked_add(buckets)?.checked_mul(4)?.checked_add(8)?;
    let raw = table.get(start..)?;
    if raw.len() % ITEM != 0 || raw.len() / ITEM > MAX_ITEMS {
        return None;
    }
    (0..raw.len() / ITEM)
        .map(|i| {
            let at = i * ITEM;
            Some((full_key(bytes, raw, i)?, *raw.get(at + 14)?, (word(raw, at + 16)?, word(raw, at + 20)?)))
        })
        .collect()
}

fn full_key(bytes: &[u8], raw: &[u8], index: usize) -> Option<String> {
    let mut parts = Vec::new();
    let mut at = index;
    while at != 0xffff_ffff {
        if parts.len() >= MAX_DEPTH {
            return None;
        }
        let item = at.checked_mul(ITEM)?;
        let start = word(raw, item + 8)?;
        let size = usize::from(u16::from_le_bytes(raw.get(item + 12..item + 14)?.try_into().ok()?));
        parts.push(std::str::from_utf8(slice(bytes, start, start.checked_add(size)?)?).ok()?);
        at = word(raw, item + 4)?;
    }
    parts.reverse();
    Some(parts.concat())
}

fn value(bytes: &[u8]) -> Value {
    let Some(at) = bytes.iter().rposition(|b| *b == 0) else { return Value::Other };
    let (data, kind) = (&bytes[..at], &bytes[at + 1..]);
    match (kind, data) {
        (b"b", [flag]) => Value::Bool(*flag != 0),
        (b"u", [a, b, c, d]) => Value::Number(u32::from_le_bytes([*a, *b, *c, *d])),
        (b"s", [text @ .., 0]) => Value::Text(String::from_utf8_lossy(text).into_owned()),
        _ => Value::Other,
    }
}

fn word(bytes: &[u8], at: usize) -> Option<usize> {
    let raw: [u8; 4] = bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
    usize::try_from(u32::from_le_bytes(raw)).ok()
}

fn slice(bytes: &[u8], start: usize, end: usize) -> Option<&[u8]> {
    bytes.get(start..end)
}

/// The system databases a machine's profile stacks under each user's own.
#[derive(Debug, Clone, Default)]
pub struct Profile(Vec<Database>);

impl Profile {
    /// Reads `/etc/dconf/profile/user` and the compiled databases it names. Without a profile there is
    /// only the user's own database.
    pub fn load(sys: &Sys, sources: &mut Sources) -> Self {
        let text = sources.optional_text(sys, "/etc/dconf/profile/user").unwrap_or_default();
        let names = text.lines().filter_map(|l| l.trim().strip_prefix("system-db:")).map(str::trim);
        let mut out = Self::default();
        for name in names.filter(|n| !n.is_empty() && !n.contains(['/', '.'])).take(20) {
            let path = format!("/etc/dconf/db/{name}");
            match read(sys, &path, None) {
                Ok(Some(database)) => {
                    sources.known(&path, database.values.len());
                    out.0.push(database);
                }
                Ok(None) => {}
                Err(error) => sources.error(&path, &error),
            }
        }
        out
    }

    /// The value in force for a user (or for one who has set nothing): a locked key skips the user's own.
    #[must_use]
    pub fn get<'a>(&'a self, key: &str, user: Option<&'a Database>) -> Option<&'a Value> {
        let own = user.filter(|_| !self.is_locked(key)).and_then(|d| d.values.get(key));
        own.or_else(|| self.0.iter().find_map(|d| d.values.get(key)))
    }

    /// Whether users cannot change the key.
    #[must_use]
    pub fn is_locked(&self, key: &str) -> bool {
        self.0.iter().any(|d| d.locks.contains(key))
    }
}

/// A user's own database, `None` where the user never set anything.
pub fn of_user(sys: &Sys, home: &super::homes::Home) -> Result<Option<Database>, SysError> {
    read(sys, &format!("{}/.config/dconf/user", home.path), Some(home.uid))
}

fn read(sys: &Sys, path: &str, owner: Option<u32>) -> Result<Option<Database>, SysError> {
    let bytes = match owner {
        Some(uid) => sys.read_owned(path, uid, MAX_BYTES),
        None => sys.read_capped(path, MAX_BYTES),
    };
    match bytes {
        Ok(bytes) => {
            Database::parse(&bytes).map(Some).ok_or_else(|| SysError::malformed(path, "not a dconf database"))
        }
        Err(SysError::Absent { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const USER: &[u8] = include_bytes!("../../fixtures/autorun/linux-gnome/home/ito/.config/dconf/user");
    const LOCAL: &[u8] = include_bytes!("../../fixtures/autorun/linux-gnome/etc/dconf/db/local");

    #[test]
    fn values_and_locks_of_compiled_databases_are_read() {
        let user = Database::parse(USER).unwrap();
        let get = |key: &str| user.values.get(&format!("/org/gnome/desktop/{key}"));
        assert_eq!(get("media-handling/automount-open"), Some(&Value::Bool(false)));
        assert_eq!(get("media-handling/autorun-never"), Some(&Value::Bool(true)));
        assert_eq!(get("session/idle-delay"), Some(&Value::Number(300)));
        assert_eq!(user.values.get("/org/gnome/shell/favorite-apps"), Some(&Value::Other));
        let local = Database::parse(LOCAL).unwrap();
        assert_eq!(
            local.locks.iter().map(String::as_str).collect::<Vec<_>>(),
            ["/org/gnome/desktop/media-handling/automount"]
        );
    }

    #[test]
    fn a_lock_skips_the_users_own_value() {
        let key = "/org/gnome/desktop/media-handling/automount";
        let profile = Profile(vec![Database::parse(LOCAL).unwrap()]);
        let mut user = Database::default();
        user.values.insert(key.into(), Value::Bool(true));
        assert_eq!(profile.get(key, Some(&user)), Some(&Value::Bool(false)));
        assert_eq!(Profile::default().get(key, Some(&user)), Some(&Value::Bool(true)));
    }

    proptest! {
        #[test]
        fn damaged_databases_never_panic(at in 0..USER.len(), byte: u8, cut in 0..USER.len()) {
            let mut bytes = USER.to_vec();
            bytes[at] = byte;
            let _ = Database::parse(&bytes);
            let _ = Database::parse(&bytes[..cut]);
        }
    }
}
