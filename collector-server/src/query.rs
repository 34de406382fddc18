//! The one query layer: what API, console and command line show of an organisation. Writes nothing.
//!
//! Lists are read in pages by key, not by offset: a row that comes or goes between two pages neither
//! repeats nor hides another.

use std::collections::BTreeMap;

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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
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

impl HostSort {
    /// The contract word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::LastReport => "last_report",
            Self::Os => "os",
            Self::Group => "group",
            Self::State => "state",
        }
    }
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
    /// Where the page before ended.
    pub fn cursor(&self) -> Result<Option<Cursor>, BadCursor> {
        Cursor::read(self.after.as_deref().unwrap_or_default(), self.order(), "ti")
    }

    /// Name of the order, for cursors.
    #[must_use]
    pub fn order(&self) -> String {
        order(self.sort.as_str(), self.desc)
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
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
    /// Labels set by people.
    pub labels: BTreeMap<String, String>,
    /// From a token for pooled virtual desktops.
    pub ephemeral: bool,
    /// The host it was cloned from, where the collector found that out.
    pub cloned_from: Option<String>,
    /// When enrolled.
    #[schema(value_type = String, format = DateTime)]
    pub enrolled_at: Timestamp,
    /// Since when it stands where it stands.
    #[schema(value_type = String, format = DateTime)]
    pub state_at: Timestamp,
    /// Who put it there.
    pub state_by: String,
    /// First report.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub first_report_at: Option<Timestamp>,
    /// When its facts were last confirmed, host clock corrected.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub confirmed_at: Option<Timestamp>,
    /// Number of the last report.
    pub reports: u64,
    /// Host clock minus collector clock at the last report, milliseconds.
    pub clock_offset_ms: i64,
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

/// One page of a list whose rows are not counted.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct List<T> {
    /// Rows.
    pub items: Vec<T>,
    /// Cursor of the next page; absent on the last.
    pub next: Option<String>,
}

impl<T> List<T> {
    /// A page of `limit` rows out of rows of which one more was read where there is one.
    #[must_use]
    pub fn cut(mut rows: Vec<(Cursor, T)>, limit: u32) -> Self {
        let more = rows.len() > limit as usize;
        rows.truncate(limit as usize);
        let next = more.then(|| rows.last().map(|(cursor, _)| cursor.to_text())).flatten();
        Self { items: rows.into_iter().map(|(_, row)| row).collect(), next }
    }
}

/// What findings are sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FindingSort {
    /// What fails first, then what is unknown, then the rest; within each by control and host.
    #[default]
    Outcome,
    /// Host name, then control.
    Host,
}

/// Which findings, in which order. Members that are absent or empty do not filter.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, utoipa::IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub struct FindingFilter {
    /// Control id; several joined by commas.
    pub control: String,
    /// `fail`, `unknown`, `pass` or `not_applicable`; several joined by commas.
    pub outcome: String,
    /// Order.
    pub sort: FindingSort,
    /// Falling order.
    pub desc: bool,
    /// Cursor of the page before.
    pub after: String,
    /// Rows of a page.
    pub limit: Option<u32>,
}

impl FindingFilter {
    /// Findings of some controls.
    #[must_use]
    pub fn of(controls: &[String]) -> Self {
        Self { control: controls.join(","), ..Self::default() }
    }

    /// Where the page before ended.
    pub fn cursor(&self) -> Result<Option<Cursor>, BadCursor> {
        match self.sort {
            FindingSort::Outcome => Cursor::read(&self.after, order("outcome", self.desc), "iti"),
            FindingSort::Host => Cursor::read(&self.after, order("host", self.desc), "tit"),
        }
    }
}

/// Members of a list joined by commas.
pub fn members(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|member| !member.is_empty())
}

/// Columns of an export of findings, in order.
pub const FINDING_COLUMNS: &[&str] =
    &["host", "host_name", "control", "outcome", "message", "first_seen", "last_seen"];

/// Which software titles. Sorted by name.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, utoipa::IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub struct TitleFilter {
    /// Part of the name.
    pub text: String,
    /// Falling order.
    pub desc: bool,
    /// Cursor of the page before.
    pub after: String,
    /// Rows of a page.
    pub limit: Option<u32>,
}

impl TitleFilter {
    /// Where the page before ended.
    pub fn cursor(&self) -> Result<Option<Cursor>, BadCursor> {
        Cursor::read(&self.after, order("name", self.desc), "ti")
    }
}

/// Columns of an export of titles, in order.
pub const TITLE_COLUMNS: &[&str] = &["name", "version", "arch", "vendor", "source", "hosts"];

/// What the machines that have a title are sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TitleHostSort {
    /// Version as text, then the order in which machines were enrolled.
    #[default]
    Version,
    /// Host name.
    Host,
}

/// Machines that have a title, in which order.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, utoipa::IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub struct TitleHostFilter {
    /// Exact name.
    #[param(required = true)]
    pub name: String,
    /// Exact version; any when absent.
    pub version: Option<String>,
    /// Order.
    pub sort: TitleHostSort,
    /// Falling order.
    pub desc: bool,
    /// Cursor of the page before.
    pub after: String,
    /// Rows of a page.
    pub limit: Option<u32>,
}

impl TitleHostFilter {
    /// Where the page before ended.
    pub fn cursor(&self) -> Result<Option<Cursor>, BadCursor> {
        match self.sort {
            TitleHostSort::Version => Cursor::read(&self.after, order("version", self.desc), "tiit"),
            TitleHostSort::Host => Cursor::read(&self.after, order("host", self.desc), "tiit"),
        }
    }
}

/// Columns of an export of machines that have a title, in order.
pub const TITLE_HOST_COLUMNS: &[&str] = &["host", "host_name", "version", "user", "installed_at"];

/// Rows of a page, within bounds.
#[must_use]
pub fn page_size(limit: Option<u32>) -> u32 {
    limit.unwrap_or(DEFAULT_PAGE).clamp(1, MAX_PAGE)
}

/// One sort value of a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Part {
    /// A number.
    Int(i64),
    /// A text.
    Text(String),
}

impl From<i64> for Part {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<&str> for Part {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// Place in a sorted list: the order, and the values of the last row in it. One form for every list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor(String, Vec<Part>);

/// A cursor that does not read, or is one of another list or order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadCursor;

/// Name of an order, as cursors keep it.
#[must_use]
pub fn order(sort: &str, desc: bool) -> String {
    format!("{sort}{}", if desc { '-' } else { '+' })
}

impl Cursor {
    /// The place of a row in an order.
    #[must_use]
    pub fn new(order: String, values: Vec<Part>) -> Self {
        Self(order, values)
    }

    /// Text form.
    #[must_use]
    pub fn to_text(&self) -> String {
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).unwrap_or_default())
    }

    /// Reads the text form of a cursor in `order`; `shape` has a letter per value: `t` text, `i` number.
    /// Nothing for an empty text.
    pub fn read(text: &str, order: String, shape: &str) -> Result<Option<Self>, BadCursor> {
        if text.is_empty() {
            return Ok(None);
        }
        if text.len() > 4096 {
            return Err(BadCursor);
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| BadCursor)?;
        let cursor: Self = serde_json::from_slice(&bytes).map_err(|_| BadCursor)?;
        let own: String =
            cursor.1.iter().map(|part| if matches!(part, Part::Int(_)) { 'i' } else { 't' }).collect();
        if cursor.0 == order && own == shape { Ok(Some(cursor)) } else { Err(BadCursor) }
    }

    /// The values of a place; none where there is none.
    #[must_use]
    pub fn values(place: Option<&Self>) -> &[Part] {
        place.map_or(&[], |cursor| &cursor.1)
    }

    /// A text among the values.
    #[must_use]
    pub fn text(&self, index: usize) -> &str {
        match self.1.get(index) {
            Some(Part::Text(text)) => text,
            _ => "",
        }
    }

    /// A number among the values.
    #[must_use]
    pub fn int(&self, index: usize) -> i64 {
        match self.1.get(index) {
            Some(Part::Int(number)) => *number,
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_survive_their_text_form_and_those_of_other_orders_are_refused() {
        let cursor = Cursor::new(order("name", false), vec!["経理-01".into(), 7.into()]);
        let read = |text: &str, desc, shape| Cursor::read(text, order("name", desc), shape);
        let text = cursor.to_text();
        assert_eq!(read(&text, false, "ti"), Ok(Some(cursor)));
        assert_eq!(read("", false, "ti"), Ok(None));
        assert_eq!(read(&text, true, "ti"), Err(BadCursor), "another order");
        assert_eq!(read(&text, false, "it"), Err(BadCursor), "other values");
        for rubbish in ["%%%".to_owned(), "A".repeat(5000), URL_SAFE_NO_PAD.encode("[1]")] {
            assert_eq!(read(&rubbish, false, "ti"), Err(BadCursor));
        }
    }
}
