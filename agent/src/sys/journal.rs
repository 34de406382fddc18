//! Kernel messages of the systemd journal, live or under a root folder; read as files, never mapped.
//!
//! Journal files grow while they are read and may be cut short by a crash: what can be read is given,
//! and whatever stopped the reading is named.

use jiff::Timestamp;
use sdjournal::{EntryRef, Journal, JournalConfig, SdJournalError};

use super::{Sys, SysError};

/// Where journald keeps its files, kept ones first.
pub const JOURNAL_FOLDERS: [&str; 2] = ["/var/log/journal", "/run/log/journal"];

/// How reading the kernel messages of a journal went.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KernelLog {
    /// Time of the first message.
    pub since: Option<Timestamp>,
    /// Time of the newest entry of the journal, whoever wrote it.
    pub until: Option<Timestamp>,
    /// Whether the cap cut the list short: the newest are missing then.
    pub truncated: bool,
    /// First error met while reading; what came before it was given.
    pub damaged: Option<String>,
}

impl Sys {
    /// Gives the kernel messages of one of [`JOURNAL_FOLDERS`], at most `max`, oldest first, with the host's
    /// time and without time stamp; bytes that are not UTF-8 are replaced.
    /// Errors: `Absent` where no journal is kept, `Denied`, `Failed` where no file of it can be read.
    pub fn kernel_messages(
        &self,
        folder: &str,
        max: usize,
        mut give: impl FnMut(Timestamp, &str),
    ) -> Result<KernelLog, SysError> {
        if !self.exists(folder)? {
            return Err(SysError::Absent { what: folder.into() });
        }
        self.note_journal(folder);
        let failed = |error: SdJournalError| translate(folder, &error);
        let config = JournalConfig { max_decompressed_bytes: 64 * 1024, ..JournalConfig::default() };
        let journal = Journal::open_dirs_with_config(&[self.resolve(folder)?], config).map_err(failed)?;
        let mut newest = journal.query();
        newest.reverse(true).limit(1);
        let until = newest.iter().map_err(failed)?.find_map(|entry| logged_at(&entry.ok()?));
        let mut query = journal.query();
        query.match_exact("_TRANSPORT", b"kernel").limit(max.saturating_add(1));
        let mut log = KernelLog { until, ..KernelLog::default() };
        for (count, entry) in query.iter().map_err(failed)?.enumerate() {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    log.damaged = Some(error.to_string());
                    break;
                }
            };
            if count == max {
                log.truncated = true;
                break;
            }
            if let (Some(at), Some(text)) = (logged_at(&entry), entry.get("MESSAGE")) {
                log.since = log.since.or(Some(at));
                log.until = log.until.max(Some(at));
                give(at, &String::from_utf8_lossy(text));
            }
        }
        Ok(log)
    }

    /// Notes every journal file as an input: the answer holds while none of them grows.
    fn note_journal(&self, folder: &str) {
        let Ok(machines) = self.list(folder) else { return };
        for machine in machines {
            let path = format!("{folder}/{}", machine.name);
            let _ = self.stat(&path);
            for file in self.list(&path).unwrap_or_default() {
                let _ = self.stat(&format!("{path}/{}", file.name));
            }
        }
    }
}

fn logged_at(entry: &EntryRef) -> Option<Timestamp> {
    Timestamp::from_microsecond(i64::try_from(entry.realtime_usec()).ok()?).ok()
}

fn translate(what: &str, error: &SdJournalError) -> SysError {
    match error {
        SdJournalError::NotFound => SysError::Absent { what: what.into() },
        SdJournalError::Io { source, .. } => SysError::from_io(what, source),
        SdJournalError::PermissionDenied { .. } => SysError::Denied { what: what.into() },
        other => SysError::malformed(what, other),
    }
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_journal_is_absent_and_rubbish_is_not_empty() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("etc")).unwrap();
        let sys = Sys::at_root(dir.path(), None).unwrap();
        let none = sys.kernel_messages(JOURNAL_FOLDERS[0], 10, |_, _| {});
        assert!(matches!(none, Err(SysError::Absent { .. })), "{none:?}");
        let folder = dir.path().join("var/log/journal/0123456789abcdef0123456789abcdef");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("system.journal"), b"not a journal at all").unwrap();
        let rubbish = sys.kernel_messages(JOURNAL_FOLDERS[0], 10, |_, _| {});
        assert!(matches!(rubbish, Err(SysError::Failed { .. })), "{rubbish:?}");
    }
}
