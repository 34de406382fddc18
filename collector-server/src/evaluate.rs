//! Judges hosts that are due: reads each inventory once, runs all controls in memory, writes only what
//! changed, and sets the next moment. Knows no HTTP and no SQL.
//!
//! A host is due when its facts changed, when an outcome's validity ends, when policy, catalogue or
//! controls changed, and once a day. One collector at a time holds the lease of this job; should two
//! judge the same host after all, both write the same findings.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use jiff::{SignedDuration, Timestamp};
use tenken_shared::catalog::builds::BuildCatalog;
use tenken_shared::catalog::{Catalog, CatalogError, SupportCatalog};
use tenken_shared::control::{self, Context, History, HostLabel};
use tenken_shared::policy::PolicyEnvelope;

use crate::store::due::Due;
use crate::store::judgement::{self, Judgement};
use crate::store::{Result, Store, Tx, fact, host, ledger, policy};

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
    let (catalog, catalog_version) = (used.catalog.clone(), used.number());
    let mut after = None;
    loop {
        let due = store.due_hosts(now, BATCH).await?;
        // A host that could not be settled must not hold the round up for ever.
        if due.is_empty() || after.as_ref() == Some(&due) {
            break;
        }
        let (judged, changed) = batch(store, due.clone(), catalog.clone(), catalog_version, now).await?;
        done.judged += judged;
        done.changed += changed;
        after = Some(due);
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

/// Judges some hosts in one transaction.
async fn batch(
    store: &Store,
    due: Vec<Due>,
    catalog: Catalog,
    catalog_version: i64,
    now: Timestamp,
) -> Result<(u64, u64)> {
    store
        .write(move |tx| {
            let mut policies: BTreeMap<i64, PolicyEnvelope> = BTreeMap::new();
            let (mut judged, mut changed) = (0, 0);
            for one in &due {
                let policy = match policies.entry(one.at.org) {
                    Entry::Occupied(known) => known.into_mut(),
                    Entry::Vacant(free) => free.insert(policy::current(tx, one.at.org)?),
                };
                let judgement = judge(tx, one, policy, (&catalog, catalog_version), now)?;
                match judgement {
                    Some(judgement) => {
                        judged += 1;
                        changed += u64::from(judgement::write(tx, &judgement)?);
                    }
                    None => crate::store::due::forget(tx, one)?,
                }
            }
            Ok((judged, changed))
        })
        .await
}

/// Judges one host; `None` where there is nothing to judge any more.
fn judge(
    tx: &mut (dyn Tx + '_),
    due: &Due,
    envelope: &PolicyEnvelope,
    (catalog, catalog_version): (&Catalog, i64),
    now: Timestamp,
) -> Result<Option<Judgement>> {
    let Some(host) = host::get(tx, due.at)?.filter(|h| h.state.reports()) else { return Ok(None) };
    ledger::confirm(tx, &host, now)?;
    let inventory = fact::inventory(tx, due.at, None)?;
    let mut history: History = judgement::kept(tx, due.at)?.map(|k| k.history).unwrap_or_default();
    history.absorb(&inventory, SignedDuration::from_millis(host.offset_ms), now);
    history.first_report_at = host.first_report_at;
    let label = HostLabel { id: host.id.as_str(), name: &host.hostname, group: host.group.as_deref() };
    let context = Context {
        inventory: &inventory,
        history: &history,
        policy: &envelope.policy,
        catalog,
        now,
        host: label,
    };
    let verdicts = control::judge(&context);
    let policy_version = i64::try_from(envelope.version).unwrap_or(i64::MAX);
    Ok(Some(Judgement { due: due.clone(), verdicts, history, policy_version, catalog_version, now }))
}
