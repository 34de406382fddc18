//! Folders and files of the agent, per operating system, with their permissions (folders 0700, files
//! 0600; on Windows an access list of SYSTEM and Administrators alone). Nobody else joins such paths.

use std::path::{Path, PathBuf};

use crate::disk::{self, DiskError};

/// The agent's data folder and what lies in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    data: PathBuf,
}

impl Paths {
    /// Names the files under `data` without touching the disk.
    #[must_use]
    pub fn at(data: PathBuf) -> Self {
        Self { data }
    }

    /// Makes the folders and closes them to others.
    pub fn create(data: PathBuf) -> Result<Self, DiskError> {
        let paths = Self { data };
        // The folder above is ours too: who owns it could put another one in the place of the data.
        if cfg!(windows) && paths.data == default_data() && elevated() {
            disk::private_folder(&program_data())?;
        }
        for folder in [paths.data(), &paths.spool(), &paths.quarantine(), &paths.probe_state()] {
            disk::private_folder(folder)?;
        }
        Ok(paths)
    }

    /// The data folder.
    #[must_use]
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Key and membership, one file so that both change together.
    #[must_use]
    pub fn identity(&self) -> PathBuf {
        self.data.join("identity.json")
    }

    /// A key that was made and is being announced to the collector.
    #[must_use]
    pub fn next_key(&self) -> PathBuf {
        self.data.join("key.next")
    }

    /// A token that the service is to redeem.
    #[must_use]
    pub fn pending_token(&self) -> PathBuf {
        self.data.join("enrol.token")
    }

    /// Left by `rotate-key` for the running agent.
    #[must_use]
    pub fn rotate_request(&self) -> PathBuf {
        self.data.join("rotate.request")
    }

    /// The policy last received.
    #[must_use]
    pub fn policy(&self) -> PathBuf {
        self.data.join("policy.json")
    }

    /// What `status` shows, and the last signed collector time.
    #[must_use]
    pub fn status(&self) -> PathBuf {
        self.data.join("status.json")
    }

    /// Reports that wait for delivery.
    #[must_use]
    pub fn spool(&self) -> PathBuf {
        self.data.join("spool")
    }

    /// Reports the collector will never take, kept to be looked at.
    #[must_use]
    pub fn quarantine(&self) -> PathBuf {
        self.data.join("quarantine")
    }

    /// What probes keep between runs.
    #[must_use]
    pub fn probe_state(&self) -> PathBuf {
        self.data.join("probes")
    }

    /// Local history of `check`.
    #[must_use]
    pub fn history(&self) -> PathBuf {
        self.data.join("history.json")
    }

    /// Held by the one process that runs over this folder.
    #[must_use]
    pub fn lock(&self) -> PathBuf {
        self.data.join("agent.lock")
    }
}

/// Data folder where none is named: the machine's for root, administrators or SYSTEM, else one of the
/// user's own.
#[must_use]
pub fn default_data() -> PathBuf {
    if !elevated() {
        let home = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        if cfg!(windows) {
            if let Some(local) = home("LOCALAPPDATA") {
                return local.join("Tenken").join("agent");
            }
        } else if let Some(state) = home("XDG_STATE_HOME") {
            return state.join("tenken-agent");
        } else if let Some(home) = home("HOME") {
            return home.join(".local/state/tenken-agent");
        }
    }
    if cfg!(windows) {
        program_data().join("agent")
    } else if cfg!(target_os = "macos") {
        PathBuf::from("/Library/Application Support/Tenken/agent")
    } else {
        PathBuf::from("/var/lib/tenken-agent")
    }
}

/// Settings file where none is named.
#[must_use]
pub fn default_config() -> PathBuf {
    if cfg!(windows) {
        program_data().join("agent.toml")
    } else if cfg!(target_os = "macos") {
        PathBuf::from("/Library/Application Support/Tenken/agent.toml")
    } else {
        PathBuf::from("/etc/tenken/agent.toml")
    }
}

/// `%ProgramData%\Tenken`: settings and data of both programs on Windows, for administrators only.
#[must_use]
pub fn program_data() -> PathBuf {
    let set = std::env::var_os("ProgramData").filter(|v| !v.is_empty());
    set.map_or_else(|| PathBuf::from(r"C:\ProgramData"), PathBuf::from).join("Tenken")
}

/// Folder of the status files that `backup-report` writes, on this system.
#[must_use]
pub fn backup_status() -> PathBuf {
    if cfg!(windows) {
        program_data().join("agent").join("backup-status")
    } else {
        PathBuf::from(crate::probe::backups::status_file::FOLDER)
    }
}

/// Whether this process has the rights of root or, on Windows, an elevated token.
#[must_use]
pub fn elevated() -> bool {
    tenken_service::rights::elevated()
}
