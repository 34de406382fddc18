//! `snapshot`: freezes, compares and exports the state of an organisation.

use std::path::PathBuf;

use axum::http::Method;
use clap::{Args, Subcommand};
use tenken_shared::text::{Lang, Text};

use super::common;
use super::door::{DoorArgs, error, part};
use super::{Format, output};
use crate::http::snapshot_api::{NewSchedule, ScheduleRow};
use crate::store::snapshot::{SnapshotDiff, SnapshotSummary};

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
    door: DoorArgs,
    /// How to print.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

/// Arguments of `snapshot diff`.
#[derive(Debug, Args)]
pub struct Diff {
    #[command(flatten)]
    door: DoorArgs,
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
    door: DoorArgs,
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
    door: DoorArgs,
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
    pub async fn run(self, lang: Lang) -> anyhow::Result<()> {
        match self {
            Self::Take(command) => command.take(lang).await,
            Self::List(command) => command.list(lang).await,
            Self::Diff(command) => command.run(lang).await,
            Self::Export(command) => command.run(lang).await,
            Self::Schedule(command) => command.run(lang).await,
        }
    }
}

fn row(s: &SnapshotSummary, zone: &str, lang: Lang) -> Vec<String> {
    let reason = match s.reason.as_str() {
        "manual" => common::word(lang, "manual", Text::new("手動", "by hand")),
        "schedule" => common::word(lang, "schedule", Text::new("予定", "schedule")),
        other => other.to_owned(),
    };
    let at = common::local(s.recorded_at, zone);
    vec![s.number.to_string(), s.id.to_string(), at, reason, s.hosts.to_string(), s.digest.to_string()]
}

const HEAD: [Text; 6] = [
    Text::new("番号", "number"),
    Text::new("ID", "id"),
    Text::new("日時", "at"),
    Text::new("きっかけ", "reason"),
    Text::new("機器数", "hosts"),
    Text::new("ダイジェスト", "digest"),
];

impl One {
    async fn take(self, lang: Lang) -> anyhow::Result<()> {
        let door = self.door.open(lang).await?;
        let taken: SnapshotSummary = door.send(Method::POST, "/snapshots", &()).await?;
        if self.format == Format::Json {
            return output::json(&taken);
        }
        let zone = common::zone(&door).await?;
        output::titled(lang, &HEAD, vec![row(&taken, &zone, lang)])
    }

    async fn list(self, lang: Lang) -> anyhow::Result<()> {
        let door = self.door.open(lang).await?;
        let all: Vec<SnapshotSummary> = door.get("/snapshots").await?;
        if self.format == Format::Json {
            return output::json(&all);
        }
        let zone = common::zone(&door).await?;
        output::titled(lang, &HEAD, all.iter().map(|s| row(s, &zone, lang)).collect())
    }
}

impl Diff {
    async fn run(self, lang: Lang) -> anyhow::Result<()> {
        let door = self.door.open(lang).await?;
        let diff: SnapshotDiff =
            door.get(&format!("/snapshots/{}/diff/{}", part(&self.a), part(&self.b))).await?;
        if self.format == Format::Json {
            return output::json(&diff);
        }
        let mut rows = Vec::new();
        let mut add = |kind: Text, what: String, before: &str, after: &str| {
            rows.push(vec![kind.get(lang).to_owned(), what, before.to_owned(), after.to_owned()]);
        };
        let host = Text::new("機器", "host");
        diff.hosts_added.iter().for_each(|h| add(host, h.clone(), "-", "+"));
        diff.hosts_removed.iter().for_each(|h| add(host, h.clone(), "+", "-"));
        let criterion = Text::new("基準", "criterion");
        diff.criteria.iter().for_each(|c| add(criterion, c.criterion.clone(), &c.before, &c.after));
        for f in &diff.findings {
            let text = |o: &Option<String>| o.clone().unwrap_or_else(|| "-".into());
            let what = format!("{} {}", f.hostname, f.control);
            add(Text::new("判定", "finding"), what, &text(&f.before), &text(&f.after));
        }
        let changed = Text::new("{}台で変化", "{} hosts changed").get(lang);
        let changed = changed.replace("{}", &diff.hosts_with_changed_facts.to_string());
        add(Text::new("事実", "facts"), changed, "", "");
        let head = [
            Text::new("種類", ""),
            Text::new("対象", "what"),
            Text::new("前", "before"),
            Text::new("後", "after"),
        ];
        output::titled(lang, &head, rows)
    }
}

impl Export {
    async fn run(self, lang: Lang) -> anyhow::Result<()> {
        let door = self.door.open(lang).await?;
        let folder = self.output.parent().filter(|p| !p.as_os_str().is_empty());
        if self.output.exists() {
            let text = Text::new("ファイル {} はすでにあります。", "{} exists");
            return Err(error(lang, text, self.output.display()));
        }
        // Under its name only when whole.
        let file = tempfile::NamedTempFile::new_in(folder.unwrap_or_else(|| std::path::Path::new(".")))?;
        let mut out = std::io::BufWriter::new(file);
        let (contents, without) = (self.contents, self.without_names);
        let path = format!("/snapshots/{}/pack?contents={contents}&without_names={without}", part(&self.id));
        door.save(&path, &mut out).await?;
        let file = out.into_inner().map_err(|e| anyhow::anyhow!("{}", e.error()))?;
        file.as_file().sync_all()?;
        file.persist_noclobber(&self.output)?;
        output::text(&format!("{}\n", self.output.display()))
    }
}

impl Schedule {
    async fn run(self, lang: Lang) -> anyhow::Result<()> {
        const PATH: &str = "/snapshot-schedule";
        let door = self.door.open(lang).await?;
        let schedule: Option<ScheduleRow> = match (self.cron, self.off) {
            (None, false) => door.get(PATH).await?,
            (None, true) => {
                door.change(Method::DELETE, PATH, &()).await?;
                None
            }
            (Some(cron), _) => {
                door.send(Method::PUT, PATH, &NewSchedule { cron, time_zone: self.time_zone }).await?
            }
        };
        if self.format == Format::Json {
            return output::json(&schedule);
        }
        let rows = schedule
            .iter()
            .map(|s| vec![s.cron.clone(), s.time_zone.clone(), common::local(s.next_at, &s.time_zone)]);
        let head =
            [Text::new("cron式", "cron"), Text::new("タイムゾーン", "time zone"), Text::new("次回", "next")];
        output::titled(lang, &head, rows.collect())
    }
}
