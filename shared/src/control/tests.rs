//! What holds for every control.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::fixture::{World, assert_holds_until_end};
use super::*;
use crate::collected::Status;
use crate::finding::Outcome;

#[test]
fn ids_are_unique_and_criteria_exist() {
    let ids: BTreeSet<_> = ALL.iter().map(|c| c.id).collect();
    assert_eq!(ids.len(), ALL.len());
    for control in ALL {
        assert!(control.id.contains('.') && !control.criteria.is_empty() && control.version > 0);
        for criterion in control.criteria {
            assert!(crate::criterion::find(criterion).is_some(), "{}: {criterion}", control.id);
        }
        for (code, text) in control.messages {
            assert!(!text.ja.is_empty() && !text.en.is_empty(), "{}: {code}", control.id);
        }
    }
}

#[test]
fn well_kept_machine_fails_nothing_and_leaves_nothing_unknown() {
    let world = World::good();
    for control in ALL {
        let verdict = world.judge(control);
        let fine = matches!(verdict.outcome, Outcome::Pass | Outcome::NotApplicable);
        assert!(fine, "{}: {verdict:?}", control.id);
        assert!(verdict.outcome == Outcome::NotApplicable || !verdict.evidence.is_empty(), "{}", control.id);
        assert!(verdict.valid_until.is_some(), "{}: facts grow stale", control.id);
        assert_holds_until_end(control, &world, &verdict);
        // And once the facts are too old, nothing passes any more.
        let late = world.now + jiff::SignedDuration::from_hours(15 * 24);
        assert_ne!(world.judge_at(control, late).outcome, Outcome::Pass, "{}", control.id);
    }
}

/// Rule 1 of the design, for every control and each fact it names.
#[test]
fn nothing_passes_when_a_needed_fact_is_not_known() {
    for control in ALL {
        for kind in control.facts {
            for status in Status::ALL.into_iter().filter(|s| *s != Status::Known) {
                let mut world = World::good();
                world.degrade(*kind, status);
                let verdict = world.judge(control);
                assert_ne!(verdict.outcome, Outcome::Pass, "{} with {kind} {status}", control.id);
            }
            let mut world = World::good();
            world.drop_fact(*kind);
            assert_ne!(world.judge(control).outcome, Outcome::Pass, "{} without {kind}", control.id);
            let mut world = World::good();
            world.age(*kind, 24 * 14 + 1);
            assert_ne!(world.judge(control).outcome, Outcome::Pass, "{} with old {kind}", control.id);
        }
    }
}

#[test]
fn an_empty_inventory_passes_nothing() {
    let mut world = World::good();
    for kind in FactKind::ALL {
        world.drop_fact(*kind);
    }
    for control in ALL {
        let verdict = world.judge(control);
        let fine = matches!(verdict.outcome, Outcome::Unknown | Outcome::NotApplicable);
        assert!(fine, "{}: {verdict:?}", control.id);
        assert_eq!(verdict.outcome, Outcome::Unknown, "{}", control.id);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever is missing or old, and whenever it is judged: the outcome holds until its stated end.
    #[test]
    fn outcome_holds_until_its_end(
        changes in prop::collection::vec((0..FactKind::ALL.len(), 0..7usize, 0..400i64), 0..6),
        minutes in 0..60 * 24 * 40i64,
    ) {
        let mut world = World::good();
        let held: Vec<_> = ALL.iter().flat_map(|c| c.facts.iter().copied()).collect();
        for (pick, status, hours) in changes {
            let kind = held[pick % held.len()];
            world.age(kind, hours);
            if Status::ALL[status] != Status::Known {
                world.degrade(kind, Status::ALL[status]);
            }
        }
        world.now += jiff::SignedDuration::from_mins(minutes);
        for control in ALL {
            let verdict = world.judge(control);
            assert_holds_until_end(control, &world, &verdict);
        }
    }
}
