//! `credential_policy` of a Windows machine: not yet collected.

use crate::sys::SysError;

/// Always `Unsupported`, reason `not_yet_collected`.
pub(super) fn unsupported() -> SysError {
    SysError::Unsupported { what: "credential_policy".into(), reason: "not_yet_collected".into() }
}
