//! Catalogues: dated outside facts (end of support, builds, severities). Knows no source of them: a
//! catalogue is handed in as data, and its date travels with every verdict that rests on it.

pub mod builds;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use builds::BuildCatalog;

/// All catalogues a judgement may use.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Catalog {
    /// End of support.
    pub support: SupportCatalog,
    /// Security releases of Windows by build.
    #[serde(skip_serializing_if = "BuildCatalog::is_empty")]
    pub builds: BuildCatalog,
}

/// End-of-support dates by product and cycle.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SupportCatalog {
    /// Version of the data file.
    pub version: String,
    /// When the data were compiled. Verdicts turn `unknown` when this is too old.
    pub compiled_at: Option<Timestamp>,
    /// Where the dates come from.
    pub source: String,
    /// Product (os-release `ID`, `windows`, `macos`, or a software key) to cycles.
    pub products: BTreeMap<String, Vec<SupportCycle>>,
    /// Applications and middleware that come from their vendor and not with a distribution.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub software: Vec<TitleCycle>,
}

/// Titles of installed software that share an end of support.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TitleCycle {
    /// Name, in which `*` stands for any run of characters.
    pub name: String,
    /// Version prefix, where the name does not tell the release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Last day with security updates for everyone.
    pub support_end: Date,
}

/// One release cycle of a product.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SupportCycle {
    /// Version prefix that selects it (`12`, `22.04`), the build of Windows (`26100`), or `*` for a rolling
    /// release.
    pub cycle: String,
    /// Editions it is limited to, joined by `|`, where support differs (`Core|Professional`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edition: Option<String>,
    /// Last day with security updates for everyone; `None`: no end was announced when the data were compiled.
    pub support_end: Option<Date>,
    /// Last day of extended or paid security updates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extended_end: Option<Date>,
}

static EMBEDDED: LazyLock<Catalog> = LazyLock::new(|| Catalog {
    support: serde_json::from_str(include_str!("../catalogs/support.json")).unwrap_or_default(),
    builds: serde_json::from_str(include_str!("../catalogs/builds.json")).unwrap_or_default(),
});

impl Catalog {
    /// The catalogues this program was built with; any of them can be replaced by newer data.
    #[must_use]
    pub fn embedded() -> &'static Self {
        &EMBEDDED
    }
}

/// Largest catalogue file that is read, bytes.
pub const MAX_CATALOG_BYTES: usize = 8 * 1024 * 1024;

impl SupportCatalog {
    /// Reads a catalogue file. It must say when it was compiled, and hold at least one product.
    pub fn parse(text: &[u8]) -> Result<Self, CatalogError> {
        if text.len() > MAX_CATALOG_BYTES {
            return Err(CatalogError::TooLarge);
        }
        let catalog: Self = serde_json::from_slice(text)?;
        if catalog.compiled_at.is_none() {
            return Err(CatalogError::Undated);
        }
        if catalog.version.is_empty() || catalog.products.values().all(Vec::is_empty) {
            return Err(CatalogError::Empty);
        }
        Ok(catalog)
    }

    /// The cycle of `product` that the version belongs to. The longest fitting cycle wins, and among
    /// equal ones the one that names the edition.
    #[must_use]
    pub fn find(&self, product: &str, version: &str, edition: Option<&str>) -> Option<&SupportCycle> {
        self.products
            .get(product)?
            .iter()
            .filter(|c| c.cycle == "*" || is_version_prefix(&c.cycle, version))
            .filter(|c| c.edition.as_deref().is_none_or(|names| edition.is_some_and(|e| is_one_of(names, e))))
            .max_by_key(|c| (c.cycle != "*", c.cycle.len(), c.edition.is_some()))
    }

    /// What is known of an installed title; of several entries that fit, the one that says most of it.
    #[must_use]
    pub fn title(&self, name: &str, version: &str) -> Option<&TitleCycle> {
        let fits = |t: &&TitleCycle| {
            crate::text::fits(&t.name, name)
                && t.version.as_deref().is_none_or(|cycle| is_version_prefix(cycle, version))
        };
        let says = |t: &&TitleCycle| t.name.len() + t.version.as_deref().map_or(0, str::len);
        self.software.iter().filter(fits).max_by_key(says)
    }

    /// Whether the catalogue knows the product at all.
    #[must_use]
    pub fn knows(&self, product: &str) -> bool {
        self.products.contains_key(product)
    }
}

/// Why a catalogue file is refused.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// Over [`MAX_CATALOG_BYTES`].
    #[error("catalogue is larger than {MAX_CATALOG_BYTES} bytes")]
    TooLarge,
    /// Not of the expected shape.
    #[error("catalogue is not valid: {0}")]
    Json(#[from] serde_json::Error),
    /// Its age cannot be judged.
    #[error("catalogue does not say when it was compiled (compiled_at)")]
    Undated,
    /// Nothing in it.
    #[error("catalogue has no version or no entries")]
    Empty,
}

fn is_one_of(names: &str, edition: &str) -> bool {
    names.split('|').any(|name| name.eq_ignore_ascii_case(edition))
}

/// `3.2` is a prefix of `3.2` and `3.2.1`, not of `3.20`.
fn is_version_prefix(cycle: &str, version: &str) -> bool {
    version.strip_prefix(cycle).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn embedded_catalogue_reads_and_is_dated() {
        let bytes = serde_json::to_vec(&Catalog::embedded().support).unwrap();
        let support = SupportCatalog::parse(&bytes).unwrap();
        assert!(support.products.len() > 15);
    }

    #[test]
    fn cycle_is_found_by_whole_version_parts_and_edition() {
        let support = &Catalog::embedded().support;
        let end = |product: &str, version: &str, edition: Option<&str>| {
            support.find(product, version, edition).and_then(|c| c.support_end).map(|d| d.to_string())
        };
        assert_eq!(end("debian", "12", None).as_deref(), Some("2028-06-30"));
        assert_eq!(end("alpine", "3.2.3", None).as_deref(), Some("2017-05-01"), "3.2 is not 3.20");
        assert_eq!(end("alpine", "3.20.3", None).as_deref(), Some("2026-04-01"));
        assert_eq!(end("windows", "26100.2314", Some("Professional")).as_deref(), Some("2026-10-13"));
        assert_eq!(end("windows", "26100.2314", Some("Enterprise")).as_deref(), Some("2027-10-12"));
        assert_eq!(end("windows", "26100.2314", None), None, "editions differ, so none may be guessed");
        assert!(support.find("arch", "", None).is_some());
    }

    #[test]
    fn undated_or_empty_catalogue_is_refused() {
        assert!(matches!(SupportCatalog::parse(b"{\"version\":\"x\"}"), Err(CatalogError::Undated)));
        let empty = br#"{"version":"x","compiled_at":"2026-01-01T00:00:00Z"}"#;
        assert!(matches!(SupportCatalog::parse(empty), Err(CatalogError::Empty)));
    }
}
