//! Doors of a running Windows.

use crate::sys::SysError;
use crate::sys::answer::{Space, Uname};

fn not_yet<T>(what: &str) -> Result<T, SysError> {
    Err(SysError::Unsupported { what: what.into(), reason: "not_yet_collected".into() })
}

/// Windows has no uname; version and build come from the registry.
pub fn uname() -> Result<Uname, SysError> {
    not_yet("uname")
}

/// Space of a drive.
pub fn space(mount: &str) -> Result<Option<Space>, SysError> {
    not_yet(mount)
}

/// Not asked yet.
pub fn is_elevated() -> Option<bool> {
    None
}
