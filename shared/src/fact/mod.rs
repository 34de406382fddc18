//! Facts: what an agent knows about its host, one kind each, with status, reason and source.
//!
//! [`FactRecord`] is the stored and sent form; its body stays a JSON value, so that kinds and fields of
//! a newer agent survive a round trip. The typed bodies are the modules below; `facts!` is the one list
//! that generates [`FactKind`] and ties each kind to its body type.

pub mod accounts;
pub mod agent;
pub mod autorun;
pub mod backups;
pub mod credential_policy;
pub mod firewall;
pub mod hardware;
pub mod identity;
pub mod malware_protection;
pub mod network;
pub mod os;
pub mod reason;
pub mod removable;
pub mod restart;
pub mod services;
pub mod software;
pub mod updates;
pub mod volumes;
pub mod word;

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::canonical::{self, CanonicalError};
use crate::collected::{Collected, Reason, Status};
use crate::ids::{Digest, InvalidId};
use crate::text::Text;

/// A typed fact body.
pub trait FactBody: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// Its kind.
    const KIND: FactKind;
}

macro_rules! facts {
    ($($(#[$doc:meta])* $variant:ident, $name:literal, $schema:literal, $body:ty, $observed:literal, $ja:literal, $en:literal;)*) => {
        /// The kinds this version knows. Names are part of the contract.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum FactKind { $($(#[$doc])* $variant,)* }

        impl FactKind {
            /// Every kind, in the fixed order of reports.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The contract name.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// Version of the body's shape.
            #[must_use]
            pub const fn schema(self) -> u32 {
                match self { $(Self::$variant => $schema,)* }
            }

            /// Whether the kind is a time series of what changes by itself (kept as observations).
            #[must_use]
            pub const fn is_observed(self) -> bool {
                match self { $(Self::$variant => $observed,)* }
            }

            /// Title for people.
            #[must_use]
            pub const fn title(self) -> Text {
                match self { $(Self::$variant => Text::new($ja, $en),)* }
            }

            /// Whether `body` reads as this kind's typed body; the message says where it does not.
            pub fn check_body(self, body: &Value) -> Result<(), serde_json::Error> {
                match self { $(Self::$variant => <$body>::deserialize(body).map(drop),)* }
            }
        }

        $(impl FactBody for $body { const KIND: FactKind = FactKind::$variant; })*
    };
}

facts! {
    /// The agent itself and what it can do here.
    Agent, "agent", 1, agent::Agent, false, "エージェント", "Agent";
    /// Spool, drops and clock offset of the agent.
    AgentObserved, "agent_observed", 1, agent::AgentObserved, true, "エージェントの稼働状況", "Agent activity";
    /// Names and ids of the machine.
    Identity, "identity", 1, identity::Identity, false, "識別情報", "Identity";
    /// Maker, model, serial, processors, memory, disks.
    Hardware, "hardware", 1, hardware::Hardware, false, "ハードウェア", "Hardware";
    /// Operating system.
    Os, "os", 1, os::Os, false, "OS", "Operating system";
    /// Interfaces and addresses.
    Network, "network", 1, network::Network, false, "ネットワーク", "Network";
    /// File systems and their encryption.
    Volumes, "volumes", 1, volumes::Volumes, false, "ボリューム", "Volumes";
    /// Free space.
    VolumesObserved, "volumes_observed", 1, volumes::VolumesObserved, true, "空き容量", "Free space";
    /// Installed software.
    Software, "software", 1, software::Software, false, "ソフトウェア", "Software";
    /// Updates not (fully) applied.
    Updates, "updates", 1, updates::Updates, false, "未適用の更新", "Pending updates";
    /// Age of what `updates` was computed from.
    UpdatesObserved, "updates_observed", 1, updates::UpdatesObserved, true, "更新情報の鮮度", "Update metadata age";
    /// Updates installed, failed and removed.
    UpdateHistory, "update_history", 1, updates::UpdateHistory, false, "更新履歴", "Update history";
    /// Automatic update.
    UpdateSettings, "update_settings", 1, updates::UpdateSettings, false, "自動更新の設定", "Automatic update settings";
    /// Restart pending.
    Restart, "restart", 1, restart::Restart, false, "再起動待ち", "Restart pending";
    /// Boot time.
    RestartObserved, "restart_observed", 1, restart::RestartObserved, true, "起動日時", "Boot time";
    /// Backup jobs and their copies.
    Backups, "backups", 1, backups::Backups, false, "バックアップ", "Backups";
    /// Last attempts.
    BackupsObserved, "backups_observed", 1, backups::BackupsObserved, true, "バックアップの実行状況", "Backup activity";
    /// Ledger of removable media and portable devices.
    RemovableDevices, "removable_devices", 1, removable::RemovableDevices, false, "可搬媒体", "Removable devices";
    /// Last use of removable media.
    RemovableObserved, "removable_observed", 1, removable::RemovableObserved, true, "可搬媒体の使用状況", "Removable media use";
    /// Restriction of removable media.
    RemovablePolicy, "removable_policy", 1, removable::RemovablePolicy, false, "可搬媒体の制限", "Removable media restriction";
    /// Auto-run and auto-play.
    Autorun, "autorun", 1, autorun::Autorun, false, "自動実行・自動再生", "Auto-run and auto-play";
    /// Local accounts and administrators.
    Accounts, "accounts", 1, accounts::Accounts, false, "アカウント", "Accounts";
    /// Last log-on.
    AccountsObserved, "accounts_observed", 1, accounts::AccountsObserved, true, "ログオン状況", "Log-on activity";
    /// Password and lockout rules.
    CredentialPolicy, "credential_policy", 1, credential_policy::CredentialPolicy, false, "パスワード・ロックの設定", "Password and lockout policy";
    /// Malware protection products.
    MalwareProtection, "malware_protection", 1, malware_protection::MalwareProtection, false, "マルウェア対策", "Malware protection";
    /// Signature age and last scans.
    MalwareObserved, "malware_observed", 1, malware_protection::MalwareObserved, true, "マルウェア対策の状況", "Malware protection activity";
    /// Host firewall.
    Firewall, "firewall", 1, firewall::Firewall, false, "ホストファイアウォール", "Host firewall";
    /// Services and listening ports.
    Services, "services", 1, services::Services, false, "サービスと待受ポート", "Services and listening ports";
}

impl fmt::Display for FactKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for FactKind {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        Self::ALL
            .iter()
            .copied()
            .find(|k| k.as_str() == text)
            .ok_or_else(|| InvalidId { what: "fact kind", value: text.chars().take(80).collect() })
    }
}

/// The name of a kind, known to this version or not. 1 to 40 of `[a-z0-9_]`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct KindName(String);

impl KindName {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the kind is a time series (kept as observations), known to this version or not.
    #[must_use]
    pub fn is_observed(&self) -> bool {
        self.0.ends_with("_observed")
    }

    /// The kind, where this version knows it.
    #[must_use]
    pub fn known(&self) -> Option<FactKind> {
        self.0.parse().ok()
    }
}

impl From<FactKind> for KindName {
    fn from(kind: FactKind) -> Self {
        Self(kind.as_str().to_owned())
    }
}

impl FromStr for KindName {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let fine = (1..=40).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if fine {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidId { what: "fact kind", value: text.chars().take(80).collect() })
        }
    }
}

impl<'de> Deserialize<'de> for KindName {
    fn deserialize<D: serde::Deserializer<'de>>(de: D) -> Result<Self, D::Error> {
        String::deserialize(de)?.parse().map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for KindName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a fact's digest covers: everything but when it was collected. Canonical bytes of this document
/// are one line of a report (see [`crate::report`]).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FactContent {
    /// Kind, known or not.
    pub kind: KindName,
    /// Version of the body's shape.
    pub schema: u32,
    /// How it was come by.
    pub status: Status,
    /// Why it is not (whole).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// Where it comes from: a path under the root, key, API or command; several joined by `; `.
    pub source: String,
    /// The body; present exactly for `known` and `partial`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Value>,
}

impl FactContent {
    /// The canonical bytes.
    pub fn to_bytes(&self) -> Result<Vec<u8>, CanonicalError> {
        canonical::to_bytes(self)
    }
}

/// One fact as kept and shown: its content, its digest and when it was collected.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FactRecord {
    /// Everything the digest covers.
    #[serde(flatten)]
    pub content: FactContent,
    /// SHA-256 of the canonical content.
    pub digest: Digest,
    /// When it was collected, host clock.
    pub collected_at: Timestamp,
}

impl FactRecord {
    /// Makes a record from a typed, collected body. Absent members (`null`) are left out of the body.
    pub fn new<T: FactBody>(
        collected: Collected<T>,
        source: impl Into<String>,
        collected_at: Timestamp,
    ) -> Result<Self, CanonicalError> {
        let status = collected.status();
        let reason = collected.reason().cloned();
        let body = match collected {
            Collected::Known(body) | Collected::Partial(body, _) => {
                let mut value = serde_json::to_value(body)?;
                drop_nulls(&mut value);
                Some(value)
            }
            _ => None,
        };
        let kind = T::KIND;
        let content = FactContent {
            kind: kind.into(),
            schema: kind.schema(),
            status,
            reason,
            source: source.into(),
            body,
        };
        Self::from_content(content, collected_at)
    }

    /// Makes a record for a kind that could not be collected at all.
    pub fn missing(
        kind: FactKind,
        status: Status,
        reason: Reason,
        source: impl Into<String>,
        collected_at: Timestamp,
    ) -> Result<Self, CanonicalError> {
        let content = FactContent {
            kind: kind.into(),
            schema: kind.schema(),
            status,
            reason: Some(reason),
            source: source.into(),
            body: None,
        };
        Self::from_content(content, collected_at)
    }

    /// Wraps a content and computes its digest.
    pub fn from_content(content: FactContent, collected_at: Timestamp) -> Result<Self, CanonicalError> {
        let digest = Digest::of(&content.to_bytes()?);
        Ok(Self { content, digest, collected_at })
    }

    /// The typed view. A body this version cannot read is `failed` with reason `unreadable_body`.
    #[must_use]
    pub fn typed<T: FactBody>(&self) -> Collected<T> {
        let body = match &self.content.body {
            None => None,
            Some(value) => match T::deserialize(value) {
                Ok(body) => Some(body),
                Err(error) => return Collected::Failed(Reason::with("unreadable_body", error)),
            },
        };
        Collected::from_parts(self.content.status, self.content.reason.clone(), body)
    }
}

fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, v| !v.is_null());
            map.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digest_covers_status_and_not_the_time() {
        let at: Timestamp = "2026-11-23T00:00:00Z".parse().unwrap();
        let later: Timestamp = "2026-11-24T00:00:00Z".parse().unwrap();
        let body = || restart::Restart { pending: Some(false), ..Default::default() };
        let a = FactRecord::new(Collected::Known(body()), "run/reboot-required", at).unwrap();
        let b = FactRecord::new(Collected::Known(body()), "run/reboot-required", later).unwrap();
        let c =
            FactRecord::new(Collected::Partial(body(), Reason::new("x")), "run/reboot-required", at).unwrap();
        assert_eq!(a.digest, b.digest);
        assert_ne!(a.digest, c.digest);
    }

    #[test]
    fn observed_kinds_are_told_by_their_name() {
        for kind in FactKind::ALL {
            assert_eq!(KindName::from(*kind).is_observed(), kind.is_observed(), "{kind}");
        }
    }

    #[test]
    fn unknown_kinds_and_fields_survive() {
        let text = r#"{"kind":"quantum","schema":9,"status":"known","source":"x","body":{"new":1},"digest":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","collected_at":"2026-11-23T00:00:00Z"}"#;
        let record: FactRecord = serde_json::from_str(text).unwrap();
        assert_eq!(record.content.kind.known(), None);
        assert_eq!(serde_json::to_value(&record).unwrap(), serde_json::from_str::<Value>(text).unwrap());
    }

    #[test]
    fn unreadable_body_is_failed_never_empty() {
        let content = FactContent {
            kind: FactKind::Software.into(),
            schema: 1,
            status: Status::Known,
            reason: None,
            source: "x".into(),
            body: Some(serde_json::json!({"items": 3})),
        };
        let record = FactRecord::from_content(content, Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(record.typed::<software::Software>().status(), Status::Failed);
    }
}
