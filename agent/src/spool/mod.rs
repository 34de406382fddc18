//! The bounded, durable queue of signed reports.
//!
//! A report counts once its file and the folder are synced; it is deleted once the collector's signed
//! "accepted" was read. Reports form a chain (rules in [`tenken_shared::report`]), so nothing is taken
//! out of the middle: when the bound is hit, the *newest* waiting reports are withdrawn and the next one,
//! which holds the newest state anyway, takes their place, carries their events on and says in its signed
//! `dropped` what was withdrawn. Events are lost only when no withdrawal could carry them all; that too is
//! counted there. Files that were withdrawn are deleted after their replacement is durable; a crash
//! in between is mended when the spool is opened.

pub mod entry;

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use tenken_shared::ids::Digest;
use tenken_shared::report::{Dropped, Event, MAX_EVENTS, Manifest, Resync};

use self::entry::{Entry, Named, Reports, Slot, Tip};
use crate::disk::{self, DiskError};

/// How much may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes on disk. One report may go beyond it, so that the newest state is never refused.
    pub bytes: u64,
    /// Reports; at least two, the oldest (perhaps on its way) and the newest.
    pub reports: u64,
}

/// The next report's place in the chain, and what it replaces.
#[derive(Debug, Clone, PartialEq)]
pub struct Place {
    /// Its number.
    pub seq: u64,
    /// Digest of the report before it.
    pub prev: Option<Digest>,
    /// Facts it is a delta on, with the number of the report that left them; `None`: full list.
    pub base: Option<(u64, Reports)>,
    /// What is withdrawn for it.
    pub dropped: Option<Dropped>,
    /// Why the chain starts again.
    pub resync: Option<Resync>,
    /// Events of withdrawn reports, oldest first.
    pub carried: Vec<Event>,
    withdraw: usize,
}

/// The queue.
#[derive(Debug)]
pub struct Spool {
    folder: PathBuf,
    limits: Limits,
    head: Tip,
    tail: Tip,
    slots: VecDeque<Slot>,
    /// Highest number ever used.
    last_seq: u64,
    /// Found unusable when opened; recorded by the next report, then deleted.
    lost: Vec<Lost>,
    dropped_total: u64,
    /// Host the chain belongs to.
    owner: String,
    /// Events of a former chain that no report of this one carries yet.
    inherited: Vec<Event>,
}

/// A report that can no longer be sent.
#[derive(Debug, Clone, PartialEq)]
struct Lost {
    named: Named,
    path: PathBuf,
    slot: Option<Slot>,
}

const HEAD: &str = "head.json";
const CARRIED: &str = "carried.json";

#[derive(serde::Serialize, serde::Deserialize)]
struct HeadFile {
    owner: String,
    tip: Tip,
    last_seq: u64,
    #[serde(default)]
    dropped_total: u64,
}

impl Spool {
    /// Opens the queue of `owner` (the host id) and mends what a crash left: temporary files, files whose
    /// replacement is durable, accepted ones not yet deleted. What is torn or no longer follows is set
    /// aside and recorded by the next report. What another owner left is taken out: its reports can never
    /// be delivered in this chain; their events go on, with one `chain.restarted` that says what ended.
    pub fn open(folder: &Path, limits: Limits, owner: &str) -> Result<Self, DiskError> {
        disk::private_folder(folder)?;
        let kept: Option<HeadFile> =
            disk::read(&folder.join(HEAD))?.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let former = kept.as_ref().map(|file| file.owner.clone()).filter(|former| former != owner);
        let fresh = kept.is_none();
        let (head, last_seq, dropped_total) =
            kept.map_or_else(Default::default, |file| (file.tip, file.last_seq, file.dropped_total));
        let inherited = disk::read(&folder.join(CARRIED))?
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default();
        let mut spool = Self {
            folder: folder.to_owned(),
            limits: Limits { bytes: limits.bytes, reports: limits.reports.max(2) },
            tail: head.clone(),
            last_seq: last_seq.max(head.seq),
            head,
            slots: VecDeque::new(),
            lost: vec![],
            dropped_total,
            owner: former.clone().unwrap_or_else(|| owner.to_owned()),
            inherited,
        };
        spool.recover()?;
        if former.is_some() {
            spool.restart(owner)?;
        } else if fresh {
            // Marks whose chain this is; on a full disk the first accepted report does.
            let _ = spool.write_head(&Tip::default());
        }
        Ok(spool)
    }

    fn recover(&mut self) -> Result<(), DiskError> {
        let mut found = Vec::new();
        for (named, path) in self.files()? {
            self.last_seq = self.last_seq.max(named.seq);
            if named.seq <= self.head.seq && self.head.digest.is_some() {
                disk::remove(&path)?;
                continue;
            }
            let inspected = entry::inspect(&path, named)?;
            found.push((named, path, inspected));
        }
        // What a later, durable report has replaced is gone for good.
        let replaced: Vec<(u64, u64)> = found
            .iter()
            .filter_map(|(_, _, i)| i.as_ref())
            .filter_map(|(slot, _)| slot.dropped.as_ref())
            .map(|d| (d.from_seq, d.to_seq))
            .collect();
        for (named, path, inspected) in found {
            if replaced.iter().any(|(from, to)| (*from..=*to).contains(&named.seq)) {
                disk::remove(&path)?;
                continue;
            }
            match inspected {
                Some((slot, facts)) if self.follows(&slot) => {
                    self.tail = Tip { seq: slot.seq, digest: Some(slot.digest), facts };
                    self.slots.push_back(slot);
                }
                other => self.lost.push(Lost { named, path, slot: other.map(|(slot, _)| slot) }),
            }
        }
        Ok(())
    }

    fn follows(&self, slot: &Slot) -> bool {
        slot.restarts
            || slot.prev == self.tail.digest && {
                let expected = self.tail.seq + 1;
                slot.seq == expected || slot.dropped.as_ref().is_some_and(|d| d.from_seq == expected)
            }
    }

    fn files(&self) -> Result<Vec<(Named, PathBuf)>, DiskError> {
        let on = |e| DiskError::on("list", &self.folder)(e);
        let mut files = Vec::new();
        for item in std::fs::read_dir(&self.folder).map_err(on)? {
            let item = item.map_err(on)?;
            let name = item.file_name().to_string_lossy().into_owned();
            if let Some(named) = entry::parse_name(&name) {
                files.push((named, item.path()));
            } else if name.ends_with(".tmp") {
                disk::remove(&item.path())?;
            }
        }
        files.sort_by_key(|(named, _)| named.seq);
        Ok(files)
    }

    /// A report that has its name and was not made durable may come back after a crash: its number is
    /// used up, and the next report says that it was dropped.
    fn use_up(&mut self, manifest: &Manifest, entry: &Entry) {
        let path = entry::path_of(&self.folder, manifest, entry);
        if path.exists() {
            self.last_seq = self.last_seq.max(manifest.seq);
            let _ = disk::remove(&path);
        }
    }

    /// The end of the chain that the collector has accepted.
    #[must_use]
    pub fn head(&self) -> &Tip {
        &self.head
    }

    /// The end of the chain, waiting reports included.
    #[must_use]
    pub fn tail(&self) -> &Tip {
        &self.tail
    }

    /// Reports that wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Whether something was lost or inherited that no report has recorded yet.
    #[must_use]
    pub fn owes_a_record(&self) -> bool {
        !self.lost.is_empty() || !self.inherited.is_empty()
    }

    /// Bytes that wait.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.slots.iter().map(|slot| slot.bytes).sum()
    }

    /// Reports dropped since enrolment.
    #[must_use]
    pub fn dropped_total(&self) -> u64 {
        self.dropped_total
    }

    /// The oldest waiting report. One that can no longer be read is set aside and the next is not tried:
    /// the chain is broken there, and the next report says so.
    pub fn oldest(&mut self) -> Result<Option<(Slot, Entry)>, DiskError> {
        let Some(slot) = self.slots.front().cloned() else { return Ok(None) };
        if let Some(entry) = entry::read(&slot.path, slot.named())? {
            return Ok(Some((slot, entry)));
        }
        self.lose_all();
        Ok(None)
    }

    fn lose_all(&mut self) {
        for slot in self.slots.drain(..) {
            self.lost.push(Lost { named: slot.named(), path: slot.path.clone(), slot: Some(slot) });
        }
        self.tail = self.head.clone();
    }

    /// The place of the next report, which brings `new_events` events and about `new_bytes` bytes.
    #[must_use]
    pub fn place(&self, new_events: usize, new_bytes: u64) -> Place {
        let withdraw = self.to_withdraw(new_events, new_bytes);
        let keep = self.slots.len() - withdraw;
        let tip = match keep.checked_sub(1).and_then(|i| self.slots.get(i)) {
            _ if withdraw == 0 => Some(self.tail.clone()),
            None => Some(self.head.clone()),
            Some(slot) => self.tip_of(slot),
        };
        // An unreadable entry in front: all that waits is lost, and the collector's side is the base.
        let (tip, withdraw) =
            tip.map_or_else(|| (self.head.clone(), self.slots.len()), |tip| (tip, withdraw));
        self.placed(tip, withdraw, new_events, None)
    }

    /// The place of a full report that starts the chain again: everything that waits is withdrawn.
    #[must_use]
    pub fn place_resync(&self, resync: Resync, new_events: usize) -> Place {
        let mut place = self.placed(self.head.clone(), self.slots.len(), new_events, Some(resync));
        place.base = None;
        place
    }

    fn placed(&self, tip: Tip, withdraw: usize, new_events: usize, resync: Option<Resync>) -> Place {
        let new_events = new_events + self.inherited.len();
        let above = resync.as_ref().map_or(0, |r| r.head_seq);
        let seq = self.last_seq.max(above) + 1;
        let room = MAX_EVENTS.saturating_sub(new_events);
        let (dropped, carried) = self.dropped(withdraw, tip.seq, seq, room);
        let carried = self.inherited.iter().cloned().chain(carried).collect();
        let base = tip.digest.is_some().then_some((tip.seq, tip.facts));
        Place { seq, prev: tip.digest, base, dropped, resync, carried, withdraw }
    }

    /// How many of the newest reports give way: none while there is room; else the newer half, or as few
    /// of it as needed to carry all their events; never the oldest one.
    fn to_withdraw(&self, new_events: usize, new_bytes: u64) -> usize {
        let full = |keep: usize| {
            let bytes: u64 = self.slots.iter().take(keep).map(|s| s.bytes).sum();
            keep as u64 >= self.limits.reports || bytes + new_bytes > self.limits.bytes
        };
        let len = self.slots.len();
        if len < 2 || !full(len) {
            return 0;
        }
        let fits = |withdraw: usize| {
            let events: u64 = self.slots.iter().rev().take(withdraw).map(|s| s.events).sum();
            events as usize + new_events <= MAX_EVENTS
        };
        let least = (1..len).find(|w| !full(len - w)).unwrap_or(len - 1);
        let half = (len / 2).max(least);
        (least..=half).rev().find(|w| fits(*w)).unwrap_or(least)
    }

    fn tip_of(&self, slot: &Slot) -> Option<Tip> {
        let entry = entry::read(&slot.path, slot.named()).ok().flatten()?;
        Some(Tip { seq: slot.seq, digest: Some(slot.digest), facts: entry.meta.facts })
    }

    /// The record of what lies between `after` and `seq`, and the events to carry on (at most `room`, the
    /// newest).
    fn dropped(&self, withdraw: usize, after: u64, seq: u64, room: usize) -> (Option<Dropped>, Vec<Event>) {
        let first = self.slots.len() - withdraw;
        let waiting = self.slots.iter().skip(first);
        let mut gone: Vec<(Named, Option<&Slot>)> = self
            .lost
            .iter()
            .map(|l| (l.named, l.slot.as_ref()))
            .chain(waiting.map(|s| (s.named(), Some(s))))
            .collect();
        gone.sort_by_key(|(named, _)| named.seq);
        if gone.is_empty() && (seq == after + 1 || self.last_seq <= after) {
            return (None, vec![]);
        }
        // Records of earlier losses that are withdrawn themselves are counted on.
        let events_known: u64 = gone.iter().map(|(named, _)| named.accounts).sum();
        let mut carried: Vec<Event> =
            gone.iter().filter_map(|(_, slot)| *slot).flat_map(entry::events_of).collect();
        carried.drain(..carried.len().saturating_sub(room));
        let mut digests = Vec::with_capacity(gone.len() * 32);
        gone.iter().for_each(|(named, _)| digests.extend_from_slice(named.digest.as_bytes()));
        let to_seq = self.last_seq.max(after + 1);
        let dropped = Dropped {
            from_seq: after + 1,
            to_seq,
            reports: to_seq - after,
            events: events_known.saturating_sub(carried.len() as u64),
            digest: Digest::of(&digests),
        };
        (Some(dropped), carried)
    }

    /// Makes a signed report durable at its place. Only once this returned `Ok` does it count; on an
    /// error nothing has changed.
    pub fn append(&mut self, place: &Place, manifest: &Manifest, entry: &Entry) -> Result<(), DiskError> {
        let slot = match entry::write(&self.folder, manifest, entry) {
            Ok(slot) => slot,
            Err(error) => {
                self.use_up(manifest, entry);
                return Err(error);
            }
        };
        let first = self.slots.len().saturating_sub(place.withdraw);
        let withdrawn: Vec<PathBuf> = self
            .slots
            .drain(first..)
            .map(|slot| slot.path)
            .chain(self.lost.drain(..).map(|lost| lost.path))
            .collect();
        self.tail = Tip { seq: slot.seq, digest: Some(slot.digest), facts: entry.meta.facts.clone() };
        self.last_seq = slot.seq;
        self.dropped_total += manifest.dropped.as_ref().map_or(0, |d| d.reports);
        self.slots.push_back(slot);
        if !self.inherited.is_empty() {
            self.inherited.clear();
            let _ = disk::remove(&self.folder.join(CARRIED));
        }
        for path in withdrawn {
            // Left over, they are recognised as replaced when the spool is opened next.
            let _ = disk::remove(&path);
        }
        Ok(())
    }

    /// The collector has made the oldest report durable: moves the head and deletes it.
    pub fn accepted(&mut self, digest: Digest, entry: &Entry) -> Result<(), DiskError> {
        let Some(slot) = self.slots.front().filter(|slot| slot.digest == digest).cloned() else {
            return Ok(());
        };
        let head = Tip { seq: slot.seq, digest: Some(digest), facts: entry.meta.facts.clone() };
        match self.write_head(&head) {
            // The collector holds the report: deleting it makes room. Should the head stay unwritten, the
            // next start is a rolled-back one, which the collector knows how to cure.
            Err(error) if error.is_full() => {
                disk::remove(&slot.path)?;
                let _ = self.write_head(&head);
            }
            other => other?,
        }
        self.head = head;
        self.slots.pop_front();
        if self.slots.is_empty() {
            self.tail = self.head.clone();
        }
        disk::remove(&slot.path)
    }

    fn write_head(&self, head: &Tip) -> Result<(), DiskError> {
        let file = HeadFile {
            owner: self.owner.clone(),
            tip: head.clone(),
            last_seq: self.last_seq.max(head.seq),
            dropped_total: self.dropped_total,
        };
        let bytes = serde_json::to_vec(&file).unwrap_or_default();
        disk::write_atomic(&self.folder.join(HEAD), &bytes)
    }

    /// The collector will never take the oldest report: it is copied to `quarantine` to be looked at, and
    /// with it everything behind it is withdrawn by the next report. Keeps at most eight there.
    pub fn quarantine(&mut self, quarantine: &Path) -> Result<(), DiskError> {
        let Some(slot) = self.slots.front().cloned() else { return Ok(()) };
        disk::private_folder(quarantine)?;
        if let Some(name) = slot.path.file_name() {
            let to = quarantine.join(name);
            std::fs::copy(&slot.path, &to).map_err(DiskError::on("copy", &slot.path))?;
        }
        trim_folder(quarantine, 8)?;
        self.lose_all();
        if let Some(first) = self.lost.iter_mut().find(|lost| lost.named.seq == slot.seq) {
            // Its events may be what the collector refuses: they are counted as dropped.
            first.slot = None;
        }
        Ok(())
    }

    /// Takes everything out and starts a new chain for `owner`, a new host. The events go on.
    pub fn restart(&mut self, owner: &str) -> Result<(), DiskError> {
        let (dropped, mut carried) =
            self.dropped(self.slots.len(), self.head.seq, self.last_seq + 1, MAX_EVENTS - 1);
        let data = serde_json::json!({
            "former_host": self.owner,
            "former_head_seq": self.head.seq,
            "dropped": dropped,
        });
        let at = jiff::Timestamp::now().as_millisecond();
        carried.push(Event { at, kind: "chain.restarted".to_owned(), data });
        let mut inherited = std::mem::take(&mut self.inherited);
        inherited.append(&mut carried);
        inherited.drain(..inherited.len().saturating_sub(MAX_EVENTS));
        let bytes = serde_json::to_vec(&inherited).unwrap_or_default();
        disk::write_atomic(&self.folder.join(CARRIED), &bytes)?;
        for (_, path) in self.files()? {
            disk::remove(&path)?;
        }
        *self = Self {
            folder: self.folder.clone(),
            limits: self.limits,
            head: Tip::default(),
            tail: Tip::default(),
            slots: VecDeque::new(),
            last_seq: 0,
            lost: vec![],
            dropped_total: 0,
            owner: owner.to_owned(),
            inherited,
        };
        self.write_head(&Tip::default())
    }
}

fn trim_folder(folder: &Path, keep: usize) -> Result<(), DiskError> {
    let list = std::fs::read_dir(folder).map_err(DiskError::on("list", folder))?;
    let mut names: Vec<PathBuf> = list.flatten().map(|e| e.path()).collect();
    names.sort();
    for path in names.iter().take(names.len().saturating_sub(keep)) {
        disk::remove(path)?;
    }
    Ok(())
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
