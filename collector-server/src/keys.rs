//! The collector's signing keys and certificate authority: made at the first start, rotated with the
//! successor announced in signed replies well ahead.
//!
//! They live in the store, so that a collector restored from a copy, or a second one on the same
//! database, is the same collector to its agents.

use std::sync::{Arc, PoisonError, RwLock};

use jiff::{SignedDuration, Timestamp};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair, KeyUsagePurpose};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use tenken_shared::api::COLLECTOR_CA_NAME;
use tenken_shared::ids::Digest;
use tenken_shared::jws::{JwsError, Purpose, SigningKey};
use tenken_shared::report::{Receipt, Reply, TrustUpdate};

use crate::ingest::Answer;
use crate::store::key::CollectorKey;
use crate::store::{Store, StoreError};
use crate::user::Actor;

/// Word for signing keys in the store.
pub const SIGN: &str = "sign";
/// Word for certificate authorities in the store.
pub const CA: &str = "ca";
/// How long a replaced key stays in the bundle, so that every agent hears of its successor.
const KEPT_AFTER: SignedDuration = SignedDuration::from_hours(24 * 180);

/// Why keys could not be made or read.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The store.
    #[error("keys of the collector: {0}")]
    Store(#[from] StoreError),
    /// A stored key does not read.
    #[error("signing key of the collector: {0}")]
    Sign(#[from] JwsError),
    /// A certificate could not be made.
    #[error("certificate of the collector: {0}")]
    Certificate(#[from] rcgen::Error),
    /// A certificate does not read.
    #[error("certificate of the collector does not read: {0}")]
    Pem(String),
    /// No key is there.
    #[error("the store holds no key for {0}")]
    Missing(&'static str),
}

struct Set {
    version: u64,
    sign: Arc<SigningKey>,
    all_sign: Vec<tenken_shared::jws::PublicKey>,
    ca: CollectorKey,
    trust: TrustUpdate,
}

/// The keys in use.
pub struct Keys {
    store: Store,
    own_ca: Option<Vec<String>>,
    set: RwLock<Arc<Set>>,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keys(version {})", self.current().version)
    }
}

impl Keys {
    /// Reads the keys of the store, making the first ones where there are none. `own_ca` are the
    /// certificates agents shall trust where a certificate was configured (PEM).
    pub async fn open(store: Store, own_ca: Option<Vec<String>>, now: Timestamp) -> Result<Self, KeyError> {
        let (version, keys) = store.collector_keys().await?;
        if version == 0 || keys.is_empty() {
            store.found_keys(vec![new_sign(now, now)?, new_ca(now, now)?]).await?;
        }
        let set = read(&store, own_ca.as_deref(), now).await?;
        Ok(Self { store, own_ca, set: RwLock::new(Arc::new(set)) })
    }

    fn current(&self) -> Arc<Set> {
        Arc::clone(&self.set.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the store again: another process may have rotated, or an announced key's time has come.
    pub async fn refresh(&self, now: Timestamp) -> Result<(), KeyError> {
        let set = Arc::new(read(&self.store, self.own_ca.as_deref(), now).await?);
        *self.set.write().unwrap_or_else(PoisonError::into_inner) = set;
        Ok(())
    }

    /// Signs a reply.
    #[must_use]
    pub fn answer(&self, reply: &Reply) -> Answer {
        let payload = serde_json::to_vec(reply).unwrap_or_default();
        Answer { code: reply.code, text: self.current().sign.sign(Purpose::Reply, &payload) }
    }

    /// Signs a receipt.
    #[must_use]
    pub fn receipt(&self, receipt: &Receipt) -> String {
        self.current().sign.sign(Purpose::Receipt, &serde_json::to_vec(receipt).unwrap_or_default())
    }

    /// Reads a receipt that any key of this collector signed, retired ones included.
    #[must_use]
    pub fn read_receipt(&self, compact: &str) -> Option<Receipt> {
        let set = self.current();
        let payload = set
            .all_sign
            .iter()
            .find_map(|key| tenken_shared::jws::verify(compact, Purpose::Receipt, key).ok())?;
        serde_json::from_slice(&payload).ok()
    }

    /// The key that signs now (snapshots are signed with it too).
    #[must_use]
    pub fn signing_key(&self) -> Arc<SigningKey> {
        Arc::clone(&self.current().sign)
    }

    /// The bundle that agents trust.
    #[must_use]
    pub fn trust(&self) -> TrustUpdate {
        self.current().trust.clone()
    }

    /// The bundle, where an agent's is older.
    #[must_use]
    pub fn trust_newer_than(&self, version: Option<u64>) -> Option<TrustUpdate> {
        let set = self.current();
        version.is_some_and(|held| held < set.version).then(|| set.trust.clone())
    }

    /// The authority in use: certificate (PEM) and private key (PKCS#8).
    pub(crate) fn ca(&self) -> CollectorKey {
        self.current().ca.clone()
    }

    /// Digest of the certificate that a new enrolment token pins.
    pub fn pinned(&self) -> Result<Digest, KeyError> {
        let set = self.current();
        let pem = match &self.own_ca {
            Some(own) => own.last().cloned().ok_or(KeyError::Missing(CA))?,
            None => set.ca.certificate.clone().ok_or(KeyError::Missing(CA))?,
        };
        fingerprint(&pem)
    }

    /// Announces a successor that is used from `active_from` on. Answers the new bundle version.
    pub async fn rotate(
        &self,
        actor: &Actor,
        purpose: &'static str,
        active_from: Timestamp,
        now: Timestamp,
    ) -> Result<u64, KeyError> {
        let key = if purpose == SIGN { new_sign(now, active_from)? } else { new_ca(now, active_from)? };
        let forget_before = now.checked_sub(KEPT_AFTER).unwrap_or(Timestamp::UNIX_EPOCH);
        let version = self.store.add_collector_key(actor, key, forget_before, now).await?;
        self.refresh(now).await?;
        Ok(version)
    }
}

/// SHA-256 of a certificate's DER.
pub fn fingerprint(pem: &str) -> Result<Digest, KeyError> {
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|e| KeyError::Pem(format!("{e:?}")))?;
    Ok(Digest::of(&der))
}

async fn read(store: &Store, own_ca: Option<&[String]>, now: Timestamp) -> Result<Set, KeyError> {
    let (version, keys) = store.collector_keys().await?;
    let trusted = |purpose| keys.iter().filter(move |k| k.purpose == purpose && k.retired_at.is_none());
    let in_use = |purpose: &'static str| {
        trusted(purpose).rfind(|k| k.active_from <= now).cloned().ok_or(KeyError::Missing(purpose))
    };
    let sign = SigningKey::from_pkcs8(&in_use(SIGN)?.private_key)?;
    let public = |key: &CollectorKey| Ok(SigningKey::from_pkcs8(&key.private_key)?.public());
    let bundle = trusted(SIGN).map(public).collect::<Result<Vec<_>, KeyError>>()?;
    let all_sign = keys.iter().filter(|k| k.purpose == SIGN).map(public).collect::<Result<_, KeyError>>()?;
    let ca_pem = match own_ca {
        Some(own) => own.to_vec(),
        None => trusted(CA).filter_map(|k| k.certificate.clone()).collect(),
    };
    let trust = TrustUpdate { version, ca_pem, keys: bundle };
    Ok(Set { version, sign: Arc::new(sign), all_sign, ca: in_use(CA)?, trust })
}

fn new_sign(now: Timestamp, active_from: Timestamp) -> Result<CollectorKey, KeyError> {
    let private_key = SigningKey::generate()?;
    let id = SigningKey::from_pkcs8(&private_key)?.key_id().to_string();
    Ok(CollectorKey {
        id,
        purpose: SIGN.into(),
        private_key,
        certificate: None,
        created_at: now,
        active_from,
        retired_at: None,
    })
}

fn new_ca(now: Timestamp, active_from: Timestamp) -> Result<CollectorKey, KeyError> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let suffix: String = Digest::of(now.to_string().as_bytes()).to_hex().chars().take(8).collect();
    params.distinguished_name.push(DnType::CommonName, format!("{COLLECTOR_CA_NAME} {suffix}"));
    set_validity(&mut params, now, 3650);
    let key = KeyPair::generate()?;
    let pem = params.self_signed(&key)?.pem();
    Ok(CollectorKey {
        id: fingerprint(&pem)?.to_string(),
        purpose: CA.into(),
        private_key: key.serialize_der(),
        certificate: Some(pem),
        created_at: now,
        active_from,
        retired_at: None,
    })
}

/// Dates of a certificate: from two days ago (clocks differ) for so many days.
pub(crate) fn set_validity(params: &mut CertificateParams, now: Timestamp, days: i64) {
    let date = |offset_days: i64| {
        let time = now.checked_add(SignedDuration::from_hours(24 * offset_days)).unwrap_or(now);
        let date = jiff::tz::Offset::UTC.to_datetime(time).date();
        rcgen::date_time_ymd(
            i32::from(date.year()),
            u8::try_from(date.month()).unwrap_or(1),
            u8::try_from(date.day()).unwrap_or(1),
        )
    };
    params.not_before = date(-2);
    params.not_after = date(days);
}
