//! The one query layer: what API, console and command line show of an organisation. Writes nothing.
//!
//! Lists are read in pages by key, not by offset: a row that comes or goes between two pages neither
//! repeats nor hides another.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tenken_shared::finding::Outcome;

use crate::store::host::HostState;

/// Rows of one page at most.
pub const MAX_PAGE: u32 = 500;
/// Rows of one page by default.
pub const DEFAULT_PAGE: u32 = 50;
/// Rows of one export at most.
pub const MAX_EXPORT: u32 = 100_000;

/// Outcome to filter by: something passes, nothing fails, nothing is unknown.
pub const CLEAR: &str = "clear";

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Page<T> {
    /// Rows.
    pub items: Vec<T>,
    /// Rows over all pages.
    pub total: u64,
    /// Cursor of the next page; absent on the last.
    pub next: Option<String>,
}

/// What host lists are sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum HostSort {
    /// Host name.
    #[default]
    Name,
    /// Last report.
    LastReport,
    /// Operating system and version.
    Os,
    /// Group.
    Group,
    /// State.
    State,
}

/// Which hosts, in which order. Members that are absent or empty do not filter.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, utoipa::IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub struct HostFilter {
    /// Part of name, id, serial, model or address.
    pub text: Option<String>,
    /// `pending`, `confirmed`, `retired`, `revoked`.
    pub state: Option<String>,
    /// `linux`, `windows`, `macos`.
    pub os: Option<String>,
    /// Group name.
    pub group: Option<String>,
    /// Hosts with a finding of this outcome: `pass`, `fail`, `unknown`, `not_applicable`; or `clear` for those
    /// where something passes and nothing fails or is unknown.
    pub outcome: Option<String>,
    /// Control that `outcome` is about; without it, any.
    pub control: Option<String>,
    /// `true`: only hosts silent for longer than policy allows; `false`: only the others.
    pub silent: Option<String>,
    /// Order.
    pub sort: HostSort,
    /// Falling order.
    pub desc: bool,
    /// Cursor of the page before.
    pub after: Option<String>,
    /// Rows of a page.
    pub limit: Option<u32>,
}

impl HostFilter {
    /// Rows of a page, within bounds.
    #[must_use]
    pub fn page_size(&self) -> u32 {
        self.limit.unwrap_or(DEFAULT_PAGE).clamp(1, MAX_PAGE)
    }

    /// A member's text where it filters.
    #[must_use]
    pub fn chosen(member: &Option<String>) -> Option<&str> {
        member.as_deref().map(str::trim).filter(|text| !text.is_empty())
    }
}

/// Number of findings by outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
pub struct OutcomeCounts {
    /// Pass.
    pub pass: u64,
    /// Fail.
    pub fail: u64,
    /// Unknown.
    pub unknown: u64,
    /// Not applicable.
    pub not_applicable: u64,
}

impl OutcomeCounts {
    /// Adds `count` of an outcome.
    pub fn add(&mut self, outcome: Outcome, count: u64) {
        match outcome {
            Outcome::Pass => self.pass += count,
            Outcome::Fail => self.fail += count,
            Outcome::Unknown => self.unknown += count,
            Outcome::NotApplicable => self.not_applicable += count,
        }
    }

    /// One of what was counted as `stored` is not known to hold any more.
    pub fn lapse(&mut self, stored: Outcome) {
        let counted = match stored {
            Outcome::Pass => &mut self.pass,
            Outcome::NotApplicable => &mut self.not_applicable,
            Outcome::Fail | Outcome::Unknown => return,
        };
        *counted = counted.saturating_sub(1);
        self.unknown += 1;
    }
}

/// A host in lists.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct HostRow {
    /// Host id.
    pub host: String,
    /// Name.
    pub name: String,
    /// Where it stands.
    #[schema(value_type = String)]
    pub state: HostState,
    /// Group.
    pub group: Option<String>,
    /// `linux`, `windows`, `macos`.
    pub os_family: Option<String>,
    /// OS name.
    pub os_name: Option<String>,
    /// OS version.
    pub os_version: Option<String>,
    /// Maker.
    pub maker: Option<String>,
    /// Model.
    pub model: Option<String>,
    /// Serial.
    pub serial: Option<String>,
    /// Chassis.
    pub chassis: Option<String>,
    /// An address.
    pub address: Option<String>,
    /// Agent version.
    pub agent_version: Option<String>,
    /// When enrolled.
    #[schema(value_type = String, format = DateTime)]
    pub enrolled_at: Timestamp,
    /// Last report.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_report_at: Option<Timestamp>,
    /// Silent for longer than policy allows.
    pub silent: bool,
    /// Findings.
    pub findings: OutcomeCounts,
}

/// Columns of a host export, in order.
pub const HOST_COLUMNS: &[&str] = &[
    "host",
    "name",
    "state",
    "group",
    "os_family",
    "os_name",
    "os_version",
    "maker",
    "model",
    "serial",
    "chassis",
    "address",
    "agent_version",
    "enrolled_at",
    "last_report_at",
    "silent",
];

/// What the organisation has, and how much of it is covered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, utoipa::ToSchema)]
pub struct CoverageCounts {
    /// Confirmed hosts.
    pub confirmed: u64,
    /// Enrolled, not yet confirmed.
    pub pending: u64,
    /// Confirmed and silent for longer than policy allows.
    pub silent: u64,
    /// Retired or revoked.
    pub retired: u64,
    /// In the ledger and not enrolled.
    pub ledger_only: u64,
    /// Entries of the ledger; 0 when none was imported.
    pub ledger: u64,
}

/// A control that fails or is unknown somewhere, for "what to do first".
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ControlCounts {
    /// Control id.
    pub control: String,
    /// Hosts by outcome.
    pub hosts: OutcomeCounts,
}

/// Result of one control on one host, for criterion pages.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct HostFinding {
    /// Host id.
    pub host: String,
    /// Host name.
    pub host_name: String,
    /// Control id.
    pub control: String,
    /// Outcome.
    pub outcome: Outcome,
    /// Why, as code and parameters.
    #[schema(value_type = Object)]
    pub message: tenken_shared::finding::Message,
    /// Since when the outcome is this one.
    #[schema(value_type = String, format = DateTime)]
    pub first_seen: Timestamp,
    /// When judged last.
    #[schema(value_type = String, format = DateTime)]
    pub last_seen: Timestamp,
}

/// A software title and on how many machines it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct TitleRow {
    /// Name.
    pub name: String,
    /// Version.
    pub version: String,
    /// Architecture.
    pub arch: Option<String>,
    /// Vendor.
    pub vendor: Option<String>,
    /// Package system.
    pub source: String,
    /// Machines that have it.
    pub hosts: u64,
}

/// A machine that has a title.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct TitleHost {
    /// Host id.
    pub host: String,
    /// Host name.
    pub host_name: String,
    /// Version there.
    pub version: String,
    /// Whose installation, where it is a user's own.
    pub user: Option<String>,
    /// When installed, where kept.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub installed_at: Option<Timestamp>,
}

/// Confirmed hosts by what is known of one kind of fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, utoipa::ToSchema)]
pub struct FactCoverage {
    /// Whole.
    pub known: u64,
    /// With gaps.
    pub partial: u64,
    /// Not known, for whatever reason.
    pub missing: u64,
    /// Whole or with gaps, of machines that have been silent for too long.
    pub silent: u64,
}

/// One page of titles.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct TitlePage {
    /// Rows.
    pub items: Vec<TitleRow>,
    /// Cursor of the next page; absent on the last.
    pub next: Option<String>,
}

/// A snapshot in lists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct SnapshotRow {
    /// Id.
    pub id: String,
    /// Moment it freezes, collector clock.
    #[schema(value_type = String, format = DateTime)]
    pub taken_at: Timestamp,
    /// Machines in it.
    pub hosts: u64,
    /// Merkle root.
    pub digest: String,
}

/// Place in a sorted list: the sort value and the host's number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// Sort value of the last row, as text.
    pub key: String,
    /// Its number within the organisation.
    pub number: i64,
}

impl Cursor {
    /// Text form.
    #[must_use]
    pub fn to_text(&self) -> String {
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).unwrap_or_default())
    }

    /// Reads the text form; `None` for anything else.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        if text.len() > 1024 {
            return None;
        }
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_survive_their_text_form_and_rubbish_is_none() {
        let cursor = Cursor { key: "経理-01".into(), number: 7 };
        assert_eq!(Cursor::from_text(&cursor.to_text()), Some(cursor));
        assert_eq!(Cursor::from_text("%%%"), None);
        assert_eq!(Cursor::from_text(&"A".repeat(5000)), None);
    }
}
