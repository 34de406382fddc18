//! `catalog`: dated outside data that can be replaced off-line.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use jiff::Timestamp;
use serde_json::json;
use tenken_shared::catalog::builds::BuildCatalog;
use tenken_shared::catalog::{CatalogError, MAX_CATALOG_BYTES, SupportCatalog};

use super::common::{self, OrgArgs};
use super::{Format, output};
use crate::evaluate::{BUILDS_CATALOG, SUPPORT_CATALOG, catalogs};

/// Commands about catalogues.
#[derive(Debug, Subcommand)]
pub enum Catalog {
    /// Prints which catalogue is in use.
    Show(Show),
    /// Takes a catalogue from a JSON file; all hosts are judged again. Which one it is shows from its content.
    Import(Import),
}

/// Which catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Name {
    /// End of support.
    Support,
    /// Security releases of Windows by build.
    Builds,
}

/// Arguments of `catalog show`.
#[derive(Debug, Args)]
pub struct Show {
    #[command(flatten)]
    org: OrgArgs,
    /// Which catalogue.
    #[arg(long, value_enum, default_value = "support")]
    name: Name,
    /// How to print. JSON is the catalogue itself, in the form that `import` takes.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

/// Arguments of `catalog import`.
#[derive(Debug, Args)]
pub struct Import {
    #[command(flatten)]
    org: OrgArgs,
    /// The file; `-` is standard input.
    file: PathBuf,
    /// How to print.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

impl Catalog {
    /// Runs the command.
    pub async fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Show(command) => command.run().await,
            Self::Import(command) => command.run().await,
        }
    }
}

impl Show {
    async fn run(self) -> anyhow::Result<()> {
        let (store, _) = self.org.open().await?;
        let used = catalogs(&store).await?;
        match (self.name, self.format) {
            (Name::Support, Format::Json) => output::json(&used.catalog.support),
            (Name::Builds, Format::Json) => output::json(&used.catalog.builds),
            (Name::Support, Format::Table) => {
                let data = used.catalog.support;
                let cycles: usize = data.products.values().map(Vec::len).sum();
                let counts = [("products", data.products.len().to_string()), ("cycles", cycles.to_string())];
                table((data.version, data.compiled_at, data.source, used.support), counts)
            }
            (Name::Builds, Format::Table) => {
                let data = used.catalog.builds;
                let releases: usize = data.builds.iter().map(|b| b.releases.len()).sum();
                let counts = [("builds", data.builds.len().to_string()), ("releases", releases.to_string())];
                table((data.version, data.compiled_at, data.source, used.builds), counts)
            }
        }
    }
}

fn table(
    (version, compiled, source, number): (String, Option<Timestamp>, String, i64),
    counts: [(&str, String); 2],
) -> anyhow::Result<()> {
    let mut rows = vec![
        ("version", version),
        ("compiled", compiled.map_or_else(|| "-".into(), |at| at.to_string())),
        ("source", source),
    ];
    rows.extend(counts);
    rows.push(("imported as", if number == 0 { "built in".into() } else { number.to_string() }));
    output::table(&["", ""], rows.into_iter().map(|(k, v)| vec![k.to_owned(), v]).collect())
}

/// Which catalogue a file holds, and its version.
fn recognise(bytes: &[u8]) -> Result<(Name, String), CatalogError> {
    match BuildCatalog::parse(bytes) {
        Ok(builds) => Ok((Name::Builds, builds.version)),
        Err(_) => SupportCatalog::parse(bytes).map(|support| (Name::Support, support.version)),
    }
}

impl Import {
    async fn run(self) -> anyhow::Result<()> {
        let bytes = common::read(&self.file, MAX_CATALOG_BYTES as u64)?;
        let (name, version) = recognise(&bytes)?;
        let (store, _) = self.org.open().await?;
        let now = Timestamp::now();
        let stored_as = match name {
            Name::Support => SUPPORT_CATALOG,
            Name::Builds => BUILDS_CATALOG,
        };
        let number = store.put_catalog(&self.org.actor(), stored_as, bytes, now).await?;
        let used = catalogs(&store).await?;
        let in_use = number
            == match name {
                Name::Support => used.support,
                Name::Builds => used.builds,
            };
        if !in_use {
            tracing::warn!("the catalogue built into this program is newer and stays in use");
        }
        match self.format {
            Format::Json => output::json(
                &json!({"name": stored_as, "number": number, "version": version, "in_use": in_use}),
            ),
            Format::Table => output::text(&format!("{number} {version}\n")),
        }
    }
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
