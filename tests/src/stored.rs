//! What the store really holds, read by SQL past the collector.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use rusqlite::types::Value;
use tenken_shared::ids::Digest;
use tokio_postgres::types::Type;

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
    (select count(*) from host_software s where s.org_id = h.org_id and s.block = h.host_id / 32 \
    and s.host_id = h.host_id) \
    from host h join host_chain c on c.org_id = h.org_id and c.host_id = h.host_id";

/// All hosts by their public id.
pub async fn hosts(store: &Store, data: &Path) -> Result<HashMap<String, StoredHost>> {
    let mut out = HashMap::new();
    for row in rows(store, data, HOSTS).await? {
        let [uid, head, seq, software] = cells(row)?;
        let host = StoredHost { head: digest(head)?, head_seq: count(seq)?, software: count(software)? };
        out.insert(text(uid)?, host);
    }
    Ok(out)
}

/// All that one host's reports left.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trail {
    /// Head of its chain.
    pub head: Option<Digest>,
    /// Sequence number of the head.
    pub head_seq: u64,
    /// How many reports were taken.
    pub reports: u64,
    /// Reports kept as evidence, and the last one.
    pub kept: BTreeMap<u64, Digest>,
    /// Digests of its present facts by kind.
    pub facts: BTreeMap<String, Digest>,
    /// Names and versions of its present packages.
    pub software: BTreeSet<(String, String)>,
    /// Kinds of what happened to it.
    pub events: Vec<String>,
}

/// The trails of all hosts by their public id.
pub async fn trails(store: &Store, data: &Path) -> Result<HashMap<String, Trail>> {
    let mut out: HashMap<String, Trail> = HashMap::new();
    let of = |table: &str, columns: &str, rest: &str| {
        let join = "on x.org_id = h.org_id and x.host_id = h.host_id";
        format!("select h.uid, {columns} from host h join {table} x {join} {rest}")
    };
    for row in rows(store, data, &of("host_chain", "x.head, x.head_seq, x.reports", "")).await? {
        let [uid, head, seq, reports] = cells(row)?;
        let trail = out.entry(text(uid)?).or_default();
        (trail.head, trail.head_seq, trail.reports) = (digest(head)?, count(seq)?, count(reports)?);
    }
    for row in rows(store, data, &of("report", "x.seq, x.digest", "")).await? {
        let [uid, seq, named] = cells(row)?;
        let named = digest(named)?.context("a report without a digest")?;
        out.entry(text(uid)?).or_default().kept.insert(count(seq)?, named);
    }
    let present = "join kind k on k.kind_id = x.kind_id where x.observed_to is null";
    for row in rows(store, data, &of("host_fact", "k.name, x.digest", present)).await? {
        let [uid, kind, body] = cells(row)?;
        let body = digest(body)?.context("a fact without a digest")?;
        out.entry(text(uid)?).or_default().facts.insert(text(kind)?, body);
    }
    let titles = "and x.block = h.host_id / 32 join software_title t on t.title_id = x.title_id";
    for row in rows(store, data, &of("host_software", "t.name, t.version", titles)).await? {
        let [uid, name, version] = cells(row)?;
        out.entry(text(uid)?).or_default().software.insert((text(name)?, text(version)?));
    }
    let order = "order by x.recorded_at, x.position";
    for row in rows(store, data, &of("host_event", "x.kind", order)).await? {
        let [uid, kind] = cells(row)?;
        out.entry(text(uid)?).or_default().events.push(text(kind)?);
    }
    Ok(out)
}

/// Rows of either engine.
async fn rows(store: &Store, data: &Path, sql: &str) -> Result<Vec<Vec<Value>>> {
    match store {
        Store::Sqlite => {
            let db = rusqlite::Connection::open(data.join(tenken_collector::store::FILE_NAME))?;
            let mut statement = db.prepare(sql)?;
            let width = statement.column_count();
            let rows = statement.query_map([], |row| (0..width).map(|at| row.get(at)).collect())?;
            Ok(rows.collect::<Result<_, _>>()?)
        }
        Store::Postgres(url) => {
            let rows = client(url).await?.query(sql, &[]).await?;
            rows.iter().map(|row| (0..row.len()).map(|at| value(row, at)).collect()).collect()
        }
    }
}

fn value(row: &tokio_postgres::Row, at: usize) -> Result<Value> {
    let kind = row.columns().get(at).context("no such column")?.type_();
    Ok(match *kind {
        Type::INT8 => row.try_get::<_, Option<i64>>(at)?.map_or(Value::Null, Value::Integer),
        Type::TEXT => row.try_get::<_, Option<String>>(at)?.map_or(Value::Null, Value::Text),
        Type::BYTEA => row.try_get::<_, Option<Vec<u8>>>(at)?.map_or(Value::Null, Value::Blob),
        ref other => bail!("a column of type {other}"),
    })
}

fn cells<const N: usize>(row: Vec<Value>) -> Result<[Value; N]> {
    row.try_into().map_err(|row| anyhow::anyhow!("{N} columns wanted: {row:?}"))
}

fn text(value: Value) -> Result<String> {
    let Value::Text(text) = value else { bail!("no text: {value:?}") };
    Ok(text)
}

fn count(value: Value) -> Result<u64> {
    let Value::Integer(number) = value else { bail!("no number: {value:?}") };
    Ok(number.try_into()?)
}

fn digest(value: Value) -> Result<Option<Digest>> {
    match value {
        Value::Null => Ok(None),
        Value::Blob(bytes) => Ok(Some(Digest::try_from(bytes.as_slice())?)),
        other => bail!("no digest: {other:?}"),
    }
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
