//! Snapshots: one moment on both time axes, frozen by naming rows, not by copying them.
//!
//! Taking one reads and pins set by set, so that its cost hardly grows with what hosts hold. Facts are
//! not listed: those that held at the snapshot's moment can be asked for at any later time, and the root
//! digest each agent signed over them stands in the snapshot.

mod diff;
mod pack;
mod schedule;
mod take;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tenken_shared::ids::{Digest, SnapshotId};
use tenken_shared::merkle::SaltSecret;
use tenken_shared::snapshot::{Header, Leaf, State};

pub use self::diff::{CriterionChange, FindingChange, SnapshotDiff};
pub use self::pack::{ExportOptions, PackFrame};
pub use self::schedule::Schedule;
pub use self::take::NewSnapshot;
use super::db::params;
use super::host::HostRef;
use super::judgement::unpack;
use super::{Result, Store, StoreError, Tx};

/// A snapshot as listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SnapshotSummary {
    /// Number within the organisation.
    pub number: u64,
    /// Id.
    #[schema(value_type = String)]
    pub id: SnapshotId,
    /// Moment it froze (collector time).
    #[schema(value_type = String, format = DateTime)]
    pub recorded_at: Timestamp,
    /// Digest that names it and that the next one repeats.
    #[schema(value_type = String)]
    pub digest: Digest,
    /// `manual` or `schedule`.
    pub reason: String,
    /// Confirmed hosts.
    pub hosts: u64,
}

/// A frozen snapshot with what its header and body say.
#[derive(Debug, Clone)]
pub struct Frozen {
    /// The header.
    pub header: Header,
    /// The header as signed.
    pub jws: String,
    /// Policy, catalogues, results.
    pub state: State,
    secret: SaltSecret,
}

/// One host of a snapshot.
#[derive(Debug, Clone)]
pub struct FrozenHost {
    /// The store's numbers.
    pub at: HostRef,
    /// What the tree says of it.
    pub leaf: Leaf,
    /// Its names.
    pub name: Leaf,
    recorded_from: Timestamp,
}

fn summary(header: &Header, digest: Digest) -> SnapshotSummary {
    SnapshotSummary {
        number: header.number,
        id: header.snapshot.clone(),
        recorded_at: header.recorded_at,
        digest,
        reason: header.reason.clone(),
        hosts: header.hosts,
    }
}

/// The header inside a JWS this store signed itself.
fn own_header(jws: &str) -> Result<Header> {
    use base64::Engine as _;
    let damaged = || StoreError::Damaged("header of a snapshot".into());
    let payload = jws.split('.').nth(1).ok_or_else(damaged)?;
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).map_err(|_| damaged())?;
    serde_json::from_slice(&bytes).map_err(|_| damaged())
}

/// A snapshot by its id or number.
fn frozen(tx: &mut (dyn Tx + '_), org: i64, name: &str) -> Result<Frozen> {
    let number: i64 = name.parse().unwrap_or(-1);
    tx.one(
        "select jws, secret, body from snapshot where org_id = ?1 and (snapshot_id = ?2 or number = ?3)",
        params![org, name, number],
        |row| {
            let secret: [u8; 32] =
                row.bytes(1)?.try_into().map_err(|_| StoreError::Damaged("secret of a snapshot".into()))?;
            Ok(Frozen {
                header: own_header(row.text(0)?)?,
                jws: row.text(0)?.to_owned(),
                state: unpack(row.bytes(2)?)?,
                secret: SaltSecret::from_bytes(secret),
            })
        },
    )?
    .ok_or_else(|| StoreError::NotFound(format!("snapshot {name}")))
}

fn frozen_hosts(tx: &mut (dyn Tx + '_), org: i64, number: u64) -> Result<Vec<FrozenHost>> {
    tx.rows(
        "select host_id, recorded_from, leaf from snapshot_host where org_id = ?1 and number = ?2 \
         order by host_id",
        params![org, i64::try_from(number).unwrap_or(i64::MAX)],
        |row| {
            let damaged = |e: serde_json::Error| StoreError::Damaged(format!("leaf of a snapshot: {e}"));
            let (host, name) = row.text(2)?.split_once('\n').unwrap_or_default();
            Ok(FrozenHost {
                at: HostRef { org, host: row.int(0)? },
                recorded_from: row.time(1)?,
                leaf: serde_json::from_str(host).map_err(damaged)?,
                name: serde_json::from_str(name).map_err(damaged)?,
            })
        },
    )
}

impl Store {
    /// Snapshots of an organisation, newest first.
    pub async fn snapshots(&self, org: i64) -> Result<Vec<SnapshotSummary>> {
        self.read(move |tx| {
            tx.rows(
                "select jws, digest from snapshot where org_id = ?1 order by number desc",
                params![org],
                |row| Ok(summary(&own_header(row.text(0)?)?, row.digest(1)?)),
            )
        })
        .await
    }

    /// One snapshot by id or number.
    pub async fn snapshot(&self, org: i64, name: &str) -> Result<Frozen> {
        let name = name.to_owned();
        self.read(move |tx| frozen(tx, org, &name)).await
    }
}
