//! Judging and freezing told on every engine at hand: signed reports go in through the real door, hosts
//! are judged, snapshots are taken, compared, exported and checked.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use tenken_shared::collected::{Collected, Reason};
use tenken_shared::criterion::{Attestation, CriterionState, Exception, Mitigation};
use tenken_shared::fact::firewall::Firewall;
use tenken_shared::fact::os::Os;
use tenken_shared::fact::restart::Restart;
use tenken_shared::fact::{FactBody, FactRecord};
use tenken_shared::finding::{Finding, Outcome};
use tenken_shared::ids::{Digest, OrgId};
use tenken_shared::jws::{Purpose, SigningKey};
use tenken_shared::report::{self, FactEntry, Manifest, ReplyCode};
use tenken_shared::snapshot::{CheckState, Leaf, Pack, PackedLeaf, verify};

use crate::evaluate;
use crate::ingest::{Envelope, Ingest};
use crate::keys::Keys;
use crate::query::FindingFilter;
use crate::snapshot;
use crate::store::Store;
use crate::store::host::{HostRef, HostState, NewHost, Org};
use crate::store::snapshot::ExportOptions;
use crate::store::testing::stores;
use crate::user::Actor;

/// A collector with its store and keys.
struct Collector {
    store: Store,
    keys: Arc<Keys>,
    ingest: Ingest,
    org: Org,
}

/// One machine with its own key and chain.
struct Machine {
    at: HostRef,
    key: SigningKey,
    seq: u64,
    prev: Option<Digest>,
    facts: Vec<FactRecord>,
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

const DAY_1: &str = "2026-11-20T03:00:00Z";
const DAY_2: &str = "2026-11-21T03:00:00Z";

impl Collector {
    async fn new(store: Store, now: Timestamp) -> Self {
        let org: OrgId = "office".parse().unwrap();
        let org = store.ensure_org(&org, "Office", now).await.unwrap();
        let keys = Arc::new(Keys::open(store.clone(), None, now).await.unwrap());
        let ingest = Ingest::new(store.clone(), Arc::clone(&keys));
        Self { store, keys, ingest, org }
    }

    fn actor(&self) -> Actor {
        Actor { name: "test".into(), ..Actor::command_line(self.org.id.clone()) }
    }

    async fn machine(&self, name: &str, now: Timestamp) -> Machine {
        self.enrolled(name, HostState::Confirmed, None, now).await
    }

    async fn enrolled(&self, name: &str, state: HostState, serial: Option<&str>, now: Timestamp) -> Machine {
        let key = SigningKey::from_pkcs8(&SigningKey::generate().unwrap()).unwrap();
        let new = NewHost {
            org: self.org.number,
            id: format!("h-{name}").parse().unwrap(),
            key: key.public(),
            state,
            state_by: "test".into(),
            ephemeral: false,
            cloned_from: None,
            hostname: name.to_owned(),
            group: None,
            os_family: Some("linux".into()),
            serial: serial.map(Into::into),
            print: None,
            agent_version: None,
            token_id: None,
            now,
        };
        let at = self.store.write(move |tx| crate::store::host::insert(tx, &new)).await.unwrap();
        Machine { at, key, seq: 0, prev: None, facts: vec![] }
    }

    async fn send(&self, machine: &mut Machine, now: Timestamp) {
        machine.seq += 1;
        machine.facts.sort_by(|a, b| a.content.kind.cmp(&b.content.kind));
        let entry = |f: &FactRecord| FactEntry {
            kind: f.content.kind.clone(),
            digest: f.digest,
            collected_at: f.collected_at.as_millisecond(),
        };
        let manifest = Manifest {
            version: report::VERSION,
            seq: machine.seq,
            prev: machine.prev,
            root: report::root_digest(machine.facts.iter().map(|f| (&f.content.kind, &f.digest))),
            created_at: now.as_millisecond(),
            confirmed_at: now.as_millisecond(),
            confirmed: Default::default(),
            base: None,
            changed: machine.facts.iter().map(entry).collect(),
            gone: vec![],
            print: None,
            resync: None,
            dropped: None,
            events: vec![],
        };
        let compact = machine.key.sign(Purpose::Report, &serde_json::to_vec(&manifest).unwrap());
        let bodies: Vec<Vec<u8>> = machine.facts.iter().map(|f| f.content.to_bytes().unwrap()).collect();
        let plain = report::join_lines(&compact, bodies.iter().map(Vec::as_slice));
        let wire = zstd::bulk::compress(&plain, 3).unwrap();
        let envelope =
            Envelope { compressed: true, clock_ms: Some(now.as_millisecond()), ..Envelope::default() };
        let answer = self.ingest.report(&wire, &envelope, now).await;
        assert_eq!(answer.code, ReplyCode::Accepted);
        machine.prev = Some(report::report_digest(&compact));
    }

    async fn judge(&self, now: Timestamp) -> evaluate::Round {
        evaluate::round(&self.store, "test", now).await.unwrap()
    }

    async fn finding(&self, at: HostRef, control: &str) -> Finding {
        let judged_at = self.store.judged_at(at).await.unwrap().unwrap();
        let all = self.store.findings(at, judged_at).await.unwrap();
        all.into_iter().find(|f| f.control == control).unwrap()
    }

    async fn state(&self, criterion: &str, now: Timestamp) -> CriterionState {
        let all = self.store.criteria(self.org.number, now).await.unwrap();
        all.into_iter().find(|c| c.criterion == criterion).unwrap().state
    }

    async fn pack(&self, name: &str, options: ExportOptions) -> (Vec<u8>, Pack) {
        let mut bytes = Vec::new();
        snapshot::export(&self.store, self.org.number, name, options, &mut bytes).await.unwrap();
        let pack = serde_json::from_slice(&bytes).unwrap();
        (bytes, pack)
    }
}

impl Machine {
    fn put<T: FactBody>(&mut self, collected: Collected<T>, now: Timestamp) {
        self.facts.retain(|f| f.content.kind.as_str() != T::KIND.as_str());
        self.facts.push(FactRecord::new(collected, "test", now).unwrap());
    }

    fn firewall(&mut self, active: bool, now: Timestamp) {
        self.put(Collected::Known(Firewall { active: Some(active), ..Firewall::default() }), now);
    }

    fn debian(&mut self, now: Timestamp) {
        let os =
            Os { family: "linux".into(), id: "debian".into(), version: Some("13".into()), ..Os::default() };
        self.put(Collected::Known(os), now);
    }
}

const FIREWALL: &str = "network.firewall_active";

#[tokio::test(flavor = "multi_thread")]
async fn findings_keep_their_continuity_and_are_written_only_when_they_change() {
    for fixture in stores().await {
        let now = at(DAY_1);
        let c = Collector::new(fixture.store.clone(), now).await;
        let mut pc = c.machine("pc", now).await;
        pc.firewall(true, now);
        pc.debian(now);
        c.send(&mut pc, now).await;
        assert_eq!(c.judge(now).await, evaluate::Round { judged: 1, changed: 1, held_elsewhere: false });
        assert_eq!(c.judge(now).await.judged, 0, "nothing is due any more");
        let pass = c.finding(pc.at, FIREWALL).await;
        assert_eq!((pass.verdict.outcome, pass.first_seen), (Outcome::Pass, now));
        assert_eq!(c.state("4-5-1-8", now).await, CriterionState::Met);

        // A day later the safety net looks again; nothing changed.
        let later = at(DAY_2);
        assert_eq!(c.judge(later).await, evaluate::Round { judged: 1, changed: 0, held_elsewhere: false });
        let same = c.finding(pc.at, FIREWALL).await;
        assert_eq!((same.first_seen, same.last_seen), (now, later));

        let fail_at = later + SignedDuration::from_hours(1);
        pc.firewall(false, fail_at);
        c.send(&mut pc, fail_at).await;
        assert_eq!(c.judge(fail_at).await.changed, 1);
        let fail = c.finding(pc.at, FIREWALL).await;
        assert_eq!((fail.verdict.outcome, fail.first_seen, fail.resolved_at), (Outcome::Fail, fail_at, None));
        assert_eq!(c.state("4-5-1-8", fail_at).await, CriterionState::NotMet);
        let past = c.store.past_findings(pc.at, 10).await.unwrap();
        assert_eq!(past.len(), 1);
        assert_eq!((past[0].outcome, past[0].first_seen, past[0].ended_at), (Outcome::Pass, now, fail_at));

        let mended_at = fail_at + SignedDuration::from_hours(1);
        pc.firewall(true, mended_at);
        c.send(&mut pc, mended_at).await;
        c.judge(mended_at).await;
        let mended = c.finding(pc.at, FIREWALL).await;
        assert_eq!((mended.verdict.outcome, mended.resolved_at), (Outcome::Pass, Some(mended_at)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_changes_by_itself_when_its_validity_ends() {
    for fixture in stores().await {
        let now = at(DAY_1);
        let c = Collector::new(fixture.store.clone(), now).await;
        let mut pc = c.machine("pc", now).await;
        pc.firewall(true, now);
        c.send(&mut pc, now).await;
        c.judge(now).await;
        assert_eq!(c.finding(pc.at, FIREWALL).await.verdict.outcome, Outcome::Pass);
        let stale = now + SignedDuration::from_hours(14 * 24) + SignedDuration::from_millis(1);
        c.judge(stale).await;
        let unknown = c.finding(pc.at, FIREWALL).await;
        assert_eq!(
            (unknown.verdict.outcome, unknown.verdict.message.code.as_str()),
            (Outcome::Unknown, "fact_stale")
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_probe_is_unknown_and_a_changed_policy_judges_again() {
    for fixture in stores().await {
        let now = at(DAY_1);
        let c = Collector::new(fixture.store.clone(), now).await;
        let mut pc = c.machine("pc", now).await;
        pc.firewall(true, now);
        c.send(&mut pc, now).await;
        c.judge(now).await;
        let next = now + SignedDuration::from_hours(1);
        pc.put(Collected::<Firewall>::Denied(Reason::new("permission_denied")), next);
        c.send(&mut pc, next).await;
        c.judge(next).await;
        assert_eq!(c.finding(pc.at, FIREWALL).await.verdict.outcome, Outcome::Unknown);
        let mut policy = c.store.policy(c.org.number).await.unwrap().policy;
        policy.removable.usb_storage = Some("blocked".into());
        c.store.set_policy(&c.actor(), &policy, next).await.unwrap();
        assert_eq!(c.judge(next).await.judged, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_that_stays_pending_fails_when_it_is_surely_too_late() {
    for fixture in stores().await {
        let now = at(DAY_1);
        let c = Collector::new(fixture.store.clone(), now).await;
        let mut pc = c.machine("pc", now).await;
        pc.put(Collected::Known(Restart { pending: Some(true), ..Restart::default() }), now);
        c.send(&mut pc, now).await;
        c.judge(now).await;
        let control = "patch.restart_not_pending";
        let waiting = c.finding(pc.at, control).await;
        assert_eq!(waiting.verdict.outcome, Outcome::Unknown);
        // The end of the 14th day after the first sign, in Tokyo.
        assert_eq!(waiting.verdict.valid_until, Some(at("2026-12-04T15:00:00Z")));
        let end = at("2026-12-04T15:00:00Z");
        let before = end - SignedDuration::from_mins(1);
        pc.put(Collected::Known(Restart { pending: Some(true), ..Restart::default() }), before);
        c.send(&mut pc, before).await;
        c.judge(before).await;
        assert_eq!(c.finding(pc.at, control).await.verdict.outcome, Outcome::Unknown);
        assert_eq!(c.judge(end).await.changed, 1);
        assert_eq!(c.finding(pc.at, control).await.verdict.outcome, Outcome::Fail);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn exceptions_and_attestations_count_until_their_time_is_over() {
    for fixture in stores().await {
        let now = at(DAY_1);
        let c = Collector::new(fixture.store.clone(), now).await;
        let mut pc = c.machine("pc", now).await;
        pc.firewall(false, now);
        c.send(&mut pc, now).await;
        c.judge(now).await;
        let exception = Exception {
            id: "e-1".into(),
            target: "PC".into(),
            control: FIREWALL.into(),
            reason: "a router filters".into(),
            mitigation: Mitigation::Isolate,
            owner: "Sato".into(),
            deadline: at(DAY_2),
            created_at: now,
            created_by: "test".into(),
        };
        c.store.add_exception(&c.actor(), exception.clone()).await.unwrap();
        assert_eq!(c.state("4-5-1-8", now).await, CriterionState::MetWithExceptions);
        assert_eq!(c.finding(pc.at, FIREWALL).await.verdict.outcome, Outcome::Fail);
        assert_eq!(c.state("4-5-1-8", at(DAY_2)).await, CriterionState::NotMet);
        let unknown_control = Exception { id: "e-2".into(), control: "no.such".into(), ..exception.clone() };
        assert!(c.store.add_exception(&c.actor(), unknown_control).await.is_err());
        let past = Exception { id: "e-3".into(), deadline: now, ..exception };
        assert!(c.store.add_exception(&c.actor(), past).await.is_err());
        c.store.remove_exception(&c.actor(), "e-1", "mended", now).await.unwrap();
        assert_eq!(c.state("4-5-1-8", now).await, CriterionState::NotMet);
        assert!(c.store.remove_exception(&c.actor(), "e-1", "mended", now).await.is_err());

        let attestation = Attestation {
            id: "a-1".into(),
            criterion: "4-3-4-3".into(),
            holds: true,
            by: "Sato".into(),
            statement: "restore procedure, version 3".into(),
            document: Some("share/restore.pdf".into()),
            at: now,
            next_review: at("2027-11-20T00:00:00Z"),
            recorded_by: "test".into(),
        };
        c.store.add_attestation(&c.actor(), attestation.clone()).await.unwrap();
        assert_eq!(c.store.attestations(c.org.number).await.unwrap(), [attestation]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshots_chain_compare_and_verify_though_the_state_moves_on() {
    for fixture in stores().await {
        let now = at(DAY_1);
        let c = Collector::new(fixture.store.clone(), now).await;
        let (mut pc, mut server) = (c.machine("pc", now).await, c.machine("server", now).await);
        for machine in [&mut pc, &mut server] {
            machine.firewall(true, now);
            machine.debian(now);
            c.send(machine, now).await;
        }
        let first = snapshot::take(&c.store, c.keys.signing_key(), &c.actor(), now).await.unwrap();
        assert_eq!((first.number, first.hosts), (1, 2));
        let options = ExportOptions { contents: true, without_names: false };
        let (bytes, pack) = c.pack("1", options).await;
        assert_verified(&pack);

        let later = at(DAY_2);
        pc.firewall(false, later);
        for machine in [&mut pc, &mut server] {
            c.send(machine, later).await;
        }
        c.judge(later).await;
        let second = snapshot::take(&c.store, c.keys.signing_key(), &c.actor(), later).await.unwrap();
        assert_eq!(second.number, 2);
        assert_ne!(second.digest, first.digest);

        // The first is as it was, byte for byte.
        assert_eq!(c.pack(first.id.as_str(), options).await.0, bytes);
        let (_, pack) = c.pack("2", ExportOptions::default()).await;
        assert_eq!(pack.chain.len(), 1);
        assert_verified(&pack);
        let report = verify(&c.pack("2", ExportOptions { without_names: true, ..options }).await.1);
        assert!(report.is_verified(), "{report:?}");

        let diff = c.store.snapshot_diff(c.org.number, "1", "2").await.unwrap();
        assert_eq!(diff.hosts_with_changed_facts, 1);
        assert_eq!(diff.findings.len(), 1, "{diff:?}");
        let change = &diff.findings[0];
        assert_eq!((change.hostname.as_str(), change.control.as_str()), ("pc", FIREWALL));
        assert_eq!((change.before.as_deref(), change.after.as_deref()), (Some("pass"), Some("fail")));
        assert!(diff.criteria.iter().any(|d| d.criterion == "4-5-1-8" && d.after == "not_met"));
        let listed = c.store.snapshots(c.org.number).await.unwrap();
        assert_eq!(listed, [second, first]);
    }
}

fn assert_verified(pack: &Pack) {
    let report = verify(pack);
    for check in &report.checks {
        let fine = check.state == CheckState::Verified
            || (check.what.code == "contents" && check.state == CheckState::NotCheckable);
        assert!(fine, "{check:?}");
    }
    assert!(report.is_verified());
}

/// Every way of changing a pack is found, and by the check that is meant to find it.
#[tokio::test(flavor = "multi_thread")]
async fn a_changed_pack_does_not_verify() {
    let Some(fixture) = stores().await.into_iter().next() else { return };
    let now = at(DAY_1);
    let c = Collector::new(fixture.store.clone(), now).await;
    let mut pc = c.machine("pc", now).await;
    pc.firewall(false, now);
    c.send(&mut pc, now).await;
    for _ in 0..2 {
        snapshot::take(&c.store, c.keys.signing_key(), &c.actor(), now).await.unwrap();
    }
    let (_, pack) = c.pack("2", ExportOptions { contents: true, without_names: false }).await;
    assert_verified(&pack);
    let other = SigningKey::from_pkcs8(&SigningKey::generate().unwrap()).unwrap();
    type Change = fn(&mut Pack, &SigningKey);
    let changes: &[(&str, Change)] = &[
        ("findings", |p, _| {
            for finding in &mut p.hosts[0].findings {
                finding.verdict.outcome = Outcome::Pass;
            }
        }),
        ("criteria", |p, _| p.state.criteria[0].state = CriterionState::Met),
        ("state", |p, _| p.state.policy.policy.patch.days = 90),
        ("state", |p, _| p.state.coverage.ledger_only = 7),
        ("hosts", |p, _| p.hosts.clear()),
        ("facts", |p, _| p.hosts[0].facts.clear()),
        ("contents", |p, _| {
            if let Some(content) = &mut p.hosts[0].facts[0].content {
                content.body = Some(serde_json::json!({"active": true}));
            }
        }),
        ("manifests", |p, _| p.hosts[0].manifest = None),
        ("manifests", |p, other| p.hosts[0].key = Some(other.public())),
        ("manifests", |p, other| p.hosts[0].manifest = Some(other.sign(Purpose::Report, b"{}"))),
        ("tree", |p, _| p.leaves.swap(0, 1)),
        ("tree", |p, _| {
            p.leaves.pop();
        }),
        ("tree", |p, _| {
            for leaf in &mut p.leaves {
                if let PackedLeaf::Open { data: Leaf::Name { hostname, .. }, .. } = leaf {
                    hostname.push('x');
                }
            }
        }),
        ("chain", |p, _| p.chain.clear()),
        ("header", |p, other| p.header = other.sign(Purpose::Snapshot, b"{}")),
        ("header", |p, _| p.header.push('A')),
        ("header", |p, _| p.keys.clear()),
        ("header", |p, _| p.version = 2),
    ];
    for (expected, change) in changes {
        let mut changed = pack.clone();
        change(&mut changed, &other);
        let report = verify(&changed);
        assert!(!report.is_verified(), "{expected}");
        let broken: Vec<&str> = report
            .checks
            .iter()
            .filter(|check| check.state == CheckState::Broken)
            .map(|check| check.what.code.as_str())
            .collect();
        assert!(broken.contains(expected), "{expected} is not among {broken:?}");
    }
}

/// The collector stood still, or its judging is stuck: no list, view or snapshot shows a pass that time
/// has overtaken.
#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_judges_again_reads_as_unknown_everywhere() {
    for fixture in stores().await {
        let now = Timestamp::from_second(Timestamp::now().as_second()).unwrap();
        let start = now - SignedDuration::from_hours(26);
        let c = Collector::new(fixture.store.clone(), start).await;
        let mut pc = c.machine("pc", start).await;
        pc.firewall(true, start);
        c.send(&mut pc, start).await;
        c.judge(start).await;
        let (org, stuck) = (c.org.number, start + SignedDuration::from_hours(24));
        for (moment, outcome, state) in
            [(stuck, Outcome::Pass, CriterionState::Met), (now, Outcome::Unknown, CriterionState::Unknown)]
        {
            let found = c.store.findings(pc.at, moment).await.unwrap();
            let found = found.into_iter().find(|f| f.control == FIREWALL).unwrap();
            assert_eq!((found.verdict.outcome, found.last_seen), (outcome, start));
            assert_eq!(found.verdict.message.code == "not_judged", outcome == Outcome::Unknown);
            assert_eq!(c.state("4-5-1-8", moment).await, state);
            let of_host = c.store.host_criteria(pc.at, moment).await.unwrap();
            assert_eq!(of_host.iter().find(|r| r.criterion == "4-5-1-8").unwrap().state, state);
            let listed = c
                .store
                .finding_list(org, FindingFilter::of(&[FIREWALL.into()]), 10, moment)
                .await
                .unwrap()
                .items;
            let [listed] = &listed[..] else { panic!("{listed:?}") };
            assert_eq!((listed.outcome, &listed.message), (outcome, &found.verdict.message));
            let counts = c.store.control_counts(org, moment).await.unwrap();
            let counts = counts.iter().find(|c| c.control == FIREWALL).unwrap().hosts;
            assert_eq!((counts.pass, counts.unknown), if outcome == Outcome::Pass { (1, 0) } else { (0, 1) });
            for wanted in [Outcome::Pass, Outcome::Unknown] {
                let filter = crate::query::HostFilter {
                    outcome: Some(wanted.as_str().into()),
                    control: Some(FIREWALL.into()),
                    ..Default::default()
                };
                let page = c.store.host_page(org, filter, moment).await.unwrap();
                assert_eq!(page.total, u64::from(wanted == outcome), "{wanted:?} at {moment}");
            }
            let row = c.store.host_row(org, "h-pc", moment).await.unwrap().unwrap();
            assert_eq!(row.findings.pass > 0, outcome == Outcome::Pass);
        }
        let sql = format!("select outcome, message from findings where control = '{FIREWALL}'");
        let table = c.store.run_sql(&c.org.id, &sql, Default::default()).await.unwrap();
        assert_eq!(table.rows[0][0], "unknown");
        let message: tenken_shared::finding::Message =
            serde_json::from_str(table.rows[0][1].as_str().unwrap()).unwrap();
        assert_eq!(message.code, "not_judged");

        // Another collector holds the job and does nothing: a snapshot freezes what is known now.
        let held = c.store.lease("evaluate", "other", now, now + SignedDuration::from_hours(1)).await;
        assert!(held.unwrap());
        snapshot::take(&c.store, c.keys.signing_key(), &c.actor(), now).await.unwrap();
        let (_, pack) = c.pack("1", ExportOptions::default()).await;
        assert_verified(&pack);
        assert!(pack.hosts[0].findings.iter().all(|f| f.verdict.outcome != Outcome::Pass));
        let rolled_up = pack.state.criteria.iter().find(|r| r.criterion == "4-5-1-8").unwrap();
        assert_eq!(rolled_up.state, CriterionState::Unknown);
        assert_eq!(c.store.judged_at(pc.at).await.unwrap(), Some(start), "nobody judged");

        // Judged again, it passes again, and the doubt stays on record.
        c.store.finish_job("evaluate", "other", now).await.unwrap();
        assert_eq!(c.judge(now).await.judged, 1);
        assert_eq!(c.state("4-5-1-8", now).await, CriterionState::Met);
        let past = c.store.past_findings(pc.at, 100).await.unwrap();
        assert!(past.iter().any(|p| p.control == FIREWALL && p.outcome == Outcome::Unknown));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn validity_ends_to_the_millisecond_and_a_silent_host_is_unknown_alone_too() {
    for fixture in stores().await {
        let now = at(DAY_1);
        let c = Collector::new(fixture.store.clone(), now).await;
        let mut pc = c.machine("pc", now).await;
        pc.firewall(true, now);
        c.send(&mut pc, now).await;
        // Judged shortly before the fact grows too old: the mark is its end of validity.
        let end = now + SignedDuration::from_hours(14 * 24);
        c.judge(end - SignedDuration::from_mins(5)).await;
        let of_host = |moment| {
            let store = c.store.clone();
            async move {
                let all = store.host_criteria(pc.at, moment).await.unwrap();
                all.into_iter().find(|r| r.criterion == "4-5-1-8").unwrap()
            }
        };
        let finding = c.finding(pc.at, FIREWALL).await;
        let until = finding.verdict.valid_until.unwrap();
        for (moment, outcome) in
            [(until, Outcome::Pass), (until + SignedDuration::from_millis(1), Outcome::Unknown)]
        {
            let all = c.store.findings(pc.at, moment).await.unwrap();
            assert_eq!(all.iter().find(|f| f.control == FIREWALL).unwrap().verdict.outcome, outcome);
            let counts = c.store.control_counts(c.org.number, moment).await.unwrap();
            let counts = counts.iter().find(|c| c.control == FIREWALL).unwrap().hosts;
            assert_eq!(counts.pass > 0, outcome == Outcome::Pass);
        }
        let mut policy = c.store.policy(c.org.number).await.unwrap().policy;
        policy.freshness.silent_after_days = 3;
        c.store.set_policy(&c.actor(), &policy, end - SignedDuration::from_mins(4)).await.unwrap();
        let silent = of_host(end - SignedDuration::from_mins(4)).await;
        assert_eq!((silent.state, silent.hosts.silent), (CriterionState::Unknown, 1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_passed_of_a_host_gone_silent_passes_nowhere_until_it_reports_again() {
    for fixture in stores().await {
        // The published views go by the clock of the engine.
        let now = Timestamp::from_millisecond(Timestamp::now().as_millisecond()).unwrap();
        let start = now - SignedDuration::from_hours(5 * 24);
        let (c, org) = (Collector::new(fixture.store.clone(), start).await, 1);
        let mut policy = c.store.policy(org).await.unwrap().policy;
        policy.freshness.silent_after_days = 3;
        c.store.set_policy(&c.actor(), &policy, start).await.unwrap();
        let mut pc = c.machine("pc", start).await;
        pc.firewall(true, start);
        c.send(&mut pc, start).await;
        c.judge(start).await;
        let until = start + SignedDuration::from_hours(72) + SignedDuration::from_millis(1);
        let passed = c.finding(pc.at, FIREWALL).await;
        assert_eq!((passed.verdict.outcome, passed.verdict.valid_until), (Outcome::Pass, Some(until)));
        // Whether it was judged since or not, the facts would still be young enough. At first another
        // collector holds the job and does nothing.
        let held = c.store.lease("evaluate", "other", now, now + SignedDuration::from_hours(1)).await;
        assert!(held.unwrap());
        for judged in [false, true] {
            if judged {
                c.store.finish_job("evaluate", "other", now).await.unwrap();
                assert_eq!(c.judge(now).await.judged, 1);
                let code = c.finding(pc.at, FIREWALL).await.verdict.message.code;
                assert_eq!(code, tenken_shared::finding::HOST_SILENT);
            }
            let all = c.store.findings(pc.at, now).await.unwrap();
            assert!(all.iter().all(|f| f.verdict.outcome != Outcome::Pass), "judged: {judged}");
            let counts = c.store.control_counts(org, now).await.unwrap();
            assert!(counts.iter().all(|c| c.hosts.pass == 0));
            let listed = c.store.finding_list(org, FindingFilter::default(), 1000, now).await.unwrap().items;
            assert!(!listed.is_empty() && listed.iter().all(|f| f.outcome != Outcome::Pass));
            let row = c.store.host_row(org, "h-pc", now).await.unwrap().unwrap();
            assert!(row.silent && row.findings.pass == 0 && row.findings.unknown > 0);
            for outcome in ["pass", "clear"] {
                let filter = crate::query::HostFilter { outcome: Some(outcome.into()), ..Default::default() };
                assert_eq!(c.store.host_page(org, filter, now).await.unwrap().total, 0, "{outcome}");
            }
            let sql = "select count(*) from findings where outcome = 'pass'";
            let table = c.store.run_sql(&c.org.id, sql, Default::default()).await.unwrap();
            assert_eq!(table.rows[0][0], 0);
            assert_eq!(c.state("4-5-1-8", now).await, CriterionState::Unknown);
            snapshot::take(&c.store, c.keys.signing_key(), &c.actor(), now).await.unwrap();
            let (_, pack) = c.pack(if judged { "2" } else { "1" }, ExportOptions::default()).await;
            assert!(pack.hosts[0].findings.iter().all(|f| f.verdict.outcome != Outcome::Pass));
            assert_eq!(pack.state.silent.len(), 1);
        }
        // The same facts once more are enough.
        c.send(&mut pc, now).await;
        c.judge(now).await;
        assert_eq!(c.finding(pc.at, FIREWALL).await.verdict.outcome, Outcome::Pass);
        let filter = crate::query::HostFilter { outcome: Some("pass".into()), ..Default::default() };
        assert_eq!(c.store.host_page(org, filter, now).await.unwrap().total, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missed_schedule_is_made_up_for_once_and_by_one_collector() {
    for fixture in stores().await {
        let now = at(DAY_1);
        let c = Collector::new(fixture.store.clone(), now).await;
        let key = c.keys.signing_key();
        let set =
            snapshot::schedule(&c.store, &c.org, Some(("0 9 * * *", "Asia/Tokyo")), &c.actor(), now).await;
        assert_eq!(set.unwrap().unwrap().next_at, at("2026-11-21T00:00:00Z"));
        assert!(snapshot::run_due(&c.store, &key, now).await.unwrap().is_empty());
        // Nobody ran for three days; two collectors come back at once.
        let back = at("2026-11-24T05:00:00Z");
        let (a, b) =
            tokio::join!(snapshot::run_due(&c.store, &key, back), snapshot::run_due(&c.store, &key, back));
        assert_eq!(a.unwrap().len() + b.unwrap().len(), 1);
        let next = c.store.snapshot_schedule(c.org.number).await.unwrap().unwrap();
        assert_eq!(next.next_at, at("2026-11-25T00:00:00Z"));
        snapshot::schedule(&c.store, &c.org, None, &c.actor(), back).await.unwrap();
        assert_eq!(c.store.snapshot_schedule(c.org.number).await.unwrap(), None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ledger_confirms_by_serial_and_shows_what_is_not_covered() {
    for fixture in stores().await {
        let now = at(DAY_1);
        let c = Collector::new(fixture.store.clone(), now).await;
        let known = c.enrolled("known", HostState::Pending, Some("S-1"), now).await;
        let named = c.enrolled("pc-2", HostState::Pending, None, now).await;
        let twin = c.enrolled("twin", HostState::Pending, Some("S-1"), now).await;
        let csv = "asset,host,serial\nA-1,known,S-1\nA-2,pc-2,S-2\nA-3,pc-3,S-3\n";
        let entries = crate::ledger::parse(csv.as_bytes()).unwrap();
        c.store.put_ledger(&c.actor(), entries, now).await.unwrap();
        c.judge(now).await;
        let mut states = Vec::new();
        for machine in [&known, &named, &twin] {
            states.push(c.store.host_at(machine.at).await.unwrap().unwrap().state);
        }
        // A name confirms nobody, and of two with one serial only one is confirmed.
        assert_eq!(states[1], HostState::Pending);
        assert_eq!(states.iter().filter(|s| **s == HostState::Confirmed).count(), 1);
        let results = c.store.criteria(c.org.number, now).await.unwrap();
        let firewall = results.iter().find(|r| r.criterion == "4-5-1-8").unwrap();
        assert_eq!((firewall.hosts.not_covered, firewall.hosts.pending), (2, 2));
        assert_eq!(firewall.state, CriterionState::Unknown);
    }
}
