//! Made-up fleets whose inventories really differ: no two hosts share a software digest, while titles
//! overlap as they do where one office installs one image and then lives with it.

use jiff::{SignedDuration, Timestamp};
use tenken_shared::canonical::CanonicalError;
use tenken_shared::collected::{Collected, SourceState};
use tenken_shared::fact::agent::Agent;
use tenken_shared::fact::hardware::{Cpu, Disk, Firmware, Hardware};
use tenken_shared::fact::identity::Identity;
use tenken_shared::fact::network::{Interface, Network};
use tenken_shared::fact::os::Os;
use tenken_shared::fact::restart::Restart;
use tenken_shared::fact::software::{Software, SoftwareItem};
use tenken_shared::fact::updates::{PendingUpdate, UpdateSettings, Updates};
use tenken_shared::fact::volumes::{Volume, Volumes};
use tenken_shared::fact::{FactBody, FactRecord};

/// Packages of every host.
const COMMON: u64 = 560;
/// Further packages of each host, out of the tail.
const OWN: u64 = 140;
/// 2026-01-01 00:00 UTC: no package of a first report was installed later.
const IMAGED_S: i64 = 1_767_225_600;
/// Titles in the tail.
const TAIL: u64 = 5_000;

/// Makes inventories; the same number gives the same host again.
#[derive(Debug, Clone, Copy)]
pub struct Fleet {
    /// Time of collection, whole seconds as package databases keep them.
    now: Timestamp,
}

impl Fleet {
    /// A fleet whose inventories are collected at `now`.
    #[must_use]
    pub fn at(now: Timestamp) -> Self {
        Self { now: Timestamp::from_second(now.as_second()).unwrap_or(now) }
    }

    /// All facts of host `number`.
    pub fn inventory(&self, number: u64) -> Result<Vec<FactRecord>, CanonicalError> {
        let mut facts = vec![
            self.record(self.agent(), "agent")?,
            self.record(identity(number), "/etc/hostname; /etc/machine-id")?,
            self.record(hardware(number), "/sys/class/dmi/id")?,
            self.record(os(number), "/etc/os-release")?,
            self.record(network(number), "/sys/class/net")?,
            self.record(volumes(number), "/proc/self/mountinfo")?,
            self.software(number, 0)?,
            self.record(updates(number), "/var/lib/apt/lists")?,
            self.record(update_settings(), "/etc/apt/apt.conf.d")?,
            self.record(restart(number), "/run/reboot-required")?,
        ];
        facts.sort_by(|a, b| a.content.kind.cmp(&b.content.kind));
        Ok(facts)
    }

    /// The software of host `number` after `rounds` rounds in which ten packages changed each time.
    pub fn software(&self, number: u64, rounds: u64) -> Result<FactRecord, CanonicalError> {
        let mut titles: Vec<u64> = (0..COMMON).collect();
        let own = (0..OWN * 2).map(|i| COMMON + mix(number, i) % TAIL);
        for title in own {
            if titles.len() as u64 == COMMON + OWN {
                break;
            }
            if !titles.contains(&title) {
                titles.push(title);
            }
        }
        let mut items: Vec<_> = titles.iter().map(|title| self.item(number, *title)).collect();
        for round in 0..rounds {
            for i in 0..10 {
                let at = (mix(number ^ 0xA5A5, round * 10 + i) % items.len() as u64) as usize;
                if let Some(item) = items.get_mut(at) {
                    item.version = format!("{}.{}+u{}", item.version, round, i);
                    // As its round left it, whatever rounds follow.
                    item.installed_at = Timestamp::from_second(IMAGED_S + 3600 * (round as i64 + 1)).ok();
                }
            }
        }
        items.sort_by(|a, b| (&a.name, &a.arch, &a.version).cmp(&(&b.name, &b.arch, &b.version)));
        let sources = vec![SourceState::known("dpkg:/var/lib/dpkg/status", items.len())];
        self.record(Software { items, sources }, "/var/lib/dpkg/status")
    }

    fn item(&self, number: u64, title: u64) -> SoftwareItem {
        // Hosts of one office lag by a few patch levels; the host's own image date goes with them.
        let level = mix(number / 7 + title, title) % 3;
        let days = 30 + mix(number, 99) % 700;
        let age = if level == 0 { days } else { days / (level + 1) };
        SoftwareItem {
            name: name_of(title),
            version: format!("{}.{}.{}-{}+deb12u{level}", title % 9, title % 31, title % 13, 1 + title % 5),
            arch: Some(if title.is_multiple_of(6) { "all" } else { "amd64" }.into()),
            vendor: Some(format!(
                "Maintainers of {} <team-{}@lists.example.org>",
                name_of(title % 90),
                title % 90
            )),
            // From a fixed day: in a later round only what changed may have another time.
            installed_at: Timestamp::from_second(IMAGED_S)
                .and_then(|day| day.checked_sub(SignedDuration::from_hours(24 * age as i64)))
                .ok(),
            source: "deb".into(),
            scope: "machine".into(),
            user: None,
            source_package: title.is_multiple_of(3).then(|| name_of(title / 3)),
        }
    }

    fn agent(&self) -> Agent {
        Agent {
            version: "0.1.0".into(),
            target: "x86_64-unknown-linux-musl".into(),
            mode: "service".into(),
            elevated: true,
            ..Agent::default()
        }
    }

    fn record<T: FactBody>(&self, body: T, source: &str) -> Result<FactRecord, CanonicalError> {
        FactRecord::new(Collected::Known(body), source, self.now)
    }
}

/// A well-spread number out of two.
fn mix(a: u64, b: u64) -> u64 {
    let mut z = a.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(b.wrapping_mul(0xD1B5_4A32_D192_ED03));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

fn name_of(title: u64) -> String {
    const FIRST: [&str; 16] = [
        "lib", "python3-", "gir1.2-", "fonts-", "perl-", "golang-", "ruby-", "node-", "linux-", "gnome-",
        "kde-", "xserver-", "php-", "texlive-", "printer-", "net-",
    ];
    const SECOND: [&str; 24] = [
        "ssl", "glib", "gtk", "pango", "cairo", "curl", "xml2", "sqlite", "crypto", "archive", "audio",
        "video", "image", "parse", "http", "json", "yaml", "term", "font", "print", "disk", "cron", "mail",
        "time",
    ];
    let (first, second) = (FIRST[(title % 16) as usize], SECOND[(title / 16 % 24) as usize]);
    format!("{first}{second}{}", title / 384)
}

fn identity(number: u64) -> Identity {
    Identity {
        machine_id: Some(format!("{:016x}{:016x}", mix(number, 1), mix(number, 2))),
        hostname: Some(format!("pc-{number:05}")),
        fqdn: Some(format!("pc-{number:05}.office.example")),
        ..Identity::default()
    }
}

fn hardware(number: u64) -> Hardware {
    let models = ["ThinkPad L14", "OptiPlex 3080", "LIFEBOOK A5511", "ProDesk 400", "VersaPro VKT16"];
    let makers = ["LENOVO", "Dell Inc.", "FUJITSU", "HP", "NEC"];
    let kind = (mix(number, 3) % 5) as usize;
    Hardware {
        maker: Some(makers[kind].into()),
        model: Some(models[kind].into()),
        serial: Some(format!("SN{:010X}", mix(number, 4) & 0xFF_FFFF_FFFF)),
        chassis: Some(if kind == 0 { "notebook" } else { "desktop" }.into()),
        firmware: Some(Firmware {
            version: Some(format!("1.{}", mix(number, 5) % 20)),
            ..Firmware::default()
        }),
        cpu: Some(Cpu { model: Some("Core i5".into()), cores: Some(4), threads: Some(8), ..Cpu::default() }),
        memory_bytes: Some(8 << 30),
        disks: vec![Disk {
            name: "nvme0n1".into(),
            serial: Some(format!("D{:012X}", mix(number, 6) & 0xFFFF_FFFF_FFFF)),
            size_bytes: Some(256_060_514_304),
            ..Disk::default()
        }],
        ..Hardware::default()
    }
}

fn os(number: u64) -> Os {
    Os {
        family: "linux".into(),
        id: "debian".into(),
        name: Some("Debian GNU/Linux 12 (bookworm)".into()),
        version: Some("12".into()),
        codename: Some("bookworm".into()),
        arch: Some("x86_64".into()),
        kernel_running: Some(format!("6.1.0-{}-amd64", 20 + mix(number, 7) % 12)),
        kernel_newest: Some("6.1.0-31-amd64".into()),
        time_zone: Some("Asia/Tokyo".into()),
        ..Os::default()
    }
}

fn network(number: u64) -> Network {
    let m = mix(number, 8);
    Network {
        interfaces: vec![Interface {
            name: "eth0".into(),
            mac: Some(format!(
                "02:00:{:02x}:{:02x}:{:02x}:{:02x}",
                m & 255,
                m >> 8 & 255,
                m >> 16 & 255,
                m >> 24 & 255
            )),
            kind: Some("ethernet".into()),
            addresses: vec![format!("10.{}.{}.{}/16", number >> 16 & 255, number >> 8 & 255, number & 255)],
            up: Some(true),
        }],
        sources: vec![SourceState::known("/sys/class/net", 1)],
        ..Network::default()
    }
}

fn volumes(number: u64) -> Volumes {
    let root = Volume {
        mount: "/".into(),
        file_system: Some("ext4".into()),
        size_bytes: Some(200 << 30),
        encrypted: Some(!number.is_multiple_of(3)),
        ..Volume::default()
    };
    Volumes { items: vec![root], sources: vec![SourceState::known("/proc/self/mountinfo", 1)] }
}

fn updates(number: u64) -> Updates {
    let pending: Vec<_> = (0..mix(number, 9) % 12)
        .map(|i| {
            let title = mix(number, 10 + i) % COMMON;
            PendingUpdate {
                id: format!("{}/{}", name_of(title), i),
                package: Some(name_of(title)),
                installed: Some("1.0-1".into()),
                candidate: Some(format!("1.0-{}", 2 + i)),
                origin: Some("Debian-Security".into()),
                security: Some(i.is_multiple_of(2)),
                ..PendingUpdate::default()
            }
        })
        .collect();
    let sources = vec![SourceState::known("/var/lib/apt/lists", pending.len())];
    Updates { pending, security_known: true, sources, ..Updates::default() }
}

fn update_settings() -> UpdateSettings {
    UpdateSettings { automatic: Some("install".into()), ..UpdateSettings::default() }
}

fn restart(number: u64) -> Restart {
    Restart { pending: Some(number.is_multiple_of(9)), ..Restart::default() }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_hosts_share_a_software_digest_and_titles_overlap() {
        let fleet = Fleet::at("2026-11-23T00:00:00Z".parse().unwrap());
        let records: Vec<_> = (0..60).map(|n| fleet.software(n, 0).unwrap()).collect();
        let digests: BTreeSet<_> = records.iter().map(|r| r.digest).collect();
        assert_eq!(digests.len(), records.len());
        let mut titles = BTreeSet::new();
        let mut rows = 0;
        for record in &records {
            let Collected::Known(software) = record.typed::<Software>() else { panic!("not known") };
            assert_eq!(software.items.len() as u64, COMMON + OWN);
            rows += software.items.len();
            titles.extend(software.items.into_iter().map(|i| (i.name, i.version, i.arch)));
        }
        assert!(titles.len() * 4 < rows, "{} titles in {rows} rows", titles.len());
    }

    #[test]
    fn ten_packages_change_in_a_round() {
        let fleet = Fleet::at("2026-11-23T00:00:00Z".parse().unwrap());
        let items = |rounds| match fleet.software(3, rounds).unwrap().typed::<Software>() {
            Collected::Known(software) => software.items,
            other => panic!("{other:?}"),
        };
        let (before, after) = (items(0), items(1));
        let gone = before.iter().filter(|i| !after.contains(i)).count();
        assert!((8..=10).contains(&gone), "{gone}");
    }
}
