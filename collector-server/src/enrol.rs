//! Enrolment, key rotation, clones and re-admission: who may hold which key. Stores only hashes of
//! token secrets. Every answer is signed and names the digest of the proof it answers.

use std::net::IpAddr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use tenken_shared::api::{
    EnrolRequest, EnrolToken, KeyProof, KeyPurpose, KeyReply, KeyRequest, ReadmitRequest,
};
use tenken_shared::ids::{Digest, HostId};
use tenken_shared::jws::{Purpose, Unverified};
use tenken_shared::redact::Secret;
use tenken_shared::report::{Receipt, Reply, ReplyCode};

use crate::ingest::blank;
use crate::keys::Keys;
use crate::rate::RateLimit;
use crate::store::host::Host;
use crate::store::token::{Enrolled, Token, Told};
use crate::store::{Store, StoreError};
use crate::user::Actor;

/// Setting that remembers the address `serve` was last reached at, for new tokens.
pub const URL_SETTING: &str = "public_url";
/// Refused attempts per address and minute before it must wait.
const REFUSALS_PER_MINUTE: u32 = 20;
/// Longest text an agent may tell of itself.
const TOLD_CHARS: usize = 255;

/// What a new token shall be.
#[derive(Debug, Clone)]
pub struct TokenSpec {
    /// What it is for.
    pub label: String,
    /// Group its hosts join.
    pub group: Option<String>,
    /// From pooled virtual desktops.
    pub ephemeral: bool,
    /// Addresses it may be used from, in CIDR form.
    pub address_range: Option<String>,
    /// How long it can be used.
    pub valid_for: SignedDuration,
    /// How often.
    pub max_uses: i64,
    /// Collector addresses for the agents.
    pub urls: Vec<String>,
}

/// Why a token could not be made.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The keys.
    #[error(transparent)]
    Key(#[from] crate::keys::KeyError),
    /// What was asked for makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// No random numbers.
    #[error("the system gives no random numbers: {0}")]
    Random(String),
}

fn random<const N: usize>() -> Result<[u8; N], TokenError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| TokenError::Random(error.to_string()))?;
    Ok(bytes)
}

/// Makes a token; the text form is shown once and kept nowhere.
pub async fn create_token(
    store: &Store,
    keys: &Keys,
    actor: &Actor,
    spec: TokenSpec,
    now: Timestamp,
) -> Result<(Token, String), TokenError> {
    if let Some(range) = &spec.address_range {
        AddressRange::parse(range)
            .ok_or_else(|| TokenError::Invalid(format!("not an address range: {range}")))?;
    }
    if spec.max_uses < 1 || spec.urls.is_empty() {
        return Err(TokenError::Invalid("a token needs at least one use and one address".into()));
    }
    let expires_at = now
        .checked_add(spec.valid_for)
        .map_err(|_| TokenError::Invalid("the token would end beyond the calendar".into()))?;
    let secret = URL_SAFE_NO_PAD.encode(random::<32>()?);
    let id = format!("t-{}", URL_SAFE_NO_PAD.encode(random::<6>()?).replace(['-', '_'], "x"));
    let org = store.org(&actor.org).await?;
    let missing = || StoreError::NotFound(format!("organisation {}", actor.org));
    let token = Token {
        org: org.ok_or_else(missing)?.number,
        id,
        label: spec.label,
        group: spec.group,
        ephemeral: spec.ephemeral,
        address_range: spec.address_range,
        created_at: now,
        created_by: actor.name.clone(),
        expires_at,
        max_uses: spec.max_uses,
        uses: 0,
        revoked_at: None,
    };
    store.add_token(actor, token.clone(), Digest::of(secret.as_bytes())).await?;
    let text = EnrolToken {
        urls: spec.urls,
        ca: keys.pinned()?,
        key: keys.signing_key().public(),
        secret: Secret::new(secret),
    }
    .to_text();
    Ok((token, text))
}

/// A range of addresses in CIDR form; a bare address is a range of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressRange {
    base: IpAddr,
    bits: u32,
}

impl AddressRange {
    /// Reads `192.168.1.0/24`, `2001:db8::/32` or one address.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse().ok()?)),
            None => (text, None),
        };
        let base: IpAddr = address.trim().parse().ok()?;
        let width = if base.is_ipv4() { 32 } else { 128 };
        let bits: u32 = bits.unwrap_or(width);
        (bits <= width).then_some(())?;
        // IPv4 in IPv6 form counts as IPv4 here too.
        Some(match base.to_canonical() {
            v4 @ IpAddr::V4(_) if base.is_ipv6() => Self { base: v4, bits: bits.checked_sub(96)? },
            _ => Self { base, bits },
        })
    }

    /// Whether an address lies in it. IPv4 in IPv6 form counts as IPv4.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let prefix = |value: u128, width: u32| value.checked_shr(width - self.bits).unwrap_or(0);
        match (self.base, address.to_canonical()) {
            (IpAddr::V4(a), IpAddr::V4(b)) => {
                prefix(u32::from(a).into(), 32) == prefix(u32::from(b).into(), 32)
            }
            (IpAddr::V6(a), IpAddr::V6(b)) => prefix(a.into(), 128) == prefix(b.into(), 128),
            _ => false,
        }
    }
}

/// Answers requests about keys.
#[derive(Debug)]
pub struct Enrolment {
    store: Store,
    keys: Arc<Keys>,
    refusals: RateLimit,
}

/// What a key request came to.
struct Decision {
    code: ReplyCode,
    host: Option<Box<Host>>,
    message: Option<String>,
    retry_after_s: Option<u64>,
}

impl Decision {
    fn no(code: ReplyCode, message: &str) -> Self {
        Self { code, host: None, message: Some(message.to_owned()), retry_after_s: None }
    }

    fn yes(host: Host) -> Self {
        Self { code: ReplyCode::Accepted, host: Some(Box::new(host)), message: None, retry_after_s: None }
    }
}

impl From<StoreError> for Decision {
    fn from(error: StoreError) -> Self {
        tracing::error!(error = %error, "a key request could not be stored");
        let message = Some("the collector cannot store now".into());
        Self { code: ReplyCode::Unavailable, host: None, message, retry_after_s: Some(30) }
    }
}

/// A proof whose signature holds.
struct Proof {
    content: KeyProof,
    told: Told,
}

/// Reads a proof: signed by the key it names.
fn read_proof(compact: &str) -> Result<Proof, Decision> {
    let malformed = |_| Decision::no(ReplyCode::Malformed, "the proof does not read");
    let unverified = Unverified::parse(compact, Purpose::Key).map_err(malformed)?;
    let payload = compact.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
    let content: KeyProof = payload
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .ok_or_else(|| Decision::no(ReplyCode::Malformed, "the proof does not read"))?;
    unverified
        .verify(&content.key)
        .map_err(|_| Decision::no(ReplyCode::BadSignature, "the proof is not signed by its key"))?;
    let short = |text: &Option<String>| text.as_ref().map(|t| t.chars().take(TOLD_CHARS).collect());
    let told = Told {
        hostname: short(&content.hostname),
        print: short(&content.print),
        agent_version: short(&content.agent_version),
        os_family: short(&content.os_family),
        serial: short(&content.serial),
    };
    Ok(Proof { content, told })
}

fn new_host_id() -> Result<HostId, Decision> {
    let bytes = random::<12>().map_err(|error| Decision::from(StoreError::Unavailable(error.to_string())))?;
    // Hex: safe in file names and in every collation.
    let text: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
    text.parse().map_err(|_| Decision::no(ReplyCode::Unavailable, "no host id could be made"))
}

impl Enrolment {
    /// Over an open store and the collector's keys.
    #[must_use]
    pub fn new(store: Store, keys: Arc<Keys>) -> Self {
        Self { store, keys, refusals: RateLimit::new(REFUSALS_PER_MINUTE, SignedDuration::from_mins(1)) }
    }

    /// Enrols a host with a token.
    pub async fn enrol(&self, request: &EnrolRequest, from: IpAddr, now: Timestamp) -> (ReplyCode, KeyReply) {
        let decision = self.try_enrol(request, from, now).await.unwrap_or_else(|refused| refused);
        self.answer(&request.proof, decision, now).await
    }

    async fn try_enrol(
        &self,
        request: &EnrolRequest,
        from: IpAddr,
        now: Timestamp,
    ) -> Result<Decision, Decision> {
        let proof = read_proof(&request.proof)?;
        let refuse = |message| {
            let wait = self.refusals.attempt(&from.to_string(), now).err();
            let code = if wait.is_some() { ReplyCode::SlowDown } else { ReplyCode::TokenRefused };
            Decision { retry_after_s: wait, ..Decision::no(code, message) }
        };
        let hash = Digest::of(request.secret.expose().as_bytes());
        let token = self.store.token_by_secret(hash).await?;
        let Some(token) = token else { return Err(refuse("the token is not known here")) };
        let range = token.address_range.as_deref().map(AddressRange::parse);
        if range.is_some_and(|range| range.is_none_or(|range| !range.contains(from))) {
            return Err(refuse("the token may not be used from this address"));
        }
        let id = new_host_id()?;
        match self.store.enrol(hash, proof.content.key, id, proof.told, now).await? {
            Enrolled::Host(host) => Ok(Decision::yes(*host)),
            Enrolled::TokenRefused => Err(refuse("the token is used up, expired or revoked")),
            Enrolled::Revoked => Err(Decision::no(ReplyCode::Revoked, "this key is revoked")),
        }
    }

    /// Rotates a key, or gives a clone a key of its own.
    pub async fn change_key(&self, request: &KeyRequest, now: Timestamp) -> (ReplyCode, KeyReply) {
        let decision = self.try_change_key(request, now).await.unwrap_or_else(|refused| refused);
        self.answer(&request.proof, decision, now).await
    }

    async fn try_change_key(&self, request: &KeyRequest, now: Timestamp) -> Result<Decision, Decision> {
        let proof = read_proof(&request.proof)?;
        let by_old = Unverified::parse(&request.by_old, Purpose::Key)
            .map_err(|_| Decision::no(ReplyCode::Malformed, "the old key's signature does not read"))?;
        let old = by_old.key_id().clone();
        let owner = self
            .store
            .key_owner(&old)
            .await?
            .ok_or_else(|| Decision::no(ReplyCode::UnknownHost, "the old key belongs to no host here"))?;
        let signed = by_old
            .verify(&owner.key)
            .map_err(|_| Decision::no(ReplyCode::BadSignature, "not signed by the old key"))?;
        if signed != request.proof.as_bytes() {
            return Err(Decision::no(ReplyCode::BadSignature, "the old key signed something else"));
        }
        let host = match request.purpose {
            KeyPurpose::Rotate => self.store.rotate_key(old, proof.content.key, now).await?,
            KeyPurpose::Clone => {
                let id = new_host_id()?;
                self.store.split_clone(old, proof.content.key, id, proof.told, now).await?
            }
        };
        host.map(Decision::yes).ok_or_else(|| Decision::no(ReplyCode::Revoked, "the host may not report"))
    }

    /// Takes back a host that this collector lost, by the receipt it once gave.
    pub async fn readmit(&self, request: &ReadmitRequest, now: Timestamp) -> (ReplyCode, KeyReply) {
        let decision = self.try_readmit(request, now).await.unwrap_or_else(|refused| refused);
        self.answer(&request.proof, decision, now).await
    }

    async fn try_readmit(&self, request: &ReadmitRequest, now: Timestamp) -> Result<Decision, Decision> {
        let proof = read_proof(&request.proof)?;
        let receipt = self
            .keys
            .read_receipt(&request.receipt)
            .ok_or_else(|| Decision::no(ReplyCode::BadSignature, "the receipt is not from this collector"))?;
        if receipt.key != proof.content.key {
            return Err(Decision::no(ReplyCode::BadSignature, "the receipt is for another key"));
        }
        let host = self.store.readmit(&receipt, proof.told, now).await?;
        host.map(Decision::yes).ok_or_else(|| Decision::no(ReplyCode::Revoked, "the host may not report"))
    }

    async fn answer(&self, proof: &str, decision: Decision, now: Timestamp) -> (ReplyCode, KeyReply) {
        let mut reply = blank(decision.code, Digest::of(proof.as_bytes()), now);
        reply.retry_after_s = decision.retry_after_s;
        reply.message = decision.message;
        let mut receipt = None;
        if let Some(host) = &decision.host {
            match self.success(&mut reply, host, proof, now).await {
                Ok(text) => receipt = Some(text),
                Err(refused) => {
                    reply.code = refused.code;
                    reply.message = refused.message;
                    reply.retry_after_s = refused.retry_after_s;
                }
            }
        }
        let signed = self.keys.answer(&reply);
        (signed.code, KeyReply { receipt, host: reply.host, reply: signed.text })
    }

    /// Fills the reply of a success and makes the receipt.
    async fn success(
        &self,
        reply: &mut Reply,
        host: &Host,
        proof: &str,
        now: Timestamp,
    ) -> Result<String, Decision> {
        let policy = self.store.policy(host.at.org).await?;
        let org = self.store.org_at(host.at.org).await?;
        let key = read_proof(proof)?.content.key;
        reply.host = Some(host.id.clone());
        reply.trust = Some(self.keys.trust());
        reply.policy = Some(policy);
        let receipt = Receipt {
            org: org.id,
            host: host.id.clone(),
            key,
            group: host.group.clone(),
            ephemeral: host.ephemeral,
            issued_at: now,
        };
        Ok(self.keys.receipt(&receipt))
    }

    /// Answers a reachability check: signed, over the digest of the nonce.
    #[must_use]
    pub fn ping(&self, nonce: &str, trust_version: Option<u64>, now: Timestamp) -> String {
        let mut reply = blank(ReplyCode::Accepted, Digest::of(nonce.as_bytes()), now);
        reply.trust = self.keys.trust_newer_than(trust_version);
        self.keys.answer(&reply).text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_ranges() {
        let range = |text: &str| AddressRange::parse(text).unwrap();
        let ip = |text: &str| text.parse().unwrap();
        assert!(range("192.168.1.0/24").contains(ip("192.168.1.200")));
        assert!(range("192.168.1.0/24").contains(ip("::ffff:192.168.1.9")));
        assert!(!range("192.168.1.0/24").contains(ip("192.168.2.1")));
        assert!(range("0.0.0.0/0").contains(ip("8.8.8.8")));
        assert!(range("10.0.0.1").contains(ip("10.0.0.1")));
        assert!(!range("10.0.0.1").contains(ip("10.0.0.2")));
        assert!(range("2001:db8::/32").contains(ip("2001:db8:1::1")));
        assert!(range("::ffff:10.0.0.0/104").contains(ip("10.9.9.9")));
        assert!(!range("::ffff:10.0.0.1").contains(ip("10.0.0.2")));
        for text in ["10.0.0.0/33", "x", "", "10.0.0.0/-1", "::ffff:10.0.0.0/8"] {
            assert_eq!(AddressRange::parse(text), None, "{text}");
        }
    }
}
