//! Update history of Windows: the update agent's own, the event log's, servicing packages, and updates among
//! the uninstall entries (Office, .NET).
//!
//! The agent's history is lost when its folder is cleared, the event log rolls over, servicing keeps no
//! failures: together they tell most. What several of them tell is one entry. Only `succeeded` counts as
//! installed; a later `remove` takes it back. Under a root folder the agent's history is `live_only`.
//! Privilege: none, except that servicing and the event log may need an administrator.

use std::path::Path;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tenken_shared::collected::SourceState;
use tenken_shared::fact::updates::{HistoryEntry, UpdateHistory};

use crate::probe::package::settle;
use crate::probe::servicing::{self, SERVICING};
use crate::probe::software;
use crate::probe::updates::memory;
use crate::probe::updates::parse_windows::{PackageState, event_entry, history_entry};
use crate::probe::{Collection, ProbeConfig};
use crate::sys::windows_update::reason_of;
use crate::sys::{EventQuery, Sys, SysError};

/// Most entries of the fact.
const MAX_ENTRIES: usize = 2_000;
/// How far back.
const MAX_DAYS: i64 = 400;
/// Longest the update agent may take for its history.
const LIMIT: Duration = Duration::from_secs(60);
const CHANNEL: &str = "System";
const PROVIDER: &str = "Microsoft-Windows-WindowsUpdateClient";
/// Installed, failed, installation started.
const EVENTS: [u32; 3] = [19, 20, 43];
/// Two records of one operation lie closer than this.
const SAME: SignedDuration = SignedDuration::from_hours(1);
/// Servicing finishes with the restart, days after the agent's record.
const SERVICED: SignedDuration = SignedDuration::from_hours(24 * 7);

pub fn collect(sys: &Sys, config: &ProbeConfig) -> Vec<Collection> {
    let mut body = UpdateHistory::default();
    let since = sys.now() - SignedDuration::from_hours(24 * MAX_DAYS);
    agent(sys, config.state_dir.as_deref(), &mut body);
    events(sys, since, &mut body);
    packages(sys, &mut body);
    for (entries, state) in software::windows_update_entries(sys) {
        add(&mut body.items, entries, SAME);
        body.sources.push(state);
    }
    body.items.retain(|e| e.at.is_none_or(|at| at >= since));
    body.items.sort_by(|a, b| b.at.cmp(&a.at).then_with(|| (&a.id, &a.package).cmp(&(&b.id, &b.package))));
    if body.items.len() > MAX_ENTRIES {
        body.items.truncate(MAX_ENTRIES);
        for source in body.sources.iter_mut().filter(|s| s.count > 0) {
            source.truncated = true;
        }
    }
    let sources = body.sources.clone();
    let line = settle::source_line(&sources);
    vec![Collection::of(settle::by_sources(body, &sources, "no_history_kept"), line, sys.now())]
}

fn agent(sys: &Sys, folder: Option<&Path>, body: &mut UpdateHistory) {
    const SOURCE: &str = "windows_update:history";
    let answered = memory::history(sys, folder, LIMIT).and_then(|answer| {
        answer.history.map_err(|code| SysError::Failed {
            what: SOURCE.into(),
            reason: reason_of(&code).into(),
            detail: code,
        })
    });
    match answered {
        Ok(history) => {
            let mut state = SourceState::known(SOURCE, history.entries.len());
            state.truncated = history.truncated;
            body.items.extend(history.entries.iter().map(history_entry));
            body.sources.push(state);
        }
        Err(error) => body.sources.push(settle::gap(SOURCE, &error)),
    }
}

fn events(sys: &Sys, since: Timestamp, body: &mut UpdateHistory) {
    let source = format!("event_log:{CHANNEL}/{PROVIDER}");
    let query = EventQuery {
        channel: CHANNEL.into(),
        provider: Some(PROVIDER.into()),
        ids: EVENTS.to_vec(),
        since: Some(since),
        limit: 5_000,
    };
    match sys.events(&query) {
        Ok(found) => {
            let read = found.events.iter().filter_map(|e| event_entry(e.id, e.at, &e.data)).collect();
            let entries = finished(read);
            let mut state = SourceState::known(source, entries.len());
            state.truncated = found.truncated;
            body.sources.push(state);
            add(&mut body.items, entries, SAME);
        }
        Err(error) => body.sources.push(settle::gap(source, &error)),
    }
}

/// Leaves out what began and ended later: only an installation whose end is not logged is under way.
fn finished(entries: Vec<HistoryEntry>) -> Vec<HistoryEntry> {
    let ended = |start: &HistoryEntry| {
        entries.iter().any(|e| e.result != "in_progress" && e.package == start.package && e.at >= start.at)
    };
    let open: Vec<bool> = entries.iter().map(|e| e.result != "in_progress" || !ended(e)).collect();
    entries.into_iter().zip(open).filter(|(_, keep)| *keep).map(|(entry, _)| entry).collect()
}

fn packages(sys: &Sys, body: &mut UpdateHistory) {
    let source = format!("{SERVICING}\\Packages");
    match servicing::packages(sys) {
        Ok(packages) => {
            body.sources.push(SourceState::known(source, packages.len()));
            let entries = packages.into_iter().filter_map(package_entry).collect();
            add(&mut body.items, entries, SERVICED);
        }
        Err(error) => body.sources.push(settle::gap(source, &error)),
    }
}

fn package_entry(package: servicing::Package) -> Option<HistoryEntry> {
    let result = match package.state {
        PackageState::Installed => "succeeded",
        PackageState::InstallPending => "in_progress",
        PackageState::Partly => "succeeded_with_errors",
        PackageState::RemovePending | PackageState::Other => return None,
    };
    Some(HistoryEntry {
        id: software::parse_windows::kb_number(&package.name),
        package: Some(package.name),
        version: Some(package.version),
        operation: "install".into(),
        result: result.into(),
        at: package.installed_at,
        ..HistoryEntry::default()
    })
}

/// Adds what is not told yet: the same update and result within `span`.
fn add(items: &mut Vec<HistoryEntry>, entries: Vec<HistoryEntry>, span: SignedDuration) {
    let near = |a: Option<Timestamp>, b: Option<Timestamp>| match (a, b) {
        (Some(a), Some(b)) => a.duration_since(b).abs() <= span,
        _ => true,
    };
    let told = items.len();
    for entry in entries {
        let same = |known: &HistoryEntry| {
            let update = (known.package.is_some() && known.package == entry.package)
                || (known.id.is_some() && known.id == entry.id);
            update
                && known.operation == entry.operation
                && known.result == entry.result
                && near(known.at, entry.at)
        };
        if !items.iter().take(told).any(same) {
            items.push(entry);
        }
    }
}

#[cfg(test)]
mod tests {
    use tenken_shared::collected::Collected;

    use super::super::PROBE;
    use super::*;
    use crate::probe::fixture::{Fixture, corpus};

    fn entry(id: &str, package: &str, result: &str, at: &str) -> HistoryEntry {
        HistoryEntry {
            id: Some(id.into()),
            package: Some(package.into()),
            operation: "install".into(),
            result: result.into(),
            at: Some(at.parse().unwrap()),
            ..HistoryEntry::default()
        }
    }

    #[test]
    fn one_operation_told_twice_is_one_entry_and_a_second_try_is_another() {
        let mut items = vec![entry("KB1234567", "a", "failed", "2026-11-11T01:00:00Z")];
        let more = vec![
            entry("KB1234567", "a", "failed", "2026-11-11T01:00:40Z"),
            entry("KB1234567", "a", "succeeded", "2026-11-11T01:20:00Z"),
            entry("KB1234567", "a", "failed", "2026-11-12T01:00:00Z"),
        ];
        add(&mut items, more, SAME);
        assert_eq!(items.len(), 3);
    }

    fn read(fixture: &Fixture) -> Collected<UpdateHistory> {
        fixture.collect(&PROBE, &ProbeConfig::default())
    }

    #[test]
    fn servicing_and_uninstall_entries_tell_what_is_installed() {
        let found = read(&Fixture::of("update_history/windows-11-ja"));
        let mut told: Vec<_> = found
            .value()
            .unwrap()
            .items
            .iter()
            .map(|e| format!("{} {}", e.id.as_deref().or(e.package.as_deref()).unwrap(), e.result))
            .collect();
        told.sort();
        assert_eq!(
            told,
            ["KB5002623 succeeded", "KB5056579 succeeded", "RollupFix in_progress", "RollupFix succeeded"]
        );
    }

    #[test]
    fn results_in_a_real_event_log() {
        let Some(folder) = corpus("windows-evtx") else { return };
        let packed = std::fs::read(folder.join("evtx/system-win10.evtx.xz")).unwrap();
        let mut log = vec![];
        lzma_rs::xz_decompress(&mut packed.as_slice(), &mut log).unwrap();
        let expected: serde_json::Value = serde_json::from_slice(
            &std::fs::read(folder.join("evtx/system-win10.evtx.xz.expected.json")).unwrap(),
        )
        .unwrap();
        let count = |id: &str| {
            expected["facts"]["by_provider_event"][format!("{PROVIDER}/{id}")].as_u64().unwrap() as usize
        };
        let fixture = Fixture::empty();
        fixture.folder("/Windows/System32/config").write("/Windows/System32/winevt/Logs/System.evtx", log);
        let sys = Sys::at_root(&fixture.path("/"), Some("2018-03-07T00:00:00Z".parse().unwrap())).unwrap();
        let mut body = UpdateHistory::default();
        events(&sys, "2017-01-01T00:00:00Z".parse().unwrap(), &mut body);
        let of = |result: &str| body.items.iter().filter(|e| e.result == result).count();
        assert_eq!((of("succeeded"), of("failed")), (count("19"), count("20")), "{:?}", body.sources);
        assert!(body.items.iter().filter(|e| e.result == "failed").all(|e| e.code.is_some()));
    }

    #[test]
    fn what_began_and_ended_is_not_under_way() {
        let began = entry("KB1", "a", "in_progress", "2026-11-11T01:00:00Z");
        let ended = entry("KB1", "a", "succeeded", "2026-11-11T01:10:00Z");
        let open = entry("KB2", "b", "in_progress", "2026-11-11T01:00:00Z");
        assert_eq!(finished(vec![ended.clone(), began, open.clone()]), [ended, open]);
    }
}
