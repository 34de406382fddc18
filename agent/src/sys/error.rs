//! Errors of the door to the machine, and the honest state each one is.

use tenken_shared::collected::{Reason, Status};

/// What went wrong on which object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SysError {
    /// Looked for and not there.
    #[error("{what}: not present")]
    Absent {
        /// Path, key or command.
        what: String,
    },
    /// There, but not readable with these rights.
    #[error("{what}: access denied")]
    Denied {
        /// Path, key or command.
        what: String,
    },
    /// Not possible on this machine or only on a running one.
    #[error("{what}: not supported here ({reason})")]
    Unsupported {
        /// Path, key or command.
        what: String,
        /// Reason code.
        reason: String,
    },
    /// Over a cap.
    #[error("{what}: larger than the cap of {cap}")]
    TooLarge {
        /// Path or command.
        what: String,
        /// Bytes or entries.
        cap: u64,
    },
    /// Did not come back in time.
    #[error("{what}: timed out")]
    TimedOut {
        /// Command or API.
        what: String,
    },
    /// Anything else, with a reason code.
    #[error("{what}: {reason} ({detail})")]
    Failed {
        /// Path, key or command.
        what: String,
        /// Reason code.
        reason: String,
        /// Error number or message code.
        detail: String,
    },
}

impl SysError {
    /// From an I/O error on `what`.
    #[must_use]
    pub fn from_io(what: &str, error: &std::io::Error) -> Self {
        use std::io::ErrorKind;
        match error.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory => Self::Absent { what: what.into() },
            ErrorKind::PermissionDenied => Self::Denied { what: what.into() },
            ErrorKind::TimedOut => Self::TimedOut { what: what.into() },
            _ => Self::Failed {
                what: what.into(),
                reason: "io_error".into(),
                detail: error.raw_os_error().map_or_else(|| error.kind().to_string(), |n| n.to_string()),
            },
        }
    }

    /// A content that does not read as its format.
    #[must_use]
    pub fn malformed(what: &str, detail: impl std::fmt::Display) -> Self {
        Self::Failed { what: what.into(), reason: "malformed".into(), detail: detail.to_string() }
    }

    /// The object.
    #[must_use]
    pub fn what(&self) -> &str {
        match self {
            Self::Absent { what }
            | Self::Denied { what }
            | Self::Unsupported { what, .. }
            | Self::TooLarge { what, .. }
            | Self::TimedOut { what }
            | Self::Failed { what, .. } => what,
        }
    }

    /// The honest state this error is.
    #[must_use]
    pub fn status(&self) -> Status {
        match self {
            Self::Absent { .. } => Status::Absent,
            Self::Denied { .. } => Status::Denied,
            Self::Unsupported { .. } => Status::Unsupported,
            Self::TooLarge { .. } | Self::Failed { .. } => Status::Failed,
            Self::TimedOut { .. } => Status::TimedOut,
        }
    }

    /// Reason code and object.
    #[must_use]
    pub fn reason(&self) -> Reason {
        let what = self.what();
        match self {
            Self::Absent { .. } => Reason::with("not_present", what),
            Self::Denied { .. } => Reason::with("permission_denied", what),
            Self::Unsupported { reason, .. } => Reason::with(reason, what),
            Self::TooLarge { .. } => Reason::with("too_large", what),
            Self::TimedOut { .. } => Reason::with("timed_out", what),
            Self::Failed { reason, detail, .. } => Reason::with(reason, format!("{what}: {detail}")),
        }
    }
}
