//! Read-only SQL over the published views of one organisation.
//!
//! Two walls, one in front of the other. First [`guard`]: the text must be one `select` that calls only
//! known functions and names no system table; the same dialect on both engines. Then the engine's own:
//! on SQLite a fresh read-only connection with an authorizer, limits and a clock; on PostgreSQL a log-in
//! role of the organisation that may read the views and nothing else, in a read-only transaction with a
//! time limit. The organisation is never part of the caller's text.

pub mod guard;
mod page;
mod postgres;
mod sqlite;
#[cfg(test)]
mod tests;

pub use page::{Place, ViewPage};

use std::time::Duration;

use tenken_shared::ids::OrgId;

use super::{Location, Store, StoreError};
use crate::export::Table;

/// What one query may use.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Wall time.
    pub time: Duration,
    /// Rows; more are cut and the table says so.
    pub rows: usize,
    /// Bytes of all values together.
    pub bytes: usize,
    /// Bytes of the statement.
    pub statement_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            time: Duration::from_secs(5),
            rows: 100_000,
            bytes: 32 * 1024 * 1024,
            statement_bytes: 16 * 1024,
        }
    }
}

/// Why a query gave no rows.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SandboxError {
    /// The text does not read as SQL over the views.
    #[error("invalid SQL: {0}")]
    Invalid(String),
    /// It reaches for something outside.
    #[error("not allowed: {0}")]
    Denied(String),
    /// It ran out of time, bytes or memory.
    #[error("limit reached: {0}")]
    Limit(&'static str),
    /// No sandboxed connection can be had.
    #[error("read-only SQL is not available: {0}")]
    Unavailable(String),
}

impl From<StoreError> for SandboxError {
    fn from(error: StoreError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

impl Store {
    /// Runs one `select` of a caller over the published views, limited to one organisation.
    pub async fn run_sql(&self, org: &OrgId, sql: &str, limits: Limits) -> Result<Table, SandboxError> {
        self.run_each(org, &[sql.to_owned()], limits).await
    }

    /// Runs one after the other, which answer the same columns; the limits hold for all of them together.
    async fn run_each(&self, org: &OrgId, all: &[String], limits: Limits) -> Result<Table, SandboxError> {
        let check = |sql: &String| Ok(guard::check(sql, limits.statement_bytes)?.to_owned());
        let all = all.iter().map(check).collect::<Result<Vec<String>, SandboxError>>()?;
        let slug = org.clone();
        let number = self
            .read(move |tx| {
                tx.one("select org_id from org where slug = ?1", super::db::params![&slug], |row| row.int(0))
            })
            .await?
            .ok_or_else(|| SandboxError::Denied("no such organisation".into()))?;
        match self.location() {
            Location::Folder(folder) => {
                let path = folder.join(super::FILE_NAME);
                tokio::task::spawn_blocking(move || sqlite::run(&path, number, &all, limits))
                    .await
                    .map_err(|error| SandboxError::Unavailable(error.to_string()))?
            }
            Location::Url(url) => {
                let mut table = Table::default();
                for sql in &all {
                    let limits = Limits { rows: limits.rows.saturating_sub(table.rows.len()), ..limits };
                    table.append(postgres::run(self, url, number, sql, limits).await?);
                }
                Ok(table)
            }
        }
    }
}
