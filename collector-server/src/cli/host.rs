//! `host`: list, show, confirm, retire, revoke.

use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde_json::json;
use tenken_shared::ids::{HostId, OrgId};

use super::{DEFAULT_ORG, Format, StoreArgs, output};
use crate::store::host::{Host as StoredHost, HostState};
use crate::user::Actor;

/// Commands about hosts.
#[derive(Debug, Subcommand)]
pub enum Host {
    /// Lists hosts.
    List(All),
    /// Shows one host with the state of its facts.
    Show(One),
    /// Confirms that a pending host is the company's.
    Confirm(One),
    /// Takes a host out of service; its reports are refused from now on.
    Retire(One),
    /// Ends the trust in a host's key for good.
    Revoke(One),
}

/// Arguments of `host list`.
#[derive(Debug, Args)]
pub struct All {
    #[command(flatten)]
    store: StoreArgs,
    /// Organisation.
    #[arg(long, default_value = DEFAULT_ORG)]
    org: OrgId,
    /// How to print.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

/// Arguments of the commands about one host.
#[derive(Debug, Args)]
pub struct One {
    #[command(flatten)]
    all: All,
    /// Id or, where only one host has it, name.
    host: String,
}

impl Host {
    /// Runs the command.
    pub async fn run(self) -> anyhow::Result<()> {
        match self {
            Self::List(command) => command.run().await,
            Self::Show(command) => command.show().await,
            Self::Confirm(command) => command.set(HostState::Confirmed).await,
            Self::Retire(command) => command.set(HostState::Retired).await,
            Self::Revoke(command) => command.set(HostState::Revoked).await,
        }
    }
}

fn document(host: &StoredHost) -> serde_json::Value {
    json!({
        "id": host.id, "hostname": host.hostname, "state": host.state, "group": host.group,
        "labels": host.labels, "os_family": host.os_family, "serial": host.serial,
        "agent_version": host.agent_version, "ephemeral": host.ephemeral,
        "cloned_from": host.cloned_from, "enrolled_at": host.enrolled_at, "state_at": host.state_at,
        "state_by": host.state_by, "first_report_at": host.first_report_at,
        "last_report_at": host.last_report_at, "confirmed_at": host.confirmed_at,
        "reports": host.head_seq, "clock_offset_ms": host.offset_ms,
    })
}

fn time(time: Option<Timestamp>) -> String {
    time.map_or_else(|| "-".into(), |t| t.strftime("%F %R UTC").to_string())
}

impl All {
    async fn run(self) -> anyhow::Result<()> {
        let (store, org) = self.store.open_org(&self.org).await?;
        let hosts = store.hosts(org.number).await?;
        if self.format == Format::Json {
            return output::json(&hosts.iter().map(document).collect::<Vec<_>>());
        }
        let rows = hosts.iter().map(|h| {
            vec![
                h.id.to_string(),
                h.hostname.clone(),
                h.state.to_string(),
                h.os_family.clone().unwrap_or_default(),
                h.group.clone().unwrap_or_default(),
                time(h.last_report_at),
            ]
        });
        output::table(&["id", "name", "state", "os", "group", "last report"], rows.collect())
    }
}

impl One {
    async fn find(&self) -> anyhow::Result<(crate::store::Store, StoredHost)> {
        let (store, org) = self.all.store.open_org(&self.all.org).await?;
        if let Ok(id) = self.host.parse::<HostId>()
            && let Some(host) = store.host(org.number, &id).await?
        {
            return Ok((store, host));
        }
        let mut named: Vec<StoredHost> = store.hosts(org.number).await?;
        named.retain(|h| h.hostname == self.host);
        match (named.pop(), named.is_empty()) {
            (Some(host), true) => Ok((store, host)),
            (Some(_), false) => anyhow::bail!("several hosts are named {}; give the id", self.host),
            (None, _) => anyhow::bail!("no host {}", self.host),
        }
    }

    async fn set(self, state: HostState) -> anyhow::Result<()> {
        let (store, host) = self.find().await?;
        let actor = Actor::command_line(self.all.org.clone());
        let host = store.set_host_state(&actor, &host.id, state, Timestamp::now()).await?;
        match self.all.format {
            Format::Json => output::json(&document(&host)),
            Format::Table => output::text(&format!("{} {}\n", host.id, host.state)),
        }
    }

    async fn show(self) -> anyhow::Result<()> {
        let (store, host) = self.find().await?;
        let versions = store.fact_versions(host.at, None).await?;
        let events = store.host_events(host.at, 20).await?;
        if self.all.format == Format::Json {
            let facts: Vec<_> = versions
                .iter()
                .map(|v| {
                    json!({"kind": v.kind, "status": v.status, "digest": v.digest,
                           "collected_at": v.collected_at, "since": v.observed_from})
                })
                .collect();
            let events: Vec<_> = events
                .iter()
                .map(|e| json!({"at": e.recorded_at, "kind": e.kind, "seq": e.seq, "data": e.data}))
                .collect();
            return output::json(&json!({"host": document(&host), "facts": facts, "events": events}));
        }
        let head = [
            ("id", host.id.to_string()),
            ("name", host.hostname.clone()),
            ("state", format!("{} ({}, {})", host.state, host.state_by, time(Some(host.state_at)))),
            ("cloned from", host.cloned_from.as_ref().map_or_else(|| "-".into(), ToString::to_string)),
            ("last report", time(host.last_report_at)),
            ("clock offset", format!("{} ms", host.offset_ms)),
        ];
        output::table(&["", ""], head.iter().map(|(k, v)| vec![(*k).to_owned(), v.clone()]).collect())?;
        let rows = versions
            .iter()
            .map(|v| vec![v.kind.to_string(), v.status.to_string(), time(Some(v.collected_at))]);
        output::table(&["fact", "status", "collected"], rows.collect())?;
        let rows = events.iter().map(|e| vec![time(Some(e.recorded_at)), e.kind.clone(), e.data.to_string()]);
        output::table(&["event at", "kind", "data"], rows.collect())
    }
}
