//! `catalog`: dated outside data that can be replaced off-line.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde_json::json;
use tenken_shared::catalog::{MAX_CATALOG_BYTES, SupportCatalog};

use super::common::{self, ACTOR, OrgArgs};
use super::{Format, output};
use crate::evaluate::{SUPPORT_CATALOG, catalogs};

/// Commands about catalogues.
#[derive(Debug, Subcommand)]
pub enum Catalog {
    /// Prints which end-of-support catalogue is in use.
    Show(Show),
    /// Takes an end-of-support catalogue from a JSON file; all hosts are judged again.
    Import(Import),
}

/// Arguments of `catalog show`.
#[derive(Debug, Args)]
pub struct Show {
    #[command(flatten)]
    org: OrgArgs,
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
        let (catalog, number) = catalogs(&store).await?;
        if self.format == Format::Json {
            return output::json(&catalog.support);
        }
        let support = catalog.support;
        let cycles: usize = support.products.values().map(Vec::len).sum();
        let rows = [
            ("version", support.version),
            ("compiled", support.compiled_at.map_or_else(|| "-".into(), |at| at.to_string())),
            ("source", support.source),
            ("products", support.products.len().to_string()),
            ("cycles", cycles.to_string()),
            ("imported as", if number == 0 { "built in".into() } else { number.to_string() }),
        ];
        output::table(&["", ""], rows.into_iter().map(|(k, v)| vec![k.to_owned(), v]).collect())
    }
}

impl Import {
    async fn run(self) -> anyhow::Result<()> {
        let bytes = common::read(&self.file, MAX_CATALOG_BYTES as u64)?;
        let support = SupportCatalog::parse(&bytes)?;
        let (store, _) = self.org.open().await?;
        let now = Timestamp::now();
        let number = store.put_catalog(SUPPORT_CATALOG, bytes, ACTOR, now).await?;
        for org in store.organisations().await? {
            store.mark_all_due(org.number, now, "catalog").await?;
        }
        let in_use = catalogs(&store).await?.1 == number;
        if !in_use {
            tracing::warn!("the catalogue built into this program is newer and stays in use");
        }
        match self.format {
            Format::Json => {
                output::json(&json!({"number": number, "version": support.version, "in_use": in_use}))
            }
            Format::Table => output::text(&format!("{} {}\n", number, support.version)),
        }
    }
}
