//! `exception`: a failing control that somebody answers for until a deadline.

use axum::http::Method;
use clap::{Args, Subcommand};
use jiff::Timestamp;
use tenken_shared::criterion::Exception;
use tenken_shared::text::{Lang, Text};

use super::common;
use super::door::{DoorArgs, part};
use super::{Format, output};
use crate::answer::NewException;

/// Commands about exceptions.
#[derive(Debug, Subcommand)]
pub enum ExceptionCommand {
    /// Records an exception.
    Add(Add),
    /// Lists exceptions.
    List(List),
    /// Ends an exception; it stays on record.
    Remove(Remove),
}

/// Arguments of `exception add`.
#[derive(Debug, Args)]
pub struct Add {
    #[command(flatten)]
    door: DoorArgs,
    /// Host id or name, or `group:NAME`.
    #[arg(long)]
    target: String,
    /// Control id, such as patch.applied_in_time.
    #[arg(long)]
    control: String,
    /// Why it cannot be mended now.
    #[arg(long)]
    reason: String,
    /// What protects meanwhile: disable, workaround, isolate or `monitor_and_block`.
    #[arg(long)]
    mitigation: String,
    /// Who answers for it.
    #[arg(long)]
    owner: String,
    /// Last day (2027-03-31) or moment.
    #[arg(long)]
    deadline: String,
    /// How to print.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

/// Arguments of `exception list`.
#[derive(Debug, Args)]
pub struct List {
    #[command(flatten)]
    door: DoorArgs,
    /// How to print.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

/// Arguments of `exception remove`.
#[derive(Debug, Args)]
pub struct Remove {
    #[command(flatten)]
    door: DoorArgs,
    /// Id.
    id: String,
    /// Why.
    #[arg(long, default_value = "")]
    reason: String,
}

impl ExceptionCommand {
    /// Runs the command.
    pub async fn run(self, lang: Lang) -> anyhow::Result<()> {
        match self {
            Self::Add(command) => command.run(lang).await,
            Self::List(command) => command.run(lang).await,
            Self::Remove(command) => {
                let door = command.door.open(lang).await?;
                let path = format!("/exceptions/{}?reason={}", part(&command.id), part(&command.reason));
                door.change(Method::DELETE, &path, &()).await
            }
        }
    }
}

impl Add {
    async fn run(self, lang: Lang) -> anyhow::Result<()> {
        let door = self.door.open(lang).await?;
        let new = NewException {
            target: self.target,
            control: self.control,
            reason: self.reason,
            mitigation: self.mitigation,
            owner: self.owner,
            deadline: self.deadline,
        };
        let exception: Exception = door.send(Method::POST, "/exceptions", &new).await?;
        match self.format {
            Format::Json => output::json(&exception),
            Format::Table => output::text(&format!("{}\n", exception.id)),
        }
    }
}

impl List {
    async fn run(self, lang: Lang) -> anyhow::Result<()> {
        let door = self.door.open(lang).await?;
        let all: Vec<Exception> = door.get("/exceptions").await?;
        if self.format == Format::Json {
            return output::json(&all);
        }
        let zone = common::zone(&door).await?;
        let now = Timestamp::now();
        let row = |e: Exception| {
            let deadline = common::until(e.deadline, &zone);
            let deadline = if e.deadline > now {
                deadline
            } else {
                format!("{deadline} {}", Text::new("(期限切れ)", "(over)").get(lang))
            };
            vec![
                e.id,
                e.target,
                e.control,
                common::word(lang, e.mitigation.as_str(), e.mitigation.title()),
                e.owner,
                deadline,
                e.reason,
            ]
        };
        let head = [
            Text::new("ID", "id"),
            Text::new("対象", "target"),
            Text::new("項目", "control"),
            Text::new("軽減策", "mitigation"),
            Text::new("責任者", "owner"),
            Text::new("期限", "deadline"),
            Text::new("理由", "reason"),
        ];
        output::titled(lang, &head, all.into_iter().map(row).collect())
    }
}
