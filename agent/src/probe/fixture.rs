//! Fixtures for probe tests: a machine's files copied to a folder of their own, so that a test can set
//! file times and break things.

use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use jiff::Timestamp;
use tenken_shared::fact::FactBody;

use super::{Probe, ProbeConfig};
use crate::sys::Sys;

/// A copied fixture; removed when dropped.
pub struct Fixture {
    dir: tempfile::TempDir,
    as_of: Timestamp,
}

impl Fixture {
    /// A folder with an empty `etc` and `usr/bin`, judged as of 2026-11-23.
    pub fn empty() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("etc")).unwrap();
        std::fs::create_dir_all(dir.path().join("usr/bin")).unwrap();
        Self { dir, as_of: "2026-11-23T00:00:00Z".parse().unwrap() }
    }

    /// A copy of `agent/fixtures/<name>`.
    pub fn of(name: &str) -> Self {
        let fixture = Self::empty();
        copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name), fixture.dir.path());
        fixture
    }

    /// Path of a file of the machine.
    pub fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path.trim_start_matches('/'))
    }

    /// Writes a file, with the folders above it.
    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) -> &Self {
        let path = self.path(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
        self
    }

    /// Makes a folder.
    pub fn folder(&self, path: &str) -> &Self {
        std::fs::create_dir_all(self.path(path)).unwrap();
        self
    }

    /// Makes a symbolic link.
    #[cfg(unix)]
    pub fn link(&self, path: &str, target: &str) -> &Self {
        let path = self.path(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(target, path).unwrap();
        self
    }

    /// Sets the time of a file, or of every file below a folder.
    pub fn touch(&self, path: &str, at: &str) -> &Self {
        let at: Timestamp = at.parse().unwrap();
        set_times(&self.path(path), UNIX_EPOCH + Duration::from_secs(at.as_second() as u64));
        self
    }

    /// The machine.
    pub fn sys(&self) -> Sys {
        Sys::at_root(self.dir.path(), Some(self.as_of)).unwrap()
    }

    /// Runs a probe and gives the fact of type `T`, whatever its state.
    pub fn collect<T: FactBody>(
        &self,
        probe: &Probe,
        config: &ProbeConfig,
    ) -> tenken_shared::collected::Collected<T> {
        let given = (probe.collect)(&self.sys(), config);
        let kinds: Vec<_> = given.iter().map(|c| c.kind).collect();
        assert_eq!(kinds, probe.kinds, "each kind exactly once");
        given.iter().find(|c| c.kind == T::KIND).unwrap().record.typed::<T>()
    }
}

/// The body of a known or partial fact.
pub fn body<T: Clone + std::fmt::Debug>(collected: tenken_shared::collected::Collected<T>) -> T {
    collected.value().cloned().unwrap_or_else(|| panic!("{:?}", collected.reason()))
}

/// Folder of the outside corpus, or `None` with a line that says so.
pub fn corpus(kind: &str) -> Option<PathBuf> {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus");
    let folder = std::env::var_os("TENKEN_CORPUS").map_or(default, PathBuf::from).join(kind);
    if folder.is_dir() {
        return Some(folder);
    }
    skip::skip(format_args!("no outside corpus for {kind}"));
    None
}

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            std::fs::create_dir_all(&target).unwrap();
            copy(&entry.path(), &target);
        } else if kind.is_symlink() {
            #[cfg(unix)]
            std::os::unix::fs::symlink(std::fs::read_link(entry.path()).unwrap(), target).unwrap();
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn set_times(path: &Path, at: std::time::SystemTime) {
    if path.is_symlink() {
        return;
    }
    if path.is_dir() {
        for entry in std::fs::read_dir(path).unwrap() {
            set_times(&entry.unwrap().path(), at);
        }
    }
    open_for_times(path).unwrap().set_modified(at).unwrap();
}

#[cfg(unix)]
fn open_for_times(path: &Path) -> std::io::Result<std::fs::File> {
    std::fs::File::open(path)
}

/// Windows sets times through a handle that may write, and opens folders only for who says so.
#[cfg(windows)]
fn open_for_times(path: &Path) -> std::io::Result<std::fs::File> {
    use std::os::windows::fs::OpenOptionsExt as _;
    const FILE_FLAG_BACKUP_SEMANTICS: u32 = 0x0200_0000;
    std::fs::File::options().write(true).custom_flags(FILE_FLAG_BACKUP_SEMANTICS).open(path)
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use super::super::*;
    use super::Fixture;

    /// Every fixture of these probes, collected whole: a changed body shows as a changed snapshot.
    #[test]
    fn fixtures_give_the_recorded_facts() {
        let cases: [(&Probe, &str); 9] = [
            (&accounts::PROBE, "accounts/linux-debian12"),
            (&autorun::PROBE, "autorun/linux-gnome"),
            (&backups::PROBE, "backups/linux-restic-borg"),
            (&credential_policy::PROBE, "credential_policy/linux-debian12"),
            (&firewall::PROBE, "firewall/linux-ufw"),
            (&malware_protection::PROBE, "malware_protection/linux-clamav"),
            (&removable_devices::PROBE, "removable_devices/linux-kern-log"),
            (&removable_policy::PROBE, "removable_policy/linux-usbguard"),
            (&services::PROBE, "services/linux-debian12"),
        ];
        for (probe, name) in cases {
            let fixture = Fixture::of(name);
            fixture.touch("", "2026-11-22T12:00:00Z");
            let records: Vec<_> = (probe.collect)(&fixture.sys(), &ProbeConfig::default())
                .into_iter()
                .map(|given| given.record.content)
                .collect();
            // A crate of the build may let JSON maps keep their order of insertion.
            insta::with_settings!({sort_maps => true}, {
                insta::assert_json_snapshot!(name.replace('/', "-"), records);
            });
        }
    }

    #[test]
    fn a_folder_without_programs_is_never_known() {
        let fixture = Fixture::of("accounts/linux-debian12");
        std::fs::remove_dir_all(fixture.path("usr")).unwrap();
        for probe in registry::ALL.iter().filter(|p| PROBES.contains(&p.name)) {
            for given in (probe.collect)(&fixture.sys(), &ProbeConfig::default()) {
                let status = given.record.content.status;
                assert_ne!(status, tenken_shared::collected::Status::Known, "{}", given.kind);
            }
        }
    }

    const PROBES: [&str; 9] = [
        "accounts",
        "autorun",
        "backups",
        "credential_policy",
        "firewall",
        "malware_protection",
        "removable_devices",
        "removable_policy",
        "services",
    ];

    #[test]
    fn files_of_any_bytes_never_panic() {
        let cases = [
            "etc/passwd",
            "etc/shadow",
            "etc/group",
            "etc/sudoers",
            "etc/nsswitch.conf",
            "etc/pam.d/login",
            "etc/login.defs",
            "etc/dconf/profile/user",
            "etc/ufw/ufw.conf",
            "etc/usbguard/usbguard-daemon.conf",
            "etc/modprobe.d/x.conf",
            "etc/crontab",
            "etc/rsnapshot.conf",
            "etc/timeshift/timeshift.json",
            "etc/systemd/system/x.service",
            "var/log/kern.log",
            "var/log/wtmp",
            "var/log/lastlog",
            "var/lib/clamav/daily.cvd",
            "usr/share/xsessions/gnome.desktop",
        ];
        let probes: [&Probe; 9] = [
            &accounts::PROBE,
            &autorun::PROBE,
            &backups::PROBE,
            &credential_policy::PROBE,
            &firewall::PROBE,
            &malware_protection::PROBE,
            &removable_devices::PROBE,
            &removable_policy::PROBE,
            &services::PROBE,
        ];
        for bytes in
            [&b"\xff\xfe\0\0\xf0"[..], "=:[]{}()\"'\\\n\u{1f4be}:::,,,\n[".as_bytes(), &[b':'; 5_000]]
        {
            let fixture = Fixture::empty();
            for case in cases {
                fixture.write(case, bytes);
            }
            for probe in probes {
                let given = (probe.collect)(&fixture.sys(), &ProbeConfig::default());
                assert_eq!(given.len(), probe.kinds.len(), "{}", probe.name);
            }
        }
    }
}
