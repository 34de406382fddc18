//! The life of hosts in the store, told once and run on every engine at hand.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tenken_shared::collected::{Reason, Status};
use tenken_shared::fact::{FactContent, FactKind, KindName};
use tenken_shared::ids::Digest;
use tenken_shared::jws::{PublicKey, SigningKey};
use tenken_shared::report::{
    Dropped, Event, FactEntry, MAX_PLAIN_BYTES, Resync, VERSION, join_lines, root_digest,
};

use super::*;
use crate::app::App;
use crate::enrol::{TokenSpec, create_token};
use crate::store::Rule;
use crate::store::fact::Moment;
use crate::store::host::{HostState, Org};
use crate::store::testing;
use crate::store::token::{Enrolled, Told};
use crate::user::Actor;

fn at(hours: i64) -> Timestamp {
    "2026-04-01T00:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_hours(hours)
}

/// A collector over one store, with its own clock.
struct Site {
    app: App,
    org: Org,
    now: Timestamp,
    _fixture: testing::Fixture,
}

async fn sites() -> Vec<Site> {
    let mut sites = Vec::new();
    for fixture in testing::stores().await {
        let store = fixture.store.clone();
        let org = store.ensure_org(&"acme".parse().unwrap(), "Acme", at(0)).await.unwrap();
        let app = App::new(store, None, at(0)).await.unwrap();
        sites.push(Site { app, org, now: at(0), _fixture: fixture });
    }
    sites
}

impl Site {
    async fn token(&self, max_uses: i64) -> Digest {
        let spec = TokenSpec {
            label: "test".into(),
            group: Some("sales".into()),
            ephemeral: false,
            address_range: None,
            valid_for: SignedDuration::from_hours(24),
            max_uses,
            urls: vec!["https://localhost".into()],
        };
        let (_, text) = create_token(
            &self.app.store,
            &self.app.keys,
            &Actor::command_line(self.org.id.clone()),
            spec,
            self.now,
        )
        .await
        .unwrap();
        let token = tenken_shared::api::EnrolToken::from_text(&text).unwrap();
        Digest::of(token.secret.expose().as_bytes())
    }

    async fn machine(&self, name: &str) -> Machine {
        let key = SigningKey::from_pkcs8(&SigningKey::generate().unwrap()).unwrap();
        let told = Told { hostname: Some(name.into()), ..Told::default() };
        let id = format!("host-{name}").parse().unwrap();
        let secret = self.token(1).await;
        let enrolled = self.app.store.enrol(secret, key.public(), id, told, self.now).await.unwrap();
        let Enrolled::Host(host) = enrolled else { panic!("not enrolled: {enrolled:?}") };
        assert_eq!((host.state, host.group.as_deref()), (HostState::Confirmed, Some("sales")));
        Machine {
            key,
            at: host.at,
            head: None,
            facts: BTreeMap::new(),
            sent: BTreeMap::new(),
            print: "A".into(),
        }
    }

    async fn send(&self, wire: &[u8]) -> Reply {
        self.send_as(wire, &Envelope::default()).await
    }

    async fn send_as(&self, wire: &[u8], envelope: &Envelope) -> Reply {
        let answer = self.app.ingest.report(wire, envelope, self.now).await;
        let key: PublicKey = self.app.keys.signing_key().public();
        let payload = tenken_shared::jws::verify(&answer.text, Purpose::Reply, &key).unwrap();
        let reply: Reply = serde_json::from_slice(&payload).unwrap();
        assert_eq!(reply.code, answer.code);
        reply
    }

    async fn deliver(&self, machine: &mut Machine) -> Reply {
        let report = machine.report(self.now);
        let reply = self.send(&report.wire()).await;
        if reply.code == ReplyCode::Accepted {
            machine.accept(&report);
        }
        reply
    }
}

/// A machine that keeps to the chain rules.
struct Machine {
    key: SigningKey,
    at: HostRef,
    head: Option<(u64, Digest)>,
    facts: BTreeMap<KindName, (Vec<u8>, Digest, Timestamp)>,
    sent: BTreeMap<KindName, Digest>,
    print: String,
}

struct Built {
    manifest: Manifest,
    compact: String,
    bodies: Vec<Vec<u8>>,
    facts: BTreeMap<KindName, Digest>,
}

impl Built {
    fn wire(&self) -> Vec<u8> {
        join_lines(&self.compact, self.bodies.iter().map(Vec::as_slice))
    }
}

impl Machine {
    fn set(&mut self, kind: FactKind, body: serde_json::Value, time: Timestamp) {
        let content = FactContent {
            kind: kind.into(),
            schema: 1,
            status: Status::Known,
            reason: None,
            source: "test".into(),
            body: Some(body),
        };
        self.put(&content, time);
    }

    fn fail(&mut self, kind: FactKind, time: Timestamp) {
        let content = FactContent {
            kind: kind.into(),
            schema: 1,
            status: Status::Failed,
            reason: Some(Reason::new("malformed")),
            source: "test".into(),
            body: None,
        };
        self.put(&content, time);
    }

    fn put(&mut self, content: &FactContent, time: Timestamp) {
        let bytes = content.to_bytes().unwrap();
        let digest = Digest::of(&bytes);
        self.facts.insert(content.kind.clone(), (bytes, digest, time));
    }

    fn software(&mut self, packages: &[(&str, &str)], time: Timestamp) {
        let items: Vec<_> = packages
            .iter()
            .map(|(name, version)| {
                json!({"name": name, "version": version, "source": "deb", "scope": "machine", "arch": "amd64",
                       "installed_at": "2026-01-02T03:04:05Z"})
            })
            .collect();
        self.set(FactKind::Software, json!({"items": items, "sources": []}), time);
    }

    fn manifest(&self, time: Timestamp) -> Manifest {
        let digests: BTreeMap<_, _> = self.facts.iter().map(|(k, (_, d, _))| (k.clone(), *d)).collect();
        let changed = self.facts.iter().filter(|(k, (_, d, _))| self.sent.get(*k) != Some(d));
        let entry = |(kind, (_, digest, time)): (&KindName, &(Vec<u8>, Digest, Timestamp))| FactEntry {
            kind: kind.clone(),
            digest: *digest,
            collected_at: time.as_millisecond(),
        };
        Manifest {
            version: VERSION,
            seq: self.head.map_or(1, |(seq, _)| seq + 1),
            prev: self.head.map(|(_, digest)| digest),
            root: root_digest(&digests),
            created_at: time.as_millisecond(),
            confirmed_at: time.as_millisecond(),
            confirmed: BTreeMap::new(),
            base: self.head.map(|(seq, _)| seq),
            changed: changed.map(entry).collect(),
            gone: self.sent.keys().filter(|k| !self.facts.contains_key(*k)).cloned().collect(),
            print: Some(self.print.clone()),
            resync: None,
            dropped: None,
            events: vec![],
        }
    }

    fn build(&self, manifest: Manifest) -> Built {
        let compact = self.key.sign(Purpose::Report, &serde_json::to_vec(&manifest).unwrap());
        let named = |digest: &Digest| manifest.changed.iter().any(|e| e.digest == *digest);
        let bodies = self.facts.values().filter(|(_, d, _)| named(d)).map(|(b, ..)| b.clone()).collect();
        let facts = self.facts.iter().map(|(k, (_, d, _))| (k.clone(), *d)).collect();
        Built { compact, manifest, bodies, facts }
    }

    fn report(&self, time: Timestamp) -> Built {
        self.build(self.manifest(time))
    }

    /// A full report as the cure of a resync.
    fn full(&self, reply: &Reply, time: Timestamp) -> Built {
        let mut fresh = Machine {
            key: SigningKey::from_pkcs8(&SigningKey::generate().unwrap()).unwrap(),
            at: self.at,
            head: None,
            facts: self.facts.clone(),
            sent: BTreeMap::new(),
            print: self.print.clone(),
        }
        .manifest(time);
        let head_seq = reply.head_seq.unwrap_or(0);
        fresh.seq = head_seq.max(self.head.map_or(0, |(seq, _)| seq)) + 1;
        fresh.prev = self.head.map(|(_, digest)| digest);
        fresh.resync = Some(Resync { cause: "gap".into(), head_seq, head: reply.head });
        self.build(fresh)
    }

    fn accept(&mut self, report: &Built) {
        self.head = Some((report.manifest.seq, report_digest(&report.compact)));
        self.sent = report.facts.clone();
    }
}

#[tokio::test]
async fn facts_are_kept_on_two_time_axes() {
    for mut site in sites().await {
        let store = site.app.store.clone();
        let mut pc = site.machine("pc").await;
        pc.software(&[("bash", "5.1"), ("zsh", "5.9")], at(0));
        pc.set(FactKind::Identity, json!({"hostname": "pc-1"}), at(0));
        pc.set(FactKind::VolumesObserved, json!({"items": []}), at(0));
        assert_eq!(site.deliver(&mut pc).await.code, ReplyCode::Accepted);
        assert_eq!(store.host_at(pc.at).await.unwrap().unwrap().hostname, "pc-1");

        // Collected after ten hours, delivered three weeks later.
        pc.software(&[("bash", "5.2"), ("curl", "8"), ("zsh", "5.9")], at(10));
        pc.set(FactKind::VolumesObserved, json!({"items": [{"mount": "/"}]}), at(10));
        site.now = at(21 * 24);
        assert_eq!(site.deliver(&mut pc).await.code, ReplyCode::Accepted);

        let names = |inventory: &tenken_shared::inventory::Inventory| {
            let body = inventory.held(FactKind::Software).unwrap().record.content.body.clone().unwrap();
            body["items"]
                .as_array()
                .unwrap()
                .iter()
                .map(|i| i["version"].as_str().unwrap().to_owned())
                .collect()
        };
        let old: Vec<String> = vec!["5.1".into(), "5.9".into()];
        let new: Vec<String> = vec!["5.2".into(), "8".into(), "5.9".into()];
        let now: Vec<String> = names(&store.inventory(pc.at, None).await.unwrap());
        assert_eq!(now, new);
        // What was known about hour 12 at hour 12, and what is known about it now.
        let then = store.inventory(pc.at, Some(Moment::at(at(12)))).await.unwrap();
        assert_eq!(names(&then), old);
        let observations = |i: &tenken_shared::inventory::Inventory| {
            i.held(FactKind::VolumesObserved).unwrap().record.content.body.clone().unwrap()
        };
        assert_eq!(observations(&then), json!({"items": []}));
        let seen_from_now = Moment { observed: at(12), recorded: site.now };
        let later = store.inventory(pc.at, Some(seen_from_now)).await.unwrap();
        assert_eq!(names(&later), new);
        assert_eq!(observations(&later), json!({"items": [{"mount": "/"}]}));
        let before = Moment { observed: at(5), recorded: site.now };
        assert_eq!(names(&store.inventory(pc.at, Some(before)).await.unwrap()), old);
        assert_eq!(store.inventory(pc.at, Some(Moment::at(at(-1)))).await.unwrap().iter().count(), 0);
        let history = store.fact_history(pc.at, &FactKind::Software.into()).await.unwrap();
        assert_eq!(history.len(), 2);
    }
}

#[tokio::test]
async fn software_rows_give_back_every_version_bit_by_bit() {
    for mut site in sites().await {
        let mut pc = site.machine("pc").await;
        let mut digests = Vec::new();
        let lists: [&[(&str, &str)]; 5] =
            [&[("a", "1")], &[("a", "2"), ("b", "1")], &[], &[("a", "1")], &[("b", "1"), ("c", "\u{1}\"é")]];
        for (i, list) in (1..).zip(lists) {
            site.now = at(i);
            pc.software(list, site.now);
            assert_eq!(site.deliver(&mut pc).await.code, ReplyCode::Accepted);
            digests.push(pc.facts[&FactKind::Software.into()].clone());
        }
        // A failed attempt leaves the last list known; an odd list is kept as bytes.
        site.now = at(10);
        pc.fail(FactKind::Software, site.now);
        assert_eq!(site.deliver(&mut pc).await.code, ReplyCode::Accepted);
        let held = site.app.store.inventory(pc.at, None).await.unwrap();
        let held = held.held(FactKind::Software).unwrap();
        assert_eq!(held.record.content.status, Status::Failed);
        assert_eq!(held.last_known.as_ref().unwrap().digest, digests.last().unwrap().1);
        site.now = at(11);
        pc.set(FactKind::Software, json!({"items": [{"name": "odd", "version": "1", "new": 1}]}), site.now);
        assert_eq!(site.deliver(&mut pc).await.code, ReplyCode::Accepted);
        digests.push(pc.facts[&FactKind::Software.into()].clone());
        site.now = at(12);
        pc.software(&[("b", "1")], site.now);
        assert_eq!(site.deliver(&mut pc).await.code, ReplyCode::Accepted);
        for (bytes, digest, _) in digests {
            let content =
                site.app.store.fact_content(pc.at, &FactKind::Software.into(), digest).await.unwrap();
            assert_eq!(content.to_bytes().unwrap(), bytes);
        }
    }
}

#[tokio::test]
async fn repeats_gaps_and_breaks_have_their_answers() {
    for mut site in sites().await {
        let mut pc = site.machine("pc").await;
        pc.set(FactKind::Os, json!({"family": "linux"}), at(0));
        let first = pc.report(at(0));
        assert_eq!(site.send(&first.wire()).await.code, ReplyCode::Accepted);
        pc.accept(&first);
        site.now = at(1);
        // The acknowledgement was lost: the same report again.
        assert_eq!(site.send(&first.wire()).await.code, ReplyCode::Accepted);
        // Reordered: the third arrives before the second.
        let second = pc.report(at(1));
        pc.accept(&second);
        pc.set(FactKind::Os, json!({"family": "linux", "version": "12"}), at(2));
        let third = pc.report(at(2));
        let gap = site.send(&third.wire()).await;
        assert_eq!((gap.code, gap.head_seq), (ReplyCode::Resync, Some(1)));
        assert_eq!(gap.head, Some(report_digest(&first.compact)));
        assert_eq!(site.send(&second.wire()).await.code, ReplyCode::Accepted);
        assert_eq!(site.send(&third.wire()).await.code, ReplyCode::Accepted);
        pc.accept(&third);
        assert_eq!(
            site.send(&second.wire()).await.code,
            ReplyCode::Accepted,
            "an old repeat changes nothing"
        );
        // A gap that a signed drop covers.
        let mut manifest = pc.manifest(at(3));
        manifest.seq = 7;
        manifest.dropped =
            Some(Dropped { from_seq: 4, to_seq: 6, reports: 3, events: 0, digest: Digest::of(b"d") });
        manifest.events = vec![Event { at: 0, kind: "media.arrived".into(), data: json!({"serial": "1"}) }];
        let after_drop = pc.build(manifest);
        assert_eq!(site.send(&after_drop.wire()).await.code, ReplyCode::Accepted);
        pc.accept(&after_drop);
        // Rolled back to the third report: same hardware, so a full report is the cure.
        let mut rolled = pc.manifest(at(4));
        rolled.seq = 4;
        rolled.prev = Some(report_digest(&third.compact));
        rolled.base = Some(3);
        let fork = site.send(&pc.build(rolled.clone()).wire()).await;
        assert_eq!((fork.code, fork.message.as_deref()), (ReplyCode::Resync, Some("rollback")));
        let full = pc.full(&fork, at(4));
        assert_eq!(site.send(&full.wire()).await.code, ReplyCode::Accepted);
        // Cloned: other hardware.
        rolled.print = Some("B".into());
        assert_eq!(site.send(&pc.build(rolled).wire()).await.code, ReplyCode::Rekey);
        let events = site.app.store.host_events(pc.at, 50).await.unwrap();
        let kinds: Vec<&str> = events.iter().map(|e| e.kind.as_str()).collect();
        for kind in ["chain.dropped", "media.arrived", "chain.rollback", "chain.resync", "chain.clone"] {
            assert_eq!(kinds.iter().filter(|k| **k == kind).count(), 1, "{kind}: {kinds:?}");
        }
    }
}

#[tokio::test]
async fn bad_reports_change_nothing() {
    for site in sites().await {
        let mut pc = site.machine("pc").await;
        pc.set(FactKind::Os, json!({"family": "linux"}), at(0));
        assert_eq!(site.deliver(&mut pc).await.code, ReplyCode::Accepted);
        let before = site.app.store.fact_versions(pc.at, None).await.unwrap();
        pc.set(FactKind::Os, json!({"family": "linux", "version": "13"}), at(1));
        let good = pc.report(at(0));
        let wire = good.wire();
        let stranger = SigningKey::from_pkcs8(&SigningKey::generate().unwrap()).unwrap();
        let payload = serde_json::to_vec(&good.manifest).unwrap();
        let mut forged = pc.key.sign(Purpose::Report, &payload);
        forged.replace_range(forged.len() - 4.., "AAAA");
        let mut newer = good.manifest.clone();
        newer.version = VERSION + 1;
        let mut lying = good.manifest.clone();
        lying.root = Digest::of(b"other");
        let zstd = |bytes: &[u8]| zstd::bulk::compress(bytes, 1).unwrap();
        let bomb = [good.compact.as_bytes(), &vec![b'\n'; MAX_PLAIN_BYTES + 1]].concat();
        let deep = format!("{}\n{}1{}", good.compact, "[".repeat(50_000), "]".repeat(50_000));
        let compressed = Envelope { compressed: true, ..Envelope::default() };
        let plain = Envelope::default();
        let cut = zstd(&wire);
        let cases: Vec<(&str, Vec<u8>, &Envelope, ReplyCode)> = vec![
            ("empty", vec![], &plain, ReplyCode::Malformed),
            ("rubbish", vec![0xff; 300], &plain, ReplyCode::Malformed),
            ("cut frame", cut[..cut.len() - 3].to_vec(), &compressed, ReplyCode::Malformed),
            ("cut body", wire[..wire.len() - 3].to_vec(), &plain, ReplyCode::Malformed),
            ("deep", deep.into_bytes(), &plain, ReplyCode::Malformed),
            ("bomb", zstd(&bomb), &compressed, ReplyCode::TooLarge),
            ("strange bomb", zstd(&vec![b'\n'; MAX_PLAIN_BYTES + 1]), &compressed, ReplyCode::Malformed),
            ("oversized", vec![b'x'; MAX_WIRE_BYTES + 1], &plain, ReplyCode::TooLarge),
            (
                "stranger",
                stranger.sign(Purpose::Report, &payload).into_bytes(),
                &plain,
                ReplyCode::UnknownHost,
            ),
            ("forged", forged.into_bytes(), &plain, ReplyCode::BadSignature),
            ("newer", pc.build(newer).wire(), &plain, ReplyCode::UnsupportedVersion),
            ("lying root", pc.build(lying).wire(), &plain, ReplyCode::Resync),
            ("without body", good.compact.clone().into_bytes(), &plain, ReplyCode::NeedBodies),
        ];
        for (name, bytes, envelope, code) in cases {
            assert_eq!(site.send_as(&bytes, envelope).await.code, code, "{name}");
        }
        assert_eq!(site.app.store.fact_versions(pc.at, None).await.unwrap(), before);
        assert_eq!(site.send(&wire).await.code, ReplyCode::Accepted);
    }
}

#[tokio::test]
async fn unknown_kinds_and_fields_are_kept() {
    for site in sites().await {
        let mut pc = site.machine("pc").await;
        let kind: KindName = "quantum".parse().unwrap();
        let content = FactContent {
            kind: kind.clone(),
            schema: 9,
            status: Status::Known,
            reason: None,
            source: "x".into(),
            body: Some(json!({"spin": [1, 2]})),
        };
        pc.put(&content, at(0));
        assert_eq!(site.deliver(&mut pc).await.code, ReplyCode::Accepted);
        let inventory = site.app.store.inventory(pc.at, None).await.unwrap();
        let (held, fact) = inventory.iter().next().unwrap();
        assert_eq!((held, &fact.record.content), (&kind, &content));
    }
}

#[tokio::test]
async fn a_wrong_clock_is_measured_and_refuses_nothing() {
    for (offset_h, site) in [24, -24 * 365].into_iter().zip(sites().await) {
        let mut pc = site.machine("pc").await;
        let host_now = at(offset_h);
        pc.set(FactKind::Os, json!({"family": "linux"}), host_now);
        let envelope = Envelope { clock_ms: Some(host_now.as_millisecond()), ..Envelope::default() };
        let report = pc.report(host_now);
        assert_eq!(site.send_as(&report.wire(), &envelope).await.code, ReplyCode::Accepted);
        let host = site.app.store.host_at(pc.at).await.unwrap().unwrap();
        assert_eq!(host.offset_ms, SignedDuration::from_hours(offset_h).as_millis() as i64);
        assert_eq!(host.confirmed_at, Some(site.now));
        assert_eq!(site.app.store.fact_versions(pc.at, None).await.unwrap()[0].observed_from, site.now);
    }
}

#[tokio::test]
async fn revoked_hosts_are_refused_and_ones_own_harm_stays_ones_own() {
    for site in sites().await {
        let mut pc = site.machine("pc").await;
        let mut other = site.machine("other").await;
        pc.set(FactKind::Os, json!({"family": "linux"}), at(0));
        other.set(FactKind::Os, json!({"family": "linux"}), at(0));
        assert_eq!(site.deliver(&mut pc).await.code, ReplyCode::Accepted);
        let id = site.app.store.host_at(pc.at).await.unwrap().unwrap().id;
        let actor = Actor::command_line(site.org.id.clone());
        site.app.store.set_host_state(&actor, &id, HostState::Revoked, at(0)).await.unwrap();
        assert_eq!(site.deliver(&mut pc).await.code, ReplyCode::Revoked);
        assert_eq!(site.deliver(&mut other).await.code, ReplyCode::Accepted);
        let back = site.app.store.set_host_state(&actor, &id, HostState::Confirmed, at(0)).await;
        assert!(matches!(back, Err(StoreError::Rule(Rule::Revoked))));
        let due = site.app.store.due_hosts(at(1), 10).await.unwrap();
        assert_eq!(due.len(), 2);
    }
}

#[tokio::test]
async fn one_host_cannot_flood() {
    for site in sites().await.into_iter().take(1) {
        let mut pc = site.machine("pc").await;
        let first = pc.report(at(0));
        for _ in 0..REPORTS_PER_WINDOW {
            assert_eq!(site.send(&first.wire()).await.code, ReplyCode::Accepted);
        }
        let slow = site.send(&first.wire()).await;
        assert_eq!(slow.code, ReplyCode::SlowDown);
        assert!(slow.retry_after_s.is_some());
        pc.accept(&first);
        let mut other = site.machine("other").await;
        assert_eq!(site.deliver(&mut other).await.code, ReplyCode::Accepted);
    }
}

#[tokio::test]
async fn two_collectors_on_one_store_take_a_report_once() {
    for site in sites().await {
        let second = App::new(site.app.store.clone(), None, at(0)).await.unwrap();
        let mut pc = site.machine("pc").await;
        pc.software(&[("a", "1")], at(0));
        let report = pc.report(at(0));
        let wire = report.wire();
        let plain = Envelope::default();
        let (a, b) = tokio::join!(
            site.app.ingest.report(&wire, &plain, at(0)),
            second.ingest.report(&wire, &plain, at(0))
        );
        assert_eq!((a.code, b.code), (ReplyCode::Accepted, ReplyCode::Accepted));
        let host = site.app.store.host_at(pc.at).await.unwrap().unwrap();
        assert_eq!(host.head_seq, 1);
        assert_eq!(site.app.store.reports(pc.at, 10).await.unwrap().len(), 1);
        pc.accept(&report);
        assert_eq!(site.deliver(&mut pc).await.code, ReplyCode::Accepted);
    }
}

#[tokio::test]
async fn unchanged_reports_leave_one_manifest() {
    for mut site in sites().await {
        let mut pc = site.machine("pc").await;
        pc.set(FactKind::Os, json!({"family": "linux"}), at(0));
        for hour in 0..50 {
            site.now = at(hour);
            assert_eq!(site.deliver(&mut pc).await.code, ReplyCode::Accepted);
        }
        let kept = site.app.store.reports(pc.at, 100).await.unwrap();
        assert_eq!(kept.iter().map(|r| r.seq).collect::<Vec<_>>(), [50, 1]);
        let public = pc.key.public();
        assert!(
            kept.iter().all(|r| tenken_shared::jws::verify(&r.manifest, Purpose::Report, &public).is_ok())
        );
        let past = site.app.store.inventory(pc.at, Some(Moment::at(at(40)))).await.unwrap();
        let confirmed = past.held(FactKind::Os).unwrap().confirmed_at;
        assert!(confirmed >= at(40 - 27) && confirmed <= at(40), "{confirmed}");
    }
}
