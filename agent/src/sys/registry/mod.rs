//! The registry of a Windows machine: the running one's, or the hive files under a root folder; what has no hive
//! there is looked for in registry exports ([`export`]).
//!
//! Paths are written as Windows shows them: `HKLM\SOFTWARE\...`, `HKLM\SYSTEM\CurrentControlSet\...`,
//! `HKU\<SID>\...`; case does not matter. It is always the 64-bit view; what 32-bit programs wrote lies under
//! `WOW6432Node`, by its real path. A key that only points to another is refused rather than shown empty.
//!
//! A hive that is missing, damaged or not readable is an error; only a key that is not in a readable hive is
//! `None`. Privilege: administrator for `SAM`, `SECURITY` and the hives of other users.

mod export;
mod export_tree;
mod hive;
mod log;
mod reg_file;
mod user;
mod value;
pub mod watch;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;

pub(super) use export::ExportCache;
pub use hive::{Damage, Hive, filetime};
pub use log::Recovery;
pub use reg_file::{Entry as RegEntry, RegFile};
pub use user::UserHive;
pub use value::{RegistryValue, utf16};

use super::trace::{self, ABSENT, Access, DENIED, Tracer};
use super::{Family, Sys, SysError, live};

/// Largest hive file that is read, bytes; Windows' own `SOFTWARE` is about 100 MiB.
const HIVE_CAP: u64 = 384 * 1024 * 1024;
/// Largest transaction log that is read, bytes.
const LOG_CAP: u64 = 64 * 1024 * 1024;
/// Deepest path of keys; Windows allows 512.
const MAX_DEPTH: usize = 512;
/// Where Windows keeps its hives.
const CONFIG: &str = "/Windows/System32/config";

/// Hives read under a root folder, by path and signature: several probes look into each of them.
#[derive(Debug, Clone, Default)]
pub(super) struct HiveCache(Arc<Mutex<HivesByPath>>);

/// Signature of the file and what was read from it, by path.
type HivesByPath = BTreeMap<String, (String, Arc<Hive>)>;

/// An open key.
#[derive(Debug, Clone)]
pub struct RegistryKey {
    path: String,
    place: Place,
    tracer: Tracer,
}

#[derive(Debug, Clone)]
enum Place {
    Hive { hive: Arc<Hive>, node: hive::Node },
    Export { exports: Arc<export_tree::Exports>, key: usize },
    Live(live::registry::Key),
}

impl Sys {
    /// Opens a key by its full path; `None` where it is not there.
    /// Errors: `Unsupported` for what only a running system has (`HKLM\HARDWARE`) and on other systems,
    /// `Denied`, `Failed` with `hive_missing`, `not_exported`, `export_damaged` or `malformed`.
    pub fn registry(&self, path: &str) -> Result<Option<RegistryKey>, SysError> {
        if self.family() != Family::Windows {
            return Err(SysError::Unsupported { what: path.into(), reason: "no_registry".into() });
        }
        if self.is_live() { self.live_key(path) } else { self.key_at_rest(path) }
    }

    fn key_at_rest(&self, path: &str) -> Result<Option<RegistryKey>, SysError> {
        let found = self.key_of_hive(path);
        match &found {
            Err(error) if is_elsewhere(error) => self.key_of_exports(path).unwrap_or(found),
            _ => found,
        }
    }

    fn live_key(&self, path: &str) -> Result<Option<RegistryKey>, SysError> {
        let key = live::registry::open(path);
        note(&self.tracer, path, &key);
        let tracer = self.tracer.clone();
        Ok(key?.map(|key| RegistryKey { path: path.to_owned(), place: Place::Live(key), tracer }))
    }

    fn key_of_hive(&self, path: &str) -> Result<Option<RegistryKey>, SysError> {
        let not_here = || SysError::Unsupported { what: path.into(), reason: "live_only".into() };
        let (top, rest) = path.split_once('\\').unwrap_or((path, ""));
        let (name, rest) = rest.split_once('\\').unwrap_or((rest, ""));
        let hive = match top.to_ascii_uppercase().as_str() {
            "HKLM" => {
                ["SOFTWARE", "SYSTEM", "SAM", "SECURITY"].into_iter().find(|h| h.eq_ignore_ascii_case(name))
            }
            "HKU" if name.eq_ignore_ascii_case(".DEFAULT") => Some("DEFAULT"),
            "HKU" if name.starts_with("S-1-5-21-") || name.starts_with("S-1-12-1-") => {
                return self.key_of_user(name, rest);
            }
            _ => None,
        };
        let hive = hive.ok_or_else(not_here)?;
        let root = self.hive(&format!("{CONFIG}/{hive}"), &format!("{top}\\{name}"))?;
        match rest.split_once('\\').unwrap_or((rest, "")) {
            (set, rest) if hive == "SYSTEM" && set.eq_ignore_ascii_case("CurrentControlSet") => Ok(root
                .open(&format!("{}\\{rest}", current_set(&root)?))?
                .map(|key| RegistryKey { path: path.to_owned(), ..key })),
            _ => root.open(rest),
        }
    }

    /// Opens the hive file at `path` with its transaction logs; gives its root key under the name `name`.
    /// Errors: `Failed` with `hive_missing` where there is no such file, `malformed`, as for any file.
    pub fn hive(&self, path: &str, name: &str) -> Result<RegistryKey, SysError> {
        let mut logs = vec![];
        let Some(stat) = self.stat(path)? else { return Err(hive_missing(path)) };
        let mut signature = format!("{}-{:?}", stat.size, stat.modified);
        for suffix in ["LOG", "LOG1", "LOG2"] {
            let log = format!("{path}.{suffix}");
            if let Some(stat) = self.stat(&log)?.filter(|stat| stat.size > 0) {
                signature.push_str(&format!("-{suffix}-{}-{:?}", stat.size, stat.modified));
                logs.push(log);
            }
        }
        let hive = match self.hives.get(path, &signature) {
            Some(hive) => hive,
            None => {
                let logs =
                    logs.iter().map(|log| self.read_capped(log, LOG_CAP)).collect::<Result<Vec<_>, _>>()?;
                let image = self.read_capped(path, HIVE_CAP)?;
                let hive = Hive::open(image, &logs).map_err(|error| SysError::malformed(path, error))?;
                let hive = Arc::new(hive);
                // A service would keep the memory for ever; a folder is read by a program that ends.
                if !self.is_live() {
                    self.hives.put(path, signature, &hive);
                }
                hive
            }
        };
        let node = hive.node(hive.root()).map_err(|error| SysError::malformed(path, error))?;
        Ok(RegistryKey {
            path: name.to_owned(),
            place: Place::Hive { hive, node },
            tracer: self.tracer.clone(),
        })
    }

    /// The mark a key of the running system would leave now.
    pub(super) fn registry_mark(path: &str) -> Option<String> {
        mark_of(&live::registry::open(path))
    }
}

impl HiveCache {
    fn get(&self, path: &str, signature: &str) -> Option<Arc<Hive>> {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.get(path).filter(|(of, _)| of == signature).map(|(_, hive)| Arc::clone(hive))
    }

    fn put(&self, path: &str, signature: String, hive: &Arc<Hive>) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.insert(path.to_owned(), (signature, Arc::clone(hive)));
    }
}

fn hive_missing(path: &str) -> SysError {
    SysError::Failed { what: path.into(), reason: "hive_missing".into(), detail: "no such file".into() }
}

/// Whether an error says that what is asked for lies in no file here.
fn is_elsewhere(error: &SysError) -> bool {
    let (SysError::Failed { reason, .. } | SysError::Unsupported { reason, .. }) = error else {
        return false;
    };
    ["hive_missing", "live_only", "not_exported"].contains(&reason.as_str())
}

/// The control set the machine runs by: `Select\Current`.
fn current_set(system: &RegistryKey) -> Result<String, SysError> {
    let current = system.open("Select")?.map(|key| key.number("Current")).transpose()?.flatten();
    match current {
        Some(number @ 1..=999) => Ok(format!("ControlSet{number:03}")),
        _ => Err(SysError::malformed("HKLM\\SYSTEM\\Select", "Current")),
    }
}

/// Leaves a mark for an open key: its time covers its values and the names of its subkeys, which is what is
/// read from it; a subkey that is read leaves its own mark.
fn note(tracer: &Tracer, path: &str, key: &Result<Option<live::registry::Key>, SysError>) {
    match mark_of(key) {
        Some(mark) => tracer.note(Access::Registry, path, || mark),
        None => tracer.volatile(path),
    }
}

fn mark_of(key: &Result<Option<live::registry::Key>, SysError>) -> Option<String> {
    match key {
        Ok(Some(key)) => {
            let written = key.last_written()?;
            let time = std::time::SystemTime::try_from(written).ok()?;
            trace::is_settled(time).then(|| written.as_nanosecond().to_string())
        }
        Ok(None) => Some(ABSENT.into()),
        Err(SysError::Denied { .. }) => Some(DENIED.into()),
        Err(_) => None,
    }
}

impl RegistryKey {
    /// Full path, as it was asked for.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Opens a key below this one; `None` where it is not there.
    pub fn open(&self, sub: &str) -> Result<Option<Self>, SysError> {
        let path = if sub.is_empty() { self.path.clone() } else { format!("{}\\{sub}", self.path) };
        let tracer = self.tracer.clone();
        let place = match &self.place {
            Place::Live(key) => {
                let opened = key.open(sub, &path);
                note(&tracer, &path, &opened);
                opened?.map(Place::Live)
            }
            Place::Hive { hive, node } => descend(hive, node, sub)
                .map_err(|error| SysError::malformed(&path, error))?
                .map(|node| Place::Hive { hive: Arc::clone(hive), node }),
            Place::Export { exports, key } => exports
                .descend(*key, sub, &path)?
                .map(|key| Place::Export { exports: Arc::clone(exports), key }),
        };
        match place {
            Some(Place::Hive { node, .. }) if node.is_link => {
                Err(SysError::Unsupported { what: path, reason: "registry_link".into() })
            }
            place => Ok(place.map(|place| Self { path, place, tracer })),
        }
    }

    /// Names of the subkeys, in the order of the hive.
    pub fn subkeys(&self) -> Result<Vec<String>, SysError> {
        match &self.place {
            Place::Live(key) => key.subkeys(&self.path),
            Place::Export { exports, key } => exports.subkeys(*key, &self.path),
            Place::Hive { hive, node } => {
                let names =
                    |cells: Vec<u32>| cells.into_iter().map(|c| hive.node(c).map(|n| n.name)).collect();
                self.checked(hive.subkeys(node).and_then(names))
            }
        }
    }

    /// The subkeys, opened; one that went away meanwhile is left out.
    pub fn children(&self) -> Result<Vec<Self>, SysError> {
        self.each_child()?.into_iter().collect()
    }

    /// The same for who can do without one that cannot be read.
    pub fn each_child(&self) -> Result<Vec<Result<Self, SysError>>, SysError> {
        if let Place::Hive { hive, node } = &self.place {
            let child = |cell| {
                let node = self.checked(hive.node(cell))?;
                let path = format!("{}\\{}", self.path, node.name);
                let place = Place::Hive { hive: Arc::clone(hive), node };
                Ok(Self { path, place, tracer: self.tracer.clone() })
            };
            return Ok(self.checked(hive.subkeys(node))?.into_iter().map(child).collect());
        }
        Ok(self.subkeys()?.iter().filter_map(|name| self.open(name).transpose()).collect())
    }

    /// Name of the key itself: the last part of its path.
    #[must_use]
    pub fn name(&self) -> &str {
        self.path.rsplit('\\').next().unwrap_or_default()
    }

    /// A value by name, `""` for the unnamed one; `None` where it is not there.
    pub fn value(&self, name: &str) -> Result<Option<RegistryValue>, SysError> {
        match &self.place {
            Place::Live(key) => key.value(name, &self.path),
            Place::Export { exports, key } => exports.value(*key, name, &self.path),
            Place::Hive { hive, node } => self.checked(hive.find_value(node, name)),
        }
    }

    /// All values with their names.
    pub fn values(&self) -> Result<Vec<(String, RegistryValue)>, SysError> {
        match &self.place {
            Place::Live(key) => key.values(&self.path),
            Place::Export { exports, key } => exports.values(*key, &self.path),
            Place::Hive { hive, node } => self.checked(hive.values(node)),
        }
    }

    /// When a value of this key, or the set of its subkeys, changed last; host clock.
    #[must_use]
    pub fn last_written(&self) -> Option<Timestamp> {
        match &self.place {
            Place::Live(key) => key.last_written(),
            Place::Hive { node, .. } => node.written,
            Place::Export { .. } => None,
        }
    }

    /// Whether the hive file lacks changes that no transaction log beside it holds: what is read then may be
    /// older than the machine was. Never on a running system.
    #[must_use]
    pub fn is_outdated(&self) -> bool {
        matches!(&self.place, Place::Hive { hive, .. } if hive.recovery() == Recovery::Missing)
    }

    /// A text value, trimmed of NULs. `None` where it is not there; another type is `malformed`.
    pub fn string(&self, name: &str) -> Result<Option<String>, SysError> {
        match self.value(name)? {
            None => Ok(None),
            Some(RegistryValue::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.wrong_type(name)),
        }
    }

    /// A number. `None` where it is not there; another type is `malformed`.
    pub fn number(&self, name: &str) -> Result<Option<u64>, SysError> {
        match self.value(name)? {
            None => Ok(None),
            Some(RegistryValue::Number(number)) => Ok(Some(number)),
            Some(_) => Err(self.wrong_type(name)),
        }
    }

    fn wrong_type(&self, name: &str) -> SysError {
        SysError::malformed(&format!("{}\\{name}", self.path), "value of another type")
    }

    fn checked<T>(&self, result: Result<T, Damage>) -> Result<T, SysError> {
        result.map_err(|error| SysError::malformed(&self.path, error))
    }
}

fn descend(hive: &Hive, from: &hive::Node, path: &str) -> Result<Option<hive::Node>, Damage> {
    let mut node = from.clone();
    for part in path.split('\\').filter(|part| !part.is_empty()).take(MAX_DEPTH) {
        match hive.child(&node, part)? {
            Some(cell) => node = hive.node(cell)?,
            None => return Ok(None),
        }
        if node.is_link {
            break;
        }
    }
    Ok(Some(node))
}

#[cfg(test)]
mod tests;
