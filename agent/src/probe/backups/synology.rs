//! Synology Active Backup for Business, seen from the agent on the machine.
//!
//! Its log holds JSON inside free text, not always valid, in lines without a year and sometimes without a
//! zone. The result carries its own clock, seconds since 1970, so the time of a line is never needed:
//!
//! ```text
//! Nov 25 22:12:34 [INFO] server-requester.cpp (68): … {"backup_result": {"last_backup_status":
//!   "complete", "last_success_time": 1669410000}, "running_task_result": {…}}
//! ```

use jiff::Timestamp;
use tenken_shared::fact::backups::BackupJob;

use super::Found;
use crate::probe::sources::Sources;
use crate::sys::decode::decode;
use crate::sys::{FileKind, Sys, SysError};

/// Product word of the fact.
pub const PRODUCT: &str = "synology_active_backup";
/// Most of one log that is read, from its end, bytes.
const TAIL: u64 = 4 * 1024 * 1024;
/// Most logs, newest first.
const MAX_LOGS: usize = 10;
/// Longest result, bytes.
const MAX_RESULT: usize = 4096;

/// What the agent last said of its backups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastResult {
    /// Last success, as the server counts it.
    pub success: Option<Timestamp>,
    /// The product's word for the last run (`complete`).
    pub status: Option<String>,
}

/// The last result a log tells of; `None` where it tells none.
#[must_use]
pub fn last_result(log: &str) -> Option<LastResult> {
    log.rmatch_indices("backup_result").find_map(|(at, _)| {
        let rest: String = log[at..].chars().take(MAX_RESULT).filter(|c| *c != '\\').collect();
        let (before, rest) = rest.split_once('{')?;
        // A mention in a sentence is no result.
        before["backup_result".len()..].trim_matches(['"', ':', ' ']).is_empty().then_some(())?;
        let result = rest.split('}').next()?;
        let seconds = after(result, "last_success_time")?.trim_start_matches('"');
        let digits = seconds.split(|c: char| !c.is_ascii_digit()).next()?;
        let seconds: i64 = digits.parse().ok()?;
        let status =
            after(result, "last_backup_status").and_then(|text| text.strip_prefix('"')?.split('"').next());
        Some(LastResult {
            success: Timestamp::from_second(seconds).ok().filter(|_| seconds > 0),
            status: status.map(str::to_owned),
        })
    })
}

/// What follows `"name":`.
fn after<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let at = text.find(name)? + name.len();
    Some(text[at..].strip_prefix('"')?.trim_start().strip_prefix(':')?.trim_start())
}

/// The job of an installed agent, from the logs in `folder`. Without a result nothing is known of any run.
pub(super) fn read(sys: &Sys, folder: &str, sources: &mut Sources) -> Found {
    let found = match newest_result(sys, folder) {
        Ok(result) => {
            sources.known(folder, usize::from(result.is_some()));
            result
        }
        Err(error) => {
            sources.error(folder, &error);
            None
        }
    };
    let past = |at: &Timestamp| *at <= sys.now();
    let success = found.as_ref().and_then(|result| result.success).filter(past);
    let status = found.as_ref().and_then(|result| result.status.clone());
    let job = BackupJob {
        product: PRODUCT.into(),
        name: "Active Backup for Business".into(),
        role: "backup".into(),
        last_success: success,
        result: (status.as_deref() == Some("complete") && success.is_some()).then(|| "succeeded".into()),
        code: status.map(|word| word.chars().take(60).collect()),
        evidence: if found.is_some() { "product_log" } else { "configuration" }.into(),
        ..BackupJob::default()
    };
    Found { job, last_attempt: success, ..Found::default() }
}

fn newest_result(sys: &Sys, folder: &str) -> Result<Option<LastResult>, SysError> {
    let mut logs = vec![];
    for entry in sys.list(folder)? {
        if entry.kind != FileKind::File || !entry.name.to_ascii_lowercase().starts_with("log.txt") {
            continue;
        }
        let path = format!("{folder}/{}", entry.name);
        let modified = sys.stat(&path)?.and_then(|stat| stat.modified);
        logs.push((modified, path));
    }
    logs.sort_by(|a, b| b.cmp(a));
    for (_, path) in logs.iter().take(MAX_LOGS) {
        if let Some(result) = last_result(&decode(&sys.read_tail(path, TAIL)?)) {
            return Ok(Some(result));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "\u{feff}Nov 25 22:12:34 [INFO] server-requester.cpp (68): resp {\"task\": {\"volume_name\": \"\\\\?\\Volume{12}\\\"}, \
        \"backup_result\": {\"last_backup_status\": \"complete\", \"last_success_time\": 1669410000, }, \"x\": 1}\n";

    #[test]
    fn the_last_result_is_taken_by_its_own_clock() {
        let older = LINE.replace("1669410000", "1669000000");
        let failed = LINE.replace("complete", "fail");
        let read = |text: &str| last_result(text).unwrap();
        assert_eq!(read(&format!("{older}{LINE}")).success, Timestamp::from_second(1_669_410_000).ok());
        assert_eq!(read(&format!("{LINE}{failed}")).status.as_deref(), Some("fail"));
        assert_eq!(read(&LINE.replace("1669410000", "0")).success, None, "never");
        let escaped = LINE.replace('"', "\\\"");
        assert_eq!(read(&escaped), read(LINE));
    }

    #[test]
    fn what_tells_no_result_is_none() {
        for text in [
            "",
            "backup_result",
            "no \"backup_result\": {} here",
            "the backup_result is {\"last_success_time\": 1669410000}",
            "\"backup_result\": {\"last_success_time\": \"soon\"}",
            "\"backup_result\": {\"last_backup_status\": \"complete\"}",
        ] {
            assert_eq!(last_result(text), None, "{text}");
        }
    }

    #[test]
    fn a_success_in_the_future_and_a_log_without_results_are_no_evidence() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("var/log/activebackupforbusinessagent");
        for folder in [&folder, &dir.path().join("etc"), &dir.path().join("usr/bin")] {
            std::fs::create_dir_all(folder).unwrap();
        }
        let sys = Sys::at_root(dir.path(), "2022-11-01T00:00:00Z".parse().ok()).unwrap();
        let read = || read(&sys, "/var/log/activebackupforbusinessagent", &mut Sources::new()).job;
        assert_eq!((read().evidence.as_str(), read().result), ("configuration", None));
        std::fs::write(folder.join("log.txt"), LINE).unwrap();
        assert_eq!((read().last_success, read().result), (None, None));
    }
}
