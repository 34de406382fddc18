//! What held once and holds no more reads as unknown.

use super::*;

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
