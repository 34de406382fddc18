//! PostgreSQL: a pool of connections, each transaction on a blocking thread.
//!
//! Each connection prepares a statement once, with its types; a transaction pooler in between must know
//! prepared statements (PgBouncer from 1.21, `max_prepared_statements`). Serialisation conflicts and deadlocks are
//! tried again from the start of the transaction.

pub(super) mod address;
mod tx;

use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, RecyclingMethod};
use tokio::runtime::Handle;

use self::address::Address;
use self::tx::{PostgresTx, is_conflict, translate};
use super::error::{Result, StoreError};
use super::{Engine, EngineKind, Mode, Running, Work};

/// Connections at most.
const CONNECTIONS: usize = 16;
/// How often a transaction is tried when it conflicts with others.
const TRIES: u32 = 6;
/// Key of the advisory lock that lets one collector migrate at a time.
const MIGRATION_LOCK: i64 = 0x7465_6e6b_656e;

/// The PostgreSQL engine.
pub(super) struct Postgres {
    pool: Pool,
}

impl Postgres {
    /// Connects; fails when no connection can be made now.
    pub(super) async fn connect(url: &str) -> Result<Self> {
        let Address { mut config, tls } = Address::parse(url)?;
        config.application_name("tenken-collector").connect_timeout(std::time::Duration::from_secs(10));
        // "Accepted" promises durability, whatever the server's or role's default says.
        let options = config.get_options().map_or_else(String::new, |given| format!("{given} "));
        config.options(format!("{options}-c synchronous_commit=on"));
        let manager =
            Manager::from_config(config, tls, ManagerConfig { recycling_method: RecyclingMethod::Fast });
        let pool = Pool::builder(manager)
            .max_size(CONNECTIONS)
            .build()
            .map_err(|error| StoreError::Unavailable(error.to_string()))?;
        let engine = Self { pool };
        drop(engine.client().await?);
        Ok(engine)
    }

    async fn client(&self) -> Result<Object> {
        self.pool.get().await.map_err(|error| StoreError::Unavailable(format!("PostgreSQL: {error}")))
    }

    async fn transact(&self, mode: Mode, mut work: Work) -> Result<()> {
        let client = self.client().await?;
        let handle = Handle::current();
        tokio::task::spawn_blocking(move || {
            let mut outcome = attempt(&client, &handle, mode, &mut work);
            for _ in 1..TRIES {
                if !outcome.as_ref().is_err_and(|failed| failed.again) {
                    break;
                }
                outcome = attempt(&client, &handle, mode, &mut work);
            }
            if outcome.as_ref().is_err_and(|failed| failed.broken) {
                drop(Object::take(client));
            }
            outcome.map_err(|failed| failed.error)
        })
        .await
        .map_err(|error| StoreError::Unavailable(format!("a transaction ended early: {error}")))?
    }
}

/// A transaction that did not commit.
struct Failed {
    error: StoreError,
    /// Worth another try from the start.
    again: bool,
    /// The connection may still be inside a transaction and must not be used again.
    broken: bool,
}

fn attempt(client: &Object, handle: &Handle, mode: Mode, work: &mut Work) -> std::result::Result<(), Failed> {
    let begin = match mode {
        Mode::Read => "begin isolation level repeatable read read only",
        Mode::Write => "begin",
    };
    let broken =
        |error: tokio_postgres::Error| Failed { error: translate(&error), again: false, broken: true };
    handle.block_on(client.batch_execute(begin)).map_err(broken)?;
    let mut tx = PostgresTx { client, handle, conflict: false };
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| work(&mut tx)))
        .unwrap_or_else(|_| Err(StoreError::Statement("the operation panicked".into())));
    let again = tx.conflict;
    if let Err(error) = outcome {
        let rolled_back = handle.block_on(client.batch_execute("rollback")).is_ok();
        return Err(Failed { error, again: again && rolled_back, broken: !rolled_back });
    }
    handle.block_on(client.batch_execute("commit")).map_err(|error| Failed {
        again: is_conflict(&error),
        broken: !is_conflict(&error),
        error: translate(&error),
    })
}

impl Engine for Postgres {
    fn kind(&self) -> EngineKind {
        EngineKind::Postgres
    }

    fn run(&self, mode: Mode, work: Work) -> Running<'_> {
        Box::pin(self.transact(mode, work))
    }

    fn migrate(&self) -> Running<'_> {
        let now = jiff::Timestamp::now().as_millisecond();
        let work: Work = Box::new(move |tx| {
            tx.one("select pg_advisory_xact_lock(?1)::text", super::db::params![MIGRATION_LOCK], |_| Ok(()))?;
            super::apply_migrations(tx, now)
        });
        Box::pin(self.transact(Mode::Write, work))
    }
}
