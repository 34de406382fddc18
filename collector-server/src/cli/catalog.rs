//! `catalog`: dated outside data that can be replaced off-line.

use std::path::PathBuf;

use axum::http::Method;
use clap::{Args, Subcommand};
use tenken_shared::catalog::MAX_CATALOG_BYTES;
use tenken_shared::text::{Lang, Text};

use super::common;
use super::door::DoorArgs;
use super::{Format, output};
use crate::catalog::{CatalogRow, Imported, Name};

/// Commands about catalogues.
#[derive(Debug, Subcommand)]
pub enum Catalog {
    /// Prints which catalogue is in use.
    Show(Show),
    /// Takes a catalogue from a JSON file; all hosts are judged again. Which one it is shows from its content.
    Import(Import),
}

/// Arguments of `catalog show`.
#[derive(Debug, Args)]
pub struct Show {
    #[command(flatten)]
    door: DoorArgs,
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
    door: DoorArgs,
    /// The file; `-` is standard input.
    file: PathBuf,
    /// How to print.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

impl Catalog {
    /// Runs the command.
    pub async fn run(self, lang: Lang) -> anyhow::Result<()> {
        match self {
            Self::Show(command) => command.run(lang).await,
            Self::Import(command) => command.run(lang).await,
        }
    }
}

impl Show {
    async fn run(self, lang: Lang) -> anyhow::Result<()> {
        let door = self.door.open(lang).await?;
        if self.format == Format::Json {
            let path = format!("/catalogs/{}", self.name.as_str());
            return output::json(&door.get::<serde_json::Value>(&path).await?);
        }
        let all: Vec<CatalogRow> = door.get("/catalogs").await?;
        let rows = all.into_iter().filter(|row| row.name == self.name).flat_map(|row| about(lang, row));
        output::table(&["", ""], rows.collect())
    }
}

fn about(lang: Lang, row: CatalogRow) -> Vec<Vec<String>> {
    let (products, entries) = match row.name {
        Name::Support => (Text::new("製品", "products"), Text::new("サポート期間", "cycles")),
        Name::Builds => (Text::new("ビルド", "builds"), Text::new("リリース", "releases")),
    };
    let number = match row.number {
        0 => Text::new("組込み", "built in").get(lang).to_owned(),
        number => number.to_string(),
    };
    let pairs = [
        (Text::new("版", "version"), row.version),
        (Text::new("作成日時", "compiled"), row.compiled_at.map_or_else(|| "-".into(), |at| at.to_string())),
        (Text::new("出典", "source"), row.source),
        (products, row.products.to_string()),
        (entries, row.entries.to_string()),
        (Text::new("取込番号", "imported as"), number),
    ];
    pairs.into_iter().map(|(title, value)| vec![title.get(lang).to_owned(), value]).collect()
}

impl Import {
    async fn run(self, lang: Lang) -> anyhow::Result<()> {
        let bytes = common::read(&self.file, MAX_CATALOG_BYTES as u64, lang)?;
        let door = self.door.open(lang).await?;
        let done: Imported = door.upload(Method::POST, "/catalogs", bytes).await?;
        if !done.in_use {
            let text = Text::new(
                "このプログラムに組み込まれたカタログのほうが新しいため、引き続きそちらを使います。",
                "the catalogue built into the collector is newer and stays in use",
            );
            eprintln!("{}", text.get(lang));
        }
        match self.format {
            Format::Json => output::json(&done),
            Format::Table => output::text(&format!("{} {}\n", done.number, done.version)),
        }
    }
}
