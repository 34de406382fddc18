//! Identifiers as newtypes, and the SHA-256 digest. They do not know how they are stored.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A value that is not an identifier or digest of the expected form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a valid {what}: {value:?}")]
pub struct InvalidId {
    /// Which kind of identifier was expected.
    pub what: &'static str,
    /// What came instead, cut to 80 characters.
    pub value: String,
}

impl InvalidId {
    fn new(what: &'static str, value: &str) -> Self {
        Self { what, value: value.chars().take(80).collect() }
    }
}

/// Longest identifier accepted from outside, in bytes.
pub const MAX_ID_BYTES: usize = 64;

fn is_id(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= MAX_ID_BYTES
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_' || b == b'.')
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// The text form: 1 to 64 of `[A-Za-z0-9._-]`.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                if is_id(text) { Ok(Self(text.to_owned())) } else { Err(InvalidId::new($what, text)) }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(de: D) -> Result<Self, D::Error> {
                let text = String::deserialize(de)?;
                text.parse().map_err(de::Error::custom)
            }
        }
    };
}

text_id!(
    /// An organisation (tenant). Every key of the store begins with it.
    OrgId, "organisation id");
text_id!(
    /// One managed machine. Given by the collector at enrolment, never reused.
    HostId, "host id");
text_id!(
    /// One frozen snapshot.
    SnapshotId, "snapshot id");
text_id!(
    /// RFC 7638 thumbprint of an Ed25519 public key, base64url: the `kid` of a JWS.
    KeyId, "key id");

/// A SHA-256 digest. On the wire and in documents: base64url without padding (43 characters).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// SHA-256 of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let mut out = [0u8; 32];
        out.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, bytes).as_ref());
        Self(out)
    }

    /// Wraps 32 raw bytes, as read from the store.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The raw 32 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Lower-case hexadecimal, for people.
    #[must_use]
    pub fn to_hex(&self) -> String {
        self.0.iter().map(|b| format!("{b:02x}")).collect()
    }
}

impl TryFrom<&[u8]> for Digest {
    type Error = InvalidId;
    fn try_from(bytes: &[u8]) -> Result<Self, InvalidId> {
        bytes.try_into().map(Self).map_err(|_| InvalidId::new("digest", "wrong length"))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

impl FromStr for Digest {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| InvalidId::new("digest", text))?;
        Self::try_from(bytes.as_slice()).map_err(|_| InvalidId::new("digest", text))
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, ser: S) -> Result<S::Ok, S::Error> {
        ser.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(de: D) -> Result<Self, D::Error> {
        let text = String::deserialize(de)?;
        text.parse().map_err(de::Error::custom)
    }
}
