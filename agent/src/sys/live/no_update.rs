//! Other systems have no Windows Update Agent.

use std::process::Child;

use serde_json::Value;

use crate::sys::SysError;

/// Always `Unsupported`.
pub fn answer(_: Value) -> Result<Value, SysError> {
    Err(SysError::Unsupported { what: "windows_update".into(), reason: "not_windows".into() })
}

/// What holds a child to this process: nothing here.
#[derive(Debug)]
pub struct Tie;

/// Only Windows asks anything that needs it.
#[expect(clippy::unnecessary_wraps, reason = "the same shape as on Windows")]
pub fn tie(_: &Child, _: usize) -> Result<Tie, SysError> {
    Ok(Tie)
}
