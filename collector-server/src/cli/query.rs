//! `query`: read-only SQL over the published views.

use axum::http::Method;
use clap::Args;
use tenken_shared::text::{Lang, Text};

use super::door::DoorArgs;
use super::output;
use crate::export::{Format, Table};
use crate::http::query_api::SqlRequest;
use crate::store::view;

/// Arguments of `query`.
#[derive(Debug, Args)]
#[command(after_help = views())]
pub struct Query {
    #[command(flatten)]
    door: DoorArgs,
    /// One SELECT, for example "select name, os_name from hosts".
    sql: String,
    /// How to print.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

/// The views and what they hold, for the help text.
fn views() -> String {
    let lines: Vec<String> = view::ALL.iter().map(|v| format!("  {:<10} {}", v.name, v.title.en)).collect();
    format!("Published views:\n{}", lines.join("\n"))
}

impl Query {
    /// Runs the command.
    pub async fn run(self, lang: Lang) -> anyhow::Result<()> {
        let door = self.door.open(lang).await?;
        let question = SqlRequest { sql: self.sql, format: None };
        let table: Table = door.send(Method::POST, "/sql", &question).await?;
        if table.truncated {
            let text = Text::new("先頭の{}行だけを表示します。", "only the first {} rows are shown");
            eprintln!("{}", text.get(lang).replace("{}", &table.rows.len().to_string()));
        }
        match self.format {
            Format::Json => output::json(&table.to_objects()),
            Format::Csv => output::text(&table.to_csv()),
            Format::Table => output::text(&table.to_text()),
        }
    }
}
