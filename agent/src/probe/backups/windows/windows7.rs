//! Backup and Restore (Windows 7), which clients still have: its status in the registry.
//!
//! `…\WindowsBackup\Status`: `LastResultTime` and `LastSuccess` as `FILETIME` (binary or QWORD),
//! `LastResultSuccess` (1: good), `LastResultTarget`; `ScheduleParams\TargetDevice` names where to.

use jiff::Timestamp;
use tenken_shared::fact::backups::BackupJob;

use super::{Found, Machine, task};
use crate::probe::windows::{key, text};
use crate::sys::{RegistryKey, RegistryValue, filetime};

const KEY: &str = r"HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\WindowsBackup";
const TASK: &str = r"Microsoft\Windows\WindowsBackup\AutomaticBackup";

/// Reads the status of the file backup; one that was never set up gives no job.
pub(super) fn read(machine: &mut Machine<'_>) {
    let scheduled = match task::scheduled(machine.sys, TASK) {
        Ok(scheduled) => scheduled,
        Err(error) => {
            machine.sources.error(format!("task:{TASK}"), &error);
            None
        }
    };
    let Some(status) = key(machine.sys, &format!("{KEY}\\Status"), &mut machine.sources) else {
        if scheduled == Some(true) {
            let found = Found { job: job(scheduled), ..Found::default() };
            machine.found.push(found);
        }
        return;
    };
    let result_at = time(machine, &status, "LastResultTime");
    let success_at = time(machine, &status, "LastSuccess");
    let flag = flag(machine, &status);
    if result_at.is_none() && success_at.is_none() && scheduled.is_none() {
        return;
    }
    let last_success = success_at.or(result_at.filter(|_| flag == Some(true)));
    let result = match flag {
        Some(true) => Some("succeeded"),
        Some(false) => Some("failed"),
        // The last result that is not the last success was none.
        None => result_at.zip(success_at).map(|(at, good)| if at > good { "failed" } else { "succeeded" }),
    };
    let mut job = BackupJob {
        last_success,
        result: result.map(str::to_owned),
        evidence: if result_at.or(success_at).is_some() { "product_log" } else { "configuration" }.into(),
        ..job(scheduled)
    };
    let target = text(&status, "LastResultTarget", &mut machine.sources).or_else(|| device(machine));
    machine.place(&mut job, target.as_deref());
    machine.found.push(Found { job, last_attempt: result_at.max(success_at), ..Found::default() });
}

fn job(scheduled: Option<bool>) -> BackupJob {
    BackupJob {
        product: "windows_backup".into(),
        name: "files".into(),
        role: "backup".into(),
        scheduled,
        evidence: "configuration".into(),
        ..BackupJob::default()
    }
}

fn device(machine: &mut Machine<'_>) -> Option<String> {
    let device = key(machine.sys, &format!("{KEY}\\ScheduleParams\\TargetDevice"), &mut machine.sources)?;
    text(&device, "UniqueName", &mut machine.sources)
        .or_else(|| text(&device, "PresentableName", &mut machine.sources))
}

/// A `FILETIME` that is not in the future.
fn time(machine: &mut Machine<'_>, key: &RegistryKey, name: &str) -> Option<Timestamp> {
    let ticks = match key.value(name) {
        Ok(Some(RegistryValue::Number(ticks))) => ticks,
        Ok(Some(RegistryValue::Binary(bytes))) => u64::from_le_bytes(*bytes.first_chunk()?),
        Ok(_) => return None,
        Err(error) => {
            machine.sources.error(key.path(), &error);
            return None;
        }
    };
    filetime(ticks).filter(|at| *at <= machine.sys.now())
}

fn flag(machine: &mut Machine<'_>, key: &RegistryKey) -> Option<bool> {
    match key.value("LastResultSuccess") {
        Ok(Some(RegistryValue::Number(number @ (0 | 1)))) => Some(number == 1),
        Ok(_) => None,
        Err(error) => {
            machine.sources.error(key.path(), &error);
            None
        }
    }
}
