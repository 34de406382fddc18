//! The agent itself: version, rights, and which probes can run here.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::collected::{Reason, Status};

/// Body of `agent`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Agent {
    /// Program version.
    pub version: String,
    /// Build target triple, for example `x86_64-unknown-linux-musl`.
    pub target: String,
    /// `live` or `root_folder`.
    pub mode: String,
    /// Whether it runs with the rights of root or SYSTEM.
    pub elevated: bool,
    /// What the collector's TLS certificate is checked against: `pinned` (the CA of the enrolment token) or
    /// `os_store` (explicit setting, for proxies that inspect TLS); absent while not enrolled.
    pub tls_trust: Option<String>,
    /// How arriving and leaving media are noticed between rounds, on Windows: `notices` of the system, `polling`
    /// (it gives none; what came and went within seconds makes no event) or `unavailable`; absent where the agent
    /// does not run as a service or does not say.
    pub media_watch: Option<String>,
    /// Each fact kind and how its last collection went.
    pub probes: Vec<ProbeState>,
}

/// One probe and whether it can run on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeState {
    /// Fact kind name.
    pub kind: String,
    /// Status of the last run.
    pub status: Status,
    /// Why not whole.
    #[serde(default)]
    pub reason: Option<Reason>,
}

/// Body of `agent_observed`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct AgentObserved {
    /// When this process started.
    pub started_at: Option<Timestamp>,
    /// Reports waiting in the spool.
    pub spool_reports: u64,
    /// Bytes waiting in the spool.
    pub spool_bytes: u64,
    /// Reports dropped since enrolment because the spool was full; each drop is its own signed record.
    pub dropped_reports: u64,
    /// Host clock minus collector clock, milliseconds, as last measured.
    pub clock_offset_ms: Option<i64>,
    /// Since when arriving and leaving media are watched without a break; absent while they are not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub media_watched_since: Option<Timestamp>,
    /// Resident memory, bytes.
    pub resident_bytes: Option<u64>,
}
