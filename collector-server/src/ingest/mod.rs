//! Taking reports: limits, decoding, signature, the chain, one transaction each (group commit joins
//! many). Does not judge hosts: it marks them due.
//!
//! Every answer is signed and has its code; an acknowledgement is given only after the commit is durable.
//! A bad report changes nothing but, at most, the record of events of its own host.

pub mod decode;
pub mod sequence;
pub mod take;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use jiff::Timestamp;
use tenken_shared::fact::KindName;
use tenken_shared::ids::{Digest, KeyId};
use tenken_shared::jws::{JwsError, Purpose, Unverified};
use tenken_shared::policy::PolicyEnvelope;
use tenken_shared::report::{
    DecodeError, MAX_WIRE_BYTES, Manifest, Reply, ReplyCode, decode_manifest, report_digest, split_lines,
};
use tokio::sync::Semaphore;

use self::decode::{Decoded, Incoming};
use self::take::{Delivery, Outcome, Taken, take};
use crate::keys::Keys;
use crate::store::fact::body::pack;
use crate::store::fact::change::Ready;
use crate::store::fact::{self};
use crate::store::host::HostRef;
use crate::store::report::KeyOwner;
use crate::store::{Store, StoreError};

/// Reports read at once; bounds the memory that decompressed ones take.
const DECODING_MAX: usize = 8;
/// Reports one host may send in [`WINDOW_S`].
const REPORTS_PER_WINDOW: u32 = 600;
/// Wire bytes one host may send in [`WINDOW_S`].
const BYTES_PER_WINDOW: u64 = 64 * 1024 * 1024;
/// Length of the window of the per-host quotas, seconds.
const WINDOW_S: i64 = 60;
/// Keys, hosts and kinds remembered at most.
const REMEMBERED_MAX: usize = 100_000;
/// How long a policy is taken from memory, seconds.
const POLICY_AGE_S: i64 = 5;
/// Deepest event data.
const EVENT_DEPTH: usize = 16;

/// What travels with a report beside its bytes.
#[derive(Debug, Clone, Default)]
pub struct Envelope {
    /// Policy version the agent has.
    pub policy_version: Option<u64>,
    /// Trust version the agent has.
    pub trust_version: Option<u64>,
    /// Host clock at sending, milliseconds.
    pub clock_ms: Option<i64>,
    /// Whether the bytes are a zstd frame.
    pub compressed: bool,
}

/// Counts for the metrics page.
#[derive(Debug, Default)]
pub struct Counts(Mutex<BTreeMap<&'static str, u64>>);

impl Counts {
    /// Counts one answer.
    pub fn add(&self, code: ReplyCode) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(code.as_str()).or_default() += 1;
    }

    /// Answers by code.
    #[must_use]
    pub fn all(&self) -> BTreeMap<&'static str, u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Used {
    window: i64,
    reports: u32,
    bytes: u64,
}

/// Takes reports and answers them.
#[derive(Debug)]
pub struct Ingest {
    store: Store,
    keys: Arc<Keys>,
    owners: RwLock<HashMap<KeyId, KeyOwner>>,
    kinds: RwLock<HashMap<KindName, i64>>,
    policies: Mutex<HashMap<i64, (Timestamp, Arc<PolicyEnvelope>)>>,
    used: Mutex<HashMap<HostRef, Used>>,
    decoding: Semaphore,
    /// Answers given.
    pub counts: Counts,
}

/// Why a report goes no further, before it reaches the store.
#[derive(Debug)]
struct Refusal {
    code: ReplyCode,
    message: String,
    retry_after_s: Option<u64>,
}

impl Refusal {
    fn new(code: ReplyCode, message: impl ToString) -> Self {
        Self { code, message: message.to_string(), retry_after_s: None }
    }
}

impl From<DecodeError> for Refusal {
    fn from(error: DecodeError) -> Self {
        let code = match error {
            DecodeError::TooLarge(_) => ReplyCode::TooLarge,
            DecodeError::Malformed(_) => ReplyCode::Malformed,
            DecodeError::Version(_) => ReplyCode::UnsupportedVersion,
        };
        Self::new(code, error)
    }
}

impl From<JwsError> for Refusal {
    fn from(error: JwsError) -> Self {
        let code = match error {
            JwsError::Malformed | JwsError::UnsupportedHeader => ReplyCode::Malformed,
            JwsError::WrongKey | JwsError::BadSignature | JwsError::BadKey => ReplyCode::BadSignature,
        };
        Self::new(code, error)
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Refused(text) => Self::new(ReplyCode::TooLarge, text),
            error => {
                tracing::error!(error = %error, "a report could not be stored");
                let message = "the collector cannot store now";
                Self { code: ReplyCode::Unavailable, message: message.into(), retry_after_s: Some(30) }
            }
        }
    }
}

/// A signed answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Its code.
    pub code: ReplyCode,
    /// The compact JWS.
    pub text: String,
}

impl Ingest {
    /// Over an open store and the collector's keys.
    #[must_use]
    pub fn new(store: Store, keys: Arc<Keys>) -> Self {
        Self {
            store,
            keys,
            owners: RwLock::default(),
            kinds: RwLock::default(),
            policies: Mutex::default(),
            used: Mutex::default(),
            decoding: Semaphore::new(DECODING_MAX),
            counts: Counts::default(),
        }
    }

    /// Takes one report; the answer is signed whatever became of it.
    pub async fn report(&self, wire: &[u8], envelope: &Envelope, now: Timestamp) -> Answer {
        let first_line = wire.split(|b| *b == b'\n').next().unwrap_or_default();
        let mut reply = blank(ReplyCode::Malformed, Digest::of(first_line), now);
        reply.trust = self.keys.trust_newer_than(envelope.trust_version);
        if let Err(refusal) = self.fill(&mut reply, wire, envelope, now).await {
            tracing::debug!(code = refusal.code.as_str(), message = %refusal.message, "report refused");
            reply.code = refusal.code;
            reply.message = Some(refusal.message);
            reply.retry_after_s = refusal.retry_after_s;
        }
        self.counts.add(reply.code);
        self.keys.answer(&reply)
    }

    /// A signed refusal of something that did not even arrive whole; it names no report.
    #[must_use]
    pub fn refuse(&self, code: ReplyCode, now: Timestamp) -> Answer {
        self.counts.add(code);
        self.keys.answer(&blank(code, Digest::of(b""), now))
    }

    async fn fill(
        &self,
        reply: &mut Reply,
        wire: &[u8],
        envelope: &Envelope,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        if wire.len() > MAX_WIRE_BYTES {
            return Err(Refusal::new(ReplyCode::TooLarge, "over the size limit of a report"));
        }
        let decoding = self
            .decoding
            .acquire()
            .await
            .map_err(|_| Refusal::new(ReplyCode::Unavailable, "the collector is stopping"))?;
        let mut incoming = Incoming::open(wire, envelope.compressed)?;
        let (owner, manifest) = self.believe(reply, incoming.manifest()?, wire.len(), now).await?;
        check_events(&manifest)?;
        let text = incoming.whole()?;
        let (compact, bodies) = split_lines(&text)?;
        let delivery = Delivery {
            at: owner.at,
            digest: reply.re,
            compact: compact.to_owned(),
            received_at: now,
            offset_ms: offset(&manifest, envelope, now),
            kinds: self.kind_numbers(&manifest).await?,
            bodies: self.ready(&manifest, &bodies).await?,
            manifest,
        };
        drop(text);
        drop(decoding);
        let outcome = self.store.write(move |tx| take(tx, &delivery)).await?;
        self.tell(reply, outcome, owner.at, envelope, now).await
    }

    /// Whose report this is and what its manifest says, when the signature holds.
    async fn believe(
        &self,
        reply: &mut Reply,
        compact: &str,
        wire_bytes: usize,
        now: Timestamp,
    ) -> Result<(KeyOwner, Manifest), Refusal> {
        reply.re = report_digest(compact);
        let unverified = Unverified::parse(compact, Purpose::Report)?;
        let owner = self
            .owner(unverified.key_id())
            .await?
            .ok_or_else(|| Refusal::new(ReplyCode::UnknownHost, "this key belongs to no host here"))?;
        let payload = unverified.verify(&owner.key)?;
        // Only what the host itself signed counts against it.
        self.allow(owner.at, wire_bytes, now)?;
        Ok((owner, decode_manifest(&payload)?))
    }

    async fn tell(
        &self,
        reply: &mut Reply,
        outcome: Outcome,
        at: HostRef,
        envelope: &Envelope,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        reply.host = outcome.host;
        reply.head_seq = Some(outcome.head_seq);
        reply.head = outcome.head;
        reply.code = match outcome.taken {
            Taken::Accepted => {
                reply.policy = self.policy_newer_than(at.org, envelope.policy_version, now).await?;
                ReplyCode::Accepted
            }
            Taken::NeedBodies(need) => {
                reply.need = need;
                ReplyCode::NeedBodies
            }
            Taken::Resync(cause) => {
                reply.message = Some(cause.to_owned());
                ReplyCode::Resync
            }
            Taken::Rekey => ReplyCode::Rekey,
            Taken::Revoked => ReplyCode::Revoked,
            Taken::Unknown => ReplyCode::UnknownHost,
            Taken::Malformed(message) => {
                reply.message = Some(message);
                ReplyCode::Malformed
            }
        };
        Ok(())
    }

    /// Whose key this is. Keys never change owner, so a found one is remembered; whether its host still
    /// reports is asked of the store each time.
    async fn owner(&self, kid: &KeyId) -> Result<Option<KeyOwner>, StoreError> {
        let known = self.owners.read().unwrap_or_else(PoisonError::into_inner).get(kid).cloned();
        if known.is_some() {
            return Ok(known);
        }
        let found = self.store.key_owner(kid).await?;
        if let Some(owner) = &found {
            remember(&self.owners, kid.clone(), owner.clone());
        }
        Ok(found)
    }

    /// Counts against the quotas of the host.
    fn allow(&self, at: HostRef, bytes: usize, now: Timestamp) -> Result<(), Refusal> {
        let window = now.as_second().div_euclid(WINDOW_S);
        let mut all = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= REMEMBERED_MAX {
            all.retain(|_, used| used.window == window);
        }
        let used = all.entry(at).or_default();
        if used.window != window {
            *used = Used { window, ..Used::default() };
        }
        if used.reports >= REPORTS_PER_WINDOW || used.bytes >= BYTES_PER_WINDOW {
            let left = (window + 1) * WINDOW_S - now.as_second();
            return Err(Refusal {
                code: ReplyCode::SlowDown,
                message: "too many reports of this host".into(),
                retry_after_s: Some(left.unsigned_abs().max(1)),
            });
        }
        used.reports += 1;
        used.bytes += bytes as u64;
        Ok(())
    }

    async fn kind_numbers(&self, manifest: &Manifest) -> Result<HashMap<KindName, i64>, StoreError> {
        let named = manifest.changed.iter().map(|e| &e.kind);
        let mut numbers = HashMap::new();
        let mut missing = Vec::new();
        {
            let known = self.kinds.read().unwrap_or_else(PoisonError::into_inner);
            for kind in named {
                match known.get(kind) {
                    Some(id) => drop(numbers.insert(kind.clone(), *id)),
                    None => missing.push(kind.clone()),
                }
            }
        }
        if !missing.is_empty() {
            let added = self.store.write(move |tx| fact::ensure_kinds(tx, &missing)).await?;
            for (kind, id) in added {
                remember(&self.kinds, kind.clone(), id);
                numbers.insert(kind, id);
            }
        }
        Ok(numbers)
    }

    /// Makes the bodies that the manifest names ready for the store; others are left out.
    async fn ready(&self, manifest: &Manifest, bodies: &[&[u8]]) -> Result<BTreeMap<Digest, Ready>, Refusal> {
        let mut out = BTreeMap::new();
        for bytes in bodies {
            let (digest, decoded) = decode::body(bytes)?;
            let Some(entry) = manifest.changed.iter().find(|e| e.digest == digest) else { continue };
            if entry.kind.as_str() != decoded.kind() {
                return Err(Refusal::new(ReplyCode::Malformed, "a body is of another kind than it is named"));
            }
            let ready = match decoded {
                Decoded::Software(split) => Ready::Rows {
                    rows: self.store.software_rows(&split).await?,
                    status: split.status,
                    rest: split.rest.to_owned(),
                },
                Decoded::Other(content) => {
                    let (encoding, packed) = pack(bytes);
                    Ready::Bytes { encoding, bytes: packed, content }
                }
            };
            out.insert(digest, ready);
        }
        Ok(out)
    }

    async fn policy_newer_than(
        &self,
        org: i64,
        version: Option<u64>,
        now: Timestamp,
    ) -> Result<Option<PolicyEnvelope>, StoreError> {
        let held = self.policies.lock().unwrap_or_else(PoisonError::into_inner).get(&org).cloned();
        let fresh = held.filter(|(read_at, _)| now.duration_since(*read_at).as_secs().abs() < POLICY_AGE_S);
        let policy = match fresh {
            Some((_, policy)) => policy,
            None => {
                let policy = Arc::new(self.store.policy(org).await?);
                let mut all = self.policies.lock().unwrap_or_else(PoisonError::into_inner);
                all.insert(org, (now, Arc::clone(&policy)));
                policy
            }
        };
        let wanted = version.is_none_or(|held| held < policy.version);
        Ok(wanted.then(|| (*policy).clone()))
    }
}

/// A reply that says nothing but its code.
#[must_use]
pub(crate) fn blank(code: ReplyCode, re: Digest, now: Timestamp) -> Reply {
    Reply {
        code,
        re,
        time: now.as_millisecond(),
        host: None,
        head_seq: None,
        head: None,
        need: Vec::new(),
        retry_after_s: None,
        policy: None,
        trust: None,
        message: None,
    }
}

fn remember<K: std::hash::Hash + Eq, V>(map: &RwLock<HashMap<K, V>>, key: K, value: V) {
    let mut map = map.write().unwrap_or_else(PoisonError::into_inner);
    if map.len() >= REMEMBERED_MAX {
        map.clear();
    }
    map.insert(key, value);
}

/// Host clock minus collector clock. Without the clock at sending only a clock that runs ahead shows.
fn offset(manifest: &Manifest, envelope: &Envelope, now: Timestamp) -> i64 {
    let now = now.as_millisecond();
    match envelope.clock_ms {
        Some(clock) => clock.saturating_sub(now),
        None => manifest.created_at.saturating_sub(now).max(0),
    }
}

fn check_events(manifest: &Manifest) -> Result<(), Refusal> {
    fn depth(value: &serde_json::Value) -> usize {
        match value {
            serde_json::Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
            serde_json::Value::Object(map) => 1 + map.values().map(depth).max().unwrap_or(0),
            _ => 0,
        }
    }
    if manifest.events.iter().any(|e| depth(&e.data) > EVENT_DEPTH) {
        return Err(Refusal::new(ReplyCode::Malformed, "event data nested too deep"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
