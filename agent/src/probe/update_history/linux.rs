//! Update history of Linux: apt, dpkg, dnf, zypper and pacman; for rpm systems without a log that can be
//! read, the install times in the rpm database.
//!
//! Newest first, at most [`MAX_ENTRIES`] of the last [`MAX_DAYS`] days; a source that was cut says so.
//! `dpkg.log` also records what apt did: lines inside a run of apt are left out.
//! Privilege: none on most systems; dnf's database is readable for root only on some.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use tenken_shared::collected::SourceState;
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
    "/usr/lib/sysimage/libdnf5/transaction_history.sqlite",
    "/var/log/zypp/history",
    "/var/log/pacman.log",
];

/// Most entries of the fact.
const MAX_ENTRIES: usize = 2_000;
/// How far back.
const MAX_DAYS: i64 = 400;
/// Rotated logs read: weekly ones of [`MAX_DAYS`].
const MAX_ROTATED: usize = 60;
/// Most bytes of one log, unpacked.
const MAX_LOG: u64 = 64 * 1024 * 1024;

const APT: &str = "/var/log/apt/history.log";
const DPKG: &str = "/var/log/dpkg.log";
/// A history of dnf: the file, what to ask it, and what its numbers of actions mean.
type Dnf = (&'static str, &'static str, fn(i64) -> &'static str);
const DNF4: Dnf = (
    "/var/lib/dnf/history.sqlite",
    // Actions and states as libdnf's swdb has them; only what changes what is installed is taken.
    "select r.name, r.epoch, r.version, r.release, i.action, t.dt_end, i.state = 1 and t.state = 1 \
     from trans t join trans_item i on i.trans_id = t.id join rpm r on r.item_id = i.item_id \
     where i.action in (1, 2, 4, 6, 8, 9) and coalesce(t.dt_end, t.dt_begin) >= ?1 \
     order by t.id desc limit ?2",
    |action| match action {
        1 => "install",
        2 => "downgrade",
        6 => "upgrade",
        9 => "reinstall",
        _ => "remove",
    },
);
// libdnf5's own tables, whose states are named in the database. The state of an item stays `Started` in
// releases that do not keep it: that of the transaction decides, and an `Error` of either.
const DNF5_SQL: &str = "select n.name, r.epoch, r.version, r.release, i.action_id, t.dt_end, \
     ts.name = 'Ok' and coalesce(its.name, '') <> 'Error' \
     from trans t join trans_item i on i.trans_id = t.id join rpm r on r.item_id = i.item_id \
     join pkg_name n on n.id = r.name_id left join trans_state ts on ts.id = t.state_id \
     left join trans_item_state its on its.id = i.state_id \
     where i.action_id between 1 and 5 and max(coalesce(t.dt_end, 0), t.dt_begin) >= ?1 \
     order by t.id desc limit ?2";
const DNF5_ACTION: fn(i64) -> &'static str = |action| match action {
    1 => "install",
    2 => "upgrade",
    3 => "downgrade",
    4 => "reinstall",
    _ => "remove",
};
const DNF: &[Dnf] = &[
    DNF4,
    ("/usr/lib/sysimage/libdnf5/transaction_history.sqlite", DNF5_SQL, DNF5_ACTION),
    ("/var/lib/dnf/transaction_history.sqlite", DNF5_SQL, DNF5_ACTION),
];
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

/// A log with its rotated parts.
#[derive(Debug, Default)]
struct Log {
    /// Newest first.
    parts: Vec<Vec<u8>>,
    /// Whether there are older parts than were read.
    truncated: bool,
}

/// Reads a log with its rotated parts, which logrotate names by number (`.1` the newest) or by date. Right
/// after a rotation there may be rotated ones only.
fn logs(sys: &Sys, path: &str) -> Result<Log, SysError> {
    let (folder, base) = path.rsplit_once('/').unwrap_or(("", path));
    let entries = match sys.list(folder) {
        Ok(entries) => entries,
        Err(SysError::Absent { .. }) => vec![],
        Err(error) => return Err(error),
    };
    let mut rotated: Vec<(Age, &str)> =
        entries.iter().filter_map(|e| Some((age(base, &e.name)?, e.name.as_str()))).collect();
    rotated.sort_unstable();
    let mut out = Log { truncated: rotated.len() > MAX_ROTATED, ..Log::default() };
    match sys.read_capped(path, MAX_LOG) {
        Ok(bytes) => out.parts.push(bytes),
        Err(SysError::Absent { .. }) if !rotated.is_empty() => {}
        Err(error) => return Err(error),
    }
    for (_, name) in rotated.into_iter().take(MAX_ROTATED) {
        let name = format!("{folder}/{name}");
        let mut bytes = vec![];
        let read = std::io::Read::read_to_end(
            &mut std::io::Read::take(unpack::open(sys, &name)?, MAX_LOG),
            &mut bytes,
        );
        read.map_err(|e| SysError::malformed(&name, e))?;
        out.parts.push(bytes);
    }
    Ok(out)
}

/// Order of rotated logs, the newest least: small numbers first, then late dates.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Age {
    Number(u64),
    Date(std::cmp::Reverse<u64>),
}

/// What a file is among the rotated parts of the log `base`; `None` where it is none.
fn age(base: &str, name: &str) -> Option<Age> {
    let rest = name.strip_prefix(base)?;
    let rest = unpack::ENDINGS[1..].iter().find_map(|e| rest.strip_suffix(e)).unwrap_or(rest);
    let digits = rest.strip_prefix(['.', '-'])?.replace('-', "");
    let number = digits.parse().ok().filter(|_| digits.bytes().all(|b| b.is_ascii_digit()))?;
    Some(if digits.len() < 8 { Age::Number(number) } else { Age::Date(std::cmp::Reverse(number)) })
}

fn debian(sys: &Sys, zone: &TimeZone, body: &mut UpdateHistory) {
    let mut runs: Vec<(Timestamp, Timestamp)> = vec![];
    match logs(sys, APT) {
        Ok(log) => {
            let before = body.items.len();
            for transaction in log.parts.iter().flat_map(|bytes| parse::apt_history(bytes, zone)) {
                if let (Some(start), Some(end)) = (transaction.start, transaction.end) {
                    runs.push((start, end));
                }
                body.items.extend(transaction.entries);
            }
            body.sources.push(state(format!("apt:{APT}"), body.items.len() - before, log.truncated));
        }
        Err(error) => body.sources.push(settle::gap(format!("apt:{APT}"), &error)),
    }
    runs.sort();
    let in_run = |at: Timestamp| {
        let after = runs.partition_point(|(start, _)| *start <= at);
        after > 0 && runs[after - 1].1 >= at
    };
    match logs(sys, DPKG) {
        Ok(log) => {
            let before = body.items.len();
            let entries = log.parts.iter().flat_map(|bytes| parse::dpkg_log(bytes, zone));
            body.items.extend(entries.filter(|e| !e.at.is_some_and(in_run)));
            body.sources.push(state(format!("dpkg:{DPKG}"), body.items.len() - before, log.truncated));
        }
        Err(error) => body.sources.push(settle::gap(format!("dpkg:{DPKG}"), &error)),
    }
}

fn state(source: String, count: usize, truncated: bool) -> SourceState {
    SourceState { truncated, ..SourceState::known(source, count) }
}

/// One log that is read line by line; gives whether it was there.
fn log(
    sys: &Sys,
    path: &str,
    name: &str,
    body: &mut UpdateHistory,
    read: impl Fn(&[u8]) -> Vec<HistoryEntry>,
) -> bool {
    let source = format!("{name}:{path}");
    match logs(sys, path) {
        Ok(log) => {
            let before = body.items.len();
            body.items.extend(log.parts.iter().flat_map(|bytes| read(bytes)));
            body.sources.push(state(source, body.items.len() - before, log.truncated));
            true
        }
        Err(SysError::Absent { .. }) => false,
        Err(error) => {
            body.sources.push(settle::gap(source, &error));
            true
        }
    }
}

/// dnf's transactions, of dnf 4 and of dnf 5; gives whether a history was read.
fn dnf_history(sys: &Sys, since: Timestamp, body: &mut UpdateHistory) -> bool {
    let mut any = false;
    for (path, sql, operation) in DNF {
        let source = format!("dnf:{path}");
        match dnf_entries(sys, path, sql, *operation, since) {
            Ok(entries) => {
                any = true;
                body.sources.push(state(source, entries.len(), entries.len() >= MAX_ENTRIES));
                body.items.extend(entries);
            }
            Err(SysError::Absent { .. }) => {}
            Err(error) => body.sources.push(settle::gap(source, &error)),
        }
    }
    any
}

/// Transactions of one database. Both shapes are asked for the same columns: name, epoch, version, release,
/// action, whether the package was done, when the transaction ended (0 or nothing while it runs, or where it
/// broke off), and its state: 1 is done in dnf 4, 2 in dnf 5, and the question says so.
fn dnf_entries(
    sys: &Sys,
    path: &str,
    sql: &str,
    operation: fn(i64) -> &'static str,
    since: Timestamp,
) -> Result<Vec<HistoryEntry>, SysError> {
    let db = sys.sqlite(path)?;
    let failed = |e: rusqlite::Error| db.error(&e);
    let mut query = db.connection().prepare(sql).map_err(failed)?;
    let mut rows = query.query((since.as_second(), MAX_ENTRIES as i64)).map_err(failed)?;
    let mut out = vec![];
    while let Some(row) = rows.next().map_err(failed)? {
        let text = |i: usize| row.get::<_, String>(i).map_err(failed);
        let number = |i: usize| row.get::<_, Option<i64>>(i).map_err(failed);
        let epoch = number(1)?.filter(|e| *e > 0);
        let (version, release) = (text(2)?, text(3)?);
        let evr =
            epoch.map_or_else(|| format!("{version}-{release}"), |e| format!("{e}:{version}-{release}"));
        let operation = operation(number(4)?.unwrap_or_default());
        let end = number(5)?.filter(|s| *s > 0);
        let result = match (end, number(6)? == Some(1)) {
            (None, _) => "in_progress",
            (Some(_), true) => "succeeded",
            (Some(_), false) => "failed",
        };
        let removed = operation == "remove";
        out.push(HistoryEntry {
            package: Some(text(0)?),
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
    use tenken_shared::collected::{Collected, Status};

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
    fn dnf_5_keeps_what_was_done_apart_from_what_was_only_begun() {
        let found = history(&Fixture::of("update_history/linux-dnf5"));
        assert_eq!(found.status(), Status::Known, "{:?}", found.reason());
        let items = &found.value().unwrap().items;
        let brief: Vec<_> = items
            .iter()
            .map(|e| (e.package.as_deref().unwrap(), e.operation.as_str(), e.result.as_str(), e.at.is_some()))
            .collect();
        assert_eq!(
            brief,
            [
                ("broken", "upgrade", "failed", true),
                ("half", "upgrade", "failed", true),
                ("old-tools", "remove", "succeeded", true),
                ("openssl", "upgrade", "succeeded", true),
                ("base", "install", "succeeded", true),
                ("begun", "upgrade", "in_progress", false),
            ]
        );
        assert_eq!(items[3].version.as_deref(), Some("1:3.2.6-1.fc42"));
        assert_eq!(items[2].previous_version.as_deref(), Some("1.0-1.fc42"));
    }

    #[test]
    fn rotated_logs_are_read_by_number_and_by_date() {
        let line = |package: &str, day: u8| {
            format!("2026-10-{day:02} 09:00:00|install|{package}|1-1|x86_64|root|repo|0123|\n")
        };
        let fixture = Fixture::empty();
        fixture
            .write("/etc/timezone", "UTC\n")
            .write(&format!("{ZYPP}-20261005"), line("b", 5))
            .write(&format!("{ZYPP}-20261001.gz"), gzip(&line("a", 1)))
            .write(&format!("{ZYPP}.old"), line("x", 9));
        let names = |fixture: &Fixture| -> Vec<String> {
            let found = history(fixture);
            assert_eq!(found.status(), Status::Known, "{:?}", found.reason());
            found.value().unwrap().items.iter().filter_map(|e| e.package.clone()).collect()
        };
        assert_eq!(names(&fixture), ["b", "a"], "right after a rotation");
        fixture.write(ZYPP, line("c", 9));
        assert_eq!(names(&fixture), ["c", "b", "a"]);
        let ages: Vec<_> =
            ["history.2.gz", "history-20261005.xz", "history.1", "history.old", "history", "history-x"]
                .iter()
                .map(|name| age("history", name))
                .collect();
        let date = Age::Date(std::cmp::Reverse(20_261_005));
        assert_eq!(ages, [Some(Age::Number(2)), Some(date), Some(Age::Number(1)), None, None, None]);
        assert!(Age::Date(std::cmp::Reverse(2)) < Age::Date(std::cmp::Reverse(1)));
        for number in 0..=MAX_ROTATED {
            fixture.write(&format!("{ZYPP}.{number}"), "");
        }
        assert_eq!(history(&fixture).status(), Status::Partial, "more than are read");
    }

    fn gzip(text: &str) -> Vec<u8> {
        let mut out = flate2::write::GzEncoder::new(vec![], flate2::Compression::fast());
        std::io::Write::write_all(&mut out, text.as_bytes()).unwrap();
        out.finish().unwrap()
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
        fixture.write(DNF4.0, vec![0xA5; 4096]);
        assert_eq!(history(&fixture).status(), Status::Failed);
    }
}
