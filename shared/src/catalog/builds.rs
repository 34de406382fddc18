//! Security releases of Windows by build: which update build revision (UBR) brought which month's fixes.
//!
//! Windows updates are cumulative, so `build.UBR` alone says which releases a machine has; no list of KB
//! numbers is compared. Only releases with security fixes are listed: optional previews and out-of-band
//! corrections lie between two of them.
//!
//! Hotpatching: machines enrolled in it get the fixes of two months in three under an own, lower UBR.
//! Where the table does not list that UBR, such a month cannot be told missing, only the next baseline.

use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use serde::{Deserialize, Serialize};

use super::{CatalogError, MAX_CATALOG_BYTES};

/// Hour of release, UTC: 10:00 in Redmond in summer, the earlier of the two.
const RELEASE_HOUR: i8 = 17;
/// Months of the releases that every machine takes, hotpatched or not.
const BASELINE_MONTHS: [i8; 4] = [1, 4, 7, 10];

/// Security releases by Windows build.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct BuildCatalog {
    /// Version of the data file.
    pub version: String,
    /// When the data were compiled.
    pub compiled_at: Option<Timestamp>,
    /// Where the numbers come from.
    pub source: String,
    /// Lines of servicing.
    pub builds: Vec<BuildLine>,
}

/// One line of servicing: a build number, of clients or of servers where their revisions differ.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BuildLine {
    /// Build (`26100`).
    pub build: u32,
    /// Whether for servers; `None` for both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<bool>,
    /// Whether machines of this line can be enrolled in hotpatching.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hotpatching: bool,
    /// Until when no release followed the last row. A row missing in the midst only dates a gap later, since
    /// updates are cumulative.
    pub as_of: Date,
    /// By date, then UBR.
    pub releases: Vec<Release>,
}

/// One security release.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Release {
    /// Update build revision.
    pub ubr: u32,
    /// Day of release at the vendor.
    pub date: Date,
    /// KB number without letters, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kb: Option<String>,
    /// A hotpatch: the same fixes without a restart.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hotpatch: bool,
}

impl Release {
    /// The moment of release.
    #[must_use]
    pub fn at(&self) -> Option<Timestamp> {
        moment(self.date)
    }
}

/// How a machine stands by the table.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Level<'a> {
    /// It lacks this release, the earliest it surely lacks.
    Behind(&'a Release),
    /// It has every release listed, and none was due that is not listed before the moment given.
    Current(Timestamp),
    /// It lacks a release, or has its hotpatch: the table does not tell.
    Ambiguous(&'a Release),
    /// The moment lies outside what the table covers.
    Uncovered,
}

impl BuildCatalog {
    /// Reads a catalogue file. It must say when it was compiled, and hold at least one release.
    pub fn parse(text: &[u8]) -> Result<Self, CatalogError> {
        if text.len() > MAX_CATALOG_BYTES {
            return Err(CatalogError::TooLarge);
        }
        let mut catalog: Self = serde_json::from_slice(text)?;
        if catalog.compiled_at.is_none() {
            return Err(CatalogError::Undated);
        }
        if catalog.version.is_empty() || catalog.builds.iter().all(|b| b.releases.is_empty()) {
            return Err(CatalogError::Empty);
        }
        for line in &mut catalog.builds {
            line.releases.sort_by_key(|r| (r.date, r.ubr));
        }
        Ok(catalog)
    }

    /// Whether there is none: snapshots from before this catalogue carry none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.builds.is_empty() && self.version.is_empty()
    }

    /// The line of a build; none where it is not known whether the machine is a server and that matters.
    #[must_use]
    pub fn find(&self, build: u32, server: Option<bool>) -> Option<&BuildLine> {
        let fits = |b: &&BuildLine| b.build == build && (b.server.is_none() || b.server == server);
        self.builds.iter().find(fits)
    }
}

impl BuildLine {
    /// How a machine with this UBR stands at `now`. Releases after `now` are left out.
    #[must_use]
    pub fn level(&self, ubr: u32, now: Timestamp) -> Level<'_> {
        let out = |r: &&Release| r.at().is_some_and(|at| at <= now);
        let released: Vec<&Release> = self.releases.iter().filter(out).collect();
        if released.is_empty() {
            return Level::Uncovered;
        }
        let has = released.iter().filter(|r| r.ubr <= ubr).map(|r| r.date).max();
        let missing = released.iter().filter(|r| has.is_none_or(|has| r.date > has) && !r.hotpatch);
        let mut ambiguous = None;
        for release in missing {
            if self.decides(release) {
                return Level::Behind(release);
            }
            ambiguous.get_or_insert(*release);
        }
        match (ambiguous, self.complete_until()) {
            (Some(release), _) => Level::Ambiguous(release),
            (None, Some(until)) => Level::Current(until),
            (None, None) => Level::Uncovered,
        }
    }

    /// Whether lacking this UBR surely means lacking the fixes.
    fn decides(&self, release: &Release) -> bool {
        !self.hotpatching
            || BASELINE_MONTHS.contains(&release.date.month())
            || self.releases.iter().any(|r| r.hotpatch && r.date == release.date)
    }

    /// The next regular release after the table was complete: nothing is missing from it before.
    fn complete_until(&self) -> Option<Timestamp> {
        let this = self.as_of.nth_weekday_of_month(2, Weekday::Tuesday).ok()?;
        let next = if this > self.as_of {
            this
        } else {
            let month = self.as_of.first_of_month().checked_add(Span::new().months(1)).ok()?;
            month.nth_weekday_of_month(2, Weekday::Tuesday).ok()?
        };
        moment(next)
    }
}

fn moment(date: Date) -> Option<Timestamp> {
    TimeZone::UTC.to_timestamp(date.at(RELEASE_HOUR, 0, 0, 0)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Catalog;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    const NOW: &str = "2026-11-23T03:00:00Z";

    fn level(build: u32, server: bool, ubr: u32, now: &str) -> Level<'static> {
        Catalog::embedded().builds.find(build, Some(server)).unwrap().level(ubr, at(now))
    }

    #[test]
    fn embedded_table_reads_is_dated_and_ordered() {
        let builds = &Catalog::embedded().builds;
        BuildCatalog::parse(&serde_json::to_vec(builds).unwrap()).unwrap();
        for line in &builds.builds {
            let ordered = line.releases.is_sorted_by_key(|r| (r.date, r.ubr));
            assert!(ordered && line.releases.is_sorted_by_key(|r| r.ubr), "{}", line.build);
            assert!(line.releases.last().is_some_and(|r| r.date <= line.as_of), "{}", line.build);
        }
    }

    #[test]
    fn earliest_missing_release_is_named_and_clients_and_servers_differ() {
        let Level::Behind(release) = level(19045, false, 7600, NOW) else { panic!("not behind") };
        assert_eq!((release.ubr, release.date.to_string().as_str()), (7725, "2026-09-08"));
        let Level::Behind(release) = level(19045, false, 3803, NOW) else { panic!("not behind") };
        assert_eq!(release.ubr, 6937, "older than the table: since its first row at the latest");
        assert_eq!(Catalog::embedded().builds.find(26100, None), None, "a client or a server");
        assert!(matches!(level(26100, true, 9711, NOW), Level::Behind(_)), "the revision of a client");
    }

    #[test]
    fn current_until_the_next_regular_release() {
        assert_eq!(level(19045, false, 7846, NOW), Level::Current(at("2026-12-08T17:00:00Z")));
        assert_eq!(level(19045, false, 9999, NOW), Level::Current(at("2026-12-08T17:00:00Z")));
        assert_eq!(level(26200, false, 9711, NOW), Level::Current(at("2026-11-10T17:00:00Z")));
        assert_eq!(level(19045, false, 1, "2025-01-01T00:00:00Z"), Level::Uncovered);
    }

    #[test]
    fn releases_after_the_moment_do_not_count() {
        assert!(matches!(level(19045, false, 7548, "2026-08-01T00:00:00Z"), Level::Current(_)));
        assert!(matches!(level(19045, false, 7548, "2026-09-09T00:00:00Z"), Level::Behind(_)));
    }

    #[test]
    fn hotpatched_months_are_told_by_their_own_revision_or_not_at_all() {
        let may = "2026-06-01T00:00:00Z";
        assert!(matches!(level(26100, false, 8390, may), Level::Current(_)), "has the hotpatch of May");
        assert!(matches!(level(26100, false, 8300, may), Level::Behind(r) if r.ubr == 8457));
        let september = "2026-09-20T00:00:00Z";
        assert!(matches!(level(26100, false, 9300, september), Level::Ambiguous(r) if r.ubr == 9445));
        assert!(matches!(level(26100, false, 9300, NOW), Level::Behind(r) if r.ubr == 9711));
    }

    #[test]
    fn undated_or_empty_catalogue_is_refused() {
        assert!(matches!(BuildCatalog::parse(b"{\"version\":\"x\"}"), Err(CatalogError::Undated)));
        let empty = br#"{"version":"x","compiled_at":"2026-01-01T00:00:00Z"}"#;
        assert!(matches!(BuildCatalog::parse(empty), Err(CatalogError::Empty)));
    }
}
