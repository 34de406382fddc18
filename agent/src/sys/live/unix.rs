//! Doors of a running Linux or macOS.

#[path = "no_registry.rs"]
pub mod registry;

use std::path::PathBuf;

use crate::sys::SysError;
use crate::sys::answer::{Space, Uname};

/// uname(2).
pub fn uname() -> Result<Uname, SysError> {
    let name = rustix::system::uname();
    let text = |part: &std::ffi::CStr| part.to_string_lossy().into_owned();
    Ok(Uname {
        release: text(name.release()),
        machine: text(name.machine()),
        nodename: text(name.nodename()),
    })
}

/// statvfs(3).
pub fn space(mount: &str) -> Result<Option<Space>, SysError> {
    let stat = rustix::fs::statvfs(mount).map_err(|error| SysError::from_io(mount, &error.into()))?;
    let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
    Ok(Space::of(bytes(stat.f_blocks), bytes(stat.f_bfree), bytes(stat.f_bavail)))
}

/// Effective user 0.
pub fn is_elevated() -> Option<bool> {
    Some(rustix::process::geteuid().is_root())
}

/// The real path of a path of the running machine: as it is.
pub fn real_path(path: &str) -> PathBuf {
    PathBuf::from(path)
}

/// There is no event log.
pub fn events(query: &crate::sys::EventQuery) -> Result<crate::sys::Events, SysError> {
    Err(SysError::Unsupported { what: query.channel.clone(), reason: "no_event_log".into() })
}

/// There is no WMI.
pub fn wmi(_: &serde_json::Value) -> Result<serde_json::Value, SysError> {
    Err(SysError::Unsupported { what: "wmi".into(), reason: "no_wmi".into() })
}

/// Only Windows keeps such access lists.
pub fn admin_only(_path: &std::path::Path) -> std::io::Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
}
