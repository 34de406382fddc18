//! `query`: read-only SQL over the published views.

use axum::http::Method;
use clap::Args;
use tenken_shared::text::{Lang, Text};

use super::door::DoorArgs;
use super::output;
use crate::export::{CUT, Format, Table};
use crate::http::query_api::SqlRequest;
use crate::store::view;

/// Arguments of `query`.
#[derive(Debug, Args)]
#[command(after_help = views(Lang::En))]
pub struct Query {
    #[command(flatten)]
    door: DoorArgs,
    /// One SELECT, for example 'select name, os_name from hosts'.
    sql: String,
    /// How to print.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

/// The views and what they hold, for the help text.
pub(super) fn views(lang: Lang) -> String {
    let head = Text::new("公開ビュー:", "Published views:");
    let line = |v: &view::View| format!("\n  {:<10} {}", v.name, v.title.get(lang));
    head.get(lang).to_owned() + &view::ALL.iter().map(line).collect::<String>()
}

impl Query {
    /// Runs the command.
    pub async fn run(self, lang: Lang) -> anyhow::Result<()> {
        let door = self.door.open(lang).await?;
        let question = SqlRequest { sql: self.sql, format: None };
        let table: Table = door.send(Method::POST, "/sql", &question).await?;
        if table.truncated {
            eprintln!("{}", CUT.get(lang).replace("{}", &table.rows.len().to_string()));
        }
        match self.format {
            Format::Json => output::json(&table.to_objects()),
            Format::Csv => output::text(&table.to_csv()),
            Format::Table => output::text(&table.to_text()),
        }
    }
}
