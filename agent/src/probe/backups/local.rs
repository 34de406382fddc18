//! Copies made on the machine itself: timeshift, snapper (btrfs), rsnapshot.

use jiff::Timestamp;
use serde::Deserialize;
use tenken_shared::collected::{Reason, Status};
use tenken_shared::fact::backups::BackupJob;

use super::tree::whole_second;
use super::{Context, Found};
use crate::sys::{FileKind, Sys, SysError};

const TIMESHIFT_CONFIGS: [&str; 2] = ["/etc/timeshift/timeshift.json", "/etc/timeshift.json"];
const MAX_COPIES: usize = 10_000;

/// Timeshift's settings; it writes every value as a string.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct TimeshiftConfig {
    backup_device_uuid: String,
    btrfs_mode: String,
    schedule_monthly: String,
    schedule_weekly: String,
    schedule_daily: String,
    schedule_hourly: String,
    schedule_boot: String,
}

impl TimeshiftConfig {
    /// Reads `timeshift.json`.
    pub fn parse(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }

    fn scheduled(&self) -> bool {
        [
            &self.schedule_monthly,
            &self.schedule_weekly,
            &self.schedule_daily,
            &self.schedule_hourly,
            &self.schedule_boot,
        ]
        .iter()
        .any(|v| v.as_str() == "true")
    }
}

#[derive(Debug, Deserialize)]
struct TimeshiftInfo {
    created: String,
}

/// When a snapshot was made, from its `info.json` (`created` is a Unix time, as a string).
#[must_use]
pub fn timeshift_created(bytes: &[u8]) -> Option<Timestamp> {
    let info: TimeshiftInfo = serde_json::from_slice(bytes).ok()?;
    Timestamp::from_second(info.created.trim().parse().ok()?).ok()
}

/// Timeshift: its settings, and its snapshots where their device is mounted. System files only by
/// default, so the role is `snapshot` unless they lie on another disk.
pub(super) fn timeshift(sys: &Sys, cx: &mut Context) {
    let config = TIMESHIFT_CONFIGS.iter().find_map(|path| match sys.read_capped(path, 256 * 1024) {
        Err(SysError::Absent { .. }) => None,
        other => Some((*path, other)),
    });
    let Some((path, read)) = config else {
        return cx.sources.error("timeshift", &SysError::Absent { what: TIMESHIFT_CONFIGS[0].into() });
    };
    let parsed = read.and_then(|b| TimeshiftConfig::parse(&b).map_err(|e| SysError::malformed(path, e)));
    let config = match parsed {
        Ok(config) => config,
        Err(error) => return cx.sources.error("timeshift", &error),
    };
    let base = timeshift_base(sys, cx, &config);
    let mut job = BackupJob {
        product: "timeshift".into(),
        name: "timeshift".into(),
        role: "snapshot".into(),
        scheduled: Some(config.scheduled()),
        evidence: "configuration".into(),
        ..BackupJob::default()
    };
    if let Some(base) = &base {
        let class = super::destination::classify(sys, &cx.mounts, base);
        job.destination = Some(base.clone());
        job.destination_class = class.map(str::to_owned);
        if class == Some("attached") {
            job.role = "backup".into();
        }
    }
    let times = base.as_ref().map(|b| timeshift_times(sys, b));
    match times {
        Some(Ok(times)) => {
            copies(&mut job, &times);
            cx.sources.known("timeshift", times.len());
        }
        Some(Err(error)) if !matches!(error, SysError::Absent { .. }) => {
            cx.sources.error("timeshift", &error)
        }
        _ if config.backup_device_uuid.is_empty() => cx.sources.known("timeshift", 0),
        _ => cx.sources.gap("timeshift", Status::Partial, Reason::new("device_not_mounted")),
    }
    let last_attempt = job.last_success;
    cx.found.push(Found { job, last_attempt, next_run: None, truncated: false });
}

/// Folder that holds `timeshift/` or `timeshift-btrfs/` snapshots, where it can be seen.
fn timeshift_base(sys: &Sys, cx: &Context, config: &TimeshiftConfig) -> Option<String> {
    let kind = if config.btrfs_mode == "true" { "timeshift-btrfs" } else { "timeshift" };
    let uuid = config.backup_device_uuid.as_str();
    let device = (!uuid.is_empty() && !uuid.contains(['/', '.']))
        .then(|| sys.read_link(&format!("/dev/disk/by-uuid/{uuid}")).ok())
        .flatten()
        .and_then(|link| link.rsplit('/').next().map(|name| format!("/dev/{name}")));
    let mounted = device.as_deref().and_then(|d| cx.mounts.point_of(d)).map(str::to_owned);
    [mounted.as_deref(), Some(""), Some("/run/timeshift/backup")]
        .into_iter()
        .flatten()
        .map(|point| format!("{}/{kind}/snapshots", point.trim_end_matches('/')))
        .find(|path| matches!(sys.exists(path), Ok(true)))
}

fn timeshift_times(sys: &Sys, base: &str) -> Result<Vec<Timestamp>, SysError> {
    let mut times = Vec::new();
    for entry in sys.list(base)?.iter().filter(|e| e.kind == FileKind::Dir).take(MAX_COPIES) {
        match sys.read_capped(&format!("{base}/{}/info.json", entry.name), 64 * 1024) {
            // A snapshot without readable info is unfinished: Timeshift itself does not count it either.
            Ok(bytes) => times.extend(timeshift_created(&bytes)),
            Err(SysError::Absent { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(times)
}

fn copies(job: &mut BackupJob, times: &[Timestamp]) {
    job.evidence = "repository".into();
    job.copies = Some(times.len() as u64);
    job.last_success = times.iter().max().copied();
    job.oldest_copy = times.iter().min().copied();
}

/// Snapper: one job per configuration; always snapshots on the same disk.
pub(super) fn snapper(sys: &Sys, cx: &mut Context) {
    let folder = "/etc/snapper/configs";
    let entries = match sys.list(folder) {
        Ok(entries) => entries,
        Err(error) => return cx.sources.error("snapper", &error),
    };
    let mut count = 0;
    for entry in entries.iter().filter(|e| e.kind == FileKind::File).take(100) {
        match snapper_config(sys, &format!("{folder}/{}", entry.name), &entry.name) {
            Ok(found) => {
                cx.found.push(found);
                count += 1;
            }
            Err(error) => cx.sources.error(format!("snapper:{}", entry.name), &error),
        }
    }
    cx.sources.known("snapper", count);
}

fn snapper_config(sys: &Sys, path: &str, name: &str) -> Result<Found, SysError> {
    let vars = super::command_line::assignments(&sys.read_text(path)?);
    let subvolume = vars.get("SUBVOLUME").map_or("/", String::as_str).trim_end_matches('/').to_owned();
    let snapshots = format!("{subvolume}/.snapshots");
    let mut times = Vec::new();
    match sys.list(&snapshots) {
        Ok(entries) => {
            for entry in entries.iter().filter(|e| e.kind == FileKind::Dir).take(MAX_COPIES) {
                let info = sys.read_capped(&format!("{snapshots}/{}/info.xml", entry.name), 64 * 1024);
                times.extend(info.ok().and_then(|b| snapper_date(&b)));
            }
        }
        Err(SysError::Absent { .. }) => {}
        Err(error) => return Err(error),
    }
    let mut job = BackupJob {
        product: "snapper".into(),
        name: name.into(),
        role: "snapshot".into(),
        destination: Some(snapshots),
        destination_class: Some("same_disk".into()),
        scheduled: vars.get("TIMELINE_CREATE").map(|v| v == "yes"),
        ..BackupJob::default()
    };
    copies(&mut job, &times);
    let last_attempt = job.last_success;
    Ok(Found { job, last_attempt, next_run: None, truncated: false })
}

/// The `<date>` of a snapper `info.xml`; snapper writes it in UTC.
#[must_use]
pub fn snapper_date(bytes: &[u8]) -> Option<Timestamp> {
    let text = std::str::from_utf8(bytes).ok()?;
    let date = text.split_once("<date>")?.1.split_once("</date>")?.0.trim();
    let (day, time) = date.split_once(' ')?;
    format!("{day}T{time}Z").parse().ok()
}

/// Rsnapshot: the newest copy of its shortest interval, by the folder's time (`file_time`).
pub(super) fn rsnapshot(sys: &Sys, cx: &mut Context) {
    let path = "/etc/rsnapshot.conf";
    let text = match sys.read_text(path) {
        Ok(text) => text,
        Err(error) => return cx.sources.error("rsnapshot", &error),
    };
    let Some((root, intervals)) = rsnapshot_config(&text) else {
        return cx.sources.known("rsnapshot", 0);
    };
    let mut job = BackupJob {
        product: "rsnapshot".into(),
        name: root.clone(),
        role: "backup".into(),
        destination_class: super::destination::classify(sys, &cx.mounts, &root).map(str::to_owned),
        destination: Some(root.clone()),
        encrypted: None,
        evidence: "file_time".into(),
        ..BackupJob::default()
    };
    match sys.list(&root) {
        Ok(entries) => {
            let level =
                |name: &str| name.rsplit_once('.').is_some_and(|(l, _)| intervals.iter().any(|i| i == l));
            let copies: Vec<_> =
                entries.iter().filter(|e| e.kind == FileKind::Dir && level(&e.name)).collect();
            job.copies = Some(copies.len() as u64);
            let time = |name: &str| {
                let stat = sys.stat(&format!("{root}/{name}")).ok().flatten()?;
                stat.modified.map(whole_second)
            };
            job.last_success = intervals.first().and_then(|i| time(&format!("{i}.0")));
            job.oldest_copy = copies.iter().filter_map(|e| time(&e.name)).min();
            cx.sources.known("rsnapshot", copies.len());
        }
        Err(error) => cx.sources.error("rsnapshot", &error),
    }
    let last_attempt = job.last_success;
    cx.found.push(Found { job, last_attempt, next_run: None, truncated: false });
}

/// `snapshot_root` and the intervals of `rsnapshot.conf` (fields apart by tabs), shortest first.
/// `None` where the file sets no absolute root or no interval.
#[must_use]
pub fn rsnapshot_config(text: &str) -> Option<(String, Vec<String>)> {
    let mut root = None;
    let mut intervals = Vec::new();
    for line in text.lines().filter(|l| !l.starts_with('#')) {
        let mut fields = line.split('\t').filter(|f| !f.is_empty());
        match (fields.next(), fields.next()) {
            (Some("snapshot_root"), Some(path)) => root = Some(path.trim_end_matches('/').to_owned()),
            (Some("retain" | "interval"), Some(name)) => intervals.push(name.to_owned()),
            _ => {}
        }
    }
    root.filter(|r| r.starts_with('/') && !intervals.is_empty()).map(|r| (r, intervals))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snapshot_times_are_read_and_rubbish_is_none() {
        assert_eq!(
            timeshift_created(br#"{"created" : "1700000000", "tags" : "daily "}"#),
            Timestamp::from_second(1_700_000_000).ok()
        );
        assert_eq!(timeshift_created(br#"{"created" : "soon"}"#), None);
        assert_eq!(
            snapper_date(b"<?xml version=\"1.0\"?><snapshot><date>2026-11-23 10:00:01</date></snapshot>"),
            "2026-11-23T10:00:01Z".parse().ok()
        );
        assert_eq!(snapper_date(b"<date></date>"), None);
    }

    #[test]
    fn rsnapshot_needs_a_root_and_an_interval() {
        let text = "#x\nsnapshot_root\t/srv/rs/\nretain\talpha\t6\nretain\tbeta\t7\n";
        assert_eq!(rsnapshot_config(text), Some(("/srv/rs".into(), vec!["alpha".into(), "beta".into()])));
        assert_eq!(rsnapshot_config("snapshot_root\trelative\nretain\ta\t1"), None);
        assert_eq!(rsnapshot_config("snapshot_root\t/x"), None);
    }
}
