//! Titles that hosts share: their numbers in the store, and the memory of those met.

use std::borrow::Borrow;
use std::collections::{BTreeMap, HashMap};
use std::hash::{Hash, Hasher};
use std::sync::{Arc, PoisonError, RwLock};

use tenken_shared::ids::Digest;

use super::SoftwareRow;
use super::split::{Item, Split, Title, TitleText, title_digest};
use crate::store::db::{Param, params};
use crate::store::{Column, Result, Store, StoreError, Tx};

/// Titles remembered in memory; beyond, the memory is emptied and fills again.
const MAX_CACHED_TITLES: usize = 100_000;

/// Titles that were met, with their numbers, so that most reports and judgements need no query for them.
#[derive(Debug, Default)]
pub struct TitleCache(RwLock<Known>);

#[derive(Debug, Default)]
struct Known {
    numbers: HashMap<Key, i64, foldhash::fast::RandomState>,
    titles: HashMap<i64, Arc<Title>>,
}

impl TitleCache {
    fn numbers(&self, items: &[Item<'_>]) -> Vec<Option<i64>> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        items.iter().map(|item| known.numbers.get(&item.title() as &dyn Named).copied()).collect()
    }

    /// The titles of rows, in their order; `None` where one is not known.
    pub(super) fn titles(&self, rows: &[SoftwareRow]) -> Option<Vec<Arc<Title>>> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        rows.iter().map(|row| known.titles.get(&row.title).cloned()).collect()
    }

    pub(super) fn put(&self, titles: impl ExactSizeIterator<Item = (i64, Arc<Title>)>) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if known.titles.len() + titles.len() > MAX_CACHED_TITLES {
            *known = Known::default();
        }
        for (id, title) in titles {
            known.numbers.insert(Key(Arc::clone(&title)), id);
            known.titles.insert(id, title);
        }
    }
}

/// Anything that names a title, so that a borrowed one finds the one that is remembered.
trait Named {
    fn text(&self) -> TitleText<'_>;
}

impl Named for TitleText<'_> {
    fn text(&self) -> TitleText<'_> {
        *self
    }
}

impl Hash for dyn Named + '_ {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text().hash(state);
    }
}

impl PartialEq for dyn Named + '_ {
    fn eq(&self, other: &Self) -> bool {
        self.text() == other.text()
    }
}

impl Eq for dyn Named + '_ {}

#[derive(Debug)]
struct Key(Arc<Title>);

impl Named for Key {
    fn text(&self) -> TitleText<'_> {
        self.0.as_ref().into()
    }
}

impl<'a> Borrow<dyn Named + 'a> for Key {
    fn borrow(&self) -> &(dyn Named + 'a) {
        self
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text().hash(state);
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.text() == other.text()
    }
}

impl Eq for Key {}

impl Store {
    /// Rows for the items of a split content; titles never met before are stored first, in a transaction
    /// of their own.
    pub async fn software_rows(&self, split: &Split<'_>) -> Result<Vec<SoftwareRow>> {
        let mut ids = self.titles.numbers(&split.items);
        if ids.iter().any(Option::is_none) {
            let missing: Vec<Title> = split
                .items
                .iter()
                .zip(&ids)
                .filter(|(_, id)| id.is_none())
                .map(|(item, _)| item.title().to_title())
                .collect();
            let found = self.write(move |tx| ensure_titles(tx, &missing)).await?;
            let by_title: HashMap<TitleText<'_>, i64> = found.iter().map(|(t, id)| (t.into(), *id)).collect();
            for (id, item) in ids.iter_mut().zip(&split.items).filter(|(id, _)| id.is_none()) {
                *id = by_title.get(&item.title()).copied();
            }
            drop(by_title);
            self.titles.put(found.into_iter().map(|(title, id)| (id, Arc::new(title))));
        }
        let rows = split.items.iter().zip(&split.installed_at).zip(ids).map(|((item, installed_at), id)| {
            let title = id.ok_or_else(|| StoreError::Unavailable("a title got no number".into()))?;
            Ok(SoftwareRow { title, user: item.user().to_owned(), installed_at: *installed_at })
        });
        rows.collect()
    }
}

fn ensure_titles(tx: &mut (dyn Tx + '_), titles: &[Title]) -> Result<Vec<(Title, i64)>> {
    let mut scratch = Vec::new();
    let mut keyed: Vec<(Digest, &Title)> =
        titles.iter().map(|t| (title_digest(t.into(), &mut scratch), t)).collect();
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

/// Titles asked for at once; always as many, so that the statement stays the same.
const TITLES_AT_ONCE: usize = 100;

/// Titles by number.
pub(super) fn titles(tx: &mut (dyn Tx + '_), rows: &[SoftwareRow]) -> Result<BTreeMap<i64, Title>> {
    let places: Vec<String> = (1..=TITLES_AT_ONCE).map(|n| format!("?{n}")).collect();
    let sql = format!(
        "select title_id, source, name, arch, version, vendor, scope, source_package from software_title \
         where title_id in ({})",
        places.join(", ")
    );
    let mut found = BTreeMap::new();
    for rows in rows.chunks(TITLES_AT_ONCE) {
        let numbers = (0..TITLES_AT_ONCE).map(|at| rows.get(at).or(rows.last()).map_or(0, |row| row.title));
        let numbers: Vec<Param<'_>> = numbers.map(Param::Int).collect();
        let titles = tx.rows(&sql, &numbers, |row| {
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
        })?;
        found.extend(titles);
    }
    Ok(found)
}

/// Titles of rows from the store, remembered.
pub(super) fn read_titles(
    tx: &mut (dyn Tx + '_),
    rows: &[SoftwareRow],
    cache: &TitleCache,
) -> Result<Vec<Arc<Title>>> {
    let read: HashMap<i64, Arc<Title>> =
        titles(tx, rows)?.into_iter().map(|(id, title)| (id, Arc::new(title))).collect();
    let missing = || StoreError::Damaged("a software title is not there".into());
    let found = rows.iter().map(|row| read.get(&row.title).cloned().ok_or_else(missing)).collect();
    cache.put(read.into_iter());
    found
}
