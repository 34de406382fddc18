//! Kernel messages of the systemd journal, live or under a root folder; read as files, never mapped.
//!
//! Journal files grow while they are read and may be cut short by a crash: what can be read is given,
//! and whatever stopped the reading is named.

use jiff::Timestamp;
use sdjournal::{Journal, JournalConfig, SdJournalError};

use super::{Sys, SysError};

/// Where journald keeps its files, kept ones first.
pub const JOURNAL_FOLDERS: [&str; 2] = ["/var/log/journal", "/run/log/journal"];

/// One kernel message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelMessage {
    /// When it was logged, host clock.
    pub at: Timestamp,
    /// The message, without time stamp; bytes that are not UTF-8 are replaced.
    pub text: String,
}

/// What the journal holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KernelLog {
    /// Messages, oldest first.
    pub messages: Vec<KernelMessage>,
    /// Whether the cap cut the list short: the newest are missing then.
    pub truncated: bool,
    /// First error met while reading; what came before it is in `messages`.
    pub damaged: Option<String>,
}

impl Sys {
    /// Kernel messages logged at or after `since`, at most `max`, oldest first.
    /// Errors: `Absent` where no journal is kept, `Denied`, `Failed` where no file of it can be read.
    pub fn kernel_messages(&self, since: Timestamp, max: usize) -> Result<KernelLog, SysError> {
        let mut folders = Vec::new();
        for folder in JOURNAL_FOLDERS {
            if self.exists(folder)? {
                self.note_journal(folder);
                folders.push(self.resolve(folder)?);
            }
        }
        let what = JOURNAL_FOLDERS[0];
        if folders.is_empty() {
            return Err(SysError::Absent { what: what.into() });
        }
        let config = JournalConfig { max_decompressed_bytes: 64 * 1024, ..JournalConfig::default() };
        let journal =
            Journal::open_dirs_with_config(&folders, config).map_err(|error| translate(what, &error))?;
        let mut query = journal.query();
        query.match_exact("_TRANSPORT", b"kernel");
        query.since_realtime(u64::try_from(since.as_microsecond()).unwrap_or(0));
        query.limit(max.saturating_add(1));
        let entries = query.iter().map_err(|error| translate(what, &error))?;
        let mut log = KernelLog::default();
        for entry in entries {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    log.damaged = Some(error.to_string());
                    break;
                }
            };
            if log.messages.len() == max {
                log.truncated = true;
                break;
            }
            let at =
                i64::try_from(entry.realtime_usec()).ok().and_then(|us| Timestamp::from_microsecond(us).ok());
            if let (Some(at), Some(text)) = (at, entry.get("MESSAGE")) {
                log.messages.push(KernelMessage { at, text: String::from_utf8_lossy(text).into_owned() });
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
        let none = sys.kernel_messages(Timestamp::UNIX_EPOCH, 10);
        assert!(matches!(none, Err(SysError::Absent { .. })), "{none:?}");
        let folder = dir.path().join("var/log/journal/0123456789abcdef0123456789abcdef");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("system.journal"), b"not a journal at all").unwrap();
        let rubbish = sys.kernel_messages(Timestamp::UNIX_EPOCH, 10);
        assert!(matches!(rubbish, Err(SysError::Failed { .. })), "{rubbish:?}");
    }
}
