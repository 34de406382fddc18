//! Taking a snapshot: the state read, signed, and its rows pinned in one transaction.

use std::sync::Arc;

use jiff::Timestamp;
use tenken_shared::catalog::Catalog;
use tenken_shared::criterion::{HostVerdicts, STANDARD_VERSION, Scope, roll_up};
use tenken_shared::ids::{Digest, HostId, SnapshotId};
use tenken_shared::jws::{Purpose, SigningKey};
use tenken_shared::merkle::{self, SaltSecret};
use tenken_shared::snapshot::{Header, Leaf, State, VERSION, digest, hash_leaves};
use tenken_shared::{canonical, control};

use super::{SnapshotSummary, summary};
use crate::audit::Action;
use crate::store::audit::Entry;
use crate::store::db::{Column, params};
use crate::store::fact::Moment;
use crate::store::judgement::{self, borrow, pack};
use crate::store::{Result, Row, Store, StoreError, Tx, answer, lapse, policy};
use crate::user::Actor;

/// A snapshot to be taken.
#[derive(Debug, Clone)]
pub struct NewSnapshot {
    /// Id of the snapshot; random.
    pub id: SnapshotId,
    /// Random; salts of the leaves derive from it.
    pub secret: SaltSecret,
    /// `manual` or `schedule`.
    pub reason: String,
    /// Who or what takes it, of which organisation.
    pub by: Actor,
    /// Catalogue in force.
    pub catalog: Catalog,
    /// Collector clock.
    pub now: Timestamp,
}

struct Row1 {
    host: i64,
    uid: HostId,
    hostname: String,
    group: Option<String>,
    seq: i64,
    head: Option<Digest>,
    root: Option<Digest>,
    judged_from: Option<Timestamp>,
    findings: Option<Digest>,
}

fn opt_digest(row: &Row, column: usize) -> Result<Option<Digest>> {
    row.opt_bytes(column)?.map(|_| row.digest(column)).transpose()
}

fn host_rows(tx: &mut (dyn Tx + '_), org: i64) -> Result<Vec<Row1>> {
    tx.rows(
        "select h.host_id, h.uid, h.hostname, h.group_name, coalesce(c.head_seq, 0), c.head, c.root, \
         j.recorded_from, j.digest from host h \
         left join host_chain c on c.org_id = h.org_id and c.host_id = h.host_id \
         left join judgement j on j.org_id = h.org_id and j.host_id = h.host_id \
         where h.org_id = ?1 and h.state = 'confirmed' order by h.host_id",
        params![org],
        |row| {
            Ok(Row1 {
                host: row.int(0)?,
                uid: row.parse(1)?,
                hostname: row.text(2)?.to_owned(),
                group: row.opt_string(3)?,
                seq: row.int(4)?,
                head: opt_digest(row, 5)?,
                root: opt_digest(row, 6)?,
                judged_from: row.opt_time(7)?,
                findings: opt_digest(row, 8)?,
            })
        },
    )
}

fn canonical_text(leaf: &Leaf) -> Result<String> {
    let bytes = canonical::to_bytes(leaf).map_err(|e| StoreError::Statement(e.to_string()))?;
    String::from_utf8(bytes).map_err(|e| StoreError::Statement(e.to_string()))
}

/// The latest moment that anything stored belongs to, so that nothing of the state read lies after it.
fn moment(tx: &mut (dyn Tx + '_), org: i64, now: Timestamp) -> Result<Moment> {
    let last = |found: Option<Option<Timestamp>>| found.flatten().unwrap_or(now).max(now);
    let recorded = last(tx.one(
        "select max(last_report_at) from host_chain where org_id = ?1",
        params![org],
        |row| row.opt_time(0),
    )?);
    let observed = last(tx.one(
        "select max(observed_from) from host_fact where org_id = ?1 and observed_to is null",
        params![org],
        |row| row.opt_time(0),
    )?);
    Ok(Moment { observed: observed.max(recorded), recorded })
}

fn state(tx: &mut (dyn Tx + '_), org: i64, new: &NewSnapshot, recorded: Timestamp) -> Result<State> {
    let hosts = judgement::outcomes(tx, org, recorded)?;
    let (exceptions, attestations) = (answer::exceptions(tx, org)?, answer::attestations(tx, org)?);
    let coverage = judgement::coverage(tx, org, &hosts)?;
    let verdicts: Vec<HostVerdicts<'_>> = hosts.values().map(borrow).collect();
    let criteria = roll_up(&Scope {
        hosts: &verdicts,
        coverage,
        exceptions: &exceptions,
        attestations: &attestations,
        now: recorded,
    });
    let mut silent: Vec<HostId> =
        hosts.values().filter(|h| h.silent).filter_map(|h| h.id.parse().ok()).collect();
    silent.sort();
    Ok(State {
        policy: policy::current(tx, org)?,
        catalog: new.catalog.clone(),
        criteria,
        exceptions,
        attestations,
        coverage,
        silent,
    })
}

/// Freezes the state of `org`; the entry is for the audit log.
pub(super) fn take(
    tx: &mut (dyn Tx + '_),
    org: i64,
    new: &NewSnapshot,
    key: &SigningKey,
) -> Result<(SnapshotSummary, Entry)> {
    let failed = |e: canonical::CanonicalError| StoreError::Statement(e.to_string());
    let previous = tx.one(
        "select number, digest from snapshot where org_id = ?1 order by number desc limit 1",
        params![org],
        |row| Ok((row.int(0)?, row.digest(1)?)),
    )?;
    let number = previous.as_ref().map_or(1, |(n, _)| n + 1);
    let moment = moment(tx, org, new.now)?;
    lapse::settle(tx, org, moment.recorded)?;
    let state = state(tx, org, new, moment.recorded)?;
    let rows = host_rows(tx, org)?;
    let mut leaves = state.leaves().map_err(failed)?;
    let mut texts = Vec::with_capacity(rows.len());
    for row in &rows {
        let host = Leaf::Host {
            host: row.uid.clone(),
            seq: row.seq.unsigned_abs(),
            report: row.head,
            facts: row.root,
            findings: row.findings,
        };
        let name =
            Leaf::Name { host: row.uid.clone(), hostname: row.hostname.clone(), group: row.group.clone() };
        texts.push(format!("{}\n{}", canonical_text(&host)?, canonical_text(&name)?));
        leaves.extend([host, name]);
    }
    let hashes = hash_leaves(&leaves, &new.secret).map_err(failed)?;
    let header = Header {
        version: VERSION,
        org: new.by.org.clone(),
        snapshot: new.id.clone(),
        number: number.unsigned_abs(),
        previous: previous.map(|(_, digest)| digest),
        observed_at: moment.observed,
        recorded_at: moment.recorded,
        reason: new.reason.clone(),
        standard: STANDARD_VERSION.to_owned(),
        controls: control::print(),
        hosts: rows.len() as u64,
        leaves: leaves.len() as u64,
        root: merkle::root(&hashes),
    };
    let jws = key.sign(Purpose::Snapshot, &canonical::to_bytes(&header).map_err(failed)?);
    let (_, body) = pack(&state)?;
    tx.execute(
        "insert into snapshot (org_id, number, snapshot_id, observed_at, recorded_at, digest, jws, secret, body) \
         values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        params![
            org,
            number,
            new.id.as_str(),
            moment.observed,
            moment.recorded,
            &digest(&jws),
            &jws,
            &new.secret.as_bytes()[..],
            &body
        ],
    )?;
    pin(tx, org, number, &rows, &texts)?;
    let entry = Entry::new(Action::SnapshotTake, new.id.as_str()).detail(&new.reason);
    Ok((summary(&header, digest(&jws)), entry))
}

/// Names the rows the snapshot rests on, and keeps them from being replaced.
fn pin(tx: &mut (dyn Tx + '_), org: i64, number: i64, rows: &[Row1], texts: &[String]) -> Result<()> {
    let hosts: Vec<i64> = rows.iter().map(|r| r.host).collect();
    let seqs: Vec<i64> = rows.iter().map(|r| r.seq).collect();
    let judged: Vec<i64> = rows.iter().map(|r| r.judged_from.map_or(0, Timestamp::as_millisecond)).collect();
    let leaves: Vec<&str> = texts.iter().map(String::as_str).collect();
    tx.insert_many(
        "snapshot_host",
        &[
            ("org_id", Column::All(org.into())),
            ("number", Column::All(number.into())),
            ("host_id", Column::Ints(&hosts)),
            ("seq", Column::Ints(&seqs)),
            ("recorded_from", Column::Ints(&judged)),
            ("leaf", Column::Texts(&leaves)),
        ],
        "",
    )?;
    tx.execute(
        "update report set keep = 1 where org_id = ?1 and keep = 0 and exists (select 1 from snapshot_host s \
         where s.org_id = ?1 and s.number = ?2 and s.host_id = report.host_id and s.seq = report.seq)",
        params![org, number],
    )?;
    tx.execute(
        "update judgement set pinned = 1 where org_id = ?1 and pinned = 0 and exists (select 1 from \
         snapshot_host s where s.org_id = ?1 and s.number = ?2 and s.host_id = judgement.host_id)",
        params![org, number],
    )?;
    Ok(())
}

impl Store {
    /// Freezes the state of an organisation.
    pub async fn take_snapshot(&self, new: NewSnapshot, key: Arc<SigningKey>) -> Result<SnapshotSummary> {
        let by = new.by.clone();
        self.change(&by, move |tx, org| take(tx, org, &new, &key)).await
    }
}
