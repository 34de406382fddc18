//! The registry as exported into `.reg` files, which lie in a folder `registry` below a root folder.
//!
//! An export holds a key with all that is below it; of what is above and beside it nothing is known. So only
//! inside an exported key "not there" is an answer; elsewhere it is an error, and so is each answer that a
//! damaged line could change. Of several files the later by name goes on top. Exports hold no times.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::hive::MAX_LIST;
use super::reg_file::{Entry, RegFile};
use super::{Place, RegistryKey, RegistryValue};
use crate::sys::{Sys, SysError};

/// Where exports lie, and how their names end.
const FOLDER: &str = "/registry";
const SUFFIX: &str = ".reg";
/// Most bytes of all files.
const TOTAL_CAP: u64 = 256 * 1024 * 1024;
/// Most files.
const MAX_FILES: usize = 256;
/// Most keys of all files.
const MAX_KEYS: usize = 1_000_000;
/// Keys of the control set a machine runs by, as paths name them.
const CURRENT_SET: &str = r"HKLM\SYSTEM\CurrentControlSet\";

/// What was read from the exports.
#[derive(Debug, Clone, Default)]
pub(in crate::sys) struct ExportCache(Arc<Mutex<Option<Arc<Exports>>>>);

/// All exports of a folder as one tree. A key is named by its index; the first is above all others.
#[derive(Debug)]
pub(super) struct Exports {
    keys: Vec<Key>,
    files: Vec<File>,
    /// Of the files it was read from.
    signature: String,
}

#[derive(Debug)]
struct File {
    name: String,
    /// What of it could not be put into any key.
    damage: Option<String>,
}

#[derive(Debug, Default)]
struct Key {
    name: String,
    /// By their names in lower case, as the values with their names.
    subkeys: BTreeMap<String, usize>,
    values: BTreeMap<String, (String, RegistryValue)>,
    /// Whether it was exported with all that is below it.
    whole: bool,
    /// The first line in it that could not be read.
    damage: Option<String>,
    /// The last file that names it.
    file: usize,
}

impl Key {
    fn put(&mut self, entry: Entry) -> Result<(), &'static str> {
        match entry {
            Entry::Value(..) if self.values.len() >= MAX_LIST => return Err("too many values"),
            Entry::Value(name, value) => drop(self.values.insert(name.to_lowercase(), (name, value))),
            Entry::NoValue(name) => drop(self.values.remove(&name.to_lowercase())),
            Entry::BadValue(what) => return Err(what),
            Entry::Key(_) | Entry::NoKey(_) | Entry::BadKey(_) => {}
        }
        Ok(())
    }
}

impl Exports {
    /// Puts a file on top of those before it.
    fn add(&mut self, name: &str, bytes: Result<Vec<u8>, SysError>) {
        self.files.push(File { name: name.into(), damage: None });
        let entries = bytes
            .map_err(|error| error.reason().code)
            .and_then(|bytes| RegFile::open(&bytes).map_err(str::to_owned));
        let damage = entries.map_or_else(Some, |entries| self.fill(entries));
        if let Some(file) = self.files.last_mut() {
            file.damage = damage;
        }
    }

    /// Gives the first line that could not be put into a key.
    fn fill(&mut self, entries: RegFile) -> Option<String> {
        let mut damage = None;
        let mut here = None;
        for (line, entry) in entries {
            let at = |what: &str| format!("line {line}: {what}");
            match entry {
                Entry::Key(path) => match self.make(&path) {
                    Some(key) => here = Some(key),
                    None => return damage.or_else(|| Some(at("too many keys"))),
                },
                Entry::NoKey(path) => {
                    self.remove(&path);
                    here = None;
                }
                Entry::BadKey(what) => {
                    damage.get_or_insert_with(|| at(what));
                    here = None;
                }
                value => match here.and_then(|key: usize| self.keys.get_mut(key)) {
                    Some(key) => {
                        if let Err(what) = key.put(value) {
                            key.damage.get_or_insert_with(|| at(what));
                        }
                    }
                    None => drop(damage.get_or_insert_with(|| at("value of no key"))),
                },
            }
        }
        damage
    }

    /// The key of an export, made where it is not there; `None` where there are too many.
    fn make(&mut self, path: &str) -> Option<usize> {
        let mut at = 0;
        for part in path.split('\\') {
            let (whole, next) = (self.keys[at].whole, self.keys.len());
            at = *self.keys[at].subkeys.entry(part.to_lowercase()).or_insert(next);
            if at == next {
                if next >= MAX_KEYS {
                    return None;
                }
                let file = self.files.len() - 1;
                self.keys.push(Key { name: part.into(), whole, file, ..Key::default() });
            }
        }
        self.keys[at].file = self.files.len() - 1;
        self.mark_whole(at);
        Some(at)
    }

    fn mark_whole(&mut self, at: usize) {
        let mut waiting = vec![at];
        while let Some(at) = waiting.pop() {
            let key = &mut self.keys[at];
            if !std::mem::replace(&mut key.whole, true) {
                waiting.extend(key.subkeys.values());
            }
        }
    }

    fn remove(&mut self, path: &str) {
        let (above, name) = path.rsplit_once('\\').unwrap_or(("", path));
        if let Ok(Some(at)) = self.descend(0, above, path) {
            self.keys[at].subkeys.remove(&name.to_lowercase());
        }
    }

    /// The key at a full path; that of the current control set by its own name, or by its number.
    fn find(&self, path: &str) -> Result<Option<usize>, SysError> {
        let found = self.descend(0, path, path);
        let set = path.get(..CURRENT_SET.len()).filter(|set| set.eq_ignore_ascii_case(CURRENT_SET));
        match (set.and_then(|_| self.current_set()), &found) {
            (Some(number), Err(_)) => {
                let rest = &path[CURRENT_SET.len()..];
                self.descend(0, &format!(r"HKLM\SYSTEM\ControlSet{number:03}\{rest}"), path)
            }
            _ => found,
        }
    }

    fn current_set(&self) -> Option<u64> {
        let select = r"HKLM\SYSTEM\Select";
        match self.value(self.descend(0, select, select).ok()??, "Current", select) {
            Ok(Some(RegistryValue::Number(number))) => Some(number),
            _ => None,
        }
    }

    /// A key below another by the path `sub`; `None` where it is surely not there. `what` is the full path.
    pub(super) fn descend(&self, from: usize, sub: &str, what: &str) -> Result<Option<usize>, SysError> {
        let mut at = from;
        for part in sub.split('\\').filter(|part| !part.is_empty()) {
            match self.keys[at].subkeys.get(&part.to_lowercase()) {
                Some(next) => at = *next,
                None => return self.is_known(at, what).map(|()| None),
            }
        }
        Ok(Some(at))
    }

    /// `Ok` where what is in a key is known, and what is not.
    fn is_known(&self, at: usize, what: &str) -> Result<(), SysError> {
        let Key { whole, file, .. } = self.keys[at];
        let mut files =
            if whole { self.files.get(file..=file) } else { self.files.get(..) }.into_iter().flatten();
        match files.find_map(|file| Some((&file.name, file.damage.as_ref()?))) {
            Some((name, damage)) => Err(damaged(what, &format!("{name}: {damage}"))),
            None if whole => Ok(()),
            None => Err(failed(what, "not_exported", "no export holds it")),
        }
    }

    pub(super) fn subkeys(&self, at: usize, what: &str) -> Result<Vec<String>, SysError> {
        self.is_known(at, what).map(|()| self.exported_subkeys(at))
    }

    /// Names of those that are in an export, whatever else there may be.
    fn exported_subkeys(&self, at: usize) -> Vec<String> {
        self.keys[at].subkeys.values().map(|key| self.keys[*key].name.clone()).collect()
    }

    pub(super) fn value(&self, at: usize, name: &str, what: &str) -> Result<Option<RegistryValue>, SysError> {
        match self.keys[at].values.get(&name.to_lowercase()) {
            Some((_, value)) => Ok(Some(value.clone())),
            None => self.has_all_values(at, what).map(|()| None),
        }
    }

    pub(super) fn values(&self, at: usize, what: &str) -> Result<Vec<(String, RegistryValue)>, SysError> {
        self.has_all_values(at, what)?;
        Ok(self.keys[at].values.values().cloned().collect())
    }

    fn has_all_values(&self, at: usize, what: &str) -> Result<(), SysError> {
        let key = &self.keys[at];
        match &key.damage {
            Some(damage) => Err(damaged(what, &format!("{}: {damage}", self.files[key.file].name))),
            None => self.is_known(at, what),
        }
    }
}

fn failed(what: &str, reason: &str, detail: &str) -> SysError {
    SysError::Failed { what: what.into(), reason: reason.into(), detail: detail.into() }
}

fn damaged(what: &str, detail: &str) -> SysError {
    failed(what, "export_damaged", detail)
}

impl Sys {
    /// A key of the exports by its full path; `None` where there are no exports.
    /// Errors: `Failed` with `not_exported` or `export_damaged`, as for any folder.
    pub(super) fn key_of_exports(&self, path: &str) -> Option<Result<Option<RegistryKey>, SysError>> {
        let exports = self.exports().transpose()?;
        Some(exports.and_then(|exports| {
            let found = exports.find(path)?;
            Ok(found.map(|key| RegistryKey {
                path: path.to_owned(),
                place: Place::Export { exports, key },
                tracer: self.tracer.clone(),
            }))
        }))
    }

    /// A key of the exports, `None` where it is in none.
    pub(super) fn exported(&self, path: &str) -> Result<Option<RegistryKey>, SysError> {
        match self.key_of_exports(path).unwrap_or(Ok(None)) {
            Err(error) if super::is_elsewhere(&error) => Ok(None),
            found => found,
        }
    }

    /// Names of the hives of `HKU` that are in an export, whatever else there may be.
    pub(super) fn exported_users(&self) -> Result<Vec<String>, SysError> {
        let Some(exports) = self.exports()? else { return Ok(vec![]) };
        Ok(exports.find("HKU").ok().flatten().map_or(vec![], |key| exports.exported_subkeys(key)))
    }

    /// Whether a root folder has exports.
    pub(in crate::sys) fn has_exports(&self) -> bool {
        self.export_files().is_ok_and(|files| !files.is_empty())
    }

    /// Names of the files, by which the later goes on top.
    fn export_files(&self) -> Result<Vec<String>, SysError> {
        let entries = match self.list(FOLDER) {
            Err(SysError::Absent { .. }) => vec![],
            entries => entries?,
        };
        let is_export = |name: &str| name.to_ascii_lowercase().ends_with(SUFFIX);
        Ok(entries.into_iter().map(|entry| entry.name).filter(|name| is_export(name)).collect())
    }

    fn exports(&self) -> Result<Option<Arc<Exports>>, SysError> {
        let names = self.export_files()?;
        if names.is_empty() {
            return Ok(None);
        }
        let signature = names.iter().map(|name| self.signature_of(name)).collect::<Result<String, _>>()?;
        let mut held = self.exports.0.lock().unwrap_or_else(PoisonError::into_inner);
        if held.as_ref().is_none_or(|exports| exports.signature != signature) {
            *held = Some(Arc::new(self.read_exports(&names, signature)));
        }
        Ok(held.clone())
    }

    fn signature_of(&self, name: &str) -> Result<String, SysError> {
        let stat = self.stat(&format!("{FOLDER}/{name}"))?;
        Ok(stat.map_or_else(String::new, |stat| format!("{name}-{}-{:?};", stat.size, stat.modified)))
    }

    fn read_exports(&self, names: &[String], signature: String) -> Exports {
        let mut exports = Exports { keys: vec![Key::default()], files: vec![], signature };
        let mut left = TOTAL_CAP;
        for (i, name) in names.iter().enumerate() {
            let path = format!("{FOLDER}/{name}");
            let cap = if i < MAX_FILES { left } else { 0 };
            let bytes = self.read_capped(&path, cap);
            left = left.saturating_sub(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64));
            exports.add(&path, bytes);
        }
        exports
    }
}

#[cfg(test)]
#[path = "export_tests.rs"]
mod tests;
