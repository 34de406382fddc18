//! `snapshot`: freezes, compares and exports the state of an organisation.

use std::io::Write as _;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde_json::json;

use super::common::{self, OrgArgs};
use super::{Format, output};
use crate::keys::Keys;
use crate::snapshot;
use crate::store::snapshot::{ExportOptions, SnapshotSummary};

/// Commands about snapshots.
#[derive(Debug, Subcommand)]
pub enum Snapshot {
    /// Freezes the state now.
    Take(One),
    /// Lists snapshots, newest first.
    List(One),
    /// Shows what differs between two.
    Diff(Diff),
    /// Writes one with its evidence to a file that `verify` checks without a server.
    Export(Export),
    /// Shows, sets or ends the schedule.
    Schedule(Schedule),
}

/// Arguments of `snapshot take` and `snapshot list`.
#[derive(Debug, Args)]
pub struct One {
    #[command(flatten)]
    org: OrgArgs,
    /// How to print.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

/// Arguments of `snapshot diff`.
#[derive(Debug, Args)]
pub struct Diff {
    #[command(flatten)]
    org: OrgArgs,
    /// The first, by id or number.
    a: String,
    /// The second, by id or number.
    b: String,
    /// How to print.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

/// Arguments of `snapshot export`.
#[derive(Debug, Args)]
pub struct Export {
    #[command(flatten)]
    org: OrgArgs,
    /// By id or number.
    id: String,
    /// File to write; must not exist.
    #[arg(short, long)]
    output: PathBuf,
    /// Carry the contents of facts, not only their digests.
    #[arg(long)]
    contents: bool,
    /// Leave out the names of hosts and groups.
    #[arg(long)]
    without_names: bool,
}

/// Arguments of `snapshot schedule`.
#[derive(Debug, Args)]
pub struct Schedule {
    #[command(flatten)]
    org: OrgArgs,
    /// Cron expression: minute, hour, day of month, month, day of week.
    #[arg(long, conflicts_with = "off")]
    cron: Option<String>,
    /// Time zone the expression is read in. Default: that of the policy.
    #[arg(long, requires = "cron")]
    time_zone: Option<String>,
    /// End the schedule.
    #[arg(long)]
    off: bool,
    /// How to print.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

impl Snapshot {
    /// Runs the command.
    pub async fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Take(command) => command.take().await,
            Self::List(command) => command.list().await,
            Self::Diff(command) => command.run().await,
            Self::Export(command) => command.run().await,
            Self::Schedule(command) => command.run().await,
        }
    }
}

fn row(s: &SnapshotSummary, zone: &str) -> Vec<String> {
    let (number, hosts) = (s.number.to_string(), s.hosts.to_string());
    vec![
        number,
        s.id.to_string(),
        common::local(s.recorded_at, zone),
        s.reason.clone(),
        hosts,
        s.digest.to_string(),
    ]
}

const HEAD: [&str; 6] = ["number", "id", "at", "reason", "hosts", "digest"];

impl One {
    async fn take(self) -> anyhow::Result<()> {
        let (store, org) = self.org.open().await?;
        let now = Timestamp::now();
        let keys = Keys::open(store.clone(), None, now).await?;
        let taken = snapshot::take(&store, keys.signing_key(), &self.org.actor(), now).await?;
        let zone = store.policy(org.number).await?.policy.time_zone;
        match self.format {
            Format::Json => output::json(&taken),
            Format::Table => output::table(&HEAD, vec![row(&taken, &zone)]),
        }
    }

    async fn list(self) -> anyhow::Result<()> {
        let (store, org) = self.org.open().await?;
        let all = store.snapshots(org.number).await?;
        let zone = store.policy(org.number).await?.policy.time_zone;
        match self.format {
            Format::Json => output::json(&all),
            Format::Table => output::table(&HEAD, all.iter().map(|s| row(s, &zone)).collect()),
        }
    }
}

impl Diff {
    async fn run(self) -> anyhow::Result<()> {
        let (store, org) = self.org.open().await?;
        let diff = store.snapshot_diff(org.number, &self.a, &self.b).await?;
        if self.format == Format::Json {
            return output::json(&diff);
        }
        let mut rows = Vec::new();
        let mut add = |kind: &str, what: String, before: &str, after: &str| {
            rows.push(vec![kind.to_owned(), what, before.to_owned(), after.to_owned()]);
        };
        diff.hosts_added.iter().for_each(|h| add("host", h.clone(), "-", "+"));
        diff.hosts_removed.iter().for_each(|h| add("host", h.clone(), "+", "-"));
        diff.criteria.iter().for_each(|c| add("criterion", c.criterion.clone(), &c.before, &c.after));
        for f in &diff.findings {
            let text = |o: &Option<String>| o.clone().unwrap_or_else(|| "-".into());
            add("finding", format!("{} {}", f.hostname, f.control), &text(&f.before), &text(&f.after));
        }
        add("facts", format!("{} hosts changed", diff.hosts_with_changed_facts), "", "");
        output::table(&["", "what", "before", "after"], rows)
    }
}

impl Export {
    async fn run(self) -> anyhow::Result<()> {
        let (store, org) = self.org.open().await?;
        let options = ExportOptions { contents: self.contents, without_names: self.without_names };
        let folder = self.output.parent().filter(|p| !p.as_os_str().is_empty());
        anyhow::ensure!(!self.output.exists(), "{} exists", self.output.display());
        // Under its name only when whole.
        let file = tempfile::NamedTempFile::new_in(folder.unwrap_or_else(|| std::path::Path::new(".")))?;
        let mut out = std::io::BufWriter::new(file);
        snapshot::export(&store, org.number, &self.id, options, &mut out).await?;
        out.flush()?;
        let file = out.into_inner().map_err(|e| anyhow::anyhow!("{}", e.error()))?;
        file.as_file().sync_all()?;
        file.persist_noclobber(&self.output)?;
        output::text(&format!("{}\n", self.output.display()))
    }
}

impl Schedule {
    async fn run(self) -> anyhow::Result<()> {
        let (store, org) = self.org.open().await?;
        let now = Timestamp::now();
        let policy_zone = store.policy(org.number).await?.policy.time_zone;
        let zone = self.time_zone.unwrap_or_else(|| policy_zone.clone());
        let schedule = match (&self.cron, self.off) {
            (None, false) => store.snapshot_schedule(org.number).await?,
            (cron, _) => {
                let cron = cron.as_deref().map(|c| (c, zone.as_str()));
                snapshot::schedule(&store, &org, cron, &self.org.actor(), now).await?
            }
        };
        if self.format == Format::Json {
            return output::json(
                &schedule.map(|s| json!({"cron": s.cron, "time_zone": s.time_zone, "next_at": s.next_at})),
            );
        }
        let rows = schedule
            .iter()
            .map(|s| vec![s.cron.clone(), s.time_zone.clone(), common::local(s.next_at, &s.time_zone)]);
        output::table(&["cron", "time zone", "next"], rows.collect())
    }
}
