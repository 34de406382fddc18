//! How a fact was come by: the honest states.
//!
//! What was not collected is never a pass and never an empty list. [`Collected`] is not flattened to
//! `Option` before evaluation; a control that needs the value says what each other state means.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The status word of a fact or of one of its sources. Names are part of the wire contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Collected whole.
    Known,
    /// Collected with named gaps.
    Partial,
    /// Looked for in a place that was readable, and not there.
    Absent,
    /// Cannot exist or cannot be read on this kind of machine, or only on a running one.
    Unsupported,
    /// There, but this process may not read it.
    Denied,
    /// Tried, and went wrong.
    Failed,
    /// Tried, and did not come back in time.
    TimedOut,
}

impl Status {
    /// All states, in declaration order.
    pub const ALL: [Self; 7] = [
        Self::Known,
        Self::Partial,
        Self::Absent,
        Self::Unsupported,
        Self::Denied,
        Self::Failed,
        Self::TimedOut,
    ];

    /// The wire word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Known => "known",
            Self::Partial => "partial",
            Self::Absent => "absent",
            Self::Unsupported => "unsupported",
            Self::Denied => "denied",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
        }
    }

    /// Whether a body comes with this status.
    #[must_use]
    pub fn has_body(self) -> bool {
        matches!(self, Self::Known | Self::Partial)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for Status {
    type Err = crate::ids::InvalidId;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|s| s.as_str() == text)
            .ok_or_else(|| crate::ids::InvalidId { what: "status", value: text.chars().take(80).collect() })
    }
}

/// Why something was not collected (whole): a stable code (`snake_case`, the field's words, never a
/// sentence of the machine's language) and an optional detail such as a path or an error number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// Stable code, for example `permission_denied`, `live_only`, `malformed`, `metadata_missing`.
    pub code: String,
    /// On which object, for a person; no personal data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl Reason {
    /// A bare code.
    #[must_use]
    pub fn new(code: &str) -> Self {
        Self { code: code.to_owned(), detail: None }
    }

    /// A code and the object it is about.
    #[must_use]
    pub fn with(code: &str, detail: impl fmt::Display) -> Self {
        Self { code: code.to_owned(), detail: Some(detail.to_string()) }
    }
}

/// One source of a list and how reading it went. Every list body carries these.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceState {
    /// Which source: a path under the root, a command, an API (`dpkg:/var/lib/dpkg/status`).
    pub source: String,
    /// How it went.
    pub status: Status,
    /// Reason code where the status is not `known`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// Entries this source gave.
    #[serde(default)]
    pub count: u64,
    /// Whether a cap cut the source short.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
    /// Whether no answer rests on this source: what it would have told is judged by no rule, or its place
    /// in the body says itself that it is not known.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub aside: bool,
}

impl SourceState {
    /// A source read whole.
    #[must_use]
    pub fn known(source: impl Into<String>, count: usize) -> Self {
        Self {
            source: source.into(),
            status: Status::Known,
            reason: None,
            count: count as u64,
            truncated: false,
            aside: false,
        }
    }

    /// A source that was not read (whole).
    #[must_use]
    pub fn gap(source: impl Into<String>, status: Status, reason: Reason) -> Self {
        Self { source: source.into(), status, reason: Some(reason), count: 0, truncated: false, aside: false }
    }

    /// Whether this source leaves something unknown: every state but `known` and `absent`. What an
    /// `unsupported` source would have told is missing, unless it stands aside; a source that is not meant
    /// for this machine is `absent`.
    #[must_use]
    pub fn is_gap(&self) -> bool {
        match self.status {
            Status::Known | Status::Absent => self.truncated,
            Status::Unsupported => !self.aside,
            Status::Partial | Status::Denied | Status::Failed | Status::TimedOut => true,
        }
    }
}

/// A value with the honest story of how it was come by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Collected<T> {
    /// Whole.
    Known(T),
    /// With a gap, named.
    Partial(T, Reason),
    /// Looked for and not there.
    Absent(Reason),
    /// Not possible here.
    Unsupported(Reason),
    /// Forbidden.
    Denied(Reason),
    /// Went wrong.
    Failed(Reason),
    /// Did not come back in time.
    TimedOut(Reason),
}

impl<T> Collected<T> {
    /// The value, known or partial.
    pub fn value(&self) -> Option<&T> {
        match self {
            Self::Known(value) | Self::Partial(value, _) => Some(value),
            _ => None,
        }
    }

    /// The status word.
    pub fn status(&self) -> Status {
        match self {
            Self::Known(_) => Status::Known,
            Self::Partial(..) => Status::Partial,
            Self::Absent(_) => Status::Absent,
            Self::Unsupported(_) => Status::Unsupported,
            Self::Denied(_) => Status::Denied,
            Self::Failed(_) => Status::Failed,
            Self::TimedOut(_) => Status::TimedOut,
        }
    }

    /// The reason, for every state but `known`.
    pub fn reason(&self) -> Option<&Reason> {
        match self {
            Self::Known(_) => None,
            Self::Partial(_, r)
            | Self::Absent(r)
            | Self::Unsupported(r)
            | Self::Denied(r)
            | Self::Failed(r)
            | Self::TimedOut(r) => Some(r),
        }
    }

    /// Same state, other value.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Collected<U> {
        match self {
            Self::Known(v) => Collected::Known(f(v)),
            Self::Partial(v, r) => Collected::Partial(f(v), r),
            Self::Absent(r) => Collected::Absent(r),
            Self::Unsupported(r) => Collected::Unsupported(r),
            Self::Denied(r) => Collected::Denied(r),
            Self::Failed(r) => Collected::Failed(r),
            Self::TimedOut(r) => Collected::TimedOut(r),
        }
    }

    /// Builds from a status word; a status with a body but none given is `failed`.
    pub fn from_parts(status: Status, reason: Option<Reason>, body: Option<T>) -> Self {
        let reason = reason.unwrap_or_else(|| Reason::new("unspecified"));
        match (status, body) {
            (Status::Known, Some(body)) => Self::Known(body),
            (Status::Partial, Some(body)) => Self::Partial(body, reason),
            (Status::Known | Status::Partial, None) => Self::Failed(Reason::new("body_missing")),
            (Status::Absent, _) => Self::Absent(reason),
            (Status::Unsupported, _) => Self::Unsupported(reason),
            (Status::Denied, _) => Self::Denied(reason),
            (Status::Failed, _) => Self::Failed(reason),
            (Status::TimedOut, _) => Self::TimedOut(reason),
        }
    }
}
