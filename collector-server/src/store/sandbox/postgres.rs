//! The sandbox on PostgreSQL: a log-in role per organisation.
//!
//! The role owns nothing, inherits nothing and may read the published views only, which live in a schema
//! of their own and find the organisation by `session_user`; no statement can change that one (a role
//! that logged in itself has nowhere to `set role` to). Every question runs on a fresh connection, in a
//! read-only transaction, by the extended protocol (one statement), under a time limit.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::TryStreamExt as _;
use serde_json::Value;
use tenken_shared::ids::Digest;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};

use super::{Limits, SandboxError};
use crate::export::Table;
use crate::store::db::params;
use crate::store::postgres::address::Address;
use crate::store::{Result as StoreResult, Store, Tx, view};

/// Key of the advisory lock under which roles and views are made.
const LOCK: i64 = 0x7465_6e6b_7371;

/// Longest text of one value, characters.
const MAX_TEXT_CHARS: usize = 100_000;

/// A role that may ask.
#[derive(Debug, Clone)]
struct Login {
    role: String,
    password: String,
    schema: String,
}

/// Runs one checked statement over the views of organisation number `org`.
pub(super) async fn run(
    store: &Store,
    url: &str,
    org: i64,
    sql: &str,
    limits: Limits,
) -> Result<Table, SandboxError> {
    let login = store.write(move |tx| prepare(tx, org)).await?;
    let Address { mut config, tls } = Address::parse(url)?;
    config.user(&login.role).password(&login.password).application_name("tenken-query");
    config.connect_timeout(limits.time);
    let (client, connection) = config.connect(tls.clone()).await.map_err(unavailable)?;
    let driver = tokio::spawn(connection);
    let cancel = client.cancel_token();
    let outcome = tokio::time::timeout(limits.time * 2, ask(&client, &login, sql, limits)).await;
    if outcome.is_err() {
        let _best_effort = cancel.cancel_query(tls).await;
    }
    driver.abort();
    outcome.unwrap_or(Err(SandboxError::Limit("time")))
}

fn unavailable(error: impl std::fmt::Display) -> SandboxError {
    SandboxError::Unavailable(error.to_string())
}

/// Makes or refreshes schema, views and the organisation's role. All of it is safe to repeat.
fn prepare(tx: &mut (dyn Tx + '_), org: i64) -> StoreResult<Login> {
    tx.one("select pg_advisory_xact_lock(?1)::text", params![LOCK], |_| Ok(()))?;
    let base = one_text(tx, "select current_schema()::text")?;
    let database = one_text(tx, "select current_database()::text")?;
    let secret = secret(tx)?;
    let schema = format!("{base}_query");
    let digest = Digest::of(format!("{database}\n{base}\n{org}").as_bytes());
    let name: String = digest.as_bytes().iter().take(10).map(|b| format!("{b:02x}")).collect();
    let role = format!("tenken_q_{name}");
    let password = Digest::of(format!("{secret}\n{role}").as_bytes()).to_string();
    let quoted = format!("\"{}\"", schema.replace('"', "\"\""));
    let exists =
        tx.one("select 1::bigint from pg_roles where rolname = ?1", params![&role], |_| Ok(()))?.is_some();
    if !exists {
        tx.execute(&format!("create role {role}"), &[])?;
    }
    let published: i64 = tx
        .one(
            "select count(*) from pg_views where schemaname = ?1 and definition is not null",
            params![&schema],
            |row| row.int(0),
        )?
        .unwrap_or_default();
    let version =
        Digest::of(view::ALL.iter().map(|v| v.postgres("")).collect::<String>().as_bytes()).to_string();
    let known = tx
        .one("select value from setting where name = 'query_views'", &[], |row| row.opt_string(0))?
        .flatten();
    if published == 0 || known.as_deref() != Some(version.as_str()) {
        make_views(tx, &quoted)?;
        tx.execute(
            "insert into setting (name, value) values ('query_views', ?1)
             on conflict (name) do update set value = excluded.value",
            params![&version],
        )?;
    }
    let mapped = tx.execute(
        &format!("insert into {quoted}.role_org (role_name, org_id) values (?1, ?2) on conflict (role_name) do nothing"),
        params![&role, org],
    )?;
    if !exists || mapped > 0 {
        confine(tx, &role, &password, &quoted)?;
    }
    Ok(Login { role, password, schema: quoted })
}

fn make_views(tx: &mut (dyn Tx + '_), schema: &str) -> StoreResult<()> {
    tx.execute(&format!("create schema if not exists {schema}"), &[])?;
    tx.execute(
        &format!("create table if not exists {schema}.role_org (role_name text primary key, org_id bigint not null)"),
        &[],
    )?;
    let own = format!("(select r.org_id from {schema}.role_org r where r.role_name = session_user)");
    for view in view::ALL {
        let name = view.name;
        tx.execute(&format!("drop view if exists {schema}.{name}"), &[])?;
        tx.execute(
            &format!("create view {schema}.{name} with (security_barrier) as {}", view.postgres(&own)),
            &[],
        )?;
    }
    let roles =
        tx.rows(&format!("select role_name from {schema}.role_org"), &[], |row| Ok(row.text(0)?.to_owned()))?;
    for role in roles {
        grant(tx, &role, schema)?;
    }
    Ok(())
}

fn confine(tx: &mut (dyn Tx + '_), role: &str, password: &str, schema: &str) -> StoreResult<()> {
    tx.execute(
        &format!(
            "alter role {role} with login nosuperuser nocreatedb nocreaterole noinherit noreplication
             connection limit 8 password '{password}'"
        ),
        &[],
    )?;
    for setting in [
        "default_transaction_read_only = on",
        "statement_timeout = '5s'",
        "idle_in_transaction_session_timeout = '15s'",
    ] {
        tx.execute(&format!("alter role {role} set {setting}"), &[])?;
    }
    grant(tx, role, schema)
}

fn grant(tx: &mut (dyn Tx + '_), role: &str, schema: &str) -> StoreResult<()> {
    tx.execute(&format!("grant usage on schema {schema} to {role}"), &[])?;
    for view in view::ALL {
        tx.execute(&format!("grant select on {schema}.{} to {role}", view.name), &[])?;
    }
    Ok(())
}

/// The installation's secret from which role passwords are derived; readable by the owner only.
fn secret(tx: &mut (dyn Tx + '_)) -> StoreResult<String> {
    let mut bytes = [0u8; 32];
    getrandom::fill(&mut bytes).map_err(|error| crate::store::StoreError::Unavailable(error.to_string()))?;
    tx.execute(
        "insert into setting (name, value) values ('query_secret', ?1) on conflict (name) do nothing",
        params![&URL_SAFE_NO_PAD.encode(bytes)],
    )?;
    one_text(tx, "select value from setting where name = 'query_secret'")
}

fn one_text(tx: &mut (dyn Tx + '_), sql: &str) -> StoreResult<String> {
    tx.one(sql, &[], |row| Ok(row.text(0)?.to_owned()))?
        .ok_or_else(|| crate::store::StoreError::Damaged(format!("no answer to {sql}")))
}

async fn ask(client: &Client, login: &Login, sql: &str, limits: Limits) -> Result<Table, SandboxError> {
    let ms = limits.time.as_millis();
    client
        .batch_execute(&format!(
            "begin read only; set local statement_timeout = {ms}; set local lock_timeout = 1000;
             set local work_mem = '8MB'; set local standard_conforming_strings = on;
             set local search_path = {};",
            login.schema
        ))
        .await
        .map_err(unavailable)?;
    let described = client.prepare(sql).await.map_err(|error| refusal(&error))?;
    let columns: Vec<(String, Type)> =
        described.columns().iter().map(|c| (c.name().to_owned(), c.type_().clone())).collect();
    let wrapped = wrap(sql, &columns, limits.rows);
    let rows = client.query_raw(&wrapped, Vec::<i64>::new()).await.map_err(|error| refusal(&error))?;
    let mut rows = std::pin::pin!(rows);
    let names = columns.into_iter().map(|(name, _)| name).collect();
    let mut table = Table { columns: names, rows: Vec::new(), truncated: false };
    let mut bytes = 0;
    while let Some(row) = rows.try_next().await.map_err(|error| refusal(&error))? {
        if table.rows.len() >= limits.rows || bytes >= limits.bytes {
            table.truncated = true;
            break;
        }
        let values = values(&row)?;
        bytes += values.iter().map(|v| 16 + v.as_str().map_or(0, str::len)).sum::<usize>();
        table.rows.push(values);
    }
    Ok(table)
}

/// The caller's statement as a sub-select with every column in a type this program reads, one row more
/// than wanted. The text has been prepared alone before, so it is one whole statement.
fn wrap(sql: &str, columns: &[(String, Type)], rows: usize) -> String {
    let names: Vec<String> = (0..columns.len()).map(|n| format!("c{n}")).collect();
    let out: Vec<String> = columns
        .iter()
        .zip(&names)
        .map(|((_, kind), name)| match *kind {
            Type::BOOL => format!("{name}::int::bigint"),
            Type::INT2 | Type::INT4 | Type::INT8 => format!("{name}::bigint"),
            Type::FLOAT4 | Type::FLOAT8 | Type::NUMERIC => format!("{name}::float8"),
            _ => format!("left({name}::text, {MAX_TEXT_CHARS})"),
        })
        .collect();
    let limit = rows.saturating_add(1);
    format!("select {} from (\n{sql}\n) as q({}) limit {limit}", out.join(", "), names.join(", "))
}

fn values(row: &Row) -> Result<Vec<Value>, SandboxError> {
    let read = |error: tokio_postgres::Error| SandboxError::Invalid(error.to_string());
    (0..row.len())
        .map(|column| {
            Ok(match *row.columns()[column].type_() {
                Type::INT8 => {
                    row.try_get::<_, Option<i64>>(column).map_err(read)?.map_or(Value::Null, Value::from)
                }
                Type::FLOAT8 => {
                    row.try_get::<_, Option<f64>>(column).map_err(read)?.map_or(Value::Null, Value::from)
                }
                _ => row.try_get::<_, Option<String>>(column).map_err(read)?.map_or(Value::Null, Value::from),
            })
        })
        .collect()
}

fn refusal(error: &tokio_postgres::Error) -> SandboxError {
    let text = error.as_db_error().map_or_else(|| error.to_string(), |e| e.message().to_owned());
    match error.code() {
        Some(code) if *code == SqlState::QUERY_CANCELED => SandboxError::Limit("time"),
        Some(code) if *code == SqlState::OUT_OF_MEMORY || *code == SqlState::PROGRAM_LIMIT_EXCEEDED => {
            SandboxError::Limit("size")
        }
        Some(code)
            if *code == SqlState::INSUFFICIENT_PRIVILEGE || *code == SqlState::READ_ONLY_SQL_TRANSACTION =>
        {
            SandboxError::Denied(text)
        }
        Some(_) => SandboxError::Invalid(text),
        None => unavailable(text),
    }
}
