//! Judges hosts that are due: reads what it needs of each inventory once, runs the controls in memory,
//! writes only what changed, and sets the next moment. Knows no HTTP and no SQL.
//!
//! Reading and judging stand beside the writer, in a read transaction; a judgement is written only if its
//! host was not marked due again meanwhile.
//!
//! A host is due when its facts changed, when an outcome's validity ends, when policy, catalogue or
//! controls changed, and once a day. One collector at a time holds the lease of this job; should two
//! judge the same host after all, both write the same findings.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use tenken_shared::catalog::builds::BuildCatalog;
use tenken_shared::catalog::{Catalog, CatalogError, SupportCatalog};
use tenken_shared::control::{self, Context, Control, HISTORY_KINDS, HostLabel};
use tenken_shared::fact::FactKind;
use tenken_shared::finding::Finding;
use tenken_shared::ids::Digest;
use tenken_shared::inventory::Age;
use tenken_shared::policy::PolicyEnvelope;

use crate::store::due::{self, Due};
use crate::store::fact::software::TitleCache;
use crate::store::fact::{self, Confirmations, FactVersion};
use crate::store::host::{self, Host};
use crate::store::judgement::{self, Basis, Judgement, Kept, SAFETY_NET};
use crate::store::{Result, Store, Tx, policy};

/// Hosts per transaction.
const BATCH: u32 = 50;
/// How long a collector may hold the job without renewing.
const LEASE: SignedDuration = SignedDuration::from_secs(120);
/// Name of the job.
const JOB: &str = "evaluate";
/// Setting that remembers which controls judged last.
const CONTROLS_SETTING: &str = "evaluate.controls";
/// Name of the end-of-support catalogue in the store.
pub const SUPPORT_CATALOG: &str = "support";
/// Name of the catalogue of Windows builds in the store.
pub const BUILDS_CATALOG: &str = "builds";

/// What one round did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Round {
    /// Hosts judged.
    pub judged: u64,
    /// Of these, hosts with a changed finding.
    pub changed: u64,
    /// Another collector holds the job.
    pub held_elsewhere: bool,
}

/// The catalogues in use, with the number of the import each comes from (0: built in).
#[derive(Debug, Clone, PartialEq)]
pub struct CatalogsInUse {
    /// The data.
    pub catalog: Catalog,
    /// Import of the end-of-support catalogue.
    pub support: i64,
    /// Import of the Windows builds.
    pub builds: i64,
}

impl CatalogsInUse {
    /// One number that grows with every import in use.
    fn number(&self) -> i64 {
        self.support.saturating_add(self.builds)
    }
}

/// The catalogues in use: of what was imported and what is built in, the one compiled later.
pub async fn catalogs(store: &Store) -> Result<CatalogsInUse> {
    let built_in = Catalog::embedded();
    let mut used = CatalogsInUse { catalog: built_in.clone(), support: 0, builds: 0 };
    if let Some((support, number)) = imported(store, SUPPORT_CATALOG, SupportCatalog::parse).await?
        && support.compiled_at >= built_in.support.compiled_at
    {
        (used.catalog.support, used.support) = (support, number);
    }
    if let Some((builds, number)) = imported(store, BUILDS_CATALOG, BuildCatalog::parse).await?
        && builds.compiled_at >= built_in.builds.compiled_at
    {
        (used.catalog.builds, used.builds) = (builds, number);
    }
    Ok(used)
}

async fn imported<T>(
    store: &Store,
    name: &str,
    parse: fn(&[u8]) -> std::result::Result<T, CatalogError>,
) -> Result<Option<(T, i64)>> {
    let Some(stored) = store.catalog(name).await? else { return Ok(None) };
    let data = parse(&stored.document)
        .map_err(|e| crate::store::StoreError::Damaged(format!("catalogue {name}: {e}")))?;
    Ok(Some((data, stored.version)))
}

/// Judges every host that is due at `now`. `holder` names this collector.
pub async fn round(store: &Store, holder: &str, now: Timestamp) -> Result<Round> {
    // The store keeps milliseconds.
    let now = Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now);
    let mut done = Round::default();
    if !lease(store, holder, now).await? {
        return Ok(Round { held_elsewhere: true, ..done });
    }
    mark_changed_controls(store, now).await?;
    let used = catalogs(store).await?;
    let catalog = Arc::new((used.catalog.clone(), used.number()));
    let mut last = Vec::new();
    loop {
        let batch = batch(store, Arc::clone(&catalog), now).await?;
        done.judged += batch.judged;
        done.changed += batch.changed;
        // A host that could not be settled must not hold the round up for ever.
        if batch.marks.is_empty() || batch.marks == last {
            break;
        }
        last = batch.marks;
        if !lease(store, holder, Timestamp::now()).await? {
            return Ok(Round { held_elsewhere: true, ..done });
        }
    }
    store.finish_job(JOB, holder, now).await?;
    Ok(done)
}

async fn lease(store: &Store, holder: &str, now: Timestamp) -> Result<bool> {
    let until = now.saturating_add(LEASE).unwrap_or(Timestamp::MAX);
    store.lease(JOB, holder, now, until).await
}

/// Marks all hosts due when this program's controls or built-in catalogue are not those that judged last.
async fn mark_changed_controls(store: &Store, now: Timestamp) -> Result<()> {
    let own = control::print();
    if store.setting(CONTROLS_SETTING).await?.as_deref() == Some(own.as_str()) {
        return Ok(());
    }
    for org in store.organisations().await? {
        store.mark_all_due(org.number, now, "controls").await?;
    }
    store.set_setting(CONTROLS_SETTING, &own).await
}

/// Judges up to [`BATCH`] hosts: reads and judges them in one consistent moment beside the writer, then
/// writes what changed. Answers the marks that were taken.
async fn batch(store: &Store, catalog: Arc<(Catalog, i64)>, now: Timestamp) -> Result<Batch> {
    let titles = store.titles();
    let (marks, ready, idle) = store
        .read(move |tx| {
            let mut policies: BTreeMap<i64, PolicyEnvelope> = BTreeMap::new();
            let (mut ready, mut idle) = (Vec::new(), Vec::new());
            let marks = due::at(tx, now, BATCH)?;
            for one in &marks {
                let policy = match policies.entry(one.at.org) {
                    Entry::Occupied(known) => known.into_mut(),
                    Entry::Vacant(free) => free.insert(policy::current(tx, one.at.org)?),
                };
                let bench = Bench { titles: &titles, policy, catalog: &catalog, now };
                match bench.judge(tx, one)? {
                    Some(judgement) => ready.push(judgement::ready(judgement)?),
                    None => idle.push(one.clone()),
                }
            }
            Ok((marks, ready, idle))
        })
        .await?;
    if marks.is_empty() {
        return Ok(Batch::default());
    }
    let (judged, changed) = store
        .write(move |tx| {
            let (mut judged, mut changed) = (0, 0);
            for one in &ready {
                if let Some(differs) = judgement::write(tx, one)? {
                    judged += 1;
                    changed += u64::from(differs);
                }
            }
            idle.iter().try_for_each(|one| due::forget(tx, one))?;
            Ok((judged, changed))
        })
        .await?;
    Ok(Batch { marks, judged, changed })
}

/// What one batch did.
#[derive(Default)]
struct Batch {
    marks: Vec<Due>,
    judged: u64,
    changed: u64,
}

/// What hosts are judged by.
struct Bench<'a> {
    titles: &'a TitleCache,
    policy: &'a PolicyEnvelope,
    catalog: &'a (Catalog, i64),
    now: Timestamp,
}

impl Bench<'_> {
    /// Judges one host; `None` where there is nothing to judge any more.
    ///
    /// An outcome holds until `valid_until` while nothing it rests on changes. So only those controls run
    /// of which a fact changed, whose outcome lapsed or whose rule is another; and all of them where there
    /// was no judgement, policy, catalogue or the host's label changed, and once a day.
    fn judge(&self, tx: &mut (dyn Tx + '_), due: &Due) -> Result<Option<Judgement>> {
        let Some(host) = host::get(tx, due.at)?.filter(|h| h.state.reports()) else { return Ok(None) };
        let before = judgement::kept(tx, due.at)?;
        let (versions, confirmed) = (fact::current(tx, due.at)?, fact::confirmations(tx, due.at)?);
        let basis = self.basis(&host, &versions, &confirmed);
        let full = before.as_ref().is_none_or(|b| self.is_new(b, &basis));
        let changed = before.as_ref().map(|b| kinds(&basis.changed(&b.basis), &versions));
        let changed = changed.flatten().filter(|_| !full);
        let mut history = before.as_ref().map(|b| b.history.clone()).unwrap_or_default();
        let touched = |kinds: &[FactKind]| {
            changed.as_ref().is_none_or(|changed| kinds.iter().any(|k| changed.contains(k)))
        };
        let absorb = touched(HISTORY_KINDS) || history.first_report_at != host.first_report_at;
        let held: BTreeMap<&str, &Finding> =
            before.iter().flat_map(|b| &b.findings).map(|f| (f.control.as_str(), f)).collect();
        let stands = |control: &Control| {
            held.get(control.id).is_some_and(|f| {
                f.control_version == control.version && f.verdict.valid_until.is_none_or(|t| t > self.now)
            })
        };
        let run: Vec<&Control> = control::ALL
            .iter()
            .copied()
            .filter(|c| touched(c.facts) || !stands(c) || (absorb && c.uses_history()))
            .collect();
        let mut needed: BTreeSet<FactKind> = run.iter().flat_map(|c| c.facts).copied().collect();
        if absorb {
            needed.extend(HISTORY_KINDS);
        }
        if touched(&[FactKind::Updates]) {
            // When an update was seen first depends on when its package was installed.
            needed.insert(FactKind::Software);
        }
        let wanted = versions.into_iter().filter(|v| v.kind.known().is_some_and(|k| needed.contains(&k)));
        let inventory = fact::judged(tx, due.at, wanted, &confirmed, self.titles)?;
        if absorb {
            history.absorb(&inventory, SignedDuration::from_millis(host.offset_ms), self.now);
            history.first_report_at = host.first_report_at;
        }
        let label = HostLabel { id: host.id.as_str(), name: &host.hostname, group: host.group.as_deref() };
        let context = Context {
            inventory: &inventory,
            history: &history,
            policy: &self.policy.policy,
            catalog: &self.catalog.0,
            now: self.now,
            host: label,
        };
        let silence = self.silence(&host);
        let verdict = |control: &Control| {
            let verdict = (control.evaluate)(&context);
            match silence {
                Some((heard, silent_from)) => verdict.while_heard(heard, silent_from, self.now),
                None => verdict,
            }
        };
        let verdicts = run.iter().map(|c| (c.id, verdict(c))).collect();
        let full_at = before.as_ref().filter(|_| !full).map_or(self.now, |b| b.full_at);
        Ok(Some(Judgement {
            due: due.clone(),
            host,
            before,
            verdicts,
            history,
            basis,
            full_at,
            policy_version: self.policy_version(),
            catalog_version: self.catalog.1,
            now: self.now,
        }))
    }

    /// When the host reported last, and from when on it counts as silent; `None` before its first report.
    fn silence(&self, host: &Host) -> Option<(Timestamp, Timestamp)> {
        let heard = host.last_report_at?;
        let days = i64::from(self.policy.policy.freshness.silent_after_days);
        let span = SignedDuration::from_hours(24 * days) + SignedDuration::from_millis(1);
        Some((heard, heard.saturating_add(span).unwrap_or(Timestamp::MAX)))
    }

    fn policy_version(&self) -> i64 {
        i64::try_from(self.policy.version).unwrap_or(i64::MAX)
    }

    /// What a judgement of these facts rests on.
    fn basis(&self, host: &Host, versions: &[FactVersion], confirmed: &Confirmations) -> Basis {
        let mut basis = Basis::default();
        for version in versions {
            let freshness = &self.policy.policy.freshness;
            let (age, _) = Age::of(version.kind.as_str(), confirmed.of(version), freshness, self.now);
            basis.note(version.kind_id, &version.digest, age);
        }
        let silent = self.silence(host).is_some_and(|(_, from)| self.now >= from);
        let group = host.group.as_deref().unwrap_or_default();
        let label = format!("{}\n{}\n{group}\n{silent}", host.id, host.hostname);
        basis.note(Basis::LABEL, &Digest::of(label.as_bytes()), Age::Fresh);
        basis
    }

    /// Whether every control is to be judged anew after `before`.
    fn is_new(&self, before: &Kept, basis: &Basis) -> bool {
        before.policy_version != self.policy_version()
            || before.catalog_version != self.catalog.1
            || self.now.duration_since(before.full_at) >= SAFETY_NET
            || self.now < before.judged_at
            || before.basis.0.get(&Basis::LABEL) != basis.0.get(&Basis::LABEL)
    }
}

/// The kinds behind numbers; `None` where one is not held any more, so that its name is not at hand.
fn kinds(numbers: &BTreeSet<i64>, versions: &[FactVersion]) -> Option<BTreeSet<FactKind>> {
    let mut out = BTreeSet::new();
    for number in numbers {
        let version = versions.iter().find(|v| v.kind_id == *number)?;
        out.extend(version.kind.known());
    }
    Some(out)
}
