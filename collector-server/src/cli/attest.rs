//! `attest`: what a person states about a criterion that no machine can answer.

use axum::http::Method;
use clap::{Args, Subcommand};
use tenken_shared::criterion::Attestation;
use tenken_shared::text::{Lang, Text};

use super::common;
use super::door::{DoorArgs, part};
use super::{Format, output};
use crate::answer::NewAttestation;

/// Commands about attestations.
#[derive(Debug, Subcommand)]
pub enum Attest {
    /// Records a statement; it replaces earlier ones about the criterion.
    Add(Add),
    /// Lists statements.
    List(List),
    /// Withdraws a statement and those it had replaced; they stay on record.
    End(End),
}

/// Arguments of `attest add`.
#[derive(Debug, Args)]
pub struct Add {
    #[command(flatten)]
    door: DoorArgs,
    /// Criterion, such as 4-3-4-3.
    #[arg(long)]
    criterion: String,
    /// State that the criterion does not hold.
    #[arg(long)]
    not_held: bool,
    /// Who states it.
    #[arg(long)]
    by: String,
    /// What is stated.
    #[arg(long)]
    statement: String,
    /// Where the document is.
    #[arg(long)]
    document: Option<String>,
    /// Last day (2027-03-31) by which it must be looked at again.
    #[arg(long)]
    next_review: String,
    /// How to print.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

/// Arguments of `attest list`.
#[derive(Debug, Args)]
pub struct List {
    #[command(flatten)]
    door: DoorArgs,
    /// How to print.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

/// Arguments of `attest end`.
#[derive(Debug, Args)]
pub struct End {
    #[command(flatten)]
    door: DoorArgs,
    /// Id.
    id: String,
    /// Why it holds no more.
    #[arg(long)]
    reason: String,
}

impl Attest {
    /// Runs the command.
    pub async fn run(self, lang: Lang) -> anyhow::Result<()> {
        match self {
            Self::Add(command) => command.run(lang).await,
            Self::List(command) => command.run(lang).await,
            Self::End(command) => {
                let door = command.door.open(lang).await?;
                let path = format!("/attestations/{}?reason={}", part(&command.id), part(&command.reason));
                door.change(Method::DELETE, &path, &()).await
            }
        }
    }
}

impl Add {
    async fn run(self, lang: Lang) -> anyhow::Result<()> {
        let door = self.door.open(lang).await?;
        let new = NewAttestation {
            criterion: self.criterion,
            holds: !self.not_held,
            by: self.by,
            statement: self.statement,
            document: self.document,
            next_review: self.next_review,
        };
        let attestation: Attestation = door.send(Method::POST, "/attestations", &new).await?;
        match self.format {
            Format::Json => output::json(&attestation),
            Format::Table => output::text(&format!("{}\n", attestation.id)),
        }
    }
}

impl List {
    async fn run(self, lang: Lang) -> anyhow::Result<()> {
        let door = self.door.open(lang).await?;
        let all: Vec<Attestation> = door.get("/attestations").await?;
        if self.format == Format::Json {
            return output::json(&all);
        }
        let zone = common::zone(&door).await?;
        let row = |a: Attestation| {
            let holds = if a.holds {
                Text::new("満たす", "holds")
            } else {
                Text::new("満たさない", "does not hold")
            };
            let review = common::until(a.next_review, &zone);
            let at = common::local(a.at, &zone);
            vec![
                a.id,
                a.criterion,
                holds.get(lang).to_owned(),
                a.by,
                at,
                review,
                a.statement,
                a.document.unwrap_or_default(),
            ]
        };
        let head = [
            Text::new("ID", "id"),
            Text::new("基準", "criterion"),
            Text::new("結果", ""),
            Text::new("申告者", "by"),
            Text::new("日時", "at"),
            Text::new("次回見直し", "next review"),
            Text::new("内容", "statement"),
            Text::new("文書", "document"),
        ];
        output::titled(lang, &head, all.into_iter().map(row).collect())
    }
}
