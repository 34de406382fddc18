//! Systems whose service manager is not spoken to yet (macOS). Every call says so.

use super::{NotTaken, Place, Service, ServiceError, ServiceState};

pub fn install(_: &Service, _: Place<'_>) -> Result<NotTaken, ServiceError> {
    Err(ServiceError::Unsupported)
}

pub fn uninstall(_: &Service) -> Result<(), ServiceError> {
    Err(ServiceError::Unsupported)
}

pub fn start(_: &Service) -> Result<(), ServiceError> {
    Err(ServiceError::Unsupported)
}

pub fn stop(_: &Service) -> Result<(), ServiceError> {
    Err(ServiceError::Unsupported)
}

pub fn state(_: &Service) -> Result<ServiceState, ServiceError> {
    Err(ServiceError::Unsupported)
}
