//! Logs of package managers: apt's `history.log`, `dpkg.log`, zypper's history, `pacman.log`.
//!
//! All but some lines of pacman's are in local time; the caller gives the machine's zone.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use tenken_shared::fact::updates::HistoryEntry;

use crate::probe::package::{deb822, zone};

/// One run of apt.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Transaction {
    /// When it began.
    pub start: Option<Timestamp>,
    /// When it ended; an unfinished one has none.
    pub end: Option<Timestamp>,
    /// What it did.
    pub entries: Vec<HistoryEntry>,
}

/// Reads `/var/log/apt/history.log`, oldest first.
#[must_use]
pub fn apt_history(bytes: &[u8], tz: &TimeZone) -> Vec<Transaction> {
    const OPERATIONS: [(&str, &str); 6] = [
        ("Install", "install"),
        ("Upgrade", "upgrade"),
        ("Downgrade", "downgrade"),
        ("Reinstall", "reinstall"),
        ("Remove", "remove"),
        ("Purge", "remove"),
    ];
    let mut out = vec![];
    for stanza in deb822::stanzas(bytes) {
        let time = |name: &str| {
            let text = stanza.text(name)?;
            let mut words = text.split_whitespace();
            zone::local(tz, words.next()?, words.next()?)
        };
        let (start, end) = (time("Start-Date"), time("End-Date"));
        if start.is_none() && end.is_none() {
            continue;
        }
        let result = match (end, stanza.get("Error")) {
            (None, _) => "in_progress",
            (Some(_), Some(_)) => "failed",
            (Some(_), None) => "succeeded",
        };
        let mut entries = vec![];
        for (field, operation) in OPERATIONS {
            let text = stanza.text(field).unwrap_or_default();
            entries.extend(apt_packages(&text).map(|(package, old, new)| HistoryEntry {
                package: Some(package.to_owned()),
                version: new.map(str::to_owned),
                previous_version: old.map(str::to_owned),
                operation: operation.to_owned(),
                result: result.to_owned(),
                at: end.or(start),
                ..HistoryEntry::default()
            }));
        }
        out.push(Transaction { start, end, entries });
    }
    for transaction in &mut out {
        for entry in &mut transaction.entries {
            if entry.operation == "remove" {
                entry.previous_version = entry.version.take();
            }
        }
    }
    out
}

/// `name:arch (old, new), name:arch (version, automatic)`: name, old version, new version.
fn apt_packages(text: &str) -> impl Iterator<Item = (&str, Option<&str>, Option<&str>)> {
    text.split("), ").filter_map(|part| {
        let (name, versions) = part.trim().split_once(" (")?;
        let mut versions = versions.trim_end_matches(')').split(", ").filter(|v| *v != "automatic");
        let (first, second) = (versions.next()?, versions.next());
        let name = name.rsplit_once(':').map_or(name, |(name, _)| name);
        Some(if second.is_some() { (name, Some(first), second) } else { (name, None, Some(first)) })
    })
}

/// Reads `dpkg.log`: only the lines that say what was begun (`install`, `upgrade`, `remove`, `purge`) and
/// only those that came to an end (`status installed`, `status not-installed`, `status config-files`).
#[must_use]
pub fn dpkg_log(bytes: &[u8], tz: &TimeZone) -> Vec<HistoryEntry> {
    let text = String::from_utf8_lossy(bytes);
    let mut begun: std::collections::HashMap<&str, (&str, Option<&str>)> = std::collections::HashMap::new();
    let mut out = vec![];
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let [date, time, rest @ ..] = words.as_slice() else { continue };
        match rest {
            [action @ ("install" | "upgrade" | "remove" | "purge"), package, old, ..] => {
                begun.insert(package, (action, Some(*old).filter(|o| *o != "<none>")));
            }
            ["status", state @ ("installed" | "config-files" | "not-installed"), package, version] => {
                let is_end =
                    |action: &str| (*state == "installed") == matches!(action, "install" | "upgrade");
                let Some((action, old)) = begun.get(package).copied().filter(|(a, _)| is_end(a)) else {
                    continue;
                };
                begun.remove(package);
                let removed = *state != "installed";
                out.push(HistoryEntry {
                    package: Some(package.rsplit_once(':').map_or(*package, |(n, _)| n).to_owned()),
                    version: (!removed).then(|| (*version).to_owned()),
                    previous_version: old.map(str::to_owned),
                    operation: if removed { "remove" } else { action }.to_owned(),
                    result: "succeeded".to_owned(),
                    at: zone::local(tz, date, time),
                    ..HistoryEntry::default()
                });
            }
            _ => {}
        }
    }
    out
}

/// Reads `/var/log/zypp/history`: `time|action|name|version|arch|...`.
#[must_use]
pub fn zypp_history(bytes: &[u8], tz: &TimeZone) -> Vec<HistoryEntry> {
    let text = String::from_utf8_lossy(bytes);
    let entry = |line: &str| {
        let fields: Vec<&str> = line.split('|').map(str::trim).collect();
        let [time, action @ ("install" | "remove"), name, version, ..] = fields.as_slice() else {
            return None;
        };
        let (date, time) = time.split_once(' ')?;
        let version = Some((*version).to_owned());
        let removed = *action == "remove";
        Some(HistoryEntry {
            package: Some((*name).to_owned()),
            version: version.clone().filter(|_| !removed),
            previous_version: version.filter(|_| removed),
            operation: (*action).to_owned(),
            result: "succeeded".to_owned(),
            at: zone::local(tz, date, time),
            ..HistoryEntry::default()
        })
    };
    text.lines().filter(|l| !l.starts_with('#')).filter_map(entry).collect()
}

/// Reads `pacman.log`: `[2026-05-20T09:00:00+0900] [ALPM] upgraded name (1-1 -> 1-2)`.
#[must_use]
pub fn pacman_log(bytes: &[u8], tz: &TimeZone) -> Vec<HistoryEntry> {
    let text = String::from_utf8_lossy(bytes);
    let entry = |line: &str| {
        let (time, rest) = line.strip_prefix('[')?.split_once("] [ALPM] ")?;
        let (verb, rest) = rest.split_once(' ')?;
        let operation = match verb {
            "installed" => "install",
            "upgraded" => "upgrade",
            "downgraded" => "downgrade",
            "reinstalled" => "reinstall",
            "removed" => "remove",
            _ => return None,
        };
        let (name, versions) = rest.trim_end().strip_suffix(')')?.split_once(" (")?;
        let (old, new) = match versions.split_once(" -> ") {
            Some((old, new)) => (Some(old), Some(new)),
            None if operation == "remove" => (Some(versions), None),
            None => (None, Some(versions)),
        };
        Some(HistoryEntry {
            package: Some(name.to_owned()),
            version: new.map(str::to_owned),
            previous_version: old.map(str::to_owned),
            operation: operation.to_owned(),
            result: "succeeded".to_owned(),
            at: pacman_time(time, tz),
            ..HistoryEntry::default()
        })
    };
    text.lines().filter_map(entry).collect()
}

fn pacman_time(text: &str, tz: &TimeZone) -> Option<Timestamp> {
    match text.split_once('T') {
        Some(_) => jiff::fmt::strtime::parse("%Y-%m-%dT%H:%M:%S%z", text).ok()?.to_timestamp().ok(),
        None => {
            let (date, time) = text.split_once(' ')?;
            zone::local(tz, date, &format!("{time}:00"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokyo() -> TimeZone {
        TimeZone::fixed(jiff::tz::offset(9))
    }

    #[test]
    fn apt_transactions() {
        let log = b"\nStart-Date: 2026-05-20  09:00:00\nCommandline: apt upgrade\nUpgrade: a:amd64 (1, 2), b:amd64 (1:3, 1:4)\n\
            Install: c:amd64 (5, automatic)\nEnd-Date: 2026-05-20  09:00:09\n\n\
            Start-Date: 2026-05-21  09:00:00\nRemove: d:amd64 (1.0)\nError: Sub-process failed\nEnd-Date: 2026-05-21  09:00:01\n\n\
            Start-Date: 2026-05-22  09:00:00\nUpgrade: e:amd64 (1, 2)\n";
        let all = apt_history(log, &tokyo());
        assert_eq!(all.len(), 3);
        assert_eq!(all[0].entries.len(), 3);
        assert_eq!(all[0].end.unwrap().to_string(), "2026-05-20T00:00:09Z");
        assert_eq!(all[0].entries[0].version.as_deref(), Some("5"));
        let b = &all[0].entries[2];
        assert_eq!((b.previous_version.as_deref(), b.version.as_deref()), (Some("1:3"), Some("1:4")));
        assert_eq!(
            (all[1].entries[0].result.as_str(), all[1].entries[0].version.as_deref()),
            ("failed", None)
        );
        assert_eq!(all[2].entries[0].result, "in_progress");
        assert_eq!(apt_history(b"\xff\0garbage", &tokyo()), []);
    }

    #[test]
    fn dpkg_operations_that_ended() {
        let log = b"2026-05-20 09:00:00 install a:amd64 <none> 1.0\n2026-05-20 09:00:01 status half-installed a:amd64 1.0\n\
            2026-05-20 09:00:02 status installed a:amd64 1.0\n2026-05-20 09:00:03 upgrade b:all 1 2\n\
            2026-05-20 09:01:00 remove a:amd64 1.0 <none>\n2026-05-20 09:01:01 status config-files a:amd64 1.0\n\
            2026-05-20 09:01:02 trigproc man-db:amd64 1 <none>\n2026-05-20 09:01:03 status installed man-db:amd64 1\ncut";
        let all = dpkg_log(log, &tokyo());
        let brief: Vec<_> =
            all.iter().map(|e| (e.package.as_deref().unwrap(), e.operation.as_str())).collect();
        assert_eq!(brief, [("a", "install"), ("a", "remove")]);
        assert_eq!(all[1].previous_version.as_deref(), Some("1.0"));
    }

    #[test]
    fn zypper_and_pacman() {
        let zypp = zypp_history(b"# c\n2026-05-20 09:00:00|command|root@x|'zypper'|\n2026-05-20 09:00:01|install|vim|9-1|x86_64|u|r|s|\n", &tokyo());
        assert_eq!((zypp.len(), zypp[0].version.as_deref()), (1, Some("9-1")));
        let log = b"[2026-05-20T09:00:00+0900] [ALPM] upgraded gawk (5-1 -> 5-2)\n[2019-07-10 16:38] [ALPM] removed x (1-1)\n\
            [2026-05-20T09:00:00+0900] [PACMAN] Running 'pacman'\n";
        let pacman = pacman_log(log, &tokyo());
        assert_eq!(pacman.len(), 2);
        assert_eq!(pacman[0].at.unwrap().to_string(), "2026-05-20T00:00:00Z");
        assert_eq!(pacman[1].at.unwrap().to_string(), "2019-07-10T07:38:00Z");
        assert_eq!(pacman[1].previous_version.as_deref(), Some("1-1"));
    }
}
