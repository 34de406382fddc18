//! Services and listening ports.

use serde::{Deserialize, Serialize};

use crate::collected::SourceState;

/// Body of `services`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Services {
    /// Services started at boot or enabled, sorted by name.
    pub items: Vec<Service>,
    /// Listening sockets, sorted by protocol, port, address; ephemeral client sockets left out.
    /// `None` where the tables of sockets were not read.
    pub listening: Option<Vec<Listener>>,
    /// What was read.
    pub sources: Vec<SourceState>,
}

/// One service.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Service {
    /// Unit or service name.
    pub name: String,
    /// Display name.
    pub title: Option<String>,
    /// `enabled`, `disabled`, `static`, `manual`, `automatic`, `masked`.
    pub start: Option<String>,
    /// Running now; `None` where it could not be known, or where it comes and goes by itself (started on a trigger).
    pub running: Option<bool>,
}

/// One listening socket.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Listener {
    /// `tcp` or `udp`.
    pub protocol: String,
    /// Local address (`0.0.0.0`, `::`, `127.0.0.1`).
    pub address: String,
    /// Port.
    pub port: u16,
    /// Program, where it could be read.
    pub program: Option<String>,
}
