//! `token`: enrolment tokens.

use axum::http::Method;
use clap::{Args, Subcommand};
use jiff::Timestamp;
use tenken_shared::text::{Lang, Text};

use super::door::{DoorArgs, part};
use super::{Format, output};
use crate::http::admin::{MadeEnrolToken, NewEnrolToken};
use crate::store::token::Token as Kept;

/// Commands about tokens.
#[derive(Debug, Subcommand)]
pub enum Token {
    /// Makes a token and prints it once.
    Create(Create),
    /// Lists tokens.
    List(List),
    /// Takes a token back; hosts already enrolled stay.
    Revoke(Revoke),
}

/// Arguments of `token create`.
#[derive(Debug, Args)]
pub struct Create {
    #[command(flatten)]
    door: DoorArgs,
    /// Days until it ends.
    #[arg(long, default_value_t = 7)]
    days: u32,
    /// How many hosts may use it. Hosts of a token for one are confirmed at once.
    #[arg(long, default_value_t = 1)]
    uses: u32,
    /// Group its hosts join.
    #[arg(long)]
    group: Option<String>,
    /// For pooled virtual desktops: every start may become a host of its own.
    #[arg(long)]
    ephemeral: bool,
    /// Addresses it may be used from, for example 192.168.1.0/24.
    #[arg(long)]
    range: Option<String>,
    /// What it is for.
    #[arg(long, default_value = "")]
    label: String,
    /// Address of the collector for the agents; several in order of preference. Default: what `serve` used last.
    #[arg(long)]
    url: Vec<String>,
    /// How to print.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

/// Arguments of `token list`.
#[derive(Debug, Args)]
pub struct List {
    #[command(flatten)]
    door: DoorArgs,
    /// How to print.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

/// Arguments of `token revoke`.
#[derive(Debug, Args)]
pub struct Revoke {
    #[command(flatten)]
    door: DoorArgs,
    /// Id of the token.
    id: String,
}

impl Token {
    /// Runs the command.
    pub async fn run(self, lang: Lang) -> anyhow::Result<()> {
        match self {
            Self::Create(command) => command.run(lang).await,
            Self::List(command) => command.run(lang).await,
            Self::Revoke(command) => {
                let door = command.door.open(lang).await?;
                door.change(Method::DELETE, &format!("/tokens/{}", part(&command.id)), &()).await
            }
        }
    }
}

impl Create {
    async fn run(self, lang: Lang) -> anyhow::Result<()> {
        let door = self.door.open(lang).await?;
        let mut urls = self.url;
        if urls.is_empty() {
            urls.extend(door.public_url.clone());
        }
        let new = NewEnrolToken {
            label: self.label,
            uses: self.uses,
            hours: self.days.saturating_mul(24),
            group: self.group,
            ephemeral: self.ephemeral,
            address_range: self.range,
            urls,
        };
        let made: MadeEnrolToken = door.send(Method::POST, "/tokens", &new).await?;
        match self.format {
            Format::Json => output::json(&made),
            Format::Table => output::text(&format!("{}\n", made.token.expose())),
        }
    }
}

impl List {
    async fn run(self, lang: Lang) -> anyhow::Result<()> {
        let tokens: Vec<Kept> = self.door.open(lang).await?.get("/tokens").await?;
        if self.format == Format::Json {
            return output::json(&tokens);
        }
        let now = Timestamp::now();
        let rows = tokens.iter().map(|t| {
            let state =
                if t.is_open(now) { Text::new("使用可", "open") } else { Text::new("終了", "closed") };
            vec![
                t.id.clone(),
                t.label.clone(),
                t.group.clone().unwrap_or_default(),
                format!("{}/{}", t.uses, t.max_uses),
                t.expires_at.strftime("%F %R UTC").to_string(),
                state.get(lang).to_owned(),
            ]
        });
        let head = [
            Text::new("ID", "id"),
            Text::new("用途", "label"),
            Text::new("グループ", "group"),
            Text::new("使用回数", "uses"),
            Text::new("期限", "expires"),
            Text::new("状態", "state"),
        ];
        output::titled(lang, &head, rows.collect())
    }
}
