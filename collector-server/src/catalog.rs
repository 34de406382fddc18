//! Which catalogues are in use, and taking in newer ones.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tenken_shared::catalog::builds::BuildCatalog;
use tenken_shared::catalog::{CatalogError, SupportCatalog};
use tenken_shared::text::Lang;

use crate::evaluate::{BUILDS_CATALOG, SUPPORT_CATALOG, catalogs};
use crate::store::{Result, Store, StoreError};
use crate::user::Actor;

/// Which catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Name {
    /// End of support.
    Support,
    /// Security releases of Windows by build.
    Builds,
}

impl Name {
    /// Every catalogue.
    pub const ALL: [Self; 2] = [Self::Support, Self::Builds];

    /// The word in addresses.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Support => "support",
            Self::Builds => "builds",
        }
    }

    /// The word it is stored under.
    const fn stored_as(self) -> &'static str {
        match self {
            Self::Support => SUPPORT_CATALOG,
            Self::Builds => BUILDS_CATALOG,
        }
    }
}

/// A catalogue in use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CatalogRow {
    /// Which.
    pub name: Name,
    /// Version, as its makers count.
    pub version: String,
    /// When its data were compiled.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub compiled_at: Option<Timestamp>,
    /// Where they come from.
    pub source: String,
    /// Import it came with; 0 for the one built into this program.
    pub number: i64,
    /// Products, or builds.
    pub products: u64,
    /// Cycles of them, or releases.
    pub entries: u64,
}

/// The catalogues in use.
pub async fn in_use(store: &Store) -> Result<Vec<CatalogRow>> {
    let used = catalogs(store).await?;
    let (support, builds) = (used.catalog.support, used.catalog.builds);
    Ok(vec![
        CatalogRow {
            name: Name::Support,
            products: support.products.len() as u64,
            entries: support.products.values().map(|cycles| cycles.len() as u64).sum(),
            version: support.version,
            compiled_at: support.compiled_at,
            source: support.source,
            number: used.support,
        },
        CatalogRow {
            name: Name::Builds,
            products: builds.builds.len() as u64,
            entries: builds.builds.iter().map(|build| build.releases.len() as u64).sum(),
            version: builds.version,
            compiled_at: builds.compiled_at,
            source: builds.source,
            number: used.builds,
        },
    ])
}

/// A catalogue itself, in the form that [`import`] takes.
pub async fn document(store: &Store, name: Name) -> Result<serde_json::Value> {
    let used = catalogs(store).await?.catalog;
    let value = match name {
        Name::Support => serde_json::to_value(&used.support),
        Name::Builds => serde_json::to_value(&used.builds),
    };
    value.map_err(|e| StoreError::Damaged(format!("catalogue {}: {e}", name.as_str())))
}

/// A catalogue that was taken in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Imported {
    /// The word it is stored under.
    pub name: String,
    /// Number of the import.
    pub number: i64,
    /// Its version.
    pub version: String,
    /// Whether it is newer than the one built into this program.
    pub in_use: bool,
}

/// Why a catalogue was not taken.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file.
    #[error(transparent)]
    File(#[from] CatalogError),
}

/// What is wrong with a catalogue file, for people.
#[must_use]
pub fn sentence(error: &CatalogError, lang: Lang) -> String {
    match (error, lang) {
        (_, Lang::En) => error.to_string(),
        (CatalogError::TooLarge, Lang::Ja) => "カタログが大きすぎます".into(),
        (CatalogError::Json(what), Lang::Ja) => format!("カタログとして読めません: {what}"),
        (CatalogError::Undated, Lang::Ja) => "カタログの作成日時(compiled_at)がありません".into(),
        (CatalogError::Empty, Lang::Ja) => "カタログに版または項目がありません".into(),
    }
}

/// Which catalogue a file holds, and its version.
fn recognise(bytes: &[u8]) -> std::result::Result<(Name, String), CatalogError> {
    match BuildCatalog::parse(bytes) {
        Ok(builds) => Ok((Name::Builds, builds.version)),
        Err(_) => SupportCatalog::parse(bytes).map(|support| (Name::Support, support.version)),
    }
}

/// Takes a catalogue in; which one it is shows from its content. All hosts are judged again.
pub async fn import(
    store: &Store,
    actor: &Actor,
    bytes: Vec<u8>,
    now: Timestamp,
) -> std::result::Result<Imported, ImportError> {
    let (name, version) = recognise(&bytes)?;
    let number = store.put_catalog(actor, name.stored_as(), bytes, now).await?;
    let used = in_use(store).await?;
    let in_use = used.iter().any(|row| row.name == name && row.number == number);
    Ok(Imported { name: name.stored_as().to_owned(), number, version, in_use })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_told_by_its_content() {
        let data = tenken_shared::catalog::Catalog::embedded();
        let name = |bytes: Vec<u8>| recognise(&bytes).map(|(name, _)| name);
        assert_eq!(name(serde_json::to_vec(&data.support).unwrap()).unwrap(), Name::Support);
        assert_eq!(name(serde_json::to_vec(&data.builds).unwrap()).unwrap(), Name::Builds);
        assert!(name(br#"{"version":"1","compiled_at":"2026-01-01T00:00:00Z"}"#.to_vec()).is_err());
    }
}
