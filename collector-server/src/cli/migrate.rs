//! `migrate`: schema only.

use clap::Args;

use super::StoreArgs;

/// Arguments of `migrate`.
#[derive(Debug, Args)]
pub struct Migrate {
    #[command(flatten)]
    store: StoreArgs,
}

impl Migrate {
    /// Opening the store applies what is missing.
    pub async fn run(self) -> anyhow::Result<()> {
        let store = self.store.open().await?;
        tracing::info!(engine = ?store.engine(), "the schema is up to date");
        Ok(())
    }
}
