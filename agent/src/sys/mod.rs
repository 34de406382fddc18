//! The only door to the machine, live or under a root folder. Knows no facts.
//!
//! Paths are written from the machine's own root with `/` (`/etc/os-release`); under a root folder
//! they are resolved inside it, symlinks included, so nothing outside the folder is ever read. FIFOs,
//! sockets and devices are never opened. Every read has a size cap, every listing a count cap, every
//! command a time limit, an output cap, a fixed locale and a clean environment.

mod account;
mod answer;
pub mod child;
mod command;
pub mod decode;
mod device;
mod error;
mod event_log;
mod file;
#[cfg(target_os = "linux")]
pub mod hotplug;
mod journal;
mod lines;
#[cfg(target_os = "linux")]
pub mod memory;
mod owned;
mod process;
pub mod protect;
pub mod proxy;
mod registry;
mod service_manager;
mod sqlite;
mod trace;
mod windows_path;
pub mod windows_update;
mod wmi;
mod zone;

#[cfg_attr(unix, path = "live/unix.rs")]
#[cfg_attr(windows, path = "live/windows.rs")]
mod live;

#[cfg_attr(not(windows), path = "live/no_update.rs")]
#[cfg_attr(windows, path = "live/update.rs")]
mod live_update;

pub use account::{LocalUser, LocalUsers, Member, MemberKind, PasswordRules, sid_text};
pub use answer::{Space, Uname};
pub use command::{Command, Output};
pub use device::{DeviceNode, DeviceNotice, DeviceProperties, DeviceTimes, DeviceWatch};
pub use error::SysError;
pub use event_log::{Event, EventQuery, Events, events_in, parse as parse_event};
pub use file::{Entry, FileKind, Stat};
pub use journal::JOURNAL_FOLDERS;
pub use process::Process;
pub use registry::watch::RegistryWatch;
pub use registry::{
    Damage, Hive, Recovery, RegEntry, RegFile, RegistryKey, RegistryValue, UserHive, filetime, utf16,
};
pub use service_manager::{ListeningSocket, WindowsService};
pub use sqlite::Sqlite;
pub use trace::{Recorder, Trace};

use std::path::{Path, PathBuf};

use jiff::Timestamp;

/// Family of the operating system being read: a property of the machine, not of this build.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    /// Any Linux distribution.
    Linux,
    /// Windows.
    Windows,
    /// macOS.
    Macos,
}

impl Family {
    /// Contract word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Linux => "linux",
            Self::Windows => "windows",
            Self::Macos => "macos",
        }
    }
}

/// Default cap of one file, bytes.
pub const DEFAULT_FILE_CAP: u64 = 64 * 1024 * 1024;
/// Default cap of one listing, entries.
pub const DEFAULT_LIST_CAP: usize = 100_000;

/// A machine: this one, or one whose files lie under a folder.
#[derive(Debug, Clone)]
pub struct Sys {
    root: PathBuf,
    live: bool,
    family: Family,
    now: Option<Timestamp>,
    tracer: trace::Tracer,
    processes: process::Table,
    hives: registry::HiveCache,
    exports: registry::ExportCache,
}

impl Sys {
    /// The machine this program runs on.
    #[must_use]
    pub fn live() -> Self {
        let family = if cfg!(windows) {
            Family::Windows
        } else if cfg!(target_os = "macos") {
            Family::Macos
        } else {
            Family::Linux
        };
        Self {
            root: PathBuf::from("/"),
            live: true,
            family,
            now: None,
            tracer: trace::Tracer::default(),
            processes: process::Table::default(),
            hives: registry::HiveCache::default(),
            exports: registry::ExportCache::default(),
        }
    }

    /// A machine whose files lie under `root`; its family is found by what lies there.
    /// Errors: `Absent` if the folder is missing, `Unsupported` if no family can be told.
    pub fn at_root(root: &Path, as_of: Option<Timestamp>) -> Result<Self, SysError> {
        let root = std::fs::canonicalize(root).map_err(|e| SysError::from_io(&root.to_string_lossy(), &e))?;
        let mut sys = Self {
            root,
            live: false,
            family: Family::Linux,
            now: as_of,
            tracer: trace::Tracer::default(),
            processes: process::Table::default(),
            hives: registry::HiveCache::default(),
            exports: registry::ExportCache::default(),
        };
        sys.family = sys.detect_family()?;
        Ok(sys)
    }

    fn detect_family(&self) -> Result<Family, SysError> {
        let has = |path: &str| matches!(self.stat(path), Ok(Some(_)));
        if has("/Windows/System32/config") || has("/Windows") {
            Ok(Family::Windows)
        } else if has("/System/Library/CoreServices/SystemVersion.plist") {
            Ok(Family::Macos)
        } else if has("/etc") || has("/usr/lib/os-release") || has("/var/lib") {
            Ok(Family::Linux)
        } else if self.has_exports() {
            Ok(Family::Windows)
        } else {
            Err(SysError::Unsupported {
                what: "root folder".into(),
                reason: "no_operating_system_found".into(),
            })
        }
    }

    /// Whether this is the running machine.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.live
    }

    /// Names the machine being read for the memo: `live`, or the root folder.
    #[must_use]
    pub fn place(&self) -> String {
        if self.live { "live".into() } else { self.root.to_string_lossy().into_owned() }
    }

    /// Family of the machine being read.
    #[must_use]
    pub fn family(&self) -> Family {
        self.family
    }

    /// The moment to collect for: now, or the time a root folder is judged by.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.now.unwrap_or_else(Timestamp::now)
    }

    /// `Ok` on the running machine, else the `live_only` error: for what only a running system can tell.
    pub fn require_live(&self, what: &str) -> Result<(), SysError> {
        if self.live {
            Ok(())
        } else {
            Err(SysError::Unsupported { what: what.into(), reason: "live_only".into() })
        }
    }
}
