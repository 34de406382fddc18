//! JWS (RFC 7515) in compact form with EdDSA over Ed25519 (RFC 8037), and nothing else: the algorithm
//! is fixed, so no header can choose it. Signs and checks with a key it is handed; keeps none.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use serde::{Deserialize, Serialize};

use crate::ids::{Digest, KeyId};

/// Largest JWS accepted, in bytes.
pub const MAX_JWS_BYTES: usize = 256 * 1024;

/// Why a JWS or key was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JwsError {
    /// Not three base64url parts, or over the size cap.
    #[error("not a compact JWS")]
    Malformed,
    /// The header names another algorithm, type or critical extension.
    #[error("JWS header not supported")]
    UnsupportedHeader,
    /// Signed by another key than the one handed in.
    #[error("JWS is signed by another key")]
    WrongKey,
    /// The signature does not verify.
    #[error("JWS signature does not verify")]
    BadSignature,
    /// Key bytes are not an Ed25519 key.
    #[error("not an Ed25519 key")]
    BadKey,
}

/// What a JWS is for; a manifest can never pass as a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// An agent's report manifest.
    Report,
    /// A collector's reply.
    Reply,
    /// A request of an agent about its own key: enrolment, rotation.
    Key,
    /// A collector's receipt for an enrolled host.
    Receipt,
    /// A snapshot's signature.
    Snapshot,
}

impl Purpose {
    /// The `typ` header value.
    #[must_use]
    pub fn typ(self) -> &'static str {
        match self {
            Self::Report => "tr",
            Self::Reply => "ta",
            Self::Key => "tk",
            Self::Receipt => "tc",
            Self::Snapshot => "ts",
        }
    }
}

/// The protected header. Anything beyond these members is refused.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    alg: String,
    kid: KeyId,
    typ: String,
}

/// An Ed25519 public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// Wraps 32 raw bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The raw bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Reads base64url (the `x` member of a JWK).
    pub fn from_base64url(text: &str) -> Result<Self, JwsError> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| JwsError::BadKey)?;
        Ok(Self(bytes.try_into().map_err(|_| JwsError::BadKey)?))
    }

    /// Base64url (the `x` member of a JWK).
    #[must_use]
    pub fn to_base64url(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    /// RFC 7638 thumbprint.
    #[must_use]
    pub fn key_id(&self) -> KeyId {
        let jwk = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, self.to_base64url());
        match Digest::of(jwk.as_bytes()).to_string().parse() {
            Ok(id) => id,
            Err(_) => unreachable!("a base64url digest is a valid key id"),
        }
    }
}

impl Serialize for PublicKey {
    fn serialize<S: serde::Serializer>(&self, ser: S) -> Result<S::Ok, S::Error> {
        ser.serialize_str(&self.to_base64url())
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: serde::Deserializer<'de>>(de: D) -> Result<Self, D::Error> {
        let text = String::deserialize(de)?;
        Self::from_base64url(&text).map_err(serde::de::Error::custom)
    }
}

/// An Ed25519 key pair that can sign.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    kid: KeyId,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SigningKey({})", self.kid)
    }
}

impl SigningKey {
    /// Reads a PKCS#8 document as made by [`SigningKey::generate`].
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, JwsError> {
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).map_err(|_| JwsError::BadKey)?;
        let mut raw = [0u8; 32];
        raw.copy_from_slice(pair.public_key().as_ref());
        Ok(Self { kid: PublicKey(raw).key_id(), pair })
    }

    /// Makes a new key from the system's random source; returns its PKCS#8 document, to be kept.
    pub fn generate() -> Result<Vec<u8>, JwsError> {
        let random = ring::rand::SystemRandom::new();
        Ok(Ed25519KeyPair::generate_pkcs8(&random).map_err(|_| JwsError::BadKey)?.as_ref().to_vec())
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        let mut raw = [0u8; 32];
        raw.copy_from_slice(self.pair.public_key().as_ref());
        PublicKey(raw)
    }

    /// Thumbprint of the public half.
    #[must_use]
    pub fn key_id(&self) -> &KeyId {
        &self.kid
    }

    /// Signs `payload`; returns the compact form.
    #[must_use]
    pub fn sign(&self, purpose: Purpose, payload: &[u8]) -> String {
        let header = format!(r#"{{"alg":"EdDSA","kid":"{}","typ":"{}"}}"#, self.kid, purpose.typ());
        let mut out = URL_SAFE_NO_PAD.encode(header);
        out.push('.');
        URL_SAFE_NO_PAD.encode_string(payload, &mut out);
        let signature = self.pair.sign(out.as_bytes());
        out.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut out);
        out
    }
}

/// A JWS that was parsed but not yet checked: only its key id may be used, to find the key.
#[derive(Debug, Clone)]
pub struct Unverified<'a> {
    kid: KeyId,
    signed: &'a str,
    payload: &'a str,
    signature: &'a str,
}

impl<'a> Unverified<'a> {
    /// Splits a compact JWS and reads its header.
    pub fn parse(compact: &'a str, purpose: Purpose) -> Result<Self, JwsError> {
        if compact.len() > MAX_JWS_BYTES {
            return Err(JwsError::Malformed);
        }
        let (signed, signature) = compact.rsplit_once('.').ok_or(JwsError::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(JwsError::Malformed)?;
        let header = URL_SAFE_NO_PAD.decode(header).map_err(|_| JwsError::Malformed)?;
        let header: Header = serde_json::from_slice(&header).map_err(|_| JwsError::UnsupportedHeader)?;
        if header.alg != "EdDSA" || header.typ != purpose.typ() {
            return Err(JwsError::UnsupportedHeader);
        }
        Ok(Self { kid: header.kid, signed, payload, signature })
    }

    /// Which key the sender says it used.
    #[must_use]
    pub fn key_id(&self) -> &KeyId {
        &self.kid
    }

    /// Checks the signature and gives the payload.
    pub fn verify(&self, key: &PublicKey) -> Result<Vec<u8>, JwsError> {
        if key.key_id() != self.kid {
            return Err(JwsError::WrongKey);
        }
        let signature = URL_SAFE_NO_PAD.decode(self.signature).map_err(|_| JwsError::Malformed)?;
        UnparsedPublicKey::new(&ED25519, key.as_bytes())
            .verify(self.signed.as_bytes(), &signature)
            .map_err(|_| JwsError::BadSignature)?;
        URL_SAFE_NO_PAD.decode(self.payload).map_err(|_| JwsError::Malformed)
    }
}

/// Parses and checks in one step, where the key is known beforehand.
pub fn verify(compact: &str, purpose: Purpose, key: &PublicKey) -> Result<Vec<u8>, JwsError> {
    Unverified::parse(compact, purpose)?.verify(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8037, appendix A.3: the thumbprint of the example key.
    #[test]
    fn thumbprint_is_that_of_the_rfc() {
        let key = PublicKey::from_base64url("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo").unwrap();
        assert_eq!(key.key_id().as_str(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }

    /// RFC 8037, appendix A.4/A.5: the example signature verifies with ring over the same input.
    #[test]
    fn signature_is_that_of_the_rfc() {
        let key = PublicKey::from_base64url("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo").unwrap();
        let input = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
        let signature = URL_SAFE_NO_PAD
            .decode("hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg")
            .unwrap();
        UnparsedPublicKey::new(&ED25519, key.as_bytes()).verify(input.as_bytes(), &signature).unwrap();
    }

    #[test]
    fn signs_and_verifies_and_refuses_any_change() {
        let key = SigningKey::from_pkcs8(&SigningKey::generate().unwrap()).unwrap();
        let other = SigningKey::from_pkcs8(&SigningKey::generate().unwrap()).unwrap();
        let compact = key.sign(Purpose::Report, b"payload");
        assert_eq!(verify(&compact, Purpose::Report, &key.public()).unwrap(), b"payload");
        assert_eq!(verify(&compact, Purpose::Reply, &key.public()), Err(JwsError::UnsupportedHeader));
        assert_eq!(verify(&compact, Purpose::Report, &other.public()), Err(JwsError::WrongKey));
        let (head, rest) = compact.split_once('.').unwrap();
        let changed = format!("{head}.X{}", &rest[1..]);
        assert_eq!(verify(&changed, Purpose::Report, &key.public()), Err(JwsError::BadSignature));
        assert_eq!(verify("a.b", Purpose::Report, &key.public()).unwrap_err(), JwsError::Malformed);
    }

    #[test]
    fn other_algorithms_and_extra_header_members_are_refused() {
        for header in [
            r#"{"alg":"none","kid":"k","typ":"tr"}"#,
            r#"{"alg":"HS256","kid":"k","typ":"tr"}"#,
            r#"{"alg":"EdDSA","kid":"k","typ":"tr","crit":["x"]}"#,
        ] {
            let compact = format!("{}.e30.AAAA", URL_SAFE_NO_PAD.encode(header));
            assert_eq!(
                Unverified::parse(&compact, Purpose::Report).unwrap_err(),
                JwsError::UnsupportedHeader
            );
        }
    }
}
