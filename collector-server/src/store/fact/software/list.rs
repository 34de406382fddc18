//! The software of one host as bytes: columns of small numbers, each against the one before, packed.

use serde::{Deserialize, Serialize};

use super::{SoftwareRow, tagged, untagged};
use crate::store::{Result, StoreError};

/// The plain form (postcard: numbers of variable length).
#[derive(Serialize, Deserialize)]
struct Columns {
    /// Users named, sorted.
    users: Vec<String>,
    /// Titles, each less the one before.
    titles: Vec<i64>,
    /// Place in `users` and one more; 0 without user. Empty where there are no users.
    user: Vec<usize>,
    /// Seconds since 1970, each less the last one known.
    installed_at: Vec<Option<i64>>,
    /// Bytes of the content after the last item.
    rest: String,
}

/// Rows and the bytes after the last item, packed.
pub(super) fn write(rows: &[SoftwareRow], rest: &str) -> Result<Vec<u8>> {
    let mut users: Vec<String> =
        rows.iter().filter(|row| !row.user.is_empty()).map(|row| row.user.clone()).collect();
    users.sort_unstable();
    users.dedup();
    let place = |row: &SoftwareRow| users.binary_search(&row.user).map_or(0, |at| at + 1);
    let user = if users.is_empty() { Vec::new() } else { rows.iter().map(place).collect() };
    let (mut title, mut time) = (0, 0);
    let mut since = |now: i64| now.wrapping_sub(std::mem::replace(&mut time, now));
    let columns = Columns {
        titles: rows
            .iter()
            .map(|row| row.title.wrapping_sub(std::mem::replace(&mut title, row.title)))
            .collect(),
        user,
        installed_at: rows.iter().map(|row| row.installed_at.map(&mut since)).collect(),
        users,
        rest: rest.to_owned(),
    };
    let plain = postcard::to_allocvec(&columns).map_err(|error| StoreError::Damaged(error.to_string()))?;
    Ok(tagged(&plain))
}

/// Reads what [`write()`] wrote: the rows in their order, and the rest.
pub(super) fn read(bytes: &[u8]) -> Result<(Vec<SoftwareRow>, String)> {
    let damaged = || StoreError::Damaged("software list".into());
    let columns: Columns = postcard::from_bytes(&untagged(bytes)?).map_err(|_| damaged())?;
    let count = columns.titles.len();
    if columns.installed_at.len() != count || ![0, count].contains(&columns.user.len()) {
        return Err(damaged());
    }
    let (mut title, mut time) = (0_i64, 0_i64);
    let mut rows = Vec::with_capacity(count);
    for (at, (step, installed)) in columns.titles.iter().zip(&columns.installed_at).enumerate() {
        title = title.wrapping_add(*step);
        let installed_at = installed.map(|step| {
            time = time.wrapping_add(step);
            time
        });
        let user = match columns.user.get(at).and_then(|place| place.checked_sub(1)) {
            Some(place) => columns.users.get(place).ok_or_else(damaged)?.clone(),
            None => String::new(),
        };
        rows.push(SoftwareRow { title, user, installed_at });
    }
    Ok((rows, columns.rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn lists_come_back_as_they_were(
            rows in proptest::collection::vec(
                (any::<i64>(), "(|S-1|間|b c)", proptest::option::of(any::<i64>())),
                0..50,
            ),
            rest in "\\PC{0,40}",
        ) {
            let rows: Vec<_> = rows
                .into_iter()
                .map(|(title, user, installed_at)| SoftwareRow { title, user, installed_at })
                .collect();
            let bytes = write(&rows, &rest).unwrap();
            prop_assert_eq!(read(&bytes).unwrap(), (rows, rest));
        }

        #[test]
        fn damage_is_told_or_reads_as_another_list(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&[&[0], bytes.as_slice()].concat());
        }
    }

    #[test]
    fn seven_hundred_rows_take_little() {
        let rows: Vec<_> = (0..700)
            .map(|n| SoftwareRow {
                title: 1_000 + n * 3,
                user: String::new(),
                installed_at: Some(1_790_000_000 + n / 40 * 9_999),
            })
            .collect();
        assert!(write(&rows, "],\"sources\":[]}").unwrap().len() < 1_000);
    }
}
