//! What can go wrong in the store, in words that do not name an engine.

/// Why a store operation did not happen. Nothing of it was kept.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The database is away, busy, full or not writable: the same operation may succeed later.
    #[error("store unavailable: {0}")]
    Unavailable(String),
    /// A unique key is taken.
    #[error("already exists: {0}")]
    Conflict(String),
    /// A named thing does not exist.
    #[error("not found: {0}")]
    NotFound(String),
    /// Refused by a rule of the store's own (a state that cannot be left, a limit).
    #[error("not possible: {0}")]
    Refused(String),
    /// What is stored does not read as what it should be.
    #[error("stored data damaged: {0}")]
    Damaged(String),
    /// The database refused a statement: a defect of this program.
    #[error("store statement failed: {0}")]
    Statement(String),
}

impl StoreError {
    /// Whether the same operation may succeed later without anybody changing it.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}

/// Result of a store operation.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;
