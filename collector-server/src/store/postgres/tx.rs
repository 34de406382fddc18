//! Statements on a PostgreSQL connection.

use bytes::BytesMut;
use deadpool_postgres::Object;
use tokio::runtime::Handle;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

use crate::store::db::{Column, EngineKind, Param, Row, SqlType, Tx, Value};
use crate::store::error::{Result, StoreError};
use crate::store::sql;

/// A connection inside a transaction.
pub(super) struct PostgresTx<'a> {
    pub(super) client: &'a Object,
    pub(super) handle: &'a Handle,
    /// Set when a statement failed because of a concurrent transaction.
    pub(super) conflict: bool,
}

/// Whether another transaction was in the way and the whole may be tried again.
pub(super) fn is_conflict(error: &tokio_postgres::Error) -> bool {
    matches!(error.code(), Some(&SqlState::T_R_SERIALIZATION_FAILURE | &SqlState::T_R_DEADLOCK_DETECTED))
}

/// The store's words for an error of PostgreSQL.
pub(super) fn translate(error: &tokio_postgres::Error) -> StoreError {
    let Some(db) = error.as_db_error() else {
        return StoreError::Unavailable(format!("PostgreSQL: {error}"));
    };
    let text = format!("{} ({})", db.message(), db.code().code());
    match db.code().code().get(..2) {
        Some("23") => StoreError::Conflict(text),
        // Connection, insufficient resources, operator intervention, system error, conflicts, read-only.
        Some("08" | "53" | "57" | "58" | "40" | "25") => StoreError::Unavailable(text),
        Some("XX") => StoreError::Damaged(text),
        _ => StoreError::Statement(text),
    }
}

impl ToSql for Param<'_> {
    fn to_sql(
        &self,
        ty: &Type,
        out: &mut BytesMut,
    ) -> std::result::Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match self {
            Self::Null(_) => Ok(IsNull::Yes),
            Self::Int(value) => value.to_sql(ty, out),
            Self::Text(value) => value.to_sql(ty, out),
            Self::Bytes(value) => value.to_sql(ty, out),
        }
    }

    fn accepts(ty: &Type) -> bool {
        matches!(*ty, Type::INT8 | Type::TEXT | Type::BYTEA)
    }

    to_sql_checked!();
}

fn type_of(param: &Param<'_>) -> Type {
    match param {
        Param::Null(SqlType::Int) | Param::Int(_) => Type::INT8,
        Param::Null(SqlType::Text) | Param::Text(_) => Type::TEXT,
        Param::Null(SqlType::Bytes) | Param::Bytes(_) => Type::BYTEA,
    }
}

fn read_row(row: &tokio_postgres::Row) -> Result<Row> {
    let mut values = Vec::with_capacity(row.len());
    for (i, column) in row.columns().iter().enumerate() {
        let damaged = |error: tokio_postgres::Error| StoreError::Damaged(format!("column {i}: {error}"));
        let value = match *column.type_() {
            Type::INT8 => row.try_get::<_, Option<i64>>(i).map_err(damaged)?.map(Value::Int),
            Type::INT4 => {
                row.try_get::<_, Option<i32>>(i).map_err(damaged)?.map(|v| Value::Int(i64::from(v)))
            }
            Type::BOOL => {
                row.try_get::<_, Option<bool>>(i).map_err(damaged)?.map(|v| Value::Int(i64::from(v)))
            }
            Type::BYTEA => row.try_get::<_, Option<Vec<u8>>>(i).map_err(damaged)?.map(Value::Bytes),
            Type::TEXT | Type::VARCHAR | Type::NAME => {
                row.try_get::<_, Option<String>>(i).map_err(damaged)?.map(Value::Text)
            }
            ref other => return Err(StoreError::Damaged(format!("column {i} has the type {other}"))),
        };
        values.push(value.unwrap_or(Value::Null));
    }
    Ok(Row(values))
}

impl PostgresTx<'_> {
    fn failed(&mut self, error: &tokio_postgres::Error) -> StoreError {
        self.conflict |= is_conflict(error);
        translate(error)
    }

    /// Runs a statement that each connection parses and plans once.
    fn execute_prepared(&mut self, text: &str, params: &[(&(dyn ToSql + Sync), Type)]) -> Result<u64> {
        let types: Vec<Type> = params.iter().map(|(_, ty)| ty.clone()).collect();
        let work = async {
            let statement = self.client.prepare_typed_cached(text, &types).await?;
            self.client.execute_raw(&statement, params.iter().map(|(value, _)| *value)).await
        };
        self.handle.block_on(work).map_err(|error| self.failed(&error))
    }

    fn run_bulk(&mut self, text: &str, columns: &[(&str, Column<'_>)]) -> Result<u64> {
        let params: Vec<(&(dyn ToSql + Sync), Type)> = columns
            .iter()
            .map(|(_, column)| match column {
                Column::All(value) => (value as &(dyn ToSql + Sync), type_of(value)),
                Column::Ints(v) => (v as _, Type::INT8_ARRAY),
                Column::OptInts(v) => (v as _, Type::INT8_ARRAY),
                Column::Texts(v) => (v as _, Type::TEXT_ARRAY),
                Column::OptTexts(v) => (v as _, Type::TEXT_ARRAY),
                Column::Bytes(v) => (v as _, Type::BYTEA_ARRAY),
            })
            .collect();
        self.execute_prepared(text, &params)
    }
}

/// Names and `unnest` source of the columns that differ by row.
fn unnested(columns: &[(&str, Column<'_>)]) -> String {
    let mut sources = Vec::new();
    let mut names = Vec::new();
    for (i, (name, column)) in columns.iter().enumerate() {
        let ty = match column {
            Column::All(_) => continue,
            Column::Ints(_) | Column::OptInts(_) => "bigint[]",
            Column::Texts(_) | Column::OptTexts(_) => "text[]",
            Column::Bytes(_) => "bytea[]",
        };
        sources.push(format!("${}::{ty}", i + 1));
        names.push(*name);
    }
    format!("unnest({}) as u({})", sources.join(", "), names.join(", "))
}

impl Tx for PostgresTx<'_> {
    fn engine(&self) -> EngineKind {
        EngineKind::Postgres
    }

    fn execute(&mut self, text: &str, params: &[Param<'_>]) -> Result<u64> {
        let typed: Vec<_> = params.iter().map(|p| (p as &(dyn ToSql + Sync), type_of(p))).collect();
        self.execute_prepared(&sql::for_postgres(text), &typed)
    }

    fn query(
        &mut self,
        text: &str,
        params: &[Param<'_>],
        each: &mut dyn FnMut(Row) -> Result<()>,
    ) -> Result<()> {
        let types: Vec<Type> = params.iter().map(type_of).collect();
        let values: Vec<&(dyn ToSql + Sync)> = params.iter().map(|p| p as &(dyn ToSql + Sync)).collect();
        let work = async {
            let statement = self.client.prepare_typed_cached(&sql::for_postgres(text), &types).await?;
            self.client.query(&statement, &values).await
        };
        let rows = self.handle.block_on(work).map_err(|error| self.failed(&error))?;
        rows.iter().try_for_each(|row| each(read_row(row)?))
    }

    fn insert_many(&mut self, table: &str, columns: &[(&str, Column<'_>)], conflict: &str) -> Result<u64> {
        if columns.iter().find_map(|(_, column)| column.len()).unwrap_or_default() == 0 {
            return Ok(0);
        }
        let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
        let values: Vec<String> = columns
            .iter()
            .enumerate()
            .map(|(i, (name, column))| match column {
                Column::All(_) => format!("${}", i + 1),
                _ => format!("u.{name}"),
            })
            .collect();
        let text = format!(
            "insert into {table} ({}) select {} from {} {conflict}",
            names.join(", "),
            values.join(", "),
            unnested(columns)
        );
        self.run_bulk(&text, columns)
    }

    fn delete_many(&mut self, table: &str, columns: &[(&str, Column<'_>)]) -> Result<u64> {
        if columns.iter().find_map(|(_, column)| column.len()).unwrap_or_default() == 0 {
            return Ok(0);
        }
        let tests: Vec<String> = columns
            .iter()
            .enumerate()
            .map(|(i, (name, column))| match column {
                Column::All(_) => format!("t.{name} = ${}", i + 1),
                _ => format!("t.{name} = u.{name}"),
            })
            .collect();
        let text = format!("delete from {table} t using {} where {}", unnested(columns), tests.join(" and "));
        self.run_bulk(&text, columns)
    }
}
