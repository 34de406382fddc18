//! What backup programs, schedulers and customers' scripts leave on disk.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use tenken_agent::probe::backups::windows::{file_history, task};
use tenken_agent::probe::backups::{
    command_line, destination, local, repository, schedule, status_file, synology, vorta,
};
use tenken_agent::probe::systemd;

use super::text;
use crate::Target;

/// Targets of this module.
pub const TARGETS: &[Target] = &[
    Target::over(
        "backup_command_line",
        backup_command_line,
        &[
            "agent/fixtures/backups/linux-restic-borg/usr/local/sbin/backup.sh",
            "agent/fixtures/backups/linux-restic-borg/etc/cron.d/borg",
        ],
    ),
    Target::over("backup_destination", backup_destination, &[]).samples(DESTINATIONS).max_len(256),
    Target::over("backup_local", backup_local, &[]).samples(LOCAL),
    Target::over("borg_config", borg_config, &["agent/fixtures/backups/linux-restic-borg/srv/borg/config"]),
    Target::over("backup_status_file", backup_status_file, &[]).samples(STATUS).max_len(1024),
    Target::over("borgmatic", borgmatic, &[]).samples(BORGMATIC),
    Target::over(
        "systemd_unit",
        systemd_unit,
        &["agent/fixtures/backups/linux-restic-borg/etc/systemd/system"],
    ),
    Target::over("backup_products", backup_products, &[]).samples(PRODUCTS).max_len(1024),
    Target::over("scheduled_task", scheduled_task, &[]).samples(TASKS).made(made_runs).max_len(1024),
    Target::over("systemd_show", systemd_show, &[]).samples(SHOW),
];

const DESTINATIONS: &[&str] = &[
    "sftp:user@host:/srv/restic",
    "s3:https://key:secret@s3.example.com/bucket",
    "rest:https://u:p@host:8000/",
    "ssh://borg@host:22/./repo",
    "/mnt/usb/backup",
    "b2:bucket:path",
    "rclone:remote:path",
    "file:///srv/x",
];
const LOCAL: &[&str] = &[
    r#"{"created":"1700000000","sys-uuid":"x","tags":"O"}"#,
    "<?xml version=\"1.0\"?><snapshot><type>single</type><num>3</num><date>2026-11-23 00:00:00</date></snapshot>",
    "snapshot_root\t/var/cache/rsnapshot/\nretain\talpha\t6\nretain\tbeta\t7\nbackup\t/home/\tlocalhost/\n",
    r#"{"backup_device_uuid":"x","schedule_daily":"true","count_daily":"5"}"#,
];
const STATUS: &[&str] = &[
    r#"{"version":1,"job":"nightly","result":"success","finished_at":"2026-11-23T00:00:00Z","copies":3,"destination":"sftp:nas"}"#,
];
const BORGMATIC: &[&str] =
    &["repositories:\n    - path: ssh://borg@host/./repo\n      label: a\n    - /mnt/b\n"];
const SHOW: &[&str] = &[
    "Id=restic.service\nActiveState=inactive\nResult=success\nExecMainStatus=0\nExecMainExitTimestamp=Mon 2026-11-23 00:00:00 UTC\n\nId=restic.timer\nActiveState=active\n",
];

const PRODUCTS: &[&str] = &[
    r#"2022-11-26T00:00:00 x: {"backup_result":{"last_backup_status":"complete","last_success_time":1669410000,"x":1}}"#,
    r#"backup_result in words, then \"backup_result\": {\"last_success_time\":\"1669410000\"}"#,
    "2026-11-22 21:00:03.123456",
];
const TASKS: &[&str] = &[
    r#"<?xml version="1.0"?><Task version="1.2" xmlns="x"><Triggers><CalendarTrigger><Enabled>true</Enabled></CalendarTrigger></Triggers><Settings><Enabled>true</Enabled></Settings></Task>"#,
    r#"<DataProtectionUserConfig><UserName>経理</UserName><DPFrequency>3600</DPFrequency><DPStatus>1</DPStatus><Target><TargetUrl>\\nas\x</TargetUrl></Target></DataProtectionUserConfig>"#,
];

fn backup_products(data: &[u8]) {
    text(data, |text| {
        let _ = (synology::last_result(text), vorta::moment(&TimeZone::UTC, text));
    });
}

fn scheduled_task(data: &[u8]) {
    let _ = task::LastRun::parse(data);
    text(data, |text| {
        let _ = (task::starts(text), file_history::Configuration::parse(text));
    });
}

/// The form, three times, a state and a result.
fn made_runs() -> Vec<Vec<u8>> {
    let mut run = vec![0; 36];
    run[0] = 3;
    run[12..20].copy_from_slice(&134_000_000_000_000_000_u64.to_le_bytes());
    run[28..].copy_from_slice(&134_000_000_100_000_000_u64.to_le_bytes());
    vec![run]
}

fn backup_command_line(data: &[u8]) {
    text(data, |text| {
        let environment: BTreeMap<_, _> = command_line::assignments(text);
        let _ = command_line::mentions(text, &environment);
    });
}

fn backup_destination(data: &[u8]) {
    text(data, |text| {
        let _ = destination::local_path(text);
        let _ = destination::without_credentials(text);
    });
}

fn backup_local(data: &[u8]) {
    let _ = (local::timeshift_created(data), local::snapper_date(data));
    text(data, |text| {
        let _ = local::rsnapshot_config(text);
    });
}

fn borg_config(data: &[u8]) {
    let _ = repository::borg_config(data);
}

fn backup_status_file(data: &[u8]) {
    let _ = (status_file::BackupStatus::parse(data), local::TimeshiftConfig::parse(data).is_ok());
}

fn borgmatic(data: &[u8]) {
    text(data, |text| {
        let _ = schedule::borgmatic_repositories(text);
    });
}

fn systemd_unit(data: &[u8]) {
    text(data, |text| {
        let _ = systemd::UnitFile::parse(text);
    });
}

fn systemd_show(data: &[u8]) {
    let _ = systemd::parse_show(data);
    text(data, |text| {
        let _ = systemd::timestamp(text);
    });
}
