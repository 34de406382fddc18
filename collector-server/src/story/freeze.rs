//! Snapshots: taken, compared, exported, verified, on schedule.

use super::*;

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
