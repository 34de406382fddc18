//! The narrow door both engines implement: statements with neutral parameters and rows.
//!
//! Domain operations are written once over [`Tx`]: synchronous code inside one transaction, run on the
//! writer or reader thread of SQLite or on a blocking thread over a PostgreSQL connection. Statements
//! use `?1` placeholders and the three types both engines share (integer, text, bytes).

use tenken_shared::ids::{Digest, HostId, KeyId, OrgId};

use super::error::{Result, StoreError};

/// Which engine runs a statement, for the few texts that differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EngineKind {
    /// Embedded.
    Sqlite,
    /// PostgreSQL or Citus.
    Postgres,
}

/// Type of a column, so that a null has one too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SqlType {
    /// `integer` / `bigint`.
    Int,
    /// `text`.
    Text,
    /// `blob` / `bytea`.
    Bytes,
}

/// One statement parameter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Param<'a> {
    /// No value of a type.
    Null(SqlType),
    /// An integer; times are milliseconds since 1970, truth values 0 and 1.
    Int(i64),
    /// Text.
    Text(&'a str),
    /// Bytes.
    Bytes(&'a [u8]),
}

impl From<i64> for Param<'_> {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}
impl From<i32> for Param<'_> {
    fn from(value: i32) -> Self {
        Self::Int(i64::from(value))
    }
}
impl From<u32> for Param<'_> {
    fn from(value: u32) -> Self {
        Self::Int(i64::from(value))
    }
}
impl From<bool> for Param<'_> {
    fn from(value: bool) -> Self {
        Self::Int(i64::from(value))
    }
}
impl<'a> From<&'a str> for Param<'a> {
    fn from(value: &'a str) -> Self {
        Self::Text(value)
    }
}
impl<'a> From<&'a String> for Param<'a> {
    fn from(value: &'a String) -> Self {
        Self::Text(value)
    }
}
impl<'a> From<&'a [u8]> for Param<'a> {
    fn from(value: &'a [u8]) -> Self {
        Self::Bytes(value)
    }
}
impl<'a> From<&'a Vec<u8>> for Param<'a> {
    fn from(value: &'a Vec<u8>) -> Self {
        Self::Bytes(value)
    }
}
impl<'a> From<&'a Digest> for Param<'a> {
    fn from(value: &'a Digest) -> Self {
        Self::Bytes(value.as_bytes())
    }
}
impl<'a> From<&'a HostId> for Param<'a> {
    fn from(value: &'a HostId) -> Self {
        Self::Text(value.as_str())
    }
}
impl<'a> From<&'a OrgId> for Param<'a> {
    fn from(value: &'a OrgId) -> Self {
        Self::Text(value.as_str())
    }
}
impl<'a> From<&'a KeyId> for Param<'a> {
    fn from(value: &'a KeyId) -> Self {
        Self::Text(value.as_str())
    }
}
impl From<Option<i64>> for Param<'_> {
    fn from(value: Option<i64>) -> Self {
        value.map_or(Self::Null(SqlType::Int), Self::Int)
    }
}
impl From<jiff::Timestamp> for Param<'_> {
    fn from(value: jiff::Timestamp) -> Self {
        Self::Int(value.as_millisecond())
    }
}
impl From<Option<jiff::Timestamp>> for Param<'_> {
    fn from(value: Option<jiff::Timestamp>) -> Self {
        value.map(jiff::Timestamp::as_millisecond).into()
    }
}
impl<'a> From<Option<&'a str>> for Param<'a> {
    fn from(value: Option<&'a str>) -> Self {
        value.map_or(Self::Null(SqlType::Text), Self::Text)
    }
}
impl<'a> From<&'a Option<String>> for Param<'a> {
    fn from(value: &'a Option<String>) -> Self {
        value.as_deref().into()
    }
}
impl<'a> From<Option<&'a [u8]>> for Param<'a> {
    fn from(value: Option<&'a [u8]>) -> Self {
        value.map_or(Self::Null(SqlType::Bytes), Self::Bytes)
    }
}
impl<'a> From<Option<&'a Digest>> for Param<'a> {
    fn from(value: Option<&'a Digest>) -> Self {
        value.map(|d| d.as_bytes().as_slice()).into()
    }
}

/// Parameters of a statement: `params![org, "text", 3_i64]`.
#[macro_export]
macro_rules! params {
    ($($value:expr),* $(,)?) => { &[$($crate::store::db::Param::from($value)),*][..] };
}
pub use crate::params;

/// One value of a row.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Null.
    Null,
    /// Integer.
    Int(i64),
    /// Text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
}

/// One row of a result; columns are counted from 0.
#[derive(Debug, Clone, PartialEq)]
pub struct Row(pub Vec<Value>);

impl Row {
    fn at(&self, column: usize) -> Result<&Value> {
        self.0.get(column).ok_or_else(|| StoreError::Damaged(format!("no column {column}")))
    }

    fn wrong(column: usize, what: &str) -> StoreError {
        StoreError::Damaged(format!("column {column} is not {what}"))
    }

    /// An integer.
    pub fn int(&self, column: usize) -> Result<i64> {
        self.opt_int(column)?.ok_or_else(|| Self::wrong(column, "an integer"))
    }

    /// An integer or null.
    pub fn opt_int(&self, column: usize) -> Result<Option<i64>> {
        match self.at(column)? {
            Value::Int(value) => Ok(Some(*value)),
            Value::Null => Ok(None),
            _ => Err(Self::wrong(column, "an integer")),
        }
    }

    /// A truth value.
    pub fn flag(&self, column: usize) -> Result<bool> {
        Ok(self.int(column)? != 0)
    }

    /// Text.
    pub fn text(&self, column: usize) -> Result<&str> {
        self.opt_text(column)?.ok_or_else(|| Self::wrong(column, "text"))
    }

    /// Text or null.
    pub fn opt_text(&self, column: usize) -> Result<Option<&str>> {
        match self.at(column)? {
            Value::Text(value) => Ok(Some(value)),
            Value::Null => Ok(None),
            _ => Err(Self::wrong(column, "text")),
        }
    }

    /// Owned text or null.
    pub fn opt_string(&self, column: usize) -> Result<Option<String>> {
        Ok(self.opt_text(column)?.map(str::to_owned))
    }

    /// Bytes.
    pub fn bytes(&self, column: usize) -> Result<&[u8]> {
        self.opt_bytes(column)?.ok_or_else(|| Self::wrong(column, "bytes"))
    }

    /// Bytes or null.
    pub fn opt_bytes(&self, column: usize) -> Result<Option<&[u8]>> {
        match self.at(column)? {
            Value::Bytes(value) => Ok(Some(value)),
            Value::Null => Ok(None),
            _ => Err(Self::wrong(column, "bytes")),
        }
    }

    /// A time.
    pub fn time(&self, column: usize) -> Result<jiff::Timestamp> {
        self.opt_time(column)?.ok_or_else(|| Self::wrong(column, "a time"))
    }

    /// A time or null.
    pub fn opt_time(&self, column: usize) -> Result<Option<jiff::Timestamp>> {
        self.opt_int(column)?
            .map(|ms| jiff::Timestamp::from_millisecond(ms).map_err(|_| Self::wrong(column, "a time")))
            .transpose()
    }

    /// A digest.
    pub fn digest(&self, column: usize) -> Result<Digest> {
        Digest::try_from(self.bytes(column)?).map_err(|_| Self::wrong(column, "a digest"))
    }

    /// Text that reads as `T` (ids, states).
    pub fn parse<T: std::str::FromStr>(&self, column: usize) -> Result<T> {
        self.text(column)?.parse().map_err(|_| Self::wrong(column, std::any::type_name::<T>()))
    }

    /// Text that is JSON of `T`.
    pub fn json<T: serde::de::DeserializeOwned>(&self, column: usize) -> Result<T> {
        serde_json::from_str(self.text(column)?)
            .map_err(|error| StoreError::Damaged(format!("column {column}: {error}")))
    }
}

/// One column of a bulk operation.
#[derive(Debug, Clone, Copy)]
pub enum Column<'a> {
    /// The same value in every row.
    All(Param<'a>),
    /// One integer per row.
    Ints(&'a [i64]),
    /// One integer or null per row.
    OptInts(&'a [Option<i64>]),
    /// One text per row.
    Texts(&'a [&'a str]),
    /// One text or null per row.
    OptTexts(&'a [Option<&'a str>]),
    /// One byte string per row.
    Bytes(&'a [&'a [u8]]),
}

impl<'a> Column<'a> {
    /// How many rows it has; none for a constant.
    #[must_use]
    pub fn len(&self) -> Option<usize> {
        match self {
            Self::All(_) => None,
            Self::Ints(v) => Some(v.len()),
            Self::OptInts(v) => Some(v.len()),
            Self::Texts(v) => Some(v.len()),
            Self::OptTexts(v) => Some(v.len()),
            Self::Bytes(v) => Some(v.len()),
        }
    }

    /// Whether it has no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == Some(0)
    }

    /// The value in one row.
    #[must_use]
    pub fn at(&self, row: usize) -> Param<'a> {
        match self {
            Self::All(value) => *value,
            Self::Ints(v) => v[row].into(),
            Self::OptInts(v) => v[row].into(),
            Self::Texts(v) => v[row].into(),
            Self::OptTexts(v) => v[row].into(),
            Self::Bytes(v) => v[row].into(),
        }
    }
}

/// One open transaction.
pub trait Tx {
    /// Which engine this is.
    fn engine(&self) -> EngineKind;

    /// Runs a statement; answers how many rows it changed.
    fn execute(&mut self, sql: &str, params: &[Param<'_>]) -> Result<u64>;

    /// Runs a statement and hands each row to `each`.
    fn query(
        &mut self,
        sql: &str,
        params: &[Param<'_>],
        each: &mut dyn FnMut(Row) -> Result<()>,
    ) -> Result<()>;

    /// Inserts many rows: `insert into TABLE (names) values ... CONFLICT`.
    fn insert_many(&mut self, table: &str, columns: &[(&str, Column<'_>)], conflict: &str) -> Result<u64>;

    /// Deletes the rows whose columns equal those of one entry each.
    fn delete_many(&mut self, table: &str, columns: &[(&str, Column<'_>)]) -> Result<u64>;
}

impl dyn Tx + '_ {
    /// All rows, each made into a `T`.
    pub fn rows<T>(
        &mut self,
        sql: &str,
        params: &[Param<'_>],
        mut make: impl FnMut(&Row) -> Result<T>,
    ) -> Result<Vec<T>> {
        let mut out = Vec::new();
        self.query(sql, params, &mut |row| {
            out.push(make(&row)?);
            Ok(())
        })?;
        Ok(out)
    }

    /// The first row made into a `T`, or none.
    pub fn one<T>(
        &mut self,
        sql: &str,
        params: &[Param<'_>],
        mut make: impl FnMut(&Row) -> Result<T>,
    ) -> Result<Option<T>> {
        let mut out = None;
        self.query(sql, params, &mut |row| {
            if out.is_none() {
                out = Some(make(&row)?);
            }
            Ok(())
        })?;
        Ok(out)
    }
}
