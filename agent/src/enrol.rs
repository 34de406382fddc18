//! Obtains and guards the credential: enrolment, a clone's new key, rotation, re-admission. Sends no facts.
//!
//! The key is made and kept before the first request, so that a repeat after a crash names the same key.
//! What comes back counts only when it is signed by the key the token pins (enrolment) or the trust
//! bundle holds; the membership and its key are then written in one file.

use jiff::Timestamp;
use tenken_shared::api::{
    EnrolRequest, EnrolToken, KeyPurpose, KeyReply, KeyRequest, Membership, ReadmitRequest, route,
};
use tenken_shared::ids::Digest;
use tenken_shared::jws::{PublicKey, Purpose, SigningKey, verify};
use tenken_shared::report::{Receipt, ReplyCode, TrustUpdate};

use crate::config::Settings;
use crate::disk::DiskError;
use crate::key::{About, Identity, KeyError, NextKey, proof};
use crate::paths::Paths;
use crate::transport::client::Route;
use crate::transport::tls::{Anchor, reference_time};
use crate::transport::{Checked, Client, Request, TransportError, check_reply, unsigned};

const JSON: &str = "application/json";

/// Why no credential was obtained.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    /// This machine is enrolled elsewhere.
    #[error("this machine is enrolled as host {host} with another collector; `--replace` gives that up")]
    Enrolled {
        /// Its id there.
        host: String,
    },
    /// The credential cannot be kept.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The data folder cannot be used.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// No signed answer.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The collector said no.
    #[error("the collector answered `{code}`{}", message.as_ref().map(|m| format!(": {m}")).unwrap_or_default())]
    Refused {
        /// Its code.
        code: &'static str,
        /// Its sentence, made printable.
        message: Option<String>,
        /// How long it wants to be left alone, seconds.
        retry_after_s: Option<u64>,
    },
    /// A signed answer that does not hold what it must.
    #[error("the collector's answer is incomplete: {0}")]
    Incomplete(&'static str),
}

/// What came of it.
#[derive(Debug)]
pub struct Enrolled {
    /// The credential, saved.
    pub identity: Identity,
    /// Whether the machine was enrolled there already and nothing changed.
    pub already: bool,
    /// The reply, for policy and clock; none when nothing was asked.
    pub checked: Option<Checked>,
}

/// Enrols this machine. One that is enrolled with the same collector keeps its identity.
pub async fn enrol(
    settings: &Settings,
    paths: &Paths,
    token: &EnrolToken,
    about: &About,
    replace: bool,
) -> Result<Enrolled, EnrolError> {
    if !replace {
        match Identity::load(paths)? {
            Some(identity) if identity.membership.trust.keys.contains(&token.key) => {
                return Ok(Enrolled { identity, already: true, checked: None });
            }
            Some(identity) => {
                return Err(EnrolError::Enrolled { host: identity.membership.host.to_string() });
            }
            None => {}
        }
    }
    let next = NextKey::obtain(paths, None)?;
    let proof = proof(&next.key, about)?;
    let anchor = if settings.trust_os_store { Anchor::OsStore } else { Anchor::Fingerprint(token.ca) };
    let mut client = Client::new(&Route {
        urls: token.urls.clone(),
        proxy: settings.proxy.clone(),
        anchor,
        reference_s: reference_time(None),
        timeout: std::time::Duration::from_secs(settings.request_timeout_s),
    })?;
    let request = EnrolRequest { secret: token.secret.clone(), proof: proof.clone() };
    let keys = [token.key.clone()];
    let answer = ask(&mut client, route::ENROL, &request, &keys, &proof).await;
    let (checked, receipt) = match answer {
        Err(error @ EnrolError::Refused { .. }) => {
            NextKey::forget(paths)?;
            return Err(error);
        }
        other => other?,
    };
    let trust = checked.reply.trust.clone().ok_or(EnrolError::Incomplete("no trust bundle"))?;
    let identity = adopt(paths, next, token.urls.clone(), trust, receipt)?;
    Ok(Enrolled { identity, already: false, checked: Some(checked) })
}

/// Announces a new key for an enrolled machine: `rotate` keeps the host, `clone` makes a new one.
pub async fn change_key(
    client: &mut Client,
    paths: &Paths,
    identity: &Identity,
    purpose: KeyPurpose,
    about: &About,
) -> Result<(Identity, Checked), EnrolError> {
    let next = NextKey::obtain(paths, Some(purpose))?;
    let proof = proof(&next.key, about)?;
    let by_old = identity.key.sign(Purpose::Key, proof.as_bytes());
    let request = KeyRequest { purpose, proof: proof.clone(), by_old };
    let keys = &identity.membership.trust.keys;
    let (checked, receipt) = ask(client, route::KEY, &request, keys, &proof).await?;
    let trust = newer_trust(&identity.membership.trust, &checked);
    let urls = identity.membership.urls.clone();
    Ok((adopt(paths, next, urls, trust, receipt)?, checked))
}

/// Presents the receipt to a collector that does not know this key (any more).
pub async fn readmit(
    client: &mut Client,
    paths: &Paths,
    identity: &mut Identity,
    about: &About,
) -> Result<Checked, EnrolError> {
    let proof = proof(&identity.key, about)?;
    let request = ReadmitRequest { receipt: identity.membership.receipt.clone(), proof: proof.clone() };
    let keys = identity.membership.trust.keys.clone();
    let (checked, receipt) = ask(client, route::READMIT, &request, &keys, &proof).await?;
    if let Some(receipt) = receipt {
        read_receipt(&receipt, &keys, &identity.key)?;
        identity.membership.receipt = receipt;
    }
    identity.membership.trust = newer_trust(&identity.membership.trust, &checked);
    identity.save(paths)?;
    Ok(checked)
}

fn newer_trust(known: &TrustUpdate, checked: &Checked) -> TrustUpdate {
    match &checked.reply.trust {
        Some(trust) if trust.version > known.version && is_usable(trust) => trust.clone(),
        _ => known.clone(),
    }
}

/// Whether a bundle could be lived with: a bundle without keys or CA would cut this machine off.
#[must_use]
pub fn is_usable(trust: &TrustUpdate) -> bool {
    !trust.keys.is_empty() && !trust.ca_pem.is_empty()
}

async fn ask<T: serde::Serialize>(
    client: &mut Client,
    path: &str,
    request: &T,
    keys: &[PublicKey],
    proof: &str,
) -> Result<(Checked, Option<String>), EnrolError> {
    let body = serde_json::to_vec(request).map_err(|_| EnrolError::Incomplete("request"))?;
    let request = Request { path, content: Some((JSON, body)), headers: vec![] };
    let answer = client.send(&request).await?;
    let reply: KeyReply = serde_json::from_slice(&answer.body).map_err(|e| unsigned(&answer, &e))?;
    let checked =
        check_reply(&reply.reply, keys, Digest::of(proof.as_bytes())).map_err(|e| unsigned(&answer, &e))?;
    match checked.reply.code {
        ReplyCode::Accepted => Ok((checked, reply.receipt)),
        code => Err(EnrolError::Refused {
            code: code.as_str(),
            message: checked.reply.message.as_deref().map(tenken_shared::text::printable),
            retry_after_s: checked.reply.retry_after_s,
        }),
    }
}

fn read_receipt(receipt: &str, keys: &[PublicKey], key: &SigningKey) -> Result<Receipt, EnrolError> {
    let payload = keys
        .iter()
        .find_map(|signer| verify(receipt, Purpose::Receipt, signer).ok())
        .ok_or(EnrolError::Incomplete("the receipt is not signed by the collector"))?;
    let receipt: Receipt =
        serde_json::from_slice(&payload).map_err(|_| EnrolError::Incomplete("receipt does not read"))?;
    if receipt.key != key.public() {
        return Err(EnrolError::Incomplete("the receipt is for another key"));
    }
    Ok(receipt)
}

fn adopt(
    paths: &Paths,
    next: NextKey,
    urls: Vec<String>,
    trust: TrustUpdate,
    receipt: Option<String>,
) -> Result<Identity, EnrolError> {
    if !is_usable(&trust) {
        return Err(EnrolError::Incomplete("the trust bundle is empty"));
    }
    let compact = receipt.ok_or(EnrolError::Incomplete("no receipt"))?;
    let receipt = read_receipt(&compact, &trust.keys, &next.key)?;
    let membership = Membership { org: receipt.org, host: receipt.host, urls, trust, receipt: compact };
    let identity = Identity::new(next, membership);
    identity.save(paths)?;
    NextKey::forget(paths)?;
    Ok(identity)
}

/// Days since a key was made; 0 where the clock was set back.
#[must_use]
pub fn key_age_days(identity: &Identity, now: Timestamp) -> i64 {
    (now.as_second() - identity.key_created_at.as_second()).max(0) / 86_400
}
