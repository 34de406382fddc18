//! `api-token`: credentials of programs that ask the JSON API.

use clap::{Args, Subcommand};
use jiff::{SignedDuration, Timestamp};
use tenken_shared::ids::OrgId;

use super::{DEFAULT_ORG, Format, StoreArgs, output};
use crate::http::admin;
use crate::user::{Actor, Role};

/// Commands about API tokens.
#[derive(Debug, Subcommand)]
pub enum ApiToken {
    /// Makes a token and prints it once.
    Create(Create),
    /// Lists tokens, without their secrets.
    List(List),
    /// Ends a token at once.
    Revoke(Revoke),
}

/// Arguments of `api-token create`.
#[derive(Debug, Args)]
pub struct Create {
    #[command(flatten)]
    store: StoreArgs,
    /// Organisation.
    #[arg(long, default_value = DEFAULT_ORG)]
    org: OrgId,
    /// What it is for.
    #[arg(long)]
    name: String,
    /// What it may do.
    #[arg(long, value_enum, default_value = "auditor")]
    role: Role,
    /// Days until it ends; without it, never.
    #[arg(long)]
    days: Option<u32>,
    /// How to print.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

/// Arguments of `api-token list`.
#[derive(Debug, Args)]
pub struct List {
    #[command(flatten)]
    store: StoreArgs,
    /// Organisation.
    #[arg(long, default_value = DEFAULT_ORG)]
    org: OrgId,
    /// How to print.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

/// Arguments of `api-token revoke`.
#[derive(Debug, Args)]
pub struct Revoke {
    #[command(flatten)]
    store: StoreArgs,
    /// Organisation.
    #[arg(long, default_value = DEFAULT_ORG)]
    org: OrgId,
    /// Id of the token.
    id: String,
}

impl ApiToken {
    /// Runs the command.
    pub async fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Create(command) => command.run().await,
            Self::List(command) => command.run().await,
            Self::Revoke(command) => {
                let (store, org) = command.store.open_org(&command.org).await?;
                Ok(store.revoke_api_token(&Actor::command_line(org.id), &command.id).await?)
            }
        }
    }
}

impl Create {
    async fn run(self) -> anyhow::Result<()> {
        let (store, org) = self.store.open_org(&self.org).await?;
        let until = self.days.map(|days| Timestamp::now() + SignedDuration::from_hours(24 * i64::from(days)));
        let actor = Actor::command_line(org.id);
        let (id, token) = admin::make_api_token(&store, &actor, &self.name, self.role, until).await?;
        match self.format {
            Format::Json => output::json(&serde_json::json!({ "id": id, "token": token.expose() })),
            Format::Table => output::text(&format!("{}\n", token.expose())),
        }
    }
}

impl List {
    async fn run(self) -> anyhow::Result<()> {
        let (store, org) = self.store.open_org(&self.org).await?;
        let tokens = store.api_tokens(&org.id).await?;
        if self.format == Format::Json {
            return output::json(&tokens);
        }
        let now = Timestamp::now();
        let rows = tokens.iter().map(|t| {
            let ended = t.revoked_at.is_some() || t.expires_at.is_some_and(|at| at <= now);
            let used = t.last_used_at.map_or_else(String::new, |at| at.to_string());
            let state = if ended { "ended" } else { "valid" };
            vec![t.id.clone(), t.name.clone(), t.role.as_str().to_owned(), state.to_owned(), used]
        });
        output::table(&["id", "name", "role", "state", "last used"], rows.collect())
    }
}
