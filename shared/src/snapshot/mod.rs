//! Snapshots as documents: the signed header, its leaves, and the pack that carries the evidence. What
//! can be checked of a pack without any server: [`verify()`].

mod verify;

pub use verify::{Check, CheckState, Report, verify};

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::canonical::{self, CanonicalError};
use crate::catalog::Catalog;
use crate::criterion::{Attestation, Coverage, CriterionResult, Exception};
use crate::fact::{FactContent, KindName};
use crate::finding::Finding;
use crate::ids::{Digest, HostId, OrgId, SnapshotId};
use crate::jws::PublicKey;
use crate::merkle::{self, SALT_BYTES, SaltSecret};
use crate::policy::PolicyEnvelope;

/// Version of the header and of the pack.
pub const VERSION: u32 = 1;
/// Largest pack that is read, bytes.
pub const MAX_PACK_BYTES: u64 = 2 * 1024 * 1024 * 1024;

/// What the collector's signature of a snapshot covers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// [`VERSION`].
    pub version: u32,
    /// Organisation.
    pub org: OrgId,
    /// Id.
    pub snapshot: SnapshotId,
    /// Number within the organisation, from 1 without a gap.
    pub number: u64,
    /// [`digest`] of the snapshot before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Digest>,
    /// Moment on the observed axis (host time, corrected).
    pub observed_at: Timestamp,
    /// Moment on the recorded axis (collector time).
    pub recorded_at: Timestamp,
    /// `manual` or `schedule`.
    pub reason: String,
    /// Version of the scheme's criteria.
    pub standard: String,
    /// Which controls judged (digest of ids and versions).
    pub controls: String,
    /// Confirmed hosts.
    pub hosts: u64,
    /// Leaves of the tree.
    pub leaves: u64,
    /// Root over the salted leaves.
    pub root: Digest,
}

/// Digest that names a snapshot: SHA-256 of the compact JWS of its header.
#[must_use]
pub fn digest(compact: &str) -> Digest {
    Digest::of(compact.as_bytes())
}

/// What one leaf of the tree says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "leaf", rename_all = "snake_case")]
pub enum Leaf {
    /// Digest of one part of [`State`], canonical.
    State {
        /// Name of the part.
        part: String,
        /// SHA-256 of its canonical bytes.
        digest: Digest,
    },
    /// One host: what it reported and how it was judged.
    Host {
        /// Host.
        host: HostId,
        /// Number of its last report; 0 where it never reported.
        seq: u64,
        /// [`crate::report::report_digest`] of that report.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        report: Option<Digest>,
        /// Root digest over its facts, as its agent signed it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        facts: Option<Digest>,
        /// SHA-256 of its canonical findings.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        findings: Option<Digest>,
    },
    /// Names of one host, apart so that they can be left out.
    Name {
        /// Host.
        host: HostId,
        /// Host name.
        hostname: String,
        /// Group.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        group: Option<String>,
    },
}

/// A leaf in a pack: with its data and salt, or, where the data are left out, its hash alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum PackedLeaf {
    /// Whole.
    Open {
        /// Salt, base64url.
        salt: String,
        /// Data.
        data: Leaf,
    },
    /// Left out.
    Hidden {
        /// Hash.
        hash: Digest,
    },
}

/// What was in force for the whole organisation at the moment of the snapshot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Policy.
    pub policy: PolicyEnvelope,
    /// Catalogues.
    pub catalog: Catalog,
    /// Result per criterion.
    pub criteria: Vec<CriterionResult>,
    /// Exceptions.
    pub exceptions: Vec<Exception>,
    /// Attestations.
    pub attestations: Vec<Attestation>,
    /// Machines beyond the hosts.
    pub coverage: Coverage,
    /// Hosts that had been silent too long.
    pub silent: Vec<HostId>,
}

impl State {
    /// The leaves of its parts, in a fixed order.
    pub fn leaves(&self) -> Result<Vec<Leaf>, CanonicalError> {
        fn leaf(part: &str, value: &impl Serialize) -> Result<Leaf, CanonicalError> {
            Ok(Leaf::State { part: part.to_owned(), digest: canonical::digest(value)? })
        }
        Ok(vec![
            leaf("policy", &self.policy)?,
            leaf("catalog", &self.catalog)?,
            leaf("criteria", &self.criteria)?,
            leaf("exceptions", &self.exceptions)?,
            leaf("attestations", &self.attestations)?,
            leaf("coverage", &self.coverage)?,
            leaf("silent", &self.silent)?,
        ])
    }
}

/// Canonical bytes of a leaf's data.
pub fn leaf_bytes(leaf: &Leaf) -> Result<Vec<u8>, CanonicalError> {
    canonical::to_bytes(leaf)
}

/// Hashes of leaves in order, salted from `secret`.
pub fn hash_leaves(leaves: &[Leaf], secret: &SaltSecret) -> Result<Vec<Digest>, CanonicalError> {
    let hash = |(i, leaf)| Ok(merkle::leaf(&secret.salt(i), &leaf_bytes(leaf)?));
    (0u64..).zip(leaves).map(hash).collect()
}

/// One fact in a pack.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PackedFact {
    /// Kind.
    pub kind: KindName,
    /// Digest of its content.
    pub digest: Digest,
    /// Content, where the pack carries it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<FactContent>,
}

/// Evidence of one host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PackedHost {
    /// Host.
    pub host: HostId,
    /// Manifest of its last report as the agent signed it (compact JWS).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<String>,
    /// The agent's public key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<PublicKey>,
    /// Facts that held, sorted by kind.
    pub facts: Vec<PackedFact>,
    /// Findings with their evidence.
    pub findings: Vec<Finding>,
}

/// A snapshot with its evidence, as exported. Its canonical bytes are the file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pack {
    /// [`VERSION`].
    pub version: u32,
    /// Signed header (compact JWS).
    pub header: String,
    /// Signed headers of all earlier snapshots, oldest first.
    pub chain: Vec<String>,
    /// The collector's public signing keys by key id.
    pub keys: BTreeMap<String, PublicKey>,
    /// Leaves in order.
    pub leaves: Vec<PackedLeaf>,
    /// What was in force.
    pub state: State,
    /// Hosts, by host id.
    pub hosts: Vec<PackedHost>,
}

/// Salt of a leaf as text.
#[must_use]
pub fn salt_text(salt: &[u8; SALT_BYTES]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(salt)
}

pub(crate) fn salt_from_text(text: &str) -> Option<[u8; SALT_BYTES]> {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()
}
