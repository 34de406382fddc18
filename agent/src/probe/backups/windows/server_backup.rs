//! Windows Server Backup, and the system images of Windows 7 Backup, which the same engine makes: its
//! event log.
//!
//! | Event | Meaning |
//! |---|---|
//! | 1 | started |
//! | 4 | succeeded |
//! | 14 | finished, whatever the result |
//! | 5, 8, 9, 17, 22, 49, 50, 517 and any other error | failed |
//!
//! A run that only finished is no success. Data of the events: `HRESULT`, `BackupTarget`.

use jiff::{SignedDuration, Timestamp};
use tenken_shared::fact::backups::BackupJob;

use super::{Found, Machine, task};
use crate::sys::{Event, EventQuery};

const CHANNEL: &str = "Microsoft-Windows-Backup";
const TASK: &str = r"Microsoft\Windows\Backup\Microsoft-Windows-WindowsBackup";
const FAILED: [u32; 8] = [5, 8, 9, 17, 22, 49, 50, 517];
const MAX_EVENTS: usize = 5_000;
/// A start that nothing followed for so long was broken off.
const LONGEST_RUN: SignedDuration = SignedDuration::from_hours(48);

/// HRESULTs of failed backups, as words.
const REASONS: [(&[u32], &str); 11] = [
    (&[0x8007_0005], "access_denied"),
    (&[0x8007_052e, 0x8007_0056], "logon_failed"),
    (&[0x8007_0027, 0x8007_0070, 0x8078_0119], "disk_full"),
    (&[0x8004_231f], "shadow_storage_full"),
    (&[0x8007_0002, 0x8007_0003], "not_found"),
    (&[0x8007_0033, 0x8007_0035, 0x8007_0040, 0x8007_0043], "network_path_not_found"),
    (&[0x8007_0015, 0x8007_01b1], "device_not_ready"),
    (&[0x8007_0017, 0x8007_045d], "device_error"),
    (&[0x8007_0079, 0x8100_0101], "timed_out"),
    (&[0x8007_04c7], "cancelled"),
    (&[0x8004_2306, 0x8004_23f2, 0x8004_23f3, 0x8004_23f4], "vss_failed"),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    Started,
    Succeeded,
    Finished,
    Failed,
}

fn word(event: &Event) -> Option<Word> {
    match event.id {
        1 => Some(Word::Started),
        4 => Some(Word::Succeeded),
        14 => Some(Word::Finished),
        id if FAILED.contains(&id) || matches!(event.level, 1 | 2) => Some(Word::Failed),
        _ => None,
    }
}

/// Reads the channel and the schedule. A client that never made a system image has no job.
pub(super) fn read(machine: &mut Machine<'_>) {
    let query = EventQuery { channel: CHANNEL.into(), limit: MAX_EVENTS, ..EventQuery::default() };
    let events = machine.events(&query).unwrap_or_default();
    let scheduled = match task::scheduled(machine.sys, TASK) {
        Ok(scheduled) => scheduled,
        Err(error) => {
            machine.sources.error(format!("task:{TASK}"), &error);
            None
        }
    };
    let Some(mut found) = summary(&events, machine.sys.now()) else {
        if scheduled == Some(true) {
            // Set up, and the log tells of no run.
            machine.found.push(empty(machine.is_server, scheduled));
        }
        return;
    };
    let target =
        events.iter().find(|event| event.id == 4 || event.id == 14).and_then(target).map(str::to_owned);
    let Found { job, .. } = empty(machine.is_server, scheduled);
    found.job = BackupJob {
        product: job.product,
        name: job.name,
        role: job.role,
        scheduled,
        evidence: "product_log".into(),
        ..found.job
    };
    machine.place(&mut found.job, target.as_deref());
    machine.found.push(found);
}

fn empty(is_server: bool, scheduled: Option<bool>) -> Found {
    let (product, name) = if is_server {
        ("windows_server_backup", "Windows Server Backup")
    } else {
        ("windows_backup", "system image")
    };
    let job = BackupJob {
        product: product.into(),
        name: name.into(),
        role: "backup".into(),
        scheduled,
        evidence: "configuration".into(),
        ..BackupJob::default()
    };
    Found { job, ..Found::default() }
}

fn target(event: &Event) -> Option<&str> {
    event.get("BackupTarget").map(str::trim).filter(|text| !text.is_empty())
}

/// What the events of the channel, newest first, say of the runs: last attempt, last success, result, code.
/// `None` where they tell of no run.
#[must_use]
pub fn summary(events: &[Event], now: Timestamp) -> Option<Found> {
    // Events of a clock that was ahead are no evidence of anything that happened.
    let told: Vec<(Word, &Event)> =
        events.iter().filter(|e| e.at <= now).filter_map(|e| Some((word(e)?, e))).collect();
    let (newest, event) = *told.first()?;
    let (result, code) = match newest {
        Word::Started if now.duration_since(event.at) < LONGEST_RUN => (Some("running"), None),
        Word::Started => (None, None),
        _ => verdict(&told),
    };
    let success = told.iter().find(|(word, _)| *word == Word::Succeeded);
    let job = BackupJob {
        last_success: success.map(|(_, event)| event.at),
        result: result.map(str::to_owned),
        code,
        ..BackupJob::default()
    };
    Some(Found { job, last_attempt: Some(event.at), ..Found::default() })
}

/// Result and code of the run that ended last, from what is told newest first. "Finished" stands beside the
/// result of the same run, which is the event before it.
fn verdict(told: &[(Word, &Event)]) -> (Option<&'static str>, Option<String>) {
    let (word, event, code) = match told {
        [(Word::Finished, end), (word @ (Word::Succeeded | Word::Failed), event), ..] => {
            (*word, *event, hresult(end).or_else(|| hresult(event)))
        }
        [(word, event), ..] => (*word, *event, hresult(event)),
        [] => return (None, None),
    };
    match (word, code) {
        (Word::Succeeded, None) => (Some("succeeded"), None),
        // The copy was made; the code says what was left out.
        (Word::Succeeded, Some(code)) => (Some("succeeded_with_warnings"), Some(named(code))),
        (Word::Failed, None) => (Some("failed"), Some(format!("event {}", event.id))),
        (Word::Failed | Word::Finished, Some(code)) => (Some("failed"), Some(named(code))),
        (Word::Finished | Word::Started, _) => (None, None),
    }
}

/// The run's result code, unless it says that all went well.
fn hresult(event: &Event) -> Option<u32> {
    let text = event.get("HRESULT")?.trim();
    let number = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) => u32::from_str_radix(hex, 16).ok(),
        None => text
            .parse::<i64>()
            .ok()
            .and_then(|n| u32::try_from(n).ok().or_else(|| i32::try_from(n).ok().map(i32::cast_unsigned))),
    };
    number.filter(|code| *code != 0)
}

/// A code with its word where it has one: `0x80070070 disk_full`.
fn named(code: u32) -> String {
    match REASONS.iter().find(|(codes, _)| codes.contains(&code)) {
        Some((_, word)) => format!("{code:#010x} {word}"),
        None => format!("{code:#010x}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(id: u32, at: &str, data: &[(&str, &str)]) -> Event {
        Event {
            id,
            level: if FAILED.contains(&id) { 2 } else { 4 },
            at: at.parse().unwrap(),
            provider: CHANNEL.into(),
            data: data.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            ..Event::default()
        }
    }

    fn told(events: &[Event]) -> (Option<Timestamp>, Option<String>, Option<String>) {
        let found = summary(events, "2026-11-23T00:00:00Z".parse().unwrap()).unwrap();
        (found.job.last_success, found.job.result, found.job.code)
    }

    #[test]
    fn finished_is_no_success_and_a_failure_keeps_the_last_one() {
        let good = [
            event(14, "2026-11-21T12:30:01Z", &[("HRESULT", "0")]),
            event(4, "2026-11-21T12:30:00Z", &[("HRESULT", "0x0")]),
            event(1, "2026-11-21T12:00:00Z", &[]),
        ];
        let at = "2026-11-21T12:30:00Z".parse().ok();
        assert_eq!(told(&good), (at, Some("succeeded".into()), None));
        let only_finished = [event(14, "2026-11-22T12:30:00Z", &[]), event(1, "2026-11-22T12:00:00Z", &[])];
        assert_eq!(told(&only_finished), (None, None, None));
        assert_eq!(told(&[&only_finished[..], &good].concat()), (at, None, None));
        let failed = [
            event(14, "2026-11-22T12:30:00Z", &[("HRESULT", "2147942512")]),
            event(5, "2026-11-22T12:29:59Z", &[]),
            event(1, "2026-11-22T12:00:00Z", &[]),
        ];
        let reason = Some("0x80070070 disk_full".to_owned());
        assert_eq!(told(&[&failed[..], &good].concat()), (at, Some("failed".into()), reason));
        assert_eq!(told(&failed[1..]).2.as_deref(), Some("event 5"));
        let never_began = event(517, "2026-11-22T12:00:00Z", &[]);
        assert_eq!(told(&[&[never_began][..], &good].concat()).1.as_deref(), Some("failed"));
    }

    #[test]
    fn every_error_is_a_failure_and_notices_are_none() {
        for id in FAILED {
            assert_eq!(told(&[event(id, "2026-11-22T12:00:00Z", &[])]).1.as_deref(), Some("failed"), "{id}");
        }
        let unknown = Event { level: 2, ..event(999, "2026-11-22T12:00:00Z", &[]) };
        assert_eq!(told(&[unknown]).1.as_deref(), Some("failed"));
        let now = "2026-11-23T00:00:00Z".parse().unwrap();
        assert_eq!(summary(&[event(753, "2026-11-22T12:00:00Z", &[])], now), None);
        assert_eq!(summary(&[event(4, "2027-01-01T00:00:00Z", &[])], now), None, "a clock ahead");
    }

    #[test]
    fn a_run_under_way_is_no_verdict() {
        let good = event(4, "2026-11-21T12:30:00Z", &[]);
        let running = event(1, "2026-11-22T23:00:00Z", &[]);
        let at = "2026-11-21T12:30:00Z".parse().ok();
        assert_eq!(told(&[running, good.clone()]), (at, Some("running".into()), None));
        let broken_off = event(1, "2026-11-20T23:00:00Z", &[]);
        assert_eq!(told(&[broken_off]), (None, None, None));
        let partly = Event { data: vec![("HRESULT".into(), "-2147212300".into())], ..good };
        assert_eq!(told(&[partly]).1.as_deref(), Some("succeeded_with_warnings"));
    }
}
