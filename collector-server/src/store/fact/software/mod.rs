//! Software as rows against shared titles, searchable both ways.
//!
//! A content is kept as rows only when its canonical bytes can be put together again from them: it begins
//! with `{"body":{"items":[`, its items are strictly sorted, and each is made of the known fields only.
//! The rows of one digest per host are kept as a packed list ([`Encoding::List`]), with a copy spread into
//! `host_software` for searches; the digest that was there before becomes a small difference to it
//! ([`Encoding::RowDelta`]). Everything else is kept as bytes.

mod list;
mod scan;
mod split;
mod title;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tenken_shared::fact::FactContent;
use tenken_shared::fact::software::{Software, SoftwareItem};
use tenken_shared::ids::Digest;

pub use self::split::{Item, Split, Title, TitleText, split};
use self::split::{Order, PREFIX, time_text, title_digest, write_item};
pub use self::title::TitleCache;
use self::title::{read_titles, titles};
use super::body::{self, Encoding, StoredBody, pack, unpack};
use crate::store::db::params;
use crate::store::host::HostRef;
use crate::store::{Column, Result, StoreError, Tx};

/// Largest difference or rest after decompression.
const MAX_REST_BYTES: usize = tenken_shared::report::MAX_FACT_BYTES;

/// One row of a host: a title by its number, with what belongs to this host.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SoftwareRow {
    /// Title.
    pub title: i64,
    /// User for scope `user`, else empty.
    pub user: String,
    /// Seconds since 1970.
    pub installed_at: Option<i64>,
}

/// Machines whose search rows stand together (migration 0008).
pub const BLOCK: i64 = 32;

/// Rows spread before lists were kept, sorted.
fn spread_rows(tx: &mut (dyn Tx + '_), at: HostRef) -> Result<Vec<SoftwareRow>> {
    tx.rows(
        "select title_id, user_name, installed_at from host_software \
         where org_id = ?1 and block = ?2 and host_id = ?3 order by title_id, user_name",
        params![at.org, at.host / BLOCK, at.host],
        |row| {
            Ok(SoftwareRow {
                title: row.int(0)?,
                user: row.text(1)?.to_owned(),
                installed_at: row.opt_int(2)?,
            })
        },
    )
}

/// How to come from the rows of `base` to those of an older digest.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Delta {
    /// Rows the older one had and `base` has not.
    had: Vec<SoftwareRow>,
    /// Rows that `base` has and the older one had not (title and user).
    lacked: Vec<SoftwareRow>,
    /// Bytes after the last item of the older one.
    rest: String,
}

fn delta(old: &[SoftwareRow], new: &[SoftwareRow]) -> (Vec<SoftwareRow>, Vec<SoftwareRow>) {
    let (mut had, mut lacked) = (Vec::new(), Vec::new());
    let (mut a, mut b) = (old.iter().peekable(), new.iter().peekable());
    loop {
        match (a.peek(), b.peek()) {
            (None, None) => return (had, lacked),
            (Some(x), Some(y)) if x == y => {
                a.next();
                b.next();
            }
            (Some(x), y) if y.is_none_or(|y| x < y) => had.extend(a.next().cloned()),
            _ => lacked.extend(b.next().cloned()),
        }
    }
}

/// Makes `digest` the one whose items are the host's rows; the one before becomes a difference to it.
pub fn put_rows(
    tx: &mut (dyn Tx + '_),
    at: HostRef,
    kind_id: i64,
    digest: &Digest,
    new: &[SoftwareRow],
    rest: &str,
) -> Result<()> {
    let before = held_list(tx, at, kind_id)?;
    if before.as_ref().is_some_and(|held| held.digest == *digest) {
        return Ok(());
    }
    let mut sorted = new.to_vec();
    sorted.sort_unstable();
    let (old, before) =
        before.map_or_else(Default::default, |held| (held.rows, Some((held.digest, held.rest))));
    let (had, lacked) = delta(&old, &sorted);
    replace_rows(tx, at, &had, &lacked)?;
    if let Some((held, old_rest)) = before {
        let delta = Delta { had, lacked, rest: old_rest };
        let json = serde_json::to_vec(&delta).map_err(|e| StoreError::Damaged(e.to_string()))?;
        let bytes = tagged(&json);
        body::put(
            tx,
            at,
            kind_id,
            &held,
            &StoredBody { encoding: Encoding::RowDelta, base: Some(*digest), bytes },
        )?;
    }
    let bytes = list::write(new, rest)?;
    body::put(tx, at, kind_id, digest, &StoredBody { encoding: Encoding::List, base: None, bytes })
}

/// Inner bytes carry the number of their own packing first.
fn tagged(plain: &[u8]) -> Vec<u8> {
    let (encoding, packed) = pack(plain);
    let mut out = vec![u8::try_from(encoding.number()).unwrap_or_default()];
    out.extend_from_slice(&packed);
    out
}

fn untagged(bytes: &[u8]) -> Result<Vec<u8>> {
    match bytes.split_first() {
        Some((0, plain)) => Ok(plain.to_vec()),
        Some((1, packed)) => unpack(packed, MAX_REST_BYTES),
        _ => Err(StoreError::Damaged("software rest".into())),
    }
}

fn untagged_text(bytes: &[u8]) -> Result<String> {
    String::from_utf8(untagged(bytes)?).map_err(|_| StoreError::Damaged("software rest".into()))
}

/// The list of a host.
struct HeldList {
    digest: Digest,
    /// Sorted.
    rows: Vec<SoftwareRow>,
    rest: String,
}

/// Rows and rest of a body kept as a list.
fn read_list(tx: &mut (dyn Tx + '_), at: HostRef, stored: &StoredBody) -> Result<(Vec<SoftwareRow>, String)> {
    match stored.encoding {
        Encoding::List => list::read(&stored.bytes),
        _ => Ok((spread_rows(tx, at)?, untagged_text(&stored.bytes)?)),
    }
}

/// The digest that is the host's list now.
fn held_list(tx: &mut (dyn Tx + '_), at: HostRef, kind_id: i64) -> Result<Option<HeldList>> {
    let found = tx.one(
        "select digest, encoding, bytes from fact_body \
         where org_id = ?1 and host_id = ?2 and kind_id = ?3 and encoding in (?4, ?5)",
        params![at.org, at.host, kind_id, Encoding::Rows.number(), Encoding::List.number()],
        |row| {
            let encoding = Encoding::from_number(row.int(1)?)?;
            Ok((row.digest(0)?, StoredBody { encoding, base: None, bytes: row.bytes(2)?.to_vec() }))
        },
    )?;
    let Some((digest, stored)) = found else { return Ok(None) };
    let (mut rows, rest) = read_list(tx, at, &stored)?;
    rows.sort_unstable();
    Ok(Some(HeldList { digest, rows, rest }))
}

fn replace_rows(
    tx: &mut (dyn Tx + '_),
    at: HostRef,
    remove: &[SoftwareRow],
    add: &[SoftwareRow],
) -> Result<()> {
    let block = at.host / BLOCK;
    let owner = || {
        [("org_id", at.org), ("block", block), ("host_id", at.host)]
            .map(|(name, value)| (name, Column::All(value.into())))
    };
    if !remove.is_empty() {
        let titles: Vec<i64> = remove.iter().map(|r| r.title).collect();
        let users: Vec<&str> = remove.iter().map(|r| r.user.as_str()).collect();
        let [org, block, host] = owner();
        let key = [("title_id", Column::Ints(&titles)), ("user_name", Column::Texts(&users))];
        tx.delete_many("host_software", &[&[org, block, host], key.as_slice()].concat())?;
    }
    if !add.is_empty() {
        let titles: Vec<i64> = add.iter().map(|r| r.title).collect();
        let users: Vec<&str> = add.iter().map(|r| r.user.as_str()).collect();
        let times: Vec<Option<i64>> = add.iter().map(|r| r.installed_at).collect();
        tx.execute(
            "insert into host_block (org_id, block) values (?1, ?2) on conflict (org_id, block) do nothing",
            params![at.org, block],
        )?;
        let [org, block, host] = owner();
        let columns = [
            org,
            block,
            host,
            ("title_id", Column::Ints(&titles)),
            ("user_name", Column::Texts(&users)),
            ("installed_at", Column::OptInts(&times)),
        ];
        tx.insert_many("host_software", &columns, "")?;
    }
    Ok(())
}

/// Ends the use of rows: their digest is kept as bytes. For a newer content that cannot be rows.
pub fn drop_rows(tx: &mut (dyn Tx + '_), at: HostRef, kind_id: i64) -> Result<()> {
    let Some(HeldList { digest, .. }) = held_list(tx, at, kind_id)? else { return Ok(()) };
    let older = tx.rows(
        "select digest from fact_body where org_id = ?1 and host_id = ?2 and kind_id = ?3 and base = ?4",
        params![at.org, at.host, kind_id, &digest],
        |row| row.digest(0),
    )?;
    for dependent in older.iter().chain([&digest]) {
        let plain = rebuild(tx, at, kind_id, dependent)?;
        let (encoding, bytes) = pack(&plain);
        body::put(tx, at, kind_id, dependent, &StoredBody { encoding, base: None, bytes })?;
    }
    tx.execute(
        "delete from host_software where org_id = ?1 and block = ?2 and host_id = ?3",
        params![at.org, at.host / BLOCK, at.host],
    )?;
    Ok(())
}

/// Takes a digest that is stored into use again: its items become the host's rows.
pub fn reinstate(tx: &mut (dyn Tx + '_), at: HostRef, kind_id: i64, digest: &Digest) -> Result<()> {
    match rows_of(tx, at, kind_id, digest) {
        Ok((rows, rest)) => put_rows(tx, at, kind_id, digest, &rows, &rest),
        // Kept as bytes because it cannot be rows.
        Err(StoreError::Damaged(_)) => drop_rows(tx, at, kind_id),
        Err(error) => Err(error),
    }
}

/// Rows and rest of a digest kept as rows or as a difference to others.
fn rows_of(
    tx: &mut (dyn Tx + '_),
    at: HostRef,
    kind_id: i64,
    digest: &Digest,
) -> Result<(Vec<SoftwareRow>, String)> {
    let damaged = || StoreError::Damaged(format!("software {digest}: its rows are not there"));
    let mut steps: Vec<Delta> = Vec::new();
    let mut next = *digest;
    let (mut held, mut rest) = loop {
        let stored = body::stored(tx, at, kind_id, &next)?.ok_or_else(damaged)?;
        match stored.encoding {
            Encoding::Rows | Encoding::List => break read_list(tx, at, &stored)?,
            Encoding::RowDelta => {
                let json = untagged(&stored.bytes)?;
                steps.push(
                    serde_json::from_slice(&json).map_err(|error| StoreError::Damaged(error.to_string()))?,
                );
                next = stored.base.ok_or_else(damaged)?;
            }
            Encoding::Plain => break known_rows(tx, &stored.bytes)?,
            Encoding::Zstd => break known_rows(tx, &unpack(&stored.bytes, MAX_REST_BYTES)?)?,
        }
    };
    while let Some(step) = steps.pop() {
        let mut set: std::collections::BTreeSet<SoftwareRow> = held.into_iter().collect();
        for row in &step.lacked {
            set.remove(row);
        }
        set.extend(step.had);
        held = set.into_iter().collect();
        rest = step.rest;
    }
    Ok((held, rest))
}

/// Rows of a content kept as bytes whose titles are all stored.
fn known_rows(tx: &mut (dyn Tx + '_), bytes: &[u8]) -> Result<(Vec<SoftwareRow>, String)> {
    let split = split(bytes).ok_or_else(|| StoreError::Damaged("software content without rows".into()))?;
    let mut scratch = Vec::new();
    let mut rows = Vec::with_capacity(split.items.len());
    for (item, installed_at) in split.items.iter().zip(&split.installed_at) {
        let digest = title_digest(item.title(), &mut scratch);
        let id = tx.one(
            "select title_id from software_title where digest = ?1",
            params![&digest.as_bytes()[..16]],
            |row| row.int(0),
        )?;
        let title = id.ok_or_else(|| StoreError::Damaged("a software title is not there".into()))?;
        rows.push(SoftwareRow { title, user: item.user().to_owned(), installed_at: *installed_at });
    }
    Ok((rows, split.rest.to_owned()))
}

/// Canonical bytes of a digest, put together from rows. The caller checks the digest.
pub fn rebuild(tx: &mut (dyn Tx + '_), at: HostRef, kind_id: i64, digest: &Digest) -> Result<Vec<u8>> {
    let (rows, rest) = rows_of(tx, at, kind_id, digest)?;
    let titles = titles(tx, &rows)?;
    let mut items = Vec::with_capacity(rows.len());
    for row in &rows {
        let title = titles
            .get(&row.title)
            .ok_or_else(|| StoreError::Damaged(format!("software title {} is not there", row.title)))?;
        items.push((title, row));
    }
    items.sort_unstable_by_key(|(t, row)| {
        (&t.source, &t.name, t.arch.as_deref(), &t.version, row.user.as_str())
    });
    let mut out = PREFIX.as_bytes().to_vec();
    for (i, (title, row)) in items.into_iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        let user = Some(row.user.as_str()).filter(|u| !u.is_empty());
        let time = row.installed_at.and_then(time_text);
        write_item(&title.into(), user, time.as_deref(), &mut out);
    }
    out.extend_from_slice(rest.as_bytes());
    Ok(out)
}

/// The typed list of a digest that is the host's rows now, with the content but for its body; `None`
/// where it is kept otherwise. Does not check the digest.
pub fn typed(
    tx: &mut (dyn Tx + '_),
    at: HostRef,
    kind_id: i64,
    digest: &Digest,
    cache: &TitleCache,
) -> Result<Option<(FactContent, Software)>> {
    let Some(stored) = body::stored(tx, at, kind_id, digest)? else { return Ok(None) };
    if !matches!(stored.encoding, Encoding::Rows | Encoding::List) {
        return Ok(None);
    }
    let (rows, rest) = read_list(tx, at, &stored)?;
    let empty = format!("{PREFIX}{rest}");
    let mut content: FactContent =
        serde_json::from_str(&empty).map_err(|error| StoreError::Damaged(error.to_string()))?;
    let Some(body) = content.body.take() else { return Ok(None) };
    let mut software: Software =
        serde_json::from_value(body).map_err(|error| StoreError::Damaged(error.to_string()))?;
    let found = match cache.titles(&rows) {
        Some(found) => found,
        None => read_titles(tx, &rows, cache)?,
    };
    let mut items: Vec<_> = found.iter().zip(&rows).collect();
    // Most lists were written in this order.
    if !items.is_sorted_by_key(|(title, row)| sort_key(title, row)) {
        items.sort_unstable_by(|(a, x), (b, y)| sort_key(a, x).cmp(&sort_key(b, y)));
    }
    software.items = items.into_iter().map(|(title, row)| item(title, row)).collect();
    Ok(Some((content, software)))
}

/// The order of items.
fn sort_key<'a>(title: &'a Title, row: &'a SoftwareRow) -> Order<'a> {
    (&title.source, &title.name, title.arch.as_deref(), &title.version, &row.user)
}

fn item(title: &Title, row: &SoftwareRow) -> SoftwareItem {
    SoftwareItem {
        name: title.name.clone(),
        version: title.version.clone(),
        arch: title.arch.clone(),
        vendor: title.vendor.clone(),
        installed_at: row.installed_at.and_then(|s| Timestamp::from_second(s).ok()),
        source: title.source.clone(),
        scope: title.scope.clone(),
        user: Some(row.user.clone()).filter(|user| !user.is_empty()),
        source_package: title.source_package.clone(),
    }
}
