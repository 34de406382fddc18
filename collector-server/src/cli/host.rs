//! `host`: list, show, confirm, retire, revoke.

use axum::http::Method;
use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;
use tenken_shared::text::{Lang, Text};

use super::door::{Door, DoorArgs, part};
use super::{Format, common, output};
use crate::audit::actor_title;
use crate::http::query_api::{EventRow, FactState};
use crate::query::{HostRow, MAX_PAGE, Page};

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
    door: DoorArgs,
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
    pub async fn run(self, lang: Lang) -> anyhow::Result<()> {
        match self {
            Self::List(command) => command.run(lang).await,
            Self::Show(command) => command.show(lang).await,
            Self::Confirm(command) => command.set("confirm", lang).await,
            Self::Retire(command) => command.set("retire", lang).await,
            Self::Revoke(command) => command.set("revoke", lang).await,
        }
    }
}

fn document(host: &HostRow) -> serde_json::Value {
    json!({
        "id": host.host, "hostname": host.name, "state": host.state, "group": host.group,
        "labels": host.labels, "os_family": host.os_family, "serial": host.serial,
        "agent_version": host.agent_version, "ephemeral": host.ephemeral,
        "cloned_from": host.cloned_from, "enrolled_at": host.enrolled_at, "state_at": host.state_at,
        "state_by": host.state_by, "first_report_at": host.first_report_at,
        "last_report_at": host.last_report_at, "confirmed_at": host.confirmed_at,
        "reports": host.reports, "clock_offset_ms": host.clock_offset_ms,
    })
}

fn time(time: Option<Timestamp>) -> String {
    time.map_or_else(|| "-".into(), |t| t.strftime("%F %R UTC").to_string())
}

fn state(host: &HostRow, lang: Lang) -> String {
    common::word(lang, host.state.as_str(), crate::ui::host_state_title(host.state))
}

/// Every host, page by page.
async fn all(door: &Door) -> anyhow::Result<Vec<HostRow>> {
    let mut hosts = Vec::new();
    let mut after = String::new();
    loop {
        let page: Page<HostRow> = door.get(&format!("/hosts?limit={MAX_PAGE}&after={after}")).await?;
        hosts.extend(page.items);
        match page.next {
            Some(next) => after = next,
            None => return Ok(hosts),
        }
    }
}

impl All {
    async fn run(self, lang: Lang) -> anyhow::Result<()> {
        let hosts = all(&self.door.open(lang).await?).await?;
        if self.format == Format::Json {
            return output::json(&hosts.iter().map(document).collect::<Vec<_>>());
        }
        let rows = hosts.iter().map(|h| {
            vec![
                h.host.clone(),
                h.name.clone(),
                state(h, lang),
                h.os_family.clone().unwrap_or_default(),
                h.group.clone().unwrap_or_default(),
                time(h.last_report_at),
            ]
        });
        let head = [
            Text::new("ID", "id"),
            Text::new("機器名", "name"),
            Text::new("状態", "state"),
            Text::new("OS", "os"),
            Text::new("グループ", "group"),
            Text::new("最終報告", "last report"),
        ];
        output::titled(lang, &head, rows.collect())
    }
}

/// What is read of a host's page.
#[derive(Deserialize)]
struct Detail {
    host: HostRow,
}

impl One {
    fn path(&self, rest: &str) -> String {
        format!("/hosts/{}{rest}", part(&self.host))
    }

    async fn set(self, verb: &str, lang: Lang) -> anyhow::Result<()> {
        let door = self.all.door.open(lang).await?;
        door.change(Method::POST, &self.path(&format!("/{verb}")), &()).await?;
        let Detail { host } = door.get(&self.path("")).await?;
        match self.all.format {
            Format::Json => output::json(&document(&host)),
            Format::Table => output::text(&format!("{} {}\n", host.host, state(&host, lang))),
        }
    }

    async fn show(self, lang: Lang) -> anyhow::Result<()> {
        let door = self.all.door.open(lang).await?;
        let Detail { host } = door.get(&self.path("")).await?;
        let facts: Vec<FactState> = door.get(&self.path("/facts")).await?;
        let events: Vec<EventRow> = door.get(&self.path("/events?limit=20")).await?;
        if self.all.format == Format::Json {
            return output::json(&json!({"host": document(&host), "facts": facts, "events": events}));
        }
        let by = actor_title(&host.state_by, lang);
        let head = [
            (Text::new("ID", "id"), host.host.clone()),
            (Text::new("機器名", "name"), host.name.clone()),
            (
                Text::new("状態", "state"),
                format!("{} ({by}, {})", state(&host, lang), time(Some(host.state_at))),
            ),
            (Text::new("複製元", "cloned from"), host.cloned_from.clone().unwrap_or_else(|| "-".into())),
            (Text::new("最終報告", "last report"), time(host.last_report_at)),
            (Text::new("時計のずれ", "clock offset"), format!("{} ms", host.clock_offset_ms)),
        ];
        let rows = head.iter().map(|(title, value)| vec![title.get(lang).to_owned(), value.clone()]);
        output::table(&["", ""], rows.collect())?;
        let rows = facts.iter().map(|f| {
            let status = f.status.parse().map_or_else(
                |_| f.status.clone(),
                |known| common::word(lang, &f.status, crate::ui::status_title(known)),
            );
            vec![f.kind.clone(), status, time(Some(f.collected_at))]
        });
        let head =
            [Text::new("事実", "fact"), Text::new("取得状態", "status"), Text::new("取得日時", "collected")];
        output::titled(lang, &head, rows.collect())?;
        let rows = events.iter().map(|e| vec![time(Some(e.at)), e.kind.clone(), e.data.to_string()]);
        let head = [Text::new("日時", "event at"), Text::new("種類", "kind"), Text::new("内容", "data")];
        output::titled(lang, &head, rows.collect())
    }
}
