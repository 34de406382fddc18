//! Windows and macOS: the service manager is not spoken to yet. Every call says so.

use std::path::Path;

use super::{ServiceError, ServiceState};

/// Not supported yet.
pub fn install(_program: &Path, _data: &Path, _config: Option<&Path>) -> Result<(), ServiceError> {
    Err(ServiceError::Unsupported)
}

/// Not supported yet.
pub fn uninstall() -> Result<(), ServiceError> {
    Err(ServiceError::Unsupported)
}

/// Not supported yet.
pub fn start() -> Result<(), ServiceError> {
    Err(ServiceError::Unsupported)
}

/// Not supported yet.
pub fn stop() -> Result<(), ServiceError> {
    Err(ServiceError::Unsupported)
}

/// Not supported yet.
pub fn state() -> Result<ServiceState, ServiceError> {
    Err(ServiceError::Unsupported)
}
