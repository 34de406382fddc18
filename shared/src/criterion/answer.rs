//! What people answer for: exceptions from a control, and attestations of what no machine can see.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::text::Text;

/// The scheme's four mitigations (4-4-4-2) that stand in while something cannot be mended.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Mitigation {
    /// The function concerned is disabled.
    Disable,
    /// The vendor's workaround is applied.
    Workaround,
    /// The device is cut off from the networks in scope.
    Isolate,
    /// Traffic that would exploit it is monitored and blocked.
    MonitorAndBlock,
}

impl Mitigation {
    /// All four.
    pub const ALL: [Self; 4] = [Self::Disable, Self::Workaround, Self::Isolate, Self::MonitorAndBlock];

    /// The contract word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Workaround => "workaround",
            Self::Isolate => "isolate",
            Self::MonitorAndBlock => "monitor_and_block",
        }
    }

    /// Title for people.
    #[must_use]
    pub fn title(self) -> Text {
        match self {
            Self::Disable => Text::new("該当機能の無効化", "Function disabled"),
            Self::Workaround => Text::new("ベンダー提示の回避策の適用", "Vendor workaround applied"),
            Self::Isolate => Text::new("対象ネットワークからの隔離", "Isolated from the networks in scope"),
            Self::MonitorAndBlock => {
                Text::new("悪用する通信の監視・遮断", "Exploiting traffic monitored and blocked")
            }
        }
    }
}

impl std::str::FromStr for Mitigation {
    type Err = crate::ids::InvalidId;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|m| m.as_str() == text).ok_or_else(|| crate::ids::InvalidId {
            what: "mitigation",
            value: text.chars().take(80).collect(),
        })
    }
}

/// A failing control that a person answers for until a deadline. The finding itself stays `fail`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Exception {
    /// Its id within the organisation.
    pub id: String,
    /// Whom it covers: a host id or host name, or `group:NAME`. Never everybody.
    pub target: String,
    /// Control id.
    pub control: String,
    /// Why it cannot be mended now.
    pub reason: String,
    /// What protects meanwhile.
    pub mitigation: Mitigation,
    /// Who answers for it.
    pub owner: String,
    /// From when on it counts no longer.
    #[schema(value_type = String, format = DateTime)]
    pub deadline: Timestamp,
    /// When it was recorded.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// Who recorded it.
    pub created_by: String,
}

/// A person's statement about a criterion that machines cannot (wholly) answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Attestation {
    /// Its id within the organisation.
    pub id: String,
    /// Criterion it is about.
    pub criterion: String,
    /// Whether the person states that the criterion holds.
    pub holds: bool,
    /// Who states it.
    pub by: String,
    /// What is stated.
    pub statement: String,
    /// Where the document is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document: Option<String>,
    /// When it was stated.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// When it must be looked at again.
    #[schema(value_type = String, format = DateTime)]
    pub next_review: Timestamp,
    /// Who recorded it.
    pub recorded_by: String,
}
