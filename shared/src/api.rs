//! Route paths, bodies and error codes that both sides speak. Mentions neither axum nor reqwest.

use serde::{Deserialize, Serialize};

use crate::ids::{HostId, OrgId};
use crate::jws::PublicKey;
use crate::redact::Secret;
use crate::report::TrustUpdate;

/// Common name of the authority that a collector makes for itself; a suffix of its own follows.
pub const COLLECTOR_CA_NAME: &str = "Tenken collector CA";

/// Agent routes (TLS, signed bodies; no other authentication).
pub mod route {
    /// POST a report; the reply is a signed [`crate::report::Reply`].
    pub const REPORT: &str = "/v1/reports";
    /// POST an [`super::EnrolRequest`] as JSON.
    pub const ENROL: &str = "/v1/enrol";
    /// POST a [`super::KeyRequest`] as JSON: rotation, or a clone's new key.
    pub const KEY: &str = "/v1/key";
    /// POST a [`super::ReadmitRequest`] as JSON.
    pub const READMIT: &str = "/v1/readmit";
    /// GET with a random `nonce` query value: answers a signed [`crate::report::Reply`] with code
    /// `accepted` whose `re` is the SHA-256 of the nonce text. For `doctor` and for measuring the clock.
    pub const PING: &str = "/v1/ping";
}

/// What an enrolment token carries. Text form: `tenken1.` + base64url(JSON).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EnrolToken {
    /// Collector addresses, in order of preference (`https://collector.example:8443`).
    pub urls: Vec<String>,
    /// SHA-256 of the CA certificate (DER), base64url.
    pub ca: crate::ids::Digest,
    /// Key that signs replies.
    pub key: PublicKey,
    /// Shown to nobody; the collector keeps its hash.
    pub secret: Secret<String>,
}

/// Prefix of a token's text form.
pub const TOKEN_PREFIX: &str = "tenken1.";

impl EnrolToken {
    /// Text form for an admin to copy.
    #[must_use]
    pub fn to_text(&self) -> String {
        use base64::Engine as _;
        let json = serde_json::to_vec(self).unwrap_or_default();
        format!("{TOKEN_PREFIX}{}", base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(json))
    }

    /// Reads the text form; blanks and line breaks from a mail program are ignored.
    pub fn from_text(text: &str) -> Result<Self, crate::ids::InvalidId> {
        use base64::Engine as _;
        let invalid =
            || crate::ids::InvalidId { what: "enrolment token", value: text.chars().take(12).collect() };
        let clean: String = text.chars().filter(|c| !c.is_whitespace()).take(8192).collect();
        let body = clean.strip_prefix(TOKEN_PREFIX).ok_or_else(invalid)?;
        let json = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(body).map_err(|_| invalid())?;
        serde_json::from_slice(&json).map_err(|_| invalid())
    }
}

/// Body of [`route::ENROL`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EnrolRequest {
    /// Secret of the token.
    pub secret: Secret<String>,
    /// A [`KeyProof`] signed with the new key ([`crate::jws::Purpose::Key`]).
    pub proof: String,
}

/// What a key request proves: signed by the key it names. `nonce` makes it unique; replies name the
/// digest of the compact JWS.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct KeyProof {
    /// The key that signs.
    pub key: PublicKey,
    /// 16 random bytes, base64url.
    pub nonce: String,
    /// Host name, for the list of pending hosts.
    #[serde(default)]
    pub hostname: Option<String>,
    /// Hardware print, as in a manifest.
    #[serde(default)]
    pub print: Option<String>,
    /// Agent version.
    #[serde(default)]
    pub agent_version: Option<String>,
    /// OS family.
    #[serde(default)]
    pub os_family: Option<String>,
    /// System serial, to match the ledger.
    #[serde(default)]
    pub serial: Option<String>,
}

/// Answer to an enrolment, rotation or re-admission: a signed [`crate::report::Reply`] plus what it refers to.
/// On success the reply carries `host`, the whole `trust` bundle and the `policy`. A request whose key
/// is already the one asked for is a repeat: same host, `accepted` again. During the TLS handshake the
/// collector presents its CA certificate after its own, so that an agent can pin it by fingerprint.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct KeyReply {
    /// Signed reply (compact JWS). `re` is the digest of the proof.
    pub reply: String,
    /// The receipt (compact JWS), on success.
    #[serde(default)]
    pub receipt: Option<String>,
    /// Host, on success; the signed reply says the same.
    #[serde(default)]
    pub host: Option<HostId>,
}

/// Body of [`route::KEY`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct KeyRequest {
    /// `rotate` (same host, new key) or `clone` (new pending host that names its original).
    pub purpose: KeyPurpose,
    /// A [`KeyProof`] signed with the new key.
    pub proof: String,
    /// The compact `proof` signed again as payload with the old key ([`crate::jws::Purpose::Key`]).
    pub by_old: String,
}

/// Why an agent changes its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyPurpose {
    /// Same host, new key.
    Rotate,
    /// The collector answered `rekey`.
    Clone,
}

/// Body of [`route::READMIT`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ReadmitRequest {
    /// The receipt the agent was given (compact JWS).
    pub receipt: String,
    /// A [`KeyProof`] signed with the key of the receipt.
    pub proof: String,
}

/// Where an enrolled agent belongs; kept by the agent beside its key.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Membership {
    /// Organisation.
    pub org: OrgId,
    /// Host.
    pub host: HostId,
    /// Collector addresses.
    pub urls: Vec<String>,
    /// What it trusts.
    pub trust: TrustUpdate,
    /// The receipt (compact JWS).
    pub receipt: String,
}

/// Body of every unsigned error answer (admin API, health): stable code, a sentence in both languages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ErrorBody {
    /// Stable code.
    pub code: String,
    /// English, with what to do next.
    pub message: String,
    /// Japanese, with what to do next.
    pub message_ja: String,
}
