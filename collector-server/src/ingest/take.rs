//! Taking one report into the store: everything of it in one transaction, or nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tenken_shared::fact::KindName;
use tenken_shared::ids::{Digest, HostId};
use tenken_shared::report::{Event, Manifest, root_digest};

use super::sequence::{self, Step};
use crate::store::fact::change::{self, Change, Ready};
use crate::store::fact::{self, Confirmations, FactVersion};
use crate::store::host::HostRef;
use crate::store::report::{self, Chain, HostEvent, NewHead, StoredReport};
use crate::store::{Result, StoreError, Tx, due};

/// A report that decoded and whose signature holds.
#[derive(Debug)]
pub struct Delivery {
    /// Host the key belongs to.
    pub at: HostRef,
    /// Digest of the compact manifest.
    pub digest: Digest,
    /// Its content.
    pub manifest: Manifest,
    /// The compact manifest as it came.
    pub compact: String,
    /// Collector clock.
    pub received_at: Timestamp,
    /// Host clock minus collector clock, milliseconds.
    pub offset_ms: i64,
    /// The store's numbers of the kinds named.
    pub kinds: HashMap<KindName, i64>,
    /// Contents that came with it, by digest.
    pub bodies: BTreeMap<Digest, Ready>,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// Stored, or stored before.
    Accepted,
    /// Contents are missing.
    NeedBodies(Vec<Digest>),
    /// Full report needed; why.
    Resync(&'static str),
    /// New key needed.
    Rekey,
    /// Host retired or revoked.
    Revoked,
    /// No such host any more.
    Unknown,
    /// Contradicts itself.
    Malformed(String),
}

/// The answer with the head after it.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// What became of it.
    pub taken: Taken,
    /// Host id, where there is one.
    pub host: Option<HostId>,
    /// Number of the chain's head.
    pub head_seq: u64,
    /// Digest of the chain's head.
    pub head: Option<Digest>,
}

/// Smaller differences between the clocks are the network's.
const CLOCK_TOLERANCE_MS: i64 = 5_000;
/// A host silent for longer is judged again when it is back, even if nothing changed.
const QUIET: SignedDuration = SignedDuration::from_hours(24);

impl Delivery {
    /// Host time as collector time, never in the future.
    fn corrected(&self, host_ms: i64) -> Timestamp {
        let offset = if self.offset_ms.abs() > CLOCK_TOLERANCE_MS { self.offset_ms } else { 0 };
        let corrected = Timestamp::from_millisecond(host_ms.saturating_sub(offset));
        corrected.unwrap_or(self.received_at).clamp(Timestamp::UNIX_EPOCH, self.received_at)
    }
}

/// Takes a report. Unless the answer is `Accepted` nothing is written but the event that shows a fork.
pub fn take(tx: &mut (dyn Tx + '_), delivery: &Delivery) -> Result<Outcome> {
    let Some(chain) = report::lock_chain(tx, delivery.at)? else {
        return Ok(Outcome { taken: Taken::Unknown, host: None, head_seq: 0, head: None });
    };
    let stays =
        |taken| Outcome { taken, host: Some(chain.id.clone()), head_seq: chain.head_seq, head: chain.head };
    if !chain.state.reports() {
        return Ok(stays(Taken::Revoked));
    }
    let cause = match sequence::decide(&chain, &delivery.manifest, &delivery.digest) {
        Step::Repeat => return Ok(stays(Taken::Accepted)),
        Step::Rekey => {
            note_fork(tx, delivery, &chain, "chain.clone")?;
            return Ok(stays(Taken::Rekey));
        }
        Step::Resync(cause) => {
            if cause == "rollback" {
                note_fork(tx, delivery, &chain, "chain.rollback")?;
            }
            return Ok(stays(Taken::Resync(cause)));
        }
        Step::Append => None,
        Step::AppendAfterBreak(cause) => Some(cause),
    };
    let state = match next_state(tx, delivery, &chain)? {
        Ok(state) => state,
        Err(taken) => return Ok(stays(taken)),
    };
    write_facts(tx, delivery, &chain, &state)?;
    finish(tx, delivery, &chain, &state, cause)?;
    Ok(Outcome {
        taken: Taken::Accepted,
        host: Some(chain.id.clone()),
        head_seq: delivery.manifest.seq,
        head: Some(delivery.digest),
    })
}

/// A fork is recorded once per report that shows it: a repeat of it in the same moment changes nothing.
fn note_fork(tx: &mut (dyn Tx + '_), delivery: &Delivery, chain: &Chain, kind: &str) -> Result<()> {
    let event = HostEvent {
        recorded_at: delivery.received_at,
        observed_at: delivery.corrected(delivery.manifest.created_at),
        seq: delivery.manifest.seq,
        kind: kind.into(),
        data: json!({
            "digest": delivery.digest,
            "head_seq": chain.head_seq,
            "print": delivery.manifest.print,
            "print_held": chain.print,
        }),
    };
    if report::noted(tx, delivery.at, &event.kind, event.seq)? {
        return Ok(());
    }
    report::note(tx, delivery.at, &event, 0)
}

/// What the report makes of the facts that hold.
struct NextState {
    /// Facts that hold before it, by kind; empty when it changes none.
    held: BTreeMap<KindName, FactVersion>,
    /// Kinds that end without successor.
    gone: BTreeSet<KindName>,
    /// Confirmations it leaves.
    confirmed: Confirmations,
}

/// Works out the facts after the report and whether it can be taken.
fn next_state(
    tx: &mut (dyn Tx + '_),
    delivery: &Delivery,
    chain: &Chain,
) -> Result<std::result::Result<NextState, Taken>> {
    let manifest = &delivery.manifest;
    let full = manifest.base.is_none();
    if !full && manifest.changed.is_empty() && manifest.gone.is_empty() {
        if chain.root != Some(manifest.root) {
            return Ok(Err(Taken::Resync("root")));
        }
        let confirmed = confirmations(delivery, chain);
        return Ok(Ok(NextState { held: BTreeMap::new(), gone: BTreeSet::new(), confirmed }));
    }
    let held: BTreeMap<KindName, FactVersion> =
        fact::current(tx, delivery.at)?.into_iter().map(|v| (v.kind.clone(), v)).collect();
    let mut gone: BTreeSet<KindName> = manifest.gone.iter().cloned().collect();
    if full {
        gone.extend(held.keys().filter(|k| manifest.changed.iter().all(|e| e.kind != **k)).cloned());
    }
    let mut after: BTreeMap<&KindName, &Digest> = held.iter().map(|(k, v)| (k, &v.digest)).collect();
    after.retain(|kind, _| !gone.contains(*kind));
    after.extend(manifest.changed.iter().map(|e| (&e.kind, &e.digest)));
    if root_digest(after) != manifest.root {
        let taken = if full {
            Taken::Malformed("the root does not fit the facts named".into())
        } else {
            Taken::Resync("root")
        };
        return Ok(Err(taken));
    }
    let mut need = Vec::new();
    for entry in &manifest.changed {
        let same = held.get(&entry.kind).is_some_and(|v| v.digest == entry.digest);
        let kind_id = kind_id(delivery, &entry.kind)?;
        if !same
            && !delivery.bodies.contains_key(&entry.digest)
            && !change::has_body(tx, delivery.at, kind_id, &entry.digest)?
        {
            need.push(entry.digest);
        }
    }
    if !need.is_empty() {
        return Ok(Err(Taken::NeedBodies(need)));
    }
    let confirmed = confirmations(delivery, chain);
    Ok(Ok(NextState { held, gone, confirmed }))
}

fn kind_id(delivery: &Delivery, kind: &KindName) -> Result<i64> {
    delivery
        .kinds
        .get(kind)
        .copied()
        .ok_or_else(|| StoreError::Statement(format!("kind {kind} has no number")))
}

/// Confirmations after the report: its own word for every kind; observations keep what they had.
fn confirmations(delivery: &Delivery, chain: &Chain) -> Confirmations {
    let manifest = &delivery.manifest;
    let ms = |time| delivery.corrected(time).as_millisecond();
    let observed = |kind: &str| kind.parse::<KindName>().is_ok_and(|k| k.is_observed());
    let mut other: BTreeMap<String, i64> =
        chain.confirmed.other.iter().filter(|(k, _)| observed(k)).map(|(k, v)| (k.clone(), *v)).collect();
    for entry in &manifest.changed {
        other.insert(entry.kind.to_string(), ms(entry.collected_at));
    }
    for (kind, time) in &manifest.confirmed {
        other.insert(kind.to_string(), ms(*time));
    }
    for kind in &manifest.gone {
        other.remove(kind.as_str());
    }
    Confirmations { at: Some(delivery.corrected(manifest.confirmed_at)), other }
}

fn write_facts(tx: &mut (dyn Tx + '_), delivery: &Delivery, chain: &Chain, state: &NextState) -> Result<()> {
    let manifest = &delivery.manifest;
    let ended_at = delivery.corrected(manifest.created_at);
    for kind in &state.gone {
        if let Some(held) = state.held.get(kind) {
            let confirmed = chain.confirmed.of(held);
            let observed_to = ended_at.max(held.observed_from);
            change::end(tx, delivery.at, held, confirmed, observed_to, delivery.received_at)?;
        }
    }
    for entry in &manifest.changed {
        let held = state.held.get(&entry.kind);
        if held.is_some_and(|v| v.digest == entry.digest) {
            continue;
        }
        let collected_at = Timestamp::from_millisecond(entry.collected_at).unwrap_or(delivery.received_at);
        let change = Change {
            kind: &entry.kind,
            kind_id: kind_id(delivery, &entry.kind)?,
            digest: &entry.digest,
            collected_at,
            observed_at: delivery.corrected(entry.collected_at),
            recorded_at: delivery.received_at,
            ready: delivery.bodies.get(&entry.digest),
        };
        change::apply(tx, delivery.at, &change, held.map(|v| (v, chain.confirmed.of(v))))?;
    }
    Ok(())
}

fn finish(
    tx: &mut (dyn Tx + '_),
    delivery: &Delivery,
    chain: &Chain,
    state: &NextState,
    cause: Option<String>,
) -> Result<()> {
    let (at, manifest, received_at) = (delivery.at, &delivery.manifest, delivery.received_at);
    let changed =
        manifest.changed.iter().any(|e| state.held.get(&e.kind).is_none_or(|v| v.digest != e.digest));
    let state_changed = manifest.changed.iter().any(|e| !e.kind.is_observed()) || !state.gone.is_empty();
    let events = events(delivery, chain, cause);
    let keep = manifest.seq == 1 || (changed && state_changed) || !events.is_empty();
    for (position, event) in (0_i64..).zip(&events) {
        report::note(tx, at, event, position)?;
    }
    report::advance(
        tx,
        at,
        chain,
        &NewHead {
            seq: manifest.seq,
            digest: &delivery.digest,
            root: &manifest.root,
            print: manifest.print.as_deref(),
            offset_ms: delivery.offset_ms,
            received_at,
            confirmed: &state.confirmed,
        },
    )?;
    let stored = StoredReport {
        seq: manifest.seq,
        digest: delivery.digest,
        received_at,
        created_at: Timestamp::from_millisecond(manifest.created_at).unwrap_or(received_at),
        offset_ms: delivery.offset_ms,
        manifest: delivery.compact.clone(),
    };
    report::put_report(tx, at, chain.head_seq, &stored, keep)?;
    let hour = |t: Timestamp| t.as_second() / 3600;
    if chain.last_report_at.is_none_or(|last| hour(last) != hour(received_at)) {
        report::extend_presence(tx, at, received_at, delivery.corrected(manifest.confirmed_at))?;
    }
    let was_quiet = chain.last_report_at.is_none_or(|last| received_at.duration_since(last) > QUIET);
    if changed || !state.gone.is_empty() || !events.is_empty() || was_quiet {
        due::mark(tx, at, received_at, "report")?;
    }
    Ok(())
}

/// What the report says happened, and what it shows of the chain.
fn events(delivery: &Delivery, chain: &Chain, cause: Option<String>) -> Vec<HostEvent> {
    let manifest = &delivery.manifest;
    let made = |kind: &str, at: i64, data: serde_json::Value| HostEvent {
        recorded_at: delivery.received_at,
        observed_at: delivery.corrected(at),
        seq: manifest.seq,
        kind: kind.to_owned(),
        data,
    };
    let mut out = Vec::new();
    if let Some(cause) = cause {
        let data = json!({"cause": cause, "head_seq": chain.head_seq, "head": chain.head});
        out.push(made("chain.resync", manifest.created_at, data));
    }
    if let Some(dropped) = &manifest.dropped {
        out.push(made("chain.dropped", manifest.created_at, json!(dropped)));
    }
    if let (Some(held), Some(told)) = (&chain.print, &manifest.print)
        && held != told
    {
        out.push(made("host.print_changed", manifest.created_at, json!({"from": held, "to": told})));
    }
    let named = |event: &Event| event.kind.chars().take(80).collect::<String>();
    out.extend(manifest.events.iter().map(|e| made(&named(e), e.at, e.data.clone())));
    out
}
