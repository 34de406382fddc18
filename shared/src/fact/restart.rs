//! Restart pending and why.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::collected::SourceState;

/// Body of `restart`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Restart {
    /// Whether one is pending; `None` where it could not be known.
    pub pending: Option<bool>,
    /// Every sign found.
    pub signs: Vec<RestartSign>,
    /// What was read.
    pub sources: Vec<SourceState>,
}

/// One sign of a pending restart.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RestartSign {
    /// `reboot_required_file`, `kernel_newer_installed`, `library_replaced`, `component_servicing`, `windows_update` ...
    pub code: String,
    /// Packages, versions or process counts behind it.
    pub detail: Option<String>,
}

/// Body of `restart_observed`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RestartObserved {
    /// Last boot.
    pub booted_at: Option<Timestamp>,
}
