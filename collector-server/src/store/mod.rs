//! The store: everything the collector keeps, on SQLite or PostgreSQL.
//!
//! [`Store`] is a cheap handle over a boxed [`Engine`]. Its operations are in domain words, grouped by
//! subject in the modules beside this one (`impl Store { pub async fn ... }`), and written once: each
//! hands a closure over [`db::Tx`] to [`Store::read`] or [`Store::write`], which runs it in one
//! transaction on whichever engine is open. No SQL stands outside this folder.
//!
//! A closure may be run again from its start when the engine asks for it (a serialisation conflict), so
//! it must not keep effects of its own beside the transaction.

mod along;
pub mod answer;
pub mod audit;
#[cfg(test)]
mod audit_tests;
pub mod db;
pub mod due;
pub(crate) mod error;
pub mod fact;
pub mod host;
pub mod judgement;
pub mod key;
mod lapse;
pub mod ledger;
pub mod listing;
pub mod migration;
pub mod policy;
mod postgres;
pub mod project;
pub mod query;
pub mod report;
pub mod sandbox;
pub mod snapshot;
pub mod sql;
mod sqlite;
pub mod summary;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
pub mod token;
pub mod user;
pub mod view;

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

pub use db::{Column, EngineKind, Param, Row, Tx};
pub use error::{Result, Rule, StoreError};

/// Work inside one transaction.
pub type Work = Box<dyn FnMut(&mut (dyn Tx + '_)) -> Result<()> + Send>;

/// Whether a transaction writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Sees one consistent moment and changes nothing.
    Read,
    /// Durable when its future is ready with `Ok`.
    Write,
}

/// A future of an engine.
pub type Running<'a> = Pin<Box<dyn Future<Output = Result<()>> + Send + 'a>>;

/// A database engine: runs work in transactions, applies migrations.
pub trait Engine: Send + Sync {
    /// Which one.
    fn kind(&self) -> EngineKind;
    /// Runs `work` in one transaction and commits it durably.
    fn run(&self, mode: Mode, work: Work) -> Running<'_>;
    /// Brings the schema to [`migration::ALL`].
    fn migrate(&self) -> Running<'_>;
}

/// Where a store lives.
#[derive(Debug, Clone)]
pub enum Location {
    /// The data folder of the embedded store; the file is `tenken.db` in it.
    Folder(PathBuf),
    /// `postgres://...` or a libpq key=value string.
    Url(String),
}

/// File name of the embedded store in the data folder.
pub const FILE_NAME: &str = "tenken.db";

/// Handle to the open store. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    engine: Arc<dyn Engine>,
    location: Arc<Location>,
    titles: Arc<fact::software::TitleCache>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Store({:?})", self.engine.kind())
    }
}

impl Store {
    /// Opens the store and brings its schema up to date.
    pub async fn open(location: &Location) -> Result<Self> {
        let engine: Arc<dyn Engine> = match location {
            Location::Folder(folder) => Arc::new(sqlite::Sqlite::open(&folder.join(FILE_NAME))?),
            Location::Url(url) => Arc::new(postgres::Postgres::connect(url).await?),
        };
        engine.migrate().await?;
        Ok(Self { engine, location: Arc::new(location.clone()), titles: Arc::default() })
    }

    /// Which engine is open.
    #[must_use]
    pub fn engine(&self) -> EngineKind {
        self.engine.kind()
    }

    /// Where it lives (read-only SQL opens its own connections there).
    #[must_use]
    pub fn location(&self) -> &Location {
        &self.location
    }

    /// Titles of software met so far.
    pub(crate) fn titles(&self) -> Arc<fact::software::TitleCache> {
        Arc::clone(&self.titles)
    }

    /// Runs `work` on one consistent moment, reading only.
    pub async fn read<T: Send + 'static>(
        &self,
        work: impl FnMut(&mut (dyn Tx + '_)) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.run(Mode::Read, work).await
    }

    /// Runs `work` in one transaction; durable when this answers `Ok`.
    pub async fn write<T: Send + 'static>(
        &self,
        work: impl FnMut(&mut (dyn Tx + '_)) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.run(Mode::Write, work).await
    }

    async fn run<T: Send + 'static>(
        &self,
        mode: Mode,
        mut work: impl FnMut(&mut (dyn Tx + '_)) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let slot = Arc::new(Mutex::new(None));
        let filled = Arc::clone(&slot);
        let job: Work = Box::new(move |tx| {
            let value = work(tx)?;
            *filled.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
            Ok(())
        });
        self.engine.run(mode, job).await?;
        let value = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
        value.ok_or_else(|| StoreError::Unavailable("the transaction gave no answer".into()))
    }
}

/// Applies what is not applied yet, in order. A schema from a newer program is left alone.
fn apply_migrations(tx: &mut (dyn Tx + '_), now: i64) -> Result<()> {
    tx.execute(migration::TABLE, &[])?;
    let applied = tx.rows("select number from migration order by number", &[], |row| row.int(0))?;
    let known = migration::ALL.last().map_or(0, |m| m.number);
    if let Some(newer) = applied.last().filter(|number| **number > known) {
        return Err(StoreError::Rule(Rule::NewerSchema(*newer, known)));
    }
    for migration in migration::ALL.iter().filter(|m| !applied.contains(&m.number)) {
        let text = match tx.engine() {
            EngineKind::Sqlite => migration.sqlite,
            EngineKind::Postgres => migration.postgres,
        };
        for statement in sql::statements(text) {
            tx.execute(statement, &[])?;
        }
        tx.execute(
            "insert into migration (number, name, applied_at) values (?1, ?2, ?3)",
            db::params![migration.number, migration.name, now],
        )?;
    }
    Ok(())
}
