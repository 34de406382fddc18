//! Over hives, XML and logs as a Japanese Windows writes them.

use tenken_shared::collected::{Collected, Status};
use tenken_shared::fact::backups::{BackupJob, Backups, BackupsObserved};
use tenken_shared::policy::DeclaredPath;

use super::super::PROBE;
use crate::probe::ProbeConfig;
use crate::probe::fixture::body;
use crate::probe::winhive::{Machine, Put};

const WINDOWS_BACKUP: &str = r"Microsoft\Windows\CurrentVersion\WindowsBackup";
const USER: &str = "山田　太郎";
const SID: &str = "S-1-5-21-1-2-3-1001";
const TASK: &str = "<?xml version=\"1.0\" encoding=\"UTF-16\"?><Task version=\"1.3\" \
xmlns=\"http://schemas.microsoft.com/windows/2004/02/mit/task\"><Triggers><CalendarTrigger>\
<StartBoundary>2026-01-01T21:00:00</StartBoundary></CalendarTrigger></Triggers><Settings/></Task>";

fn ticks(at: &str) -> Vec<u8> {
    let at: jiff::Timestamp = at.parse().unwrap();
    ((at.as_nanosecond() / 100) as u64 + 116_444_736_000_000_000).to_le_bytes().to_vec()
}

fn wide(text: &str) -> Vec<u8> {
    [0xff, 0xfe].into_iter().chain(text.encode_utf16().flat_map(u16::to_le_bytes)).collect()
}

fn hive_of_user() -> String {
    format!("Users/{USER}/NTUSER.DAT")
}

/// A client with one user and its logs.
fn client() -> Machine {
    let mut machine = Machine::new();
    machine.fixture().folder("/Windows/System32/winevt/Logs");
    machine
        .system("Select", "Current", 1)
        .system(r"ControlSet001\Control\ProductOptions", "ProductType", "WinNT")
        .system(r"ControlSet001\Control\ComputerName\ComputerName", "ComputerName", "KEIRI-PC")
        .software(r"Microsoft\Windows NT\CurrentVersion", "SystemRoot", r"C:\Windows")
        .software(
            &format!(r"Microsoft\Windows NT\CurrentVersion\ProfileList\{SID}"),
            "ProfileImagePath",
            format!(r"C:\Users\{USER}").as_str(),
        )
        .put(&hive_of_user(), "Software", "Tenken", Put::Number(1));
    machine
}

fn collect(machine: &Machine) -> Collected<Backups> {
    machine.collect::<Backups>(&PROBE, &ProbeConfig::default())
}

fn job<'a>(backups: &'a Backups, product: &str) -> &'a BackupJob {
    backups.jobs.iter().find(|j| j.product == product).unwrap_or_else(|| panic!("{product} in {backups:?}"))
}

#[test]
fn a_client_without_backups_is_known_to_have_none() {
    let fact = collect(&client());
    assert_eq!(fact.status(), Status::Known, "{:?}", fact.reason());
    let backups = body(fact);
    assert!(backups.jobs.is_empty(), "{:?}", backups.jobs);
    let shadows = backups.sources.iter().find(|s| s.source == "Win32_ShadowCopy").unwrap();
    assert_eq!(shadows.status, Status::Unsupported, "only a running system tells of shadow copies");
}

#[test]
fn a_folder_without_its_logs_or_hives_is_never_known() {
    let machine = client();
    std::fs::remove_dir_all(machine.fixture().path("/Windows/System32/winevt")).unwrap();
    assert_eq!(collect(&machine).reason().unwrap().code, "no_event_logs_in_root");
    let machine = Machine::new();
    machine.fixture().folder("/Windows/System32/winevt/Logs");
    assert_eq!(collect(&machine).reason().unwrap().code, "hive_missing");
    let machine = client();
    std::fs::remove_file(machine.fixture().path(&hive_of_user())).unwrap();
    assert_eq!(collect(&machine).status(), Status::Partial, "a user's settings are missing");
}

#[test]
fn windows_7_backup_tells_its_last_result_and_target() {
    let mut machine = client();
    let status = format!(r"{WINDOWS_BACKUP}\Status");
    machine
        .software(&status, "LastResultTime", ticks("2026-11-22T10:00:00Z"))
        .software(&status, "LastSuccess", ticks("2026-11-15T10:00:00Z"))
        .software(&status, "LastResultTarget", r"\\nas\バックアップ　１\")
        .fixture()
        .write("/Windows/System32/Tasks/Microsoft/Windows/WindowsBackup/AutomaticBackup", wide(TASK));
    let backups = body(collect(&machine));
    let files = job(&backups, "windows_backup");
    assert_eq!(files.last_success, "2026-11-15T10:00:00Z".parse().ok());
    assert_eq!((files.result.as_deref(), files.scheduled), (Some("failed"), Some(true)));
    assert_eq!(files.destination.as_deref(), Some(r"\\nas\バックアップ　１\"));
    assert_eq!((files.destination_class.as_deref(), files.evidence.as_str()), (Some("lan"), "product_log"));
    machine.software(&status, "LastSuccess", ticks("2026-11-22T10:00:00Z"));
    assert_eq!(job(&body(collect(&machine)), "windows_backup").result.as_deref(), Some("succeeded"));
    machine.software(&status, "LastResultSuccess", 0);
    assert_eq!(job(&body(collect(&machine)), "windows_backup").result.as_deref(), Some("failed"));
}

#[test]
fn a_schedule_without_a_run_is_a_job_of_which_nothing_is_known() {
    let mut machine = client();
    machine.system(r"ControlSet001\Control\ProductOptions", "ProductType", "ServerNT");
    let task = "/Windows/System32/Tasks/Microsoft/Windows/Backup/Microsoft-Windows-WindowsBackup";
    machine.fixture().write(task, wide(TASK));
    let backups = body(collect(&machine));
    let server = job(&backups, "windows_server_backup");
    assert_eq!((server.last_success, server.result.clone(), server.scheduled), (None, None, Some(true)));
    machine.fixture().write(task, "<Task>");
    assert_eq!(collect(&machine).reason().unwrap().code, "malformed");
}

const CONFIGURATION: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?><DataProtectionUserConfig><UserName>山田　太郎</UserName>\
<DPFrequency>3600</DPFrequency><DPStatus>ENABLED</DPStatus><Target><TargetName>外付け</TargetName>\
<TargetUrl>E:\\</TargetUrl><TargetDriveType>REMOVABLE</TargetDriveType></Target></DataProtectionUserConfig>";

#[test]
fn file_history_is_read_per_user() {
    let mut machine = client();
    let folder = format!("/Users/{USER}/AppData/Local/Microsoft/Windows/FileHistory/Configuration");
    machine.fixture().write(&format!("{folder}/Config1.xml"), wide(CONFIGURATION));
    let state = r"Software\Microsoft\Windows\CurrentVersion\FileHistory";
    machine.put(&hive_of_user(), state, "ProtectedUpToTime", Put::Bytes(ticks("2026-11-22T21:00:00Z")));
    let backups = body(collect(&machine));
    let history = job(&backups, "file_history");
    assert_eq!(history.name, USER);
    assert_eq!(history.last_success, "2026-11-22T21:00:00Z".parse().ok());
    assert_eq!((history.destination.as_deref(), history.scheduled), (Some(r"E:\"), Some(true)));
    assert_eq!(history.destination_class.as_deref(), Some("attached"));
    let observed = body(machine.collect::<BackupsObserved>(&PROBE, &ProbeConfig::default()));
    assert_eq!(observed.jobs[0].last_attempt, history.last_success);

    machine.software(r"Policies\Microsoft\Windows\FileHistory", "Disabled", 1);
    assert_eq!(job(&body(collect(&machine)), "file_history").scheduled, Some(false));
    machine.put(&hive_of_user(), state, "ProtectedUpToTime", Put::Bytes(ticks("2027-01-01T00:00:00Z")));
    assert_eq!(job(&body(collect(&machine)), "file_history").last_success, None, "a clock ahead");

    machine.fixture().write(&format!("{folder}/Config1.xml"), "\u{0}rubbish");
    assert_eq!(collect(&machine).reason().unwrap().code, "malformed");
    machine.fixture().write(&format!("{folder}/Config2.xml"), CONFIGURATION.replace("ENABLED", "DISABLED"));
    assert_eq!(job(&body(collect(&machine)), "file_history").destination.as_deref(), Some(r"E:\"));
}

#[test]
fn a_failed_cycle_of_this_user_after_the_last_good_one_is_a_failure() {
    use super::file_history::{Configuration, entry_of};
    use crate::sys::Event;
    let failed = Event {
        id: 201,
        at: "2026-11-22T22:00:00Z".parse().unwrap(),
        data: vec![
            ("Hr".into(), "2147942512".into()),
            ("ConfigFilePath".into(), format!(r"c:\users\{USER}\AppData\Local\x\Config")),
        ],
        ..Event::default()
    };
    let profile = format!(r"C:\Users\{USER}");
    let at = |text: &str| text.parse::<jiff::Timestamp>().ok();
    let read = |until, profile: &str| {
        entry_of(USER, profile, &Configuration::default(), until, std::slice::from_ref(&failed)).job
    };
    let older = read(at("2026-11-22T21:00:00Z"), &profile);
    assert_eq!((older.result.as_deref(), older.code.as_deref()), (Some("failed"), Some("0x80070070")));
    assert_eq!(read(at("2026-11-22T23:00:00Z"), &profile).result.as_deref(), Some("succeeded"));
    assert_eq!(read(None, r"C:\Users\山田").result, None, "another user's cycle");
}

/// Made after the documentation of the channel: no capture of it is at hand.
#[test]
fn the_state_a_cycle_logged_is_that_of_its_user() {
    use super::file_history::logged_until;
    use crate::sys::Event;
    let state = |value: &str, sid: &str| {
        let data = vec![("StateId".into(), "3".into()), ("ProtectedUpToTime".into(), value.into())];
        logged_until(&Event { id: 100, user_sid: Some(sid.into()), data, ..Event::default() }, SID)
    };
    let at = "2026-11-22T21:00:00Z".parse::<jiff::Timestamp>().ok();
    assert_eq!(state("2026-11-22T21:00:00.000000000Z", SID), at);
    let number = u64::from_le_bytes(ticks("2026-11-22T21:00:00Z").try_into().unwrap());
    assert_eq!(state(&number.to_string(), SID), at);
    assert_eq!(state("2026-11-22T21:00:00Z", "S-1-5-18"), None, "another's");
    for rubbish in ["", "0", "令和8年11月22日", "2026/11/22 21:00"] {
        assert_eq!(state(rubbish, SID), None, "{rubbish}");
    }
}

#[test]
fn a_product_one_user_installed_is_a_gap_too() {
    let mut machine = client();
    let program = r"Software\Microsoft\Windows\CurrentVersion\Uninstall\BunBackup";
    machine.put(&hive_of_user(), program, "DisplayName", Put::Text("BunBackup 6.3".into()));
    assert_eq!(collect(&machine).reason().unwrap().detail.as_deref(), Some("bunbackup"));
}

#[test]
fn known_folders_a_policy_orders_are_shown_as_not_in_force_until_they_lie_there() {
    let mut machine = client();
    let (hive, account) = (hive_of_user(), r"Software\Microsoft\OneDrive\Accounts\Business1");
    machine
        .put(&hive, account, "UserFolder", Put::Text(format!(r"C:\Users\{USER}\OneDrive - 株式会社 例")))
        .put(&hive, account, "LastKnownFolderBackupTime", Put::Number(1_795_000_000))
        .put(
            &hive,
            r"Software\Microsoft\OneDrive\Accounts\Personal",
            "UserFolder",
            Put::Text(format!(r"C:\Users\{USER}\OneDrive")),
        );
    assert!(body(collect(&machine)).jobs.is_empty());
    machine.software(
        r"Policies\Microsoft\OneDrive",
        "KFMSilentOptIn",
        "0f0f0f0f-1111-2222-3333-444444444444",
    );
    let backups = body(collect(&machine));
    assert_eq!(backups.jobs.len(), 1, "{:?}", backups.jobs);
    assert_eq!((backups.jobs[0].scheduled, backups.jobs[0].last_success), (Some(false), None));
    let observed = body(machine.collect::<BackupsObserved>(&PROBE, &ProbeConfig::default()));
    let taken_in = jiff::Timestamp::from_second(1_795_000_000).unwrap();
    assert!(taken_in < "2026-11-23T00:00:00Z".parse().unwrap());
    assert_eq!(observed.jobs[0].last_attempt, Some(taken_in), "an attempt, and no success");
}

#[test]
fn onedrive_is_synchronisation_by_the_folders_themselves() {
    let mut machine = client();
    let account = r"Software\Microsoft\OneDrive\Accounts\Business1";
    let folders = r"Software\Microsoft\Windows\CurrentVersion\Explorer\User Shell Folders";
    let hive = hive_of_user();
    machine
        .put(&hive, account, "UserFolder", Put::Text(format!(r"C:\Users\{USER}\OneDrive - 株式会社 例")))
        .put(&hive, folders, "Desktop", Put::Text(r"%USERPROFILE%\Desktop".into()));
    assert!(body(collect(&machine)).jobs.is_empty(), "an account alone moves no folder");
    machine.put(&hive, account, "KfmFoldersProtectedNow", Put::Number(3584));
    let backups = body(collect(&machine));
    let claimed = job(&backups, "onedrive");
    assert_eq!((claimed.role.as_str(), claimed.scheduled, claimed.last_success), ("sync", None, None));
    machine.put(
        &hive,
        folders,
        "Personal",
        Put::Text(r"%UserProfile%\OneDrive - 株式会社 例\ドキュメント".into()),
    );
    let backups = body(collect(&machine));
    let confirmed = job(&backups, "onedrive");
    assert_eq!((confirmed.name.as_str(), confirmed.scheduled), ("山田　太郎/Business1", Some(true)));
    assert_eq!(confirmed.destination_class.as_deref(), Some("sync"));
}

#[test]
fn restore_points_are_local_copies() {
    let mut machine = client();
    machine.software(r"Microsoft\Windows NT\CurrentVersion\SystemRestore", "RPSessionInterval", 1);
    let backups = body(collect(&machine));
    let points = job(&backups, "system_restore");
    assert_eq!((points.role.as_str(), points.copies, points.scheduled), ("snapshot", None, Some(true)));
    assert_eq!(points.destination_class.as_deref(), Some("same_disk"));
}

#[test]
fn installed_products_are_jobs_or_named_gaps() {
    let mut machine = client();
    let uninstall = r"Microsoft\Windows\CurrentVersion\Uninstall";
    let program = |name: &str| format!(r"{uninstall}\{name}");
    machine.software(&program("v"), "DisplayName", "Veeam Agent for Microsoft Windows");
    machine.software(&program("s"), "DisplayName", "Synology Active Backup for Business Agent");
    machine.software(&program("u"), "DisplayName", "Arcserve Unified Data Protection Agent");
    let fact = collect(&machine);
    let backups = body(fact);
    for product in ["veeam_agent", "arcserve_udp"] {
        let job = job(&backups, product);
        assert_eq!(
            (job.evidence.as_str(), job.last_success, job.result.as_deref()),
            ("configuration", None, None)
        );
    }
    assert_eq!(job(&backups, "synology_active_backup").evidence, "configuration");
    for (name, product) in
        [("HD革命/BackUp Next Ver.5", "hd_kakumei_backup"), ("Macrium Reflect Home", "macrium_reflect")]
    {
        let mut machine = client();
        machine.software(&program("x"), "DisplayName", name);
        let reason = collect(&machine).reason().cloned().unwrap();
        assert_eq!((reason.code.as_str(), reason.detail.as_deref()), ("product_not_read", Some(product)));
    }
    let mut machine = client();
    machine.system(r"ControlSet001\Services\MMS", "Start", 2);
    assert_eq!(collect(&machine).reason().unwrap().detail.as_deref(), Some("acronis"));
}

#[test]
fn arcserve_records_count_by_their_status_and_file_time() {
    let mut machine = client();
    machine.software(
        r"Arcserve\Unified Data Protection\Engine\InstallPath",
        "Path",
        r"C:\Program Files\Arcserve\Unified Data Protection\Engine\",
    );
    let folder = "/Program Files/Arcserve/Unified Data Protection/Engine/BackupHistory";
    let record = |status: &str| {
        format!("<BackupInfo><Backup><BackupStatus Status=\"{status}\"/></Backup></BackupInfo>")
    };
    let put = |name: &str, status: &str, at: &str| {
        let path = format!("{folder}/{name}");
        machine.fixture().write(&path, wide(&record(status))).touch(&path, at);
    };
    put("BackupInfo1.xml", "Finished", "2026-11-20T12:00:00Z");
    put("BackupInfo2.xml", "Failed", "2026-11-21T12:00:00Z");
    let backups = body(collect(&machine));
    let arcserve = job(&backups, "arcserve_udp");
    assert_eq!((arcserve.result.as_deref(), arcserve.evidence.as_str()), (Some("failed"), "file_time"));
    assert_eq!(arcserve.last_success, "2026-11-20T12:00:00Z".parse().ok());
    put("BackupInfo3.xml", "実行中", "2026-11-22T12:00:00Z");
    assert_eq!(job(&body(collect(&machine)), "arcserve_udp").result, None);
    machine
        .fixture()
        .write(&format!("{folder}/BackupInfo3.xml"), "<BackupInfo>")
        .touch(folder, "2026-11-22T12:00:00Z");
    assert_eq!(collect(&machine).reason().unwrap().code, "malformed");
}

#[test]
fn the_synology_agent_tells_by_its_own_clock() {
    let machine = client();
    let log = "\u{feff}Nov 22 21:00:00 [INFO] server-requester.cpp (1): \
        {\"backup_result\": {\"last_backup_status\": \"complete\", \"last_success_time\": 1795348800}}\n";
    machine.fixture().write("/ProgramData/ActiveBackupForBusinessAgent/log/log.txt", log);
    let backups = body(collect(&machine));
    let synology = job(&backups, "synology_active_backup");
    assert_eq!(synology.last_success, "2026-11-22T12:00:00Z".parse().ok());
    assert_eq!(synology.result.as_deref(), Some("succeeded"));
}

const STATUS: &str = r#"{"version":1,"job":"会計　夜間","result":"success","finished":"2026-11-22T15:00:00Z","last_success":"2026-11-22T15:00:00Z","product":"acronis"}"#;

#[test]
fn a_report_stands_for_its_product_and_owners_cannot_be_checked_in_a_folder() {
    let mut machine = client();
    machine.system(r"ControlSet001\Services\MMS", "Start", 2);
    machine.fixture().write("/ProgramData/Tenken/agent/backup-status/a.json", STATUS);
    let fact = collect(&machine);
    assert_eq!(fact.reason().unwrap().code, "access_list_not_readable");
    let backups = body(fact);
    assert_eq!(job(&backups, "acronis").name, "会計　夜間");
    assert!(backups.sources.iter().any(|s| s.source == "acronis" && s.status == Status::Known));
}

#[test]
fn declared_paths_and_tasks_are_read_or_named() {
    let mut machine = client();
    machine.fixture().write("/Backup　夜間/a.bak", "12345").touch("/Backup　夜間", "2026-11-22T03:00:00Z");
    let mut config = ProbeConfig::default();
    let declared = |path: &str| DeclaredPath { path: path.into(), name: None, destination_class: None };
    config.policy.backup.declared_paths.push(declared(r"C:\Backup　夜間\"));
    let fact = machine.collect::<Backups>(&PROBE, &config);
    assert_eq!(fact.status(), Status::Known, "{:?}", fact.reason());
    let backups = body(fact);
    let copies = job(&backups, "declared_path");
    assert_eq!((copies.name.as_str(), copies.evidence.as_str()), (r"C:\Backup　夜間", "file_time"));
    assert_eq!(copies.destination_class.as_deref(), Some("same_disk"));
    config.policy.backup.declared_paths.push(declared(r"\\nas\backup"));
    let fact = machine.collect::<Backups>(&PROBE, &config);
    assert_eq!(fact.reason().unwrap().code, "other_volume");

    let mut config = ProbeConfig::default();
    config.policy.backup.units.push(r"\会社\夜間バックアップ".into());
    let missing = machine.collect::<Backups>(&PROBE, &config);
    assert_eq!(missing.reason().unwrap().code, "declared_task_missing");
    let cache = r"Microsoft\Windows NT\CurrentVersion\Schedule\TaskCache";
    let id = "{11111111-2222-3333-4444-555555555555}";
    let mut info = 3u32.to_le_bytes().to_vec();
    info.extend(ticks("2026-01-01T00:00:00Z"));
    info.extend(ticks("2026-11-22T12:00:00Z"));
    info.extend([0; 8]);
    info.extend(ticks("2026-11-22T12:30:00Z"));
    machine.software(&format!(r"{cache}\Tree\会社\夜間バックアップ"), "Id", id).software(
        &format!(r"{cache}\Tasks\{id}"),
        "DynamicInfo",
        info,
    );
    let fact = machine.collect::<Backups>(&PROBE, &config);
    assert_eq!(fact.status(), Status::Known, "{:?}", fact.reason());
    let backups = body(fact);
    let task = job(&backups, "scheduled_task");
    assert_eq!(task.last_success, "2026-11-22T12:30:00Z".parse().ok());
    assert_eq!((task.result.as_deref(), task.evidence.as_str()), (Some("succeeded"), "unit_result"));
}
