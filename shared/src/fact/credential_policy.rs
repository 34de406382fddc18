//! Password and lockout rules of local log-on.

use serde::{Deserialize, Serialize};

use crate::collected::{Reason, SourceState};

/// Body of `credential_policy`. `None` is "not set" only where the fact is `known`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CredentialPolicy {
    /// Failures until lock; 0 is "never".
    pub lockout_threshold: Option<u32>,
    /// Seconds within which failures count.
    pub lockout_window_s: Option<u64>,
    /// Seconds until unlock; 0 is "by an administrator".
    pub lockout_duration_s: Option<u64>,
    /// Delay after a failed log-on, milliseconds.
    pub failure_delay_ms: Option<u64>,
    /// Minimum length.
    pub min_length: Option<u32>,
    /// Character classes required (0 to 4).
    pub min_classes: Option<u32>,
    /// Upper, lower, digit and other are all demanded or Windows complexity is on.
    pub complexity: Option<bool>,
    /// Days until a password must change; 0 is never.
    pub max_age_days: Option<u32>,
    /// Old passwords remembered.
    pub history: Option<u32>,
    /// Whether the rules bind root or the built-in administrator too.
    pub applies_to_root: Option<bool>,
    /// Screen lock after seconds of idleness, machine-wide.
    pub screen_lock_s: Option<u64>,
    /// Screen lock of each person with a profile, sorted by account; Windows only, elsewhere not in the fact.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub screen_locks: Vec<ScreenLock>,
    /// What was read.
    pub sources: Vec<SourceState>,
}

/// Screen lock of one person. A profile that could not be read is a row of its own with the reason, and no gap of
/// the fact: the rules for passwords do not rest on it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ScreenLock {
    /// Name of the profile, else its SID.
    pub user: String,
    /// SID; empty where only the folder of the profile is known.
    pub id: String,
    /// Whether idleness locks; `None` where it could not be read.
    pub locks: Option<bool>,
    /// Seconds of idleness until it does.
    pub after_s: Option<u64>,
    /// Who set it: `policy`, `machine` or `user`.
    pub origin: Option<String>,
    /// Why it is not known.
    pub reason: Option<Reason>,
}
