//! `token`: enrolment tokens.

use clap::{Args, Subcommand};
use jiff::{SignedDuration, Timestamp};
use tenken_shared::ids::OrgId;

use super::{DEFAULT_ORG, Format, StoreArgs, output};
use crate::enrol::{TokenSpec, URL_SETTING, create_token};
use crate::keys::Keys;
use crate::user::Actor;

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
    store: StoreArgs,
    /// Organisation.
    #[arg(long, default_value = DEFAULT_ORG)]
    org: OrgId,
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
    store: StoreArgs,
    /// Organisation.
    #[arg(long, default_value = DEFAULT_ORG)]
    org: OrgId,
    /// How to print.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

/// Arguments of `token revoke`.
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

impl Token {
    /// Runs the command.
    pub async fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Create(command) => command.run().await,
            Self::List(command) => command.run().await,
            Self::Revoke(command) => {
                let (store, org) = command.store.open_org(&command.org).await?;
                let actor = Actor::command_line(org.id);
                Ok(store.revoke_token(&actor, &command.id, Timestamp::now()).await?)
            }
        }
    }
}

impl Create {
    async fn run(self) -> anyhow::Result<()> {
        let now = Timestamp::now();
        let (store, org) = self.store.open_org(&self.org).await?;
        let config = self.store.config()?;
        let own_ca = match (&config.tls_certificate, &config.tls_key) {
            (Some(chain), Some(key)) => Some(crate::tls::from_files(chain, key)?.1),
            _ => None,
        };
        let keys = Keys::open(store.clone(), own_ca, now).await?;
        let mut urls = self.url;
        if urls.is_empty() {
            urls.extend(config.public_url.or(store.setting(URL_SETTING).await?));
        }
        anyhow::ensure!(!urls.is_empty(), "name the collector's address with --url");
        let spec = TokenSpec {
            label: self.label,
            group: self.group,
            ephemeral: self.ephemeral,
            address_range: self.range,
            valid_for: SignedDuration::from_hours(24 * i64::from(self.days)),
            max_uses: i64::from(self.uses),
            urls,
        };
        let (token, text) = create_token(&store, &keys, &Actor::command_line(org.id), spec, now).await?;
        match self.format {
            Format::Json => output::json(&serde_json::json!({
                "id": token.id, "token": text, "expires_at": token.expires_at, "max_uses": token.max_uses,
            })),
            Format::Table => output::text(&format!("{text}\n")),
        }
    }
}

impl List {
    async fn run(self) -> anyhow::Result<()> {
        let (store, org) = self.store.open_org(&self.org).await?;
        let tokens = store.tokens(org.number).await?;
        if self.format == Format::Json {
            return output::json(&tokens);
        }
        let now = Timestamp::now();
        let rows = tokens.iter().map(|t| {
            vec![
                t.id.clone(),
                t.label.clone(),
                t.group.clone().unwrap_or_default(),
                format!("{}/{}", t.uses, t.max_uses),
                t.expires_at.strftime("%F %R UTC").to_string(),
                if t.is_open(now) { "open" } else { "closed" }.to_owned(),
            ]
        });
        output::table(&["id", "label", "group", "uses", "expires", "state"], rows.collect())
    }
}
