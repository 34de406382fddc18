//! `policy`: what is collected and judged by; every change makes a new version.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde_json::json;
use tenken_shared::policy::Policy;

use super::common::{self, OrgArgs};
use super::{Format, output};

/// Largest policy file, bytes.
const MAX_BYTES: u64 = 4 * 1024 * 1024;

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
    org: OrgArgs,
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
    org: OrgArgs,
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
    org: OrgArgs,
    /// How to print.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

impl PolicyCommand {
    /// Runs the command.
    pub async fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Show(command) => command.run().await,
            Self::Set(command) => command.run().await,
            Self::History(command) => command.run().await,
        }
    }
}

impl Show {
    async fn run(self) -> anyhow::Result<()> {
        let (store, org) = self.org.open().await?;
        let envelope = match self.version {
            None => store.policy(org.number).await?,
            Some(version) => store
                .policy_version(org.number, version)
                .await?
                .ok_or_else(|| anyhow::anyhow!("no policy version {version}"))?,
        };
        match self.format {
            Format::Json => output::json(&envelope),
            Format::Table => {
                let text = toml::to_string_pretty(&envelope.policy)?;
                output::text(&format!("# version {}\n{text}", envelope.version))
            }
        }
    }
}

/// Reads a policy; a time zone that does not exist is found here and not at the next judgement.
fn parse(bytes: &[u8]) -> anyhow::Result<Policy> {
    let text = std::str::from_utf8(bytes)?.trim_start_matches('\u{feff}');
    let policy: Policy =
        if text.trim_start().starts_with('{') { serde_json::from_str(text)? } else { toml::from_str(text)? };
    jiff::tz::TimeZone::get(&policy.time_zone)
        .map_err(|_| anyhow::anyhow!("time_zone {:?} is not known", policy.time_zone))?;
    let rule = policy.removable.usb_storage.as_deref();
    let known = rule.is_none_or(|r| matches!(r, "blocked" | "read_only" | "allow_list"));
    anyhow::ensure!(known, "removable.usb_storage is blocked, read_only or allow_list");
    policy.check()?;
    Ok(policy)
}

impl Set {
    async fn run(self) -> anyhow::Result<()> {
        let policy = parse(&common::read(&self.file, MAX_BYTES)?)?;
        let (store, _) = self.org.open().await?;
        let envelope = store.set_policy(&self.org.actor(), &policy, Timestamp::now()).await?;
        match self.format {
            Format::Json => output::json(&json!({"version": envelope.version})),
            Format::Table => output::text(&format!("version {}\n", envelope.version)),
        }
    }
}

impl History {
    async fn run(self) -> anyhow::Result<()> {
        let (store, org) = self.org.open().await?;
        let versions = store.policy_history(org.number).await?;
        if self.format == Format::Json {
            return output::json(&versions);
        }
        let rows = versions
            .iter()
            .map(|v| vec![v.version.to_string(), v.created_at.to_string(), v.created_by.clone()]);
        output::table(&["version", "at", "by"], rows.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_read_as_json_and_toml_and_mistakes_are_named() {
        assert_eq!(parse(b"{}").unwrap(), Policy::default());
        assert_eq!(parse(b"[patch]\ndays = 7\n").unwrap().patch.days, 7);
        for wrong in [
            r#"{"time_zone": "Asia/Nowhere"}"#,
            r#"{"patch": {"dayz": 7}}"#,
            r#"{"removable": {"usb_storage": "blokced"}}"#,
            r#"{"backup": {"targets": [{"name": "x", "frequency_h": 0}]}}"#,
        ] {
            assert!(parse(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
