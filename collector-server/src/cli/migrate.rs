//! `migrate`: schema only.

use clap::Args;
use tenken_shared::text::{Lang, Text};

use super::{StoreArgs, output};
use crate::store::EngineKind;

/// Arguments of `migrate`.
#[derive(Debug, Args)]
pub struct Migrate {
    #[command(flatten)]
    store: StoreArgs,
}

impl Migrate {
    /// Opening the store applies what is missing.
    pub async fn run(self, lang: Lang) -> anyhow::Result<()> {
        let engine = match self.store.open().await?.engine() {
            EngineKind::Sqlite => "SQLite",
            EngineKind::Postgres => "PostgreSQL",
        };
        let done = Text::new("データベースの構造は最新です。", "The schema is up to date.");
        output::text(&format!("{engine}: {}\n", done.get(lang)))
    }
}
