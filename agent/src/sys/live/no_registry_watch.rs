//! There is no registry to watch here.

use std::collections::BTreeMap;

use super::Told;
use crate::sys::SysError;

/// Never made.
pub enum Watcher {}

impl Watcher {
    /// Always `Unsupported`.
    pub fn start(_: &BTreeMap<String, String>, _: &Told) -> Result<Self, SysError> {
        Err(SysError::Unsupported { what: "registry".into(), reason: "no_registry".into() })
    }
}
