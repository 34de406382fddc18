//! The rights this process runs with.

/// Whether this process has the rights of an administrator: root, or an elevated token (an
/// administrator's token that UAC has filtered is not). Where the system does not answer: no.
#[must_use]
pub fn elevated() -> bool {
    #[cfg(unix)]
    {
        rustix::process::geteuid().is_root()
    }
    #[cfg(windows)]
    {
        crate::manager::sys::is_elevated()
    }
    #[cfg(not(any(unix, windows)))]
    {
        false
    }
}
