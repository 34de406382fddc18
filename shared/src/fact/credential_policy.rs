//! Password and lockout rules of local log-on.

use serde::{Deserialize, Serialize};

use crate::collected::SourceState;

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
    /// What was read.
    pub sources: Vec<SourceState>,
}
