//! Copies on the same system: volume shadow copies and restore points. Shown as `snapshot`; they go with the
//! disk and with whoever encrypts it, so they never count as a backup.
//!
//! Only a running system tells of them. A folder tells whether restore points are switched on.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;
use serde_json::{Map, Value};
use tenken_shared::fact::backups::BackupJob;

use super::{Found, Machine};
use crate::probe::windows::{key, number};

const SHADOWS: &str = "SELECT InstallDate, VolumeName, Persistent FROM Win32_ShadowCopy";
const VOLUMES: &str = "SELECT DeviceID, DriveLetter FROM Win32_Volume";
const POINTS: &str = "SELECT CreationTime FROM SystemRestore";
const RESTORE: &str = r"HKLM\SOFTWARE\Microsoft\Windows NT\CurrentVersion\SystemRestore";

/// Product and name of the entry for restore points.
const RESTORE_POINTS: (&str, &str) = ("system_restore", "restore points");

type Row = Map<String, Value>;

/// Reads both kinds.
pub(super) fn read(machine: &mut Machine<'_>) {
    match machine.sys.wmi(r"ROOT\CIMV2", SHADOWS) {
        Ok(shadows) => {
            machine.sources.known("Win32_ShadowCopy", shadows.len());
            // Letters only name the volumes; without them their ids do.
            let volumes = if shadows.is_empty() {
                vec![]
            } else {
                machine.sys.wmi(r"ROOT\CIMV2", VOLUMES).unwrap_or_default()
            };
            machine.found.extend(shadow_copies(&shadows, &volumes));
        }
        // Local copies are shown, and never count as a backup.
        Err(error) => machine.sources.aside("Win32_ShadowCopy", &error),
    }
    restore_points(machine);
}

/// One entry per volume.
fn shadow_copies(shadows: &[Row], volumes: &[Row]) -> Vec<Found> {
    let mut by_volume: BTreeMap<&str, Vec<Timestamp>> = BTreeMap::new();
    for row in shadows {
        // One that is not persistent belongs to a backup that is being made.
        let kept = row.get("Persistent").and_then(Value::as_bool) != Some(false);
        if let (Some(volume), true) = (word(row, "VolumeName"), kept) {
            by_volume.entry(volume).or_default().extend(word(row, "InstallDate").and_then(cim_time));
        }
    }
    let letter = |volume: &str| {
        let row = volumes.iter().find(|row| word(row, "DeviceID") == Some(volume));
        row.and_then(|row| word(row, "DriveLetter")).unwrap_or(volume).to_owned()
    };
    let one = |(volume, times): (&str, Vec<Timestamp>)| copies("volume_shadow_copy", letter(volume), &times);
    by_volume.into_iter().map(one).collect()
}

fn copies(product: &str, name: String, times: &[Timestamp]) -> Found {
    let newest = times.iter().max().copied();
    let job = BackupJob {
        product: product.into(),
        name,
        role: "snapshot".into(),
        last_success: newest,
        copies: Some(times.len() as u64),
        oldest_copy: times.iter().min().copied(),
        destination_class: Some("same_disk".into()),
        evidence: "repository".into(),
        ..BackupJob::default()
    };
    Found { job, last_attempt: newest, ..Found::default() }
}

/// Restore points exist on clients only.
fn restore_points(machine: &mut Machine<'_>) {
    if machine.is_server {
        return;
    }
    let switched = key(machine.sys, RESTORE, &mut machine.sources).and_then(|key| {
        let off = number(&key, "DisableSR", &mut machine.sources) == Some(1);
        let interval = number(&key, "RPSessionInterval", &mut machine.sources)?;
        Some(!off && interval != 0)
    });
    let times = match machine.sys.wmi(r"ROOT\DEFAULT", POINTS) {
        Ok(rows) => {
            machine.sources.known("SystemRestore", rows.len());
            Some(
                rows.iter()
                    .filter_map(|row| word(row, "CreationTime").and_then(cim_time))
                    .collect::<Vec<_>>(),
            )
        }
        Err(error) => {
            machine.sources.aside("SystemRestore", &error);
            None
        }
    };
    let mut found = match &times {
        Some(times) if !times.is_empty() => copies(RESTORE_POINTS.0, RESTORE_POINTS.1.into(), times),
        // Switched on; there are none, or they could not be asked for.
        _ if switched == Some(true) => {
            let mut found = copies(RESTORE_POINTS.0, RESTORE_POINTS.1.into(), &[]);
            found.job.copies = times.map(|_| 0);
            found.job.evidence = "configuration".into();
            found
        }
        _ => return,
    };
    found.job.scheduled = switched;
    machine.found.push(found);
}

fn word<'a>(row: &'a Row, name: &str) -> Option<&'a str> {
    row.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
}

/// A CIM time: `20261122210003.000000+540`, the zone in minutes; some writers give RFC 3339.
fn cim_time(text: &str) -> Option<Timestamp> {
    if let Ok(at) = text.parse() {
        return Some(at);
    }
    let (digits, rest) = text.split_at_checked(14)?;
    let civil = DateTime::strptime("%Y%m%d%H%M%S", digits).ok()?;
    let sign = rest.find(['+', '-'])?;
    let minutes: i32 = rest[sign..].parse().ok()?;
    Offset::from_seconds(minutes.checked_mul(60)?).ok()?.to_timestamp(civil).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rows(value: Value) -> Vec<Row> {
        value.as_array().unwrap().iter().map(|row| row.as_object().unwrap().clone()).collect()
    }

    #[test]
    fn shadow_copies_are_snapshots_per_volume() {
        let volume = r"\\?\Volume{0a1b2c3d-0000-0000-0000-000000000001}\";
        let found = shadow_copies(
            &rows(json!([
                {"InstallDate": "20261120210003.000000+540", "VolumeName": volume, "Persistent": true},
                {"InstallDate": "20261122210003.500000+540", "VolumeName": volume, "Persistent": true},
                {"InstallDate": "20261122230000.000000+540", "VolumeName": volume, "Persistent": false},
                {"InstallDate": "soon", "VolumeName": ""},
            ])),
            &rows(json!([{"DeviceID": volume, "DriveLetter": "C:"}])),
        );
        assert_eq!(found.len(), 1);
        let job = &found[0].job;
        assert_eq!((job.role.as_str(), job.name.as_str(), job.copies), ("snapshot", "C:", Some(2)));
        assert_eq!(job.last_success, "2026-11-22T12:00:03Z".parse().ok());
        assert_eq!(job.oldest_copy, "2026-11-20T12:00:03Z".parse().ok());
    }

    #[test]
    fn cim_times_have_their_zone_in_minutes() {
        let at = |text: &str| cim_time(text).map(|at| at.to_string());
        assert_eq!(at("20261123061500.000000-000").as_deref(), Some("2026-11-23T06:15:00Z"));
        assert_eq!(at("20261123061500.000000-300").as_deref(), Some("2026-11-23T11:15:00Z"));
        assert_eq!(at("2026-11-23T06:15:00Z").as_deref(), Some("2026-11-23T06:15:00Z"));
        for text in
            ["", "2026112306150", "20261399061500.000000+540", "20261123061500", "全角全角全角全角全角"]
        {
            assert_eq!(at(text), None, "{text}");
        }
    }
}
