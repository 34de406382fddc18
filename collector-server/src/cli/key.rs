//! `key` and `ca`: list and rotate.

use clap::{Args, Subcommand};
use jiff::{SignedDuration, Timestamp};
use tenken_shared::text::{Lang, Text};

use super::{DEFAULT_ORG, Format, StoreArgs, output};
use crate::keys::{CA, Keys, SIGN};
use crate::user::Actor;

/// Commands about signing keys.
#[derive(Debug, Subcommand)]
pub enum Key {
    /// Lists signing keys.
    List(List),
    /// Announces a successor and uses it after some days.
    Rotate(Rotate),
}

/// Commands about the authority.
#[derive(Debug, Subcommand)]
pub enum Ca {
    /// Lists authorities.
    List(List),
    /// Prints the certificates of the authorities (PEM), for `--ca` of commands far away and for browsers.
    Show(Show),
    /// Announces a successor and uses it after some days.
    Rotate(Rotate),
}

/// Arguments of `list`.
#[derive(Debug, Args)]
pub struct List {
    #[command(flatten)]
    store: StoreArgs,
    /// How to print.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

/// Arguments of `ca show`.
#[derive(Debug, Args)]
pub struct Show {
    #[command(flatten)]
    store: StoreArgs,
}

/// Arguments of `rotate`.
#[derive(Debug, Args)]
pub struct Rotate {
    #[command(flatten)]
    store: StoreArgs,
    /// Seconds until the successor is used. Agents that do not report in that time must enrol anew;
    /// the default is 30 days.
    #[arg(long, default_value_t = 30 * 24 * 3600)]
    after_s: u32,
}

impl Key {
    /// Runs the command.
    pub async fn run(self, lang: Lang) -> anyhow::Result<()> {
        match self {
            Self::List(command) => command.run(SIGN, lang).await,
            Self::Rotate(command) => command.run(SIGN, lang).await,
        }
    }
}

impl Ca {
    /// Runs the command.
    pub async fn run(self, lang: Lang) -> anyhow::Result<()> {
        match self {
            Self::List(command) => command.run(CA, lang).await,
            Self::Show(command) => command.run().await,
            Self::Rotate(command) => command.run(CA, lang).await,
        }
    }
}

impl List {
    async fn run(self, purpose: &str, lang: Lang) -> anyhow::Result<()> {
        let (version, keys) = self.store.open().await?.collector_keys().await?;
        let keys: Vec<_> = keys.into_iter().filter(|k| k.purpose == purpose).collect();
        if self.format == Format::Json {
            let list: Vec<_> = keys
                .iter()
                .map(|k| {
                    serde_json::json!({"id": k.id, "active_from": k.active_from, "retired_at": k.retired_at})
                })
                .collect();
            return output::json(&serde_json::json!({"trust_version": version, "keys": list}));
        }
        let rows = keys.iter().map(|k| {
            let retired = k.retired_at.map_or_else(|| "-".into(), |t| t.to_string());
            vec![k.id.clone(), k.active_from.to_string(), retired]
        });
        let head = [Text::new("ID", "id"), Text::new("使用開始", "used from"), Text::new("終了", "retired")];
        output::titled(lang, &head, rows.collect())
    }
}

impl Show {
    async fn run(self) -> anyhow::Result<()> {
        let (_, keys) = self.store.open().await?.collector_keys().await?;
        let valid = keys.iter().filter(|k| k.purpose == CA && k.retired_at.is_none());
        let text: Vec<String> = valid
            .filter_map(|k| k.certificate.as_deref())
            .map(|pem| format!("{}\n", pem.trim_end()))
            .collect();
        output::text(&text.concat())
    }
}

impl Rotate {
    async fn run(self, purpose: &'static str, lang: Lang) -> anyhow::Result<()> {
        let now = Timestamp::now();
        let store = self.store.open().await?;
        let keys = Keys::open(store.clone(), None, now).await?;
        let from = now.checked_add(SignedDuration::from_secs(i64::from(self.after_s)))?;
        let actor = Actor::command_line(DEFAULT_ORG.parse()?);
        let version = keys.rotate(&actor, purpose, from, now).await?;
        match lang {
            Lang::Ja => output::text(&format!("信頼情報 {version}: 後継は {from} から使われます\n")),
            Lang::En => output::text(&format!("trust bundle {version}: successor in use from {from}\n")),
        }
    }
}
