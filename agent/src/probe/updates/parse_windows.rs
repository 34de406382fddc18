//! Pure readers of what Windows says about updates: rows of the update agent, servicing packages, events.

use jiff::Timestamp;
use tenken_shared::fact::updates::{HistoryEntry, PendingUpdate};

use crate::probe::software::parse_windows::kb_number;
use crate::sys::windows_update::{UpdateEntry, UpdateRow, UpdateSelection, UpdateService, hresult};

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
/// Product family of Windows. Many updates of Windows carry only their product, a monthly cumulative one not
/// even that: what carries the family is surely of the system, what lacks it may be.
const WINDOWS: &str = "6964aab4-c5b5-43bd-a17d-ffb4346a8e1d";
const OFFICE: &str = "477b856e-65c4-4473-b621-a8b230bb70d9";
/// Categories of what is surely not of the system itself: definitions, Defender, SQL Server, Exchange,
/// developer tools and runtimes, what an organisation publishes to its own WSUS.
const APPLICATION: [&str; 6] = [
    "e0789628-ce08-4437-be74-2495b842f43b",
    "8c3fcc84-7410-4a95-8b89-a166a0190486",
    "0a4c6c73-8887-4d7f-9cbe-d08fa8fa9d1e",
    "352f9494-d516-4b40-a21a-cd2416098982",
    "48ce8c86-6850-4f68-8e9d-7dc8535ced60",
    "7c40e8c2-01ae-47f5-9af2-6e75a0582518",
];
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

/// The server of a search and how that is known: the search named it, or it is the configured default.
#[must_use]
pub fn server(
    searched: Option<&UpdateSelection>,
    configured: Option<&UpdateService>,
) -> Option<(&'static str, &'static str)> {
    match searched {
        Some(UpdateSelection { selection: 1, .. }) => Some(("wsus", "search")),
        Some(UpdateSelection { selection: 2, .. }) => Some(("windows_update", "search")),
        Some(UpdateSelection { selection: 3, service }) => Some((service_name(service, false), "search")),
        _ => configured.map(|s| (service_name(&s.id, s.managed), "configured")),
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
        () if has(&APPLICATION) && !has(&[WINDOWS]) => "application",
        () => "os",
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
    use crate::probe::fixture::corpus;

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
        assert_eq!(with(&[APPLICATION[1], OTHER[1]], 1), ("application".into(), Some(false)));
        assert_eq!(with(&[APPLICATION[4], WINDOWS], 1).0, "os");
        let rated = UpdateRow { severity: Some("Critical".into()), categories: vec![], ..row() };
        assert_eq!(pending(&rated, None).severity.as_deref(), Some("critical"));
        assert_eq!(pending(&rated, None).security, Some(true));
    }

    #[test]
    fn update_without_the_family_of_windows_may_be_of_the_system() {
        let class = |categories: &[&str]| {
            let categories = categories.iter().map(|c| (*c).to_owned()).collect();
            pending(&UpdateRow { categories, kind: 1, ..row() }, None).class
        };
        let os = Some("os".to_owned());
        assert_eq!(class(&[SECURITY[0]]), os, "the monthly cumulative update, classified only");
        assert_eq!(class(&[SECURITY[0], "f702a48c-919b-45d6-9aef-ca4248d50397"]), os, "with its product");
        assert_eq!(class(&["who-knows"]), os);
        assert_eq!(class(&[]), os);
    }

    /// Rows of a real WSUS, as PowerShell writes them.
    #[test]
    fn listed_updates_of_a_real_server_are_of_the_system() {
        let Some(folder) = corpus("windows-update") else { return };
        let bytes = std::fs::read(folder.join("cnquery/wsus-available-server-2019.json")).unwrap();
        let rows: Vec<serde_json::Value> = serde_json::from_slice(&bytes).unwrap();
        let strings = |value: &serde_json::Value| -> Vec<String> {
            value.as_array().unwrap().iter().map(|v| v.as_str().unwrap().to_owned()).collect()
        };
        let read = rows.iter().map(|row| {
            let row = UpdateRow {
                id: row["UpdateID"].as_str().unwrap().to_owned(),
                title: row["Title"].as_str().unwrap().to_owned(),
                kbs: strings(&row["KBArticleIDs"]),
                severity: row["MsrcSeverity"].as_str().map(str::to_owned),
                categories: strings(&row["CategoryIDs"]),
                kind: 1,
                ..UpdateRow::default()
            };
            let update = pending(&row, None);
            (update.id, update.class.unwrap(), update.security)
        });
        let expected = [
            ("KB4462930", Some(false)),
            ("KB4537759", Some(true)),
            ("KB4538156", Some(false)),
            ("KB4494174", Some(false)),
            ("KB890830", None),
            ("KB4538461", Some(true)),
        ];
        let expected = expected.map(|(id, security)| (id.to_owned(), "os".to_owned(), security));
        assert_eq!(read.collect::<Vec<_>>(), expected);
    }

    /// What a real machine in Japanese had installed and taken off again.
    #[test]
    fn history_of_a_real_machine_leaves_out_what_was_removed() {
        let Some(folder) = corpus("windows-update") else { return };
        let text = std::fs::read_to_string(folder.join("vuls/wua-history-ja.txt")).unwrap();
        let field = |block: &str, name: &str| {
            let line = block.lines().find(|l| l.starts_with(name)).unwrap();
            line.split_once(':').unwrap().1.trim().to_owned()
        };
        let mut installed = std::collections::BTreeMap::new();
        for block in text.split("\n\n").filter(|b| b.contains("Title")) {
            let entry = history_entry(&UpdateEntry {
                title: field(block, "Title"),
                operation: field(block, "Operation").parse().unwrap(),
                result: field(block, "ResultCode").parse().unwrap(),
                ..UpdateEntry::default()
            });
            assert_eq!(entry.result, "succeeded");
            installed.insert(entry.id.unwrap(), entry.operation == "install");
        }
        let kbs: Vec<_> = installed.iter().filter(|(_, there)| **there).map(|(kb, _)| kb.as_str()).collect();
        assert_eq!(kbs, ["KB5021088", "KB5021233"]);
    }

    #[test]
    fn server_is_told_as_searched_or_as_configured() {
        let searched = |selection, service: &str| UpdateSelection { selection, service: service.into() };
        let wsus = UpdateService { id: "x".into(), managed: true };
        let of = |searched| server(Some(&searched), Some(&wsus));
        assert_eq!(of(searched(0, "")), Some(("wsus", "configured")));
        assert_eq!(of(searched(2, "")), Some(("windows_update", "search")));
        assert_eq!(
            of(searched(3, "7971f918-a847-4430-9279-4a52d1efe18d")),
            Some(("microsoft_update", "search"))
        );
        assert_eq!(server(Some(&searched(1, "")), None), Some(("wsus", "search")));
        assert_eq!(server(None, None), None);
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
