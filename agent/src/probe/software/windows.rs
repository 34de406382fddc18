//! Software of Windows: uninstall entries of the machine (both views) and of every user, Windows Installer
//! products, AppX packages, Office Click-to-Run, browsers.
//!
//! Source: the registry, live or from hives; runs no command. Users who are logged off are read from their
//! `NTUSER.DAT`; a hive that cannot be read makes the fact `partial`.
//! Privilege: other users' hives and the per-user lists of packages need an administrator.
//!
//! `source` says where a title was found: `uninstall`, `msi`, `appx`, `click_to_run`, `browser`, and
//! `component` for what Windows hides from its own list (`SystemComponent`). Updates among the entries are no
//! software; [`update_entries`] gives them to the history.

mod appx;
mod browser;
mod msi;
mod office;
mod uninstall;

use jiff::tz::TimeZone;
use tenken_shared::collected::{Reason, SourceState};
use tenken_shared::fact::software::SoftwareItem;

use super::{Part, assemble, parse_windows};
use crate::probe::Collection;
use crate::probe::package::settle;
use crate::sys::{RegistryKey, Sys, SysError, UserHive};

pub(crate) use uninstall::update_entries;

/// Most entries of one place.
const MAX_ENTRIES: usize = 20_000;
/// Longest text of a field, characters.
const MAX_TEXT: usize = 1_024;
const ENVIRONMENT: &str = "HKLM\\SYSTEM\\CurrentControlSet\\Control\\Session Manager\\Environment";

/// What is watched.
pub(super) const WATCH: &[&str] = &[
    r"HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Uninstall",
    r"HKLM\SOFTWARE\WOW6432Node\Microsoft\Windows\CurrentVersion\Uninstall",
    r"HKU\*\Software\Microsoft\Windows\CurrentVersion\Uninstall",
];

/// What every reader is handed.
struct Context<'a> {
    sys: &'a Sys,
    /// Zone that dates without one are read in; UTC where the machine's is not known.
    zone: TimeZone,
    /// Architecture of the 64-bit view, or of the only one.
    native: Option<&'static str>,
    users: Vec<UserHive>,
}

pub fn collect(sys: &Sys) -> Collection {
    assemble(sys, parts(sys))
}

fn parts(sys: &Sys) -> Vec<Part> {
    let (users, mut parts) = match sys.user_hives() {
        Ok(users) => (users, vec![]),
        Err(error) => (vec![], vec![(vec![], settle::gap("users", &error))]),
    };
    let zone = sys.time_zone().unwrap_or(TimeZone::UTC);
    let context = Context { sys, zone, native: native(sys), users };
    parts.extend(uninstall::collect(&context));
    parts.extend(msi::collect(&context));
    parts.extend(appx::collect(&context));
    parts.push(office::collect(&context));
    parts.extend(browser::collect(&context));
    settle_duplicates(parts)
}

fn native(sys: &Sys) -> Option<&'static str> {
    let key = sys.registry(ENVIRONMENT).ok().flatten()?;
    parse_windows::arch(&key.string("PROCESSOR_ARCHITECTURE").ok().flatten()?)
}

/// A part of items read under one key, or why it was not.
fn part(source: &str, read: Result<Option<Read>, SysError>) -> Part {
    match read {
        Ok(Some(read)) => read.into_part(source),
        Ok(None) => (vec![], settle::gap(source, &SysError::Absent { what: source.into() })),
        Err(error) => (vec![], settle::gap(source, &error)),
    }
}

/// What one place gave: items, and the entries that could not be read.
#[derive(Default)]
struct Read {
    items: Vec<SoftwareItem>,
    damaged: Option<SysError>,
    outdated: bool,
    truncated: bool,
}

impl Read {
    fn into_part(self, source: &str) -> Part {
        let count = self.items.len();
        let mut state = match &self.damaged {
            Some(error) => settle::partial(source, count, error.reason()),
            None if self.outdated => settle::partial(source, count, Reason::with("hive_outdated", source)),
            None => SourceState::known(source, count),
        };
        state.truncated = self.truncated;
        (self.items, state)
    }
}

/// Reads each subkey of `key` with `entry`; one that cannot be read is remembered, the others are read on.
fn each(
    key: &RegistryKey,
    mut entry: impl FnMut(&str, &RegistryKey) -> Result<Option<SoftwareItem>, SysError>,
) -> Result<Read, SysError> {
    let mut read = Read { outdated: key.is_outdated(), ..Read::default() };
    let names = key.subkeys()?;
    read.truncated = names.len() > MAX_ENTRIES;
    for name in names.iter().take(MAX_ENTRIES) {
        match key.open(name).and_then(|found| found.map_or(Ok(None), |found| entry(name, &found))) {
            Ok(item) => read.items.extend(item),
            Err(error) => read.damaged = Some(error),
        }
    }
    Ok(read)
}

/// A text value, trimmed and capped; a value of another type is none.
fn text(key: &RegistryKey, name: &str) -> Result<Option<String>, SysError> {
    match key.string(name) {
        Ok(found) => Ok(found.map(|t| capped(&t)).filter(|t| !t.is_empty())),
        Err(SysError::Failed { reason, .. }) if reason == "malformed" => Ok(None),
        Err(error) => Err(error),
    }
}

fn capped(text: &str) -> String {
    text.trim().chars().filter(|c| !c.is_control()).take(MAX_TEXT).collect()
}

fn item(source: &str, name: String, version: String) -> SoftwareItem {
    SoftwareItem {
        name,
        version,
        source: source.to_owned(),
        scope: "machine".to_owned(),
        ..SoftwareItem::default()
    }
}

/// The same item, of one user.
fn of_user(item: SoftwareItem, user: &UserHive) -> SoftwareItem {
    let name = user.user.clone().unwrap_or_else(|| user.sid.clone());
    SoftwareItem { scope: "user".to_owned(), user: Some(name), ..item }
}

/// One title seen in several places is one item: a Windows Installer product is told by its product code in
/// [`msi`]; what remains here is a browser's own record beside its uninstall entry.
fn settle_duplicates(mut parts: Vec<Part>) -> Vec<Part> {
    let listed: Vec<(String, String, Option<String>)> = parts
        .iter()
        .flat_map(|(items, _)| items)
        .filter(|i| matches!(i.source.as_str(), "uninstall" | "msi"))
        .map(|i| (i.name.to_lowercase(), i.version.clone(), i.user.clone()))
        .collect();
    for (items, _) in &mut parts {
        items.retain(|item| {
            let name = item.name.to_lowercase();
            let same = |(n, v, u): &(String, String, Option<String>)| {
                n.starts_with(&name) && (*v == item.version || n.contains(&item.version)) && *u == item.user
            };
            item.source != "browser" || !listed.iter().any(same)
        });
    }
    parts
}

#[cfg(test)]
mod tests {
    use tenken_shared::collected::{Collected, Status};
    use tenken_shared::fact::software::Software;

    use crate::probe::ProbeConfig;
    use crate::probe::fixture::{Fixture, body, corpus};
    use crate::probe::software::PROBE;
    use crate::probe::winhive::Machine;

    fn read(fixture: &Fixture) -> Collected<Software> {
        fixture.collect(&PROBE, &ProbeConfig::default())
    }

    /// `source name version scope` of every item.
    fn lines(software: &Software) -> Vec<String> {
        let line = |i: &super::SoftwareItem| {
            let of = i.user.as_deref().unwrap_or(&i.scope);
            format!("{} | {} | {} | {of}", i.source, i.name, i.version)
        };
        software.items.iter().map(line).collect()
    }

    /// The uninstall entries of a real server, as PowerShell writes them.
    #[test]
    fn uninstall_entries_of_a_real_server_are_all_listed() {
        let Some(folder) = corpus("windows-programs") else { return };
        let bytes = std::fs::read(folder.join("cnquery/windows_packages.json")).unwrap();
        let rows: Vec<serde_json::Value> = serde_json::from_slice(&bytes).unwrap();
        let mut machine = Machine::new();
        let mut expected = vec![];
        for (number, row) in rows.iter().enumerate() {
            let key = format!(r"Microsoft\Windows\CurrentVersion\Uninstall\{number}");
            machine.software(&key, "Language", 1041u32);
            for name in ["DisplayName", "DisplayVersion", "Publisher", "UninstallString"] {
                if let Some(text) = row[name].as_str() {
                    machine.software(&key, name, text);
                }
            }
            if let Some(name) = row["DisplayName"].as_str() {
                expected.push((name.to_owned(), row["DisplayVersion"].as_str().unwrap().to_owned()));
            }
        }
        let found: Collected<Software> = machine.collect(&PROBE, &ProbeConfig::default());
        let items = &found.value().unwrap().items;
        let mut listed: Vec<_> = items.iter().map(|i| (i.name.clone(), i.version.clone())).collect();
        listed.sort();
        expected.sort();
        assert_eq!(listed, expected);
    }

    #[test]
    fn titles_of_every_place_are_listed_once_and_updates_are_none() {
        let found = read(&Fixture::of("software/windows-11-ja"));
        assert_eq!(found.status(), Status::Known, "{:?}", found.reason());
        assert_eq!(
            lines(found.value().unwrap()),
            [
                "appx | Example.Notes | 1.2.3.4 | 山田\u{3000}太郎",
                "appx | Microsoft.WindowsCalculator | 11.2405.2.0 | machine",
                "browser | Microsoft Edge | 142.0.3595.53 | machine",
                "browser | Mozilla Firefox | 145.0 | machine",
                "click_to_run | O365BusinessRetail | 16.0.19328.20190 | machine",
                "click_to_run | VisioProRetail | 16.0.19328.20190 | machine",
                "component | Microsoft Visual C++ 2022 X64 Minimum Runtime - 14.40.33810 | 14.40.33810 | machine",
                "msi | 勘定奉行\u{3000}クライアント | 5.10 | machine",
                "msi | 隠れた製品 | 1.0 | machine",
                "uninstall | 7-Zip 24.08 (x64) | 24.08 | machine",
                "uninstall | Google Chrome | 142.0.7444.60 | machine",
                "uninstall | Zoom Workplace | 6.2.11 | 山田\u{3000}太郎",
                "uninstall | 一太郎2024 | 34.0.1 | machine",
            ]
        );
    }

    #[test]
    fn architecture_vendor_date_and_channel_are_read() {
        let software = body(read(&Fixture::of("software/windows-11-ja")));
        let of = |name: &str| software.items.iter().find(|i| i.name.starts_with(name)).unwrap();
        let msi = of("勘定奉行");
        assert_eq!(
            (msi.arch.as_deref(), msi.vendor.as_deref()),
            (Some("x86_64"), Some("株式会社オービック"))
        );
        assert!(msi.installed_at.is_some_and(|t| t.to_string().starts_with("2024-01-0")));
        assert_eq!(of("一太郎").arch.as_deref(), Some("x86"));
        assert!(of("Zoom").installed_at.is_some_and(|t| t.to_string().starts_with("2024-12-2")));
        assert_eq!(of("O365").source_package.as_deref(), Some("channel:Current"));
        assert_eq!(of("Mozilla").arch.as_deref(), Some("x86_64"));
    }

    #[test]
    fn a_product_whose_entry_tells_nothing_is_listed_by_the_installer() {
        let mut machine = Machine::new();
        let uninstall = r"Microsoft\Windows\CurrentVersion\Uninstall";
        let code = |n: u32| format!("{{0000000{n}-0000-0000-0000-000000000000}}");
        machine.software(&format!("{uninstall}\\{}", code(1)), "UninstallString", "msiexec /x");
        for (n, name, value) in [
            (2, "DisplayName", "会計　部品"),
            (2, "ParentKeyName", "Suite"),
            (3, "DisplayName", "Told by its entry"),
            (4, "DisplayName", "Update for Suite (KB4011000)"),
            (4, "ReleaseType", "Security Update"),
        ] {
            machine.software(&format!("{uninstall}\\{}", code(n)), name, value);
        }
        let products = r"Microsoft\Windows\CurrentVersion\Installer\UserData\S-1-5-18\Products";
        for (n, name) in [(1, "Nameless 1.0"), (2, "会計　部品"), (3, "Told by its entry"), (4, "Update")]
        {
            let packed = format!("{n}0000000{}", "0".repeat(24));
            machine.software(&format!(r"{products}\{packed}\InstallProperties"), "DisplayName", name);
        }
        machine.software(r"Microsoft\Windows NT\CurrentVersion\ProfileList", "Default", "x");
        let found: Collected<Software> = machine.collect(&PROBE, &ProbeConfig::default());
        let mut found = lines(found.value().unwrap());
        found.retain(|line| !line.starts_with("browser"));
        assert_eq!(
            found,
            [
                "msi | Nameless 1.0 |  | machine",
                "msi | 会計　部品 |  | machine",
                "uninstall | Told by its entry |  | machine"
            ]
        );
    }

    #[test]
    fn an_entry_of_a_removed_profile_leaves_the_list_whole() {
        let fixture = Fixture::of("software/windows-11-ja");
        let before = read(&fixture);
        std::fs::remove_dir_all(fixture.path("/Users/山田\u{3000}太郎")).unwrap();
        let after = read(&fixture);
        assert_eq!((before.status(), after.status()), (Status::Known, Status::Known), "{:?}", after.reason());
        assert!(!lines(after.value().unwrap()).iter().any(|line| line.contains("Zoom")));
        fixture.folder("/Users/山田\u{3000}太郎");
        assert_eq!(read(&fixture).reason().unwrap().code, "hive_missing");
    }

    #[test]
    fn dates_of_the_japanese_era_calendar_are_never_taken_for_others() {
        let user = "経理　花子";
        let hive = format!("Users/{user}/NTUSER.DAT");
        let sid = r"Microsoft\Windows NT\CurrentVersion\ProfileList\S-1-5-21-1-2-3-1001";
        let mut machine = Machine::new();
        machine.software(sid, "ProfileImagePath", format!(r"C:\Users\{user}").as_str());
        for (name, value) in
            [("iCalendarType", "3"), ("sShortDate", "gg y/M/d"), ("sLongDate", "gggy'年'M'月'd'日'")]
        {
            machine.put(&hive, r"Control Panel\International", name, value.into());
        }
        // What installers write that print a date in the user's form; the last two mean one day in any calendar.
        let dates = [
            "令和6年1月5日",
            "令和 6/1/5",
            "令和元年5月1日",
            "R6/1/5",
            "R06.01.05",
            "6/1/5",
            "06/01/05",
            "060105",
            "00060105",
            "0006/01/05",
            "1/25/0006",
            "平成31年4月30日",
            "昭和 64/1/7",
            "20240105",
            "2024/01/05",
        ];
        for (i, date) in dates.iter().enumerate() {
            let key = format!(r"Software\Microsoft\Windows\CurrentVersion\Uninstall\app{i:02}");
            machine.put(&hive, &key, "DisplayName", format!("会計{i:02}").as_str().into());
            machine.put(&hive, &key, "InstallDate", (*date).into());
        }
        let found: Collected<Software> = machine.collect(&PROBE, &ProbeConfig::default());
        let items = &found.value().unwrap().items;
        let own: Vec<_> = items.iter().filter(|i| i.user.as_deref() == Some(user)).collect();
        assert_eq!(own.len(), dates.len(), "{own:?}");
        let fifth = "2024-01-05T00:00:00Z".parse().ok();
        for (item, text) in own.iter().zip(dates) {
            let wanted = if text.starts_with("20") { fifth } else { None };
            assert_eq!(item.installed_at, wanted, "{text}");
        }
    }

    #[test]
    fn hive_of_a_user_that_cannot_be_read_makes_the_list_partial() {
        let fixture = Fixture::of("software/windows-11-ja");
        fixture.write("/Users/山田\u{3000}太郎/NTUSER.DAT", b"no hive");
        let found = read(&fixture);
        assert_eq!(found.status(), Status::Partial);
        assert!(lines(found.value().unwrap()).iter().any(|l| l.starts_with("uninstall | 7-Zip")));
        assert!(found.value().unwrap().sources.iter().any(|s| s.is_gap() && s.source.contains("HKU")));
    }

    #[test]
    fn folder_without_a_software_hive_is_no_empty_list() {
        let fixture = Fixture::empty();
        fixture.folder("/Windows/System32/config");
        let found = read(&fixture);
        assert!(found.value().is_none(), "{found:?}");
    }

    #[test]
    fn programs_of_a_real_user_hive() {
        let Some(folder) = corpus("windows-registry-hive") else { return };
        let packed = std::fs::read(folder.join("regipy/NTUSER_with_winscp.DAT.xz")).unwrap();
        let mut hive = vec![];
        lzma_rs::xz_decompress(&mut packed.as_slice(), &mut hive).unwrap();
        let fixture = Fixture::of("software/windows-11-ja");
        fixture.write("/Users/山田\u{3000}太郎/NTUSER.DAT", hive);
        let software = body(read(&fixture));
        let own: Vec<_> = software
            .items
            .iter()
            .filter(|i| i.scope == "user" && matches!(i.source.as_str(), "uninstall" | "msi" | "component"))
            .collect();
        assert_eq!(own.len(), 4, "{own:?}");
        let zoom = own.iter().find(|i| i.name == "Zoom").unwrap();
        assert_eq!(zoom.version, "5.9.3 (3169)");
        assert_eq!(zoom.vendor.as_deref(), Some("Zoom Video Communications, Inc."));
    }
}
