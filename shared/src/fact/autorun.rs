//! Auto-run and auto-play, per user.

use serde::{Deserialize, Serialize};

use crate::collected::SourceState;

/// Body of `autorun`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Autorun {
    /// Whether inserting media can start or open something without being asked, for any user; `None` where it could not be known.
    pub active: Option<bool>,
    /// Whether this machine has a desktop that could do so.
    pub desktop: Option<bool>,
    /// Machine-wide settings and each user's own.
    pub settings: Vec<AutorunSetting>,
    /// What was read.
    pub sources: Vec<SourceState>,
}

/// One setting.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct AutorunSetting {
    /// `machine`, or a user name.
    pub scope: String,
    /// Desktop or key family (`gnome`, `kde`, `xfce`, `mate`, `cinnamon`, `lxqt`, `autofs`, `explorer_policy`).
    pub subject: String,
    /// Key.
    pub key: String,
    /// Value as found.
    pub value: String,
    /// Whether this value lets media start something by itself.
    pub permits: Option<bool>,
    /// Whether users cannot change it.
    pub locked: bool,
}
