//! The operating system.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Body of `os`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Os {
    /// `linux`, `windows`, `macos`.
    pub family: String,
    /// Machine-readable id: os-release `ID`, `windows`, `macos`.
    pub id: String,
    /// Families it derives from (os-release `ID_LIKE`).
    pub id_like: Vec<String>,
    /// Readable name without version.
    pub name: Option<String>,
    /// Edition or variant (`Professional`, `ServerStandard`, `Workstation`).
    pub edition: Option<String>,
    /// `client` or `server`, where the OS says so.
    pub installation_type: Option<String>,
    /// Version (`12`, `22.04`, `24H2`, `15.1`).
    pub version: Option<String>,
    /// Full version with the point release where known (`12.11`).
    pub version_full: Option<String>,
    /// Build (`26100.2314`, `24B83`).
    pub build: Option<String>,
    /// Release code name.
    pub codename: Option<String>,
    /// CPU architecture (`x86_64`, `aarch64`).
    pub arch: Option<String>,
    /// Running kernel release.
    pub kernel_running: Option<String>,
    /// Newest installed kernel release.
    pub kernel_newest: Option<String>,
    /// When it was installed.
    pub installed_at: Option<Timestamp>,
    /// IANA time zone, or Windows zone id.
    pub time_zone: Option<String>,
    /// Support end where the OS itself says so (os-release `SUPPORT_END`), ISO 8601 date.
    pub support_end: Option<String>,
    /// CPE name where the OS itself says so.
    pub cpe: Option<String>,
    /// Language of the system (`ja_JP.UTF-8`, `ja-JP`).
    pub locale: Option<String>,
}
