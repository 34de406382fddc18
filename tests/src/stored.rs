//! What the store really holds, read by SQL past the collector.

use std::collections::HashMap;
use std::path::Path;

use anyhow::Result;
use tenken_shared::ids::Digest;

use crate::program::Store;

/// One host as stored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoredHost {
    /// Head of its chain.
    pub head: Option<Digest>,
    /// Sequence number of the head.
    pub head_seq: u64,
    /// Software rows.
    pub software: u64,
}

const HOSTS: &str = "select h.uid, c.head, c.head_seq, \
    (select count(*) from host_software s where s.org_id = h.org_id and s.host_id = h.host_id) \
    from host h join host_chain c on c.org_id = h.org_id and c.host_id = h.host_id";

/// All hosts by their public id.
pub async fn hosts(store: &Store, data: &Path) -> Result<HashMap<String, StoredHost>> {
    let mut out = HashMap::new();
    let mut keep = |uid: String, head: Option<Vec<u8>>, seq: i64, software: i64| -> Result<()> {
        let head = head.map(|bytes| Digest::try_from(bytes.as_slice())).transpose()?;
        out.insert(uid, StoredHost { head, head_seq: seq.try_into()?, software: software.try_into()? });
        Ok(())
    };
    match store {
        Store::Sqlite => {
            let db = rusqlite::Connection::open(data.join(tenken_collector::store::FILE_NAME))?;
            let mut statement = db.prepare(HOSTS)?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                keep(row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)?;
            }
        }
        Store::Postgres(url) => {
            for row in client(url).await?.query(HOSTS, &[]).await? {
                keep(row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?)?;
            }
        }
    }
    Ok(out)
}

/// Whether a host of the embedded store waits to be judged now.
pub fn is_due(data: &Path) -> Result<bool> {
    let db = rusqlite::Connection::open(data.join(tenken_collector::store::FILE_NAME))?;
    let now = jiff::Timestamp::now().as_millisecond();
    Ok(db.query_row("select count(*) from due where due_at <= ?1", [now], |row| row.get::<_, i64>(0))? > 0)
}

/// Size of the whole store, bytes. The collector must have been stopped, so that nothing is in a log.
pub async fn size_bytes(store: &Store, data: &Path) -> Result<u64> {
    match store {
        Store::Sqlite => Ok(std::fs::metadata(data.join(tenken_collector::store::FILE_NAME))?.len()),
        Store::Postgres(url) => {
            let row =
                client(url).await?.query_one("select pg_database_size(current_database())", &[]).await?;
            Ok(row.try_get::<_, i64>(0)?.try_into()?)
        }
    }
}

async fn client(url: &str) -> Result<tokio_postgres::Client> {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await?;
    tokio::spawn(async move {
        // Its error reaches the client, which reports it.
        let _ = connection.await;
    });
    Ok(client)
}

/// Makes an empty database on the server of `url` (an address or `key=value` pairs) and gives its address.
pub async fn fresh_database(url: &str, name: &str) -> Result<String> {
    let client = client(url).await?;
    client.batch_execute(&format!("drop database if exists {name} with (force)")).await?;
    client.batch_execute(&format!("create database {name}")).await?;
    let Some((scheme, rest)) = url.split_once("://") else {
        // Of a key given twice, the later one counts.
        return Ok(format!("{url} dbname={name}"));
    };
    let (place, parameters) =
        rest.split_once('?').map_or((rest, String::new()), |(p, q)| (p, format!("?{q}")));
    let authority = place.split('/').next().unwrap_or_default();
    Ok(format!("{scheme}://{authority}/{name}{parameters}"))
}

/// One version of a fact on both time axes, milliseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// When the machine first had it so (its time, corrected).
    pub observed_from: i64,
    /// Since when the collector knows.
    pub recorded_from: i64,
}

/// All versions of one kind of fact of a host of the embedded store, oldest first.
pub fn versions(data: &Path, host: &str, kind: &str) -> Result<Vec<Version>> {
    let db = rusqlite::Connection::open(data.join(tenken_collector::store::FILE_NAME))?;
    let mut statement = db.prepare(
        "select f.observed_from, f.recorded_from from host_fact f \
         join host h on h.org_id = f.org_id and h.host_id = f.host_id \
         join kind k on k.kind_id = f.kind_id \
         where h.uid = ?1 and k.name = ?2 order by f.observed_from, f.recorded_from",
    )?;
    let rows = statement.query_map([host, kind], |row| {
        Ok(Version { observed_from: row.get(0)?, recorded_from: row.get(1)? })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
