//! Outcomes, evidence and findings. Holds no rule.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::text::{Lang, Text};

/// Outcome of a control. What was not collected is `unknown`, never `pass`.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Holds, with evidence.
    Pass,
    /// Does not hold.
    Fail,
    /// Does not concern this host.
    NotApplicable,
    /// Could not be judged; the reason says why.
    Unknown,
}

impl Outcome {
    /// The contract word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::NotApplicable => "not_applicable",
            Self::Unknown => "unknown",
        }
    }

    /// Title for people.
    #[must_use]
    pub fn title(self) -> Text {
        match self {
            Self::Pass => Text::new("適合", "Pass"),
            Self::Fail => Text::new("不適合", "Fail"),
            Self::NotApplicable => Text::new("対象外", "Not applicable"),
            Self::Unknown => Text::new("不明", "Unknown"),
        }
    }
}

impl std::str::FromStr for Outcome {
    type Err = crate::ids::InvalidId;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Pass, Self::Fail, Self::NotApplicable, Self::Unknown]
            .into_iter()
            .find(|o| o.as_str() == text)
            .ok_or_else(|| crate::ids::InvalidId { what: "outcome", value: text.chars().take(80).collect() })
    }
}

/// How much a failing control matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// For information.
    Info,
    /// Mend when convenient.
    Low,
    /// Mend soon.
    Medium,
    /// Mend first.
    High,
}

/// One fact field that decided an outcome: enough to trace it to host, time, source and raw value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// Fact kind, or `policy`, `catalog`, `history`.
    pub kind: String,
    /// Path into the body, as a JSON pointer (`/pending/3/candidate`).
    pub field: String,
    /// Raw value.
    pub value: Value,
    /// Where the fact comes from.
    pub source: String,
    /// When it was collected or confirmed.
    pub at: Option<Timestamp>,
}

/// A sentence with a stable code and its parameters; rendered from the control's own list of messages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Stable code.
    pub code: String,
    /// Parameters for the `{name}` places of the sentence.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, String>,
}

impl Message {
    /// A message without parameters.
    #[must_use]
    pub fn new(code: &str) -> Self {
        Self { code: code.to_owned(), params: BTreeMap::new() }
    }

    /// Adds one parameter.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl std::fmt::Display) -> Self {
        self.params.insert(name.to_owned(), value.to_string());
        self
    }

    /// Fills the `{name}` places of `template`.
    #[must_use]
    pub fn render(&self, template: Text, lang: Lang) -> String {
        let mut out = template.get(lang).to_owned();
        for (name, value) in &self.params {
            out = out.replace(&format!("{{{name}}}"), value);
        }
        out
    }
}

/// What a control says of one host at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// Outcome.
    pub outcome: Outcome,
    /// Why, for people.
    pub message: Message,
    /// What decided it; at most [`MAX_EVIDENCE`] entries, the most telling first.
    pub evidence: Vec<Evidence>,
    /// When the outcome would change though no fact does.
    pub valid_until: Option<Timestamp>,
}

/// Most evidence entries of one verdict.
pub const MAX_EVIDENCE: usize = 50;

/// A verdict that is kept, with its continuity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// Control id.
    pub control: String,
    /// Version of the control that judged.
    pub control_version: u32,
    /// Criteria it serves.
    pub criteria: Vec<String>,
    /// The verdict.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// Since when the outcome has been this one.
    pub first_seen: Timestamp,
    /// When it was judged last.
    pub last_seen: Timestamp,
    /// When a `fail` ended, where it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved_at: Option<Timestamp>,
}

/// Code of the message of what nobody has judged since it stopped being certain.
pub const NOT_JUDGED: &str = "not_judged";

/// Code of what held when the host reported last, which is too long ago.
pub const HOST_SILENT: &str = "host_silent";

impl Verdict {
    /// What it says of a host that reported last at `heard` and counts as silent from `silent_from` on: what
    /// holds there holds no longer than that.
    #[must_use]
    pub fn while_heard(mut self, heard: Timestamp, silent_from: Timestamp, now: Timestamp) -> Self {
        if !matches!(self.outcome, Outcome::Pass | Outcome::NotApplicable) {
            return self;
        }
        if now < silent_from {
            self.valid_until = Some(self.valid_until.map_or(silent_from, |until| until.min(silent_from)));
            return self;
        }
        let heard = heard.strftime("%Y-%m-%dT%H:%M:%SZ");
        self.outcome = Outcome::Unknown;
        self.message = Message::new(HOST_SILENT).with("last_report", heard);
        self.valid_until = None;
        self
    }
}

impl Finding {
    /// What it says at `now`. A `pass` or `not_applicable` whose validity has ended, or whose host has been
    /// due for too long (`overdue`), is no longer known to hold, whatever is stored.
    #[must_use]
    pub fn as_of(mut self, now: Timestamp, judged_at: Timestamp, overdue: bool) -> Self {
        self.last_seen = judged_at;
        let holds = matches!(self.verdict.outcome, Outcome::Pass | Outcome::NotApplicable);
        let ended = self.verdict.valid_until.filter(|until| *until < now);
        if holds && (overdue || ended.is_some()) {
            let judged = judged_at.strftime("%Y-%m-%dT%H:%M:%SZ");
            self.first_seen = ended.unwrap_or(now).max(self.first_seen);
            self.verdict.outcome = Outcome::Unknown;
            self.verdict.message = Message::new(NOT_JUDGED).with("judged_at", judged);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn finding(outcome: Outcome, valid_until: Option<&str>) -> Finding {
        Finding {
            control: "a.b".into(),
            control_version: 1,
            criteria: vec![],
            verdict: Verdict {
                outcome,
                message: Message::new("said"),
                evidence: vec![],
                valid_until: valid_until.map(at),
            },
            first_seen: at("2026-11-01T00:00:00Z"),
            last_seen: at("2026-11-01T00:00:00Z"),
            resolved_at: None,
        }
    }

    #[test]
    fn what_holds_holds_no_longer_than_the_host_is_heard() {
        let (heard, silent_from) = (at("2026-11-01T00:00:00Z"), at("2026-11-15T00:00:00Z"));
        for (outcome, holds) in [
            (Outcome::Pass, true),
            (Outcome::NotApplicable, true),
            (Outcome::Fail, false),
            (Outcome::Unknown, false),
        ] {
            let verdict = |until| finding(outcome, until).verdict;
            let capped = verdict(None).while_heard(heard, silent_from, at("2026-11-14T23:59:59Z"));
            assert_eq!((capped.outcome, capped.valid_until), (outcome, holds.then_some(silent_from)));
            let sooner = verdict(Some("2026-11-03T00:00:00Z")).while_heard(heard, silent_from, heard);
            assert_eq!(sooner.valid_until, Some(at("2026-11-03T00:00:00Z")));
            let silent = verdict(Some("2026-12-01T00:00:00Z")).while_heard(heard, silent_from, silent_from);
            assert_eq!(silent.outcome, if holds { Outcome::Unknown } else { outcome });
            assert_eq!(silent.message.code == HOST_SILENT, holds);
        }
    }

    #[test]
    fn what_passed_is_unknown_after_its_validity_and_what_fails_still_fails() {
        let (judged, end) = (at("2026-11-02T00:00:00Z"), "2026-11-03T00:00:00Z");
        for (outcome, until, now, overdue, expected) in [
            (Outcome::Pass, Some(end), end, false, Outcome::Pass),
            (Outcome::Pass, Some(end), "2026-11-03T00:00:00.001Z", false, Outcome::Unknown),
            (Outcome::NotApplicable, Some(end), "2026-11-04T00:00:00Z", false, Outcome::Unknown),
            (Outcome::Pass, None, "2027-11-04T00:00:00Z", false, Outcome::Pass),
            (Outcome::Pass, None, "2026-11-02T12:00:00Z", true, Outcome::Unknown),
            (Outcome::Fail, Some(end), "2026-11-04T00:00:00Z", true, Outcome::Fail),
            (Outcome::Unknown, Some(end), "2026-11-04T00:00:00Z", true, Outcome::Unknown),
        ] {
            let shown = finding(outcome, until).as_of(at(now), judged, overdue);
            assert_eq!(shown.verdict.outcome, expected, "{outcome:?} {until:?} {now} {overdue}");
            let lapsed = expected != outcome;
            assert_eq!(shown.verdict.message.code == NOT_JUDGED, lapsed);
            assert_eq!(shown.last_seen, judged);
        }
    }
}
