//! When probes run: a full round per interval with random spread, other intervals by kind, and rounds
//! brought forward by what was watched. Collects nothing.
//!
//! Time is counted by the monotonic clock *and* by the wall clock, whichever says "due" first: the
//! monotonic one stands still while a laptop sleeps, the wall clock may be set back.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tenken_shared::fact::FactKind;
use tenken_shared::policy::Collection;

/// A moment by both clocks.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// Monotonic.
    pub steady: Instant,
    /// Wall clock.
    pub wall: Timestamp,
}

impl Moment {
    /// Now.
    #[must_use]
    pub fn now() -> Self {
        Self { steady: Instant::now(), wall: Timestamp::now() }
    }
}

/// Shortest interval a policy can ask for.
const SHORTEST: Duration = Duration::from_secs(5);
/// Shortest time between two early rounds of one kind, so that a busy folder costs little.
const EARLY_GAP: Duration = Duration::from_secs(15);

#[derive(Debug, Clone, Copy)]
struct Due {
    since: Moment,
    after: Duration,
}

impl Due {
    fn left(&self, now: Moment) -> Duration {
        let steady = now.steady.saturating_duration_since(self.since.steady);
        let wall_ms = now.wall.as_millisecond().saturating_sub(self.since.wall.as_millisecond());
        let wall = Duration::from_millis(u64::try_from(wall_ms).unwrap_or(0));
        self.after.saturating_sub(steady.max(wall))
    }
}

/// The plan of one agent.
#[derive(Debug)]
pub struct Schedule {
    full: Due,
    single: BTreeMap<FactKind, Due>,
    early: BTreeSet<FactKind>,
    last_early: BTreeMap<FactKind, Instant>,
}

/// Which kinds to collect now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Round {
    /// All.
    Full,
    /// These.
    Only(Vec<FactKind>),
}

impl Schedule {
    /// The first full round is due after `delay`.
    #[must_use]
    pub fn starting(now: Moment, delay: Duration) -> Self {
        Self {
            full: Due { since: now, after: delay },
            single: BTreeMap::new(),
            early: BTreeSet::new(),
            last_early: BTreeMap::new(),
        }
    }

    /// Something these kinds are read from has changed.
    pub fn bring_forward(&mut self, kinds: impl IntoIterator<Item = FactKind>) {
        self.early.extend(kinds);
    }

    /// How long nothing is due.
    #[must_use]
    pub fn wait(&self, now: Moment) -> Duration {
        let single = self.single.values().map(|due| due.left(now));
        let early = self.early.iter().map(|kind| self.early_left(*kind, now));
        single.chain(early).chain([self.full.left(now)]).min().unwrap_or_default()
    }

    /// Time until the next full round.
    #[must_use]
    pub fn until_full(&self, now: Moment) -> Duration {
        self.full.left(now)
    }

    fn early_left(&self, kind: FactKind, now: Moment) -> Duration {
        self.last_early.get(&kind).map_or(Duration::ZERO, |last| {
            EARLY_GAP.saturating_sub(now.steady.saturating_duration_since(*last))
        })
    }

    /// What is due now.
    #[must_use]
    pub fn due(&self, now: Moment) -> Option<Round> {
        if self.full.left(now).is_zero() {
            return Some(Round::Full);
        }
        let early = self.early.iter().copied().filter(|kind| self.early_left(*kind, now).is_zero());
        let single = self.single.iter().filter(|(_, due)| due.left(now).is_zero()).map(|(kind, _)| *kind);
        let kinds: BTreeSet<FactKind> = early.chain(single).collect();
        (!kinds.is_empty()).then(|| Round::Only(kinds.into_iter().collect()))
    }

    /// A round was taken: plans the next one. `interval_s` overrides the policy's unless 0; `random` in
    /// 0..=`u32::MAX` chooses the spread.
    pub fn done(&mut self, round: &Round, now: Moment, policy: &Collection, interval_s: u64, random: u32) {
        let spread = |seconds: u64| {
            let base = Duration::from_secs(seconds).max(SHORTEST);
            let pct = f64::from(policy.jitter_pct.min(100)) / 100.0;
            base + base.mul_f64(pct * f64::from(random) / f64::from(u32::MAX))
        };
        let ran = |kind: FactKind| match round {
            Round::Full => true,
            Round::Only(kinds) => kinds.contains(&kind),
        };
        if *round == Round::Full {
            let seconds = if interval_s > 0 { interval_s } else { policy.interval_s };
            self.full = Due { since: now, after: spread(seconds) };
        }
        let planned: Vec<(FactKind, u64)> = policy
            .intervals_s
            .iter()
            .filter_map(|(name, seconds)| Some((name.parse::<FactKind>().ok()?, *seconds)))
            .collect();
        self.single.retain(|kind, _| planned.iter().any(|(p, _)| p == kind));
        for (kind, seconds) in planned {
            if ran(kind) || !self.single.contains_key(&kind) {
                self.single.insert(kind, Due { since: now, after: spread(seconds) });
            }
        }
        for kind in std::mem::take(&mut self.early) {
            if ran(kind) {
                self.last_early.insert(kind, now.steady);
            } else {
                self.early.insert(kind);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(start: Moment, seconds: u64) -> Moment {
        Moment {
            steady: start.steady + Duration::from_secs(seconds),
            wall: start.wall.checked_add(jiff::SignedDuration::from_secs(seconds as i64)).unwrap(),
        }
    }

    fn policy() -> Collection {
        Collection { jitter_pct: 10, ..Collection::default() }
    }

    #[test]
    fn full_round_follows_the_interval_with_spread() {
        let start = Moment::now();
        let mut schedule = Schedule::starting(start, Duration::from_secs(30));
        assert_eq!(schedule.due(after(start, 29)), None);
        assert_eq!(schedule.due(after(start, 30)), Some(Round::Full));
        schedule.done(&Round::Full, start, &policy(), 0, u32::MAX);
        assert_eq!(schedule.until_full(start), Duration::from_secs(3960));
        schedule.done(&Round::Full, start, &policy(), 60, 0);
        assert_eq!(schedule.until_full(start), Duration::from_secs(60));
    }

    #[test]
    fn change_is_seen_early_but_not_all_the_time() {
        let start = Moment::now();
        let mut schedule = Schedule::starting(start, Duration::from_secs(3600));
        schedule.bring_forward([FactKind::Software]);
        let round = schedule.due(start).unwrap();
        assert_eq!(round, Round::Only(vec![FactKind::Software]));
        schedule.done(&round, start, &policy(), 0, 0);
        schedule.bring_forward([FactKind::Software]);
        assert_eq!(schedule.due(after(start, 5)), None);
        assert_eq!(schedule.wait(after(start, 5)), Duration::from_secs(10));
        assert!(schedule.due(after(start, 15)).is_some());
    }

    #[test]
    fn sleep_counts_and_a_clock_set_back_does_not_stop_the_rounds() {
        let start = Moment::now();
        let schedule = Schedule::starting(start, Duration::from_secs(3600));
        let slept = Moment { steady: start.steady, wall: after(start, 4000).wall };
        assert_eq!(schedule.due(slept), Some(Round::Full));
        let set_back = Moment { steady: after(start, 3600).steady, wall: Timestamp::UNIX_EPOCH };
        assert_eq!(schedule.due(set_back), Some(Round::Full));
    }

    #[test]
    fn kinds_with_their_own_interval_run_alone() {
        let start = Moment::now();
        let mut schedule = Schedule::starting(start, Duration::ZERO);
        let mut policy = policy();
        policy.intervals_s.insert("services".into(), 60);
        schedule.done(&Round::Full, start, &policy, 0, 0);
        assert_eq!(schedule.due(after(start, 60)), Some(Round::Only(vec![FactKind::Services])));
    }
}
