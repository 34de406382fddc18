//! Backup jobs: four facts kept apart (last attempt, last success, result, destination class).

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::collected::SourceState;

/// Body of `backups`. No job in a `known` fact means: every place we know was looked at and none is set up.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Backups {
    /// Sorted by product, then name.
    pub jobs: Vec<BackupJob>,
    /// One per product or place looked at.
    pub sources: Vec<SourceState>,
}

/// One job, repository or declared path.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct BackupJob {
    /// `restic`, `borg`, `timeshift`, `systemd`, `status_file`, `declared_path`, `windows_server_backup` ...
    pub product: String,
    /// Name of the job, repository or path; stable between runs.
    pub name: String,
    /// `backup`, `snapshot` (local copy on the same system) or `sync`. Only `backup` counts for 4-3-4.
    pub role: String,
    /// Last verified success.
    pub last_success: Option<Timestamp>,
    /// `succeeded`, `succeeded_with_warnings`, `failed`, `running`, `cancelled`; `None` where not known.
    pub result: Option<String>,
    /// Product result code or message code.
    pub code: Option<String>,
    /// Copies (snapshots, archives, generations) kept.
    pub copies: Option<u64>,
    /// Time of the oldest copy kept.
    pub oldest_copy: Option<Timestamp>,
    /// Size of the newest copy or the whole store, bytes.
    pub size_bytes: Option<u64>,
    /// Where to: path, share or host, without credentials.
    pub destination: Option<String>,
    /// `same_disk`, `attached`, `lan`, `remote`, `cloud`, `sync`.
    pub destination_class: Option<String>,
    /// Whether the copies are encrypted.
    pub encrypted: Option<bool>,
    /// Whether the schedule is in force (timer enabled and active).
    pub scheduled: Option<bool>,
    /// What the verdict rests on: `repository`, `product_log`, `unit_result`, `status_file`; weaker `file_time`
    /// (upkeep and copying change file times too); `configuration` says that nothing is known of any run.
    pub evidence: String,
    /// Declared target of the policy this job fulfils, where the agent was told (`backup-report --target`).
    pub target: Option<String>,
}

/// Body of `backups_observed`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct BackupsObserved {
    /// One per job, same order as in `backups`.
    pub jobs: Vec<BackupAttempt>,
}

/// Last attempt of one job.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct BackupAttempt {
    /// Product.
    pub product: String,
    /// Name.
    pub name: String,
    /// Last attempt, whatever came of it.
    pub last_attempt: Option<Timestamp>,
    /// Next planned run.
    pub next_run: Option<Timestamp>,
}
