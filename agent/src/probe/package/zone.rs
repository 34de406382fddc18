//! The machine's own time zone, for logs that are written in local time.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::sys::Sys;

/// The zone of the machine being read: `/etc/localtime` itself (it says what the machine's C library
/// does), else the name in `/etc/timezone`, else UTC, which is what a machine without either uses.
#[must_use]
pub fn of(sys: &Sys) -> TimeZone {
    if let Some(zone) = sys.read_capped("/etc/localtime", 256 * 1024).ok().and_then(|b| parse_tzif(&b)) {
        return zone;
    }
    let name = sys.read_line("/etc/timezone").ok().flatten();
    name.and_then(|n| TimeZone::get(&n).ok()).unwrap_or(TimeZone::UTC)
}

/// A compiled zone file; `None` where it is none.
#[must_use]
pub fn parse_tzif(bytes: &[u8]) -> Option<TimeZone> {
    TimeZone::tzif("machine", bytes).ok()
}

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
        assert_eq!(parse_tzif(b"TZif"), None);
    }
}
