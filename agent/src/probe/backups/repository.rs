//! Restic and Borg repositories as seen from outside, without their password.
//!
//! Restic writes one file per snapshot, once, under `snapshots/`; its time is when the snapshot was
//! completed. Borg keeps archives inside its log: from outside only transactions show, and pruning and
//! checkpoints make transactions too. So a Borg repository gives a last *attempt*; a *success* is only
//! taken from the client's own files cache, which `borg create` writes when it commits, and both are
//! `file_time` evidence. A product's own result (unit, status file) always says more.

use jiff::Timestamp;
use tenken_shared::fact::backups::BackupJob;

use super::Found;
use super::tree::{Tree, whole_second};
use crate::probe::homes::Home;
use crate::sys::{FileKind, Sys, SysError};

/// A repository on a file system of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Repository {
    /// Restic or rustic.
    Restic,
    /// Borg. Whether it is encrypted does not show: a key in it may only authenticate, and without one
    /// there may be a key file. Only the client's note of the key type tells.
    Borg {
        /// 64 hex digits.
        id: String,
    },
}

/// Whether `path` is a repository, and which. `Ok(None)`: it is something else.
pub fn identify(sys: &Sys, path: &str) -> Result<Option<Repository>, SysError> {
    let is_dir = |name: &str| {
        let stat = sys.stat(&format!("{path}/{name}"))?;
        Ok::<_, SysError>(stat.is_some_and(|s| s.kind == FileKind::Dir))
    };
    if !is_dir("data")? {
        return Ok(None);
    }
    if is_dir("snapshots")? && is_dir("keys")? && is_dir("index")? {
        return Ok(Some(Repository::Restic));
    }
    match sys.read_capped(&format!("{path}/config"), 64 * 1024) {
        Ok(bytes) => Ok(borg_config(&bytes)),
        Err(SysError::Absent { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Reads a Borg repository's `config` (INI, section `[repository]`).
#[must_use]
pub fn borg_config(bytes: &[u8]) -> Option<Repository> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut lines = text.lines();
    lines.find(|l| l.trim() == "[repository]")?;
    let mut id = None;
    for line in lines.take_while(|l| !l.starts_with('[')) {
        if let Some(("id", value)) = line.split_once('=').map(|(k, v)| (k.trim(), v.trim())) {
            id = Some(value.to_ascii_lowercase());
        }
    }
    let id = id.filter(|i| i.len() == 64 && i.bytes().all(|b| b.is_ascii_hexdigit()))?;
    Some(Repository::Borg { id })
}

/// A restic repository: one copy per snapshot file.
pub fn restic(sys: &Sys, path: &str) -> Result<Found, SysError> {
    let snapshots = Tree::walk(sys, &format!("{path}/snapshots"))?;
    let data = Tree::walk(sys, &format!("{path}/data"))?;
    Ok(Found {
        job: BackupJob {
            product: "restic".into(),
            name: path.into(),
            role: "backup".into(),
            last_success: snapshots.newest,
            copies: (!snapshots.truncated).then_some(snapshots.files),
            oldest_copy: snapshots.oldest,
            size_bytes: (!data.truncated).then_some(data.size_bytes),
            destination: Some(path.into()),
            encrypted: Some(true),
            evidence: "repository".into(),
            ..BackupJob::default()
        },
        last_attempt: snapshots.newest,
        next_run: None,
        truncated: snapshots.truncated || data.truncated,
    })
}

/// A Borg repository: its newest transaction, and what the clients on this machine know of it.
pub fn borg(sys: &Sys, path: &str, id: &str, homes: &[Home]) -> Result<Found, SysError> {
    let newest = newest_transaction(sys, path)?;
    let data = Tree::walk(sys, &format!("{path}/data"))?;
    let client = homes.iter().find_map(|home| BorgClient::read(sys, home, id));
    Ok(Found {
        job: BackupJob {
            product: "borg".into(),
            name: path.into(),
            role: "backup".into(),
            last_success: client.as_ref().and_then(|c| c.last_create),
            size_bytes: (!data.truncated).then_some(data.size_bytes),
            destination: Some(path.into()),
            encrypted: client.as_ref().and_then(|c| c.encrypted),
            evidence: "file_time".into(),
            ..BackupJob::default()
        },
        last_attempt: newest,
        next_run: None,
        truncated: data.truncated,
    })
}

fn newest_transaction(sys: &Sys, path: &str) -> Result<Option<Timestamp>, SysError> {
    let mut newest = None;
    for entry in sys.list(path)? {
        let number = entry.name.strip_prefix("index.").or_else(|| entry.name.strip_prefix("integrity."));
        if number.is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit())) {
            let stat = sys.stat(&format!("{path}/{}", entry.name))?;
            newest = newest.max(stat.and_then(|s| s.modified).map(whole_second));
        }
    }
    Ok(newest)
}

/// What one user's Borg knows about a repository.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BorgClient {
    /// Repository location as the client last used it.
    pub location: Option<String>,
    /// Time of the last manifest it saw: any change of the archive list.
    pub manifest_at: Option<Timestamp>,
    /// When `borg create` last committed its files cache.
    pub last_create: Option<Timestamp>,
    /// By the key type.
    pub encrypted: Option<bool>,
}

impl BorgClient {
    /// Reads `~/.config/borg/security/ID` and `~/.cache/borg/ID`; `None` where this user never used it.
    #[must_use]
    pub fn read(sys: &Sys, home: &Home, id: &str) -> Option<Self> {
        let folder = format!("{}/.config/borg/security/{id}", home.path);
        if !matches!(sys.exists(&folder), Ok(true)) {
            return None;
        }
        let line = |name: &str| {
            let bytes = sys.read_owned(&format!("{folder}/{name}"), home.uid, 4096).ok()?;
            let text = String::from_utf8(bytes).ok()?;
            Some(text.trim().to_owned()).filter(|t| !t.is_empty())
        };
        let files = sys.stat(&format!("{}/.cache/borg/{id}/files", home.path)).ok().flatten();
        Some(Self {
            location: line("location"),
            manifest_at: line("manifest-timestamp").and_then(|t| manifest_time(&t)),
            last_create: files.and_then(|s| s.modified).map(whole_second),
            encrypted: line("key-type").and_then(|t| key_type_encrypts(&t)),
        })
    }
}

/// Borg writes the manifest's time in UTC, without a zone.
fn manifest_time(text: &str) -> Option<Timestamp> {
    format!("{}Z", text.trim_end_matches('Z')).parse().ok().map(whole_second)
}

/// Key types of Borg 1.x: 2 is plain text, 6 and 7 only authenticate, the others encrypt.
fn key_type_encrypts(text: &str) -> Option<bool> {
    match text.parse::<u8>().ok()? {
        2 | 6 | 7 => Some(false),
        0 | 1 | 3 | 4 | 5 => Some(true),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn borg_config_needs_its_section_and_a_whole_id() {
        let id = "894f54ae0cead3dfcdf8127a38469101222dcae632db7070dc8257cc2a32f35e";
        let read = |t: &str| borg_config(t.as_bytes());
        assert_eq!(
            read(&format!("[repository]\nversion = 1\nid = {id}\nkey = abc\n\tdef\n")),
            Some(Repository::Borg { id: id.into() })
        );
        assert_eq!(read(&format!("[repository]\nid = {id}\n")), Some(Repository::Borg { id: id.into() }));
        assert_eq!(read(&format!("id = {id}")), None);
        assert_eq!(read("[repository]\nid = ../../etc"), None);
        assert_eq!(borg_config(b"\xff\xfe"), None);
    }

    #[test]
    fn key_types_and_manifest_times_are_read() {
        assert_eq!(
            ["0", "2", "3", "7", "9", "x"].map(key_type_encrypts),
            [Some(true), Some(false), Some(true), Some(false), None, None]
        );
        assert_eq!(manifest_time("2026-11-23T19:47:31.916201"), "2026-11-23T19:47:31Z".parse().ok());
        assert_eq!(manifest_time("soon"), None);
    }
}
