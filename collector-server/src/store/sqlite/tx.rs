//! Statements on a SQLite connection.

use rusqlite::types::{ToSqlOutput, Value as SqlValue, ValueRef};
use rusqlite::{Connection, ErrorCode, ToSql};

use crate::store::db::{Column, EngineKind, Param, Row, Tx, Value};
use crate::store::error::{Result, StoreError};

/// A connection inside a transaction.
pub(super) struct SqliteTx<'a>(pub(super) &'a Connection);

impl ToSql for Param<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            Self::Null(_) => ToSqlOutput::Owned(SqlValue::Null),
            Self::Int(value) => ToSqlOutput::Owned(SqlValue::Integer(*value)),
            Self::Text(value) => ToSqlOutput::Borrowed(ValueRef::Text(value.as_bytes())),
            Self::Bytes(value) => ToSqlOutput::Borrowed(ValueRef::Blob(value)),
        })
    }
}

/// The store's words for an error of SQLite.
#[expect(clippy::needless_pass_by_value, reason = "used as a function in map_err")]
pub(super) fn translate(error: rusqlite::Error) -> StoreError {
    let text = error.to_string();
    match error.sqlite_error_code() {
        Some(ErrorCode::ConstraintViolation) => StoreError::Conflict(text),
        Some(
            ErrorCode::DatabaseBusy
            | ErrorCode::DatabaseLocked
            | ErrorCode::DiskFull
            | ErrorCode::SystemIoFailure
            | ErrorCode::CannotOpen
            | ErrorCode::ReadOnly
            | ErrorCode::OutOfMemory
            | ErrorCode::FileLockingProtocolFailed
            | ErrorCode::OperationInterrupted,
        ) => StoreError::Unavailable(text),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => StoreError::Damaged(text),
        _ => StoreError::Statement(text),
    }
}

fn read_row(row: &rusqlite::Row<'_>, columns: usize) -> Result<Row> {
    let mut values = Vec::with_capacity(columns);
    for column in 0..columns {
        values.push(match row.get_ref(column).map_err(translate)? {
            ValueRef::Null => Value::Null,
            ValueRef::Integer(value) => Value::Int(value),
            ValueRef::Real(_) => return Err(StoreError::Damaged(format!("column {column} is a fraction"))),
            ValueRef::Text(bytes) => Value::Text(
                String::from_utf8(bytes.to_vec())
                    .map_err(|_| StoreError::Damaged(format!("column {column} is not UTF-8")))?,
            ),
            ValueRef::Blob(bytes) => Value::Bytes(bytes.to_vec()),
        });
    }
    Ok(Row(values))
}

impl Tx for SqliteTx<'_> {
    fn engine(&self) -> EngineKind {
        EngineKind::Sqlite
    }

    fn execute(&mut self, sql: &str, params: &[Param<'_>]) -> Result<u64> {
        let mut statement = self.0.prepare_cached(sql).map_err(translate)?;
        let changed = statement.execute(rusqlite::params_from_iter(params)).map_err(translate)?;
        Ok(changed as u64)
    }

    fn query(
        &mut self,
        sql: &str,
        params: &[Param<'_>],
        each: &mut dyn FnMut(Row) -> Result<()>,
    ) -> Result<()> {
        let mut statement = self.0.prepare_cached(sql).map_err(translate)?;
        let columns = statement.column_count();
        let mut rows = statement.query(rusqlite::params_from_iter(params)).map_err(translate)?;
        while let Some(row) = rows.next().map_err(translate)? {
            each(read_row(row, columns)?)?;
        }
        Ok(())
    }

    fn insert_many(&mut self, table: &str, columns: &[(&str, Column<'_>)], conflict: &str) -> Result<u64> {
        let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
        let places: Vec<String> = (1..=columns.len()).map(|i| format!("?{i}")).collect();
        let sql =
            format!("insert into {table} ({}) values ({}) {conflict}", names.join(", "), places.join(", "));
        self.repeat(&sql, columns)
    }

    fn delete_many(&mut self, table: &str, columns: &[(&str, Column<'_>)]) -> Result<u64> {
        let tests: Vec<String> =
            columns.iter().enumerate().map(|(i, (name, _))| format!("{name} = ?{}", i + 1)).collect();
        self.repeat(&format!("delete from {table} where {}", tests.join(" and ")), columns)
    }
}

impl SqliteTx<'_> {
    fn repeat(&mut self, sql: &str, columns: &[(&str, Column<'_>)]) -> Result<u64> {
        let rows = columns.iter().find_map(|(_, column)| column.len()).unwrap_or_default();
        let mut statement = self.0.prepare_cached(sql).map_err(translate)?;
        let mut changed = 0;
        for row in 0..rows {
            for (i, (_, column)) in columns.iter().enumerate() {
                statement.raw_bind_parameter(i + 1, column.at(row)).map_err(translate)?;
            }
            changed += statement.raw_execute().map_err(translate)? as u64;
        }
        Ok(changed)
    }
}
