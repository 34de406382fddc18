//! `org`: the organisations of one collector.

use axum::http::Method;
use clap::{Args, Subcommand};
use tenken_shared::ids::OrgId;
use tenken_shared::text::{Lang, Text};

use super::door::DoorArgs;
use super::{Format, output};
use crate::http::people_api::OrgRow;

/// Commands about organisations.
#[derive(Debug, Subcommand)]
pub enum Org {
    /// Adds an organisation. Nothing crosses between organisations but users who have a role in several.
    Add(Add),
    /// Lists organisations.
    List(List),
}

/// Arguments of `org add`.
#[derive(Debug, Args)]
pub struct Add {
    #[command(flatten)]
    door: DoorArgs,
    /// Id, for commands and addresses.
    #[arg(id = "new_org", value_name = "ID")]
    id: OrgId,
    /// Name for people.
    #[arg(long, default_value = "")]
    name: String,
}

/// Arguments of `org list`.
#[derive(Debug, Args)]
pub struct List {
    #[command(flatten)]
    door: DoorArgs,
    /// How to print.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

impl Org {
    /// Runs the command.
    pub async fn run(self, lang: Lang) -> anyhow::Result<()> {
        match self {
            Self::Add(command) => {
                let door = command.door.open(lang).await?;
                let new = OrgRow { id: command.id, name: command.name };
                door.change(Method::POST, "/organisations", &new).await
            }
            Self::List(command) => command.run(lang).await,
        }
    }
}

impl List {
    async fn run(self, lang: Lang) -> anyhow::Result<()> {
        let all: Vec<OrgRow> = self.door.open(lang).await?.get("/organisations").await?;
        if self.format == Format::Json {
            return output::json(&all);
        }
        let head = [Text::new("ID", "id"), Text::new("名前", "name")];
        output::titled(lang, &head, all.into_iter().map(|o| vec![o.id.to_string(), o.name]).collect())
    }
}
