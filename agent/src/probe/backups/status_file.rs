//! Status files: what a customer's own backup script reports with `tenken-agent backup-report`.
//!
//! One JSON document per job in [`FOLDER`], written whole and renamed into place. Only an administrator
//! may write there; a folder or file that others could have written is refused, never believed.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tenken_shared::collected::{Reason, Status};
use tenken_shared::fact::backups::BackupJob;

use super::Found;
use crate::probe::sources::Sources;
use crate::sys::{Family, FileKind, Stat, Sys, SysError};

/// Where the files lie on Linux.
pub const FOLDER: &str = "/var/lib/tenken-agent/backup-status";
/// Where the files lie on Windows, below the system drive.
pub const WINDOWS_FOLDER: &str = "/ProgramData/Tenken/agent/backup-status";
/// Largest file, bytes.
pub const MAX_BYTES: u64 = 64 * 1024;
const MAX_FILES: usize = 200;

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunResult {
    /// Whole.
    Success,
    /// Not.
    Failed,
    /// A copy was made, with warnings.
    Warning,
}

/// One status file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackupStatus {
    /// Form of this document: 1.
    pub version: u32,
    /// Job name; also names the file.
    pub job: String,
    /// Result of the last run.
    pub result: RunResult,
    /// Start of the last run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<Timestamp>,
    /// End of the last run.
    pub finished: Timestamp,
    /// End of the last run that made a copy; kept over failures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_success: Option<Timestamp>,
    /// Size of the copy, bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
    /// Copies kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copies: Option<u64>,
    /// Oldest copy kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest: Option<Timestamp>,
    /// Where to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination: Option<String>,
    /// `same_disk`, `attached`, `lan`, `remote`, `cloud`, `sync`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination_class: Option<String>,
    /// Declared target of the policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The script's own result code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Backup product whose result this is, as facts name it (`acronis`): it counts as read then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product: Option<String>,
}

/// Destination classes a report may name.
pub const CLASSES: [&str; 6] = ["same_disk", "attached", "lan", "remote", "cloud", "sync"];

impl BackupStatus {
    /// Reads a document; the message says where it is not one.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let status: Self = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
        if status.version != 1 {
            return Err(format!("version {}", status.version));
        }
        if status.job.is_empty() || status.job.chars().count() > 200 {
            return Err("job name".into());
        }
        if status.destination_class.as_deref().is_some_and(|c| !CLASSES.contains(&c)) {
            return Err("destination_class".into());
        }
        if status.product.as_deref().is_some_and(|product| !is_product(product)) {
            return Err("product".into());
        }
        Ok(status)
    }

    /// The file's name within the folder: readable characters kept, the others as `%XX`.
    #[must_use]
    pub fn file_name(job: &str) -> String {
        let mut name = String::new();
        for byte in job.bytes() {
            if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') {
                name.push(byte as char);
            } else {
                name.push_str(&format!("%{byte:02X}"));
            }
        }
        if name.len() > 200 {
            // Longer names are told apart by their digest.
            let digest = tenken_shared::ids::Digest::of(job.as_bytes()).to_string();
            name = format!("{}-{}", &name[..120], digest.replace(['/', '+', '='], "_"));
        }
        format!("{name}.json")
    }

    /// As a job. A time in the future of `now` is no evidence of anything that happened.
    fn found(self, now: Timestamp) -> Found {
        let past = |t: &Timestamp| *t <= now;
        Found {
            job: BackupJob {
                product: self.product.unwrap_or_else(|| "status_file".into()),
                name: self.job,
                role: if self.destination_class.as_deref() == Some("sync") { "sync" } else { "backup" }
                    .into(),
                last_success: self.last_success.filter(past),
                result: Some(
                    match self.result {
                        RunResult::Success => "succeeded",
                        RunResult::Failed => "failed",
                        RunResult::Warning => "succeeded_with_warnings",
                    }
                    .into(),
                ),
                code: self.code,
                copies: self.copies,
                oldest_copy: self.oldest,
                size_bytes: self.size_bytes,
                destination: self.destination.map(|d| super::destination::without_credentials(&d)),
                destination_class: self.destination_class,
                evidence: "status_file".into(),
                target: self.target,
                ..BackupJob::default()
            },
            last_attempt: Some(self.finished),
            next_run: None,
            truncated: false,
        }
    }
}

/// Whether a name is one of a product in facts: lower case ASCII, digits and `_`.
fn is_product(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    !name.is_empty() && name.len() <= 60 && name.bytes().all(allowed)
}

/// Where the files lie on the machine being read.
fn folder(sys: &Sys) -> String {
    match sys.family() {
        Family::Windows if sys.is_live() => {
            crate::paths::backup_status().to_string_lossy().replace('\\', "/")
        }
        Family::Windows => WINDOWS_FOLDER.into(),
        Family::Linux | Family::Macos => FOLDER.into(),
    }
}

/// Reads every status file. Refused ones are gaps, each with its reason.
pub(super) fn read_all(sys: &Sys, sources: &mut Sources) -> Vec<Found> {
    let mut found = Vec::new();
    let folder = folder(sys);
    let listed = trusted(sys, &folder, FileKind::Dir, sources).and_then(|()| sys.list(&folder));
    let entries = match listed {
        Ok(entries) => entries,
        Err(error) => {
            sources.error(folder, &error);
            return found;
        }
    };
    let files: Vec<_> = entries.into_iter().filter(|e| e.name.ends_with(".json")).collect();
    for entry in files.iter().take(MAX_FILES) {
        let path = format!("{folder}/{}", entry.name);
        if entry.kind != FileKind::File {
            sources.gap(&path, Status::Failed, Reason::with("not_a_regular_file", &path));
            continue;
        }
        let read = trusted(sys, &path, FileKind::File, sources)
            .and_then(|()| sys.read_capped(&path, MAX_BYTES))
            .and_then(|b| BackupStatus::parse(&b).map_err(|detail| SysError::malformed(&path, detail)));
        match read {
            Ok(status) => found.push(status.found(sys.now())),
            Err(error) => sources.error(path, &error),
        }
    }
    if files.len() > MAX_FILES {
        sources.truncated(folder, found.len());
    } else {
        sources.known(folder, found.len());
    }
    found
}

/// Products whose jobs report their results, by what [`read_all`] found.
pub(super) fn reported(found: &[Found]) -> std::collections::BTreeSet<String> {
    let told = found.iter().filter(|f| f.job.evidence == "status_file" && f.job.product != "status_file");
    told.map(|f| f.job.product.clone()).collect()
}

/// Whether only an administrator can have written `path`. Where that cannot be told (files of a Windows
/// under a root folder), what is read is shown, with a gap.
fn trusted(sys: &Sys, path: &str, kind: FileKind, sources: &mut Sources) -> Result<(), SysError> {
    let stat = sys.stat(path)?.ok_or_else(|| SysError::Absent { what: path.into() })?;
    let refused =
        |detail: String| Err(SysError::Failed { what: path.into(), reason: "not_admin_only".into(), detail });
    if stat.kind != kind {
        return refused(format!("{:?}", stat.kind));
    }
    if sys.family() == Family::Windows {
        return match sys.windows_admin_only(path) {
            Err(error @ SysError::Unsupported { .. }) => {
                sources.gap(format!("owner of {path}"), Status::Partial, error.reason());
                Ok(())
            }
            other => other,
        };
    }
    let owner = if sys.is_live() { 0 } else { sys.stat("/")?.map_or(0, |s| s.uid) };
    if is_trusted(&stat, owner) {
        return Ok(());
    }
    refused(format!("owner {} mode {:o}", stat.uid, stat.mode & 0o7777))
}

fn is_trusted(stat: &Stat, owner: u32) -> bool {
    (stat.uid == 0 || stat.uid == owner) && stat.mode & 0o022 == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"version":1,"job":"会計","result":"failed","finished":"2026-11-20T01:00:00Z","last_success":"2026-11-19T01:00:00Z","destination":"b@nas:/x","destination_class":"lan","target":"会計データ"}"#;

    fn machine() -> (tempfile::TempDir, Sys) {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join(&FOLDER[1..]);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("a.json"), GOOD).unwrap();
        #[cfg(unix)]
        {
            set_mode(&folder.join("a.json"), 0o644);
            set_mode(&folder, 0o755);
        }
        let sys = Sys::at_root(dir.path(), "2026-11-21T00:00:00Z".parse().ok()).unwrap();
        (dir, sys)
    }

    #[cfg(unix)]
    fn set_mode(path: &std::path::Path, mode: u32) {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn failure_keeps_the_last_success() {
        let (_dir, sys) = machine();
        let mut sources = Sources::new();
        let found = read_all(&sys, &mut sources);
        assert!(!sources.has_gap());
        let job = &found[0].job;
        assert_eq!(job.result.as_deref(), Some("failed"));
        assert_eq!(job.last_success, "2026-11-19T01:00:00Z".parse().ok());
        assert_eq!(found[0].last_attempt, "2026-11-20T01:00:00Z".parse().ok());
        assert_eq!(
            (job.destination.as_deref(), job.destination_class.as_deref()),
            (Some("nas:/x"), Some("lan"))
        );
    }

    #[cfg(unix)]
    #[test]
    fn a_file_others_can_write_is_refused_and_leaves_a_gap() {
        let (dir, sys) = machine();
        set_mode(&dir.path().join(&FOLDER[1..]).join("a.json"), 0o666);
        let mut sources = Sources::new();
        assert_eq!(read_all(&sys, &mut sources).len(), 0);
        let states = sources.into_vec();
        assert!(states.iter().any(|s| s.is_gap() && s.reason.as_ref().unwrap().code == "not_admin_only"));
    }

    #[test]
    fn documents_that_are_none_are_named() {
        for bad in [
            "",
            "{}",
            "[]",
            "\u{0}",
            &GOOD[..40],
            &GOOD.replace("\"version\":1", "\"version\":2"),
            &GOOD.replace("\"lan\"", "\"moon\""),
            &GOOD.replace("\"job\":\"会計\"", "\"job\":\"\""),
            &GOOD.replace("\"version\"", "\"extra\":1,\"version\""),
            &GOOD.replace("\"version\"", "\"product\":\"Acronis Cyber\",\"version\""),
        ] {
            assert!(BackupStatus::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_success_in_the_future_is_no_evidence() {
        let mut status = BackupStatus::parse(GOOD.as_bytes()).unwrap();
        status.last_success = "2027-01-01T00:00:00Z".parse().ok();
        assert_eq!(status.found("2026-11-21T00:00:00Z".parse().unwrap()).job.last_success, None);
    }

    #[test]
    fn file_names_are_safe_and_distinct() {
        assert_eq!(BackupStatus::file_name("../a b"), "%2E%2E%2Fa%20b.json");
        let (a, b) = ("経".repeat(150), format!("{}x", "経".repeat(150)));
        assert_ne!(BackupStatus::file_name(&a), BackupStatus::file_name(&b));
        assert!(BackupStatus::file_name(&a).len() < 255);
    }
}
