//! The policy document: what to collect how often, and the thresholds controls use. Versioned; holds no
//! rule and no default path. Every field has its default here, so an empty document is a valid policy.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A policy with its version, as sent and stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PolicyEnvelope {
    /// Grows by one with every change within an organisation.
    pub version: u64,
    /// The document.
    pub policy: Policy,
}

/// The document. Unknown members are an error, so that a typing mistake is not silently ignored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// Time zone of the organisation, IANA name. Days are counted in it.
    pub time_zone: String,
    /// When and how often agents collect.
    pub collection: Collection,
    /// Freshness.
    pub freshness: Freshness,
    /// 4-4-4.
    pub patch: Patch,
    /// 4-3-4.
    pub backup: Backup,
    /// 4-1-9 and 4-4-1-2.
    pub removable: Removable,
    /// 4-4-1-1, 5-1-2.
    pub software: SoftwarePolicy,
    /// 4-4-1-4.
    #[serde(skip_serializing_if = "is_default")]
    pub services: ServicePolicy,
    /// 4-1-4, 4-1-5.
    pub credential: Credential,
    /// 4-4-5.
    pub malware: Malware,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            time_zone: "Asia/Tokyo".into(),
            collection: Collection::default(),
            freshness: Freshness::default(),
            patch: Patch::default(),
            backup: Backup::default(),
            removable: Removable::default(),
            software: SoftwarePolicy::default(),
            services: ServicePolicy::default(),
            credential: Credential::default(),
            malware: Malware::default(),
        }
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// How often agents collect and report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Collection {
    /// Seconds between full rounds.
    pub interval_s: u64,
    /// Random spread added to each interval, percent of it.
    pub jitter_pct: u32,
    /// Other intervals by fact kind, seconds.
    pub intervals_s: BTreeMap<String, u64>,
    /// Kinds that are not collected.
    pub disabled: Vec<String>,
    /// Seconds between reports of `*_observed` kinds.
    pub observed_interval_s: u64,
    /// Days after which an agent makes itself a new key; 0: never.
    pub key_rotation_days: u32,
}

impl Default for Collection {
    fn default() -> Self {
        Self {
            interval_s: 3600,
            jitter_pct: 10,
            intervals_s: BTreeMap::new(),
            disabled: vec![],
            observed_interval_s: 86_400,
            key_rotation_days: 365,
        }
    }
}

/// How old knowledge may be before it is no knowledge.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Freshness {
    /// Hours after which a fact supports no verdict (`unknown`, reason `stale`).
    pub max_age_h: u32,
    /// Other maximum ages by fact kind, hours.
    pub max_age_by_kind_h: BTreeMap<String, u32>,
    /// Days without any report after which a host is silent.
    pub silent_after_days: u32,
    /// Days after which update metadata on the machine make "0 pending" worthless.
    pub update_metadata_days: u32,
    /// Days after which a catalogue lowers verdicts to `unknown`.
    pub catalog_days: u32,
}

impl Default for Freshness {
    fn default() -> Self {
        Self {
            max_age_h: 14 * 24,
            max_age_by_kind_h: BTreeMap::new(),
            silent_after_days: 14,
            update_metadata_days: 3,
            catalog_days: 180,
        }
    }
}

/// Patch thresholds (4-4-4-2).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Patch {
    /// Calendar days after release within which an update must be applied.
    pub days: u32,
    /// CVSS base score from which an update counts, in tenths (70 is 7.0).
    pub cvss_min_tenths: u32,
    /// Vendor severities that count, lower case.
    pub severities: Vec<String>,
    /// Whether updates without severity detail count (the scheme says they do).
    pub unknown_severity_counts: bool,
}

impl Default for Patch {
    fn default() -> Self {
        Self {
            days: 14,
            cvss_min_tenths: 70,
            severities: vec!["critical".into(), "high".into(), "important".into()],
            unknown_severity_counts: true,
        }
    }
}

/// Declared backups (4-3-4). The scheme fixes no numbers: the company does.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Backup {
    /// What must be backed up. Empty means: nothing was declared yet, and verdicts say so.
    pub targets: Vec<BackupTarget>,
    /// Paths (files or folders) in which a job leaves its copies; the agent reports the newest file.
    pub declared_paths: Vec<DeclaredPath>,
    /// Systemd timers, services or scheduled tasks that are backup jobs.
    pub units: Vec<String>,
}

/// One declared target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackupTarget {
    /// Name of the target ("accounting data").
    pub name: String,
    /// Host names, host ids or groups (`group:NAME`) it applies to; empty is every host.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// Products that may fulfil it; empty is any. Where `jobs` is empty too, only a job that names the target
    /// itself, or the only job of a machine with one such target, is taken to fulfil it.
    #[serde(default)]
    pub products: Vec<String>,
    /// Job names that may fulfil it; empty is any.
    #[serde(default)]
    pub jobs: Vec<String>,
    /// At most this many hours between successes.
    pub frequency_h: u32,
    /// Copies must reach back this many days (once the job has run that long).
    #[serde(default)]
    pub retention_days: Option<u32>,
    /// Holds important confidential information: needs a copy in a remote place (4-3-4-2).
    #[serde(default)]
    pub remote_copy: bool,
    /// Where the restore procedure is kept (4-3-4-3).
    #[serde(default)]
    pub restore_procedure: Option<String>,
}

/// A path that a job writes its copies to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeclaredPath {
    /// Absolute path on the machine.
    pub path: String,
    /// Name of the job.
    #[serde(default)]
    pub name: Option<String>,
    /// `same_disk`, `attached`, `lan`, `remote`, `cloud`: overrides what the agent finds.
    #[serde(default)]
    pub destination_class: Option<String>,
}

/// Removable media rules (4-1-9, 4-4-1-2).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Removable {
    /// What the company's rule demands of USB storage: `blocked`, `read_only`, `allow_list`, or nothing.
    pub usb_storage: Option<String>,
    /// Register of permitted media.
    pub permitted: Vec<PermittedMedia>,
    /// Days up to now that the records of use must cover before anything is said of the media in use; a
    /// system that is younger must have them since it was installed.
    #[serde(skip_serializing_if = "is_usual_history")]
    pub history_days: u32,
}

/// What the usual rotation of logs leaves (four weeks and a little), and what Windows keeps at least.
const USUAL_HISTORY_DAYS: u32 = 30;

impl Default for Removable {
    fn default() -> Self {
        Self { usb_storage: None, permitted: vec![], history_days: USUAL_HISTORY_DAYS }
    }
}

fn is_usual_history(days: &u32) -> bool {
    *days == USUAL_HISTORY_DAYS
}

/// One permitted medium. Members that are absent match anything.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PermittedMedia {
    /// USB vendor id, four hex digits.
    pub vendor_id: Option<String>,
    /// USB product id.
    pub product_id: Option<String>,
    /// Serial.
    pub serial: Option<String>,
    /// Label for people.
    pub label: Option<String>,
}

/// Permitted software (4-4-1-1, 5-1-2).
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SoftwarePolicy {
    /// Names that are permitted (`*` matches any run of characters). Empty: no list was declared yet.
    pub permitted: Vec<String>,
    /// Names that are forbidden.
    pub forbidden: Vec<String>,
    /// Names whose vendor still supports them, as the company checked (4-4-2-1): for titles the catalogue
    /// does not know.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub supported: Vec<String>,
}

/// Services and protocols the company needs (4-4-1-4).
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServicePolicy {
    /// What may listen for the network: `tcp/443`, `udp/5353`, or the name of a program (`*` matches any run
    /// of characters). Empty: nothing was declared yet.
    pub needed: Vec<String>,
}

/// Log-on thresholds (4-1-4, 4-1-5).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Credential {
    /// Failures until lock, at most.
    pub lockout_max: u32,
    /// Minimum length with lockout.
    pub min_length_with_lockout: u32,
    /// Minimum length without.
    pub min_length: u32,
}

impl Default for Credential {
    fn default() -> Self {
        Self { lockout_max: 10, min_length_with_lockout: 8, min_length: 10 }
    }
}

/// Malware protection thresholds (4-4-5).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Malware {
    /// Days after which signatures are old.
    pub signature_days: u32,
    /// Days within which a scan must have run.
    pub scan_days: u32,
}

impl Default for Malware {
    fn default() -> Self {
        Self { signature_days: 7, scan_days: 31 }
    }
}

/// A number of the policy that no policy may have: laxer than the scheme fixes it, or past all use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("policy_out_of_range: {field} is {value}; allowed is {least} to {most}")]
pub struct OutOfRange {
    /// Path of the member.
    pub field: String,
    /// What it says.
    pub value: u64,
    /// Least that is allowed.
    pub least: u64,
    /// Most that is allowed.
    pub most: u64,
}

/// Longest frequency of a backup: ten years in hours.
const MAX_HOURS: u64 = 87_600;
/// Longest retention, days: a hundred years.
const MAX_RETENTION_DAYS: u64 = 36_500;
/// Longest interval between rounds, seconds: 30 days.
const MAX_INTERVAL_S: u64 = 30 * 86_400;
/// Most days for which anything counts as fresh.
const MAX_FRESH_DAYS: u64 = 366;

impl Policy {
    /// Refuses numbers that would make a verdict worthless: those the scheme fixes (14 days and CVSS 7.0 of
    /// 4-4-4-2, lock after 10 failures of 4-1-4-1, lengths of 4-1-5-3) may be stricter, never laxer, and
    /// nothing stays fresh for longer than a year.
    pub fn check(&self) -> Result<(), OutOfRange> {
        let (fresh, credential) = (&self.freshness, &self.credential);
        for (field, value, least, most) in [
            ("/patch/days", u64::from(self.patch.days), 0, 14),
            ("/patch/cvss_min_tenths", u64::from(self.patch.cvss_min_tenths), 0, 70),
            ("/patch/unknown_severity_counts", u64::from(self.patch.unknown_severity_counts), 1, 1),
            ("/credential/lockout_max", u64::from(credential.lockout_max), 1, 10),
            ("/credential/min_length_with_lockout", u64::from(credential.min_length_with_lockout), 8, 1_000),
            ("/credential/min_length", u64::from(credential.min_length), 10, 1_000),
            ("/malware/signature_days", u64::from(self.malware.signature_days), 1, MAX_FRESH_DAYS),
            ("/malware/scan_days", u64::from(self.malware.scan_days), 1, MAX_FRESH_DAYS),
            ("/freshness/max_age_h", u64::from(fresh.max_age_h), 1, MAX_FRESH_DAYS * 24),
            ("/freshness/silent_after_days", u64::from(fresh.silent_after_days), 1, MAX_FRESH_DAYS),
            ("/freshness/update_metadata_days", u64::from(fresh.update_metadata_days), 1, 14),
            ("/freshness/catalog_days", u64::from(fresh.catalog_days), 1, MAX_FRESH_DAYS),
            ("/removable/history_days", u64::from(self.removable.history_days), 1, MAX_RETENTION_DAYS),
            ("/collection/interval_s", self.collection.interval_s, 10, MAX_INTERVAL_S),
            ("/collection/observed_interval_s", self.collection.observed_interval_s, 10, MAX_INTERVAL_S),
            ("/collection/jitter_pct", u64::from(self.collection.jitter_pct), 0, 100),
        ] {
            within(field.to_owned(), value, least, most)?;
        }
        for (kind, hours) in &fresh.max_age_by_kind_h {
            let field = format!("/freshness/max_age_by_kind_h/{kind}");
            within(field, u64::from(*hours), 1, MAX_FRESH_DAYS * 24)?;
        }
        for (kind, seconds) in &self.collection.intervals_s {
            within(format!("/collection/intervals_s/{kind}"), *seconds, 10, MAX_INTERVAL_S)?;
        }
        for (i, target) in self.backup.targets.iter().enumerate() {
            let field = |name| format!("/backup/targets/{i}/{name}");
            within(field("frequency_h"), u64::from(target.frequency_h), 1, MAX_HOURS)?;
            if let Some(days) = target.retention_days {
                within(field("retention_days"), u64::from(days), 0, MAX_RETENTION_DAYS)?;
            }
        }
        Ok(())
    }
}

fn within(field: String, value: u64, least: u64, most: u64) -> Result<(), OutOfRange> {
    if (least..=most).contains(&value) { Ok(()) } else { Err(OutOfRange { field, value, least, most }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_may_be_stricter_than_the_scheme_and_never_laxer_or_useless() {
        assert_eq!(Policy::default().check(), Ok(()));
        type Change = fn(&mut Policy);
        let changes: &[(Change, Option<&str>)] = &[
            (|p| p.patch.days = 7, None),
            (|p| p.patch.days = 15, Some("/patch/days")),
            (|p| p.patch.unknown_severity_counts = false, Some("/patch/unknown_severity_counts")),
            (|p| p.credential.lockout_max = 0, Some("/credential/lockout_max")),
            (|p| p.credential.min_length = 9, Some("/credential/min_length")),
            (|p| p.freshness.silent_after_days = u32::MAX, Some("/freshness/silent_after_days")),
            (
                |p| p.freshness.max_age_by_kind_h.extend([("updates".to_owned(), u32::MAX)]),
                Some("/freshness/max_age_by_kind_h/updates"),
            ),
            (
                |p| {
                    let target = r#"{"name":"files","frequency_h":4294967295}"#;
                    p.backup.targets = vec![serde_json::from_str(target).unwrap()];
                },
                Some("/backup/targets/0/frequency_h"),
            ),
        ];
        for (change, field) in changes {
            let mut policy = Policy::default();
            change(&mut policy);
            assert_eq!(policy.check().err().map(|e| e.field).as_deref(), *field);
        }
    }

    #[test]
    fn empty_document_is_the_default_policy_and_unknown_keys_are_errors() {
        assert_eq!(serde_json::from_str::<Policy>("{}").unwrap(), Policy::default());
        assert!(serde_json::from_str::<Policy>(r#"{"patch":{"dayz":3}}"#).is_err());
    }
}
