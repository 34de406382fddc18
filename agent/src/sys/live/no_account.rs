//! There is no account API of Windows here.

use jiff::Timestamp;

use super::{LocalUsers, Member, PasswordRules};
use crate::sys::SysError;

fn none<T>(what: &str) -> Result<T, SysError> {
    Err(SysError::Unsupported { what: what.into(), reason: "no_account_api".into() })
}

/// Always `Unsupported`.
pub fn users(_: Timestamp) -> Result<LocalUsers, SysError> {
    none("NetUserEnum")
}

/// Always `Unsupported`.
pub fn administrators() -> Result<Vec<Member>, SysError> {
    none("NetLocalGroupGetMembers")
}

/// Always `Unsupported`.
pub fn rules() -> Result<PasswordRules, SysError> {
    none("NetUserModalsGet")
}

/// Always `Unsupported`.
pub fn domain() -> Result<Option<String>, SysError> {
    none("NetGetJoinInformation")
}
