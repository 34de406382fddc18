//! How a program of ours lives on a machine: its service, the folders it closes to others, the rights it
//! runs with, the log file of a service nobody sees the output of, the language its command line speaks.
//! Agent and collector share it, so that both behave alike; it knows nothing of facts, reports or stores.
//!
//! | System | Service manager | Folder closed by |
//! |---|---|---|
//! | Linux | systemd: a hardened unit, written whole | mode 0700, owner |
//! | Windows | service control manager | protected ACL, owner |
//! | others | none yet: every call says so | mode 0700, owner |

pub mod error;
pub mod folder;
pub mod help;
pub mod language;
pub mod log;
pub mod rights;
pub mod sddl;

#[cfg_attr(target_os = "linux", path = "linux.rs")]
#[cfg_attr(windows, path = "windows/mod.rs")]
#[cfg_attr(not(any(target_os = "linux", windows)), path = "unsupported.rs")]
mod manager;

use std::path::Path;

pub use error::ServiceError;
#[cfg(target_os = "linux")]
pub use manager::unit;
#[cfg(windows)]
pub use manager::{dispatch, under_wine};

/// What a service is, whatever the manager.
#[derive(Debug, Clone, Copy)]
pub struct Service {
    /// Name for the manager.
    pub name: &'static str,
    /// What the manager shows on Windows.
    pub title: &'static str,
    /// One sentence for administrators, in both languages.
    pub about: &'static str,
    /// Unit file on Linux, with the marks `@PROGRAM@`, `@DATA@` and `@CONFIG@`.
    pub unit: &'static str,
    /// Whom it runs as on Windows.
    pub account: Account,
    /// Privileges it keeps on Windows; all others are taken away at its start.
    pub privileges: &'static [&'static str],
    /// Whether it may start after what others wait for.
    pub delayed: bool,
}

/// Account of a Windows service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Account {
    /// `LocalSystem`.
    System,
    /// `NT SERVICE\<name>`: an account of its own without password, in no group that may do anything.
    Virtual,
}

/// Where an installed service lies.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The program, absolute.
    pub program: &'a Path,
    /// Its data folder, absolute.
    pub data: &'a Path,
    /// Settings file, if one was named.
    pub config: Option<&'a Path>,
}

/// What the service manager says of a service.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ServiceState {
    /// Whether the manager knows it.
    pub installed: bool,
    /// `active`, `inactive`, `failed`, `activating`, `deactivating` ...; absent where the manager does not
    /// answer.
    pub active: Option<String>,
    /// `enabled`, `disabled` ...
    pub enabled: Option<String>,
}

/// What an installation could not set, in the manager's own words. Empty on every system we know but Wine.
pub type NotTaken = Vec<String>;

impl Service {
    /// Closes the data folder, makes the service known, has it start with the machine, and starts it. One
    /// that is there already is brought up to date. Needs administrator rights.
    pub fn install(&self, place: Place<'_>) -> Result<NotTaken, ServiceError> {
        manager::install(self, place)
    }

    /// Stops and forgets the service. Data and identity stay.
    pub fn uninstall(&self) -> Result<(), ServiceError> {
        manager::uninstall(self)
    }

    /// Starts it and waits until it runs; one that runs already is fine.
    pub fn start(&self) -> Result<(), ServiceError> {
        manager::start(self)
    }

    /// Stops it and waits for its end; one that does not run is fine.
    pub fn stop(&self) -> Result<(), ServiceError> {
        manager::stop(self)
    }

    /// Asks the manager.
    pub fn state(&self) -> Result<ServiceState, ServiceError> {
        manager::state(self)
    }
}
