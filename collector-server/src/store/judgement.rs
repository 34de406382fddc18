//! Judgements: the findings of each host with their evidence and continuity, and what a roll-up needs.
//!
//! The findings of a host with all evidence are one compressed document; rows in `finding` repeat what
//! lists search. Nothing is written where nothing changed but the time of judging.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use tenken_shared::canonical;
use tenken_shared::control::{self, History};
use tenken_shared::criterion::{
    Coverage, CriterionResult, HostVerdicts, Scope, roll_up, targets_without_host,
};
use tenken_shared::finding::{Finding, Outcome, Verdict};
use tenken_shared::ids::Digest;
use tenken_shared::inventory::Age;

use super::db::params;
use super::due::{self, Due};
use super::fact::body;
use super::host::{Host, HostRef};
use super::{Result, Row, Store, StoreError, Tx, answer, lapse, ledger, policy};

/// Hosts are judged at least this often, whatever their findings say.
pub const SAFETY_NET: SignedDuration = SignedDuration::from_hours(24);
/// Largest judgement or history after decompression, bytes.
const MAX_BYTES: usize = 16 * 1024 * 1024;

/// What is kept of the last judgement of a host.
#[derive(Debug, Clone)]
pub struct Kept {
    /// Since when these very findings stand.
    pub recorded_from: Timestamp,
    /// When the host was judged last.
    pub judged_at: Timestamp,
    /// Digest of the canonical findings.
    pub digest: Digest,
    /// Findings, by the order of the controls.
    pub findings: Vec<Finding>,
    /// What earlier inventories showed.
    pub history: History,
    /// What it rests on.
    pub basis: Basis,
    /// When every control was judged last.
    pub full_at: Timestamp,
    /// Policy judged by.
    pub policy_version: i64,
    /// Catalogue judged by.
    pub catalog_version: i64,
}

/// What a judgement rests on: for each kind by its number the beginning of its digest and its age, and
/// under [`Basis::LABEL`] how the policy may name the host and whether it is silent. What is the same in two of them did not change
/// for any control.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Basis(pub BTreeMap<i64, [u8; 8]>);

impl Basis {
    /// The place of the host's label; no kind has this number.
    pub const LABEL: i64 = 0;
    const ENTRY: usize = 4 + 8;

    /// Notes a kind.
    pub fn note(&mut self, kind_id: i64, digest: &Digest, age: Age) {
        let mut print = [0; 8];
        print[..7].copy_from_slice(&digest.as_bytes()[..7]);
        print[7] = match age {
            Age::Fresh => 0,
            Age::Stale => 1,
            Age::Future => 2,
        };
        self.0.insert(kind_id, print);
    }

    /// Numbers that are not the same in both.
    #[must_use]
    pub fn changed(&self, before: &Self) -> BTreeSet<i64> {
        let differs = |k: &&i64| self.0.get(*k) != before.0.get(*k);
        self.0.keys().chain(before.0.keys()).filter(differs).copied().collect()
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.0.len() * Self::ENTRY);
        for (kind, print) in &self.0 {
            out.extend_from_slice(&u32::try_from(*kind).unwrap_or(u32::MAX).to_be_bytes());
            out.extend_from_slice(print);
        }
        out
    }

    fn from_bytes(bytes: &[u8]) -> Self {
        let entry = |e: &[u8]| {
            let kind = i64::from(u32::from_be_bytes([e[0], e[1], e[2], e[3]]));
            <[u8; 8]>::try_from(&e[4..]).ok().map(|print| (kind, print))
        };
        Self(bytes.chunks_exact(Self::ENTRY).filter_map(entry).collect())
    }
}

/// A new judgement of a host.
#[derive(Debug, Clone)]
pub struct Judgement {
    /// What the collector took as due.
    pub due: Due,
    /// The host as it was read.
    pub host: Host,
    /// What stood before.
    pub before: Option<Kept>,
    /// Verdicts of the controls that were judged, by id. What stood before holds for the others.
    pub verdicts: BTreeMap<&'static str, Verdict>,
    /// History after the inventory was absorbed.
    pub history: History,
    /// What all findings now rest on.
    pub basis: Basis,
    /// When every control was judged last.
    pub full_at: Timestamp,
    /// Policy judged by.
    pub policy_version: i64,
    /// Catalogue judged by; 0 is the one built in.
    pub catalog_version: i64,
    /// When.
    pub now: Timestamp,
}

pub(super) fn pack(value: &impl serde::Serialize) -> Result<(Digest, Vec<u8>)> {
    let plain = canonical::to_bytes(value).map_err(|e| StoreError::Statement(e.to_string()))?;
    let bytes = body::compress(&plain).map_err(|e| StoreError::Statement(e.to_string()))?;
    Ok((Digest::of(&plain), bytes))
}

pub(super) fn unpack<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    let damaged = |e: &dyn std::fmt::Display| StoreError::Damaged(format!("judgement: {e}"));
    let plain = body::unpack(bytes, MAX_BYTES)?;
    serde_json::from_slice(&plain).map_err(|e| damaged(&e))
}

fn read_kept(row: &Row) -> Result<Kept> {
    Ok(Kept {
        recorded_from: row.time(0)?,
        judged_at: row.time(1)?,
        digest: row.digest(2)?,
        findings: unpack(row.bytes(3)?)?,
        history: unpack(row.bytes(4)?)?,
        basis: Basis::from_bytes(row.bytes(5)?),
        full_at: row.time(6)?,
        policy_version: row.int(7)?,
        catalog_version: row.int(8)?,
    })
}

/// The last judgement of a host.
pub fn kept(tx: &mut (dyn Tx + '_), at: HostRef) -> Result<Option<Kept>> {
    tx.one(
        "select recorded_from, judged_at, digest, bytes, history, basis, full_at, policy_version, \
         catalog_version from judgement \
         where org_id = ?1 and host_id = ?2",
        params![at.org, at.host],
        read_kept,
    )
}

/// The findings a snapshot names, by the moment since which they stood.
pub(super) fn pinned(
    tx: &mut (dyn Tx + '_),
    at: HostRef,
    recorded_from: Timestamp,
) -> Result<Option<Vec<Finding>>> {
    let bytes = tx.one(
        "select bytes from judgement where org_id = ?1 and host_id = ?2 and recorded_from = ?3 \
         union all \
         select bytes from judgement_past where org_id = ?1 and host_id = ?2 and recorded_from = ?3",
        params![at.org, at.host, recorded_from],
        |row| Ok(row.bytes(0)?.to_vec()),
    )?;
    bytes.map(|b| unpack(&b)).transpose()
}

/// Joins a verdict with what stood before.
fn continued(
    control: &control::Control,
    verdict: Verdict,
    before: Option<&Finding>,
    now: Timestamp,
) -> Finding {
    let (first_seen, resolved_at) = match before {
        Some(b) if b.verdict.outcome == verdict.outcome => (b.first_seen, b.resolved_at),
        Some(b) => (now, resolved(b, verdict.outcome, now)),
        None => (now, None),
    };
    Finding {
        control: control.id.to_owned(),
        control_version: control.version,
        criteria: control.criteria.iter().map(|&c| c.to_owned()).collect(),
        verdict,
        first_seen,
        last_seen: now,
        resolved_at,
    }
}

/// When the last failure ended: only what is known to hold again has ended.
fn resolved(before: &Finding, outcome: Outcome, now: Timestamp) -> Option<Timestamp> {
    match (before.verdict.outcome, outcome) {
        (_, Outcome::Fail) => None,
        (Outcome::Fail, Outcome::Pass | Outcome::NotApplicable) => Some(now),
        _ => before.resolved_at,
    }
}

/// Whether a finding says something else than before; when evidence was confirmed is not something else.
fn differs(before: &Finding, after: &Finding) -> bool {
    let evidence = |f: &Finding| {
        f.verdict
            .evidence
            .iter()
            .map(|e| (e.kind.clone(), e.field.clone(), e.value.clone(), e.source.clone()))
            .collect::<Vec<_>>()
    };
    before.verdict.outcome != after.verdict.outcome
        || before.verdict.message != after.verdict.message
        || before.control_version != after.control_version
        || before.criteria != after.criteria
        || evidence(before) != evidence(after)
}

/// A judgement with everything that is to be written made ready, so that the writer only writes.
#[derive(Debug, Clone)]
pub struct Ready {
    judgement: Judgement,
    /// All findings, in the order of the controls.
    findings: Vec<Finding>,
    /// Whether any finding says something else.
    changed: bool,
    /// The findings packed with their digest, where they are to be replaced.
    packed: Option<(Digest, Vec<u8>)>,
    /// The history packed, where it changed.
    history: Option<Vec<u8>>,
    /// When the host is to be judged again, and why.
    next: (Timestamp, &'static str),
}

/// Makes a judgement ready: joins it with what stood before.
pub fn ready(judgement: Judgement) -> Result<Ready> {
    let (before, now) = (judgement.before.as_ref(), judgement.now);
    let old: BTreeMap<&str, &Finding> =
        before.iter().flat_map(|k| &k.findings).map(|f| (f.control.as_str(), f)).collect();
    let joined = |control: &control::Control| {
        let stood = old.get(control.id).copied();
        match judgement.verdicts.get(control.id) {
            Some(verdict) => Some(continued(control, verdict.clone(), stood, now)),
            None => stood.map(|finding| Finding { last_seen: now, ..finding.clone() }),
        }
    };
    let findings: Vec<Finding> = control::ALL.iter().filter_map(|control| joined(control)).collect();
    let horizon = now.saturating_add(SAFETY_NET).unwrap_or(Timestamp::MAX);
    let next =
        findings.iter().filter_map(|f| f.verdict.valid_until).chain([horizon]).min().unwrap_or(horizon);
    let changed = before.is_none()
        || old.len() != findings.len()
        || findings.iter().any(|f| old.get(f.control.as_str()).is_none_or(|b| differs(b, f)));
    // What is stored must not say that it lapses before it is looked at again.
    let lapses = |b: &Finding| b.verdict.valid_until.is_some_and(|until| until <= horizon);
    let renewed = findings.iter().any(|f| {
        old.get(f.control.as_str())
            .is_some_and(|b| b.verdict.valid_until != f.verdict.valid_until && lapses(b))
    });
    let packed = (changed || renewed).then(|| pack(&findings)).transpose()?;
    let same_history = before.is_some_and(|b| b.history == judgement.history);
    let history = (!same_history).then(|| pack(&judgement.history)).transpose()?.map(|(_, bytes)| bytes);
    let next = (next, if next < horizon { "valid_until" } else { "daily" });
    Ok(Ready { findings, changed, packed, history, next, judgement })
}

/// Writes a judgement if its host was not marked due again since its facts were read: no newer fact is
/// judged away. Answers whether any finding changed, or `None` where the host is to be judged once more.
pub fn write(tx: &mut (dyn Tx + '_), ready: &Ready) -> Result<Option<bool>> {
    let judgement = &ready.judgement;
    if !due::settle(tx, &judgement.due, ready.next.0, ready.next.1)? {
        return Ok(None);
    }
    ledger::confirm(tx, &judgement.host, judgement.now)?;
    if let Some((digest, bytes)) = &ready.packed {
        replace(
            tx,
            judgement.due.at,
            judgement.before.as_ref(),
            &ready.findings,
            (digest, bytes),
            judgement.now,
        )?;
    }
    touch(tx, ready)?;
    Ok(Some(ready.changed))
}

fn touch(tx: &mut (dyn Tx + '_), ready: &Ready) -> Result<()> {
    let judgement = &ready.judgement;
    tx.execute(
        "update judgement set judged_at = ?3, policy_version = ?4, catalog_version = ?5, basis = ?6, \
         full_at = ?7, history = coalesce(?8, history) where org_id = ?1 and host_id = ?2",
        params![
            judgement.due.at.org,
            judgement.due.at.host,
            judgement.now,
            judgement.policy_version,
            judgement.catalog_version,
            &judgement.basis.to_bytes(),
            judgement.full_at,
            ready.history.as_deref()
        ],
    )?;
    Ok(())
}

/// Writes other findings than were judged, because those hold no more. Nobody judged: when and by what
/// the host was judged last stays as it is, and every control is to be judged anew.
pub(super) fn restate(
    tx: &mut (dyn Tx + '_),
    at: HostRef,
    kept: &Kept,
    findings: &[Finding],
    now: Timestamp,
) -> Result<()> {
    let (digest, bytes) = pack(&findings)?;
    replace(tx, at, Some(kept), findings, (&digest, &bytes), now)?;
    tx.execute(
        "update judgement set full_at = 0 where org_id = ?1 and host_id = ?2",
        params![at.org, at.host],
    )?;
    // A judgement under way knows the findings of before.
    due::mark(tx, at, now, "lapsed")
}

/// Lets the next judgement of all hosts of an organisation be one by every control.
pub(super) fn forget_full(tx: &mut (dyn Tx + '_), org: i64) -> Result<()> {
    tx.execute("update judgement set full_at = 0 where org_id = ?1", params![org])?;
    Ok(())
}

/// Replaces the findings; those a snapshot names are set aside.
fn replace(
    tx: &mut (dyn Tx + '_),
    at: HostRef,
    before: Option<&Kept>,
    findings: &[Finding],
    (digest, bytes): (&Digest, &Vec<u8>),
    now: Timestamp,
) -> Result<()> {
    tx.execute(
        "insert into judgement_past (org_id, host_id, recorded_from, recorded_to, digest, bytes) \
         select org_id, host_id, recorded_from, ?3, digest, bytes from judgement \
         where org_id = ?1 and host_id = ?2 and pinned <> 0 \
         on conflict (org_id, host_id, recorded_from) do nothing",
        params![at.org, at.host, now],
    )?;
    // A judgement within the same millisecond must not pass for the one a snapshot names.
    let from = before.map_or(now, |b| {
        now.max(b.recorded_from.saturating_add(SignedDuration::from_millis(1)).unwrap_or(now))
    });
    // By what a host was judged, and what it rests on, is written with each judgement: see touch.
    tx.execute(
        "insert into judgement (org_id, host_id, recorded_from, judged_at, policy_version, catalog_version, \
         digest, bytes, history, pinned) values (?1, ?2, ?3, ?4, 0, 0, ?5, ?6, ?7, 0) \
         on conflict (org_id, host_id) do update set recorded_from = excluded.recorded_from, \
         digest = excluded.digest, bytes = excluded.bytes, pinned = 0",
        params![at.org, at.host, from, now, digest, bytes, &[][..] as &[u8]],
    )?;
    let old: BTreeMap<&str, &Finding> =
        before.iter().flat_map(|k| &k.findings).map(|f| (f.control.as_str(), f)).collect();
    for finding in findings {
        write_row(tx, at, finding, old.get(finding.control.as_str()).copied(), now)?;
    }
    for gone in old.values().filter(|b| !findings.iter().any(|f| f.control == b.control)) {
        end(tx, at, gone, now)?;
        tx.execute(
            "delete from finding where org_id = ?1 and host_id = ?2 and control = ?3",
            params![at.org, at.host, &gone.control],
        )?;
    }
    Ok(())
}

fn write_row(
    tx: &mut (dyn Tx + '_),
    at: HostRef,
    finding: &Finding,
    before: Option<&Finding>,
    now: Timestamp,
) -> Result<()> {
    let same = |b: &Finding| !differs(b, finding) && b.verdict.valid_until == finding.verdict.valid_until;
    if before.is_some_and(same) {
        return Ok(());
    }
    if let Some(old) = before.filter(|b| b.verdict.outcome != finding.verdict.outcome) {
        end(tx, at, old, now)?;
    }
    let message = message_text(finding)?;
    tx.execute(
        "insert into finding (org_id, host_id, control, control_version, outcome, message, valid_until, \
         first_seen, last_seen, resolved_at) values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) \
         on conflict (org_id, host_id, control) do update set control_version = excluded.control_version, \
         outcome = excluded.outcome, message = excluded.message, valid_until = excluded.valid_until, \
         first_seen = excluded.first_seen, last_seen = excluded.last_seen, resolved_at = excluded.resolved_at",
        params![
            at.org,
            at.host,
            &finding.control,
            finding.control_version,
            finding.verdict.outcome.as_str(),
            &message,
            finding.verdict.valid_until,
            finding.first_seen,
            finding.last_seen,
            finding.resolved_at
        ],
    )?;
    Ok(())
}

fn end(tx: &mut (dyn Tx + '_), at: HostRef, finding: &Finding, now: Timestamp) -> Result<()> {
    tx.execute(
        "insert into finding_past (org_id, host_id, control, first_seen, ended_at, control_version, outcome, \
         message) values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) \
         on conflict (org_id, host_id, control, first_seen) do nothing",
        params![
            at.org,
            at.host,
            &finding.control,
            finding.first_seen,
            now,
            finding.control_version,
            finding.verdict.outcome.as_str(),
            &message_text(finding)?
        ],
    )?;
    Ok(())
}

fn message_text(finding: &Finding) -> Result<String> {
    serde_json::to_string(&finding.verdict.message).map_err(|e| StoreError::Statement(e.to_string()))
}

/// One outcome a finding had, until it ended.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct PastFinding {
    /// Control.
    pub control: String,
    /// Outcome it had.
    pub outcome: Outcome,
    /// Why.
    pub message: tenken_shared::finding::Message,
    /// From.
    pub first_seen: Timestamp,
    /// To.
    pub ended_at: Timestamp,
}

/// Owned form of [`HostVerdicts`], as read from the rows.
#[derive(Debug, Clone, Default)]
pub struct HostOutcomes {
    /// Host id.
    pub id: String,
    /// Host name.
    pub name: String,
    /// Group.
    pub group: Option<String>,
    /// Silent too long.
    pub silent: bool,
    /// Outcomes by control.
    pub outcomes: BTreeMap<String, Outcome>,
    /// When the first of what holds ceases to.
    pub until: Option<Timestamp>,
}

/// Before which moment a last report means silence.
fn silent_before(tx: &mut (dyn Tx + '_), org: i64, now: Timestamp) -> Result<Timestamp> {
    let days = policy::current(tx, org)?.policy.freshness.silent_after_days;
    let span = SignedDuration::from_hours(24 * i64::from(days));
    Ok(now.checked_sub(span).unwrap_or(Timestamp::UNIX_EPOCH))
}

/// Outcomes of every confirmed host as they read at `now`, by host number; and since when the host has been silent too long.
pub(super) fn outcomes(
    tx: &mut (dyn Tx + '_),
    org: i64,
    now: Timestamp,
) -> Result<BTreeMap<i64, HostOutcomes>> {
    let silent_before = silent_before(tx, org, now)?;
    let mut hosts: BTreeMap<i64, HostOutcomes> = tx
        .rows(
            "select h.host_id, h.uid, h.hostname, h.group_name, coalesce(c.last_report_at, 0) from host h \
             left join host_chain c on c.org_id = h.org_id and c.host_id = h.host_id \
             where h.org_id = ?1 and h.state = 'confirmed'",
            params![org],
            |row| {
                let host = HostOutcomes {
                    id: row.text(1)?.to_owned(),
                    name: row.text(2)?.to_owned(),
                    group: row.opt_string(3)?,
                    silent: row.time(4)? < silent_before,
                    outcomes: BTreeMap::new(),
                    until: None,
                };
                Ok((row.int(0)?, host))
            },
        )?
        .into_iter()
        .collect();
    tx.query(
        "select host_id, control, outcome, valid_until from finding where org_id = ?1 order by host_id",
        params![org],
        &mut |row| {
            if let Some(host) = hosts.get_mut(&row.int(0)?) {
                let outcome = row.parse(2)?;
                if matches!(outcome, Outcome::Pass | Outcome::NotApplicable) {
                    let ahead = row.opt_time(3)?.filter(|until| *until >= now);
                    host.until = [host.until, ahead].into_iter().flatten().min();
                }
                host.outcomes.insert(row.text(1)?.to_owned(), outcome);
            }
            Ok(())
        },
    )?;
    for lapsed in lapse::all(tx, org, now)? {
        if let Some(host) = hosts.get_mut(&lapsed.host) {
            host.outcomes.insert(lapsed.control, Outcome::Unknown);
        }
    }
    Ok(hosts)
}

/// Machines of the ledger that no enrolled host matches by serial or name, hosts that wait, and declared
/// backups that name none of the confirmed `hosts`.
pub(super) fn coverage(
    tx: &mut (dyn Tx + '_),
    org: i64,
    hosts: &BTreeMap<i64, HostOutcomes>,
) -> Result<Coverage> {
    let count = |n: Option<i64>| u64::try_from(n.unwrap_or_default()).unwrap_or_default();
    let ledger_only = tx.one(
        "select count(*) from ledger l where l.org_id = ?1 and not exists (select 1 from host h \
         left join host_summary s on s.org_id = h.org_id and s.host_id = h.host_id \
         where h.org_id = l.org_id and h.state = 'confirmed' \
         and ((l.serial is not null and coalesce(s.serial, h.serial) = l.serial) \
         or (l.hostname is not null and lower(h.hostname) = lower(l.hostname))))",
        params![org],
        |row| row.int(0),
    )?;
    let pending =
        tx.one("select count(*) from host where org_id = ?1 and state = 'pending'", params![org], |row| {
            row.int(0)
        })?;
    let targets = policy::current(tx, org)?.policy.backup.targets;
    let named = hosts.values().map(|h| (h.id.as_str(), h.name.as_str(), h.group.as_deref()));
    let targets_without_host = targets_without_host(&targets, named);
    Ok(Coverage { ledger_only: count(ledger_only), pending: count(pending), targets_without_host })
}

/// The result of every criterion for an organisation, inside a transaction; and until when it stands by
/// itself: some finding, exception or attestation it counts holds no longer.
pub fn criteria(
    tx: &mut (dyn Tx + '_),
    org: i64,
    now: Timestamp,
) -> Result<(Vec<CriterionResult>, Option<Timestamp>)> {
    let outcomes = outcomes(tx, org, now)?;
    let hosts: Vec<HostVerdicts<'_>> = outcomes.values().map(borrow).collect();
    let (coverage, exceptions) = (coverage(tx, org, &outcomes)?, answer::exceptions(tx, org)?);
    let attestations = answer::attestations(tx, org)?;
    let answers = exceptions.iter().map(|e| e.deadline).chain(attestations.iter().map(|a| a.next_review));
    let until = outcomes.values().filter_map(|h| h.until).chain(answers.filter(|end| *end >= now)).min();
    let scope = Scope { hosts: &hosts, coverage, exceptions: &exceptions, attestations: &attestations, now };
    Ok((roll_up(&scope), until))
}

pub(super) fn borrow(host: &HostOutcomes) -> HostVerdicts<'_> {
    HostVerdicts {
        id: &host.id,
        name: &host.name,
        group: host.group.as_deref(),
        silent: host.silent,
        outcomes: host.outcomes.iter().map(|(c, o)| (c.as_str(), *o)).collect(),
    }
}

impl Store {
    /// The findings of a host with evidence as they read at `now`, in the order of the controls; empty
    /// before its first judgement.
    pub async fn findings(&self, at: HostRef, now: Timestamp) -> Result<Vec<Finding>> {
        self.read(move |tx| lapse::findings(tx, at, now)).await
    }

    /// When a host was judged last.
    pub async fn judged_at(&self, at: HostRef) -> Result<Option<Timestamp>> {
        self.read(move |tx| {
            tx.one(
                "select judged_at from judgement where org_id = ?1 and host_id = ?2",
                params![at.org, at.host],
                |row| row.time(0),
            )
        })
        .await
    }

    /// Outcomes of a host that ended, latest end first; at most `limit`.
    pub async fn past_findings(&self, at: HostRef, limit: u32) -> Result<Vec<PastFinding>> {
        self.read(move |tx| {
            tx.rows(
                "select control, outcome, message, first_seen, ended_at from finding_past \
                 where org_id = ?1 and host_id = ?2 order by ended_at desc, control limit ?3",
                params![at.org, at.host, limit],
                |row| {
                    Ok(PastFinding {
                        control: row.text(0)?.to_owned(),
                        outcome: row.parse(1)?,
                        message: row.json(2)?,
                        first_seen: row.time(3)?,
                        ended_at: row.time(4)?,
                    })
                },
            )
        })
        .await
    }

    /// The result of every criterion for an organisation.
    pub async fn criteria(&self, org: i64, now: Timestamp) -> Result<Vec<CriterionResult>> {
        self.read(move |tx| Ok(criteria(tx, org, now)?.0)).await
    }

    /// The result of every criterion, and until when it stands by itself.
    pub async fn criteria_until(
        &self,
        org: i64,
        now: Timestamp,
    ) -> Result<(Vec<CriterionResult>, Option<Timestamp>)> {
        self.read(move |tx| criteria(tx, org, now)).await
    }

    /// The result of every criterion for one host alone, confirmed or not.
    pub async fn host_criteria(&self, at: HostRef, now: Timestamp) -> Result<Vec<CriterionResult>> {
        self.read(move |tx| {
            let host =
                super::host::get(tx, at)?.ok_or_else(|| StoreError::NotFound(format!("host {}", at.host)))?;
            let findings = lapse::findings(tx, at, now)?;
            let silent_before = silent_before(tx, at.org, now)?;
            let verdicts = HostVerdicts {
                id: host.id.as_str(),
                name: &host.hostname,
                group: host.group.as_deref(),
                silent: host.last_report_at.is_none_or(|last| last < silent_before),
                outcomes: findings.iter().map(|f| (f.control.as_str(), f.verdict.outcome)).collect(),
            };
            let exceptions = answer::exceptions(tx, at.org)?;
            let attestations = answer::attestations(tx, at.org)?;
            Ok(roll_up(&Scope {
                hosts: &[verdicts],
                coverage: Coverage::default(),
                exceptions: &exceptions,
                attestations: &attestations,
                now,
            }))
        })
        .await
    }
}
