//! `policy`: what is collected and judged by; every change makes a new version.

use std::path::PathBuf;

use axum::http::Method;
use clap::{Args, Subcommand};
use serde_json::json;
use tenken_shared::policy::PolicyEnvelope;
use tenken_shared::text::{Lang, Text};

use super::common;
use super::door::DoorArgs;
use super::{Format, output};
use crate::audit::actor_title;
use crate::policy;
use crate::store::policy::PolicyVersion;

/// Commands about the policy.
#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// Prints the policy in force, or an older version.
    Show(Show),
    /// Puts a new version in force from a JSON or TOML file; `-` is standard input.
    Set(Set),
    /// Lists the versions.
    History(History),
}

/// Arguments of `policy show`.
#[derive(Debug, Args)]
pub struct Show {
    #[command(flatten)]
    door: DoorArgs,
    /// Version. Default: the one in force.
    #[arg(long)]
    version: Option<u64>,
    /// How to print.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

/// Arguments of `policy set`.
#[derive(Debug, Args)]
pub struct Set {
    #[command(flatten)]
    door: DoorArgs,
    /// JSON or TOML; members that are absent take their default, unknown ones are an error.
    file: PathBuf,
    /// How to print.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

/// Arguments of `policy history`.
#[derive(Debug, Args)]
pub struct History {
    #[command(flatten)]
    door: DoorArgs,
    /// How to print.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

impl PolicyCommand {
    /// Runs the command.
    pub async fn run(self, lang: Lang) -> anyhow::Result<()> {
        match self {
            Self::Show(command) => command.run(lang).await,
            Self::Set(command) => command.run(lang).await,
            Self::History(command) => command.run(lang).await,
        }
    }
}

impl Show {
    async fn run(self, lang: Lang) -> anyhow::Result<()> {
        let path =
            self.version.map_or_else(|| "/policy".into(), |version| format!("/policy?version={version}"));
        let envelope: PolicyEnvelope = self.door.open(lang).await?.get(&path).await?;
        match self.format {
            Format::Json => output::json(&envelope),
            Format::Table => {
                let title = Text::new("版", "version").get(lang);
                let text = toml::to_string_pretty(&envelope.policy)?;
                output::text(&format!("# {title} {}\n{text}", envelope.version))
            }
        }
    }
}

impl Set {
    async fn run(self, lang: Lang) -> anyhow::Result<()> {
        let bytes = common::read(&self.file, policy::MAX_BYTES as u64, lang)?;
        let door = self.door.open(lang).await?;
        let envelope: PolicyEnvelope = door.upload(Method::PUT, "/policy", bytes).await?;
        match self.format {
            Format::Json => output::json(&json!({"version": envelope.version})),
            Format::Table => {
                output::text(&format!("{} {}\n", Text::new("版", "version").get(lang), envelope.version))
            }
        }
    }
}

impl History {
    async fn run(self, lang: Lang) -> anyhow::Result<()> {
        let versions: Vec<PolicyVersion> = self.door.open(lang).await?.get("/policy/history").await?;
        if self.format == Format::Json {
            return output::json(&versions);
        }
        let rows = versions
            .iter()
            .map(|v| vec![v.version.to_string(), v.created_at.to_string(), actor_title(&v.created_by, lang)]);
        let head = [Text::new("版", "version"), Text::new("日時", "at"), Text::new("だれが", "by")];
        output::titled(lang, &head, rows.collect())
    }
}
