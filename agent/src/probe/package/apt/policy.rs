//! apt's choice of a candidate (pkgPolicy): the version of highest priority, among those the highest, and
//! no older one than is installed unless its priority is 1000 or more.

use std::cmp::Ordering;

use super::pin::{NEVER, Pin, Place, Rule};
use super::{phase, release::Release};
use crate::probe::package::deb_version;

/// Priority of what is installed.
const PRIORITY_INSTALLED: i32 = 100;
/// Priority of the release an administrator chose as default.
const PRIORITY_DEFAULT_RELEASE: i32 = 990;
/// From here on a version replaces a newer one.
const PRIORITY_DOWNGRADE: i32 = 1000;

/// One version that a list offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// Version.
    pub version: String,
    /// Which place.
    pub place: usize,
    /// `Phased-Update-Percentage`.
    pub phased: Option<u32>,
    /// Source package.
    pub source: String,
    /// Its version.
    pub source_version: String,
}

/// An installed package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Installed<'a> {
    /// Name.
    pub name: &'a str,
    /// Architecture (the native one for `all`).
    pub arch: &'a str,
    /// Version.
    pub version: &'a str,
    /// Source package.
    pub source: &'a str,
}

/// What decides over phased updates.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Phasing {
    /// `/etc/machine-id`; without one every update is taken.
    pub machine_id: Option<String>,
    /// `APT::Get::Always-Include-Phased-Updates`.
    pub always: bool,
    /// `APT::Get::Never-Include-Phased-Updates`.
    pub never: bool,
}

/// Everything that decides over candidates.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    places: Vec<Place>,
    priorities: Vec<i32>,
    pins: Vec<Pin>,
    native: String,
    phasing: Phasing,
}

/// A version that would be installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice<'a> {
    /// The version.
    pub version: &'a str,
    /// The places that have it.
    pub places: Vec<usize>,
    /// Whether it or a version between it and the installed one fixes a security problem.
    pub security: Option<bool>,
    /// Not offered to this machine yet.
    pub phased: bool,
}

impl Policy {
    /// Computes the priority of every place: the first matching general pin, else what its release says.
    #[must_use]
    pub fn new(
        places: Vec<Place>,
        pins: Vec<Pin>,
        default_release: Option<&str>,
        native: &str,
        phasing: Phasing,
    ) -> Self {
        let default = default_release.map(Rule::default_release);
        let priority = |place: &Place| {
            if default.as_ref().is_some_and(|rule| rule.matches_place(place)) {
                return PRIORITY_DEFAULT_RELEASE;
            }
            let general = pins.iter().find(|p| p.packages.is_empty() && p.rule.matches_place(place));
            general.map_or_else(|| by_release(&place.release), |pin| pin.priority)
        };
        let priorities = places.iter().map(priority).collect();
        Self { places, priorities, pins, native: native.to_owned(), phasing }
    }

    /// The places.
    #[must_use]
    pub fn places(&self) -> &[Place] {
        &self.places
    }

    /// The version apt would upgrade to; `None` where it would leave the package alone. An update that is
    /// withheld from this machine for now is given only where there is no other.
    #[must_use]
    pub fn choose<'a>(&self, installed: Installed<'_>, offers: &'a [Offer]) -> Option<Choice<'a>> {
        self.best(installed, offers, false).or_else(|| self.best(installed, offers, true))
    }

    fn best<'a>(&self, installed: Installed<'_>, offers: &'a [Offer], phased: bool) -> Option<Choice<'a>> {
        let mut versions: Vec<&'a str> = offers.iter().map(|o| o.version.as_str()).collect();
        versions.sort_by(|a, b| deb_version::compare(b, a));
        versions.dedup();
        let installed_offers = offers.iter().filter(|o| o.version == installed.version);
        let own = self.priority(installed, installed.version, installed_offers.map(|o| o.place), true);
        let mut best: Option<&'a str> = None;
        let mut best_priority = 0;
        let mut own_seen = false;
        for version in versions {
            let order = deb_version::compare(version, installed.version);
            if order != Ordering::Greater && !own_seen {
                own_seen = true;
                if own > best_priority {
                    (best, best_priority) = (None, own);
                }
            }
            if order == Ordering::Equal || (!phased && self.is_withheld(version, installed, offers)) {
                continue;
            }
            let places = offers.iter().filter(|o| o.version == version).map(|o| o.place);
            let priority = self.priority(installed, version, places, false);
            if priority <= best_priority || (order == Ordering::Less && priority < PRIORITY_DOWNGRADE) {
                continue;
            }
            (best, best_priority) = (Some(version), priority);
        }
        if !own_seen && own > best_priority {
            return None;
        }
        let version = best?;
        let places: Vec<usize> = offers.iter().filter(|o| o.version == version).map(|o| o.place).collect();
        let security = self.security(installed, version, &places, offers);
        Some(Choice { version, places, security, phased })
    }

    /// A pin for the package decides; else the highest priority of the places that have the version.
    fn priority(
        &self,
        package: Installed<'_>,
        version: &str,
        places: impl Iterator<Item = usize> + Clone,
        is_installed: bool,
    ) -> i32 {
        let at = || places.clone().filter_map(|i| self.places.get(i));
        let names = |pin: &&Pin| {
            pin.packages.iter().any(|p| p.matches(package.name, package.source, package.arch, &self.native))
        };
        let pin = self.pins.iter().filter(names).find(|pin| pin.rule.matches_version(version, at()));
        let of_places = places.clone().filter_map(|i| self.priorities.get(i).copied());
        if let Some(pin) = pin {
            let all_never = !is_installed && of_places.clone().all(|p| p == NEVER);
            return if all_never { NEVER } else { pin.priority };
        }
        let base = if is_installed { PRIORITY_INSTALLED } else { NEVER };
        of_places.fold(base, i32::max)
    }

    fn is_withheld(&self, version: &str, installed: Installed<'_>, offers: &[Offer]) -> bool {
        let Some((offer, percentage)) = offers
            .iter()
            .filter(|o| o.version == version)
            .find_map(|o| o.phased.filter(|&p| p < 100).map(|p| (o, p)))
        else {
            return false;
        };
        if self.phasing.always || self.is_security(version, installed, offers) {
            return false;
        }
        if self.phasing.never {
            return true;
        }
        self.phasing
            .machine_id
            .as_deref()
            .is_some_and(|id| phase::is_held_back(&offer.source, &offer.source_version, id, percentage))
    }

    /// Whether a security archive has this version or one between the installed one and it.
    fn is_security(&self, version: &str, installed: Installed<'_>, offers: &[Offer]) -> bool {
        offers.iter().any(|offer| {
            deb_version::compare(&offer.version, installed.version).is_gt()
                && deb_version::compare(&offer.version, version).is_le()
                && self.places.get(offer.place).is_some_and(|p| p.release.security() == Some(true))
        })
    }

    fn security(
        &self,
        installed: Installed<'_>,
        version: &str,
        places: &[usize],
        offers: &[Offer],
    ) -> Option<bool> {
        if self.is_security(version, installed, offers) {
            return Some(true);
        }
        places.iter().filter_map(|&i| self.places.get(i)).find_map(|p| p.release.security())
    }
}

fn by_release(release: &Release) -> i32 {
    match (release.not_automatic, release.but_automatic_upgrades) {
        (true, true) => 100,
        (true, false) => 1,
        (false, _) => 500,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::package::apt::pin;

    fn place(suite: &str, label: &str) -> Place {
        let release = Release {
            origin: "Debian".into(),
            label: label.into(),
            suite: suite.into(),
            not_automatic: suite.contains("backports") || suite == "experimental",
            but_automatic_upgrades: suite.contains("backports"),
            ..Release::default()
        };
        Place { release, site: "deb.debian.org".into(), ..Place::default() }
    }

    fn offer(version: &str, place: usize) -> Offer {
        Offer {
            version: version.into(),
            place,
            phased: None,
            source: "src".into(),
            source_version: version.into(),
        }
    }

    const PACKAGE: Installed<'static> = Installed { name: "a", arch: "amd64", version: "1.0", source: "src" };

    fn policy(pins: &str, default_release: Option<&str>) -> Policy {
        let places = vec![
            place("stable", "Debian"),
            place("stable-security", "Debian-Security"),
            place("stable-backports", "Debian Backports"),
            place("experimental", "Debian"),
            place("testing", "Debian"),
        ];
        let pins = pin::parse(pins.as_bytes()).pins;
        Policy::new(places, pins, default_release, "amd64", Phasing::default())
    }

    fn chosen<'a>(policy: &Policy, offers: &'a [Offer]) -> Option<&'a str> {
        policy.choose(PACKAGE, offers).map(|c| c.version)
    }

    #[test]
    fn highest_version_of_highest_priority() {
        let plain = policy("", None);
        let offers = [offer("1.1", 0), offer("1.2", 1), offer("3.0", 3)];
        assert_eq!(chosen(&plain, &offers), Some("1.2"));
        assert_eq!(chosen(&plain, &[offer("0.9", 0), offer("1.0", 0)]), None);
        assert_eq!(chosen(&plain, &[]), None);
        // NotAutomatic alone is never taken, ButAutomaticUpgrades only while nothing better is installed.
        assert_eq!(chosen(&plain, &[offer("3.0", 3)]), None);
        assert_eq!(chosen(&plain, &[offer("2.0", 2)]), Some("2.0"));
        assert_eq!(chosen(&plain, &[offer("2.0", 2), offer("1.0", 0)]), None);
    }

    #[test]
    fn pins_and_default_release() {
        let offers = [offer("1.1", 0), offer("2.0", 4)];
        assert_eq!(chosen(&policy("", Some("stable")), &offers), Some("1.1"));
        assert_eq!(chosen(&policy("", Some("a=testing")), &offers), Some("2.0"));
        let general = "Package: *\nPin: release a=testing\nPin-Priority: -10\n";
        assert_eq!(chosen(&policy(general, None), &offers), Some("1.1"));
        let own = "Package: a\nPin: version 1.0\nPin-Priority: 1001\n";
        assert_eq!(chosen(&policy(own, None), &offers), None);
        let down = "Package: a\nPin: version 0.9\nPin-Priority: 1001\n";
        assert_eq!(chosen(&policy(down, None), &[offer("0.9", 0), offer("1.1", 0)]), Some("0.9"));
        let other = "Package: b\nPin: release a=testing\nPin-Priority: 1001\n";
        assert_eq!(chosen(&policy(other, None), &offers), Some("2.0"));
    }

    #[test]
    fn first_stanza_for_a_package_rules() {
        let pins = "Package: a\nPin: release a=testing\nPin-Priority: 50\n\nPackage: a\nPin: release a=testing\nPin-Priority: 900\n";
        assert_eq!(chosen(&policy(pins, None), &[offer("1.1", 0), offer("2.0", 4)]), Some("1.1"));
    }

    #[test]
    fn security_counts_also_between_and_as_one_of_two() {
        let plain = policy("", None);
        let two = [offer("1.1", 0), offer("1.1", 1)];
        assert_eq!(plain.choose(PACKAGE, &two).unwrap().security, Some(true));
        let between = [offer("1.1", 1), offer("1.2", 0)];
        let choice = plain.choose(PACKAGE, &between).unwrap();
        assert_eq!((choice.version, choice.security), ("1.2", Some(true)));
        let older = [offer("0.9", 1), offer("1.2", 0)];
        assert_eq!(plain.choose(PACKAGE, &older).unwrap().security, Some(false));
    }

    #[test]
    fn phased_update_is_withheld_but_shown() {
        let mut some = policy("", None);
        some.phasing.never = true;
        let phased = Offer { phased: Some(10), ..offer("1.1", 0) };
        let choice = some.choose(PACKAGE, std::slice::from_ref(&phased)).map(|c| c.phased);
        assert_eq!(choice, Some(true));
        let both = [phased.clone(), offer("1.0.5", 0)];
        assert_eq!(some.choose(PACKAGE, &both).map(|c| (c.version, c.phased)), Some(("1.0.5", false)));
        let security = [phased, offer("1.0.5", 1)];
        assert_eq!(some.choose(PACKAGE, &security).map(|c| (c.version, c.phased)), Some(("1.1", false)));
    }
}
