//! Installed software: every package database of the machine, each its own source.

mod linux;
mod macos;
pub mod parse_flatpak;
pub mod parse_snap;
pub mod parse_windows;
mod windows;

pub(crate) use windows::update_entries as windows_update_entries;

use tenken_shared::collected::SourceState;
use tenken_shared::fact::FactKind;
use tenken_shared::fact::software::{Software, SoftwareItem};
use tenken_shared::text::Text;

use super::package::settle;
use super::{Collection, Probe, ProbeConfig};
use crate::sys::{Family, Sys};

/// The probe.
pub static PROBE: Probe = Probe {
    name: "software",
    kinds: &[FactKind::Software],
    what: Text::new(
        "インストール済みソフトウェアの名称・バージョン・提供元・導入日時(各パッケージ管理システムのデータベースから)",
        "Name, version, vendor and install time of installed software, from the databases of the package managers",
    ),
    why: Text::new(
        "ソフトウェア資産の台帳を作り、サポート切れや脆弱なバージョンを見つけるため",
        "To keep the software ledger and find titles that are out of support or vulnerable",
    ),
    watch,
    collect,
};

fn watch(family: Family) -> &'static [&'static str] {
    match family {
        Family::Linux => linux::WATCH,
        Family::Windows => windows::WATCH,
        Family::Macos => &[],
    }
}

fn collect(sys: &Sys, _: &ProbeConfig) -> Vec<Collection> {
    vec![match sys.family() {
        Family::Linux => linux::collect(sys),
        Family::Windows => windows::collect(sys),
        Family::Macos => macos::collect(sys),
    }]
}

/// What one database gave.
type Part = (Vec<SoftwareItem>, SourceState);

/// Puts the databases together: sorted, entries that say the same once.
fn assemble(sys: &Sys, parts: Vec<Part>) -> Collection {
    let mut body = Software::default();
    for (items, source) in parts {
        body.items.extend(items);
        body.sources.push(source);
    }
    body.items.sort_unstable_by(|a, b| key(a).cmp(&key(b)));
    body.items.dedup();
    let sources = body.sources.clone();
    let line = settle::source_line(&sources);
    Collection::of(settle::by_sources(body, &sources, "no_package_database"), line, sys.now())
}

fn key(item: &SoftwareItem) -> (&str, &str, Option<&str>, &str, Option<&str>) {
    (&item.source, &item.name, item.arch.as_deref(), &item.version, item.user.as_deref())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tenken_shared::collected::{Collected, Status};

    use super::*;

    fn at(root: &Path) -> Collected<Software> {
        let sys = Sys::at_root(root, None).unwrap();
        collect(&sys, &ProbeConfig::default()).remove(0).record.typed()
    }

    fn fixture(case: &str) -> Collected<Software> {
        at(&Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/software").join(case))
    }

    fn machine(files: &[(&str, &[u8])]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("etc")).unwrap();
        for (path, bytes) in files {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
        dir
    }

    #[test]
    fn accounts_that_cannot_be_read_leave_a_gap_of_their_flatpaks() {
        let dir =
            machine(&[("var/lib/dpkg/status", b"Package: a\nStatus: install ok installed\nVersion: 1\n\n")]);
        assert_eq!(at(dir.path()).status(), Status::Known);
        std::fs::create_dir(dir.path().join("etc/passwd")).unwrap();
        let found = at(dir.path());
        assert_eq!(found.status(), Status::Partial, "{:?}", found.reason());
        assert_eq!(found.reason().unwrap().detail.as_deref(), Some("flatpak:user"));
    }

    #[test]
    fn debian_packages_that_are_installed() {
        let found = fixture("linux-debian");
        assert_eq!(found.status(), Status::Known);
        let names: Vec<_> = found.value().unwrap().items.iter().map(|i| i.name.as_str()).collect();
        assert_eq!(names, ["adduser", "bash", "libc6", "linux-libc-dev", "openssl", "tzdata", "zstd"]);
        let libc = &found.value().unwrap().items[2];
        assert_eq!(libc.source_package.as_deref(), Some("glibc"));
        assert!(libc.vendor.as_deref().unwrap().starts_with("GNU Libc Maintainers"));
        assert_eq!((libc.source.as_str(), libc.scope.as_str()), ("deb", "machine"));
    }

    #[test]
    fn rpm_packages_with_epoch_and_install_time() {
        let found = fixture("linux-rpm-sqlite");
        let items = &found.value().unwrap().items;
        assert_eq!(items.len(), 2);
        assert_eq!((items[0].name.as_str(), items[0].version.as_str()), ("tenken-demo", "1:1.2-3"));
        assert_eq!(items[0].vendor.as_deref(), Some("Example Works"));
        assert!(items[0].installed_at.is_some());
        assert_eq!(items[1].source_package.as_deref(), Some("tenken-demo"));
    }

    #[test]
    fn several_databases_are_all_read_and_a_damaged_one_is_a_gap() {
        let apk = b"P:musl\nV:1.2.5-r0\nA:x86_64\n".as_slice();
        let dir = machine(&[
            ("lib/apk/db/installed", apk),
            ("var/lib/pacman/local/gawk-5-1/desc", b"%NAME%\ngawk\n\n%VERSION%\n5-1\n"),
            (
                "usr/lib/opkg/status",
                b"Package: ubus\nVersion: 1\nStatus: install user installed\nInstalled-Time: 1700000000\n",
            ),
            ("var/lib/snapd/state.json", br#"{"data":{"snaps":{"core":{"current":"7"}}}}"#),
            ("snap/core/7/meta/snap.yaml", b"name: core\nversion: '16'\n"),
        ]);
        let found = at(dir.path());
        assert_eq!(found.status(), Status::Known);
        let sources: Vec<_> = found.value().unwrap().items.iter().map(|i| i.source.as_str()).collect();
        assert_eq!(sources, ["apk", "opkg", "pacman", "snap"]);

        std::fs::create_dir_all(dir.path().join("var/lib/rpm")).unwrap();
        std::fs::write(dir.path().join("var/lib/rpm/Packages"), vec![0xA5; 4096]).unwrap();
        let found = at(dir.path());
        assert_eq!(found.status(), Status::Partial);
        assert_eq!(found.reason().unwrap().code, "malformed");
        assert_eq!(found.value().unwrap().items.len(), 4);
    }

    #[test]
    fn only_damaged_databases_are_failed_and_none_is_absent() {
        let dir = machine(&[("var/lib/dpkg/status", b"\xff\xfe\x00")]);
        assert_eq!(at(dir.path()).status(), Status::Failed);
        assert_eq!(at(machine(&[]).path()).status(), Status::Absent);
    }

    #[test]
    fn snap_without_its_mount_keeps_its_revision_and_says_so() {
        let dir = machine(&[("var/lib/snapd/state.json", br#"{"data":{"snaps":{"core":{"current":"7"}}}}"#)]);
        let found = at(dir.path());
        assert_eq!(
            (found.status(), found.reason().unwrap().code.as_str()),
            (Status::Partial, "version_not_readable")
        );
        assert_eq!(found.value().unwrap().items[0].version, "r7");
    }

    #[test]
    fn flatpaks_of_the_machine_and_of_people() {
        let dir = machine(&[
            ("etc/passwd", b"a:x:1000:1000::/home/a:/bin/sh\n"),
            ("var/lib/flatpak/runtime/org.x.Platform/x86_64/23.08/active/metadata", b""),
            (
                "home/a/.local/share/flatpak/app/org.x.App/x86_64/stable/active/deploy",
                b"appdata-version\0\x32.1\0\0s",
            ),
        ]);
        let found = at(dir.path());
        let items = &found.value().unwrap().items;
        assert_eq!((items[0].name.as_str(), items[0].version.as_str()), ("org.x.App", "2.1"));
        assert_eq!((items[0].scope.as_str(), items[0].user.as_deref()), ("user", Some("a")));
        assert_eq!((items[1].version.as_str(), items[1].scope.as_str()), ("23.08", "machine"));
    }

    #[test]
    fn live_machine_is_sorted_and_plausible() {
        let found: Collected<Software> =
            collect(&Sys::live(), &ProbeConfig::default()).remove(0).record.typed();
        if let Some(body) = found.value() {
            #[cfg(windows)]
            if body.items.is_empty() && tenken_service::under_wine() {
                return skip::skip("a new Wine has no programs");
            }
            assert!(!body.items.is_empty());
            assert!(body.items.windows(2).all(|w| key(&w[0]) <= key(&w[1])));
        } else {
            assert_ne!(found.status(), Status::Known);
        }
    }
}
