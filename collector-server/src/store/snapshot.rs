//! Snapshots: one moment on both time axes, frozen by naming rows, not by copying them.
//!
//! Taking one reads and pins set by set, so that its cost hardly grows with what hosts hold. Facts are
//! not listed: those that held at the snapshot's moment can be asked for at any later time, and the root
//! digest each agent signed over them stands in the snapshot.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tenken_shared::canonical;
use tenken_shared::catalog::Catalog;
use tenken_shared::control;
use tenken_shared::criterion::{HostVerdicts, STANDARD_VERSION, Scope, roll_up};
use tenken_shared::ids::{Digest, HostId, SnapshotId};
use tenken_shared::jws::{PublicKey, Purpose, SigningKey};
use tenken_shared::merkle::{self, SaltSecret};
use tenken_shared::snapshot::{
    Header, Leaf, PackedFact, PackedHost, PackedLeaf, State, VERSION, digest, hash_leaves, salt_text,
};

use super::audit::Entry;
use super::db::{Column, params};
use super::fact::Moment;
use super::host::HostRef;
use super::judgement::{self, borrow, pack, unpack};
use super::{Result, Row, Store, StoreError, Tx, answer, audit, fact, lapse, policy, report};
use crate::audit::Action;
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
fn take(
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

/// What an export shall carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ExportOptions {
    /// Contents of facts, not only their digests.
    pub contents: bool,
    /// Leave the names of hosts and groups out.
    pub without_names: bool,
}

fn packed_leaves(frozen: &Frozen, hosts: &[FrozenHost], options: ExportOptions) -> Result<Vec<PackedLeaf>> {
    let failed = |e: canonical::CanonicalError| StoreError::Statement(e.to_string());
    let mut leaves = frozen.state.leaves().map_err(failed)?;
    leaves.extend(hosts.iter().flat_map(|h| [h.leaf.clone(), h.name.clone()]));
    let hashes = hash_leaves(&leaves, &frozen.secret).map_err(failed)?;
    let pack = |((index, data), hash): ((u64, Leaf), Digest)| {
        if options.without_names && matches!(data, Leaf::Name { .. }) {
            return PackedLeaf::Hidden { hash };
        }
        PackedLeaf::Open { salt: salt_text(&frozen.secret.salt(index)), data }
    };
    Ok((0u64..).zip(leaves).zip(hashes).map(pack).collect())
}

fn host_keys(tx: &mut (dyn Tx + '_), at: HostRef) -> Result<BTreeMap<String, PublicKey>> {
    let keys = tx.rows(
        "select kid, public_key from host_key where org_id = ?1 and host_id = ?2",
        params![at.org, at.host],
        |row| {
            let key = row.bytes(1)?.try_into().map_err(|_| StoreError::Damaged("key of a host".into()))?;
            Ok((row.text(0)?.to_owned(), PublicKey::from_bytes(key)))
        },
    )?;
    Ok(keys.into_iter().collect())
}

/// Evidence of one host as it was at the moment of the snapshot.
fn packed_host(
    tx: &mut (dyn Tx + '_),
    host: &FrozenHost,
    moment: Moment,
    options: ExportOptions,
) -> Result<PackedHost> {
    let Leaf::Host { host: id, seq, .. } = &host.leaf else {
        return Err(StoreError::Damaged("leaf of a snapshot".into()));
    };
    let kept = report::report_at(tx, host.at, moment.recorded)?.filter(|r| r.seq == *seq);
    let manifest = kept.map(|r| r.manifest);
    let key = match &manifest {
        Some(compact) => {
            let kid = tenken_shared::jws::Unverified::parse(compact, Purpose::Report)
                .map(|jws| jws.key_id().as_str().to_owned());
            let mut keys = host_keys(tx, host.at)?;
            kid.ok().and_then(|kid| keys.remove(&kid))
        }
        None => None,
    };
    let mut facts = Vec::new();
    for version in fact::at_moment(tx, host.at, moment)? {
        let content = if options.contents {
            Some(fact::content(tx, host.at, version.kind_id, &version.digest)?)
        } else {
            None
        };
        facts.push(PackedFact { kind: version.kind, digest: version.digest, content });
    }
    let findings = judgement::pinned(tx, host.at, host.recorded_from)?.unwrap_or_default();
    Ok(PackedHost { host: id.clone(), manifest, key, facts, findings })
}

/// Parts of a pack that do not grow with the number of hosts.
#[derive(Debug, Clone)]
pub struct PackFrame {
    /// The snapshot.
    pub frozen: Frozen,
    /// Headers of all earlier snapshots, oldest first.
    pub chain: Vec<String>,
    /// Leaves.
    pub leaves: Vec<PackedLeaf>,
    /// Hosts, to be read one by one.
    pub hosts: Vec<FrozenHost>,
}

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
    let changed = |c: &tenken_shared::criterion::CriterionResult| {
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
    /// Freezes the state of an organisation.
    pub async fn take_snapshot(
        &self,
        new: NewSnapshot,
        key: std::sync::Arc<SigningKey>,
    ) -> Result<SnapshotSummary> {
        let by = new.by.clone();
        self.change(&by, move |tx, org| take(tx, org, &new, &key)).await
    }

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

    /// What differs between two snapshots, each named by id or number.
    pub async fn snapshot_diff(&self, org: i64, a: &str, b: &str) -> Result<SnapshotDiff> {
        let (a, b) = (a.to_owned(), b.to_owned());
        self.read(move |tx| diff(tx, org, &a, &b)).await
    }

    /// The parts of a pack that do not grow with the evidence of hosts.
    pub async fn pack_frame(&self, org: i64, name: &str, options: ExportOptions) -> Result<PackFrame> {
        let name = name.to_owned();
        self.read(move |tx| {
            let frozen = frozen(tx, org, &name)?;
            let hosts = frozen_hosts(tx, org, frozen.header.number)?;
            let chain = tx.rows(
                "select jws from snapshot where org_id = ?1 and number < ?2 order by number",
                params![org, i64::try_from(frozen.header.number).unwrap_or(i64::MAX)],
                |row| Ok(row.text(0)?.to_owned()),
            )?;
            let leaves = packed_leaves(&frozen, &hosts, options)?;
            Ok(PackFrame { frozen, chain, leaves, hosts })
        })
        .await
    }

    /// Evidence of some hosts of a snapshot.
    pub async fn packed_hosts(
        &self,
        hosts: Vec<FrozenHost>,
        header: &Header,
        options: ExportOptions,
    ) -> Result<Vec<PackedHost>> {
        let moment = Moment { observed: header.observed_at, recorded: header.recorded_at };
        self.read(move |tx| hosts.iter().map(|host| packed_host(tx, host, moment, options)).collect()).await
    }
}

/// A schedule of snapshots.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// Organisation.
    pub org: i64,
    /// Cron expression, five fields.
    pub cron: String,
    /// IANA time zone it is read in.
    pub time_zone: String,
    /// Who set it.
    pub created_by: String,
    /// When the next one is due.
    pub next_at: Timestamp,
}

fn read_schedule(row: &Row) -> Result<Schedule> {
    Ok(Schedule {
        org: row.int(0)?,
        cron: row.text(1)?.to_owned(),
        time_zone: row.text(2)?.to_owned(),
        created_by: row.text(3)?.to_owned(),
        next_at: row.time(4)?,
    })
}

impl Store {
    /// The schedule of an organisation.
    pub async fn snapshot_schedule(&self, org: i64) -> Result<Option<Schedule>> {
        self.read(move |tx| {
            tx.one(
                "select org_id, cron, time_zone, created_by, next_at from snapshot_schedule where org_id = ?1",
                params![org],
                read_schedule,
            )
        })
        .await
    }

    /// Sets the schedule of an organisation, or ends it.
    pub async fn set_snapshot_schedule(
        &self,
        actor: &Actor,
        schedule: Option<Schedule>,
        now: Timestamp,
    ) -> Result<()> {
        let by = actor.name.clone();
        self.change(actor, move |tx, org| {
            tx.execute("delete from snapshot_schedule where org_id = ?1", params![org])?;
            let Some(s) = &schedule else {
                return Ok(((), Entry::new(Action::SnapshotSchedule, "off")));
            };
            tx.execute(
                "insert into snapshot_schedule (org_id, cron, time_zone, created_at, created_by, next_at) \
                 values (?1, ?2, ?3, ?4, ?5, ?6)",
                params![org, &s.cron, &s.time_zone, now, &by, s.next_at],
            )?;
            Ok(((), Entry::new(Action::SnapshotSchedule, &s.cron).detail(&s.time_zone)))
        })
        .await
    }

    /// Schedules due at `now`.
    pub async fn due_schedules(&self, now: Timestamp) -> Result<Vec<Schedule>> {
        self.read(move |tx| {
            tx.rows(
                "select org_id, cron, time_zone, created_by, next_at from snapshot_schedule where next_at <= ?1",
                params![now],
                read_schedule,
            )
        })
        .await
    }

    /// Takes a scheduled snapshot and moves the schedule on, both or neither; `None` where another
    /// collector was quicker.
    pub async fn take_scheduled(
        &self,
        due: Schedule,
        next_at: Timestamp,
        new: NewSnapshot,
        key: std::sync::Arc<SigningKey>,
    ) -> Result<Option<SnapshotSummary>> {
        self.write(move |tx| {
            let moved = tx.execute(
                "update snapshot_schedule set next_at = ?3 where org_id = ?1 and next_at = ?2",
                params![due.org, due.next_at, next_at],
            )?;
            if moved == 0 {
                return Ok(None);
            }
            let (taken, entry) = take(tx, due.org, &new, &key)?;
            audit::record(tx, due.org, &new.by.name, &entry)?;
            Ok(Some(taken))
        })
        .await
    }
}
