//! Doors of a running Linux or macOS.

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
