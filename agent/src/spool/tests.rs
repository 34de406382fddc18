use std::collections::BTreeMap;

use proptest::prelude::*;
use tenken_shared::jws::{Purpose, SigningKey};
use tenken_shared::report::{VERSION, root_digest};

use super::entry::{Meta, Reported};
use super::*;

const WIDE: Limits = Limits { bytes: u64::MAX / 2, reports: 1000 };

fn key() -> SigningKey {
    SigningKey::from_pkcs8(&SigningKey::generate().unwrap()).unwrap()
}

fn event(name: &str) -> Event {
    Event { at: 1, kind: name.to_owned(), data: serde_json::Value::Null }
}

/// Spools one report with the given events, as the agent does.
fn put(spool: &mut Spool, key: &SigningKey, events: &[Event]) -> Manifest {
    let place = spool.place(events.len(), 600);
    put_at(spool, key, &place, events)
}

fn put_at(spool: &mut Spool, key: &SigningKey, place: &Place, events: &[Event]) -> Manifest {
    let (manifest, entry) = made(key, place, events);
    spool.append(place, &manifest, &entry).unwrap();
    manifest
}

fn made(key: &SigningKey, place: &Place, events: &[Event]) -> (Manifest, Entry) {
    let mut facts = place.base.clone().map(|(_, facts)| facts).unwrap_or_default();
    let digest = Digest::of(&place.seq.to_be_bytes());
    facts.insert("os".parse().unwrap(), Reported { digest, at: place.seq as i64 });
    let manifest = Manifest {
        version: VERSION,
        seq: place.seq,
        prev: place.prev,
        root: root_digest(facts.iter().map(|(kind, reported)| (kind, &reported.digest))),
        created_at: 0,
        confirmed_at: 0,
        confirmed: BTreeMap::new(),
        base: place.base.as_ref().map(|(seq, _)| *seq),
        changed: vec![],
        gone: vec![],
        print: None,
        resync: place.resync.clone(),
        dropped: place.dropped.clone(),
        events: place.carried.iter().chain(events).cloned().collect(),
    };
    let jws = key.sign(Purpose::Report, &serde_json::to_vec(&manifest).unwrap());
    let entry = Entry { meta: Meta { jws, facts, lean: false }, frame: vec![] };
    (manifest, entry)
}

/// The folder could not be synced after the report had its name: whether it survives a crash is not known.
#[test]
fn a_report_that_was_not_made_durable_uses_up_its_number() {
    let folder = tempfile::tempdir().unwrap();
    let key = key();
    let mut spool = Spool::open(folder.path(), WIDE, "h").unwrap();
    put(&mut spool, &key, &[event("a")]);
    let place = spool.place(1, 600);
    let (manifest, entry) = made(&key, &place, &[event("b")]);
    let left = entry::write(folder.path(), &manifest, &entry).unwrap().path;
    let bytes = std::fs::read(&left).unwrap();
    spool.use_up(&manifest, &entry);
    assert!(!left.exists());
    let next = put(&mut spool, &key, &[event("b")]);
    assert_eq!((manifest.seq, next.seq), (2, 3));
    let dropped = next.dropped.unwrap();
    assert_eq!((dropped.from_seq, dropped.to_seq, dropped.reports), (2, 2, 1));
    // It came back after a crash: the later report replaced it.
    std::fs::write(&left, bytes).unwrap();
    let reopened = Spool::open(folder.path(), WIDE, "h").unwrap();
    assert_eq!((reopened.len(), reopened.tail().seq, left.exists()), (2, 3, false));
}

/// The collector's side of the chain rules, and what it was told.
#[derive(Default)]
struct Collector {
    head: Option<(u64, Digest)>,
    events: Vec<String>,
    dropped_events: u64,
}

impl Collector {
    fn take(&mut self, manifest: &Manifest, digest: Digest) {
        let (head_seq, head) = self.head.map_or((0, None), |(seq, digest)| (seq, Some(digest)));
        assert_eq!(manifest.prev, head, "report {} does not follow the head", manifest.seq);
        match &manifest.dropped {
            None => assert_eq!(manifest.seq, head_seq + 1, "gap without a record"),
            Some(d) => assert_eq!((d.from_seq, d.to_seq), (head_seq + 1, manifest.seq - 1)),
        }
        assert_eq!(manifest.base.is_some(), manifest.prev.is_some());
        assert!(manifest.base.is_none_or(|base| base == head_seq));
        self.head = Some((manifest.seq, digest));
        self.events.extend(manifest.events.iter().map(|e| e.kind.clone()));
        self.dropped_events += manifest.dropped.as_ref().map_or(0, |d| d.events);
    }
}

fn deliver_one(spool: &mut Spool, collector: &mut Collector) -> bool {
    let Some((slot, entry)) = spool.oldest().unwrap() else { return false };
    collector.take(&entry.manifest().unwrap(), slot.digest);
    spool.accepted(slot.digest, &entry).unwrap();
    true
}

fn open(dir: &Path, limits: Limits) -> Spool {
    Spool::open(dir, limits, "host").unwrap()
}

#[test]
fn reports_survive_a_restart_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let key = key();
    let mut spool = open(dir.path(), WIDE);
    (0..3).for_each(|_| drop(put(&mut spool, &key, &[])));
    let mut collector = Collector::default();
    assert!(deliver_one(&mut spool, &mut collector));
    let mut spool = open(dir.path(), WIDE);
    assert_eq!((spool.len(), spool.head().seq, spool.tail().seq), (2, 1, 3));
    put(&mut spool, &key, &[]);
    while deliver_one(&mut spool, &mut collector) {}
    assert_eq!(collector.head.unwrap().0, 4);
    assert_eq!(spool.tail(), spool.head());
}

#[test]
fn full_spool_merges_the_newest_carries_events_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let key = key();
    let mut spool = open(dir.path(), Limits { bytes: u64::MAX / 2, reports: 4 });
    for n in 0..9 {
        put(&mut spool, &key, &[event(&format!("e{n}"))]);
        assert!(spool.len() <= 4);
    }
    assert!(spool.dropped_total() > 0);
    let mut collector = Collector::default();
    while deliver_one(&mut spool, &mut collector) {}
    let expected: Vec<String> = (0..9).map(|n| format!("e{n}")).collect();
    assert_eq!(collector.events, expected);
    assert_eq!((collector.head.unwrap().0, collector.dropped_events), (9, 0));
}

#[test]
fn oldest_report_is_never_withdrawn() {
    let dir = tempfile::tempdir().unwrap();
    let key = key();
    let mut spool = open(dir.path(), Limits { bytes: 1, reports: 2 });
    let first = put(&mut spool, &key, &[]);
    for _ in 0..5 {
        put(&mut spool, &key, &[]);
        assert_eq!(spool.oldest().unwrap().unwrap().1.manifest().unwrap(), first);
        assert_eq!(spool.len(), 2);
    }
}

#[test]
fn events_give_way_last_and_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    let key = key();
    let many: Vec<Event> = (0..MAX_EVENTS).map(|n| event(&format!("e{n}"))).collect();
    let mut spool = open(dir.path(), Limits { bytes: u64::MAX / 2, reports: 3 });
    for _ in 0..5 {
        put(&mut spool, &key, &many);
    }
    let mut collector = Collector::default();
    while deliver_one(&mut spool, &mut collector) {}
    let all = 5 * MAX_EVENTS as u64;
    assert_eq!(collector.events.len() as u64 + collector.dropped_events, all);
    assert!(collector.dropped_events > 0);
}

#[test]
fn resync_starts_above_both_heads_and_keeps_the_events() {
    let dir = tempfile::tempdir().unwrap();
    let key = key();
    let mut spool = open(dir.path(), WIDE);
    put(&mut spool, &key, &[event("a")]);
    put(&mut spool, &key, &[event("b")]);
    let resync = Resync { cause: "resync".into(), head_seq: 70, head: None };
    let place = spool.place_resync(resync.clone(), 0);
    let manifest = put_at(&mut spool, &key, &place, &[]);
    assert_eq!((manifest.seq, manifest.base, manifest.resync), (71, None, Some(resync)));
    assert_eq!(manifest.events, [event("a"), event("b")]);
    assert_eq!(manifest.dropped.unwrap().reports, 2);
    let spool = open(dir.path(), WIDE);
    assert_eq!((spool.len(), spool.tail().seq), (1, 71));
}

#[test]
fn refused_report_is_kept_aside_and_its_loss_recorded() {
    let dir = tempfile::tempdir().unwrap();
    let key = key();
    let (folder, aside) = (dir.path().join("spool"), dir.path().join("quarantine"));
    let mut spool = Spool::open(&folder, WIDE, "host").unwrap();
    let mut collector = Collector::default();
    put(&mut spool, &key, &[]);
    deliver_one(&mut spool, &mut collector);
    put(&mut spool, &key, &[event("poison")]);
    put(&mut spool, &key, &[event("fine")]);
    spool.quarantine(&aside).unwrap();
    assert!(spool.is_empty() && spool.owes_a_record());
    put(&mut spool, &key, &[]);
    while deliver_one(&mut spool, &mut collector) {}
    assert_eq!((collector.head.unwrap().0, collector.dropped_events), (4, 1));
    assert_eq!(collector.events, ["fine"]);
    assert_eq!(std::fs::read_dir(&aside).unwrap().count(), 1);
}

#[test]
fn other_hosts_reports_end_but_their_events_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = open(dir.path(), WIDE);
    put(&mut spool, &key(), &[event("seen")]);
    let spool = Spool::open(dir.path(), WIDE, "clone").unwrap();
    assert!(spool.is_empty() && spool.owes_a_record());
    let mut spool = Spool::open(dir.path(), WIDE, "clone").unwrap();
    let manifest = put(&mut spool, &key(), &[]);
    assert_eq!((manifest.seq, manifest.prev, manifest.dropped), (1, None, None));
    let kinds: Vec<&str> = manifest.events.iter().map(|e| e.kind.as_str()).collect();
    assert_eq!(kinds, ["seen", "chain.restarted"]);
    assert!(!Spool::open(dir.path(), WIDE, "clone").unwrap().owes_a_record());
}

#[test]
fn full_disk_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let key = key();
    let folder = dir.path().join("spool");
    let mut spool = Spool::open(&folder, WIDE, "host").unwrap();
    put(&mut spool, &key, &[]);
    // A folder that is gone fails like a full disk: at the first write.
    std::fs::rename(&folder, dir.path().join("away")).unwrap();
    let place = spool.place(0, 600);
    let manifest = Manifest { seq: place.seq, ..entry::manifest_of(&sample(&key)).unwrap() };
    let entry = Entry { meta: Meta { jws: sample(&key), facts: Reports::new(), lean: false }, frame: vec![] };
    assert!(spool.append(&place, &manifest, &entry).is_err());
    std::fs::rename(dir.path().join("away"), &folder).unwrap();
    assert_eq!((spool.len(), spool.tail().seq), (1, 1));
    assert_eq!(put(&mut spool, &key, &[]).seq, 2);
}

fn sample(key: &SigningKey) -> String {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = open(dir.path(), WIDE);
    put(&mut spool, key, &[]);
    spool.oldest().unwrap().unwrap().1.meta.jws
}

#[test]
fn names_of_other_files_are_no_entries() {
    for name in ["head.json", "x.report", "1.0.AAAA.report", ".00000000000000000001.0.x.report.tmp", ""] {
        assert_eq!(entry::parse_name(name), None, "{name}");
    }
}

#[derive(Debug, Clone)]
enum Act {
    Put(usize),
    Deliver,
    /// Reopen beside the temporary file of a write that was cut off.
    Crash,
    /// Cut the n-th waiting file, as a failing disk does.
    Tear(usize, u8),
    /// Put a replaced file back, as if the crash came before its deletion.
    Undelete,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (0usize..3).prop_map(Act::Put),
        3 => Just(Act::Deliver),
        1 => Just(Act::Crash),
        1 => (0usize..4, any::<u8>()).prop_map(|(n, cut)| Act::Tear(n, cut)),
        1 => Just(Act::Undelete),
    ]
}

fn waiting_files(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == "report"))
        .collect();
    files.sort();
    files
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever happens, the collector sees one unbroken chain in which every gap is recorded, and every
    /// event either arrives (at least once) or is counted as dropped.
    #[test]
    fn chain_holds_and_no_event_is_lost_silently(acts in prop::collection::vec(act(), 1..40)) {
        let limits = Limits { bytes: u64::MAX / 2, reports: 4 };
        let dir = tempfile::tempdir().unwrap();
        let backup = tempfile::tempdir().unwrap();
        let key = key();
        let mut spool = open(dir.path(), limits);
        let mut collector = Collector::default();
        let mut made: Vec<String> = vec![];
        for act in acts {
            match act {
                Act::Put(events) => {
                    let events: Vec<Event> =
                        (0..events).map(|n| event(&format!("e{}", made.len() + n))).collect();
                    for file in waiting_files(dir.path()) {
                        std::fs::copy(&file, backup.path().join(file.file_name().unwrap())).unwrap();
                    }
                    put(&mut spool, &key, &events);
                    made.extend(events.iter().map(|e| e.kind.clone()));
                }
                Act::Deliver => drop(deliver_one(&mut spool, &mut collector)),
                Act::Crash => {
                    std::fs::write(dir.path().join(".half.report.tmp"), "torn").unwrap();
                    spool = open(dir.path(), limits);
                    prop_assert!(!dir.path().join(".half.report.tmp").exists());
                }
                Act::Tear(n, cut) => {
                    if let Some(file) = waiting_files(dir.path()).get(n) {
                        let length = std::fs::metadata(file).unwrap().len();
                        let cut = length * u64::from(cut) / 256;
                        std::fs::OpenOptions::new().write(true).open(file).unwrap().set_len(cut).unwrap();
                    }
                    spool = open(dir.path(), limits);
                }
                Act::Undelete => {
                    for file in waiting_files(backup.path()) {
                        let to = dir.path().join(file.file_name().unwrap());
                        if !to.exists() {
                            std::fs::copy(&file, to).unwrap();
                        }
                    }
                    spool = open(dir.path(), limits);
                }
            }
        }
        put(&mut spool, &key, &[event("last")]);
        while deliver_one(&mut spool, &mut collector) {}
        if spool.owes_a_record() {
            put(&mut spool, &key, &[]);
            while deliver_one(&mut spool, &mut collector) {}
        }
        prop_assert!(spool.is_empty());
        let missing = made.iter().filter(|e| !collector.events.contains(e)).count() as u64;
        prop_assert!(missing <= collector.dropped_events, "{} missing, {} recorded", missing, collector.dropped_events);
    }
}
