//! What earlier inventories of a host showed, as far as controls need it: [`History::absorb`] is fed
//! every inventory in turn, by the collector and by the agent's own `check`.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::collected::Collected;
use crate::fact::FactKind;
use crate::fact::backups::Backups;
use crate::fact::os::Os;
use crate::fact::removable::RemovableDevices;
use crate::fact::restart::Restart;
use crate::fact::software::Software;
use crate::fact::updates::{PendingUpdate, Updates, UpdatesObserved};
use crate::inventory::Inventory;

/// What earlier inventories of the host showed.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct History {
    /// Pending updates by [`update_key`]: when first seen, and when last known not to be pending.
    pub updates: BTreeMap<String, Sighting>,
    /// Metadata time of the last complete list of pending updates, and the sources it was made from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listed: Option<Listed>,
    /// Backup jobs by [`job_key`]: since when they are known.
    pub backup_jobs: BTreeMap<String, Timestamp>,
    /// Since when a restart has been pending without a break.
    pub restart_pending_since: Option<Timestamp>,
    /// Time of which the records of media use are known without a break.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub media: Option<Covered>,
    /// When the system was installed, as it last said itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub installed_at: Option<Timestamp>,
    /// When the host last reported.
    pub last_report_at: Option<Timestamp>,
    /// When the host first reported.
    pub first_report_at: Option<Timestamp>,
}

/// When something was first seen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sighting {
    /// First inventory that showed it.
    pub first_seen: Timestamp,
    /// Metadata time of the latest complete list before that did not show it though it could have: it was
    /// released after that moment.
    pub not_before: Option<Timestamp>,
    /// Since when complete lists have not shown it any more. Kept for a while: what comes back is not new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gone_at: Option<Timestamp>,
    /// What decides whether it counts, as last shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update: Option<PendingUpdate>,
    /// The first update of the package that this one replaced before anybody applied it: a newer version
    /// does not start the days again for what the older one would have mended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced: Option<Box<Replaced>>,
}

/// An update that was never applied, and is offered no more because a newer one is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Replaced {
    /// What decides whether it counts.
    pub update: PendingUpdate,
    /// As of [`Sighting::first_seen`].
    pub first_seen: Timestamp,
    /// As of [`Sighting::not_before`].
    pub not_before: Option<Timestamp>,
}

/// A stretch of time of which something is known.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Covered {
    /// From.
    pub since: Timestamp,
    /// Up to.
    pub until: Timestamp,
}

impl Covered {
    /// Goes on with `next` where the two meet, else begins anew with it: what lies between is not known.
    fn extend(held: Option<Self>, next: Self) -> Self {
        match held {
            Some(held) if next.until <= held.until && next.since >= held.since => held,
            Some(held) if next.since <= held.until => {
                Self { since: held.since.min(next.since), until: held.until.max(next.until) }
            }
            _ => next,
        }
    }
}

/// A complete list of pending updates.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Listed {
    /// When its oldest metadata were fetched.
    pub metadata_at: Timestamp,
    /// The metadata sources.
    pub sources: Vec<String>,
}

/// Most entries of each map; the oldest gone go first.
const MAX_ENTRIES: usize = 5_000;
/// How long a gone update is remembered.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(24 * 180);

/// Key of one pending update in [`History::updates`].
#[must_use]
pub fn update_key(package: Option<&str>, id: &str, candidate: Option<&str>) -> String {
    format!("{}|{}", package.unwrap_or(id), candidate.unwrap_or(id))
}

/// Key of one backup job in [`History::backup_jobs`].
#[must_use]
pub fn job_key(product: &str, name: &str) -> String {
    format!("{product}|{name}")
}

/// Kinds of facts that a history is made of; what was installed when is looked up in the software.
pub const HISTORY_KINDS: &[FactKind] = &[
    FactKind::Updates,
    FactKind::UpdatesObserved,
    FactKind::Backups,
    FactKind::Restart,
    FactKind::RemovableDevices,
    FactKind::Os,
];

impl History {
    /// Takes in what `inventory` shows. `offset` is host clock minus true time; nothing is dated after
    /// `now`. Absorbing the same inventory twice changes nothing.
    pub fn absorb(&mut self, inventory: &Inventory, offset: SignedDuration, now: Timestamp) {
        let seen = |kind: FactKind| {
            let at = inventory.held(kind).map_or(now, |h| h.record.collected_at);
            at.checked_sub(offset).map_or(now, |t| t.min(now))
        };
        self.absorb_updates(inventory, seen(FactKind::Updates), now);
        if let Collected::Known(body) | Collected::Partial(body, _) = inventory.typed::<Backups>() {
            let at = seen(FactKind::Backups);
            for job in body.jobs.iter().take(MAX_ENTRIES) {
                self.backup_jobs.entry(job_key(&job.product, &job.name)).or_insert(at);
            }
            cap(&mut self.backup_jobs, |at| *at);
        }
        match inventory.typed::<Restart>() {
            Collected::Known(r) | Collected::Partial(r, _) if r.pending == Some(true) => {
                self.restart_pending_since.get_or_insert(seen(FactKind::Restart));
            }
            Collected::Known(r) if r.pending == Some(false) => self.restart_pending_since = None,
            _ => {}
        }
        if let Collected::Known(os) | Collected::Partial(os, _) = inventory.typed::<Os>() {
            self.installed_at = os.installed_at.or(self.installed_at);
        }
        self.absorb_media(inventory, offset, now);
    }

    /// Records of use, read again and again, cover together what each reading covered, as long as each goes
    /// back to the one before. A ledger with gaps covers nothing.
    fn absorb_media(&mut self, inventory: &Inventory, offset: SignedDuration, now: Timestamp) {
        let Collected::Known(body) = inventory.typed::<RemovableDevices>() else { return };
        let read_at = inventory.held(FactKind::RemovableDevices).map(|held| held.confirmed_at.min(now));
        let since = body.history_since.as_ref().and_then(|seen| seen.at.checked_sub(offset).ok());
        let (Some(until), Some(since)) = (read_at, since) else { return };
        let kept = body.history_kept_days.map(|days| SignedDuration::from_hours(24 * i64::from(days)));
        let since = since.max(kept.and_then(|kept| until.checked_sub(kept).ok()).unwrap_or(since));
        if since <= until {
            self.media = Some(Covered::extend(self.media, Covered { since, until }));
        }
    }

    fn absorb_updates(&mut self, inventory: &Inventory, seen: Timestamp, now: Timestamp) {
        let (updates, whole) = match inventory.typed::<Updates>() {
            Collected::Known(updates) => (updates, true),
            Collected::Partial(updates, _) => (updates, false),
            _ => return,
        };
        let listed = whole.then(|| listed(inventory, seen)).flatten();
        let before = self.listed.clone().filter(|before| {
            // A list from other sources could not have shown it.
            listed.as_ref().is_some_and(|l| l.sources == before.sources && l.metadata_at > before.metadata_at)
        });
        let shown: BTreeSet<String> = updates.pending.iter().map(key).collect();
        for update in updates.pending.iter().take(MAX_ENTRIES) {
            let key = key(update);
            let replaced =
                if self.updates.contains_key(&key) { None } else { self.replaced_by(update, &shown) };
            let sighting = self.updates.entry(key).or_insert_with(|| Sighting {
                first_seen: seen,
                not_before: before
                    .as_ref()
                    .map(|b| b.metadata_at)
                    .filter(|at| *at < seen && was_installed(inventory, update, *at)),
                gone_at: None,
                update: None,
                replaced: replaced.map(Box::new),
            });
            sighting.gone_at = None;
            sighting.update = Some(deciding(update));
        }
        if whole {
            for (_, sighting) in self.updates.iter_mut().filter(|(key, _)| !shown.contains(*key)) {
                sighting.gone_at.get_or_insert(seen);
            }
            self.listed = listed.or(self.listed.take());
        }
        self.updates.retain(|_, s| s.gone_at.is_none_or(|at| now.duration_since(at) < REMEMBERED));
        cap(&mut self.updates, |s| s.gone_at.unwrap_or(Timestamp::MAX));
    }

    /// What `update`, not seen before, took the place of: the same installed version was to be updated
    /// up to the last list, to a version that `shown` has no more.
    fn replaced_by(&self, update: &PendingUpdate, shown: &BTreeSet<String>) -> Option<Replaced> {
        let package = format!("{}|", update.package.as_deref()?);
        let before = |s: &Sighting| {
            s.update.as_ref().is_some_and(|b| {
                b.installed.is_some() && b.installed == update.installed && b.arch == update.arch
            })
        };
        self.updates
            .range(package.clone()..)
            .take_while(|(key, _)| key.starts_with(&package))
            .filter(|(key, s)| s.gone_at.is_none() && !shown.contains(*key) && before(s))
            .filter_map(|(_, s)| match &s.replaced {
                Some(first) => Some((**first).clone()),
                None => {
                    let old = s.update.as_ref().filter(|u| u.security != Some(false))?;
                    let (first_seen, not_before) = (s.first_seen, s.not_before);
                    Some(Replaced { update: old.clone(), first_seen, not_before })
                }
            })
            .min_by_key(|r| r.first_seen)
    }
}

/// The members that decide whether and since when an update counts.
fn deciding(update: &PendingUpdate) -> PendingUpdate {
    PendingUpdate { title: None, origin: None, class: None, cves: vec![], ..update.clone() }
}

fn key(update: &PendingUpdate) -> String {
    update_key(update.package.as_deref(), &update.id, update.candidate.as_deref())
}

/// From which metadata the current list was made, where that is known of every source.
fn listed(inventory: &Inventory, seen: Timestamp) -> Option<Listed> {
    let Collected::Known(observed) = inventory.typed::<UpdatesObserved>() else { return None };
    let times: Option<Vec<Timestamp>> = observed.metadata.iter().map(|m| m.refreshed_at).collect();
    let metadata_at = times?.into_iter().min().filter(|at| *at <= seen)?;
    let mut sources: Vec<String> = observed.metadata.iter().map(|m| m.source.clone()).collect();
    sources.sort_unstable();
    Some(Listed { metadata_at, sources })
}

/// Whether the package was surely there at `at`: an update of something installed later was not shown
/// earlier for that reason alone.
fn was_installed(inventory: &Inventory, update: &PendingUpdate, at: Timestamp) -> bool {
    let (Collected::Known(software), Some(package)) = (inventory.typed::<Software>(), &update.package) else {
        return false;
    };
    software.items.iter().any(|item| {
        &item.name == package
            && (update.arch.is_none() || item.arch == update.arch)
            && item.installed_at.is_some_and(|installed| installed <= at)
    })
}

fn cap<V>(map: &mut BTreeMap<String, V>, age: impl Fn(&V) -> Timestamp) {
    while map.len() > MAX_ENTRIES {
        let Some(oldest) = map.iter().min_by_key(|(_, v)| age(v)).map(|(k, _)| k.clone()) else { return };
        map.remove(&oldest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collected::Reason;
    use crate::fact::removable::Seen;
    use crate::fact::software::SoftwareItem;
    use crate::fact::updates::MetadataAge;
    use crate::fact::{FactBody, FactRecord};

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    struct Machine {
        now: Timestamp,
        records: Vec<FactRecord>,
    }

    impl Machine {
        fn put<T: FactBody>(&mut self, collected: Collected<T>) {
            self.records.push(FactRecord::new(collected, "test", self.now).unwrap());
        }
    }

    fn pending(packages: &[&str]) -> Updates {
        let update = |p: &&str| PendingUpdate {
            id: format!("{p}=2"),
            package: Some((*p).to_owned()),
            candidate: Some("2".into()),
            ..PendingUpdate::default()
        };
        Updates { pending: packages.iter().map(update).collect(), ..Updates::default() }
    }

    /// A machine with `openssl` since January and `new` since noon of November 10.
    fn show(history: &mut History, now: &str, updates: Collected<Updates>, sources: &[&str]) {
        let now = at(now);
        let mut machine = Machine { now, records: vec![] };
        machine.put(updates);
        let age = |s: &&str| MetadataAge {
            source: (*s).to_owned(),
            refreshed_at: Some(now - SignedDuration::from_hours(1)),
            ..MetadataAge::default()
        };
        machine.put(Collected::Known(UpdatesObserved {
            metadata: sources.iter().map(age).collect(),
            ..UpdatesObserved::default()
        }));
        let item = |name: &str, installed: &str| SoftwareItem {
            name: name.into(),
            installed_at: Some(at(installed)),
            ..SoftwareItem::default()
        };
        machine.put(Collected::Known(Software {
            items: vec![item("openssl", "2026-01-01T00:00:00Z"), item("new", "2026-11-10T12:00:00Z")],
            sources: vec![],
        }));
        history.absorb(&Inventory::of(machine.records), SignedDuration::ZERO, now);
    }

    const DAY_10: &str = "2026-11-10T00:00:00Z";
    const DAY_11: &str = "2026-11-11T00:00:00Z";

    #[test]
    fn release_lies_between_the_list_without_and_the_list_with_it() {
        let mut history = History::default();
        show(&mut history, DAY_10, Collected::Known(pending(&[])), &["main"]);
        show(&mut history, DAY_11, Collected::Known(pending(&["openssl", "new"])), &["main"]);
        let openssl = &history.updates["openssl|2"];
        assert_eq!(openssl.first_seen, at(DAY_11));
        assert_eq!(openssl.not_before, Some(at("2026-11-09T23:00:00Z")));
        assert_eq!(history.updates["new|2"].not_before, None, "it was not installed yet");
        let before = history.clone();
        show(&mut history, DAY_11, Collected::Known(pending(&["openssl", "new"])), &["main"]);
        assert_eq!(history, before, "absorbing twice changes nothing");
    }

    fn version(candidate: &str, security: bool) -> Updates {
        let mut updates = pending(&["openssl"]);
        let update = &mut updates.pending[0];
        update.candidate = Some(candidate.into());
        update.installed = Some("1".into());
        update.security = Some(security);
        updates
    }

    #[test]
    fn a_newer_version_does_not_start_the_days_again() {
        let mut history = History::default();
        show(&mut history, DAY_10, Collected::Known(version("2", true)), &["main"]);
        show(&mut history, DAY_11, Collected::Known(version("3", true)), &["main"]);
        show(&mut history, "2026-11-12T00:00:00Z", Collected::Known(version("4", true)), &["main"]);
        let replaced = history.updates["openssl|4"].replaced.as_ref().unwrap();
        assert_eq!(replaced.first_seen, at(DAY_10));
        assert_eq!(replaced.update.candidate.as_deref(), Some("2"));
        let before = history.clone();
        show(&mut history, "2026-11-12T00:00:00Z", Collected::Known(version("4", true)), &["main"]);
        assert_eq!(history, before, "absorbing twice changes nothing");

        let mut applied = version("3", true);
        applied.pending[0].installed = Some("2".into());
        for (first, second) in [(version("2", true), applied), (version("2", false), version("3", true))] {
            let mut history = History::default();
            show(&mut history, DAY_10, Collected::Known(first), &["main"]);
            show(&mut history, DAY_11, Collected::Known(second), &["main"]);
            assert_eq!(history.updates["openssl|3"].replaced, None);
        }
    }

    #[test]
    fn a_list_with_gaps_or_from_other_sources_proves_nothing_about_release() {
        for (first, sources) in [
            (Collected::Partial(pending(&[]), Reason::new("x")), &["main"][..]),
            (Collected::Known(pending(&[])), &["other"][..]),
        ] {
            let mut history = History::default();
            show(&mut history, DAY_10, first, sources);
            show(&mut history, DAY_11, Collected::Known(pending(&["openssl"])), &["main"]);
            assert_eq!(history.updates["openssl|2"].not_before, None);
        }
    }

    #[test]
    fn what_comes_back_is_not_new_and_a_failed_probe_ends_nothing() {
        let mut history = History::default();
        show(&mut history, DAY_10, Collected::Known(pending(&["openssl"])), &["main"]);
        show(&mut history, DAY_11, Collected::Failed(Reason::new("x")), &["main"]);
        assert_eq!(history.updates["openssl|2"].gone_at, None);
        show(&mut history, DAY_11, Collected::Known(pending(&[])), &["main"]);
        assert_eq!(history.updates["openssl|2"].gone_at, Some(at(DAY_11)));
        show(&mut history, "2026-11-20T00:00:00Z", Collected::Known(pending(&["openssl"])), &["main"]);
        let sighting = &history.updates["openssl|2"];
        assert_eq!((sighting.first_seen, sighting.gone_at), (at(DAY_10), None));
        show(&mut history, "2026-11-21T00:00:00Z", Collected::Known(pending(&[])), &["main"]);
        show(&mut history, "2027-11-21T00:00:00Z", Collected::Known(pending(&[])), &["main"]);
        assert!(history.updates.is_empty(), "forgotten after half a year");
    }

    #[test]
    fn restart_is_pending_from_the_first_sign_to_a_known_end() {
        let restart = |pending| Collected::Known(Restart { pending, ..Restart::default() });
        let mut history = History::default();
        for (now, fact, expected) in [
            (DAY_10, restart(Some(true)), Some(at(DAY_10))),
            (DAY_11, restart(Some(true)), Some(at(DAY_10))),
            (DAY_11, restart(None), Some(at(DAY_10))),
            (DAY_11, restart(Some(false)), None),
        ] {
            let mut machine = Machine { now: at(now), records: vec![] };
            machine.put(fact);
            history.absorb(&Inventory::of(machine.records), SignedDuration::ZERO, at(now));
            assert_eq!(history.restart_pending_since, expected);
        }
    }

    #[test]
    fn a_clock_that_is_ahead_dates_nothing_into_the_future() {
        let mut machine = Machine { now: at("2027-11-10T00:00:00Z"), records: vec![] };
        machine.put(Collected::Known(pending(&["openssl"])));
        let mut history = History::default();
        history.absorb(&Inventory::of(machine.records), SignedDuration::ZERO, at(DAY_10));
        assert_eq!(history.updates["openssl|2"].first_seen, at(DAY_10));
    }

    /// Absorbs a ledger that goes back to `since`, read at `read_at`.
    fn ledger(history: &mut History, since: Option<&str>, kept_days: Option<u32>, read_at: &str) {
        let mut machine = Machine { now: at(read_at), records: vec![] };
        let seen = |since| Seen { at: at(since), source: "journal".into(), confidence: "exact".into() };
        machine.put(Collected::Known(RemovableDevices {
            history_since: since.map(seen),
            history_kept_days: kept_days,
            ..RemovableDevices::default()
        }));
        history.absorb(&Inventory::of(machine.records), SignedDuration::ZERO, at(read_at));
    }

    #[test]
    fn records_of_media_cover_what_each_reading_continues() {
        const DAY_12: &str = "2026-11-12T00:00:00Z";
        for (name, second, expected) in [
            ("rotated, and read in time", Some(DAY_10), Some((DAY_10, DAY_12))),
            ("goes on where the last reading ended", Some(DAY_11), Some((DAY_10, DAY_12))),
            (
                "a start of the system later",
                Some("2026-11-11T00:00:01Z"),
                Some(("2026-11-11T00:00:01Z", DAY_12)),
            ),
            ("nobody can tell", None, Some((DAY_10, DAY_11))),
            ("a clock that was set back", Some("2026-11-13T00:00:00Z"), Some((DAY_10, DAY_11))),
        ] {
            let mut history = History::default();
            ledger(&mut history, Some(DAY_10), None, DAY_11);
            for _ in 0..2 {
                ledger(&mut history, second, None, DAY_12);
                let expected = expected.map(|(since, until)| Covered { since: at(since), until: at(until) });
                assert_eq!(history.media, expected, "{name}");
            }
        }
    }

    #[test]
    fn the_day_of_installation_outlives_a_reading_without_it() {
        let os = |installed_at| Os { installed_at, ..Os::default() };
        let mut history = History::default();
        let facts = [
            Collected::Known(os(Some(at(DAY_10)))),
            Collected::Partial(os(None), Reason::new("x")),
            Collected::Failed(Reason::new("x")),
        ];
        for fact in facts {
            let mut machine = Machine { now: at(DAY_11), records: vec![] };
            machine.put(fact);
            history.absorb(&Inventory::of(machine.records), SignedDuration::ZERO, at(DAY_11));
            assert_eq!(history.installed_at, Some(at(DAY_10)));
        }
    }

    #[test]
    fn what_may_be_forgotten_covers_only_the_days_it_is_kept() {
        let mut history = History::default();
        ledger(&mut history, Some("2024-01-01T00:00:00Z"), Some(30), "2026-11-10T00:00:00Z");
        assert_eq!(history.media.unwrap().since, at("2026-10-11T00:00:00Z"));
        ledger(&mut history, Some("2024-01-01T00:00:00Z"), Some(30), "2026-11-20T00:00:00Z");
        assert_eq!(history.media.unwrap().since, at("2026-10-11T00:00:00Z"), "read again in time");
        let mut young = History::default();
        ledger(&mut young, Some(DAY_10), Some(30), DAY_11);
        assert_eq!(young.media.unwrap().since, at(DAY_10));
    }
}
