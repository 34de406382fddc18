//! What differs between two snapshots.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tenken_shared::criterion::CriterionResult;
use tenken_shared::ids::SnapshotId;
use tenken_shared::snapshot::{Leaf, State};

use super::{FrozenHost, frozen, frozen_hosts};
use crate::store::{Result, Store, Tx, judgement};

/// One changed outcome between two snapshots.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FindingChange {
    /// Host id.
    pub host: String,
    /// Host name in the later snapshot.
    pub hostname: String,
    /// Control.
    pub control: String,
    /// Outcome in the first; absent where the control did not judge then.
    pub before: Option<String>,
    /// Outcome in the second.
    pub after: Option<String>,
}

/// One criterion with another state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CriterionChange {
    /// Criterion.
    pub criterion: String,
    /// State in the first.
    pub before: String,
    /// State in the second.
    pub after: String,
}

/// What differs between two snapshots.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SnapshotDiff {
    /// The first.
    #[schema(value_type = String)]
    pub a: SnapshotId,
    /// The second.
    #[schema(value_type = String)]
    pub b: SnapshotId,
    /// Hosts only in the second, by name.
    pub hosts_added: Vec<String>,
    /// Hosts only in the first, by name.
    pub hosts_removed: Vec<String>,
    /// Hosts whose facts differ.
    pub hosts_with_changed_facts: u64,
    /// Criteria with another state.
    pub criteria: Vec<CriterionChange>,
    /// Findings with another outcome.
    pub findings: Vec<FindingChange>,
}

fn names(host: &FrozenHost) -> (String, String) {
    match &host.name {
        Leaf::Name { host, hostname, .. } => (host.to_string(), hostname.clone()),
        Leaf::Host { host, .. } => (host.to_string(), String::new()),
        Leaf::State { part, .. } => (part.clone(), String::new()),
    }
}

fn by_control(tx: &mut (dyn Tx + '_), host: &FrozenHost) -> Result<BTreeMap<String, String>> {
    let findings = judgement::pinned(tx, host.at, host.recorded_from)?.unwrap_or_default();
    Ok(findings.into_iter().map(|f| (f.control, f.verdict.outcome.as_str().to_owned())).collect())
}

fn diff(tx: &mut (dyn Tx + '_), org: i64, a: &str, b: &str) -> Result<SnapshotDiff> {
    let (first, second) = (frozen(tx, org, a)?, frozen(tx, org, b)?);
    let index =
        |hosts: Vec<FrozenHost>| hosts.into_iter().map(|h| (h.at.host, h)).collect::<BTreeMap<_, _>>();
    let before = index(frozen_hosts(tx, org, first.header.number)?);
    let after = index(frozen_hosts(tx, org, second.header.number)?);
    let only = |these: &BTreeMap<i64, FrozenHost>, those: &BTreeMap<i64, FrozenHost>| {
        these.iter().filter(|(id, _)| !those.contains_key(id)).map(|(_, h)| names(h).1).collect::<Vec<_>>()
    };
    let mut out = SnapshotDiff {
        a: first.header.snapshot.clone(),
        b: second.header.snapshot.clone(),
        hosts_added: only(&after, &before),
        hosts_removed: only(&before, &after),
        hosts_with_changed_facts: 0,
        criteria: criteria_changes(&first.state, &second.state),
        findings: vec![],
    };
    for (id, new) in &after {
        let Some(old) = before.get(id) else { continue };
        let (Leaf::Host { facts: was, findings: judged, .. }, Leaf::Host { facts, findings, .. }) =
            (&old.leaf, &new.leaf)
        else {
            continue;
        };
        out.hosts_with_changed_facts += u64::from(was != facts);
        if judged != findings {
            finding_changes(tx, old, new, &mut out.findings)?;
        }
    }
    Ok(out)
}

fn criteria_changes(before: &State, after: &State) -> Vec<CriterionChange> {
    let old: BTreeMap<_, _> = before.criteria.iter().map(|c| (&c.criterion, c.state.as_str())).collect();
    let changed = |c: &CriterionResult| {
        let was = old.get(&c.criterion).copied().unwrap_or("-");
        (was != c.state.as_str()).then(|| CriterionChange {
            criterion: c.criterion.clone(),
            before: was.to_owned(),
            after: c.state.as_str().to_owned(),
        })
    };
    after.criteria.iter().filter_map(changed).collect()
}

fn finding_changes(
    tx: &mut (dyn Tx + '_),
    old: &FrozenHost,
    new: &FrozenHost,
    out: &mut Vec<FindingChange>,
) -> Result<()> {
    let (was, now) = (by_control(tx, old)?, by_control(tx, new)?);
    let (host, hostname) = names(new);
    let mut all: Vec<&String> = was.keys().chain(now.keys()).collect();
    all.sort();
    all.dedup();
    for control in all {
        let (before, after) = (was.get(control).cloned(), now.get(control).cloned());
        if before != after {
            let (host, hostname) = (host.clone(), hostname.clone());
            out.push(FindingChange { host, hostname, control: control.clone(), before, after });
        }
    }
    Ok(())
}

impl Store {
    /// What differs between two snapshots, each named by id or number.
    pub async fn snapshot_diff(&self, org: i64, a: &str, b: &str) -> Result<SnapshotDiff> {
        let (a, b) = (a.to_owned(), b.to_owned());
        self.read(move |tx| diff(tx, org, &a, &b)).await
    }
}
