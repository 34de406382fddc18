//! Takes snapshots by hand and on schedule, and writes them out as packs that can be checked without a
//! server. Never edits a frozen one.

use std::io::Write;
use std::str::FromStr as _;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use tenken_shared::canonical;
use tenken_shared::ids::SnapshotId;
use tenken_shared::jws::{PublicKey, SigningKey};
use tenken_shared::merkle::SaltSecret;
use tenken_shared::text::Lang;

use crate::evaluate;
use crate::store::host::Org;
use crate::store::snapshot::{ExportOptions, NewSnapshot, Schedule, SnapshotSummary};
use crate::store::{Store, StoreError};
use crate::user::Actor;

/// Why a snapshot was not taken or written.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The store.
    #[error("snapshot: {0}")]
    Store(#[from] StoreError),
    /// No random bytes.
    #[error("snapshot: no random bytes: {0}")]
    Random(#[from] getrandom::Error),
    /// A key of the collector does not read.
    #[error("snapshot: a signing key of the collector does not read: {0}")]
    Key(#[from] tenken_shared::jws::JwsError),
    /// Writing the pack.
    #[error("snapshot: the pack cannot be written: {0}")]
    Write(#[from] std::io::Error),
    /// A part has no canonical form.
    #[error("snapshot: {0}")]
    Canonical(#[from] canonical::CanonicalError),
    /// The schedule is not a cron expression.
    #[error("{expression:?} is not a cron expression of five fields: {detail}")]
    Cron {
        /// What came.
        expression: String,
        /// Why not.
        detail: String,
    },
    /// Not an IANA name.
    #[error("{0:?} is not a time zone (such as Asia/Tokyo)")]
    TimeZone(String),
}

impl SnapshotError {
    /// For people.
    #[must_use]
    pub fn sentence(&self, lang: Lang) -> String {
        match (self, lang) {
            (Self::Cron { expression, detail }, Lang::Ja) => {
                format!("「{expression}」は5項目(分 時 日 月 曜日)のcron式として読めません: {detail}")
            }
            (Self::TimeZone(zone), Lang::Ja) => {
                format!("「{zone}」というタイムゾーンはありません(例 Asia/Tokyo)")
            }
            _ => self.to_string(),
        }
    }
}

/// Freezes the state of the actor's organisation now. What is due is judged first, so that the snapshot does not
/// show a judgement that its own moment has overtaken.
pub async fn take(
    store: &Store,
    key: Arc<SigningKey>,
    by: &Actor,
    now: Timestamp,
) -> Result<SnapshotSummary, SnapshotError> {
    evaluate::round(store, &format!("snapshot-{}", crate::user::new_id("")?), now).await?;
    let new = new_snapshot(store, "manual", by.clone(), now).await?;
    Ok(store.take_snapshot(new, key).await?)
}

async fn new_snapshot(
    store: &Store,
    reason: &str,
    by: Actor,
    now: Timestamp,
) -> Result<NewSnapshot, SnapshotError> {
    let mut secret = [0u8; 32];
    getrandom::fill(&mut secret)?;
    let id = crate::user::new_id("s-")?;
    let id: SnapshotId = id.parse().map_err(|_| StoreError::Statement("snapshot id".into()))?;
    Ok(NewSnapshot {
        id,
        secret: SaltSecret::from_bytes(secret),
        reason: reason.to_owned(),
        by,
        catalog: evaluate::catalogs(store).await?.catalog,
        // The store keeps milliseconds: the signed header names the very moment that is asked for later.
        now: Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now),
    })
}

/// The first moment after `after` at which a cron expression of five fields is due in a time zone.
///
/// The expression is matched against wall-clock time, which our own time zone data then turn into a
/// moment: one inside the hour that daylight saving leaves out comes after it, one that occurs twice
/// counts once.
pub fn next_run(expression: &str, time_zone: &str, after: Timestamp) -> Result<Timestamp, SnapshotError> {
    use jiff_cron::jiff::Timestamp as WallClock;
    let wrong = |detail: String| SnapshotError::Cron { expression: expression.to_owned(), detail };
    if expression.split_whitespace().count() != 5 {
        return Err(wrong("it needs minute, hour, day of month, month and day of week".into()));
    }
    let zone = TimeZone::get(time_zone).map_err(|_| SnapshotError::TimeZone(time_zone.to_owned()))?;
    // The library counts seconds first.
    let schedule =
        jiff_cron::Schedule::from_str(&format!("0 {expression}")).map_err(|e| wrong(e.to_string()))?;
    let never = || wrong("it never comes".into());
    let wall = TimeZone::UTC.to_timestamp(zone.to_datetime(after)).map_err(|e| wrong(e.to_string()))?;
    let start = WallClock::from_millisecond(wall.as_millisecond())
        .map_err(|e| wrong(e.to_string()))?
        .to_zoned(jiff_cron::jiff::tz::TimeZone::UTC);
    // The clock going back can make a few wall-clock times lie before `after`.
    for next in schedule.after(start).take(200) {
        let wall = Timestamp::from_millisecond(next.timestamp().as_millisecond()).map_err(|_| never())?;
        let moment = zone.to_timestamp(TimeZone::UTC.to_datetime(wall)).map_err(|_| never())?;
        if moment > after {
            return Ok(moment);
        }
    }
    Err(never())
}

/// Sets or ends the schedule of an organisation.
pub async fn schedule(
    store: &Store,
    org: &Org,
    cron: Option<(&str, &str)>,
    by: &Actor,
    now: Timestamp,
) -> Result<Option<Schedule>, SnapshotError> {
    let schedule = match cron {
        None => None,
        Some((cron, time_zone)) => Some(Schedule {
            org: org.number,
            cron: cron.to_owned(),
            time_zone: time_zone.to_owned(),
            created_by: by.name.clone(),
            next_at: next_run(cron, time_zone, now)?,
        }),
    };
    store.set_snapshot_schedule(by, schedule.clone(), now).await?;
    Ok(schedule)
}

/// Takes what is due by schedule. Runs that were missed while no collector was running are made up for
/// by one snapshot now; of several collectors one takes it.
pub async fn run_due(
    store: &Store,
    key: &Arc<SigningKey>,
    now: Timestamp,
) -> Result<Vec<SnapshotSummary>, SnapshotError> {
    let (mut taken, mut failed) = (Vec::new(), None);
    let orgs = store.organisations().await?;
    for due in store.due_schedules(now).await? {
        let Some(org) = orgs.iter().find(|o| o.number == due.org) else { continue };
        // One organisation's trouble must not keep the others from their snapshots.
        match run_one(store, key, org, due, now).await {
            Ok(one) => taken.extend(one),
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    match failed {
        Some(error) if taken.is_empty() => Err(error),
        _ => Ok(taken),
    }
}

async fn run_one(
    store: &Store,
    key: &Arc<SigningKey>,
    org: &Org,
    due: Schedule,
    now: Timestamp,
) -> Result<Option<SnapshotSummary>, SnapshotError> {
    let next_at = next_run(&due.cron, &due.time_zone, now)?;
    let new = new_snapshot(store, "schedule", Actor::schedule(org.id.clone()), now).await?;
    Ok(store.take_scheduled(due, next_at, new, Arc::clone(key)).await?)
}

/// Public halves of every signing key this collector ever had.
async fn public_keys(store: &Store) -> Result<Vec<PublicKey>, SnapshotError> {
    let (_, keys) = store.collector_keys().await?;
    keys.iter()
        .filter(|k| k.purpose == crate::keys::SIGN)
        .map(|k| Ok(SigningKey::from_pkcs8(&k.private_key)?.public()))
        .collect()
}

/// Hosts read in one go.
const CHUNK: usize = 200;

/// Writes the pack of a snapshot: canonical JSON of [`tenken_shared::snapshot::Pack`], so that the same
/// snapshot always gives the same bytes. Hosts are read in chunks; the pack is never held whole.
pub async fn export(
    store: &Store,
    org: i64,
    name: &str,
    options: ExportOptions,
    out: &mut (dyn Write + Send),
) -> Result<(), SnapshotError> {
    let frame = store.pack_frame(org, name, options).await?;
    let keys: std::collections::BTreeMap<String, PublicKey> =
        public_keys(store).await?.into_iter().map(|k| (k.key_id().to_string(), k)).collect();
    // Members in the order of canonical JSON.
    out.write_all(b"{\"chain\":")?;
    out.write_all(&canonical::to_bytes(&frame.chain)?)?;
    out.write_all(b",\"header\":")?;
    out.write_all(&canonical::to_bytes(&frame.frozen.jws)?)?;
    out.write_all(b",\"hosts\":[")?;
    let mut first = true;
    for chunk in frame.hosts.chunks(CHUNK) {
        for host in store.packed_hosts(chunk.to_vec(), &frame.frozen.header, options).await? {
            if !first {
                out.write_all(b",")?;
            }
            first = false;
            out.write_all(&canonical::to_bytes(&host)?)?;
        }
    }
    out.write_all(b"],\"keys\":")?;
    out.write_all(&canonical::to_bytes(&keys)?)?;
    out.write_all(b",\"leaves\":")?;
    out.write_all(&canonical::to_bytes(&frame.leaves)?)?;
    out.write_all(b",\"state\":")?;
    out.write_all(&canonical::to_bytes(&frame.frozen.state)?)?;
    write!(out, ",\"version\":{}}}", tenken_shared::snapshot::VERSION)?;
    out.flush()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn schedule_is_read_in_the_zone_of_the_company() {
        let next = |cron, zone| next_run(cron, zone, at("2026-11-23T03:00:00Z"));
        assert_eq!(next("0 9 1 * *", "Asia/Tokyo").unwrap(), at("2026-12-01T00:00:00Z"));
        assert_eq!(next("30 12 * * *", "Asia/Tokyo").unwrap(), at("2026-11-23T03:30:00Z"));
        assert_eq!(next("0 9 1 * *", "America/New_York").unwrap(), at("2026-12-01T14:00:00Z"));
        // 02:30 does not exist in New York on 2027-03-14: it comes an hour later by the clock.
        let spring = next_run("30 2 14 3 *", "America/New_York", at("2027-03-01T00:00:00Z")).unwrap();
        assert_eq!(spring, at("2027-03-14T07:30:00Z"));
        // 01:30 occurs twice on 2026-11-01: after the first, the next is on the day after.
        let autumn = next_run("30 1 * * *", "America/New_York", at("2026-11-01T05:30:00Z")).unwrap();
        assert_eq!(autumn, at("2026-11-02T06:30:00Z"));
        assert!(matches!(next("0 9 1 *", "Asia/Tokyo"), Err(SnapshotError::Cron { .. })));
        assert!(matches!(next("0 9 1 * * *", "Asia/Tokyo"), Err(SnapshotError::Cron { .. })));
        assert!(matches!(next("61 9 1 * *", "Asia/Tokyo"), Err(SnapshotError::Cron { .. })));
        assert!(matches!(next("0 9 1 * *", "Asia/Nowhere"), Err(SnapshotError::TimeZone(_))));
    }
}
