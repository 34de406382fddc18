//! Judging and freezing told on every engine at hand: signed reports go in through the real door, hosts
//! are judged, snapshots are taken, compared, exported and checked.

mod freeze;
mod lapse;

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

fn assert_verified(pack: &Pack) {
    let report = verify(pack);
    for check in &report.checks {
        let fine = check.state == CheckState::Verified
            || (check.what.code == "contents" && check.state == CheckState::NotCheckable);
        assert!(fine, "{check:?}");
    }
    assert!(report.is_verified());
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
