//! There is no service manager of Windows here.

use super::{ListeningSocket, WindowsService};
use crate::sys::SysError;

fn none<T>(what: &str) -> Result<T, SysError> {
    Err(SysError::Unsupported { what: what.into(), reason: "no_service_manager".into() })
}

/// Always `Unsupported`.
pub fn services() -> Result<Vec<WindowsService>, SysError> {
    none("service manager")
}

/// Always `Unsupported`.
pub fn sockets() -> Result<Vec<ListeningSocket>, SysError> {
    none("socket tables")
}

/// Always `None`.
pub fn program(_: u32) -> Option<String> {
    None
}
