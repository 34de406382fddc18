//! Judges one machine with the shared controls and no collector, keeping a small local history so that
//! "open since" and "failing since" mean something to a sole proprietor too.

use std::collections::BTreeMap;
use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tenken_shared::catalog::Catalog;
use tenken_shared::control::{self, Control, History, HostLabel};
use tenken_shared::criterion::{Coverage, CriterionResult, HostVerdicts, Scope, roll_up};
use tenken_shared::fact::FactRecord;
use tenken_shared::finding::{Finding, Outcome};
use tenken_shared::inventory::Inventory;
use tenken_shared::policy::{Policy, PolicyEnvelope};

use crate::disk::{self, DiskError};

/// Days after which a resolved failure is no longer kept.
const KEEP_RESOLVED_DAYS: i64 = 400;

/// Why nothing can be judged.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// A file of our own or the policy file.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The policy does not read.
    #[error("policy {path} is not valid: {message}")]
    Policy {
        /// The file.
        path: String,
        /// Where and why.
        message: String,
    },
    /// The policy file is not there.
    #[error("policy {0} does not exist")]
    NoPolicy(String),
}

/// What `check` remembers of this machine.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct LocalHistory {
    /// What controls need.
    pub history: History,
    /// Findings by control, as last judged.
    pub findings: BTreeMap<String, Finding>,
}

impl LocalHistory {
    /// Reads the file; none yet, or one that is damaged, starts a new history.
    pub fn load(path: &Path) -> Result<Self, DiskError> {
        let Some(bytes) = disk::read(path)? else { return Ok(Self::default()) };
        Ok(serde_json::from_slice(&bytes).unwrap_or_else(|error| {
            tracing::warn!(path = %path.display(), %error, "The local history is damaged; a new one begins.");
            Self::default()
        }))
    }

    /// Writes the file.
    pub fn save(&self, path: &Path) -> Result<(), DiskError> {
        disk::write_atomic(path, &serde_json::to_vec(self).unwrap_or_default())
    }

    /// Judges an inventory and keeps what is found.
    pub fn judge(
        &mut self,
        records: Vec<FactRecord>,
        policy: &Policy,
        host: HostLabel<'_>,
        now: Timestamp,
    ) -> Judged {
        let inventory = Inventory::of(records);
        self.history.absorb(&inventory, SignedDuration::ZERO, now);
        self.history.first_report_at.get_or_insert(now);
        self.history.last_report_at = Some(now);
        let context = control::Context {
            inventory: &inventory,
            history: &self.history,
            policy,
            catalog: Catalog::embedded(),
            now,
            host,
        };
        let judged = control::judge(&context);
        let findings: Vec<(&'static Control, Finding)> = judged
            .into_iter()
            .map(|(control, verdict)| {
                let before = self.findings.get(control.id).filter(|f| f.resolved_at.is_none());
                let same = before.filter(|before| before.verdict.outcome == verdict.outcome);
                let finding = Finding {
                    control: control.id.to_owned(),
                    control_version: control.version,
                    criteria: control.criteria.iter().map(|c| (*c).to_owned()).collect(),
                    first_seen: same.map_or(now, |before| before.first_seen),
                    last_seen: now,
                    resolved_at: None,
                    verdict,
                };
                (control, finding)
            })
            .collect();
        let outcomes = findings.iter().map(|(c, f)| (c.id, f.verdict.outcome)).collect();
        let hosts =
            [HostVerdicts { id: host.id, name: host.name, group: host.group, silent: false, outcomes }];
        let scope =
            Scope { hosts: &hosts, coverage: Coverage::default(), exceptions: &[], attestations: &[], now };
        let criteria = roll_up(&scope);
        self.keep(&findings, now);
        Judged { findings, criteria }
    }

    fn keep(&mut self, findings: &[(&'static Control, Finding)], now: Timestamp) {
        self.findings.retain(|_, f| {
            let old = f.last_seen.as_second() + KEEP_RESOLVED_DAYS * 86_400 < now.as_second();
            control::find(&f.control).is_some() && !old
        });
        for (control, finding) in findings {
            // Evidence is told anew each time; only the continuity is kept.
            let mut kept = finding.clone();
            kept.verdict.evidence.clear();
            self.findings.insert(control.id.to_owned(), kept);
        }
    }
}

/// What came of it.
#[derive(Debug)]
pub struct Judged {
    /// One per control that applies, in the order of the list.
    pub findings: Vec<(&'static Control, Finding)>,
    /// Every criterion.
    pub criteria: Vec<CriterionResult>,
}

impl Judged {
    /// Exit code of `check`: 0 all judged and none fails, 1 something fails, 3 nothing fails but something
    /// is unknown.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        let any = |outcome| self.findings.iter().any(|(_, f)| f.verdict.outcome == outcome);
        if any(Outcome::Fail) {
            1
        } else if any(Outcome::Unknown) || self.findings.is_empty() {
            3
        } else {
            0
        }
    }
}

/// Reads a policy file: TOML where it is named `.toml`, else JSON; with or without its envelope.
pub fn read_policy(path: &Path) -> Result<Policy, CheckError> {
    let name = || path.to_string_lossy().into_owned();
    let bytes = disk::read(path)?.ok_or_else(|| CheckError::NoPolicy(name()))?;
    let invalid = |message: String| CheckError::Policy { path: name(), message };
    let policy: Policy = if path.extension().is_some_and(|e| e == "toml") {
        toml::from_slice(&bytes).map_err(|e| invalid(e.to_string()))?
    } else {
        match serde_json::from_slice::<PolicyEnvelope>(&bytes) {
            Ok(envelope) => envelope.policy,
            Err(_) => serde_json::from_slice(&bytes).map_err(|e| invalid(e.to_string()))?,
        }
    };
    policy.check().map_err(|e| invalid(e.to_string()))?;
    Ok(policy)
}

#[cfg(test)]
mod tests {
    use tenken_shared::collected::{Reason, Status};
    use tenken_shared::fact::FactKind;

    use super::*;

    fn nothing(at: Timestamp) -> Vec<FactRecord> {
        FactKind::ALL
            .iter()
            .map(|kind| {
                FactRecord::missing(*kind, Status::Denied, Reason::new("permission_denied"), "test", at)
                    .unwrap()
            })
            .collect()
    }

    #[test]
    fn what_may_not_be_read_is_never_a_pass_and_exits_with_3() {
        let now: Timestamp = "2026-11-23T00:00:00Z".parse().unwrap();
        let judged =
            LocalHistory::default().judge(nothing(now), &Policy::default(), HostLabel::default(), now);
        assert!(!judged.findings.is_empty());
        assert!(judged.findings.iter().all(|(_, f)| f.verdict.outcome != Outcome::Pass));
        assert_eq!(judged.exit_code(), 3);
        assert_eq!(judged.criteria.len(), 153);
    }

    #[test]
    fn outcome_that_lasts_keeps_its_first_day() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("history.json");
        let day = |n| format!("2026-11-{n}T00:00:00Z").parse::<Timestamp>().unwrap();
        let mut local = LocalHistory::load(&path).unwrap();
        local.judge(nothing(day(20)), &Policy::default(), HostLabel::default(), day(20));
        local.save(&path).unwrap();
        let mut local = LocalHistory::load(&path).unwrap();
        let judged = local.judge(nothing(day(22)), &Policy::default(), HostLabel::default(), day(22));
        assert!(judged.findings.iter().all(|(_, f)| (f.first_seen, f.last_seen) == (day(20), day(22))));
        std::fs::write(&path, "{").unwrap();
        assert_eq!(LocalHistory::load(&path).unwrap(), LocalHistory::default());
    }

    #[test]
    fn policy_is_read_as_json_or_toml_and_mistakes_are_errors() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            read_policy(&path)
        };
        assert_eq!(write("a.toml", "[patch]\ndays = 7").unwrap().patch.days, 7);
        assert_eq!(write("a.json", r#"{"patch":{"days":6}}"#).unwrap().patch.days, 6);
        assert_eq!(write("b.json", r#"{"version":3,"policy":{"patch":{"days":5}}}"#).unwrap().patch.days, 5);
        assert!(write("c.json", r#"{"patch":{"dayz":5}}"#).is_err());
        assert!(matches!(read_policy(&dir.path().join("none")), Err(CheckError::NoPolicy(_))));
    }
}
