//! Patch state: what is pending, what it was computed from, what was installed, and what is automatic.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::collected::SourceState;

/// Body of `updates`. An empty `pending` means "none" only when the fact is `known`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Updates {
    /// Sorted by package, then id.
    pub pending: Vec<PendingUpdate>,
    /// Which service was asked (`apt`, `dnf`, `wsus`, `microsoft_update` ...).
    pub server: Option<String>,
    /// How the service is known, where it is not plain (Windows): `search` named it, or the search was for the
    /// default one and it is so `configured`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_by: Option<String>,
    /// Whether any metadata tell security updates apart; `false` makes every update count (CentOS Stream, pacman,
    /// apk). Where only some do, `security` of the others' updates is unknown.
    pub security_known: bool,
    /// One per repository, database or service.
    pub sources: Vec<SourceState>,
}

/// One update that is not (fully) applied.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PendingUpdate {
    /// Advisory, KB or `package=version`.
    pub id: String,
    /// Title for people.
    pub title: Option<String>,
    /// Package it replaces.
    pub package: Option<String>,
    /// Architecture.
    pub arch: Option<String>,
    /// Version now installed.
    pub installed: Option<String>,
    /// Version offered.
    pub candidate: Option<String>,
    /// Origin (`Debian:12.11/stable`, `Debian-Security:12/stable-security`, repository id).
    pub origin: Option<String>,
    /// `os`, `browser`, `office`, `middleware`, `driver`, `firmware`, `application`.
    pub class: Option<String>,
    /// Fixes something security-relevant; `None` where the metadata do not say.
    pub security: Option<bool>,
    /// Vendor severity in its own word, lower case (`critical`, `important`, `moderate`, `low`).
    pub severity: Option<String>,
    /// Highest CVSS base score as decimal text (`7.5`).
    pub cvss: Option<String>,
    /// CVE ids.
    pub cves: Vec<String>,
    /// Vendor release time, where the metadata say.
    pub released_at: Option<Timestamp>,
    /// Whether the vendor moves `released_at` with each re-release (Windows): it was released then or before.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub release_moves: bool,
    /// Held back by an administrator (hold, versionlock, IgnorePkg).
    pub held: bool,
    /// Hidden by a user (Windows).
    pub hidden: bool,
    /// Held back by the vendor for now (phased roll-out).
    pub phased: bool,
    /// Installed but waiting for a restart.
    pub awaiting_restart: bool,
}

/// Body of `updates_observed`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct UpdatesObserved {
    /// One per metadata source.
    pub metadata: Vec<MetadataAge>,
    /// Last search that succeeded.
    pub last_search_success: Option<Timestamp>,
    /// Last installation that succeeded.
    pub last_install_success: Option<Timestamp>,
}

/// When one source of update metadata was refreshed last.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct MetadataAge {
    /// Repository or service.
    pub source: String,
    /// Last refresh that succeeded, as the machine keeps it.
    pub refreshed_at: Option<Timestamp>,
    /// Date inside the metadata (Release file `Date`).
    pub published_at: Option<Timestamp>,
    /// Until when the publisher says it is valid (`Valid-Until`).
    pub valid_until: Option<Timestamp>,
}

/// Body of `update_history`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct UpdateHistory {
    /// Newest first; capped, the source says so.
    pub items: Vec<HistoryEntry>,
    /// One per log or database.
    pub sources: Vec<SourceState>,
}

/// One completed operation on one package or update.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct HistoryEntry {
    /// Advisory or KB, where there is one.
    pub id: Option<String>,
    /// Package.
    pub package: Option<String>,
    /// Title for people.
    pub title: Option<String>,
    /// Version after the operation.
    pub version: Option<String>,
    /// Version before.
    pub previous_version: Option<String>,
    /// `install`, `upgrade`, `downgrade`, `reinstall`, `remove`.
    pub operation: String,
    /// `succeeded`, `succeeded_with_errors`, `failed`, `aborted`, `in_progress`. Only the first counts as installed.
    pub result: String,
    /// Vendor result code (`0x80070643`).
    pub code: Option<String>,
    /// When it ended.
    pub at: Option<Timestamp>,
}

/// Body of `update_settings`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct UpdateSettings {
    /// `on` (security updates install by themselves), `download_only`, `notify_only`, `off`; `None` where it could not be known.
    pub automatic: Option<String>,
    /// Each mechanism found.
    pub mechanisms: Vec<UpdateMechanism>,
    /// Days quality updates are deferred by policy.
    pub deferral_days: Option<u32>,
    /// Paused until.
    pub paused_until: Option<Timestamp>,
    /// Update server set by policy.
    pub server: Option<String>,
    /// Packages held back by an administrator.
    pub held_packages: Vec<String>,
    /// What was read.
    pub sources: Vec<SourceState>,
}

/// One mechanism of automatic update.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct UpdateMechanism {
    /// `unattended-upgrades`, `dnf-automatic`, `snapd`, `windows_update`, `chrome` ...
    pub name: String,
    /// `on`, `download_only`, `notify_only`, `off`.
    pub state: String,
    /// The deciding key and its value.
    pub setting: Option<String>,
}
