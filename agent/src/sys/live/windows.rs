//! Doors of a running Windows.

#[path = "windows/dpapi.rs"]
pub mod dpapi;
#[path = "windows/event_log.rs"]
mod event_log;
#[path = "windows/registry.rs"]
pub mod registry;
#[path = "windows/winhttp.rs"]
pub mod winhttp;
#[path = "windows/wmi.rs"]
mod wmi;

use std::path::PathBuf;

pub use event_log::events;
pub use wmi::answer as wmi;

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

/// An elevated token.
pub fn is_elevated() -> Option<bool> {
    Some(tenken_service::rights::elevated())
}

/// The real path of a path of the running machine: one without a drive lies on the system drive.
pub fn real_path(path: &str) -> PathBuf {
    if !path.starts_with('/') || path.starts_with("//") {
        return PathBuf::from(path);
    }
    let drive = std::env::var("SystemDrive").unwrap_or_else(|_| "C:".into());
    PathBuf::from(format!("{drive}{path}"))
}

/// Whether only administrators and the system can have written a file or folder.
pub fn admin_only(path: &std::path::Path) -> std::io::Result<()> {
    tenken_service::folder::check_admin_only(path)
}
