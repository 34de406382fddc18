//! Local times of logs as moments.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// A local `YYYY-MM-DD HH:MM:SS` as a moment. In the hour that a change of clocks repeats, the earlier
/// of the two; in the one it skips, the moment after it.
#[must_use]
pub fn local(zone: &TimeZone, date: &str, time: &str) -> Option<Timestamp> {
    let civil: DateTime = format!("{date}T{time}").parse().ok()?;
    zone.to_ambiguous_timestamp(civil).compatible().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_time_becomes_a_moment() {
        let zone = TimeZone::fixed(jiff::tz::offset(9));
        assert_eq!(local(&zone, "2026-05-20", "09:00:01").unwrap().to_string(), "2026-05-20T00:00:01Z");
        assert_eq!(local(&zone, "2026-13-40", "09:00:01"), None);
    }
}
