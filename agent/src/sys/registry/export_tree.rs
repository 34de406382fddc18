//! What registry exports hold, as one tree.
//!
//! An export holds a key with all that is below it; of what is above and beside it nothing is known. So only
//! inside an exported key "not there" is an answer; elsewhere it is an error, and so is "not there" and each list
//! that a damaged line could change. Of several files the later goes on top.

use std::collections::BTreeMap;

use super::RegistryValue;
use super::hive::MAX_LIST;
use super::reg_file::{Entry, RegFile};
use crate::sys::SysError;

/// Most keys of all files.
const MAX_KEYS: usize = 1_000_000;
/// The control set a machine runs by, as paths name it.
const CURRENT_SET: &str = r"HKLM\SYSTEM\CurrentControlSet";

/// All exports of a folder as one tree. A key is named by its index; the first is above all others.
#[derive(Debug)]
pub(super) struct Exports {
    keys: Vec<Key>,
    /// Of each file the first that could not be put into any key.
    damage: Vec<Option<String>>,
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
    pub(super) fn new() -> Self {
        Self { keys: vec![Key::default()], damage: vec![] }
    }

    /// Puts a file on top of those before it.
    pub(super) fn add(&mut self, name: &str, bytes: Result<Vec<u8>, SysError>) {
        let file = self.damage.len();
        self.damage.push(None);
        let entries = bytes
            .map_err(|error| error.reason().code)
            .and_then(|bytes| RegFile::open(&bytes).map_err(str::to_owned));
        self.damage[file] = match entries {
            Ok(entries) => self.fill(entries, name, file),
            Err(what) => Some(format!("{name}: {what}")),
        };
    }

    /// Gives the first line that could not be put into a key.
    fn fill(&mut self, entries: RegFile, name: &str, file: usize) -> Option<String> {
        let mut damage = None;
        let mut here = None;
        for (line, entry) in entries {
            let at = |what: &str| format!("{name}: line {line}: {what}");
            match entry {
                Entry::Key(path) => match self.make(&path, file) {
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
    fn make(&mut self, path: &str, file: usize) -> Option<usize> {
        let mut at = 0;
        for part in path.split('\\') {
            let (whole, next, lower) = (self.keys[at].whole, self.keys.len(), part.to_lowercase());
            at = match self.keys[at].subkeys.get(&lower) {
                Some(there) => *there,
                None if next < MAX_KEYS => {
                    self.keys[at].subkeys.insert(lower, next);
                    self.keys.push(Key { name: part.into(), whole, file, ..Key::default() });
                    next
                }
                None => return None,
            };
        }
        self.keys[at].file = file;
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

    /// The key at a full path; that of the current control set by its own name, else by its number.
    pub(super) fn find(&self, path: &str) -> Result<Option<usize>, SysError> {
        let found = self.descend(0, path, path);
        let rest = match path.split_at_checked(CURRENT_SET.len()) {
            Some((set, rest)) if set.eq_ignore_ascii_case(CURRENT_SET) => rest,
            _ => return found,
        };
        if found.is_ok() && matches!(self.descend(0, CURRENT_SET, path), Ok(Some(_))) {
            return found;
        }
        match self.current_set() {
            Some(number) => self.descend(0, &format!(r"HKLM\SYSTEM\ControlSet{number:03}{rest}"), path),
            None => found.and_then(|_| Err(not_exported(path))),
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
        let damage = if whole { self.damage.get(file..=file) } else { self.damage.get(..) };
        match damage.into_iter().flatten().flatten().next() {
            Some(damage) => Err(damaged(what, damage)),
            None if whole => Ok(()),
            None => Err(not_exported(what)),
        }
    }

    pub(super) fn subkeys(&self, at: usize, what: &str) -> Result<Vec<String>, SysError> {
        self.is_known(at, what).map(|()| self.exported_subkeys(at))
    }

    /// Names of those that are in an export, whatever else there may be.
    pub(super) fn exported_subkeys(&self, at: usize) -> Vec<String> {
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
        match &self.keys[at].damage {
            Some(damage) => Err(damaged(what, damage)),
            None => self.is_known(at, what),
        }
    }
}

fn damaged(what: &str, detail: &str) -> SysError {
    failed(what, "export_damaged", detail)
}

fn not_exported(what: &str) -> SysError {
    failed(what, "not_exported", "no export holds it")
}

fn failed(what: &str, reason: &str, detail: &str) -> SysError {
    SysError::Failed { what: what.into(), reason: reason.into(), detail: detail.into() }
}
