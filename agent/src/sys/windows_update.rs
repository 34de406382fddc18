//! The Windows Update Agent of a running Windows, asked through COM in a child process.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::child::{self, Job};
use super::{Family, Sys, SysError};

/// Most updates or history entries taken.
pub const MAX_ROWS: i32 = 2_000;

/// What to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateQuestion {
    /// Whether to ask the server; else what the local cache holds.
    pub online: bool,
    /// Whether to search.
    pub search: bool,
    /// Whether to give the history.
    pub history: bool,
}

/// What the agent answered. Each part can fail by itself, with the HRESULT as `0x8024402c`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UpdateAnswer {
    /// When it was asked.
    pub asked_at: Timestamp,
    /// The question.
    pub question: UpdateQuestion,
    /// Which server the search was for.
    pub searched: Result<UpdateSelection, String>,
    /// The service that automatic updates use by configuration; it answers a search for the default server.
    pub service: Result<Option<UpdateService>, String>,
    /// What is not (fully) applied.
    pub search: Result<UpdateSearch, String>,
    /// What was done, newest first.
    pub history: Result<UpdateEntries, String>,
    /// Last search of automatic updates that succeeded; `None` where there was none.
    pub last_search_success: Result<Option<Timestamp>, String>,
    /// Last installation that succeeded.
    pub last_install_success: Result<Option<Timestamp>, String>,
}

/// The server that a search asks for. The update agent does not report which one answered.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct UpdateSelection {
    /// `ServerSelection`: 0 default, 1 managed (WSUS), 2 Windows Update, 3 the named service.
    pub selection: i32,
    /// GUID of the named service.
    pub service: String,
}

/// A service that offers updates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateService {
    /// GUID.
    pub id: String,
    /// Whether the organisation runs it (WSUS).
    pub managed: bool,
}

/// Result of a search.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct UpdateSearch {
    /// `OperationResultCode`: 2 succeeded, 3 with errors, 4 failed, 5 aborted.
    pub result: i32,
    /// HRESULTs of warnings.
    pub warnings: Vec<String>,
    /// Updates.
    pub updates: Vec<UpdateRow>,
    /// Whether the cap cut the list.
    pub truncated: bool,
}

/// One update as listed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct UpdateRow {
    /// GUID.
    pub id: String,
    /// Revision.
    pub revision: i32,
    /// Title in the machine's language.
    pub title: String,
    /// KB numbers without letters.
    pub kbs: Vec<String>,
    /// Severity in Microsoft's English word; empty for many.
    pub severity: Option<String>,
    /// CVE ids.
    pub cves: Vec<String>,
    /// GUIDs of its categories.
    pub categories: Vec<String>,
    /// `UpdateType`: 1 software, 2 driver.
    pub kind: i32,
    /// When its deployment changed last.
    pub deployed_at: Option<Timestamp>,
    /// Hidden by someone.
    pub hidden: bool,
    /// Installed.
    pub installed: bool,
    /// Takes effect with a restart.
    pub restart_required: bool,
}

/// Part of the history.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct UpdateEntries {
    /// Entries, newest first.
    pub entries: Vec<UpdateEntry>,
    /// Whether the cap cut the list.
    pub truncated: bool,
}

/// One entry of the history.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct UpdateEntry {
    /// GUID of the update.
    pub id: String,
    /// Title in the machine's language.
    pub title: String,
    /// `UpdateOperation`: 1 install, 2 uninstall.
    pub operation: i32,
    /// `OperationResultCode`.
    pub result: i32,
    /// HRESULT.
    pub code: i32,
    /// When.
    pub at: Option<Timestamp>,
}

impl Sys {
    /// Asks the Windows Update Agent. Blocks for up to `limit`.
    /// Privilege: none for a search; the last-success times need an administrator on some versions.
    /// Errors: `Unsupported` under a root folder (`live_only`) and on other systems; `TimedOut`; `Failed` with
    /// the reason code of the HRESULT where not even the session could be made.
    pub fn windows_update(
        &self,
        question: UpdateQuestion,
        limit: Duration,
    ) -> Result<UpdateAnswer, SysError> {
        const WHAT: &str = "windows_update";
        self.require_live(WHAT)?;
        if self.family() != Family::Windows {
            return Err(SysError::Unsupported { what: WHAT.into(), reason: "not_windows".into() });
        }
        self.tracer.volatile(WHAT);
        let request = serde_json::to_value(question).map_err(|e| SysError::malformed(WHAT, e))?;
        let answer = child::ask(Job::WindowsUpdate, &request, limit)?;
        serde_json::from_value(answer).map_err(|e| SysError::malformed(WHAT, e))
    }
}

impl Sys {
    /// Notes that nothing is asked because of an earlier question: the answer is not one to be given again.
    pub fn windows_update_rests(&self) {
        self.tracer.volatile("windows_update");
    }
}

/// The moment of an automation date: days and their fraction since 1899-12-30, UTC where this agent gives
/// them. 0 and what lies outside the calendar is none.
#[must_use]
pub fn automation_date(days: f64) -> Option<Timestamp> {
    const EPOCH_DAYS: f64 = 25_569.0;
    if !days.is_finite() || days.abs() < 1.0 {
        return None;
    }
    let seconds = SignedDuration::try_from_secs_f64(((days - EPOCH_DAYS) * 86_400.0).round()).ok()?;
    Timestamp::UNIX_EPOCH.checked_add(seconds).ok()
}

/// `0x8024402c`.
#[must_use]
pub fn hresult(code: i32) -> String {
    format!("{:#010x}", code.cast_unsigned())
}

/// Reason code of an HRESULT: what kind of trouble it is, for those that searches and installations meet.
#[must_use]
pub fn reason_of(hresult: &str) -> &'static str {
    let code = hresult.strip_prefix("0x").and_then(|h| u32::from_str_radix(h, 16).ok()).unwrap_or_default();
    match code {
        0x8024_402c | 0x8007_2ee7 => "name_not_resolved",
        0x8024_0438 | 0x8007_2efd | 0x8007_2efe | 0x8024_4017 | 0x8007_2f78 => "server_unreachable",
        0x8024_401b | 0x8024_401a => "proxy_authentication",
        0x8024_4018 | 0x8024_4019 | 0x8024_401c..=0x8024_4023 | 0x8024_402f => "server_refused",
        0x8007_2ee2 | 0x8024_001d => "server_timed_out",
        0x8007_2f8f | 0x8007_2f0d | 0x8007_2f06 | 0x800b_0109 => "tls_failed",
        0x8024_001e | 0x8024_0007 | 0x8007_043c => "service_stopping",
        0x8007_0422 => "service_disabled",
        0x8024_002e | 0x8024_0025 => "disabled_by_policy",
        0x8024_000b | 0x8024_000e => "aborted",
        0x8024_0009 | 0x8024_0016 => "busy",
        0x8024_8000..=0x8024_8fff => "data_store_damaged",
        0x8007_0005 | 0x8024_0044 => "permission_denied",
        0x8004_0154 | 0x8007_007e => "not_present",
        0x8000_4001 => "not_implemented",
        0x8007_0070 | 0x8007_0027 => "disk_full",
        0x8007_3712 | 0x8007_371b | 0x800f_081f | 0x800f_0831 | 0x800f_0922 => "component_store_damaged",
        0x8007_000e => "out_of_memory",
        _ => "api_error",
    }
}

#[cfg(test)]
mod tests {
    use tenken_shared::fact::reason::in_words;
    use tenken_shared::text::Lang;

    use super::*;

    #[test]
    fn automation_dates_are_moments_or_none() {
        let at = |days| automation_date(days).map(|t| t.to_string());
        assert_eq!(at(25_569.0).as_deref(), Some("1970-01-01T00:00:00Z"));
        assert_eq!(at(46_336.75).as_deref(), Some("2026-11-10T18:00:00Z"));
        for none in [0.0, f64::NAN, f64::INFINITY, 1e300, -1e300] {
            assert_eq!(at(none), None, "{none}");
        }
    }

    #[test]
    fn errors_have_reasons_and_the_unknown_one_too() {
        assert_eq!(hresult(-2_145_107_924), "0x8024402c");
        assert_eq!(reason_of("0x8024402c"), "name_not_resolved");
        assert_eq!(reason_of("0x8024001e"), "service_stopping");
        assert_eq!(reason_of("0x80240438"), "server_unreachable");
        assert_eq!(reason_of("0xdeadbeef"), "api_error");
        assert_eq!(reason_of("rubbish"), "api_error");
    }

    #[test]
    fn every_kind_of_error_is_told_in_both_languages() {
        let codes = [
            ("0x80072ee7", "name_not_resolved"),
            ("0x80072efd", "server_unreachable"),
            ("0x8024401b", "proxy_authentication"),
            ("0x80244018", "server_refused"),
            ("0x80072ee2", "server_timed_out"),
            ("0x80072f8f", "tls_failed"),
            ("0x8024001e", "service_stopping"),
            ("0x80070422", "service_disabled"),
            ("0x8024002e", "disabled_by_policy"),
            ("0x8024000b", "aborted"),
            ("0x80240016", "busy"),
            ("0x80248007", "data_store_damaged"),
            ("0x80240044", "permission_denied"),
            ("0x80040154", "not_present"),
            ("0x80004001", "not_implemented"),
            ("0x80070070", "disk_full"),
            ("0x80073712", "component_store_damaged"),
            ("0x8007000e", "out_of_memory"),
            ("0xdeadbeef", "api_error"),
        ];
        for (code, reason) in codes {
            assert_eq!(reason_of(code), reason);
            for lang in [Lang::Ja, Lang::En] {
                assert_ne!(in_words(reason, lang), reason);
            }
        }
    }

    #[test]
    fn root_folder_is_live_only() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("Windows/System32/config")).unwrap();
        let sys = Sys::at_root(dir.path(), None).unwrap();
        let question = UpdateQuestion { online: false, search: true, history: true };
        assert_eq!(sys.windows_update(question, Duration::ZERO).unwrap_err().reason().code, "live_only");
    }
}
