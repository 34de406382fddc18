//! The sandbox on SQLite: one fresh read-only connection per question.
//!
//! The published views are temporary views of this connection. Each stands on an inner view whose name
//! carries a random part; the authorizer lets base tables be read only from inside those. (The accessor
//! SQLite hands to the authorizer is the name written in `from`, so a common table expression could pose
//! as a published view; it cannot pose as a name nobody knows.)

use std::path::Path;
use std::time::Instant;

use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::limits::Limit;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use serde_json::Value;

use super::{Limits, SandboxError, guard};
use crate::export::Table;
use crate::store::view;

/// Virtual machine steps between two looks at the clock.
const STEPS: i32 = 1_000;

/// Runs checked statements, which answer the same columns, over the views of organisation number `org`.
pub(super) fn run(path: &Path, org: i64, all: &[String], limits: Limits) -> Result<Table, SandboxError> {
    let mut connection = connect(path, limits)?;
    let prefix = inner_prefix()?;
    make_views(&connection, &prefix, org)?;
    confine(&mut connection, prefix, limits)?;
    let (mut table, mut bytes) = (Table::default(), 0);
    for sql in all {
        let mut statement = connection.prepare(sql).map_err(|error| refusal(&error))?;
        if !statement.readonly() {
            return Err(SandboxError::Denied("a statement that writes".into()));
        }
        read(&mut statement, limits, &mut table, &mut bytes)?;
        if table.truncated {
            break;
        }
    }
    Ok(table)
}

fn unavailable(error: impl std::fmt::Display) -> SandboxError {
    SandboxError::Unavailable(error.to_string())
}

fn connect(path: &Path, limits: Limits) -> Result<Connection, SandboxError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(unavailable)?;
    connection.busy_timeout(limits.time).map_err(unavailable)?;
    connection
        .execute_batch(
            "pragma cache_size=-8192; pragma temp_store=file; pragma trusted_schema=off; pragma mmap_size=0;",
        )
        .map_err(unavailable)?;
    Ok(connection)
}

/// Beginning of the inner views' names, unknown to everybody else.
fn inner_prefix() -> Result<String, SandboxError> {
    let mut bytes = [0u8; 16];
    getrandom::fill(&mut bytes).map_err(unavailable)?;
    Ok(bytes.iter().fold(String::from("inner_"), |name, byte| format!("{name}{byte:02x}")))
}

fn make_views(connection: &Connection, prefix: &str, org: i64) -> Result<(), SandboxError> {
    for view in view::ALL {
        let text = view.sqlite(org, jiff::Timestamp::now());
        let name = view.name;
        connection
            .execute_batch(&format!(
                "create temp view {prefix}_{name} as {text}; create temp view {name} as select * from {prefix}_{name};"
            ))
            .map_err(unavailable)?;
    }
    Ok(())
}

fn confine(connection: &mut Connection, prefix: String, limits: Limits) -> Result<(), SandboxError> {
    use rusqlite::config::DbConfig;
    for (limit, value) in [
        (Limit::SQLITE_LIMIT_LENGTH, 1_000_000),
        (Limit::SQLITE_LIMIT_COLUMN, 200),
        (Limit::SQLITE_LIMIT_EXPR_DEPTH, 100),
        (Limit::SQLITE_LIMIT_COMPOUND_SELECT, 20),
        (Limit::SQLITE_LIMIT_VDBE_OP, 100_000),
        (Limit::SQLITE_LIMIT_ATTACHED, 0),
        (Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 200),
        (Limit::SQLITE_LIMIT_WORKER_THREADS, 0),
    ] {
        connection.set_limit(limit, value).map_err(unavailable)?;
    }
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true).map_err(unavailable)?;
    connection.pragma_update(None, "query_only", true).map_err(unavailable)?;
    connection
        .authorizer(Some(move |context: AuthContext<'_>| authorize(&prefix, &context)))
        .map_err(unavailable)?;
    let end = Instant::now() + limits.time;
    connection.progress_handler(STEPS, Some(move || Instant::now() >= end)).map_err(unavailable)?;
    Ok(())
}

/// Lets a statement read published views, their inner views and, from inside those only, base tables.
fn authorize(prefix: &str, context: &AuthContext<'_>) -> Authorization {
    let from_inside = context.accessor.is_some_and(|accessor| accessor.starts_with(prefix));
    let allowed = match context.action {
        AuthAction::Select => true,
        AuthAction::Read { table_name, .. } => {
            let own = context.database_name == Some("temp")
                && (view::find(table_name).is_some() || table_name.starts_with(prefix));
            // `count(*)` over a subquery names no table and no column.
            own || from_inside || table_name.is_empty()
        }
        AuthAction::Function { function_name } => {
            from_inside || guard::FUNCTIONS.contains(&function_name.to_ascii_lowercase().as_str())
        }
        _ => false,
    };
    if allowed { Authorization::Allow } else { Authorization::Deny }
}

fn read(
    statement: &mut rusqlite::Statement<'_>,
    limits: Limits,
    table: &mut Table,
    bytes: &mut usize,
) -> Result<(), SandboxError> {
    table.columns = statement.column_names().map(str::to_owned).collect();
    let width = table.columns.len();
    let mut rows = statement.query([]).map_err(|error| refusal(&error))?;
    while let Some(row) = rows.next().map_err(|error| refusal(&error))? {
        if table.rows.len() >= limits.rows || *bytes >= limits.bytes {
            table.truncated = true;
            break;
        }
        let mut values = Vec::with_capacity(width);
        for column in 0..width {
            let value = row.get_ref(column).map_err(|error| refusal(&error))?;
            *bytes += size(value);
            values.push(json(value));
        }
        table.rows.push(values);
    }
    Ok(())
}

fn size(value: ValueRef<'_>) -> usize {
    match value {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => 16 + bytes.len(),
        _ => 16,
    }
}

fn json(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => number.into(),
        ValueRef::Real(number) => serde_json::Number::from_f64(number).map_or(Value::Null, Value::Number),
        ValueRef::Text(bytes) => String::from_utf8_lossy(bytes).into_owned().into(),
        ValueRef::Blob(bytes) => {
            bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}")).into()
        }
    }
}

fn refusal(error: &rusqlite::Error) -> SandboxError {
    match error.sqlite_error_code() {
        Some(ErrorCode::OperationInterrupted) => SandboxError::Limit("time"),
        Some(ErrorCode::TooBig | ErrorCode::OutOfMemory) => SandboxError::Limit("size"),
        Some(ErrorCode::AuthorizationForStatementDenied | ErrorCode::ReadOnly) => {
            SandboxError::Denied(error.to_string())
        }
        Some(
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::CannotOpen | ErrorCode::DiskFull,
        ) => unavailable(error),
        _ => SandboxError::Invalid(error.to_string()),
    }
}
