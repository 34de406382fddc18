//! What kernel messages tell of the past: journals kept on disk and in memory, and text logs of syslog daemons
//! with their rotated copies. Read line by line, never whole.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use tenken_shared::collected::{Reason, Status};
use tenken_shared::fact::removable::Seen;

use super::{Ledger, seen};
use crate::probe::removable_devices::kernel_log::{Joiner, Moment, concerns_usb, stamp, syslog_line};
use crate::probe::sources::Sources;
use crate::sys::{JOURNAL_FOLDERS, Sys, SysError};

const LOGS: [&str; 3] = ["kern.log", "messages", "syslog"];
const MAX_LOG_BYTES: u64 = 256 * 1024 * 1024;
const MAX_MESSAGES: usize = 2_000_000;
/// A system that logs writes something within this; a log that ended longer ago says nothing of what came after.
const LONGEST_SILENCE: SignedDuration = SignedDuration::from_hours(24);
/// Bytes of a line that hold its time.
const STAMP_BYTES: usize = 40;

/// A source that tells of everything between two moments.
pub(super) struct Span {
    source: String,
    since: Moment,
    until: Timestamp,
}

/// Since when `spans` tell of everything up to `now`, and which of them reaches that far.
pub(super) fn reach(mut spans: Vec<Span>, now: Timestamp) -> Option<Seen> {
    spans.sort_by_key(|span| std::cmp::Reverse(span.until));
    let mut needed = now.checked_sub(LONGEST_SILENCE).ok()?;
    let mut first: Option<Span> = None;
    for span in spans.into_iter().filter(|span| span.since.at <= now) {
        if span.until < needed {
            break;
        }
        if first.as_ref().is_none_or(|first| span.since.at < first.since.at) {
            needed = span.since.at;
            first = Some(span);
        }
    }
    first.map(|span| seen(&(span.since, span.source)))
}

/// Both journals: the one in memory begins with each start of the system.
pub(super) fn journals(sys: &Sys, sources: &mut Sources, ledger: &mut Ledger) -> Vec<Span> {
    let mut spans = Vec::new();
    let mut absent = 0;
    for folder in JOURNAL_FOLDERS {
        match journal(sys, folder, sources, ledger) {
            Ok(span) => spans.extend(span),
            Err(SysError::Absent { .. }) => absent += 1,
            Err(error) => sources.error(folder, &error),
        }
    }
    if absent == JOURNAL_FOLDERS.len() {
        sources.error("journal", &SysError::Absent { what: JOURNAL_FOLDERS[0].into() });
    }
    spans
}

fn journal(
    sys: &Sys,
    folder: &str,
    sources: &mut Sources,
    ledger: &mut Ledger,
) -> Result<Option<Span>, SysError> {
    let mut joiner = Joiner::default();
    let log = sys.kernel_messages(folder, MAX_MESSAGES, |at, text| {
        joiner.feed(Some(Moment { at, exact: true }), text);
    })?;
    let visits = joiner.finish();
    match &log.damaged {
        Some(detail) => sources.gap(folder, Status::Partial, Reason::with("damaged", detail)),
        None if log.truncated => sources.truncated(folder, visits.len()),
        None => sources.known(reaches(folder, log.since), visits.len()),
    }
    ledger.history("journal", visits);
    let since = log.since.map(|at| Moment { at, exact: true });
    Ok(since.zip(log.until).map(|(since, until)| Span { source: "journal".into(), since, until }))
}

/// Text logs, rotated ones first, so that time runs forward.
pub(super) fn logs(sys: &Sys, sources: &mut Sources, ledger: &mut Ledger) -> Vec<Span> {
    let names = match sys.list("/var/log") {
        Ok(entries) => entries.into_iter().map(|e| e.name).collect::<Vec<_>>(),
        Err(error) => {
            sources.error("/var/log", &error);
            return vec![];
        }
    };
    let zone = sys.time_zone().unwrap_or(TimeZone::UTC);
    let mut spans = Vec::new();
    for log in LOGS {
        let mut files: Vec<(u32, &String)> =
            names.iter().filter_map(|n| Some((generation(n, log)?, n))).collect();
        files.sort_by(|a, b| b.cmp(a));
        if files.is_empty() {
            continue;
        }
        let mut reader = Reader { joiner: Joiner::default(), since: None, until: None };
        let mut failed = false;
        for (_, name) in files {
            let path = format!("/var/log/{name}");
            if let Err(error) = reader.file(sys, &path, &zone) {
                sources.error(&path, &error);
                failed = true;
            }
        }
        let visits = reader.joiner.finish();
        if !failed || !visits.is_empty() {
            sources.known(reaches(&format!("/var/log/{log}"), reader.since.map(|m| m.at)), visits.len());
            // A syslog that holds no kernel message is no history of the kernel.
            let ends = reader.since.zip(reader.until);
            spans.extend(ends.map(|(since, until)| Span { source: log.into(), since, until }));
        }
        ledger.history(log, visits);
    }
    spans
}

fn reaches(source: &str, since: Option<Timestamp>) -> String {
    match since {
        Some(at) => format!("{source} since {}", TimeZone::UTC.to_datetime(at).date()),
        None => format!("{source} without kernel messages"),
    }
}

/// `kern.log` is generation 0, `kern.log.2.gz` 2, `messages-20261101` counts down by its date.
fn generation(name: &str, log: &str) -> Option<u32> {
    let rest = name.strip_prefix(log)?;
    let rest = rest.strip_suffix(".gz").unwrap_or(rest);
    if rest.is_empty() {
        return Some(0);
    }
    if let Some(number) = rest.strip_prefix('.') {
        return number.parse().ok();
    }
    let date: u32 = rest.strip_prefix('-')?.parse().ok()?;
    u32::MAX.checked_sub(date)
}

/// One log with its rotated copies.
struct Reader {
    joiner: Joiner,
    /// First kernel message.
    since: Option<Moment>,
    /// Last line, of whatever program.
    until: Option<Timestamp>,
}

impl Reader {
    fn file(&mut self, sys: &Sys, path: &str, zone: &TimeZone) -> Result<(), SysError> {
        let not_after = sys.stat(path)?.and_then(|s| s.modified).unwrap_or_else(|| sys.now());
        let mut last = Vec::with_capacity(STAMP_BYTES);
        let end = sys.each_line(path, MAX_LOG_BYTES, |line| {
            last.clear();
            last.extend_from_slice(&line[..line.len().min(STAMP_BYTES)]);
            if self.since.is_some() && !concerns_usb(line) {
                return;
            }
            let line = String::from_utf8_lossy(line);
            if let Some((moment, message)) = syslog_line(&line, not_after, zone) {
                self.since = self.since.or(Some(moment));
                self.joiner.feed(Some(moment), message);
            }
        });
        let last = String::from_utf8_lossy(&last);
        self.until = self.until.max(stamp(&last, not_after, zone).map(|(moment, _)| moment.at));
        end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hour: i64) -> Timestamp {
        Timestamp::from_second(hour * 3600).unwrap()
    }

    fn since(spans: &[(&str, i64, i64)], now: i64) -> Option<(String, i64)> {
        let span = |(source, since, until): &(&str, i64, i64)| Span {
            source: (*source).to_owned(),
            since: Moment { at: at(*since), exact: true },
            until: at(*until),
        };
        let seen = reach(spans.iter().map(span).collect(), at(now))?;
        Some((seen.source, seen.at.as_second() / 3600))
    }

    #[test]
    fn history_reaches_back_as_far_as_sources_meet() {
        let boot = ("journal", 995, 1000);
        for (name, spans, expected) in [
            ("since the start of the system", &[boot][..], Some(("journal", 995))),
            ("a log that goes further", &[boot, ("messages", 300, 999)], Some(("messages", 300))),
            ("one that goes on in the other", &[boot, ("kern.log", 300, 995)], Some(("kern.log", 300))),
            ("one that ended before", &[boot, ("kern.log", 300, 994)], Some(("journal", 995))),
            ("three in a row", &[("a", 10, 400), boot, ("b", 390, 996)], Some(("a", 10))),
            ("nothing reaches today", &[("kern.log", 300, 975)], None),
            ("written up to a moment ago", &[("kern.log", 300, 977)], Some(("kern.log", 300))),
            ("of a time to come", &[("kern.log", 1001, 1002)], None),
            ("none", &[], None),
        ] {
            let expected = expected.map(|(source, hour)| (source.to_owned(), hour));
            assert_eq!(since(spans, 1000), expected, "{name}");
        }
    }
}
