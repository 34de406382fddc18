//! Network interfaces and addresses.

use serde::{Deserialize, Serialize};

use crate::collected::SourceState;

/// Body of `network`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Network {
    /// Interfaces, sorted by name; loopback left out.
    pub interfaces: Vec<Interface>,
    /// Default gateways.
    pub gateways: Vec<String>,
    /// Name servers.
    pub name_servers: Vec<String>,
    /// What was read.
    pub sources: Vec<SourceState>,
}

/// One interface.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Interface {
    /// System name.
    pub name: String,
    /// MAC address, lower case with colons.
    pub mac: Option<String>,
    /// `ethernet`, `wifi`, `bridge`, `virtual`, `tunnel`, `other`.
    pub kind: Option<String>,
    /// Addresses with prefix length.
    pub addresses: Vec<String>,
    /// Whether the link is up.
    pub up: Option<bool>,
}
