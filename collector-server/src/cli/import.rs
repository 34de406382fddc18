//! `import ledger`: the company's own list of machines, for coverage and confirmation.

use std::path::PathBuf;

use axum::http::Method;
use clap::{Args, Subcommand};
use tenken_shared::text::Lang;

use super::common;
use super::door::DoorArgs;
use super::{Format, output};
use crate::http::policy_api::LedgerImport;
use crate::ledger;

/// Commands that take files in.
#[derive(Debug, Subcommand)]
pub enum Import {
    /// Replaces the ledger by a CSV file (UTF-8 or Shift_JIS).
    Ledger(Ledger),
}

/// Arguments of `import ledger`.
#[derive(Debug, Args)]
pub struct Ledger {
    #[command(flatten)]
    door: DoorArgs,
    /// The file; `-` is standard input.
    file: PathBuf,
    /// How to print.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

impl Import {
    /// Runs the command.
    pub async fn run(self, lang: Lang) -> anyhow::Result<()> {
        let Self::Ledger(command) = self;
        let bytes = common::read(&command.file, ledger::MAX_BYTES as u64, lang)?;
        let door = command.door.open(lang).await?;
        let done: LedgerImport = door.upload(Method::PUT, "/ledger", bytes).await?;
        match (command.format, lang) {
            (Format::Json, _) => output::json(&done),
            (Format::Table, Lang::Ja) => {
                output::text(&format!("{}台、うちシリアル番号あり{}台\n", done.machines, done.with_serial))
            }
            (Format::Table, Lang::En) => output::text(&format!(
                "{} machines, {} with a serial number\n",
                done.machines, done.with_serial
            )),
        }
    }
}
