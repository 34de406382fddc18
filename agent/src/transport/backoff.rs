//! Pauses after failed deliveries: doubling, with full random spread, so that a fleet does not come back
//! in step after an outage.

use std::time::Duration;

/// First ceiling.
const FIRST: Duration = Duration::from_secs(2);

/// Counts failures in a row.
#[derive(Debug, Clone)]
pub struct Backoff {
    failures: u32,
    max: Duration,
}

impl Backoff {
    /// No failure yet; pauses never exceed `max`.
    #[must_use]
    pub fn new(max: Duration) -> Self {
        Self { failures: 0, max: max.max(FIRST) }
    }

    /// After a success.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// Failures in a row.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// The pause after one more failure: a random part (`random` in 0..=`u32::MAX`) of the ceiling, and at
    /// least what the collector asked for, to which a part of the ceiling is added so that those it told
    /// the same do not come back together.
    pub fn next(&mut self, asked: Option<Duration>, random: u32) -> Duration {
        let ceiling = FIRST.saturating_mul(1 << self.failures.min(20)).min(self.max);
        self.failures = self.failures.saturating_add(1);
        let part = ceiling.mul_f64(f64::from(random) / f64::from(u32::MAX));
        // A collector's wish is kept, but no reply puts an agent to sleep for longer than a day.
        asked.map_or(part, |asked| asked.min(Duration::from_secs(86_400)) + part)
    }
}

/// A random number for spreads; 0 where the system has none, which costs only the spread.
#[must_use]
pub fn random() -> u32 {
    getrandom::u32().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ceiling_doubles_up_to_the_limit_and_the_pause_is_any_part_of_it() {
        let mut backoff = Backoff::new(Duration::from_secs(10));
        let ceilings: Vec<u64> = (0..5).map(|_| backoff.next(None, u32::MAX).as_secs()).collect();
        assert_eq!(ceilings, [2, 4, 8, 10, 10]);
        assert_eq!(backoff.next(None, 0), Duration::ZERO);
        backoff.reset();
        assert_eq!(backoff.next(None, u32::MAX), FIRST);
    }

    #[test]
    fn what_the_collector_asks_for_is_a_lower_bound() {
        let mut backoff = Backoff::new(Duration::from_secs(10));
        let asked = Some(Duration::from_secs(30));
        assert!(backoff.next(asked, 0) >= Duration::from_secs(30));
        assert!(backoff.next(Some(Duration::MAX), u32::MAX) <= Duration::from_secs(86_410));
    }
}
