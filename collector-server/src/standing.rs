//! Where an organisation stands: criteria, controls and coverage together, computed once for many readers.
//!
//! Rolling up a large fleet takes longer than a page may. What was cheap to compute is computed anew for
//! every reader; what was dear is kept for some multiple of its cost, and one reader's visit renews it
//! behind the scenes. Nothing older than `MAX_AGE` is ever shown, nor anything that counts what holds no
//! more or what people changed since; and pages say of when it is.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tenken_shared::criterion::CriterionResult;

use crate::query::{ControlCounts, CoverageCounts};
use crate::store::{Result, Store};

/// What costs less is never kept.
const CHEAP: Duration = Duration::from_millis(25);
/// How many times its cost a standing is kept.
const KEEP_FACTOR: u32 = 20;
/// Age beyond which a reader waits for a new one.
const MAX_AGE: Duration = Duration::from_secs(60);
/// Most organisations kept.
const MAX_ORGS: usize = 1_000;

/// One organisation at one moment.
#[derive(Debug)]
pub struct Standing {
    /// Moment it was computed for.
    pub at: Timestamp,
    /// Result of every criterion.
    pub criteria: Vec<CriterionResult>,
    /// Hosts by control and outcome.
    pub controls: Vec<ControlCounts>,
    /// Machines and how many are covered.
    pub coverage: CoverageCounts,
    /// When something it counts ceases to hold by itself.
    until: Option<Timestamp>,
    started: Instant,
    cost: Duration,
}

impl Standing {
    async fn compute(store: &Store, org: i64) -> Result<Self> {
        let (started, at) = (Instant::now(), Timestamp::now());
        let (criteria, until) = store.criteria_until(org, at).await?;
        let controls = store.control_counts(org, at).await?;
        let coverage = store.coverage(org, at).await?;
        Ok(Self { at, criteria, controls, coverage, until, started, cost: started.elapsed() })
    }

    fn kept_for(&self) -> Duration {
        if self.cost < CHEAP { Duration::ZERO } else { (self.cost * KEEP_FACTOR).min(MAX_AGE) }
    }

    /// Whether it may be shown, if need be while a new one is made.
    fn is_presentable(&self) -> bool {
        let stands = self.until.is_none_or(|until| Timestamp::now() <= until);
        self.cost >= CHEAP && self.started.elapsed() < MAX_AGE && stands
    }
}

#[derive(Debug, Default)]
struct Slot {
    kept: RwLock<Option<Arc<Standing>>>,
    /// Held by the one who computes.
    computing: Arc<tokio::sync::Mutex<()>>,
}

impl Slot {
    fn kept(&self) -> Option<Arc<Standing>> {
        self.kept.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn renew(&self, store: &Store, org: i64) -> Result<Arc<Standing>> {
        let new = Arc::new(Standing::compute(store, org).await?);
        *self.kept.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&new));
        Ok(new)
    }
}

/// Standings by organisation.
#[derive(Debug, Default)]
pub struct Standings {
    slots: Mutex<HashMap<i64, Arc<Slot>>>,
}

impl Standings {
    /// Where `org` stands.
    pub async fn of(&self, store: &Store, org: i64) -> Result<Arc<Standing>> {
        let slot = self.slot(org);
        if let Some(kept) = slot.kept().filter(|kept| kept.is_presentable()) {
            if kept.started.elapsed() >= kept.kept_for()
                && let Ok(turn) = Arc::clone(&slot.computing).try_lock_owned()
            {
                let store = store.clone();
                tokio::spawn(async move {
                    if let Err(error) = slot.renew(&store, org).await {
                        tracing::warn!(%error, "the standing of an organisation could not be renewed");
                    }
                    drop(turn);
                });
            }
            return Ok(kept);
        }
        let _turn = slot.computing.lock().await;
        match slot.kept().filter(|kept| kept.is_presentable()) {
            Some(kept) => Ok(kept),
            None => slot.renew(store, org).await,
        }
    }

    /// Forgets what is kept of `org`: a person changed something that counts.
    pub fn forget(&self, org: i64) {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.remove(&org);
    }

    fn slot(&self, org: i64) -> Arc<Slot> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.len() >= MAX_ORGS && !slots.contains_key(&org) {
            slots.clear();
        }
        Arc::clone(slots.entry(org).or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(cost: Duration, age: Duration) -> Standing {
        Standing {
            at: Timestamp::UNIX_EPOCH,
            criteria: Vec::new(),
            controls: Vec::new(),
            coverage: CoverageCounts::default(),
            until: None,
            started: Instant::now().checked_sub(age).unwrap(),
            cost,
        }
    }

    #[test]
    fn cheap_ones_are_never_reused_and_dear_ones_never_beyond_their_age() {
        let second = Duration::from_secs(1);
        assert!(!standing(Duration::from_millis(3), Duration::ZERO).is_presentable());
        assert!(standing(second, 30 * second).is_presentable());
        assert!(!standing(second, MAX_AGE + second).is_presentable());
        let ahead = |seconds| Some(Timestamp::now() + jiff::SignedDuration::from_secs(seconds));
        assert!(Standing { until: ahead(60), ..standing(second, second) }.is_presentable());
        assert!(!Standing { until: ahead(-1), ..standing(second, second) }.is_presentable());
        assert_eq!(standing(second, Duration::ZERO).kept_for(), 20 * second);
        assert_eq!(standing(30 * second, Duration::ZERO).kept_for(), MAX_AGE);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_small_organisation_sees_its_changes_at_once() {
        for fixture in crate::store::testing::stores().await {
            crate::store::testing::seed(&fixture.store, &["alpha"]).await;
            let standings = Standings::default();
            assert_eq!(standings.of(&fixture.store, 1).await.unwrap().coverage.confirmed, 1);
            assert_eq!(standings.of(&fixture.store, 1).await.unwrap().criteria.len(), 153);
        }
    }
}
