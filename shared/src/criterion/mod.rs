//! The scheme's criteria as data (standard of 2026-03-27), and their states. Roll-up: [`roll_up()`].

mod answer;
mod roll_up;

pub use answer::{Attestation, Exception, Mitigation};
pub use roll_up::{
    AttestationState, Coverage, CriterionResult, HostCounts, HostVerdicts, Scope, host_in_target, roll_up,
    sentence, targets_without_host,
};

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use crate::text::Text;

/// Version of the criteria data: date of the standard.
pub const STANDARD_VERSION: &str = "2026-03-27";

/// One criterion.
#[derive(Debug, Clone, Deserialize)]
pub struct Criterion {
    /// Four-part number.
    pub criterion: String,
    /// `star3` (★3 and ★4) or `star4` (★4 only).
    pub level: String,
    /// Three-part number of its requirement.
    pub requirement: String,
    /// Requirement title.
    pub requirement_title_ja: String,
    /// Requirement title.
    pub requirement_title_en: String,
    /// `state`, `mechanism`, `rule`, `review`, or empty.
    pub kind: String,
    /// `endpoint`, `partly`, `attested`.
    pub evidence: String,
    /// In our words.
    pub summary_ja: String,
    /// In our words.
    pub summary_en: String,
}

static CRITERIA: LazyLock<Vec<Criterion>> = LazyLock::new(|| {
    csv::Reader::from_reader(include_bytes!("criterion.csv").as_slice())
        .deserialize()
        .filter_map(Result::ok)
        .collect()
});

/// All 153 criteria, in order.
#[must_use]
pub fn all() -> &'static [Criterion] {
    &CRITERIA
}

/// One criterion by number.
#[must_use]
pub fn find(number: &str) -> Option<&'static Criterion> {
    all().iter().find(|c| c.criterion == number)
}

/// State of a criterion for an organisation (or for one host in `check`).
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum CriterionState {
    /// Every host in scope passes.
    Met,
    /// What fails is covered by valid exceptions.
    MetWithExceptions,
    /// Something fails.
    NotMet,
    /// Something could not be judged and nothing fails.
    Unknown,
    /// A person answers for it; whether anything is recorded stands beside it.
    Attested,
    /// Concerns nothing here.
    NotApplicable,
}

impl CriterionState {
    /// The contract word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::MetWithExceptions => "met_with_exceptions",
            Self::NotMet => "not_met",
            Self::Unknown => "unknown",
            Self::Attested => "attested",
            Self::NotApplicable => "not_applicable",
        }
    }

    /// Title for people.
    #[must_use]
    pub fn title(self) -> Text {
        match self {
            Self::Met => Text::new("適合", "Met"),
            Self::MetWithExceptions => Text::new("例外付き適合", "Met with exceptions"),
            Self::NotMet => Text::new("不適合", "Not met"),
            Self::Unknown => Text::new("不明", "Unknown"),
            Self::Attested => Text::new("自己申告", "Attested"),
            Self::NotApplicable => Text::new("対象外", "Not applicable"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_153_criteria_are_there_and_81_are_star3() {
        assert_eq!(all().len(), 153);
        assert_eq!(all().iter().filter(|c| c.level == "star3").count(), 81);
    }
}
