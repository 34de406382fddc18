//! `org`: the organisations of one collector.

use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde_json::json;
use tenken_shared::ids::OrgId;

use super::{Format, StoreArgs, output};
use crate::user::Actor;

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
    store: StoreArgs,
    /// Id, for commands and addresses.
    id: OrgId,
    /// Name for people.
    #[arg(long, default_value = "")]
    name: String,
}

/// Arguments of `org list`.
#[derive(Debug, Args)]
pub struct List {
    #[command(flatten)]
    store: StoreArgs,
    /// How to print.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

impl Org {
    /// Runs the command.
    pub async fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Add(command) => {
                let store = command.store.open().await?;
                let actor = Actor::command_line(command.id);
                store.create_org(&actor, &command.name, Timestamp::now()).await?;
                Ok(())
            }
            Self::List(command) => command.run().await,
        }
    }
}

impl List {
    async fn run(self) -> anyhow::Result<()> {
        let all = self.store.open().await?.organisations().await?;
        if self.format == Format::Json {
            return output::json(
                &all.iter().map(|o| json!({"id": o.id, "name": o.name})).collect::<Vec<_>>(),
            );
        }
        output::table(&["id", "name"], all.into_iter().map(|o| vec![o.id.to_string(), o.name]).collect())
    }
}
