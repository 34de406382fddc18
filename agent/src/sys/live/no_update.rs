//! Other systems have no Windows Update Agent.

use serde_json::Value;

use crate::sys::SysError;

/// Always `Unsupported`.
pub fn answer(_: Value) -> Result<Value, SysError> {
    Err(SysError::Unsupported { what: "windows_update".into(), reason: "not_windows".into() })
}
