//! What the running agent leaves for `status` and for its next start.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tenken_shared::ids::{HostId, KeyId, OrgId};

use crate::disk::{self, DiskError};
use crate::paths::Paths;

/// State of the agent, as last written by it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Status {
    /// Version of the program that wrote this.
    pub agent_version: String,
    /// Process that runs, or ran last.
    pub pid: Option<u32>,
    /// When it started.
    pub started_at: Option<Timestamp>,
    /// When this was written.
    pub written_at: Option<Timestamp>,
    /// Organisation.
    pub org: Option<OrgId>,
    /// Host.
    pub host: Option<HostId>,
    /// Thumbprint of its key.
    pub key_id: Option<KeyId>,
    /// Collector addresses.
    pub collectors: Vec<String>,
    /// `pinned` or `os_store`.
    pub tls_trust: String,
    /// When the last round of probes ended.
    pub last_round_at: Option<Timestamp>,
    /// When the next full round is due.
    pub next_round_at: Option<Timestamp>,
    /// When delivery was last tried.
    pub last_attempt_at: Option<Timestamp>,
    /// When delivery is tried next, where it waits.
    pub next_attempt_at: Option<Timestamp>,
    /// When a report was last accepted.
    pub last_accepted_at: Option<Timestamp>,
    /// Its number.
    pub last_accepted_seq: Option<u64>,
    /// Why the last attempt failed; absent after a success.
    pub last_error: Option<Problem>,
    /// Set once the collector said that this host is retired or revoked.
    pub stopped: Option<Problem>,
    /// Reports that wait.
    pub spool_reports: u64,
    /// Bytes that wait.
    pub spool_bytes: u64,
    /// Reports dropped since enrolment.
    pub dropped_reports: u64,
    /// Host clock minus collector clock, milliseconds.
    pub clock_offset_ms: Option<i64>,
    /// Latest time a collector signed, milliseconds since 1970.
    pub last_signed_ms: Option<i64>,
    /// Version of the policy in force; 0: the built-in one.
    pub policy_version: u64,
    /// Parts of the policy this version does not understand.
    pub policy_ignored: Vec<String>,
}

/// Something that went wrong.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Problem {
    /// Stable code.
    pub code: String,
    /// For a person, English.
    pub detail: String,
    /// Since when, in a row.
    pub at: Timestamp,
}

impl Status {
    /// Reads what was left; a damaged or missing file is an empty status.
    #[must_use]
    pub fn load(paths: &Paths) -> Self {
        let bytes = disk::read(&paths.status()).ok().flatten().unwrap_or_default();
        serde_json::from_slice(&bytes).unwrap_or_default()
    }

    /// Writes it.
    pub fn save(&mut self, paths: &Paths) -> Result<(), DiskError> {
        self.written_at = Some(Timestamp::now());
        let bytes = serde_json::to_vec_pretty(self).unwrap_or_default();
        disk::write_atomic(&paths.status(), &bytes)
    }

    /// Notes a failure; the time of the first of the same kind in a row stays.
    pub fn problem(&mut self, code: &str, detail: impl std::fmt::Display) {
        let at = match &self.last_error {
            Some(known) if known.code == code => known.at,
            _ => Timestamp::now(),
        };
        self.last_error = Some(Problem { code: code.to_owned(), detail: detail.to_string(), at });
    }
}
