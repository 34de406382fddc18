//! There are no device nodes of Windows here.

use super::{DeviceNode, DeviceNotice, DeviceProperties};
use crate::sys::SysError;

/// There is none.
pub enum Watch {}

fn none<T>(what: &str) -> Result<T, SysError> {
    Err(SysError::Unsupported { what: what.into(), reason: "no_device_nodes".into() })
}

/// Always `Unsupported`.
pub fn properties(instance: &str) -> Result<DeviceProperties, SysError> {
    none(instance)
}

/// Always `Unsupported`.
pub fn present() -> Result<Vec<String>, SysError> {
    none("present devices")
}

/// Always `Unsupported`.
pub fn nodes(_: &[&str]) -> Result<Vec<DeviceNode>, SysError> {
    none("present devices")
}

/// Always `Unsupported`.
pub fn watch(_: DeviceNotice) -> Result<Watch, SysError> {
    none("device notices")
}
