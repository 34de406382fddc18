//! Probes: each collects the facts of one subject through [`Sys`]. Knows neither spool nor network.

pub mod accounts;
pub mod agent;
pub mod autorun;
pub mod backups;
pub mod credential_policy;
pub mod dconf;
pub mod firewall;
#[cfg(test)]
pub(crate) mod fixture;
pub mod group_policy;
pub mod hardware;
pub mod homes;
pub mod identity;
pub mod malware_protection;
pub mod network;
pub mod os;
pub mod package;
pub mod registry;
pub mod removable_devices;
pub mod removable_policy;
pub mod restart;
pub mod runner;
pub mod sam;
pub mod services;
pub mod servicing;
pub mod software;
pub mod sources;
pub mod systemd;
pub mod update_history;
pub mod update_settings;
pub mod updates;
pub mod volumes;
pub mod windows;
#[cfg(test)]
pub mod winhive;

use jiff::Timestamp;
use tenken_shared::collected::{Collected, Reason, Status};
use tenken_shared::fact::{FactBody, FactKind, FactRecord};
use tenken_shared::text::Text;

use crate::sys::{Family, Sys, SysError};

/// What a probe may be told by policy.
#[derive(Debug, Clone, Default)]
pub struct ProbeConfig {
    /// Declared backup paths, units and the like.
    pub policy: tenken_shared::policy::Policy,
    /// The agent's own folder for what probes remember between runs; `None` where nothing is kept.
    pub state_dir: Option<std::path::PathBuf>,
    /// How the other probes went; given to the probe `agent`, which runs last.
    pub states: Vec<tenken_shared::fact::agent::ProbeState>,
}

/// One collected fact before it becomes a record.
#[derive(Debug, Clone)]
pub struct Collection {
    /// Kind.
    pub kind: FactKind,
    /// The record without time, or why there is none; made by [`Collection::of`].
    pub record: FactRecord,
}

impl Collection {
    /// Wraps a collected body with its source.
    pub fn of<T: FactBody>(collected: Collected<T>, source: impl Into<String>, at: Timestamp) -> Self {
        let source = source.into();
        let record = FactRecord::new(collected, source.clone(), at).or_else(|error| {
            let reason = Reason::with("not_canonical", error);
            FactRecord::missing(T::KIND, Status::Failed, reason, source, at)
        });
        match record {
            Ok(record) => Self { kind: T::KIND, record },
            Err(error) => unreachable!("a fact without body is always canonical: {error}"),
        }
    }

    /// A kind that could not be collected at all.
    pub fn missing(kind: FactKind, error: &SysError, at: Timestamp) -> Self {
        Self::gap(kind, error.status(), error.reason(), error.what(), at)
    }

    /// A kind that could not be collected, with status and reason.
    pub fn gap(kind: FactKind, status: Status, reason: Reason, source: &str, at: Timestamp) -> Self {
        match FactRecord::missing(kind, status, reason, source, at) {
            Ok(record) => Self { kind, record },
            Err(error) => unreachable!("a fact without body is always canonical: {error}"),
        }
    }
}

/// One probe. The registry holds the only list.
#[derive(Debug)]
pub struct Probe {
    /// Short name for logs, usually the main kind.
    pub name: &'static str,
    /// Kinds it gives, each exactly once per run.
    pub kinds: &'static [FactKind],
    /// What is collected and why, for the people whose machines these are (`explain`).
    pub what: Text,
    /// Why it is collected.
    pub why: Text,
    /// Files, folders and registry keys (`HKLM\...`, `HKU\*\...` for each user logged on) whose change brings the
    /// probe forward, by family.
    pub watch: fn(Family) -> &'static [&'static str],
    /// Collects. Gives one [`Collection`] per kind; kinds left out become `failed`, `not_given`.
    pub collect: fn(&Sys, &ProbeConfig) -> Vec<Collection>,
}

/// No paths to watch.
pub fn watch_nothing(_: Family) -> &'static [&'static str] {
    &[]
}

/// Answers `unsupported`, reason `not_yet_collected`, for each kind: this version does not read these
/// from this family of systems.
#[must_use]
pub fn not_yet_collected(kinds: &[FactKind], sys: &Sys) -> Vec<Collection> {
    let reason = || Reason::with("not_yet_collected", sys.family().as_str());
    kinds.iter().map(|kind| Collection::gap(*kind, Status::Unsupported, reason(), "", sys.now())).collect()
}
