//! Update history of Linux: apt, dpkg, dnf, zypper and pacman; for rpm systems without a log that can be
//! read, the install times in the rpm database.
//!
//! Newest first, at most [`MAX_ENTRIES`] of the last [`MAX_DAYS`] days; a source that was cut says so.
//! `dpkg.log` also records what apt did: lines inside a run of apt are left out.
//! Privilege: none on most systems; dnf's database is readable for root only on some.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use tenken_shared::collected::{Reason, SourceState, Status};
use tenken_shared::fact::updates::{HistoryEntry, UpdateHistory};

use super::parse;
use crate::probe::Collection;
use crate::probe::package::{rpmdb, settle, unpack};
use crate::sys::{Sys, SysError};

/// Logs and databases of package managers.
pub const WATCH: &[&str] = &[
    "/var/log/apt/history.log",
    "/var/log/dpkg.log",
    "/var/lib/dnf/history.sqlite",
    "/var/log/zypp/history",
    "/var/log/pacman.log",
];

/// Most entries of the fact.
const MAX_ENTRIES: usize = 2_000;
/// How far back.
const MAX_DAYS: i64 = 400;
/// Rotated logs read, `.1` the newest.
const MAX_ROTATED: usize = 24;
/// Most bytes of one log, unpacked.
const MAX_LOG: u64 = 64 * 1024 * 1024;

const APT: &str = "/var/log/apt/history.log";
const DPKG: &str = "/var/log/dpkg.log";
const DNF: &str = "/var/lib/dnf/history.sqlite";
const DNF5: [&str; 2] =
    ["/usr/lib/sysimage/libdnf5/transaction_history.sqlite", "/var/lib/dnf/transaction_history.sqlite"];
const ZYPP: &str = "/var/log/zypp/history";
const PACMAN: &str = "/var/log/pacman.log";

pub fn collect(sys: &Sys) -> Vec<Collection> {
    let mut body = UpdateHistory::default();
    let since = sys.now() - SignedDuration::from_hours(24 * MAX_DAYS);
    let zone = match sys.time_zone() {
        Ok(zone) => zone,
        Err(error) => {
            // Local times of logs are then up to a day off.
            body.sources.push(settle::gap("/etc/localtime", &error));
            TimeZone::UTC
        }
    };
    debian(sys, &zone, &mut body);
    let dnf = dnf_history(sys, since, &mut body);
    let zypp = log(sys, ZYPP, "zypp", &mut body, |bytes| parse::zypp_history(bytes, &zone));
    log(sys, PACMAN, "pacman", &mut body, |bytes| parse::pacman_log(bytes, &zone));
    if !dnf && !zypp {
        rpm_times(sys, &mut body);
    }
    body.items.retain(|e| e.at.is_none_or(|at| at >= since));
    body.items.sort_by(|a, b| b.at.cmp(&a.at).then_with(|| a.package.cmp(&b.package)));
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

/// A log with its rotated parts, newest first.
fn logs(sys: &Sys, path: &str) -> Result<Vec<Vec<u8>>, SysError> {
    let mut out = vec![sys.read_capped(path, MAX_LOG)?];
    for number in 1..=MAX_ROTATED {
        let names =
            [format!("{path}.{number}"), format!("{path}.{number}.gz"), format!("{path}.{number}.xz")];
        let Some(name) = names.iter().find(|n| sys.exists(n).unwrap_or(false)) else { break };
        let mut bytes = vec![];
        let read = std::io::Read::read_to_end(
            &mut std::io::Read::take(unpack::open(sys, name)?, MAX_LOG),
            &mut bytes,
        );
        read.map_err(|e| SysError::malformed(name, e))?;
        out.push(bytes);
    }
    Ok(out)
}

fn debian(sys: &Sys, zone: &TimeZone, body: &mut UpdateHistory) {
    let mut runs: Vec<(Timestamp, Timestamp)> = vec![];
    match logs(sys, APT) {
        Ok(parts) => {
            let before = body.items.len();
            for transaction in parts.iter().flat_map(|bytes| parse::apt_history(bytes, zone)) {
                if let (Some(start), Some(end)) = (transaction.start, transaction.end) {
                    runs.push((start, end));
                }
                body.items.extend(transaction.entries);
            }
            body.sources.push(SourceState::known(format!("apt:{APT}"), body.items.len() - before));
        }
        Err(error) => body.sources.push(settle::gap(format!("apt:{APT}"), &error)),
    }
    runs.sort();
    let in_run = |at: Timestamp| {
        let after = runs.partition_point(|(start, _)| *start <= at);
        after > 0 && runs[after - 1].1 >= at
    };
    match logs(sys, DPKG) {
        Ok(parts) => {
            let before = body.items.len();
            let entries = parts.iter().flat_map(|bytes| parse::dpkg_log(bytes, zone));
            body.items.extend(entries.filter(|e| !e.at.is_some_and(in_run)));
            body.sources.push(SourceState::known(format!("dpkg:{DPKG}"), body.items.len() - before));
        }
        Err(error) => body.sources.push(settle::gap(format!("dpkg:{DPKG}"), &error)),
    }
}

/// One plain log; gives whether it was there.
fn log(
    sys: &Sys,
    path: &str,
    name: &str,
    body: &mut UpdateHistory,
    read: impl Fn(&[u8]) -> Vec<HistoryEntry>,
) -> bool {
    let source = format!("{name}:{path}");
    match sys.read_capped(path, MAX_LOG) {
        Ok(bytes) => {
            let entries = read(&bytes);
            body.sources.push(SourceState::known(source, entries.len()));
            body.items.extend(entries);
            true
        }
        Err(SysError::Absent { .. }) => false,
        Err(error) => {
            body.sources.push(settle::gap(source, &error));
            true
        }
    }
}

/// dnf's transactions; gives whether a history was read. That of dnf 5 is of another shape and counts as
/// not readable, so that install times stand in for it.
fn dnf_history(sys: &Sys, since: Timestamp, body: &mut UpdateHistory) -> bool {
    if let Some(path) = DNF5.iter().find(|p| sys.exists(p).unwrap_or(false)) {
        let reason = Reason::with("format_not_supported", "dnf5");
        body.sources.push(SourceState::gap(format!("dnf:{path}"), Status::Unsupported, reason));
    }
    let source = format!("dnf:{DNF}");
    match dnf_entries(sys, since) {
        Ok(entries) => {
            let count = entries.len();
            body.sources
                .push(SourceState { truncated: count >= MAX_ENTRIES, ..SourceState::known(source, count) });
            body.items.extend(entries);
            true
        }
        Err(SysError::Absent { .. }) => false,
        Err(error) => {
            body.sources.push(settle::gap(source, &error));
            false
        }
    }
}

/// Actions and states as libdnf's swdb has them; only what changes what is installed is taken.
fn dnf_entries(sys: &Sys, since: Timestamp) -> Result<Vec<HistoryEntry>, SysError> {
    const SQL: &str = "select r.name, r.epoch, r.version, r.release, i.action, i.state, t.dt_end, t.state \
        from trans t join trans_item i on i.trans_id = t.id join rpm r on r.item_id = i.item_id \
        where i.action in (1, 2, 4, 6, 8, 9) and coalesce(t.dt_end, t.dt_begin) >= ?1 order by t.id desc limit ?2";
    let db = sys.sqlite(DNF)?;
    let failed = |e: rusqlite::Error| db.error(&e);
    let mut query = db.connection().prepare(SQL).map_err(failed)?;
    let mut rows = query.query((since.as_second(), MAX_ENTRIES as i64)).map_err(failed)?;
    let mut out = vec![];
    while let Some(row) = rows.next().map_err(failed)? {
        let text = |i: usize| row.get::<_, String>(i);
        let number = |i: usize| row.get::<_, Option<i64>>(i);
        let epoch = number(1).map_err(failed)?.filter(|e| *e > 0);
        let (version, release) = (text(2).map_err(failed)?, text(3).map_err(failed)?);
        let evr =
            epoch.map_or_else(|| format!("{version}-{release}"), |e| format!("{e}:{version}-{release}"));
        let action = number(4).map_err(failed)?;
        let operation = match action {
            Some(1) => "install",
            Some(2) => "downgrade",
            Some(6) => "upgrade",
            Some(9) => "reinstall",
            _ => "remove",
        };
        let end = number(6).map_err(failed)?;
        let done = |i: usize| number(i).map(|s| s == Some(1));
        let result = match (end, done(5).map_err(failed)? && done(7).map_err(failed)?) {
            (None, _) => "in_progress",
            (Some(_), true) => "succeeded",
            (Some(_), false) => "failed",
        };
        let removed = operation == "remove";
        out.push(HistoryEntry {
            package: Some(text(0).map_err(failed)?),
            version: Some(evr.clone()).filter(|_| !removed),
            previous_version: Some(evr).filter(|_| removed),
            operation: operation.to_owned(),
            result: result.to_owned(),
            at: end.and_then(|s| Timestamp::from_second(s).ok()),
            ..HistoryEntry::default()
        });
    }
    Ok(out)
}

/// When what is installed now was installed: all that is left without a history.
fn rpm_times(sys: &Sys, body: &mut UpdateHistory) {
    let databases = match rpmdb::find(sys) {
        Ok(databases) => databases,
        Err(error) => return body.sources.push(settle::gap("rpm", &error)),
    };
    for database in databases {
        let source = format!("rpm:{}", database.path);
        let before = body.items.len();
        let items = &mut body.items;
        let read = rpmdb::for_each(sys, &database, &mut |p| {
            items.push(HistoryEntry {
                version: Some(p.evr()),
                package: Some(p.name),
                operation: "install".to_owned(),
                result: "succeeded".to_owned(),
                at: p.installed.and_then(|s| Timestamp::from_second(s).ok()),
                ..HistoryEntry::default()
            });
        });
        let count = body.items.len() - before;
        body.sources.push(match read {
            Ok(_) => SourceState::known(source, count),
            Err(error) => settle::gap(source, &error),
        });
    }
}

#[cfg(test)]
mod tests {
    use tenken_shared::collected::Collected;

    use super::super::{PROBE, ProbeConfig};
    use super::*;
    use crate::probe::fixture::Fixture;

    fn history(fixture: &Fixture) -> Collected<UpdateHistory> {
        fixture.collect(&PROBE, &ProbeConfig::default())
    }

    #[test]
    fn apt_and_dpkg_are_joined_without_doubles() {
        let fixture = Fixture::empty();
        fixture
            .write("/etc/timezone", "UTC\n")
            .write(APT, "Start-Date: 2026-05-20  09:00:00\nUpgrade: a:amd64 (1, 2)\nEnd-Date: 2026-05-20  09:00:09\n\n")
            .write(
                DPKG,
                "2026-05-20 09:00:01 upgrade a:amd64 1 2\n2026-05-20 09:00:02 status installed a:amd64 2\n\
                 2026-05-21 09:00:01 install b:all <none> 3\n2026-05-21 09:00:02 status installed b:all 3\n\
                 2020-01-01 09:00:01 install c:all <none> 3\n2020-01-01 09:00:02 status installed c:all 3\n",
            );
        let found = history(&fixture);
        let names: Vec<_> =
            found.value().unwrap().items.iter().filter_map(|e| e.package.as_deref()).collect();
        assert_eq!(names, ["b", "a"]);
    }

    #[test]
    fn dnf_transactions_from_its_own_database() {
        let found = history(&Fixture::of("update_history/linux-dnf"));
        assert_eq!(found.status(), Status::Known, "{:?}", found.reason());
        let items = &found.value().unwrap().items;
        let brief: Vec<_> = items.iter().map(|e| (e.package.as_deref(), e.version.as_deref())).collect();
        assert_eq!(
            brief,
            [(Some("tenken-demo"), Some("1:1.2-3")), (Some("tenken-demo-tools"), Some("1:1.2-3"))]
        );
        assert!(items.iter().all(|e| e.operation == "install" && e.result == "succeeded" && e.at.is_some()));
    }

    #[test]
    fn cap_says_that_it_cut() {
        let fixture = Fixture::empty();
        let mut log = String::new();
        for n in 0..=MAX_ENTRIES {
            log.push_str(&format!("[2026-05-20T09:00:00+0900] [ALPM] installed p{n} (1-1)\n"));
        }
        fixture.write(PACMAN, log);
        let found = history(&fixture);
        assert_eq!(found.value().unwrap().items.len(), MAX_ENTRIES);
        assert!(found.value().unwrap().sources.iter().any(|s| s.truncated));
    }

    #[test]
    fn machine_without_logs_is_absent_and_a_damaged_database_failed() {
        let fixture = Fixture::empty();
        assert_eq!(history(&fixture).status(), Status::Absent);
        fixture.write(DNF, vec![0xA5; 4096]);
        assert_eq!(history(&fixture).status(), Status::Failed);
    }
}
