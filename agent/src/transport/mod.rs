//! To the collector and back: TLS, proxy, retries, and the check that an answer is the collector's own.
//! Never changes a report.

pub mod backoff;
pub mod client;
pub mod proxy;
pub mod tls;

use tenken_shared::ids::Digest;
use tenken_shared::jws::{JwsError, PublicKey, Purpose, Unverified};
use tenken_shared::policy::{Policy, PolicyEnvelope};
use tenken_shared::report::Reply;

pub use self::client::{Answer, Client, Request, Route, TransportError};

/// Why an answer is not the collector's reply to this request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReplyError {
    /// No JWS, or not signed by a key of the trust bundle.
    #[error(transparent)]
    Jws(#[from] JwsError),
    /// Signed, but not readable.
    #[error("signed reply does not read: {0}")]
    Unreadable(String),
    /// Signed, but for another request.
    #[error("signed reply answers another request")]
    Replayed,
}

/// A checked reply.
#[derive(Debug, Clone, PartialEq)]
pub struct Checked {
    /// The reply. Its policy is read apart from it.
    pub reply: Reply,
    /// A policy newer than the one named.
    pub policy: Option<PolicyEnvelope>,
    /// Parts of the policy that this version cannot read and that keep their defaults.
    pub policy_ignored: Vec<String>,
}

/// Checks that `compact` is a reply to `re`, signed by one of `keys`.
pub fn check_reply(compact: &str, keys: &[PublicKey], re: Digest) -> Result<Checked, ReplyError> {
    let unverified = Unverified::parse(compact.trim(), Purpose::Reply)?;
    let key = keys.iter().find(|key| key.key_id() == *unverified.key_id()).ok_or(JwsError::WrongKey)?;
    let payload = unverified.verify(key)?;
    let unreadable = |e: serde_json::Error| ReplyError::Unreadable(e.to_string());
    let mut value: serde_json::Value = serde_json::from_slice(&payload).map_err(unreadable)?;
    // A policy of a newer collector must not make the whole reply unreadable.
    let policy = value.as_object_mut().and_then(|map| map.remove("policy"));
    let reply: Reply = serde_json::from_value(value).map_err(unreadable)?;
    if reply.re != re {
        return Err(ReplyError::Replayed);
    }
    let (policy, policy_ignored) = policy.and_then(|p| read_policy(&p)).unzip();
    Ok(Checked { reply, policy, policy_ignored: policy_ignored.unwrap_or_default() })
}

/// Reads a policy section by section: one this version cannot read keeps its default and is named.
fn read_policy(value: &serde_json::Value) -> Option<(PolicyEnvelope, Vec<String>)> {
    if let Ok(envelope) = serde_json::from_value::<PolicyEnvelope>(value.clone()) {
        return Some((envelope, vec![]));
    }
    let version = value.get("version")?.as_u64()?;
    let mut kept = serde_json::Map::new();
    let mut ignored = Vec::new();
    for (name, section) in value.get("policy")?.as_object()? {
        let alone = serde_json::json!({ name: section });
        if serde_json::from_value::<Policy>(alone).is_ok() {
            kept.insert(name.clone(), section.clone());
        } else {
            ignored.push(name.clone());
        }
    }
    let policy = serde_json::from_value(serde_json::Value::Object(kept)).ok()?;
    Some((PolicyEnvelope { version, policy }, ignored))
}

/// Checks an HTTP answer; what is not signed is a failed delivery.
pub fn check_answer(answer: &Answer, keys: &[PublicKey], re: Digest) -> Result<Checked, TransportError> {
    let text = std::str::from_utf8(&answer.body).unwrap_or_default();
    check_reply(text, keys, re).map_err(|error| match error {
        ReplyError::Jws(JwsError::WrongKey) => TransportError::UnknownSigner { url: answer.url.clone() },
        other => unsigned(answer, &other),
    })
}

/// An answer that does not count.
pub fn unsigned(answer: &Answer, error: &dyn std::fmt::Display) -> TransportError {
    TransportError::Unsigned { url: answer.url.clone(), status: answer.status, detail: error.to_string() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tenken_shared::jws::SigningKey;
    use tenken_shared::report::ReplyCode;

    use super::*;

    fn key() -> SigningKey {
        SigningKey::from_pkcs8(&SigningKey::generate().unwrap()).unwrap()
    }

    fn signed(key: &SigningKey, value: &serde_json::Value) -> String {
        key.sign(Purpose::Reply, &serde_json::to_vec(value).unwrap())
    }

    #[test]
    fn only_a_pinned_key_and_only_for_this_request() {
        let (ours, other) = (key(), key());
        let re = Digest::of(b"request");
        let value = json!({"code": "accepted", "re": re, "time": 5});
        let keys = [ours.public()];
        assert_eq!(check_reply(&signed(&ours, &value), &keys, re).unwrap().reply.code, ReplyCode::Accepted);
        assert_eq!(check_reply(&signed(&other, &value), &keys, re), Err(ReplyError::Jws(JwsError::WrongKey)));
        assert_eq!(check_reply(&signed(&ours, &value), &keys, Digest::of(b"x")), Err(ReplyError::Replayed));
        let report = ours.sign(Purpose::Report, b"{}");
        assert!(matches!(check_reply(&report, &keys, re), Err(ReplyError::Jws(_))));
        assert!(matches!(check_reply("<html>blocked</html>", &keys, re), Err(ReplyError::Jws(_))));
    }

    #[test]
    fn policy_of_a_newer_collector_loses_only_what_is_not_understood() {
        let ours = key();
        let re = Digest::of(b"request");
        let value = json!({"code": "accepted", "re": re, "time": 5, "policy": {"version": 9, "policy": {
            "collection": {"interval_s": 60}, "patch": {"phase_of_the_moon": 1}, "quantum": {}}}});
        let checked = check_reply(&signed(&ours, &value), &[ours.public()], re).unwrap();
        let envelope = checked.policy.unwrap();
        assert_eq!((envelope.version, envelope.policy.collection.interval_s), (9, 60));
        assert_eq!(envelope.policy.patch, Policy::default().patch);
        assert_eq!(checked.policy_ignored, ["patch", "quantum"]);
    }
}
