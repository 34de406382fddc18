//! One report as it lies in the spool.
//!
//! File name: `SEQ.EVENTS.DIGEST.report`, so that a file whose content is torn can still be named in a
//! drop record; `EVENTS` counts those it carries and those its own drop record says are lost. Content: a line `tenken-spool 1 CHECKSUM` (SHA-256 of everything after it), a JSON line
//! ([`Meta`]), then the bytes to send: one zstd frame of the report with all its bodies, or nothing for a
//! report without bodies.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use serde::{Deserialize, Serialize};
use tenken_shared::fact::KindName;
use tenken_shared::ids::Digest;
use tenken_shared::report::{Dropped, Event, Manifest, report_digest};

use crate::disk::{self, DiskError};

/// What an entry begins with, before its checksum.
pub const MAGIC: &str = "tenken-spool 1 ";
/// Ending of spooled reports.
pub const ENDING: &str = "report";

/// Last state of one fact that was reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reported {
    /// Digest of its content.
    pub digest: Digest,
    /// When it was last reported as changed or confirmed, host clock, milliseconds.
    pub at: i64,
}

/// All facts as the collector knows them after a report.
pub type Reports = BTreeMap<KindName, Reported>;

/// One end of the chain: what the next report follows.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tip {
    /// Number of the report; 0 before the first.
    pub seq: u64,
    /// Its digest.
    pub digest: Option<Digest>,
    /// Facts after it.
    pub facts: Reports,
}

/// What an entry needs besides the bytes to send.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Meta {
    /// Compact JWS of the manifest.
    pub jws: String,
    /// Facts after this report.
    pub facts: Reports,
    /// Send without bodies first: the collector says which ones it lacks.
    pub lean: bool,
}

/// A whole entry.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// What belongs to it.
    pub meta: Meta,
    /// One zstd frame, or empty.
    pub frame: Vec<u8>,
}

impl Entry {
    /// The manifest. It is our own text: the signature was made here and the checksum held.
    pub fn manifest(&self) -> Option<Manifest> {
        manifest_of(&self.meta.jws)
    }
}

/// Reads the manifest of a report of our own, unchecked.
#[must_use]
pub fn manifest_of(jws: &str) -> Option<Manifest> {
    let payload = jws.split('.').nth(1)?;
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// What the spool remembers of an entry.
#[derive(Debug, Clone, PartialEq)]
pub struct Slot {
    /// Number.
    pub seq: u64,
    /// Digest.
    pub digest: Digest,
    /// How many events it carries.
    pub events: u64,
    /// How many events only this report tells of: those it carries and those it says are lost.
    pub accounts: u64,
    /// Bytes on disk.
    pub bytes: u64,
    /// Digest of the report it follows.
    pub prev: Option<Digest>,
    /// What it replaced.
    pub dropped: Option<Dropped>,
    /// Whether it starts again after a `resync`.
    pub restarts: bool,
    /// The file.
    pub path: PathBuf,
}

impl Slot {
    fn of(manifest: &Manifest, digest: Digest, bytes: u64, path: &Path) -> Self {
        let events = manifest.events.len() as u64;
        Self {
            seq: manifest.seq,
            digest,
            events,
            accounts: events + manifest.dropped.as_ref().map_or(0, |d| d.events),
            bytes,
            prev: manifest.prev,
            dropped: manifest.dropped.clone(),
            restarts: manifest.resync.is_some(),
            path: path.to_owned(),
        }
    }

    /// What its file name says.
    #[must_use]
    pub fn named(&self) -> Named {
        Named { seq: self.seq, accounts: self.accounts, digest: self.digest }
    }
}

/// What a file name says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Named {
    /// Number.
    pub seq: u64,
    /// How many events only this report tells of.
    pub accounts: u64,
    /// Digest.
    pub digest: Digest,
}

/// Reads a file name; `None` for what is no entry.
#[must_use]
pub fn parse_name(name: &str) -> Option<Named> {
    let mut parts = name.split('.');
    let (seq, events, digest, ending) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let fits = ending == ENDING && parts.next().is_none() && seq.len() == 20;
    let named =
        Named { seq: seq.parse().ok()?, accounts: events.parse().ok()?, digest: digest.parse().ok()? };
    (fits && named.seq > 0).then_some(named)
}

fn file_name(slot: &Slot) -> String {
    format!("{:020}.{}.{}.{ENDING}", slot.seq, slot.accounts, slot.digest)
}

/// The file an entry is written to.
#[must_use]
pub fn path_of(folder: &Path, manifest: &Manifest, entry: &Entry) -> PathBuf {
    folder.join(file_name(&Slot::of(manifest, report_digest(&entry.meta.jws), 0, folder)))
}

/// Writes an entry; it counts once this returned.
pub fn write(folder: &Path, manifest: &Manifest, entry: &Entry) -> Result<Slot, DiskError> {
    let digest = report_digest(&entry.meta.jws);
    let bytes = encode(entry);
    let mut slot = Slot::of(manifest, digest, bytes.len() as u64, folder);
    slot.path = folder.join(file_name(&slot));
    disk::write_atomic(&slot.path, &bytes)?;
    Ok(slot)
}

/// The bytes of an entry's file.
#[must_use]
pub fn encode(entry: &Entry) -> Vec<u8> {
    let mut rest = serde_json::to_vec(&entry.meta).unwrap_or_default();
    rest.push(b'\n');
    rest.extend_from_slice(&entry.frame);
    let mut out = format!("{MAGIC}{}\n", Digest::of(&rest)).into_bytes();
    out.append(&mut rest);
    out
}

/// Reads an entry; `None` where the file is torn or not what its name says.
pub fn read(path: &Path, named: Named) -> Result<Option<Entry>, DiskError> {
    Ok(disk::read(path)?.and_then(|bytes| decode(&bytes, named)))
}

/// Reads the bytes of an entry's file; `None` where they are torn or not what the name says.
#[must_use]
pub fn decode(bytes: &[u8], named: Named) -> Option<Entry> {
    let end = bytes.iter().position(|b| *b == b'\n')?;
    let checksum: Digest = std::str::from_utf8(&bytes[..end]).ok()?.strip_prefix(MAGIC)?.parse().ok()?;
    let rest = &bytes[end + 1..];
    if Digest::of(rest) != checksum {
        return None;
    }
    let end = rest.iter().position(|b| *b == b'\n')?;
    let meta: Meta = serde_json::from_slice(&rest[..end]).ok()?;
    (report_digest(&meta.jws) == named.digest).then(|| Entry { meta, frame: rest[end + 1..].to_vec() })
}

/// Reads what the spool must remember of a file; `None` where it is torn.
pub fn inspect(path: &Path, named: Named) -> Result<Option<(Slot, Reports)>, DiskError> {
    let Some(entry) = read(path, named)? else { return Ok(None) };
    let Some(manifest) = entry.manifest().filter(|m| m.seq == named.seq) else { return Ok(None) };
    let bytes = std::fs::metadata(path).map(|m| m.len()).unwrap_or_default();
    let slot = Slot::of(&manifest, named.digest, bytes, path);
    Ok(Some((slot, entry.meta.facts)))
}

/// Events of an entry, for carrying on; none where it is torn.
pub fn events_of(slot: &Slot) -> Vec<Event> {
    match read(&slot.path, slot.named()) {
        Ok(Some(entry)) => entry.manifest().map(|m| m.events).unwrap_or_default(),
        _ => vec![],
    }
}
