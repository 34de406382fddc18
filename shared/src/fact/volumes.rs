//! Volumes and their encryption; free space apart, because it changes by itself.

use serde::{Deserialize, Serialize};

use crate::collected::SourceState;

/// Body of `volumes`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Volumes {
    /// One entry per mounted file system on a real device or network share, sorted by mount.
    pub items: Vec<Volume>,
    /// What was read.
    pub sources: Vec<SourceState>,
}

/// One volume.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Volume {
    /// Mount point or drive letter; the volume's own name (`\\?\Volume{...}\`) where it has neither.
    pub mount: String,
    /// Device or share.
    pub device: Option<String>,
    /// File system.
    pub file_system: Option<String>,
    /// Size, bytes.
    pub size_bytes: Option<u64>,
    /// `fixed`, `removable`, `network`, `optical`, `memory`; `system` for a partition that start-up or recovery needs
    /// and that holds nobody's data.
    pub class: Option<String>,
    /// Encrypted at rest; `None` where it could not be known.
    pub encrypted: Option<bool>,
    /// `luks`, `luks2`, `bitlocker`, `filevault`, `ecryptfs`, `fscrypt` ...
    pub encryption: Option<String>,
    /// Cipher and key length where the system says it: `xts_aes_256`, `aes_128` ...
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encryption_method: Option<String>,
    /// Protection on (BitLocker may be suspended while encrypted).
    pub protection_on: Option<bool>,
    /// Mounted read-only.
    pub read_only: Option<bool>,
}

/// Body of `volumes_observed`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct VolumesObserved {
    /// One entry per mount, sorted.
    pub items: Vec<VolumeSpace>,
}

/// Free space of one volume, rounded down to a hundredth of the size so that noise does not travel.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct VolumeSpace {
    /// Mount point.
    pub mount: String,
    /// Free for users, bytes.
    pub free_bytes: u64,
    /// Used share, percent.
    pub used_pct: u32,
}
