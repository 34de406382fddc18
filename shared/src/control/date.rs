//! Calendar days in the organisation's time zone.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

use crate::finding::Message;
use crate::policy::Policy;

/// The organisation's time zone.
pub fn time_zone(policy: &Policy) -> Result<TimeZone, Message> {
    TimeZone::get(&policy.time_zone)
        .map_err(|_| Message::new("time_zone_invalid").with("zone", &policy.time_zone))
}

/// First moment after the last day of `date`: what lasts "until that day" ends here.
#[must_use]
pub fn end_of(date: Date, zone: &TimeZone) -> Option<Timestamp> {
    zone.to_timestamp(date.tomorrow().ok()?.at(0, 0, 0, 0)).ok()
}

/// First moment after the `days`-th calendar day after `released`.
#[must_use]
pub fn deadline(released: Timestamp, days: u32, zone: &TimeZone) -> Option<Timestamp> {
    let day = zone.to_datetime(released).date();
    end_of(day.checked_add(Span::new().try_days(days).ok()?).ok()?, zone)
}

/// Whole calendar days from the day of `from` to the day of `now`; 0 on the same day.
#[must_use]
pub fn days_between(from: Timestamp, now: Timestamp, zone: &TimeZone) -> i32 {
    let (from, now) = (zone.to_datetime(from).date(), zone.to_datetime(now).date());
    now.since(from).map_or(0, |span| span.get_days())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fourteenth_day_counts_to_its_end_in_the_zone_of_the_organisation() {
        let zone = TimeZone::get("Asia/Tokyo").unwrap();
        // 23:30 UTC on the 10th is the 11th in Tokyo: the last day is the 25th.
        let released: Timestamp = "2026-11-10T23:30:00Z".parse().unwrap();
        let end = deadline(released, 14, &zone).unwrap();
        assert_eq!(end, "2026-11-25T15:00:00Z".parse().unwrap());
        assert_eq!(days_between(released, end, &zone), 15);
    }

    #[test]
    fn a_day_that_is_longer_by_daylight_saving_still_ends_at_midnight() {
        let zone = TimeZone::get("America/New_York").unwrap();
        let released: Timestamp = "2026-10-25T12:00:00Z".parse().unwrap();
        // Clocks go back on 2026-11-01, so the end is at -05:00.
        assert_eq!(deadline(released, 14, &zone).unwrap(), "2026-11-09T05:00:00Z".parse().unwrap());
    }
}
