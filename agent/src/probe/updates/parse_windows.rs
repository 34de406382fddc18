//! Pure readers of what Windows says about updates: rows of the update agent, servicing packages, events.

use jiff::Timestamp;
use tenken_shared::fact::updates::{HistoryEntry, PendingUpdate};

use crate::probe::software::parse_windows::kb_number;
use crate::sys::windows_update::{UpdateEntry, UpdateRow, hresult};

/// Classifications that carry security fixes: security updates, critical updates.
const SECURITY: [&str; 2] = ["0fa1201d-4330-4fa8-8ae9-b877473b6441", "e6cf1350-c01b-414d-a61f-263d14d133b4"];
/// Classifications that do not: updates, definitions, drivers, feature packs, tools, upgrades.
const OTHER: [&str; 6] = [
    "cd5ffd1e-e932-4e3a-bf74-18bf0b1bbd83",
    "e0789628-ce08-4437-be74-2495b842f43b",
    "ebfc1fc5-71a4-4f7b-9aca-3b9a503104a0",
    "b54e7d24-7add-428f-8b75-90a396fa584f",
    "b4832bd8-e735-4761-8daf-37f882276dab",
    "3689bdc8-b205-4af4-8d4a-a63924c5e9d5",
];
const WINDOWS: &str = "6964aab4-c5b5-43bd-a17d-ffb4346a8e1d";
const OFFICE: &str = "477b856e-65c4-4473-b621-a8b230bb70d9";
/// `UpdateType` of drivers.
const DRIVER: i32 = 2;

/// Word for the service that answered, from its id.
#[must_use]
pub fn service_name(id: &str, managed: bool) -> &'static str {
    match id {
        _ if managed => "wsus",
        "3da21691-e39d-4da6-8a4b-b43877bcb1b7" => "wsus",
        "9482f4b4-e343-43b6-b170-9a65bc822c77" => "windows_update",
        "7971f918-a847-4430-9279-4a52d1efe18d" => "microsoft_update",
        _ => "other",
    }
}

/// One update of a search. `released_at` is when its deployment changed last, which moves with each
/// re-release; the fact says so.
#[must_use]
pub fn pending(row: &UpdateRow, service: Option<&str>) -> PendingUpdate {
    let has = |ids: &[&str]| row.categories.iter().any(|c| ids.contains(&c.as_str()));
    let rated = row.severity.as_deref().map(str::trim).filter(|s| !s.is_empty());
    let security = if has(&SECURITY) || rated.is_some() || !row.cves.is_empty() {
        Some(true)
    } else {
        (has(&OTHER) || row.kind == DRIVER).then_some(false)
    };
    let class = match () {
        () if row.kind == DRIVER => "driver",
        () if has(&[OFFICE]) => "office",
        () if has(&[WINDOWS]) => "os",
        () => "application",
    };
    let kb = row.kbs.first().map(|kb| format!("KB{}", kb.trim_start_matches("KB")));
    PendingUpdate {
        id: kb.unwrap_or_else(|| row.id.clone()),
        title: Some(row.title.clone()),
        package: Some(row.id.clone()),
        candidate: Some(row.revision.to_string()),
        origin: service.map(str::to_owned),
        class: Some(class.to_owned()),
        security,
        severity: rated.map(str::to_ascii_lowercase),
        cves: row.cves.clone(),
        released_at: row.deployed_at,
        release_moves: row.deployed_at.is_some(),
        hidden: row.hidden,
        awaiting_restart: row.installed && row.restart_required,
        ..PendingUpdate::default()
    }
}

/// Word for an `OperationResultCode`.
#[must_use]
pub fn result_word(code: i32) -> &'static str {
    match code {
        0 | 1 => "in_progress",
        2 => "succeeded",
        3 => "succeeded_with_errors",
        5 => "aborted",
        _ => "failed",
    }
}

/// One entry of the update agent's history.
#[must_use]
pub fn history_entry(entry: &UpdateEntry) -> HistoryEntry {
    HistoryEntry {
        id: kb_number(&entry.title),
        package: Some(entry.id.clone()).filter(|id| !id.is_empty()),
        title: Some(entry.title.clone()),
        operation: if entry.operation == 2 { "remove" } else { "install" }.to_owned(),
        result: result_word(entry.result).to_owned(),
        code: (entry.code != 0).then(|| hresult(entry.code)),
        at: entry.at,
        ..HistoryEntry::default()
    }
}

/// One event of the update client: 19 installed, 20 failed, 43 installation started.
#[must_use]
pub fn event_entry(id: u32, at: Timestamp, data: &[(String, String)]) -> Option<HistoryEntry> {
    let value = |name: &str| {
        data.iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| v.trim())
            .filter(|v| !v.is_empty())
    };
    let result = match id {
        19 => "succeeded",
        20 => "failed",
        43 => "in_progress",
        _ => return None,
    };
    let title = value("updateTitle")?;
    let guid = value("updateGuid").map(|g| g.trim_matches(['{', '}']).to_ascii_lowercase());
    Some(HistoryEntry {
        id: kb_number(title),
        package: guid,
        title: Some(title.to_owned()),
        operation: "install".into(),
        result: result.into(),
        code: value("errorCode").map(str::to_ascii_lowercase),
        at: Some(at),
        ..HistoryEntry::default()
    })
}

/// State of a servicing package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PackageState {
    /// In force.
    Installed,
    /// Installed at the next start.
    InstallPending,
    /// Removed at the next start.
    RemovePending,
    /// Only parts of it.
    Partly,
    /// Replaced, staged, or on its way: says nothing about what is in force.
    Other,
}

impl PackageState {
    /// From `CurrentState`.
    #[must_use]
    pub fn of(code: u64) -> Self {
        match code {
            0x70 | 0x80 => Self::Installed,
            0x60 => Self::InstallPending,
            0x05 => Self::RemovePending,
            0x65 => Self::Partly,
            _ => Self::Other,
        }
    }
}

/// The parts of a servicing package's name that matter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageName<'a> {
    /// `RollupFix`, `KB5044284`, `ServicingStack_5120` ...
    pub name: &'a str,
    /// Version (`26100.2314.1.10`).
    pub version: &'a str,
}

impl<'a> PackageName<'a> {
    /// Of an update; the parts of Windows itself, languages and sub-packages are none.
    #[must_use]
    pub fn parse(key: &'a str) -> Option<Self> {
        let mut fields = key.split('~');
        let name = fields.next()?.strip_prefix("Package_for_")?;
        let version = fields.nth(3)?;
        (!name.is_empty() && name.len() <= 200 && version.len() <= 64).then_some(Self { name, version })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> UpdateRow {
        UpdateRow {
            id: "b8ea1a5b-3636-4905-ae4b-d171014df7a6".into(),
            revision: 201,
            title: "2026-11 x64 ベース システム用 Windows 11 の累積更新プログラム (KB5070000)".into(),
            kbs: vec!["5070000".into()],
            categories: vec![SECURITY[0].into(), WINDOWS.into()],
            kind: 1,
            deployed_at: Some("2026-11-10T18:00:00Z".parse().unwrap()),
            ..UpdateRow::default()
        }
    }

    #[test]
    fn listed_update_is_read_whatever_its_language() {
        let update = pending(&row(), Some("wsus"));
        assert_eq!((update.id.as_str(), update.class.as_deref()), ("KB5070000", Some("os")));
        assert_eq!((update.security, update.release_moves), (Some(true), true));
        assert_eq!(update.origin.as_deref(), Some("wsus"));
    }

    #[test]
    fn class_and_security_come_from_categories_never_from_titles() {
        let with = |categories: &[&str], kind| {
            let categories = categories.iter().map(|c| (*c).to_owned()).collect();
            let update = pending(&UpdateRow { categories, kind, ..row() }, None);
            (update.class.unwrap(), update.security)
        };
        assert_eq!(with(&[OTHER[0], WINDOWS], 1), ("os".into(), Some(false)));
        assert_eq!(with(&[OFFICE, SECURITY[1]], 1), ("office".into(), Some(true)));
        assert_eq!(with(&[], DRIVER), ("driver".into(), Some(false)));
        assert_eq!(with(&["who-knows"], 1), ("application".into(), None));
        let rated = UpdateRow { severity: Some("Critical".into()), categories: vec![], ..row() };
        assert_eq!(pending(&rated, None).severity.as_deref(), Some("critical"));
        assert_eq!(pending(&rated, None).security, Some(true));
    }

    #[test]
    fn installed_update_that_waits_for_a_restart_says_so() {
        let waiting = UpdateRow { installed: true, restart_required: true, ..row() };
        assert!(pending(&waiting, None).awaiting_restart);
        let fresh = UpdateRow { restart_required: true, ..row() };
        assert!(!pending(&fresh, None).awaiting_restart);
    }

    #[test]
    fn failed_and_removed_updates_do_not_read_as_installed() {
        let entry = |operation, result, code| {
            let entry = history_entry(&UpdateEntry {
                title: "x (KB5021233)".into(),
                operation,
                result,
                code,
                ..UpdateEntry::default()
            });
            (entry.operation, entry.result, entry.code)
        };
        assert_eq!(entry(1, 2, 0), ("install".into(), "succeeded".into(), None));
        assert_eq!(
            entry(1, 4, -2_147_023_293),
            ("install".into(), "failed".into(), Some("0x80070643".into()))
        );
        assert_eq!(entry(2, 2, 0).0, "remove");
        assert_eq!(entry(1, 99, 0).1, "failed");
    }

    #[test]
    fn events_without_title_and_of_other_kinds_are_none() {
        let at = "2018-03-06T08:00:00Z".parse().unwrap();
        let data = [
            ("updateTitle".to_owned(), "定義の更新 (KB2267602)".to_owned()),
            ("updateGuid".to_owned(), "{ABC}".to_owned()),
            ("errorCode".to_owned(), "0x80240016".to_owned()),
        ];
        let failed = event_entry(20, at, &data).unwrap();
        assert_eq!((failed.result.as_str(), failed.code.as_deref()), ("failed", Some("0x80240016")));
        assert_eq!((failed.id.as_deref(), failed.package.as_deref()), (Some("KB2267602"), Some("abc")));
        assert_eq!(event_entry(44, at, &data), None);
        assert_eq!(event_entry(19, at, &[]), None);
    }

    #[test]
    fn servicing_packages_of_updates_are_told_from_parts_of_windows() {
        let name =
            PackageName::parse("Package_for_RollupFix~31bf3856ad364e35~amd64~~26100.2314.1.10").unwrap();
        assert_eq!((name.name, name.version), ("RollupFix", "26100.2314.1.10"));
        for other in [
            "Microsoft-Windows-Client~31bf~amd64~ja-JP~10.0.1",
            "Package_1_for_KB4~31bf~amd64~~1",
            "Package_for_",
            "~~~~",
            "",
        ] {
            assert_eq!(PackageName::parse(other), None, "{other}");
        }
        assert_eq!(PackageState::of(112), PackageState::Installed);
        assert_eq!(PackageState::of(96), PackageState::InstallPending);
        assert_eq!(PackageState::of(80), PackageState::Other);
    }
}
