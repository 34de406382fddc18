//! `api-token`: credentials of programs that ask the JSON API.

use axum::http::Method;
use clap::{Args, Subcommand};
use jiff::Timestamp;
use tenken_shared::text::{Lang, Text};

use super::door::{DoorArgs, part};
use super::{Format, common, output};
use crate::http::people_api::{MadeApiToken, NewApiToken};
use crate::user::{ApiTokenRow, Role};

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
    door: DoorArgs,
    /// What it is for.
    #[arg(long)]
    name: String,
    /// What it may do.
    #[arg(long, value_enum, default_value = "auditor")]
    role: Role,
    /// Days until it ends; without it, never.
    #[arg(long)]
    days: Option<u32>,
    /// For what concerns every organisation too: catalogues, new organisations, users of several.
    #[arg(long)]
    everywhere: bool,
    /// How to print.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

/// Arguments of `api-token list`.
#[derive(Debug, Args)]
pub struct List {
    #[command(flatten)]
    door: DoorArgs,
    /// How to print.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

/// Arguments of `api-token revoke`.
#[derive(Debug, Args)]
pub struct Revoke {
    #[command(flatten)]
    door: DoorArgs,
    /// Id of the token.
    id: String,
}

impl ApiToken {
    /// Runs the command.
    pub async fn run(self, lang: Lang) -> anyhow::Result<()> {
        match self {
            Self::Create(command) => command.run(lang).await,
            Self::List(command) => command.run(lang).await,
            Self::Revoke(command) => {
                let door = command.door.open(lang).await?;
                door.change(Method::DELETE, &format!("/api-tokens/{}", part(&command.id)), &()).await
            }
        }
    }
}

impl Create {
    async fn run(self, lang: Lang) -> anyhow::Result<()> {
        let door = self.door.open(lang).await?;
        let (name, role, days, everywhere) = (self.name, self.role, self.days, self.everywhere);
        let new = NewApiToken { name, role, days, everywhere };
        let made: MadeApiToken = door.send(Method::POST, "/api-tokens", &new).await?;
        match self.format {
            Format::Json => output::json(&made),
            Format::Table => output::text(&format!("{}\n", made.token.expose())),
        }
    }
}

impl List {
    async fn run(self, lang: Lang) -> anyhow::Result<()> {
        let tokens: Vec<ApiTokenRow> = self.door.open(lang).await?.get("/api-tokens").await?;
        if self.format == Format::Json {
            return output::json(&tokens);
        }
        let now = Timestamp::now();
        let rows = tokens.iter().map(|t| {
            let ended = t.revoked_at.is_some() || t.expires_at.is_some_and(|at| at <= now);
            let used = t.last_used_at.map_or_else(String::new, |at| at.to_string());
            let state = if ended { Text::new("無効", "ended") } else { Text::new("有効", "valid") };
            let reach = if t.everywhere {
                Text::new("すべての組織", "every organisation")
            } else {
                Text::new("", "")
            };
            vec![
                t.id.clone(),
                t.name.clone(),
                common::word(lang, t.role.as_str(), t.role.title()),
                reach.get(lang).to_owned(),
                state.get(lang).to_owned(),
                used,
            ]
        });
        let head = [
            Text::new("ID", "id"),
            Text::new("用途", "name"),
            Text::new("権限", "role"),
            Text::new("範囲", "reach"),
            Text::new("状態", "state"),
            Text::new("最終使用", "last used"),
        ];
        output::titled(lang, &head, rows.collect())
    }
}
