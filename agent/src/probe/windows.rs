//! What the Windows probes share: keys of the registry as sources.

use tenken_shared::collected::{Reason, Status};

use super::sources::Sources;
use crate::sys::{RegistryKey, Sys, SysError};

/// The part of `SYSTEM` the machine runs by.
pub const CONTROL_SET: &str = r"HKLM\SYSTEM\CurrentControlSet";

/// Opens a key that may be missing; a success or a gap is recorded, absence is not. A hive that lacks its
/// transaction logs is a gap, though it is read.
pub fn key(sys: &Sys, path: &str, sources: &mut Sources) -> Option<RegistryKey> {
    match sys.registry(path) {
        Ok(None) => None,
        Ok(Some(key)) => {
            if key.is_outdated() {
                sources.gap(path, Status::Partial, Reason::with("hive_outdated", path));
            } else {
                sources.known(path, 1);
            }
            Some(key)
        }
        Err(error) => {
            sources.error(path, &error);
            None
        }
    }
}

/// A text value with something in it; an error is recorded.
pub fn text(key: &RegistryKey, name: &str, sources: &mut Sources) -> Option<String> {
    let text = noted(key, key.string(name), sources)?;
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// A number; an error is recorded.
pub fn number(key: &RegistryKey, name: &str, sources: &mut Sources) -> Option<u64> {
    noted(key, key.number(name), sources)
}

fn noted<T>(key: &RegistryKey, value: Result<Option<T>, SysError>, sources: &mut Sources) -> Option<T> {
    value.unwrap_or_else(|error| {
        sources.error(key.path(), &error);
        None
    })
}

/// Records a door that only a running system has, or that failed: what it would have told is missing, so the
/// fact is partial, whatever the cause.
pub fn missing(source: &str, error: &SysError, sources: &mut Sources) {
    sources.gap(source, Status::Partial, error.reason());
}
