//! A well-kept machine to start a case from, and the runner of case tables.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::history::Covered;
use super::{Context, Control, History, HostLabel};
use crate::catalog::Catalog;
use crate::collected::{Collected, Reason, Status};
use crate::fact::accounts::{Account, Accounts};
use crate::fact::autorun::Autorun;
use crate::fact::backups::{BackupJob, Backups};
use crate::fact::credential_policy::CredentialPolicy;
use crate::fact::firewall::Firewall;
use crate::fact::hardware::Hardware;
use crate::fact::malware_protection::{MalwareActivity, MalwareObserved, MalwareProduct, MalwareProtection};
use crate::fact::network::Network;
use crate::fact::os::Os;
use crate::fact::removable::{RemovableDevice, RemovableDevices, RemovablePolicy, Seen};
use crate::fact::restart::Restart;
use crate::fact::services::Services;
use crate::fact::software::{Software, SoftwareItem};
use crate::fact::updates::{
    HistoryEntry, MetadataAge, UpdateHistory, UpdateSettings, Updates, UpdatesObserved,
};
use crate::fact::volumes::{Volume, Volumes};
use crate::fact::{FactBody, FactKind, FactRecord};
use crate::finding::{Outcome, Verdict};
use crate::inventory::Inventory;
use crate::policy::{BackupTarget, PermittedMedia, Policy};

/// The moment cases are judged for: a Monday noon in Tokyo.
pub const NOW: &str = "2026-11-23T03:00:00Z";

/// Reads a time.
pub fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// Everything a control looks at, to be changed by a case.
pub struct World {
    records: BTreeMap<FactKind, FactRecord>,
    pub history: History,
    pub policy: Policy,
    pub catalog: Catalog,
    pub now: Timestamp,
    pub group: Option<&'static str>,
}

impl World {
    /// A patched, encrypted, backed-up Debian laptop, with a policy that declares what it has.
    pub fn good() -> Self {
        let now = at(NOW);
        let mut world = Self {
            records: BTreeMap::new(),
            history: History::default(),
            policy: good_policy(),
            catalog: Catalog::embedded().clone(),
            now,
            group: None,
        };
        world.put_machine();
        world.put_protection(now);
        world
    }

    fn put_machine(&mut self) {
        self.put(Hardware {
            maker: Some("LENOVO".into()),
            model: Some("21HDCTO1WW".into()),
            chassis: Some("laptop".into()),
            ..Hardware::default()
        });
        self.put(Os {
            family: "linux".into(),
            id: "debian".into(),
            name: Some("Debian GNU/Linux".into()),
            version: Some("13".into()),
            ..Os::default()
        });
        self.put(Network::default());
        self.put(Services { listening: Some(vec![]), ..Services::default() });
        self.put(Volumes {
            items: vec![Volume {
                mount: "/".into(),
                class: Some("fixed".into()),
                encrypted: Some(true),
                ..Volume::default()
            }],
            sources: vec![],
        });
        self.put(Software {
            items: vec![SoftwareItem {
                name: "firefox-esr".into(),
                version: "140.5.0".into(),
                source: "deb".into(),
                ..SoftwareItem::default()
            }],
            sources: vec![],
        });
        self.put(Updates { security_known: true, ..Updates::default() });
        self.put(UpdatesObserved {
            metadata: vec![MetadataAge {
                source: "deb.debian.org".into(),
                refreshed_at: Some(at("2026-11-22T21:00:00Z")),
                ..MetadataAge::default()
            }],
            ..UpdatesObserved::default()
        });
        self.put(UpdateHistory {
            items: vec![HistoryEntry { package: Some("bash".into()), ..HistoryEntry::default() }],
            ..UpdateHistory::default()
        });
        self.put(UpdateSettings { automatic: Some("on".into()), ..UpdateSettings::default() });
        self.put(Restart { pending: Some(false), ..Restart::default() });
    }

    fn put_protection(&mut self, now: Timestamp) {
        self.put(Backups {
            jobs: vec![BackupJob {
                product: "restic".into(),
                name: "/srv/backup".into(),
                role: "backup".into(),
                last_success: Some(at("2026-11-22T18:00:00Z")),
                result: Some("succeeded".into()),
                oldest_copy: Some(at("2026-08-01T00:00:00Z")),
                destination_class: Some("remote".into()),
                evidence: "repository".into(),
                ..BackupJob::default()
            }],
            sources: vec![],
        });
        self.put(RemovableDevices {
            items: vec![RemovableDevice {
                class: "usb_storage".into(),
                vendor_id: Some("0951".into()),
                product_id: Some("1666".into()),
                serial: Some("E0D55EA574".into()),
                serial_genuine: true,
                ..RemovableDevice::default()
            }],
            ..RemovableDevices::default()
        });
        self.media_since("2026-06-01T00:00:00Z");
        self.put(RemovablePolicy { usb_storage: Some("allow_list".into()), ..RemovablePolicy::default() });
        self.put(Autorun { active: Some(false), ..Autorun::default() });
        self.put(Accounts {
            items: vec![Account {
                name: "root".into(),
                enabled: Some(false),
                administrator: Some(true),
                built_in: true,
                ..Account::default()
            }],
            ..Accounts::default()
        });
        self.put(CredentialPolicy {
            lockout_threshold: Some(10),
            min_length: Some(8),
            ..CredentialPolicy::default()
        });
        self.put(MalwareProtection {
            products: vec![MalwareProduct {
                name: "ClamAV".into(),
                running: Some(true),
                real_time: Some(true),
                ..MalwareProduct::default()
            }],
            sources: vec![],
        });
        self.put(MalwareObserved {
            products: vec![MalwareActivity {
                name: "ClamAV".into(),
                signatures_at: Some(now - jiff::SignedDuration::from_hours(20)),
                last_full_scan: Some(now - jiff::SignedDuration::from_hours(100)),
                ..MalwareActivity::default()
            }],
        });
        self.put(Firewall { active: Some(true), ..Firewall::default() });
    }

    /// Puts a known fact.
    pub fn put<T: FactBody>(&mut self, body: T) {
        self.insert::<T>(Collected::Known(body));
    }

    /// Changes a known fact.
    pub fn edit<T: FactBody>(&mut self, change: impl FnOnce(&mut T)) {
        let mut body = self.records[&T::KIND].typed::<T>().value().map(clone_body).unwrap();
        change(&mut body);
        self.put(body);
    }

    /// Makes the records of media use begin at a moment.
    pub fn media_since(&mut self, since: &str) {
        let (since, until) = (at(since), self.now);
        let seen = Seen { at: since, source: "journal".into(), confidence: "exact".into() };
        self.edit::<RemovableDevices>(|d| d.history_since = Some(seen));
        self.history.media = Some(Covered { since, until });
    }

    /// Changes a fact and makes it partial.
    pub fn edit_partial<T: FactBody>(&mut self, change: impl FnOnce(&mut T)) {
        self.edit(change);
        self.degrade(T::KIND, Status::Partial);
    }

    fn insert<T: FactBody>(&mut self, collected: Collected<T>) {
        self.records.insert(T::KIND, FactRecord::new(collected, "fixture", self.now).unwrap());
    }

    /// Takes a fact's status down; without a body where the status has none.
    pub fn degrade(&mut self, kind: FactKind, status: Status) {
        let record = self.records.get_mut(&kind).unwrap();
        record.content.status = status;
        record.content.reason = Some(Reason::new("permission_denied"));
        if !status.has_body() {
            record.content.body = None;
        }
    }

    /// Removes a fact.
    pub fn drop_fact(&mut self, kind: FactKind) {
        self.records.remove(&kind);
    }

    /// Makes a fact's last confirmation `hours` old.
    pub fn age(&mut self, kind: FactKind, hours: i64) {
        self.records.get_mut(&kind).unwrap().collected_at =
            self.now - jiff::SignedDuration::from_hours(hours);
    }

    /// Judges by one control at `now`.
    pub fn judge_at(&self, control: &Control, now: Timestamp) -> Verdict {
        self.judge_from(control, self.records.values(), &self.history, now)
    }

    /// Judges by one control from what it says it looks at, and nothing else.
    fn judge_from_named(&self, control: &Control) -> Verdict {
        let named = self.records.iter().filter(|(kind, _)| control.facts.contains(kind)).map(|(_, r)| r);
        let empty = History::default();
        let history = if control.uses_history() { &self.history } else { &empty };
        self.judge_from(control, named, history, self.now)
    }

    fn judge_from<'a>(
        &self,
        control: &Control,
        records: impl Iterator<Item = &'a FactRecord>,
        history: &History,
        now: Timestamp,
    ) -> Verdict {
        let inventory = Inventory::of(records.cloned());
        (control.evaluate)(&Context {
            inventory: &inventory,
            history,
            policy: &self.policy,
            catalog: &self.catalog,
            now,
            host: HostLabel { id: "h1", name: "pc-01", group: self.group },
        })
    }

    /// Judges by one control.
    pub fn judge(&self, control: &Control) -> Verdict {
        self.judge_at(control, self.now)
    }
}

fn clone_body<T: FactBody>(body: &T) -> T {
    serde_json::from_value(serde_json::to_value(body).unwrap()).unwrap()
}

fn good_policy() -> Policy {
    let mut policy = Policy::default();
    policy.backup.targets.push(BackupTarget {
        name: "accounting".into(),
        hosts: vec![],
        products: vec![],
        jobs: vec![],
        frequency_h: 24,
        retention_days: Some(90),
        remote_copy: true,
        restore_procedure: None,
    });
    policy.removable.usb_storage = Some("allow_list".into());
    policy.removable.permitted.push(PermittedMedia {
        vendor_id: Some("0951".into()),
        product_id: Some("1666".into()),
        serial: Some("E0D55EA574".into()),
        label: None,
    });
    policy.software.permitted.push("firefox*".into());
    policy.services.needed.push("tcp/22".into());
    policy
}

/// One row of a case table: what is special, how to make it, and the outcome with its message code.
pub type Case = (&'static str, fn(&mut World), Outcome, &'static str);

/// Runs a case table, and checks that each sentence exists, that the outcome holds until its end and that
/// the control looks at no facts but those it names: it is judged again only when one of them changed.
pub fn table(control: &Control, cases: &[Case]) {
    for (name, change, outcome, code) in cases {
        let mut world = World::good();
        change(&mut world);
        let verdict = world.judge(control);
        assert_eq!(
            (verdict.outcome, verdict.message.code.as_str()),
            (*outcome, *code),
            "{name}: {verdict:?}"
        );
        assert_eq!(world.judge_from_named(control), verdict, "{name}: looks at facts it does not name");
        let known = control.messages.iter().any(|(c, _)| c == code) || super::sentence::is_common(code);
        assert!(known, "{name}: no sentence for {code}");
        for lang in [crate::text::Lang::Ja, crate::text::Lang::En] {
            let sentence = control.sentence(&verdict.message, lang);
            assert!(!sentence.contains('{'), "{name}: a parameter is missing in {sentence:?}");
        }
        assert_holds_until_end(control, &world, &verdict);
    }
}

/// Judging just before `valid_until` gives the same outcome.
pub fn assert_holds_until_end(control: &Control, world: &World, verdict: &Verdict) {
    let Some(end) = verdict.valid_until else { return };
    assert!(end > world.now, "{}: valid_until is not in the future", control.id);
    let before = world.judge_at(control, end - jiff::SignedDuration::from_millis(1));
    assert_eq!(before.outcome, verdict.outcome, "{}: changed before {end}", control.id);
}
