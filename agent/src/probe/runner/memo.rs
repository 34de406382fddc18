//! What probes gave, with the trace of what they read: an unchanged machine is not read again.
//!
//! An entry answers only for the same program version, machine, probe and policy, while every input is
//! unchanged, and at most [`MAX_AGE`]. Only whole answers are kept: what failed, was denied or timed
//! out is tried again each time. The file holds facts, so it lies in the agent's own folder, readable
//! by the agent alone; a damaged or foreign one is thrown away.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tenken_shared::canonical;
use tenken_shared::collected::Status;
use tenken_shared::fact::FactRecord;

use super::super::{Collection, Probe, ProbeConfig};
use crate::sys::{Sys, Trace};

/// Oldest answer given again: bounds what a change that left no trace could hide.
const MAX_AGE: SignedDuration = SignedDuration::from_hours(24);
/// Largest file read back.
const MAX_BYTES: u64 = 64 * 1024 * 1024;
/// Name of the file in the state folder.
const FILE: &str = "memo.json";

/// Which entry: probe, and the policy it ran under.
#[derive(Debug, Clone)]
pub(super) struct Key {
    probe: &'static str,
    policy: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    policy: String,
    collected_at: Timestamp,
    trace: Trace,
    records: Vec<FactRecord>,
}

/// What the file holds.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Document {
    program: String,
    machine: String,
    entries: BTreeMap<String, Entry>,
}

/// The memo of one machine.
#[derive(Debug)]
pub(super) struct Memo {
    path: Option<PathBuf>,
    document: Document,
    changed: bool,
}

impl Memo {
    /// Opens the memo in `folder`; empty where there is none, or one of another program or machine.
    pub(super) fn open(folder: Option<PathBuf>, sys: &Sys) -> Self {
        let fresh = Document {
            program: concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION")).into(),
            machine: sys.place(),
            entries: BTreeMap::new(),
        };
        let path = folder.map(|folder| folder.join(FILE));
        let kept = path.as_deref().and_then(read);
        let document = match kept {
            Some(kept) if kept.program == fresh.program && kept.machine == fresh.machine => kept,
            _ => fresh,
        };
        Self { path, document, changed: false }
    }

    /// The key of one run; `None` where the run cannot be remembered (the probe `agent` depends on the
    /// other answers).
    pub(super) fn key(probe: &'static Probe, config: &ProbeConfig) -> Option<Key> {
        if probe.kinds.contains(&tenken_shared::fact::FactKind::Agent) {
            return None;
        }
        let policy = canonical::digest(&config.policy).ok()?.to_string();
        Some(Key { probe: probe.name, policy })
    }

    /// The kept answers with the time of now, where every input is unchanged.
    pub(super) fn recall(&self, key: &Option<Key>, sys: &Sys, at: Timestamp) -> Option<Vec<Collection>> {
        let key = key.as_ref()?;
        let entry = self.document.entries.get(key.probe)?;
        let age = at.duration_since(entry.collected_at);
        let young = age >= SignedDuration::ZERO && age <= MAX_AGE;
        if entry.policy != key.policy || !young || !sys.is_unchanged(&entry.trace) {
            return None;
        }
        let again = |record: &FactRecord| {
            let kind = record.content.kind.known()?;
            Some(Collection { kind, record: FactRecord { collected_at: at, ..record.clone() } })
        };
        entry.records.iter().map(again).collect()
    }

    /// Keeps the answers of a run, or forgets the earlier ones where they cannot be kept.
    pub(super) fn keep(&mut self, key: Key, trace: Option<Trace>, given: &[Collection]) {
        let whole = |c: &Collection| {
            !matches!(c.record.content.status, Status::Denied | Status::Failed | Status::TimedOut)
        };
        match trace {
            Some(trace) if given.iter().all(whole) => {
                let Some(collected_at) = given.iter().map(|c| c.record.collected_at).min() else { return };
                let records = given.iter().map(|c| c.record.clone()).collect();
                let entry = Entry { policy: key.policy, collected_at, trace, records };
                self.document.entries.insert(key.probe.to_owned(), entry);
                self.changed = true;
            }
            _ => self.changed |= self.document.entries.remove(key.probe).is_some(),
        }
    }

    /// Writes the file where something changed. A failure costs only speed and is logged.
    pub(super) fn save(&mut self) {
        if !std::mem::take(&mut self.changed) {
            return;
        }
        let Some(path) = &self.path else { return };
        if let Err(error) = write(path, &self.document) {
            tracing::warn!(path = %path.display(), %error, "What was collected could not be kept for the next run.");
        }
    }
}

fn read(path: &Path) -> Option<Document> {
    let meta = std::fs::symlink_metadata(path).ok()?;
    if !meta.is_file() || meta.len() > MAX_BYTES {
        return None;
    }
    decode(&std::fs::read(path).ok()?)
}

/// Reads the file's bytes; `None` where they are damaged.
#[must_use]
pub fn decode(bytes: &[u8]) -> Option<Document> {
    match serde_json::from_slice::<Document>(bytes) {
        Ok(document) if is_sound(&document) => Some(document),
        Ok(_) => None,
        Err(error) => {
            tracing::debug!(%error, "The memo is damaged and starts afresh.");
            None
        }
    }
}

/// Every kept record must still have the digest it was kept under.
fn is_sound(document: &Document) -> bool {
    let records = document.entries.values().flat_map(|entry| &entry.records);
    records.into_iter().all(|record| {
        record.content.to_bytes().is_ok_and(|bytes| tenken_shared::ids::Digest::of(&bytes) == record.digest)
    })
}

fn write(path: &Path, document: &Document) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    std::fs::create_dir_all(folder)?;
    // A temporary file is made for the owner alone and replaces the old one in one step.
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    let mut out = std::io::BufWriter::new(file.as_file_mut());
    serde_json::to_writer(&mut out, document)?;
    out.flush()?;
    drop(out);
    file.persist(path).map_err(|e| e.error)?;
    Ok(())
}
