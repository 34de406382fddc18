//! Writing facts: ends the version before and begins the new one, on both axes.

use jiff::{SignedDuration, Timestamp};
use tenken_shared::collected::Status;
use tenken_shared::fact::{FactContent, FactRecord, KindName};
use tenken_shared::ids::Digest;

use super::body::{self, Encoding, StoredBody};
use super::software::{self, SoftwareRow};
use super::{FactVersion, series};
use crate::store::db::params;
use crate::store::host::HostRef;
use crate::store::{Result, Tx, project};

/// A content made ready outside the transaction.
#[derive(Debug, Clone)]
pub enum Ready {
    /// Kept as bytes, with the content read from them.
    Bytes {
        /// How they are packed.
        encoding: Encoding,
        /// The bytes.
        bytes: Vec<u8>,
        /// What they say.
        content: Box<FactContent>,
    },
    /// Kept as software rows.
    Rows {
        /// Status of the fact.
        status: Status,
        /// The rows, sorted.
        rows: Vec<SoftwareRow>,
        /// Bytes after the last item.
        rest: String,
    },
}

/// A fact that is new or changed.
#[derive(Debug)]
pub struct Change<'a> {
    /// Kind.
    pub kind: &'a KindName,
    /// The store's number of it.
    pub kind_id: i64,
    /// Digest of its content.
    pub digest: &'a Digest,
    /// Host clock.
    pub collected_at: Timestamp,
    /// Host time corrected.
    pub observed_at: Timestamp,
    /// Collector clock.
    pub recorded_at: Timestamp,
    /// The content, where the report brought it.
    pub ready: Option<&'a Ready>,
}

/// Whether a content is there to be used again.
pub fn has_body(tx: &mut (dyn Tx + '_), at: HostRef, kind_id: i64, digest: &Digest) -> Result<bool> {
    let found = tx.one(
        "select 1 from fact_body where org_id = ?1 and host_id = ?2 and kind_id = ?3 and digest = ?4",
        params![at.org, at.host, kind_id, digest],
        |_| Ok(()),
    )?;
    Ok(found.is_some())
}

/// Ends a version that holds. Observations move into their time series.
pub fn end(
    tx: &mut (dyn Tx + '_),
    at: HostRef,
    held: &FactVersion,
    confirmed_at: Timestamp,
    observed_to: Timestamp,
    recorded_to: Timestamp,
) -> Result<()> {
    let confirmed_at = confirmed_at.min(observed_to).max(held.observed_from);
    if held.kind.is_observed() {
        return end_observation(tx, at, held, confirmed_at, observed_to, recorded_to);
    }
    tx.execute(
        "update host_fact set observed_to = ?6, recorded_to = ?7, confirmed_at = ?8 \
         where org_id = ?1 and host_id = ?2 and kind_id = ?3 and observed_from = ?4 and recorded_from = ?5",
        params![
            at.org,
            at.host,
            held.kind_id,
            held.observed_from,
            held.recorded_from,
            observed_to,
            recorded_to,
            confirmed_at
        ],
    )?;
    Ok(())
}

fn end_observation(
    tx: &mut (dyn Tx + '_),
    at: HostRef,
    held: &FactVersion,
    confirmed_at: Timestamp,
    observed_to: Timestamp,
    recorded_to: Timestamp,
) -> Result<()> {
    let content = body::load(tx, at, held.kind_id, &held.digest)?;
    let closed = FactVersion {
        observed_to: Some(observed_to),
        recorded_to: Some(recorded_to),
        confirmed_at,
        ..held.clone()
    };
    series::append(tx, at, &closed, &content)?;
    tx.execute(
        "delete from host_fact where org_id = ?1 and host_id = ?2 and kind_id = ?3",
        params![at.org, at.host, held.kind_id],
    )?;
    tx.execute(
        "delete from fact_body where org_id = ?1 and host_id = ?2 and kind_id = ?3",
        params![at.org, at.host, held.kind_id],
    )?;
    Ok(())
}

/// Begins the version of a change, ending `held` (with its last confirmation) where there is one. The
/// chain's order decides which is newer; times that contradict it (a clock set back) are moved forward
/// just enough.
pub fn apply(
    tx: &mut (dyn Tx + '_),
    at: HostRef,
    change: &Change<'_>,
    held: Option<(&FactVersion, Timestamp)>,
) -> Result<()> {
    let step = SignedDuration::from_millis(1);
    let after = |time: Timestamp| time.checked_add(step).unwrap_or(time);
    let mut observed_from = change.observed_at;
    let mut recorded_from = change.recorded_at;
    if let Some((held, confirmed_at)) = held {
        observed_from = observed_from.max(after(held.observed_from));
        recorded_from = recorded_from.max(after(held.recorded_from));
        end(tx, at, held, confirmed_at, observed_from, recorded_from)?;
    } else if let Some((observed, recorded)) = last_begin(tx, at, change.kind_id)? {
        observed_from = observed_from.max(after(observed));
        recorded_from = recorded_from.max(after(recorded));
    }
    let status = keep_content(tx, at, change)?;
    tx.execute(
        "insert into host_fact (org_id, host_id, kind_id, observed_from, recorded_from, confirmed_at, \
         collected_at, digest, status) values (?1, ?2, ?3, ?4, ?5, ?4, ?6, ?7, ?8)",
        params![
            at.org,
            at.host,
            change.kind_id,
            observed_from,
            recorded_from,
            change.collected_at,
            change.digest,
            status.as_str()
        ],
    )?;
    Ok(())
}

/// When the last version of a kind that is gone had begun.
fn last_begin(tx: &mut (dyn Tx + '_), at: HostRef, kind_id: i64) -> Result<Option<(Timestamp, Timestamp)>> {
    tx.one(
        "select observed_from, recorded_from from host_fact \
         where org_id = ?1 and host_id = ?2 and kind_id = ?3 order by observed_from desc limit 1",
        params![at.org, at.host, kind_id],
        |row| Ok((row.time(0)?, row.time(1)?)),
    )
}

/// Stores the content of a change, or takes the one already there into use again; answers its status.
fn keep_content(tx: &mut (dyn Tx + '_), at: HostRef, change: &Change<'_>) -> Result<Status> {
    let is_software = change.kind.as_str() == "software";
    match change.ready {
        Some(Ready::Rows { status, rows, rest }) => {
            software::put_rows(tx, at, change.kind_id, change.digest, rows, rest)?;
            Ok(*status)
        }
        Some(Ready::Bytes { encoding, bytes, content }) => {
            // A list that cannot be rows replaces them; a failed attempt leaves the last known rows.
            if is_software && content.status.has_body() {
                software::drop_rows(tx, at, change.kind_id)?;
            }
            let stored = StoredBody { encoding: *encoding, base: None, bytes: bytes.clone() };
            body::put(tx, at, change.kind_id, change.digest, &stored)?;
            spread(tx, at, change, (**content).clone())?;
            Ok(content.status)
        }
        None => {
            let content = super::content(tx, at, change.kind_id, change.digest)?;
            let status = content.status;
            if is_software && status.has_body() {
                software::reinstate(tx, at, change.kind_id, change.digest)?;
            }
            spread(tx, at, change, content)?;
            Ok(status)
        }
    }
}

fn spread(tx: &mut (dyn Tx + '_), at: HostRef, change: &Change<'_>, content: FactContent) -> Result<()> {
    let record = FactRecord { content, digest: *change.digest, collected_at: change.collected_at };
    project::project(tx, at, &record)
}
