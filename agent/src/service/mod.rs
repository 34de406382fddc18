//! The service manager, and nothing else: install, remove, start, stop and look at the service.

#[cfg_attr(target_os = "linux", path = "linux.rs")]
#[cfg_attr(not(target_os = "linux"), path = "unsupported.rs")]
mod manager;

pub use manager::{install, start, state, stop, uninstall};

/// Name of the service.
pub const NAME: &str = "tenken-agent";

/// Why the service manager did not do it.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// This program does not speak to this system's service manager yet.
    #[error(
        "services are not supported on this system yet; run `tenken-agent run` from your own service manager"
    )]
    Unsupported,
    /// No rights.
    #[error("this needs root: run it with sudo")]
    NotRoot,
    /// Not an absolute, plain path.
    #[error(
        "{0} cannot be written into a unit file; install the program under a path without spaces or control characters"
    )]
    Path(String),
    /// A file.
    #[error(transparent)]
    Disk(#[from] crate::disk::DiskError),
    /// The service manager is not there.
    #[error("no running service manager ({0}); the unit file is written and takes effect at the next boot")]
    NoManager(String),
    /// The service manager refused.
    #[error("{command} failed: {message}")]
    Failed {
        /// What was called.
        command: String,
        /// What it said.
        message: String,
    },
}

/// What the service manager says of the service.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ServiceState {
    /// Whether a unit is installed.
    pub installed: bool,
    /// `active`, `inactive`, `failed` ...; absent where the service manager does not answer.
    pub active: Option<String>,
    /// `enabled`, `disabled` ...
    pub enabled: Option<String>,
}
