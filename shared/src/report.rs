//! The wire form of a report and of the collector's reply.
//!
//! A report is text lines: the first is the manifest as a compact JWS ([`Purpose::Report`](crate::jws::Purpose::Report)), each
//! following one the canonical bytes of a [`FactContent`] whose SHA-256 the manifest names in `changed`
//! (or that the collector asked for with `need`). A report without bodies travels plain
//! ([`MEDIA_TYPE`]); one with bodies is one zstd frame of those lines ([`MEDIA_TYPE_ZSTD`]).
//!
//! Every reply is a JWS of the collector ([`Purpose::Reply`](crate::jws::Purpose::Reply)) and names the digest of the manifest it
//! answers, so that an old "accepted" cannot be replayed for another report. An agent acts on nothing
//! that is not signed; an unsigned answer (a proxy's error page) is a failed delivery to be repeated.
//!
//! # The chain
//!
//! 1. `seq` grows with every report a key signs and is never used again for another content. `prev` is
//!    the digest of the report before; the first report of a key has neither `prev` nor `base`.
//! 2. `base`, where present, is the `seq` of that same report before (`prev`): a report is a delta on its
//!    predecessor, whether that one was accepted already or still waits in the spool in front of it.
//!    Without `base` the list in `changed` is complete. `root` says whether both sides ended up with the
//!    same facts; where it does not fit, the collector answers `resync`.
//! 3. The collector takes a report when `prev` is its head and either `seq` is head + 1 or `dropped`
//!    covers exactly head + 1 to `seq` - 1. A full spool withdraws its *newest* unsent reports (never
//!    the oldest one, which may be on its way) and puts one in their place that follows the last one
//!    kept, carries the withdrawn events on, and says in `dropped` what was withdrawn.
//! 4. With `resync` set, `prev` is not compared: the report is taken when `resync.head_seq`/`head` are
//!    the collector's head of this moment and `seq` is greater than it. It has no `base`. Reports
//!    that waited when the collector asked for it are withdrawn like those of rule 3.
//! 5. Same `seq` and same digest as a report taken before: a repeat, `accepted`. Same or lower `seq`
//!    with another digest, or a `prev` that is not the head: `resync`, or `rekey` where the print differs.
//! 6. `re` of a reply is [`report_digest`] of the first line as it came, even if it did not verify; for
//!    key requests the digest of the compact `proof`; for a ping that of the `nonce` query value.
//!
//! Kinds whose name ends in `_observed` are time series ([`KindName::is_observed`]): an observation holds
//! for its own `collected_at`. `confirmed_at` says nothing of them; only `changed` and `confirmed` do.
//!
//! The envelope grows only compatibly: unknown members are ignored on reading and kept in the signed
//! text, which is stored as it came.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::fact::{FactContent, FactRecord, KindName};
use crate::ids::{Digest, HostId, OrgId};
use crate::jws::PublicKey;
use crate::policy::PolicyEnvelope;

/// Version of this envelope.
pub const VERSION: u32 = 1;
/// Media type of a report without bodies.
pub const MEDIA_TYPE: &str = "application/jose";
/// Media type of a report with bodies: one zstd frame.
pub const MEDIA_TYPE_ZSTD: &str = "application/zstd";
/// Largest report on the wire, bytes.
pub const MAX_WIRE_BYTES: usize = 8 * 1024 * 1024;
/// Largest report after decompression, bytes.
pub const MAX_PLAIN_BYTES: usize = 48 * 1024 * 1024;
/// Largest canonical content of one fact, bytes.
pub const MAX_FACT_BYTES: usize = 16 * 1024 * 1024;
/// Most facts in one report.
pub const MAX_FACTS: usize = 128;
/// Most events in one report.
pub const MAX_EVENTS: usize = 512;
/// Deepest JSON nesting accepted.
pub const MAX_DEPTH: usize = crate::canonical::MAX_DEPTH;

/// What the signature of a report covers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`VERSION`].
    pub version: u32,
    /// Number of this report: one more than the one before, from 1. Never reused with another content.
    pub seq: u64,
    /// [`report_digest`] of the report before; absent in the first report after enrolment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prev: Option<Digest>,
    /// Root digest over all current facts: [`root_digest`].
    pub root: Digest,
    /// Host clock when the report was spooled, milliseconds since 1970 (UTC).
    pub created_at: i64,
    /// Every fact not named in `changed` or `confirmed`, `*_observed` kinds aside, was collected again,
    /// same digest, at or after this host time (milliseconds). Its age counts from here.
    pub confirmed_at: i64,
    /// Kinds confirmed at another time than `confirmed_at` (milliseconds).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub confirmed: BTreeMap<KindName, i64>,
    /// `seq` of the report named by `prev`, on which this one builds. Absent: `changed` is the full list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<u64>,
    /// Facts that are new or changed since `base`, or all facts when there is no `base`; sorted by kind.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changed: Vec<FactEntry>,
    /// Kinds that `base` had and that no longer exist.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gone: Vec<KindName>,
    /// Hardware print: first 16 bytes of a SHA-256 over stable hardware ids, base64url; tells a rolled
    /// back machine from a cloned one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub print: Option<String>,
    /// Set on the first report after a `resync`: why, and the head the collector named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resync: Option<Resync>,
    /// Reports that were dropped from a full spool since the one before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dropped: Option<Dropped>,
    /// Things that happened and are not state (media arrival and removal ...), in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<Event>,
}

/// One fact in a manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FactEntry {
    /// Kind.
    pub kind: KindName,
    /// Digest of its [`FactContent`].
    pub digest: Digest,
    /// When it was collected, host clock, milliseconds.
    pub collected_at: i64,
}

/// A break in the chain that the collector asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resync {
    /// Code of the reply that asked for it.
    pub cause: String,
    /// Head the collector named: its last sequence number, 0 for none.
    pub head_seq: u64,
    /// Head the collector named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<Digest>,
}

/// What a full spool lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dropped {
    /// First sequence number dropped.
    pub from_seq: u64,
    /// Last sequence number dropped.
    pub to_seq: u64,
    /// How many reports (state reports that were coalesced included).
    pub reports: u64,
    /// How many events among them.
    pub events: u64,
    /// SHA-256 over the dropped report digests in order.
    pub digest: Digest,
}

/// One event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// When, host clock, milliseconds.
    pub at: i64,
    /// `media.arrived`, `media.removed`, `agent.started` ...
    pub kind: String,
    /// Its data, small.
    #[serde(default)]
    pub data: serde_json::Value,
}

/// Digest that names a report: SHA-256 of the compact JWS of its manifest.
#[must_use]
pub fn report_digest(compact: &str) -> Digest {
    Digest::of(compact.as_bytes())
}

/// Root digest over `(kind, fact digest)`, sorted by kind: SHA-256 of `kind NUL digest-bytes` concatenated.
#[must_use]
pub fn root_digest<'a>(facts: impl IntoIterator<Item = (&'a KindName, &'a Digest)>) -> Digest {
    let sorted: BTreeMap<_, _> = facts.into_iter().collect();
    let mut bytes = Vec::with_capacity(sorted.len() * 56);
    for (kind, digest) in sorted {
        bytes.extend_from_slice(kind.as_str().as_bytes());
        bytes.push(0);
        bytes.extend_from_slice(digest.as_bytes());
    }
    Digest::of(&bytes)
}

/// Why the bytes of a report do not decode.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Over a size or count cap.
    #[error("report too large: {0}")]
    TooLarge(&'static str),
    /// Not of the form of this module.
    #[error("report malformed: {0}")]
    Malformed(String),
    /// A version this program does not know.
    #[error("report version {0} is not supported")]
    Version(u32),
}

/// Reads the manifest payload of a verified JWS.
pub fn decode_manifest(payload: &[u8]) -> Result<Manifest, DecodeError> {
    #[derive(Deserialize)]
    struct Probe {
        version: u32,
    }
    let probe: Probe = serde_json::from_slice(payload).map_err(|e| DecodeError::Malformed(e.to_string()))?;
    if probe.version != VERSION {
        return Err(DecodeError::Version(probe.version));
    }
    let manifest: Manifest =
        serde_json::from_slice(payload).map_err(|e| DecodeError::Malformed(e.to_string()))?;
    if manifest.changed.len() > MAX_FACTS || manifest.confirmed.len() > MAX_FACTS {
        return Err(DecodeError::TooLarge("facts"));
    }
    if manifest.events.len() > MAX_EVENTS {
        return Err(DecodeError::TooLarge("events"));
    }
    if manifest.changed.windows(2).any(|w| w[0].kind >= w[1].kind) {
        return Err(DecodeError::Malformed("changed kinds must be sorted and unique".into()));
    }
    if manifest.seq == 0 || manifest.seq > i64::MAX as u64 {
        return Err(DecodeError::Malformed("seq out of range".into()));
    }
    Ok(manifest)
}

/// One body line: its digest, its bytes as sent, and its content.
#[derive(Debug, Clone, PartialEq)]
pub struct BodyLine<'a> {
    /// SHA-256 of the bytes.
    pub digest: Digest,
    /// Canonical bytes as they came.
    pub bytes: &'a [u8],
    /// The content read from them.
    pub content: FactContent,
}

/// Splits decompressed report bytes into the compact JWS and its raw body lines.
pub fn split_lines(plain: &[u8]) -> Result<(&str, Vec<&[u8]>), DecodeError> {
    if plain.len() > MAX_PLAIN_BYTES {
        return Err(DecodeError::TooLarge("decompressed bytes"));
    }
    let mut lines = plain.split(|b| *b == b'\n');
    let jws = lines.next().unwrap_or_default();
    let jws = std::str::from_utf8(jws).map_err(|_| DecodeError::Malformed("manifest is not text".into()))?;
    let bodies: Vec<&[u8]> = lines.filter(|l| !l.is_empty()).take(MAX_FACTS + 1).collect();
    if bodies.len() > MAX_FACTS {
        return Err(DecodeError::TooLarge("bodies"));
    }
    Ok((jws, bodies))
}

/// Reads one body line. The bytes must be the canonical form of what they say.
pub fn decode_body(bytes: &[u8]) -> Result<BodyLine<'_>, DecodeError> {
    if bytes.len() > MAX_FACT_BYTES {
        return Err(DecodeError::TooLarge("fact"));
    }
    let content: FactContent =
        serde_json::from_slice(bytes).map_err(|e| DecodeError::Malformed(e.to_string()))?;
    if content.status.has_body() != content.body.is_some() {
        return Err(DecodeError::Malformed(format!("{}: body does not fit status", content.kind)));
    }
    Ok(BodyLine { digest: Digest::of(bytes), bytes, content })
}

/// Joins a compact JWS and fact contents into report bytes (before compression).
pub fn join_lines<'a>(compact: &str, bodies: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut out = compact.as_bytes().to_vec();
    for body in bodies {
        out.push(b'\n');
        out.extend_from_slice(body);
    }
    out
}

/// Manifest entry of a record.
impl From<&FactRecord> for FactEntry {
    fn from(record: &FactRecord) -> Self {
        Self {
            kind: record.content.kind.clone(),
            digest: record.digest,
            collected_at: record.collected_at.as_millisecond(),
        }
    }
}

/// What the collector says to a report or key request. The payload of its signed reply.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reply {
    /// What to do.
    pub code: ReplyCode,
    /// [`report_digest`] of the request answered.
    pub re: Digest,
    /// Collector clock, milliseconds since 1970.
    pub time: i64,
    /// Host the key belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<HostId>,
    /// Collector's head of this host's chain after the request (sequence number).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head_seq: Option<u64>,
    /// Collector's head of this host's chain after the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<Digest>,
    /// Bodies the collector lacks for this host (`need_bodies`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub need: Vec<Digest>,
    /// Wait at least this long before the next request (seconds).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_s: Option<u64>,
    /// A policy newer than the one the agent named in [`POLICY_HEADER`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<PolicyEnvelope>,
    /// Successor keys and certificates, announced well ahead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust: Option<TrustUpdate>,
    /// For a person reading the log, in English; never parsed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// Request header naming the policy version the agent has.
pub const POLICY_HEADER: &str = "tenken-policy";
/// Request header with the host clock at sending, milliseconds since 1970: what the collector measures the
/// clock offset by, as a report may have waited long since its `created_at`.
pub const CLOCK_HEADER: &str = "tenken-clock";
/// Request header naming the trust bundle version the agent has.
pub const TRUST_HEADER: &str = "tenken-trust";

/// Every answer has its code and its cure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplyCode {
    /// Durable in the store; delete it. Also the answer to a repeat.
    Accepted,
    /// Same manifest again with the bodies in `need`.
    NeedBodies,
    /// The chain does not continue (gap, restored collector, rolled-back machine): send a full report
    /// with `resync` set, `seq` above both heads.
    Resync,
    /// This key is in use on other hardware: make a new key, become a new pending host.
    Rekey,
    /// The host was retired or revoked: stop reporting until enrolled anew.
    Revoked,
    /// The collector does not know this key: present the receipt (`/v1/readmit`).
    UnknownHost,
    /// The signature does not verify.
    BadSignature,
    /// The envelope version is not known here; the collector needs an update, keep spooling.
    UnsupportedVersion,
    /// Over a cap: this report will never be taken; send a smaller one.
    TooLarge,
    /// Not decodable: this report will never be taken.
    Malformed,
    /// Too much at once: wait `retry_after_s`.
    SlowDown,
    /// The collector cannot store now (disk full, database away): keep and repeat.
    Unavailable,
    /// Enrolment token unknown, used up, expired or not for this address.
    TokenRefused,
}

impl ReplyCode {
    /// The wire word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::NeedBodies => "need_bodies",
            Self::Resync => "resync",
            Self::Rekey => "rekey",
            Self::Revoked => "revoked",
            Self::UnknownHost => "unknown_host",
            Self::BadSignature => "bad_signature",
            Self::UnsupportedVersion => "unsupported_version",
            Self::TooLarge => "too_large",
            Self::Malformed => "malformed",
            Self::SlowDown => "slow_down",
            Self::Unavailable => "unavailable",
            Self::TokenRefused => "token_refused",
        }
    }

    /// HTTP status that goes with the code. Agents read the signed code, not this.
    #[must_use]
    pub fn http_status(self) -> u16 {
        match self {
            Self::Accepted => 200,
            Self::NeedBodies | Self::Resync | Self::Rekey => 409,
            Self::Revoked | Self::TokenRefused => 403,
            Self::UnknownHost => 404,
            Self::BadSignature => 401,
            Self::UnsupportedVersion => 426,
            Self::TooLarge => 413,
            Self::Malformed => 400,
            Self::SlowDown => 429,
            Self::Unavailable => 503,
        }
    }
}

/// What an agent trusts: the collector's CA certificates and signing keys. Sent whole when the agent's
/// version is older. The old ones stay in the bundle until every agent has had time to hear of the new.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrustUpdate {
    /// Grows by one with every change.
    pub version: u64,
    /// CA certificates, PEM.
    pub ca_pem: Vec<String>,
    /// Signing keys for replies.
    pub keys: Vec<PublicKey>,
}

/// Receipt of an enrolment, signed by the collector ([`crate::jws::Purpose::Receipt`]): lets a collector that was
/// restored from an older copy take the host back, same key, same id.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Receipt {
    /// Organisation.
    pub org: OrgId,
    /// Host.
    pub host: HostId,
    /// The host's key.
    pub key: PublicKey,
    /// Group given by the token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// From a token of class `ephemeral`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ephemeral: bool,
    /// When, collector clock.
    pub issued_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_does_not_depend_on_order() {
        let a: KindName = "os".parse().unwrap();
        let b: KindName = "software".parse().unwrap();
        let (x, y) = (Digest::of(b"x"), Digest::of(b"y"));
        assert_eq!(root_digest([(&a, &x), (&b, &y)]), root_digest([(&b, &y), (&a, &x)]));
        assert_ne!(root_digest([(&a, &x), (&b, &y)]), root_digest([(&a, &y), (&b, &x)]));
    }

    #[test]
    fn unchanged_manifest_is_small() {
        let manifest = Manifest {
            version: VERSION,
            seq: 123_456,
            prev: Some(Digest::of(b"p")),
            root: Digest::of(b"r"),
            created_at: 1_795_000_000_000,
            confirmed_at: 1_795_000_000_000,
            confirmed: BTreeMap::new(),
            base: Some(123_455),
            changed: vec![],
            gone: vec![],
            print: Some("AAAAAAAAAAAAAAAAAAAAAA".into()),
            resync: None,
            dropped: None,
            events: vec![],
        };
        let key = crate::jws::SigningKey::from_pkcs8(&crate::jws::SigningKey::generate().unwrap()).unwrap();
        let compact = key.sign(crate::jws::Purpose::Report, &serde_json::to_vec(&manifest).unwrap());
        assert!(compact.len() < 540, "{} bytes", compact.len());
    }
}
