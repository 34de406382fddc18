//! The registry as exported into `.reg` files, which lie in a folder `registry` below a root folder.

use std::sync::{Arc, Mutex, PoisonError};

use super::export_tree::Exports;
use super::{Place, RegistryKey};
use crate::sys::{Sys, SysError};

/// Where exports lie, and how their names end.
const FOLDER: &str = "/registry";
const SUFFIX: &str = ".reg";
/// Most bytes of all files.
const TOTAL_CAP: u64 = 256 * 1024 * 1024;
/// Most files.
const MAX_FILES: usize = 256;

/// What was read from the exports, with the signature of their files.
#[derive(Debug, Clone, Default)]
pub(in crate::sys) struct ExportCache(Arc<Mutex<Option<Held>>>);

type Held = (String, Arc<Exports>);

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
        match held.as_ref().filter(|(of, _)| *of == signature) {
            Some((_, exports)) => Ok(Some(Arc::clone(exports))),
            None => {
                let exports = Arc::new(self.read_exports(&names));
                *held = Some((signature, Arc::clone(&exports)));
                Ok(Some(exports))
            }
        }
    }

    fn signature_of(&self, name: &str) -> Result<String, SysError> {
        let stat = self.stat(&format!("{FOLDER}/{name}"))?;
        Ok(stat.map_or_else(String::new, |stat| format!("{name}-{}-{:?};", stat.size, stat.modified)))
    }

    fn read_exports(&self, names: &[String]) -> Exports {
        let mut exports = Exports::new();
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
