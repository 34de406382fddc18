//! Limits on attempts: so many per key and window, in bounded memory. One per process: with several
//! collectors the limit holds per collector.

use std::collections::HashMap;
use std::sync::Mutex;

use jiff::{SignedDuration, Timestamp};

/// Most keys kept; the one that is nearest to expiry makes room.
const MAX_KEYS: usize = 10_000;

/// A limit of `max` attempts per `window` and key.
#[derive(Debug)]
pub struct RateLimit {
    max: u32,
    window: SignedDuration,
    seen: Mutex<HashMap<String, Window>>,
}

#[derive(Debug, Clone, Copy)]
struct Window {
    started_at: Timestamp,
    count: u32,
}

impl RateLimit {
    /// `max` attempts per `window`.
    #[must_use]
    pub fn new(max: u32, window: SignedDuration) -> Self {
        Self { max, window, seen: Mutex::new(HashMap::new()) }
    }

    /// Counts one attempt. `Err` holds the seconds until the next one is taken.
    pub fn attempt(&self, key: &str, now: Timestamp) -> Result<(), u64> {
        let mut seen = self.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if seen.len() >= MAX_KEYS && !seen.contains_key(key) {
            self.make_room(&mut seen, now);
        }
        let window = seen.entry(key.to_owned()).or_insert(Window { started_at: now, count: 0 });
        if now.duration_since(window.started_at) >= self.window {
            *window = Window { started_at: now, count: 0 };
        }
        if window.count >= self.max {
            let left = self.window - now.duration_since(window.started_at);
            return Err(u64::try_from(left.as_secs()).unwrap_or(0).max(1));
        }
        window.count += 1;
        Ok(())
    }

    /// Forgets a key: the attempt was right.
    pub fn clear(&self, key: &str) {
        self.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner).remove(key);
    }

    fn make_room(&self, seen: &mut HashMap<String, Window>, now: Timestamp) {
        seen.retain(|_, w| now.duration_since(w.started_at) < self.window);
        if seen.len() >= MAX_KEYS
            && let Some(oldest) = seen.iter().min_by_key(|(_, w)| w.started_at).map(|(k, _)| k.clone())
        {
            seen.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_holds_per_key_and_ends_with_the_window() {
        let limit = RateLimit::new(2, SignedDuration::from_secs(60));
        let start = Timestamp::UNIX_EPOCH;
        assert_eq!(limit.attempt("a", start), Ok(()));
        assert_eq!(limit.attempt("a", start), Ok(()));
        assert_eq!(limit.attempt("a", start), Err(60));
        assert_eq!(limit.attempt("b", start), Ok(()));
        assert_eq!(limit.attempt("a", start + SignedDuration::from_secs(60)), Ok(()));
    }

    #[test]
    fn memory_is_bounded() {
        let limit = RateLimit::new(1, SignedDuration::from_secs(60));
        for n in 0..(MAX_KEYS + 50) {
            assert!(limit.attempt(&n.to_string(), Timestamp::UNIX_EPOCH).is_ok());
        }
        assert!(limit.seen.lock().unwrap().len() <= MAX_KEYS);
    }
}
