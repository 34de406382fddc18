//! There are no device nodes of Windows here.

use super::DeviceTimes;
use crate::sys::SysError;

/// Always `Unsupported`.
pub fn times(instance: &str) -> Result<DeviceTimes, SysError> {
    Err(SysError::Unsupported { what: instance.into(), reason: "no_device_nodes".into() })
}

/// Always `Unsupported`.
pub fn present() -> Result<Vec<String>, SysError> {
    Err(SysError::Unsupported { what: "present devices".into(), reason: "no_device_nodes".into() })
}
