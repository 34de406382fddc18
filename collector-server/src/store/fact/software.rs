//! Software as rows against shared titles, searchable both ways.
//!
//! A content is kept as rows only when its canonical bytes can be put together again from them: it begins
//! with `{"body":{"items":[`, its items are strictly sorted, and each is made of the known fields only.
//! The rows of a host are those of one digest ([`Encoding::Rows`]); the digest that was there before
//! becomes a small difference to it ([`Encoding::RowDelta`]). Everything else is kept as bytes.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tenken_shared::collected::{Reason, Status};
use tenken_shared::fact::FactContent;
use tenken_shared::fact::software::{Software, SoftwareItem};
use tenken_shared::ids::Digest;

use super::body::{self, Encoding, StoredBody, pack, unpack};
use crate::store::db::params;
use crate::store::host::HostRef;
use crate::store::{Column, Result, Store, StoreError, Tx};

const PREFIX: &str = r#"{"body":{"items":["#;
/// Largest difference or rest after decompression.
const MAX_REST_BYTES: usize = tenken_shared::report::MAX_FACT_BYTES;
/// Titles remembered in memory; beyond, the memory is emptied and fills again.
const MAX_CACHED_TITLES: usize = 100_000;

/// What hosts share of an installed title.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Title {
    /// Package source, first in the order of items.
    pub source: String,
    /// Name.
    pub name: String,
    /// Architecture.
    pub arch: Option<String>,
    /// Version.
    pub version: String,
    /// Vendor.
    pub vendor: Option<String>,
    /// `machine` or `user`.
    pub scope: String,
    /// Source package.
    pub source_package: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Item<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    version: Cow<'a, str>,
    #[serde(borrow, default)]
    arch: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    vendor: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    installed_at: Option<Cow<'a, str>>,
    #[serde(borrow)]
    source: Cow<'a, str>,
    #[serde(borrow)]
    scope: Cow<'a, str>,
    #[serde(borrow, default)]
    user: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    source_package: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    items: Vec<Item<'a>>,
}

/// Content of a software fact, as far as rows need it.
#[derive(Deserialize)]
struct Content<'a> {
    #[serde(borrow)]
    body: Body<'a>,
    kind: String,
    status: Status,
    #[serde(default)]
    #[expect(dead_code, reason = "read only to check its shape")]
    reason: Option<Reason>,
}

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

/// A content that can be kept as rows.
#[derive(Debug, Clone)]
pub struct Split {
    /// Status of the fact.
    pub status: Status,
    /// Titles with user and time of installation, in the order of the items.
    pub items: Vec<(Title, String, Option<i64>)>,
    /// Bytes after the last item.
    pub rest: String,
}

/// Writes JSON text of a string.
fn write_text(text: &str, out: &mut Vec<u8>) {
    let plain = !text.bytes().any(|b| b < 0x20 || b == b'"' || b == b'\\');
    if plain {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else if let Ok(json) = serde_json::to_vec(text) {
        out.extend_from_slice(&json);
    }
}

fn write_member(name: &str, text: Option<&str>, out: &mut Vec<u8>) {
    let Some(text) = text else { return };
    if out.last() != Some(&b'{') {
        out.push(b',');
    }
    write_text(name, out);
    out.push(b':');
    write_text(text, out);
}

/// Writes the canonical form of an item: members in byte order of their names.
fn write_item(title: &TitleText<'_>, user: Option<&str>, installed_at: Option<&str>, out: &mut Vec<u8>) {
    out.push(b'{');
    write_member("arch", title.arch, out);
    write_member("installed_at", installed_at, out);
    write_member("name", Some(title.name), out);
    write_member("scope", Some(title.scope), out);
    write_member("source", Some(title.source), out);
    write_member("source_package", title.source_package, out);
    write_member("user", user, out);
    write_member("vendor", title.vendor, out);
    write_member("version", Some(title.version), out);
    out.push(b'}');
}

struct TitleText<'a> {
    arch: Option<&'a str>,
    name: &'a str,
    scope: &'a str,
    source: &'a str,
    source_package: Option<&'a str>,
    vendor: Option<&'a str>,
    version: &'a str,
}

impl<'a> From<&'a Title> for TitleText<'a> {
    fn from(t: &'a Title) -> Self {
        Self {
            arch: t.arch.as_deref(),
            name: &t.name,
            scope: &t.scope,
            source: &t.source,
            source_package: t.source_package.as_deref(),
            vendor: t.vendor.as_deref(),
            version: &t.version,
        }
    }
}

impl<'a> From<&'a Item<'a>> for TitleText<'a> {
    fn from(t: &'a Item<'a>) -> Self {
        Self {
            arch: t.arch.as_deref(),
            name: &t.name,
            scope: &t.scope,
            source: &t.source,
            source_package: t.source_package.as_deref(),
            vendor: t.vendor.as_deref(),
            version: &t.version,
        }
    }
}

/// Digest that names a title: of its canonical item without user and time.
fn title_digest(title: &Title, scratch: &mut Vec<u8>) -> Digest {
    scratch.clear();
    write_item(&title.into(), None, None, scratch);
    Digest::of(scratch)
}

fn seconds(text: &str) -> Option<i64> {
    text.parse::<Timestamp>().ok().map(Timestamp::as_second)
}

fn time_text(seconds: i64) -> Option<String> {
    Timestamp::from_second(seconds).ok().map(|t| t.to_string())
}

/// Splits a canonical software content into rows, or answers `None` where it cannot be put together
/// again from them.
#[must_use]
pub fn split(bytes: &[u8]) -> Option<Split> {
    if !bytes.starts_with(PREFIX.as_bytes()) {
        return None;
    }
    let content: Content<'_> = serde_json::from_slice(bytes).ok()?;
    if content.kind != "software" || !content.status.has_body() {
        return None;
    }
    let mut items = Vec::with_capacity(content.body.items.len());
    let mut written = PREFIX.as_bytes().to_vec();
    written.reserve(bytes.len());
    let mut before: Option<&Item<'_>> = None;
    for item in &content.body.items {
        if let Some(before) = before {
            if order(before) >= order(item) {
                return None;
            }
            written.push(b',');
        }
        write_item(&item.into(), item.user.as_deref(), item.installed_at.as_deref(), &mut written);
        let installed_at = match &item.installed_at {
            Some(text) => Some(seconds(text).filter(|s| time_text(*s).as_deref() == Some(text))?),
            None => None,
        };
        let user = match item.user.as_deref() {
            Some("") => return None,
            other => other.unwrap_or_default(),
        };
        items.push((title_of(item), user.to_owned(), installed_at));
        before = Some(item);
    }
    let rest = bytes.strip_prefix(written.as_slice())?;
    if rest.first() != Some(&b']') {
        return None;
    }
    Some(Split { status: content.status, items, rest: std::str::from_utf8(rest).ok()?.to_owned() })
}

type Order<'a> = (&'a str, &'a str, Option<&'a str>, &'a str, &'a str);

fn order<'a>(item: &'a Item<'_>) -> Order<'a> {
    (&item.source, &item.name, item.arch.as_deref(), &item.version, item.user.as_deref().unwrap_or_default())
}

fn title_of(item: &Item<'_>) -> Title {
    Title {
        source: item.source.to_string(),
        name: item.name.to_string(),
        arch: item.arch.as_deref().map(str::to_owned),
        version: item.version.to_string(),
        vendor: item.vendor.as_deref().map(str::to_owned),
        scope: item.scope.to_string(),
        source_package: item.source_package.as_deref().map(str::to_owned),
    }
}

/// Titles that were met, with their numbers, so that most reports and judgements need no query for them.
#[derive(Debug, Default)]
pub struct TitleCache(RwLock<Known>);

#[derive(Debug, Default)]
struct Known {
    numbers: HashMap<Arc<Title>, i64>,
    titles: HashMap<i64, Arc<Title>>,
}

impl TitleCache {
    fn numbers(&self, titles: &[&Title]) -> Vec<Option<i64>> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        titles.iter().map(|title| known.numbers.get(*title).copied()).collect()
    }

    /// The titles of rows, in their order; `None` where one is not known.
    fn titles(&self, rows: &[SoftwareRow]) -> Option<Vec<Arc<Title>>> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        rows.iter().map(|row| known.titles.get(&row.title).cloned()).collect()
    }

    fn put(&self, titles: impl ExactSizeIterator<Item = (i64, Arc<Title>)>) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if known.titles.len() + titles.len() > MAX_CACHED_TITLES {
            *known = Known::default();
        }
        for (id, title) in titles {
            known.numbers.insert(Arc::clone(&title), id);
            known.titles.insert(id, title);
        }
    }
}

impl Store {
    /// Rows for the items of a split content; titles never met before are stored first, in a transaction
    /// of their own.
    pub async fn software_rows(&self, split: &Split) -> Result<Vec<SoftwareRow>> {
        let titles: Vec<&Title> = split.items.iter().map(|(title, ..)| title).collect();
        let mut ids = self.titles.numbers(&titles);
        if ids.iter().any(Option::is_none) {
            let missing: Vec<Title> =
                titles.iter().zip(&ids).filter(|(_, id)| id.is_none()).map(|(t, _)| (*t).clone()).collect();
            let found = self.write(move |tx| ensure_titles(tx, &missing)).await?;
            let by_title: HashMap<&Title, i64> = found.iter().map(|(t, id)| (t, *id)).collect();
            for (id, title) in ids.iter_mut().zip(&titles).filter(|(id, _)| id.is_none()) {
                *id = by_title.get(*title).copied();
            }
            drop(by_title);
            self.titles.put(found.into_iter().map(|(title, id)| (id, Arc::new(title))));
        }
        let rows = split.items.iter().zip(ids).map(|((_, user, installed_at), id)| {
            let title = id.ok_or_else(|| StoreError::Unavailable("a title got no number".into()))?;
            Ok(SoftwareRow { title, user: user.clone(), installed_at: *installed_at })
        });
        let mut rows = rows.collect::<Result<Vec<_>>>()?;
        rows.sort_unstable();
        Ok(rows)
    }
}

fn ensure_titles(tx: &mut (dyn Tx + '_), titles: &[Title]) -> Result<Vec<(Title, i64)>> {
    let mut scratch = Vec::new();
    let mut keyed: Vec<(Digest, &Title)> =
        titles.iter().map(|t| (title_digest(t, &mut scratch), t)).collect();
    keyed.sort_unstable_by_key(|(digest, _)| *digest);
    keyed.dedup_by_key(|(digest, _)| *digest);
    let digests: Vec<&[u8]> = keyed.iter().map(|(d, _)| &d.as_bytes()[..16]).collect();
    let names: Vec<&str> = keyed.iter().map(|(_, t)| t.name.as_str()).collect();
    let versions: Vec<&str> = keyed.iter().map(|(_, t)| t.version.as_str()).collect();
    let arches: Vec<Option<&str>> = keyed.iter().map(|(_, t)| t.arch.as_deref()).collect();
    let vendors: Vec<Option<&str>> = keyed.iter().map(|(_, t)| t.vendor.as_deref()).collect();
    let sources: Vec<&str> = keyed.iter().map(|(_, t)| t.source.as_str()).collect();
    let scopes: Vec<&str> = keyed.iter().map(|(_, t)| t.scope.as_str()).collect();
    let packages: Vec<Option<&str>> = keyed.iter().map(|(_, t)| t.source_package.as_deref()).collect();
    tx.insert_many(
        "software_title",
        &[
            ("digest", Column::Bytes(&digests)),
            ("name", Column::Texts(&names)),
            ("version", Column::Texts(&versions)),
            ("arch", Column::OptTexts(&arches)),
            ("vendor", Column::OptTexts(&vendors)),
            ("source", Column::Texts(&sources)),
            ("scope", Column::Texts(&scopes)),
            ("source_package", Column::OptTexts(&packages)),
        ],
        "on conflict (digest) do nothing",
    )?;
    let mut out = Vec::with_capacity(keyed.len());
    for (digest, title) in keyed {
        let id = tx.one(
            "select title_id from software_title where digest = ?1",
            params![&digest.as_bytes()[..16]],
            |row| row.int(0),
        )?;
        let id = id.ok_or_else(|| StoreError::Unavailable("a title is being added".into()))?;
        out.push((title.clone(), id));
    }
    Ok(out)
}

/// The host's rows as they are, sorted.
pub fn rows(tx: &mut (dyn Tx + '_), at: HostRef) -> Result<Vec<SoftwareRow>> {
    tx.rows(
        "select title_id, user_name, installed_at from host_software where org_id = ?1 and host_id = ?2 \
         order by title_id, user_name",
        params![at.org, at.host],
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
    let before = rows_digest(tx, at, kind_id)?;
    if before.as_ref().is_some_and(|(held, _)| held == digest) {
        return Ok(());
    }
    let old = rows(tx, at)?;
    let (had, lacked) = delta(&old, new);
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
    let bytes = tagged(rest.as_bytes());
    body::put(tx, at, kind_id, digest, &StoredBody { encoding: Encoding::Rows, base: None, bytes })
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

/// Which digest the rows are, with its rest.
fn rows_digest(tx: &mut (dyn Tx + '_), at: HostRef, kind_id: i64) -> Result<Option<(Digest, String)>> {
    tx.one(
        "select digest, bytes from fact_body \
         where org_id = ?1 and host_id = ?2 and kind_id = ?3 and encoding = ?4",
        params![at.org, at.host, kind_id, Encoding::Rows.number()],
        |row| Ok((row.digest(0)?, untagged_text(row.bytes(1)?)?)),
    )
}

fn replace_rows(
    tx: &mut (dyn Tx + '_),
    at: HostRef,
    remove: &[SoftwareRow],
    add: &[SoftwareRow],
) -> Result<()> {
    let owner = || [("org_id", Column::All(at.org.into())), ("host_id", Column::All(at.host.into()))];
    if !remove.is_empty() {
        let titles: Vec<i64> = remove.iter().map(|r| r.title).collect();
        let users: Vec<&str> = remove.iter().map(|r| r.user.as_str()).collect();
        let [org, host] = owner();
        let columns = [org, host, ("title_id", Column::Ints(&titles)), ("user_name", Column::Texts(&users))];
        tx.delete_many("host_software", &columns)?;
    }
    if !add.is_empty() {
        let titles: Vec<i64> = add.iter().map(|r| r.title).collect();
        let users: Vec<&str> = add.iter().map(|r| r.user.as_str()).collect();
        let times: Vec<Option<i64>> = add.iter().map(|r| r.installed_at).collect();
        let [org, host] = owner();
        let columns = [
            org,
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
    let Some((digest, _)) = rows_digest(tx, at, kind_id)? else { return Ok(()) };
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
    tx.execute("delete from host_software where org_id = ?1 and host_id = ?2", params![at.org, at.host])?;
    Ok(())
}

/// Takes a digest that is stored into use again: its items become the host's rows.
pub fn reinstate(tx: &mut (dyn Tx + '_), at: HostRef, kind_id: i64, digest: &Digest) -> Result<()> {
    match rows_of(tx, at, kind_id, digest) {
        Ok((mut rows, rest)) => {
            rows.sort_unstable();
            put_rows(tx, at, kind_id, digest, &rows, &rest)
        }
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
            Encoding::Rows => break (rows(tx, at)?, untagged_text(&stored.bytes)?),
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
    for (title, user, installed_at) in split.items {
        let digest = title_digest(&title, &mut scratch);
        let id = tx.one(
            "select title_id from software_title where digest = ?1",
            params![&digest.as_bytes()[..16]],
            |row| row.int(0),
        )?;
        let title = id.ok_or_else(|| StoreError::Damaged("a software title is not there".into()))?;
        rows.push(SoftwareRow { title, user, installed_at });
    }
    rows.sort_unstable();
    Ok((rows, split.rest))
}

/// Titles by number.
fn titles(tx: &mut (dyn Tx + '_), at: HostRef, rows: &[SoftwareRow]) -> Result<BTreeMap<i64, Title>> {
    let read = |row: &crate::store::Row| {
        let title = Title {
            source: row.text(1)?.to_owned(),
            name: row.text(2)?.to_owned(),
            arch: row.opt_string(3)?,
            version: row.text(4)?.to_owned(),
            vendor: row.opt_string(5)?,
            scope: row.text(6)?.to_owned(),
            source_package: row.opt_string(7)?,
        };
        Ok((row.int(0)?, title))
    };
    const COLUMNS: &str =
        "t.title_id, t.source, t.name, t.arch, t.version, t.vendor, t.scope, t.source_package";
    let mut found: BTreeMap<i64, Title> = tx
        .rows(
            &format!(
                "select {COLUMNS} from host_software s join software_title t on t.title_id = s.title_id \
                 where s.org_id = ?1 and s.host_id = ?2"
            ),
            params![at.org, at.host],
            read,
        )?
        .into_iter()
        .collect();
    for row in rows {
        if !found.contains_key(&row.title) {
            let sql = format!("select {COLUMNS} from software_title t where t.title_id = ?1");
            found.extend(tx.one(&sql, params![row.title], read)?);
        }
    }
    Ok(found)
}

/// Canonical bytes of a digest, put together from rows. The caller checks the digest.
pub fn rebuild(tx: &mut (dyn Tx + '_), at: HostRef, kind_id: i64, digest: &Digest) -> Result<Vec<u8>> {
    let (rows, rest) = rows_of(tx, at, kind_id, digest)?;
    let titles = titles(tx, at, &rows)?;
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
    if stored.encoding != Encoding::Rows {
        return Ok(None);
    }
    let empty = format!("{PREFIX}{}", untagged_text(&stored.bytes)?);
    let mut content: FactContent =
        serde_json::from_str(&empty).map_err(|error| StoreError::Damaged(error.to_string()))?;
    let Some(body) = content.body.take() else { return Ok(None) };
    let mut software: Software =
        serde_json::from_value(body).map_err(|error| StoreError::Damaged(error.to_string()))?;
    let rows = rows(tx, at)?;
    let found = match cache.titles(&rows) {
        Some(found) => found,
        None => read_titles(tx, at, &rows, cache)?,
    };
    let mut items: Vec<_> = found.iter().zip(&rows).collect();
    items.sort_unstable_by(|(a, x), (b, y)| sort_key(a, x).cmp(&sort_key(b, y)));
    software.items = items.into_iter().map(|(title, row)| item(title, row)).collect();
    Ok(Some((content, software)))
}

/// Titles of rows from the store, remembered.
fn read_titles(
    tx: &mut (dyn Tx + '_),
    at: HostRef,
    rows: &[SoftwareRow],
    cache: &TitleCache,
) -> Result<Vec<Arc<Title>>> {
    let read: HashMap<i64, Arc<Title>> =
        titles(tx, at, rows)?.into_iter().map(|(id, title)| (id, Arc::new(title))).collect();
    let missing = || StoreError::Damaged("a software title is not there".into());
    let found = rows.iter().map(|row| read.get(&row.title).cloned().ok_or_else(missing)).collect();
    cache.put(read.into_iter());
    found
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

#[cfg(test)]
mod tests {
    use super::*;

    fn content(items: &str) -> String {
        format!(
            r#"{{"body":{{"items":[{items}],"sources":[]}},"kind":"software","schema":1,"source":"dpkg","status":"known"}}"#
        )
    }

    const BASH: &str = r#"{"arch":"amd64","installed_at":"2026-01-02T03:04:05Z","name":"bash","scope":"machine","source":"deb","vendor":"D \"q\"","version":"5.2"}"#;
    const ZSH: &str = r#"{"name":"zsh","scope":"user","source":"deb","user":"S-1","version":"1"}"#;

    #[test]
    fn splits_what_can_be_put_together_again() {
        let split = split(content(&format!("{BASH},{ZSH}")).as_bytes()).unwrap();
        assert_eq!(split.items.len(), 2);
        assert_eq!(split.items[0].2, Some(1_767_323_045));
        assert_eq!(split.items[1].1, "S-1");
        assert!(split.rest.starts_with(r#"],"sources""#));
        assert!(super::split(content("").as_bytes()).unwrap().items.is_empty());
    }

    #[test]
    fn unknown_fields_wrong_order_and_odd_times_are_kept_as_bytes() {
        let odd = BASH.replace("05Z", "05.5Z");
        let extra = ZSH.replace(r#""version""#, r#""vendor_id":"9","version""#);
        let empty_user = ZSH.replace("S-1", "");
        for items in [format!("{ZSH},{BASH}"), odd, extra, empty_user, format!("{BASH},{BASH}")] {
            assert!(split(content(&items).as_bytes()).is_none(), "{items}");
        }
        assert!(split(b"{}").is_none());
    }
}
