//! Installed software.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::collected::SourceState;

/// Body of `software`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Software {
    /// Sorted by source, name, architecture, version, user.
    pub items: Vec<SoftwareItem>,
    /// One per package database, profile or folder.
    pub sources: Vec<SourceState>,
}

/// One installed title.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SoftwareItem {
    /// Name as its package manager gives it.
    pub name: String,
    /// Version in the form of its package manager (epoch and release included).
    pub version: String,
    /// Architecture.
    pub arch: Option<String>,
    /// Vendor, publisher or maintainer.
    pub vendor: Option<String>,
    /// When installed, where kept.
    pub installed_at: Option<Timestamp>,
    /// `deb`, `rpm`, `apk`, `pacman`, `snap`, `flatpak`, `msi`, `uninstall`, `appx`, `app`, `brew` ...
    pub source: String,
    /// `machine` or `user`.
    pub scope: String,
    /// Which user, for scope `user`.
    pub user: Option<String>,
    /// Source package where it differs from the name; `channel:NAME` for Office Click-to-Run.
    pub source_package: Option<String>,
}
