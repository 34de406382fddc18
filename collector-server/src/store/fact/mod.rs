//! Facts of a host: contents by digest, and intervals on two time axes.
//!
//! *Observed* is host time corrected by the clock offset; *recorded* is collector time. A version holds
//! at `(observed t, recorded r)` when it began by then on both axes and had not ended, or its end was not
//! yet known at `r`; of several, the one that began last. So any past moment is the same query as now,
//! and a report that arrives weeks late does not change what was known then.

pub mod body;
pub mod change;
pub mod series;
pub mod software;

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use tenken_shared::collected::Status;
use tenken_shared::fact::{FactContent, FactKind, FactRecord, KindName};
use tenken_shared::ids::Digest;
use tenken_shared::inventory::{Held, Inventory};

use super::db::params;
use super::host::HostRef;
use super::{Result, Row, Store, StoreError, Tx};

/// A moment on both axes. `Moment::at(t)` is what was known at `t` about `t`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Moment {
    /// Host time (corrected) asked about.
    pub observed: Timestamp,
    /// Collector time by which it must have been known.
    pub recorded: Timestamp,
}

impl Moment {
    /// Both axes at one time.
    #[must_use]
    pub fn at(time: Timestamp) -> Self {
        Self { observed: time, recorded: time }
    }
}

/// One version of a fact, without its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FactVersion {
    /// Kind.
    pub kind: KindName,
    /// The store's number of the kind.
    pub kind_id: i64,
    /// Digest of its content.
    pub digest: Digest,
    /// Status word.
    pub status: Status,
    /// Host clock, as reported.
    pub collected_at: Timestamp,
    /// Holds from (host time corrected).
    pub observed_from: Timestamp,
    /// Known from (collector time).
    pub recorded_from: Timestamp,
    /// Held until, where it ended.
    pub observed_to: Option<Timestamp>,
    /// When its end became known.
    pub recorded_to: Option<Timestamp>,
    /// Last collected again with the same digest (host time corrected). For a version that still holds
    /// this is only the time of its own report: see [`confirmations`].
    pub confirmed_at: Timestamp,
}

const VERSION_COLUMNS: &str = "k.name, f.kind_id, f.digest, f.status, f.collected_at, f.observed_from, \
     f.recorded_from, f.observed_to, f.recorded_to, f.confirmed_at";

fn read_version(row: &Row) -> Result<FactVersion> {
    Ok(FactVersion {
        kind: row.parse(0)?,
        kind_id: row.int(1)?,
        digest: row.digest(2)?,
        status: row.parse(3)?,
        collected_at: row.time(4)?,
        observed_from: row.time(5)?,
        recorded_from: row.time(6)?,
        observed_to: row.opt_time(7)?,
        recorded_to: row.opt_time(8)?,
        confirmed_at: row.time(9)?,
    })
}

/// Versions that hold now, one per kind, sorted by kind.
pub fn current(tx: &mut (dyn Tx + '_), at: HostRef) -> Result<Vec<FactVersion>> {
    let sql = format!(
        "select {VERSION_COLUMNS} from host_fact f join kind k on k.kind_id = f.kind_id \
         where f.org_id = ?1 and f.host_id = ?2 and f.observed_to is null order by k.name"
    );
    tx.rows(&sql, params![at.org, at.host], read_version)
}

/// Versions that held at a past moment, one per kind, sorted by kind.
pub fn at_moment(tx: &mut (dyn Tx + '_), at: HostRef, moment: Moment) -> Result<Vec<FactVersion>> {
    let sql = format!(
        "select {VERSION_COLUMNS} from host_fact f join kind k on k.kind_id = f.kind_id \
         where f.org_id = ?1 and f.host_id = ?2 and f.observed_from <= ?3 and f.recorded_from <= ?4 \
         and (f.observed_to is null or f.observed_to > ?3 or f.recorded_to > ?4) \
         order by k.name, f.observed_from, f.recorded_from"
    );
    let rows = tx.rows(&sql, params![at.org, at.host, moment.observed, moment.recorded], read_version)?;
    let mut latest = BTreeMap::new();
    for version in rows {
        latest.insert(version.kind.clone(), version);
    }
    for point in series::at_moment(tx, at, moment)? {
        let newer = latest.get(&point.kind).is_none_or(|held| held.observed_from < point.observed_from);
        if newer {
            latest.insert(point.kind.clone(), point);
        }
    }
    Ok(latest.into_values().collect())
}

/// When each fact of a host was last confirmed (host time corrected). An observation holds for its own
/// time: only `other` speaks of it.
#[derive(Debug, Clone, Default)]
pub struct Confirmations {
    /// For every kind not named in `other`.
    pub at: Option<Timestamp>,
    /// Kinds confirmed at another time.
    pub other: BTreeMap<String, i64>,
}

impl Confirmations {
    /// The confirmation that applies to a version.
    #[must_use]
    pub fn of(&self, version: &FactVersion) -> Timestamp {
        let own = self.other.get(version.kind.as_str());
        let told = match own {
            Some(ms) => Timestamp::from_millisecond(*ms).ok(),
            None if version.kind.is_observed() => None,
            None => self.at,
        };
        told.map_or(version.confirmed_at, |told| told.max(version.confirmed_at))
    }
}

/// Current confirmations of a host.
pub fn confirmations(tx: &mut (dyn Tx + '_), at: HostRef) -> Result<Confirmations> {
    let found = tx.one(
        "select confirmed_at, confirmed from host_chain where org_id = ?1 and host_id = ?2",
        params![at.org, at.host],
        |row| Ok(Confirmations { at: row.opt_time(0)?, other: row.json(1)? }),
    )?;
    Ok(found.unwrap_or_default())
}

/// Presence runs have no gap longer than this; within one, a host is known to have reported at least
/// this long before any moment.
pub const PRESENCE_GAP: SignedDuration = SignedDuration::from_hours(26);

/// Confirmations as they were known at a past moment: from the run of reports it lies in, at the earliest
/// time that is certain.
fn confirmations_at(tx: &mut (dyn Tx + '_), at: HostRef, moment: Moment) -> Result<Confirmations> {
    let run = tx.one(
        "select recorded_to, observed_from, observed_to from host_presence \
         where org_id = ?1 and host_id = ?2 and recorded_from <= ?3 order by recorded_from desc limit 1",
        params![at.org, at.host, moment.recorded],
        |row| Ok((row.time(0)?, row.time(1)?, row.time(2)?)),
    )?;
    let Some((recorded_to, observed_from, observed_to)) = run else { return Ok(Confirmations::default()) };
    let last = if moment.recorded >= recorded_to {
        observed_to
    } else {
        let certain = moment.recorded.checked_sub(PRESENCE_GAP).unwrap_or(Timestamp::UNIX_EPOCH);
        certain.clamp(observed_from, observed_to.max(observed_from))
    };
    Ok(Confirmations { at: Some(last.min(moment.observed)), other: BTreeMap::new() })
}

/// The content of a version.
pub fn content(tx: &mut (dyn Tx + '_), at: HostRef, kind_id: i64, digest: &Digest) -> Result<FactContent> {
    let bytes = body::load(tx, at, kind_id, digest)?;
    serde_json::from_slice(&bytes).map_err(|error| StoreError::Damaged(format!("fact {digest}: {error}")))
}

fn record(tx: &mut (dyn Tx + '_), at: HostRef, version: &FactVersion) -> Result<FactRecord> {
    let content = content(tx, at, version.kind_id, &version.digest)?;
    Ok(FactRecord { content, digest: version.digest, collected_at: version.collected_at })
}

/// The last version with a body before one that has none, as known at `recorded`.
fn last_known(
    tx: &mut (dyn Tx + '_),
    at: HostRef,
    version: &FactVersion,
    recorded: Timestamp,
) -> Result<Option<FactVersion>> {
    let sql = format!(
        "select {VERSION_COLUMNS} from host_fact f join kind k on k.kind_id = f.kind_id \
         where f.org_id = ?1 and f.host_id = ?2 and f.kind_id = ?3 and f.observed_from < ?4 \
         and f.recorded_from <= ?5 and f.status in ('known', 'partial') \
         order by f.observed_from desc, f.recorded_from desc limit 1"
    );
    let kept = tx.one(
        &sql,
        params![at.org, at.host, version.kind_id, version.observed_from, recorded],
        read_version,
    )?;
    if kept.is_some() {
        return Ok(kept);
    }
    series::last_known(tx, at, version, recorded)
}

/// The inventory of a host, now (`None`) or at a past moment on both axes.
pub fn inventory(tx: &mut (dyn Tx + '_), at: HostRef, moment: Option<Moment>) -> Result<Inventory> {
    let (versions, confirmed) = match moment {
        None => (current(tx, at)?, confirmations(tx, at)?),
        Some(moment) => (at_moment(tx, at, moment)?, confirmations_at(tx, at, moment)?),
    };
    let recorded = moment.map_or(Timestamp::MAX, |m| m.recorded);
    let mut inventory = Inventory::default();
    for version in versions {
        let record_now = record(tx, at, &version)?;
        let last_known = if version.status.has_body() {
            None
        } else {
            let before = last_known(tx, at, &version, recorded)?;
            before.map(|v| record(tx, at, &v).map(Box::new)).transpose()?
        };
        let confirmed_at = match version.observed_to {
            Some(_) => version.confirmed_at,
            None => confirmed.of(&version),
        };
        inventory.insert(Held { record: record_now, confirmed_at, last_known });
    }
    Ok(inventory)
}

/// The versions given as an inventory to judge: typed bodies only where rows hold them, and no last known
/// values, on which no verdict rests. Contents are not checked by their digests: that is for reading and
/// proving evidence, and costs more than a judgement.
pub fn judged(
    tx: &mut (dyn Tx + '_),
    at: HostRef,
    versions: impl Iterator<Item = FactVersion>,
    confirmed: &Confirmations,
    titles: &software::TitleCache,
) -> Result<Inventory> {
    let mut inventory = Inventory::default();
    for version in versions {
        let confirmed_at = confirmed.of(&version);
        let (digest, collected_at) = (version.digest, version.collected_at);
        let held = |content| {
            let record = FactRecord { content, digest, collected_at };
            Held { record, confirmed_at, last_known: None }
        };
        if version.kind.known() == Some(FactKind::Software)
            && let Some((content, body)) = software::typed(tx, at, version.kind_id, &digest, titles)?
        {
            inventory.insert_read(held(content), body);
            continue;
        }
        inventory.insert(held(content(tx, at, version.kind_id, &digest)?));
    }
    Ok(inventory)
}

/// Every version of one kind, oldest first (history pages, control histories).
pub fn versions(tx: &mut (dyn Tx + '_), at: HostRef, kind: &KindName) -> Result<Vec<FactVersion>> {
    let sql = format!(
        "select {VERSION_COLUMNS} from host_fact f join kind k on k.kind_id = f.kind_id \
         where f.org_id = ?1 and f.host_id = ?2 and k.name = ?3 order by f.observed_from, f.recorded_from"
    );
    tx.rows(&sql, params![at.org, at.host, kind.as_str()], read_version)
}

impl Store {
    /// The inventory of a host, now or at a past moment on both axes.
    pub async fn inventory(&self, at: HostRef, moment: Option<Moment>) -> Result<Inventory> {
        self.read(move |tx| inventory(tx, at, moment)).await
    }

    /// Which versions hold now or held at a moment, without their contents.
    pub async fn fact_versions(&self, at: HostRef, moment: Option<Moment>) -> Result<Vec<FactVersion>> {
        self.read(move |tx| match moment {
            None => current(tx, at),
            Some(moment) => at_moment(tx, at, moment),
        })
        .await
    }

    /// Every version of one kind, oldest first.
    pub async fn fact_history(&self, at: HostRef, kind: &KindName) -> Result<Vec<FactVersion>> {
        let kind = kind.clone();
        self.read(move |tx| versions(tx, at, &kind)).await
    }

    /// A content by its digest, wherever it is kept.
    pub async fn fact_content(&self, at: HostRef, kind: &KindName, digest: Digest) -> Result<FactContent> {
        let kind = kind.clone();
        self.read(move |tx| {
            let kind_id =
                kind_id(tx, &kind)?.ok_or_else(|| StoreError::NotFound(format!("fact kind {kind}")))?;
            content(tx, at, kind_id, &digest)
        })
        .await
    }
}

/// Most kinds a store takes; unknown ones come from newer agents, or from a hostile one.
pub const MAX_KINDS: i64 = 1000;

/// The store's number of a kind.
pub fn kind_id(tx: &mut (dyn Tx + '_), kind: &KindName) -> Result<Option<i64>> {
    tx.one("select kind_id from kind where name = ?1", params![kind.as_str()], |row| row.int(0))
}

/// The store's numbers of kinds, given now to those that have none.
pub fn ensure_kinds(tx: &mut (dyn Tx + '_), kinds: &[KindName]) -> Result<BTreeMap<KindName, i64>> {
    let mut ids = BTreeMap::new();
    for kind in kinds {
        let id = match kind_id(tx, kind)? {
            Some(id) => id,
            None => add_kind(tx, kind)?,
        };
        ids.insert(kind.clone(), id);
    }
    Ok(ids)
}

fn add_kind(tx: &mut (dyn Tx + '_), kind: &KindName) -> Result<i64> {
    let count = tx.one("select count(*) from kind", &[], |row| row.int(0))?.unwrap_or_default();
    if count >= MAX_KINDS {
        return Err(StoreError::Refused(format!("more than {MAX_KINDS} kinds of facts")));
    }
    tx.execute("insert into kind (name) values (?1) on conflict (name) do nothing", params![kind.as_str()])?;
    kind_id(tx, kind)?.ok_or_else(|| StoreError::Unavailable(format!("kind {kind} is being added")))
}
