use proptest::prelude::*;
use serde_json::json;
use tenken_shared::fact::FactContent;
use tenken_shared::report::{MAX_PLAIN_BYTES, decode_body, split_lines};

use super::*;
use crate::spool::{Limits, Spool};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_795_000_000 + seconds).unwrap()
}

fn record(kind: &str, body: serde_json::Value, when: Timestamp) -> FactRecord {
    let content = FactContent {
        kind: kind.parse().unwrap(),
        schema: 1,
        status: Status::Known,
        reason: None,
        source: "test".into(),
        body: Some(body),
    };
    FactRecord::from_content(content, when).unwrap()
}

struct Machine {
    collected: Collected,
    spool: Spool,
    key: SigningKey,
    _dir: tempfile::TempDir,
}

impl Machine {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let limits = Limits { bytes: 1 << 20, reports: 100 };
        Self {
            collected: Collected::default(),
            spool: Spool::open(dir.path(), limits, "host").unwrap(),
            key: SigningKey::from_pkcs8(&SigningKey::generate().unwrap()).unwrap(),
            _dir: dir,
        }
    }

    fn round(&mut self, records: Vec<FactRecord>, now: Timestamp) -> (Manifest, Entry) {
        self.collected.take(records, now);
        let place = self.spool.place(0, 600);
        let moment = Moment { now, observed_interval_s: 86_400, shrink: 0 };
        let (manifest, entry) = self.collected.report(&place, &[], moment, &self.key).unwrap();
        self.spool.append(&place, &manifest, &entry).unwrap();
        (manifest, entry)
    }
}

fn kinds(entries: &[FactEntry]) -> Vec<&str> {
    entries.iter().map(|e| e.kind.as_str()).collect()
}

#[test]
fn first_report_is_full_with_bodies_and_an_unchanged_one_names_nothing() {
    let mut machine = Machine::new();
    let facts = |now| vec![record("os", json!({"a": 1}), now), record("software", json!({"items": []}), now)];
    let (first, entry) = machine.round(facts(at(0)), at(0));
    assert_eq!((first.base, kinds(&first.changed)), (None, vec!["os", "software"]));
    let plain = zstd::bulk::decompress(&entry.frame, MAX_PLAIN_BYTES).unwrap();
    let (jws, bodies) = split_lines(&plain).unwrap();
    assert_eq!(jws, entry.meta.jws);
    for (body, named) in bodies.iter().zip(&first.changed) {
        assert_eq!(decode_body(body).unwrap().digest, named.digest);
    }
    let (second, entry) = machine.round(facts(at(60)), at(60));
    assert_eq!((second.base, second.changed.len(), second.root), (Some(1), 0, first.root));
    assert_eq!(second.confirmed_at, at(60).as_millisecond());
    assert!(second.confirmed.is_empty() && entry.frame.is_empty());
}

#[test]
fn change_and_disappearance_are_deltas_on_the_report_before() {
    let mut machine = Machine::new();
    machine.round(vec![record("os", json!({}), at(0)), record("software", json!({"n": 1}), at(0))], at(0));
    machine.collected.retain(&BTreeSet::from(["software".parse().unwrap()]));
    let (second, _) = machine.round(vec![record("software", json!({"n": 2}), at(9))], at(9));
    assert_eq!(kinds(&second.changed), ["software"]);
    assert_eq!(second.gone, ["os".parse::<KindName>().unwrap()]);
}

#[test]
fn early_round_confirms_only_what_it_collected() {
    let mut machine = Machine::new();
    let many = |now| ["network", "os", "software"].map(|kind| record(kind, json!({}), now)).to_vec();
    machine.round(many(at(0)), at(0));
    let (second, _) = machine.round(vec![record("software", json!({}), at(50))], at(50));
    assert_eq!(second.confirmed_at, at(0).as_millisecond());
    let confirmed: Vec<_> = second.confirmed.iter().map(|(k, t)| (k.as_str(), *t)).collect();
    assert_eq!(confirmed, [("software", at(50).as_millisecond())]);
}

#[test]
fn observations_wait_for_their_interval_or_for_other_news() {
    let mut machine = Machine::new();
    let facts = |n: i64, os: i64, now| {
        vec![record("os", json!({"v": os}), now), record("volumes_observed", json!({"free": n}), now)]
    };
    let (first, _) = machine.round(facts(1, 1, at(0)), at(0));
    let (quiet, _) = machine.round(facts(2, 1, at(3600)), at(3600));
    assert_eq!((quiet.changed.len(), quiet.root), (0, first.root));
    let (news, _) = machine.round(facts(3, 2, at(7200)), at(7200));
    assert_eq!(kinds(&news.changed), ["os", "volumes_observed"]);
    let (quiet, _) = machine.round(facts(4, 2, at(10_800)), at(10_800));
    assert!(quiet.changed.is_empty());
    let (due, _) = machine.round(facts(5, 2, at(7200 + 86_400)), at(7200 + 86_400));
    assert_eq!(kinds(&due.changed), ["volumes_observed"]);
    // The same observation again, when due, is confirmed by name.
    let (same, _) = machine.round(facts(5, 2, at(7200 + 2 * 86_400)), at(7200 + 2 * 86_400));
    assert!(same.changed.is_empty());
    assert_eq!(same.confirmed.keys().map(KindName::as_str).collect::<Vec<_>>(), ["volumes_observed"]);
}

#[test]
fn unchanged_report_of_all_kinds_stays_under_its_budget() {
    let mut machine = Machine::new();
    let facts = |now: Timestamp, n: i64| {
        FactKind::ALL
            .iter()
            .map(|kind| {
                let body = if kind.is_observed() { json!({"n": n}) } else { json!({}) };
                record(kind.as_str(), body, now)
            })
            .chain([record("hardware", json!({"uuid": "4c4c4544-0033"}), now)])
            .collect::<Vec<_>>()
    };
    machine.round(facts(at(0), 0), at(0));
    let (_, entry) = machine.round(facts(at(3600), 1), at(3600));
    assert!(entry.frame.is_empty());
    let headers = "content-type: application/jose\r\ntenken-policy: 1234\r\ntenken-trust: 12\r\ntenken-clock: 1795000000000\r\n";
    let bytes = entry.meta.jws.len() + headers.len();
    assert!(bytes <= 600, "{bytes} bytes");
}

#[test]
fn fact_over_the_cap_is_failed_never_cut() {
    let mut machine = Machine::new();
    let text = "x".repeat(MAX_FACT_BYTES);
    let (manifest, _) = machine.round(vec![record("software", json!({"a": text}), at(0))], at(0));
    let held = machine.collected.record(FactKind::Software).unwrap();
    assert_eq!((held.content.status, held.content.body.is_none()), (Status::Failed, true));
    assert_eq!(manifest.changed[0].digest, held.digest);
}

#[test]
fn refused_size_leaves_out_the_largest_fact_and_says_so() {
    let mut machine = Machine::new();
    let big = record("software", json!({"a": "x".repeat(5000)}), at(0));
    machine.collected.take(vec![record("os", json!({"a": 1}), at(0)), big], at(0));
    let place = machine.spool.place(0, 600);
    let moment = Moment { now: at(0), observed_interval_s: 1, shrink: 1 };
    let (manifest, entry) = machine.collected.report(&place, &[], moment, &machine.key).unwrap();
    assert_eq!(kinds(&manifest.changed), ["os", "software"]);
    let plain = zstd::bulk::decompress(&entry.frame, MAX_PLAIN_BYTES).unwrap();
    let (_, bodies) = split_lines(&plain).unwrap();
    assert_eq!(decode_body(bodies[0]).unwrap().content.status, Status::Known);
    let software = decode_body(bodies[1]).unwrap().content;
    assert_eq!((software.status, software.reason.unwrap().code.as_str()), (Status::Failed, "too_large"));
}

#[test]
fn print_rests_on_firmware_then_on_burnt_in_addresses_then_on_nothing() {
    let mut collected = Collected::default();
    assert_eq!(collected.print(), None);
    let network = |mac: &str| record("network", json!({"interfaces": [{"name": "a", "mac": mac}]}), at(0));
    collected.take([network("02:42:ac:11:00:02")], at(0));
    assert_eq!(collected.print(), None, "a made-up address is no hardware");
    collected.take([network("3c:ec:ef:01:02:03")], at(0));
    let by_mac = collected.print().unwrap();
    collected.take([record("hardware", json!({"uuid": "ABC", "serial": "S1"}), at(0))], at(0));
    let by_firmware = collected.print().unwrap();
    collected.take([network("3c:ec:ef:ff:ff:ff")], at(0));
    assert_eq!(collected.print().unwrap(), by_firmware, "a new dock is no new machine");
    assert_ne!(by_mac, by_firmware);
    collected.take([record("hardware", json!({"uuid": "abd", "serial": "S1"}), at(0))], at(0));
    assert_ne!(collected.print().unwrap(), by_firmware);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Replaying deltas gives what the roots name, whatever changes.
    #[test]
    fn deltas_lead_to_the_root(rounds in prop::collection::vec(prop::collection::btree_map(0usize..6, 0i64..3, 0..6), 1..8)) {
        let names = ["network", "os", "software", "updates", "updates_observed", "volumes_observed"];
        let mut machine = Machine::new();
        let mut there: BTreeMap<KindName, Digest> = BTreeMap::new();
        for (n, round) in rounds.iter().enumerate() {
            let now = at(n as i64 * 3600);
            let records = round.iter().map(|(k, v)| record(names[*k], json!({"v": v}), now)).collect();
            let (manifest, _) = machine.round(records, now);
            if manifest.base.is_none() {
                there.clear();
            }
            there.extend(manifest.changed.iter().map(|e| (e.kind.clone(), e.digest)));
            there.retain(|kind, _| !manifest.gone.contains(kind));
            prop_assert_eq!(root_digest(there.iter()), manifest.root);
        }
    }
}
