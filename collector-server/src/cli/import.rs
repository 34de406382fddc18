//! `import ledger`: the company's own list of machines, for coverage and confirmation.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde_json::json;

use super::common::{self, OrgArgs};
use super::{Format, output};
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
    org: OrgArgs,
    /// The file; `-` is standard input.
    file: PathBuf,
    /// How to print.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

impl Import {
    /// Runs the command.
    pub async fn run(self) -> anyhow::Result<()> {
        let Self::Ledger(command) = self;
        let machines = ledger::parse(&common::read(&command.file, ledger::MAX_BYTES)?)?;
        let (store, _) = command.org.open().await?;
        let (count, with_serial) = (machines.len(), machines.iter().filter(|e| e.serial.is_some()).count());
        store.put_ledger(&command.org.actor(), machines, Timestamp::now()).await?;
        match command.format {
            Format::Json => output::json(&json!({"machines": count, "with_serial": with_serial})),
            Format::Table => output::text(&format!("{count} machines, {with_serial} with a serial number\n")),
        }
    }
}
