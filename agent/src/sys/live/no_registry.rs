//! The registry where the running system has none: nothing is ever open.

use jiff::Timestamp;

use crate::sys::{RegistryValue, SysError};

/// No key exists.
#[derive(Debug, Clone)]
pub enum Key {}

/// There is no registry.
pub fn open(path: &str) -> Result<Option<Key>, SysError> {
    Err(SysError::Unsupported { what: path.into(), reason: "no_registry".into() })
}

impl Key {
    pub fn open(&self, _: &str, _: &str) -> Result<Option<Self>, SysError> {
        match *self {}
    }

    pub fn subkeys(&self, _: &str) -> Result<Vec<String>, SysError> {
        match *self {}
    }

    pub fn value(&self, _: &str, _: &str) -> Result<Option<RegistryValue>, SysError> {
        match *self {}
    }

    pub fn values(&self, _: &str) -> Result<Vec<(String, RegistryValue)>, SysError> {
        match *self {}
    }

    pub fn last_written(&self) -> Option<Timestamp> {
        match *self {}
    }
}
