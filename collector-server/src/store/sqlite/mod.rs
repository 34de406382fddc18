//! The embedded engine: one writer thread with group commit, a pool of readers.
//!
//! WAL with `synchronous=FULL`: what was answered `Ok` survives a power cut. The writer takes every job
//! that is waiting into one transaction, so that one sync serves many reports; a failing job undoes only
//! itself.

mod tx;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use tokio::sync::{Semaphore, oneshot};

use self::tx::{SqliteTx, translate};
use super::error::{Result, StoreError};
use super::{Engine, EngineKind, Mode, Running, Work};

/// Most jobs in one group commit.
const GROUP_MAX: usize = 256;
/// Readers kept open.
const READERS: usize = 4;
/// How long to wait for another process that writes (an admin command beside the server).
const BUSY: Duration = Duration::from_secs(10);
/// Prepared statements kept per connection.
const STATEMENTS: usize = 256;

struct Job {
    work: Work,
    done: oneshot::Sender<Result<()>>,
}

impl Job {
    fn answer(self, outcome: Result<()>) {
        // Whoever asked may have gone meanwhile.
        let _ = self.done.send(outcome);
    }
}

/// The embedded engine.
pub(super) struct Sqlite {
    writer: mpsc::Sender<Job>,
    readers: Arc<Readers>,
}

struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
    free: Semaphore,
}

impl Sqlite {
    /// Opens or makes the database file.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let writer = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)?;
        restrict(path)?;
        let (sender, jobs) = mpsc::channel();
        std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || write_loop(&writer, &jobs))
            .map_err(|error| StoreError::Unavailable(error.to_string()))?;
        let readers =
            Readers { path: path.to_owned(), idle: Mutex::new(Vec::new()), free: Semaphore::new(READERS) };
        Ok(Self { writer: sender, readers: Arc::new(readers) })
    }

    async fn write(&self, work: Work) -> Result<()> {
        let (done, answer) = oneshot::channel();
        let gone = || StoreError::Unavailable("the writer has stopped".into());
        self.writer.send(Job { work, done }).map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    async fn read(&self, mut work: Work) -> Result<()> {
        let readers = Arc::clone(&self.readers);
        let _permit = readers.free.acquire().await.map_err(|e| StoreError::Unavailable(e.to_string()))?;
        let pool = Arc::clone(&self.readers);
        tokio::task::spawn_blocking(move || {
            let connection = pool.take()?;
            let outcome = read_once(&connection, &mut work);
            pool.give_back(connection);
            outcome
        })
        .await
        .map_err(|error| StoreError::Unavailable(format!("a reader ended early: {error}")))?
    }
}

impl Readers {
    fn take(&self) -> Result<Connection> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        match idle {
            Some(connection) => Ok(connection),
            None => connect(&self.path, OpenFlags::SQLITE_OPEN_READ_ONLY),
        }
    }

    fn give_back(&self, connection: Connection) {
        if connection.is_autocommit() {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        }
    }
}

impl Engine for Sqlite {
    fn kind(&self) -> EngineKind {
        EngineKind::Sqlite
    }

    fn run(&self, mode: Mode, work: Work) -> Running<'_> {
        match mode {
            Mode::Read => Box::pin(self.read(work)),
            Mode::Write => Box::pin(self.write(work)),
        }
    }

    fn migrate(&self) -> Running<'_> {
        let now = jiff::Timestamp::now().as_millisecond();
        Box::pin(self.write(Box::new(move |tx| super::apply_migrations(tx, now))))
    }
}

fn connect(path: &Path, flags: OpenFlags) -> Result<Connection> {
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)
        .map_err(|error| StoreError::Unavailable(format!("{}: {error}", path.display())))?;
    connection.busy_timeout(BUSY).map_err(translate)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    // Else a statement is prepared anew whenever a bound value might suit another plan better.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map_err(translate)?;
    if !flags.contains(OpenFlags::SQLITE_OPEN_READ_ONLY) {
        connection
            .execute_batch(
                "pragma journal_mode=wal; pragma synchronous=full; pragma wal_autocheckpoint=4000;
                 pragma journal_size_limit=67108864;",
            )
            .map_err(translate)?;
    }
    connection
        .execute_batch(
            "pragma foreign_keys=off; pragma cache_size=-16384; pragma temp_store=memory; pragma trusted_schema=off;",
        )
        .map_err(translate)?;
    Ok(connection)
}

/// The file holds signing keys: nobody but the service may read it.
fn restrict(path: &Path) -> Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let only_owner = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(path, only_owner)
            .map_err(|error| StoreError::Unavailable(format!("{}: {error}", path.display())))?;
    }
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}

fn read_once(connection: &Connection, work: &mut Work) -> Result<()> {
    connection.execute_batch("begin").map_err(translate)?;
    let outcome = work(&mut SqliteTx(connection));
    let ended = connection.execute_batch("rollback").map_err(translate);
    outcome.and(ended)
}

fn write_loop(connection: &Connection, jobs: &mpsc::Receiver<Job>) {
    while let Ok(first) = jobs.recv() {
        let mut group = vec![first];
        let written = write_group(connection, &mut group, jobs);
        if let Err(error) = &written {
            tracing::error!(error = %error, "a group of writes was not stored");
            if !connection.is_autocommit() {
                // A failed rollback leaves nothing behind either: the next group begins anew or fails too.
                let _ = connection.execute_batch("rollback");
            }
        }
        match written {
            Ok(outcomes) => group.into_iter().zip(outcomes).for_each(|(job, outcome)| job.answer(outcome)),
            Err(error) => group.into_iter().for_each(|job| job.answer(Err(error.clone()))),
        }
    }
}

/// Runs the first job and all that wait in one transaction; answers what became of each. An error here
/// means that none of them was stored.
///
/// Nearly always every job does what it should, so the group runs without savepoints, which would copy
/// each page before its first change. Where one fails it all is undone and the group runs once more, each
/// job behind a savepoint.
fn write_group(
    connection: &Connection,
    group: &mut Vec<Job>,
    jobs: &mpsc::Receiver<Job>,
) -> Result<Vec<Result<()>>> {
    begin(connection)?;
    let mut at = 0;
    while let Some(job) = group.get_mut(at) {
        let outcome = run(connection, &mut job.work);
        still_open(connection)?;
        if outcome.is_err() {
            run_sql(connection, "rollback")?;
            return if group.len() == 1 { Ok(vec![outcome]) } else { write_apart(connection, group) };
        }
        at += 1;
        if group.len() < GROUP_MAX {
            group.extend(jobs.try_recv());
        }
    }
    run_sql(connection, "commit")?;
    Ok(group.iter().map(|_| Ok(())).collect())
}

/// The group in one transaction, a failing job undone by itself.
fn write_apart(connection: &Connection, group: &mut [Job]) -> Result<Vec<Result<()>>> {
    begin(connection)?;
    let mut outcomes = Vec::with_capacity(group.len());
    for job in group {
        run_sql(connection, "savepoint job")?;
        let outcome = run(connection, &mut job.work);
        still_open(connection)?;
        if outcome.is_err() {
            run_sql(connection, "rollback to job")?;
        }
        run_sql(connection, "release job")?;
        outcomes.push(outcome);
    }
    run_sql(connection, "commit")?;
    Ok(outcomes)
}

fn begin(connection: &Connection) -> Result<()> {
    run_sql(connection, "begin immediate")
}

fn run_sql(connection: &Connection, sql: &str) -> Result<()> {
    connection.prepare_cached(sql).and_then(|mut s| s.execute([])).map(drop).map_err(translate)
}

fn still_open(connection: &Connection) -> Result<()> {
    if connection.is_autocommit() {
        return Err(StoreError::Unavailable("the database ended the transaction (disk full?)".into()));
    }
    Ok(())
}

fn run(connection: &Connection, work: &mut Work) -> Result<()> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| work(&mut SqliteTx(connection))))
        .unwrap_or_else(|_| Err(StoreError::Statement("the operation panicked".into())))
}
