//! Rows along an order, page by page: each begins where the one before ended.

use super::db::Param;
use super::{Result, Row, Tx};
use crate::query::{Cursor, List, Part};

/// Where to read on: columns that together are unique, their values in the last row so far, a direction.
pub(super) struct Along<'a> {
    /// Columns to sort by.
    pub columns: &'a [&'a str],
    /// Their values in the last row; none at the begin.
    pub from: &'a [Part],
    /// Whether the order falls.
    pub desc: bool,
}

impl<'a> From<&'a Part> for Param<'a> {
    fn from(part: &'a Part) -> Self {
        match part {
            Part::Int(number) => Self::Int(*number),
            Part::Text(text) => Self::Text(text),
        }
    }
}

impl Along<'_> {
    /// At most `limit` rows of `select`, which ends in its conditions and has the parameters `own`.
    pub fn rows<T>(
        &self,
        tx: &mut (dyn Tx + '_),
        select: &str,
        own: &[Param<'_>],
        limit: usize,
        read: impl FnMut(&Row) -> Result<T>,
    ) -> Result<Vec<T>> {
        let falling = if self.desc { "desc" } else { "asc" };
        let order: Vec<String> = self.columns.iter().map(|column| format!("{column} {falling}")).collect();
        let mut values = own.to_vec();
        let beyond = self.beyond(values.len() + 1);
        values.extend(self.from.iter().map(Param::from));
        values.push(Param::Int(i64::try_from(limit).unwrap_or(i64::MAX)));
        let sql = format!("{select}{beyond} order by {} limit ?{}", order.join(", "), values.len());
        tx.rows(&sql, &values, read)
    }

    /// The same as a page of `limit` rows with its cursor; `read` answers the values of the columns too.
    pub fn page<T>(
        &self,
        tx: &mut (dyn Tx + '_),
        select: &str,
        own: &[Param<'_>],
        (order, limit): (&str, u32),
        mut read: impl FnMut(&Row) -> Result<(Vec<Part>, T)>,
    ) -> Result<List<T>> {
        let rows = self.rows(tx, select, own, limit as usize + 1, |row| {
            let (place, item) = read(row)?;
            Ok((Cursor::new(order.to_owned(), place), item))
        })?;
        Ok(List::cut(rows, limit))
    }

    /// Condition for the rows beyond the place, with parameters from number `first` on. Of more than two
    /// columns the first two are compared alone too: that is what an index serves.
    fn beyond(&self, first: usize) -> String {
        let count = self.columns.len().min(self.from.len());
        let sign = if self.desc { "<" } else { ">" };
        let compared = |count: usize, sign: &str| {
            let columns: Vec<&str> = self.columns.iter().take(count).copied().collect();
            let numbers: Vec<String> = (first..).take(count).map(|n| format!("?{n}")).collect();
            format!(" and ({}) {sign} ({})", columns.join(", "), numbers.join(", "))
        };
        match count {
            0 => String::new(),
            1 | 2 => compared(count, sign),
            _ => compared(2, &format!("{sign}=")) + &compared(count, sign),
        }
    }
}
