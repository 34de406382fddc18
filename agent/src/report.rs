//! Builds reports from collected rounds: which facts are new, gone or confirmed, at which place of the
//! chain. Does not send.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use tenken_shared::collected::{Collected as Honest, Reason, Status};
use tenken_shared::fact::hardware::Hardware;
use tenken_shared::fact::network::Network;
use tenken_shared::fact::{FactBody, FactContent, FactKind, FactRecord, KindName};
use tenken_shared::ids::Digest;
use tenken_shared::jws::{Purpose, SigningKey};
use tenken_shared::report::{
    self, Event, FactEntry, MAX_EVENTS, MAX_FACT_BYTES, MAX_PLAIN_BYTES, MAX_WIRE_BYTES, Manifest,
    join_lines, root_digest,
};

use crate::spool::Place;
use crate::spool::entry::{Entry, Meta, Reported, Reports};

/// Most bytes of event data in one report, so that its manifest stays well under the cap of a JWS.
const MAX_EVENT_BYTES: usize = 96 * 1024;

/// Why no report could be built.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The manifest does not serialise.
    #[error("manifest cannot be written: {0}")]
    Json(#[from] serde_json::Error),
    /// The bodies do not compress.
    #[error("report cannot be compressed: {0}")]
    Compress(std::io::Error),
}

/// The newest answer of a kind. Its content is kept as canonical bytes: a tenth of the memory of a tree.
#[derive(Debug, Clone)]
struct Current {
    content: Vec<u8>,
    digest: Digest,
    status: Status,
    collected_at: Timestamp,
    /// Start of the round that gave it, host clock, milliseconds.
    round_at: i64,
}

/// What this process has collected so far; the state every report is built from.
#[derive(Debug, Default)]
pub struct Collected {
    facts: BTreeMap<KindName, Current>,
    print: Option<String>,
}

/// When to report what.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// Now, host clock.
    pub now: Timestamp,
    /// Seconds between reports of `*_observed` kinds.
    pub observed_interval_s: u64,
    /// How many of the largest changed facts are reported as `failed`, `too_large`, because the collector
    /// refused the report for its size.
    pub shrink: usize,
}

impl Collected {
    /// Takes in a round that started at `round_at`. A fact over the wire's cap becomes `failed`.
    pub fn take(&mut self, records: impl IntoIterator<Item = FactRecord>, round_at: Timestamp) {
        let round_at = round_at.as_millisecond();
        for record in records {
            let kind = record.content.kind.clone();
            match self.facts.get_mut(&kind) {
                Some(held) if held.digest == record.digest => {
                    (held.collected_at, held.round_at) = (record.collected_at, round_at);
                }
                _ => {
                    if let Some(current) = Current::of(record, round_at) {
                        self.facts.insert(kind, current);
                    }
                }
            }
        }
        self.print = self.hardware_print();
    }

    /// Forgets kinds that are no longer collected.
    pub fn retain(&mut self, kinds: &BTreeSet<KindName>) {
        self.facts.retain(|kind, _| kinds.contains(kind));
    }

    /// The newest answer of a kind.
    #[must_use]
    pub fn record(&self, kind: FactKind) -> Option<FactRecord> {
        let held = self.facts.get(&KindName::from(kind))?;
        let content: FactContent = serde_json::from_slice(&held.content).ok()?;
        Some(FactRecord { content, digest: held.digest, collected_at: held.collected_at })
    }

    /// Whether nothing was collected yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.facts.is_empty()
    }

    fn typed<T: FactBody>(&self) -> Option<T> {
        match self.record(T::KIND)?.typed::<T>() {
            Honest::Known(body) | Honest::Partial(body, _) => Some(body),
            _ => None,
        }
    }

    /// Hardware print: SHA-256 over the ids that stay with the hardware, cut to 16 bytes. Firmware ids
    /// where there are any, else the addresses burnt into network interfaces; `None` where there is
    /// neither (most containers).
    #[must_use]
    pub fn print(&self) -> Option<String> {
        self.print.clone()
    }

    fn hardware_print(&self) -> Option<String> {
        let mut ids = self.typed::<Hardware>().map(|h| firmware_ids(&h)).unwrap_or_default();
        if ids.is_empty() {
            ids = self.typed::<Network>().map(|n| burnt_in_addresses(&n)).unwrap_or_default();
        }
        if ids.is_empty() {
            return None;
        }
        let digest = Digest::of(ids.join("\n").as_bytes());
        Some(URL_SAFE_NO_PAD.encode(&digest.as_bytes()[..16]))
    }

    /// Builds and signs the report for `place`. `lean`: the bodies wait until the collector asks.
    pub fn report(
        &self,
        place: &Place,
        events: &[Event],
        moment: Moment,
        key: &SigningKey,
    ) -> Result<(Manifest, Entry), ReportError> {
        let base = place.base.as_ref().map(|(_, facts)| facts);
        let chosen = self.choose(base, moment);
        if let Some(smaller) = self.without_largest(&chosen, moment.shrink) {
            return smaller.report(place, events, Moment { shrink: 0, ..moment }, key);
        }
        let manifest = Manifest {
            version: report::VERSION,
            seq: place.seq,
            prev: place.prev,
            root: root_digest(chosen.after.iter().map(|(kind, reported)| (kind, &reported.digest))),
            created_at: moment.now.as_millisecond(),
            confirmed_at: chosen.confirmed_at,
            confirmed: chosen.confirmed,
            base: place.base.as_ref().map(|(seq, _)| *seq),
            changed: chosen.changed.iter().map(|(kind, current)| current.entry(kind)).collect(),
            gone: chosen.gone,
            print: self.print(),
            resync: place.resync.clone(),
            dropped: place.dropped.clone(),
            events: place.carried.iter().chain(events).cloned().collect(),
        };
        let jws = key.sign(Purpose::Report, &serde_json::to_vec(&manifest)?);
        let bodies: Vec<&[u8]> = chosen.changed.iter().map(|(_, c)| c.content.as_slice()).collect();
        let frame = if bodies.is_empty() { vec![] } else { compress(&jws, &bodies)? };
        if (frame.len() > MAX_WIRE_BYTES
            || bodies.iter().map(|b| b.len()).sum::<usize>() > MAX_PLAIN_BYTES / 2)
            && let Some(smaller) = self.without_largest(&self.choose(base, moment), 1)
        {
            return smaller.report(place, events, moment, key);
        }
        let meta = Meta { jws, facts: chosen.after, lean: place.resync.is_some() };
        Ok((manifest, Entry { meta, frame }))
    }

    /// A copy in which the `count` largest changed facts say `failed`, `too_large`; `None` where no changed
    /// fact with a body is left.
    fn without_largest(&self, chosen: &Chosen<'_>, count: usize) -> Option<Self> {
        let mut largest: Vec<(&KindName, &Current)> =
            chosen.changed.iter().copied().filter(|(_, current)| current.status.has_body()).collect();
        largest.sort_by_key(|(_, current)| std::cmp::Reverse(current.content.len()));
        largest.truncate(count);
        if largest.is_empty() {
            return None;
        }
        let mut facts = self.facts.clone();
        for (kind, current) in largest {
            facts.insert(kind.clone(), current.too_large()?);
        }
        Some(Self { facts, print: self.print.clone() })
    }

    /// Whether a report at this place would say anything that the last one did not, times aside.
    #[must_use]
    pub fn differs(&self, base: Option<&Reports>) -> bool {
        base.is_none_or(|base| {
            self.facts.iter().any(|(kind, current)| {
                !kind.is_observed() && base.get(kind).is_none_or(|reported| reported.digest != current.digest)
            }) || base.keys().any(|kind| !self.facts.contains_key(kind))
        })
    }

    fn choose(&self, base: Option<&Reports>, moment: Moment) -> Chosen<'_> {
        let confirmed_at = self.usual_round();
        let with_observed = self.differs(base);
        let mut chosen = Chosen {
            after: Reports::new(),
            changed: vec![],
            confirmed: BTreeMap::new(),
            gone: base.map(|b| self.gone(b)).unwrap_or_default(),
            confirmed_at,
        };
        for (kind, current) in &self.facts {
            let known = base.and_then(|b| b.get(kind)).copied();
            let same = known.is_some_and(|known| known.digest == current.digest);
            if kind.is_observed()
                && !with_observed
                && let Some(known) = known.filter(|known| !observed_due(known, current, moment))
            {
                chosen.after.insert(kind.clone(), known);
                continue;
            }
            let at = current.round_at;
            chosen.after.insert(kind.clone(), Reported { digest: current.digest, at });
            if !same {
                chosen.changed.push((kind, current));
            } else if kind.is_observed() || at != confirmed_at {
                chosen.confirmed.insert(kind.clone(), at);
            }
        }
        chosen
    }

    fn gone(&self, base: &Reports) -> Vec<KindName> {
        base.keys().filter(|kind| !self.facts.contains_key(*kind)).cloned().collect()
    }

    /// The round most facts come from: the others are named one by one.
    fn usual_round(&self) -> i64 {
        let mut rounds: BTreeMap<i64, usize> = BTreeMap::new();
        for (_, current) in self.facts.iter().filter(|(kind, _)| !kind.is_observed()) {
            *rounds.entry(current.round_at).or_default() += 1;
        }
        rounds.into_iter().max_by_key(|(at, count)| (*count, *at)).map_or(0, |(at, _)| at)
    }
}

struct Chosen<'a> {
    after: Reports,
    changed: Vec<(&'a KindName, &'a Current)>,
    confirmed: BTreeMap<KindName, i64>,
    gone: Vec<KindName>,
    confirmed_at: i64,
}

fn observed_due(known: &Reported, current: &Current, moment: Moment) -> bool {
    let age_ms = moment.now.as_millisecond() - known.at;
    let interval_ms = i64::try_from(moment.observed_interval_s.saturating_mul(1000)).unwrap_or(i64::MAX);
    // A negative age is a clock that was set back: report, so that the series goes on.
    let due = age_ms >= interval_ms || age_ms < 0;
    due || (!current.status.has_body() && known.digest != current.digest)
}

impl Current {
    /// Keeps a record; one over the wire's cap says `failed`, `too_large`. `None` where it has no canonical
    /// form, which a record with a digest always has.
    fn of(record: FactRecord, round_at: i64) -> Option<Self> {
        let content = record.content.to_bytes().ok()?;
        let (status, collected_at) = (record.content.status, record.collected_at);
        let current = Self { content, digest: record.digest, status, collected_at, round_at };
        if current.content.len() <= MAX_FACT_BYTES {
            return Some(current);
        }
        current.too_large()
    }

    fn too_large(&self) -> Option<Self> {
        let mut content: FactContent = serde_json::from_slice(&self.content).ok()?;
        content.status = Status::Failed;
        content.reason = Some(Reason::with("too_large", self.content.len()));
        content.body = None;
        let record = FactRecord::from_content(content, self.collected_at).ok()?;
        Some(Self {
            content: record.content.to_bytes().ok()?,
            digest: record.digest,
            status: Status::Failed,
            collected_at: self.collected_at,
            round_at: self.round_at,
        })
    }

    fn entry(&self, kind: &KindName) -> FactEntry {
        FactEntry {
            kind: kind.clone(),
            digest: self.digest,
            collected_at: self.collected_at.as_millisecond(),
        }
    }
}

fn firmware_ids(hardware: &Hardware) -> Vec<String> {
    let board = hardware.board.as_ref().and_then(|b| b.serial.clone());
    [("uuid", hardware.uuid.clone()), ("serial", hardware.serial.clone()), ("board", board)]
        .into_iter()
        .filter_map(|(name, id)| id.map(|id| format!("{name}={}", id.trim().to_ascii_lowercase())))
        .collect()
}

/// Universally administered unicast addresses; software makes the others up anew.
fn burnt_in_addresses(network: &Network) -> Vec<String> {
    let burnt_in = |mac: &str| {
        let first = u8::from_str_radix(mac.get(..2)?, 16).ok()?;
        (first & 0b11 == 0 && mac.bytes().any(|b| b.is_ascii_hexdigit() && b != b'0')).then_some(())
    };
    let mut macs: Vec<String> = network
        .interfaces
        .iter()
        .filter_map(|i| i.mac.as_deref())
        .map(str::to_ascii_lowercase)
        .filter(|mac| burnt_in(mac).is_some())
        .map(|mac| format!("mac={mac}"))
        .collect();
    macs.sort();
    macs.dedup();
    macs
}

/// One zstd frame of a report's lines. Level 3 with the content size in the header.
pub fn compress<B: AsRef<[u8]>>(jws: &str, bodies: &[B]) -> Result<Vec<u8>, ReportError> {
    let plain = join_lines(jws, bodies.iter().map(AsRef::as_ref));
    zstd::bulk::compress(&plain, 3).map_err(ReportError::Compress)
}

/// Cuts a queue of events to what one report may carry; the rest stays for the next.
#[must_use]
pub fn events_for_one_report(queue: &[Event], carried: usize) -> usize {
    let mut bytes = 0;
    queue
        .iter()
        .take(MAX_EVENTS.saturating_sub(carried))
        .take_while(|event| {
            bytes += serde_json::to_vec(event).map_or(0, |b| b.len());
            bytes <= MAX_EVENT_BYTES
        })
        .count()
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
