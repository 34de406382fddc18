//! `query`: read-only SQL over the published views.

use clap::Args;
use tenken_shared::ids::OrgId;

use super::{DEFAULT_ORG, StoreArgs, output};
use crate::export::Format;
use crate::store::sandbox::Limits;
use crate::store::view;

/// Arguments of `query`.
#[derive(Debug, Args)]
#[command(after_help = views())]
pub struct Query {
    #[command(flatten)]
    store: StoreArgs,
    /// Organisation.
    #[arg(long, default_value = DEFAULT_ORG)]
    org: OrgId,
    /// One SELECT, for example "select name, os_name from hosts".
    sql: String,
    /// How to print.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

/// The views and what they hold, for the help text.
fn views() -> String {
    let lines: Vec<String> = view::ALL.iter().map(|v| format!("  {:<10} {}", v.name, v.about)).collect();
    format!("Published views:\n{}", lines.join("\n"))
}

impl Query {
    /// Runs the command.
    pub async fn run(self) -> anyhow::Result<()> {
        let (store, org) = self.store.open_org(&self.org).await?;
        let table = store.run_sql(&org.id, &self.sql, Limits::default()).await?;
        if table.truncated {
            eprintln!("only the first {} rows are shown", table.rows.len());
        }
        match self.format {
            Format::Json => output::json(&table.to_objects()),
            Format::Csv => output::text(&table.to_csv()),
            Format::Table => output::text(&table.to_text()),
        }
    }
}
