//! How old a pending update is and by when it must be applied: the arithmetic of 4-4-4-2.
//!
//! Where the vendor's release time is known, the deadline is exact. Where it is not, the release lies
//! after the last complete, fresh list that did not show the update and not after the first list that
//! did; the deadline then lies between two moments, and only what both agree on is said.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::control::date::{days_between, deadline};
use crate::control::rule::plausible;
use crate::control::{History, update_key};
use crate::fact::updates::{PendingUpdate, Updates};
use crate::policy::Patch;

/// Whether a pending update falls under the 14 days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Severe by vendor or CVSS.
    Severe,
    /// Nobody says how severe: counts by the scheme, where policy keeps it so.
    UnknownSeverity,
    /// Does not count.
    Outside,
}

/// How a pending update stands against its deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// In time whatever the release time was; until the moment given at least.
    InTime(Timestamp),
    /// Too late whatever the release time was.
    Late,
    /// The release time is not known well enough; surely late from the moment given.
    Open(Option<Timestamp>),
}

/// One pending update, judged.
#[derive(Debug, Clone, PartialEq)]
pub struct UpdateAge {
    /// Whether and why it counts.
    pub scope: Scope,
    /// Against the deadline.
    pub standing: Standing,
    /// Calendar days since release, or since first seen where the release time is not known.
    pub days_open: Option<i32>,
    /// Latest moment at which it is in time, where the release time is known.
    pub deadline: Option<Timestamp>,
    /// Earliest and latest moment at which it was released.
    pub released: (Option<Timestamp>, Option<Timestamp>),
}

/// CVSS base score in tenths from decimal text (`7.5` is 75).
fn cvss_tenths(text: &str) -> Option<u32> {
    let (whole, part) = text.trim().split_once('.').unwrap_or((text.trim(), "0"));
    let tenth: u32 = part.get(..1)?.parse().ok()?;
    let score = whole.parse::<u32>().ok()?.checked_mul(10)?.checked_add(tenth)?;
    (score <= 100).then_some(score)
}

/// Whether `update` counts under `patch`. `security_known` is that of the whole list.
#[must_use]
pub fn scope(update: &PendingUpdate, security_known: bool, patch: &Patch) -> Scope {
    let cvss = update.cvss.as_deref().and_then(cvss_tenths);
    let word = update.severity.as_deref().map(str::to_ascii_lowercase).filter(|w| !w.is_empty());
    if cvss.is_some_and(|c| c >= patch.cvss_min_tenths)
        || word.as_ref().is_some_and(|w| patch.severities.iter().any(|s| s.eq_ignore_ascii_case(w)))
    {
        return Scope::Severe;
    }
    let is_security = if security_known { update.security } else { update.security.filter(|s| *s) };
    let rated =
        cvss.is_some() || word.is_some_and(|w| !matches!(w.as_str(), "unknown" | "none" | "unspecified"));
    if is_security == Some(false) || rated || !patch.unknown_severity_counts {
        Scope::Outside
    } else {
        Scope::UnknownSeverity
    }
}

/// Judges one pending update. `first_listed` is when the list that shows it was collected.
#[must_use]
pub fn assess(
    update: &PendingUpdate,
    updates: &Updates,
    history: &History,
    first_listed: Option<Timestamp>,
    patch: &Patch,
    zone: &TimeZone,
    now: Timestamp,
) -> UpdateAge {
    let sighting =
        history.updates.get(&update_key(update.package.as_deref(), &update.id, update.candidate.as_deref()));
    let seen = sighting.map(|s| s.first_seen).or(first_listed);
    let limits = Limits { security_known: updates.security_known, patch, zone, now };
    let own = limits.age(update, seen, sighting.and_then(|s| s.not_before));
    let Some(first) = sighting.and_then(|s| s.replaced.as_deref()) else { return own };
    let older = limits.age(&first.update, Some(first.first_seen), first.not_before);
    worse(own, older)
}

/// What the days are counted by.
struct Limits<'a> {
    security_known: bool,
    patch: &'a Patch,
    zone: &'a TimeZone,
    now: Timestamp,
}

impl Limits<'_> {
    /// Judges one update by itself; it was released after `not_before` and not after `seen`.
    fn age(
        &self,
        update: &PendingUpdate,
        seen: Option<Timestamp>,
        not_before: Option<Timestamp>,
    ) -> UpdateAge {
        let Self { patch, zone, now, .. } = *self;
        let scope = scope(update, self.security_known, patch);
        let end = |at: Timestamp| deadline(at, patch.days, zone);
        // A release in the future is no release time.
        if let Some(released) = update.released_at.filter(|at| plausible(*at, now)) {
            // A date that moves is at best the latest release: what was seen before was out before.
            let released = seen.filter(|_| update.release_moves).map_or(released, |seen| released.min(seen));
            let deadline = end(released);
            let standing = match deadline {
                Some(end) if now < end => Standing::InTime(end),
                Some(_) => Standing::Late,
                None => Standing::Open(None),
            };
            let days_open = Some(days_between(released, now, zone));
            return UpdateAge {
                scope,
                standing,
                days_open,
                deadline,
                released: (Some(released), Some(released)),
            };
        }
        let (earliest, latest) = (not_before.and_then(end), seen.and_then(end));
        let standing = match (earliest, latest) {
            (_, Some(latest)) if now >= latest => Standing::Late,
            (Some(earliest), _) if now < earliest => Standing::InTime(earliest),
            (_, latest) => Standing::Open(latest),
        };
        let days_open = seen.map(|at| days_between(at, now, zone));
        UpdateAge { scope, standing, days_open, deadline: None, released: (not_before, seen) }
    }
}

/// The worse of an update and of what it replaced: what is still pending is not mended.
fn worse(own: UpdateAge, older: UpdateAge) -> UpdateAge {
    let rank = |age: &UpdateAge| match age.standing {
        _ if age.scope == Scope::Outside => (0, None),
        Standing::InTime(until) => (1, Some(until)),
        Standing::Open(late_at) => (2, late_at),
        Standing::Late => (3, None),
    };
    match (rank(&own), rank(&older)) {
        ((own_rank, _), (older_rank, _)) if own_rank != older_rank => {
            if own_rank > older_rank {
                own
            } else {
                older
            }
        }
        ((_, Some(own_at)), (_, Some(older_at))) if own_at < older_at => own,
        ((0, _), _) => own,
        _ => older,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rated(security: Option<bool>, severity: Option<&str>, cvss: Option<&str>) -> PendingUpdate {
        PendingUpdate {
            security,
            severity: severity.map(Into::into),
            cvss: cvss.map(Into::into),
            ..PendingUpdate::default()
        }
    }

    #[test]
    fn severe_and_unrated_security_updates_count_and_others_do_not() {
        let patch = Patch::default();
        for (update, security_known, expected) in [
            (rated(Some(true), Some("Important"), None), true, Scope::Severe),
            (rated(Some(true), Some("moderate"), Some("7.0")), true, Scope::Severe),
            (rated(Some(true), Some("moderate"), Some("6.9")), true, Scope::Outside),
            (rated(Some(true), None, None), true, Scope::UnknownSeverity),
            (rated(Some(true), None, Some("severe?")), true, Scope::UnknownSeverity),
            (rated(None, None, None), true, Scope::UnknownSeverity),
            (rated(Some(false), None, None), true, Scope::Outside),
            (rated(Some(false), None, None), false, Scope::UnknownSeverity),
            (rated(Some(false), None, Some("9.8")), true, Scope::Severe),
            (rated(Some(true), Some("low"), None), true, Scope::Outside),
        ] {
            assert_eq!(scope(&update, security_known, &patch), expected, "{update:?}");
        }
    }

    #[test]
    fn scores_are_read_as_tenths_and_nonsense_is_no_score() {
        assert_eq!(cvss_tenths("7.0"), Some(70));
        assert_eq!(cvss_tenths("10"), Some(100));
        assert_eq!(cvss_tenths("10.1"), None);
        assert_eq!(cvss_tenths("-1"), None);
        assert_eq!(cvss_tenths(""), None);
        assert_eq!(cvss_tenths("7.点"), None);
    }
}
