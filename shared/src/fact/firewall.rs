//! Host firewall.

use serde::{Deserialize, Serialize};

use crate::collected::SourceState;

/// Body of `firewall`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Firewall {
    /// Whether inbound traffic that no rule allows is refused now; `None` where it could not be known.
    pub active: Option<bool>,
    /// Where `active` is `false`: the protocols in use whose inbound traffic is not refused (`ipv4`, `ipv6`),
    /// as far as it could be told apart.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unfiltered: Vec<String>,
    /// Each product or rule set found.
    pub products: Vec<FirewallProduct>,
    /// What was read.
    pub sources: Vec<SourceState>,
}

/// One product or rule set.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct FirewallProduct {
    /// `nftables`, `iptables`, `firewalld`, `ufw`, `windows_firewall`, `alf`, `pf`.
    pub name: String,
    /// Loaded at boot.
    pub enabled: Option<bool>,
    /// Running or rules loaded now.
    pub active: Option<bool>,
    /// Profiles, zones or base chains.
    pub profiles: Vec<FirewallProfile>,
}

/// One profile, zone or base chain.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct FirewallProfile {
    /// Name (`domain`, `public`, `input`).
    pub name: String,
    /// On.
    pub enabled: Option<bool>,
    /// `drop`, `reject`, `accept`.
    pub default_inbound: Option<String>,
    /// Number of rules.
    pub rules: Option<u64>,
}
