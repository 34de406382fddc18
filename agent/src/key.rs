//! The machine's credential: its Ed25519 key (PKCS#8) and where it belongs, in one file of mode 0600 that
//! is replaced as a whole. The key never leaves the machine.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tenken_shared::api::{KeyProof, KeyPurpose, Membership};
use tenken_shared::jws::{JwsError, Purpose, SigningKey};
use tenken_shared::redact::Secret;
use tenken_shared::text::printable;

use crate::disk::{self, DiskError};
use crate::paths::Paths;
use crate::sys::protect;

/// Why the credential cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read or written.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The file is damaged.
    #[error("{path} is damaged ({detail}); enrol this machine anew with `tenken-agent enrol --replace`")]
    Damaged {
        /// The file.
        path: String,
        /// Where; no content.
        detail: String,
    },
    /// No key could be made.
    #[error("cannot make a key: {0}")]
    Make(#[from] JwsError),
    /// The key file lies on another machine than the one it was made on.
    #[error(
        "{path} was made on another machine or Windows installation and cannot be opened here ({detail}); enrol this machine anew with `tenken-agent enrol --replace`"
    )]
    Elsewhere {
        /// The file.
        path: String,
        /// The system's answer.
        detail: String,
    },
    /// The system could not protect the key.
    #[error("the key cannot be protected: {0}")]
    Protect(std::io::Error),
    /// The system's random source failed.
    #[error("no random numbers from the system")]
    Random,
}

/// Key and membership.
#[derive(Debug)]
pub struct Identity {
    /// The key.
    pub key: SigningKey,
    /// Where it belongs.
    pub membership: Membership,
    /// When the key was made, host clock.
    pub key_created_at: Timestamp,
    pkcs8: Secret<Vec<u8>>,
}

#[derive(Serialize, Deserialize)]
struct IdentityFile {
    version: u32,
    #[serde(flatten)]
    kept: Kept,
    key_created_at: Timestamp,
    membership: Membership,
}

/// A key as it stands in a file: protected by the system where it has such a thing (DPAPI on Windows, for
/// this machine, so that a copied file opens nowhere else), else by the file's mode alone.
#[derive(Serialize, Deserialize)]
struct Kept {
    key_pkcs8: Secret<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    protected_by: Option<String>,
}

impl Kept {
    fn of(pkcs8: &[u8]) -> Result<Self, KeyError> {
        let (bytes, protected_by) = match protect::METHOD {
            Some(method) => (protect::seal(pkcs8).map_err(KeyError::Protect)?, Some(method.to_owned())),
            None => (pkcs8.to_vec(), None),
        };
        Ok(Self { key_pkcs8: Secret::new(STANDARD.encode(bytes)), protected_by })
    }

    fn open(&self, path: &std::path::Path) -> Result<Vec<u8>, KeyError> {
        let path = path.to_string_lossy().into_owned();
        let Ok(bytes) = STANDARD.decode(self.key_pkcs8.expose()) else {
            return Err(KeyError::Damaged { path, detail: "key".into() });
        };
        match self.protected_by.as_deref() {
            None => Ok(bytes),
            method if method == protect::METHOD => {
                protect::unseal(&bytes).map_err(|e| KeyError::Elsewhere { path, detail: e.to_string() })
            }
            Some(method) => Err(KeyError::Elsewhere { path, detail: printable(method) }),
        }
    }
}

impl Identity {
    /// Joins a new key with the membership it was given.
    #[must_use]
    pub fn new(key: NextKey, membership: Membership) -> Self {
        Self { key: key.key, membership, key_created_at: key.created_at, pkcs8: key.pkcs8 }
    }

    /// Reads the credential; `None` where this machine is not enrolled.
    pub fn load(paths: &Paths) -> Result<Option<Self>, KeyError> {
        let path = paths.identity();
        let Some(bytes) = disk::read(&path)? else { return Ok(None) };
        let damaged =
            |detail: String| KeyError::Damaged { path: path.to_string_lossy().into_owned(), detail };
        let file: IdentityFile =
            serde_json::from_slice(&bytes).map_err(|e| damaged(format!("line {}", e.line())))?;
        let pkcs8 = file.kept.open(&path)?;
        let key = SigningKey::from_pkcs8(&pkcs8).map_err(|_| damaged("key".into()))?;
        Ok(Some(Self {
            key,
            membership: file.membership,
            key_created_at: file.key_created_at,
            pkcs8: Secret::new(pkcs8),
        }))
    }

    /// Writes the credential, whole.
    pub fn save(&self, paths: &Paths) -> Result<(), KeyError> {
        let file = IdentityFile {
            version: 1,
            kept: Kept::of(self.pkcs8.expose())?,
            key_created_at: self.key_created_at,
            membership: self.membership.clone(),
        };
        let bytes = serde_json::to_vec(&file).map_err(|e| KeyError::Damaged {
            path: paths.identity().to_string_lossy().into_owned(),
            detail: e.to_string(),
        })?;
        Ok(disk::write_atomic(&paths.identity(), &bytes)?)
    }
}

/// A key that the collector is being told of. It lies on disk before the first request, so that after a
/// crash the same request is repeated and not a second key announced.
#[derive(Debug)]
pub struct NextKey {
    /// The key.
    pub key: SigningKey,
    /// What for; `None` for an enrolment.
    pub purpose: Option<KeyPurpose>,
    /// When it was made, host clock.
    pub created_at: Timestamp,
    pkcs8: Secret<Vec<u8>>,
}

#[derive(Serialize, Deserialize)]
struct NextKeyFile {
    #[serde(flatten)]
    kept: Kept,
    purpose: Option<KeyPurpose>,
    created_at: Timestamp,
}

impl NextKey {
    /// The key kept for `purpose`, or a new one that is then kept.
    pub fn obtain(paths: &Paths, purpose: Option<KeyPurpose>) -> Result<Self, KeyError> {
        match Self::load(paths)? {
            Some(kept) if kept.purpose == purpose => Ok(kept),
            _ => Self::make(paths, purpose),
        }
    }

    /// The key kept from before a crash. A damaged file counts as none: no request rests on it yet that
    /// could not be made again.
    pub fn load(paths: &Paths) -> Result<Option<Self>, KeyError> {
        let Some(bytes) = disk::read(&paths.next_key())? else { return Ok(None) };
        let Ok(file) = serde_json::from_slice::<NextKeyFile>(&bytes) else { return Ok(None) };
        let Ok(pkcs8) = file.kept.open(&paths.next_key()) else { return Ok(None) };
        let Ok(key) = SigningKey::from_pkcs8(&pkcs8) else { return Ok(None) };
        Ok(Some(Self { key, purpose: file.purpose, created_at: file.created_at, pkcs8: Secret::new(pkcs8) }))
    }

    fn make(paths: &Paths, purpose: Option<KeyPurpose>) -> Result<Self, KeyError> {
        let pkcs8 = SigningKey::generate()?;
        let created_at = Timestamp::now();
        let file = NextKeyFile { kept: Kept::of(&pkcs8)?, purpose, created_at };
        let bytes = serde_json::to_vec(&file).unwrap_or_default();
        disk::write_atomic(&paths.next_key(), &bytes)?;
        let key = SigningKey::from_pkcs8(&pkcs8)?;
        Ok(Self { key, purpose, created_at, pkcs8: Secret::new(pkcs8) })
    }

    /// Forgets the kept key: it is now the machine's, or was refused.
    pub fn forget(paths: &Paths) -> Result<(), KeyError> {
        Ok(disk::remove(&paths.next_key())?)
    }
}

/// What is said of the machine in a key request.
#[derive(Debug, Clone, Default)]
pub struct About {
    /// Host name.
    pub hostname: Option<String>,
    /// Hardware print.
    pub print: Option<String>,
    /// OS family.
    pub os_family: Option<String>,
    /// System serial.
    pub serial: Option<String>,
}

/// Signs a proof for `key`: the compact JWS of a [`KeyProof`].
pub fn proof(key: &SigningKey, about: &About) -> Result<String, KeyError> {
    let mut nonce = [0u8; 16];
    getrandom::fill(&mut nonce).map_err(|_| KeyError::Random)?;
    let proof = KeyProof {
        key: key.public(),
        nonce: base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(nonce),
        hostname: about.hostname.clone(),
        print: about.print.clone(),
        agent_version: Some(env!("CARGO_PKG_VERSION").to_owned()),
        os_family: about.os_family.clone(),
        serial: about.serial.clone(),
    };
    Ok(key.sign(Purpose::Key, &serde_json::to_vec(&proof).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use tenken_shared::report::TrustUpdate;

    use super::*;

    fn paths() -> (tempfile::TempDir, Paths) {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths::create(dir.path().join("data")).unwrap();
        (dir, paths)
    }

    #[test]
    fn kept_key_survives_a_crash_and_another_purpose_makes_another() {
        let (_dir, paths) = paths();
        let first = NextKey::obtain(&paths, None).unwrap();
        let again = NextKey::obtain(&paths, None).unwrap();
        assert_eq!(first.key.key_id(), again.key.key_id());
        let clone = NextKey::obtain(&paths, Some(KeyPurpose::Clone)).unwrap();
        assert_ne!(first.key.key_id(), clone.key.key_id());
    }

    #[test]
    fn identity_survives_and_a_damaged_one_is_an_error_not_a_new_machine() {
        let (_dir, paths) = paths();
        let key = NextKey::obtain(&paths, None).unwrap();
        let kid = key.key.key_id().clone();
        let membership = Membership {
            org: "o".parse().unwrap(),
            host: "h".parse().unwrap(),
            urls: vec![],
            trust: TrustUpdate { version: 1, ca_pem: vec![], keys: vec![] },
            receipt: "r".into(),
        };
        Identity::new(key, membership).save(&paths).unwrap();
        assert_eq!(Identity::load(&paths).unwrap().unwrap().key.key_id(), &kid);
        assert!(!format!("{:?}", Identity::load(&paths)).contains("pkcs8: Secret(["));
        let text = std::fs::read_to_string(paths.identity()).unwrap();
        let moved = text.replacen("\"version\":1", "\"version\":1,\"protected_by\":\"tpm\"", 1);
        let moved = moved.replace("\"protected_by\":\"dpapi\",", "");
        std::fs::write(paths.identity(), moved).unwrap();
        assert!(matches!(Identity::load(&paths), Err(KeyError::Elsewhere { .. })), "sealed elsewhere");
        std::fs::write(paths.identity(), "{").unwrap();
        assert!(matches!(Identity::load(&paths), Err(KeyError::Damaged { .. })));
    }
}
