//! `attest`: what a person states about a criterion that no machine can answer.

use clap::{Args, Subcommand};
use jiff::Timestamp;
use tenken_shared::criterion::Attestation;

use super::common::{self, OrgArgs};
use super::{Format, output};
use crate::answer::{self, NewAttestation};

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
    org: OrgArgs,
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
    org: OrgArgs,
    /// How to print.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

/// Arguments of `attest end`.
#[derive(Debug, Args)]
pub struct End {
    #[command(flatten)]
    org: OrgArgs,
    /// Id.
    id: String,
    /// Why it holds no more.
    #[arg(long)]
    reason: String,
}

impl Attest {
    /// Runs the command.
    pub async fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Add(command) => command.run().await,
            Self::List(command) => command.run().await,
            Self::End(command) => {
                let (store, _) = command.org.open().await?;
                let (actor, now) = (command.org.actor(), Timestamp::now());
                Ok(store.end_attestation(&actor, &command.id, &command.reason, now).await?)
            }
        }
    }
}

impl Add {
    async fn run(self) -> anyhow::Result<()> {
        let (store, _) = self.org.open().await?;
        let new = NewAttestation {
            criterion: self.criterion,
            holds: !self.not_held,
            by: self.by,
            statement: self.statement,
            document: self.document,
            next_review: self.next_review,
        };
        let attestation = answer::add_attestation(&store, &self.org.actor(), new, Timestamp::now()).await?;
        match self.format {
            Format::Json => output::json(&attestation),
            Format::Table => output::text(&format!("{}\n", attestation.id)),
        }
    }
}

impl List {
    async fn run(self) -> anyhow::Result<()> {
        let (store, org) = self.org.open().await?;
        let all = store.attestations(org.number).await?;
        if self.format == Format::Json {
            return output::json(&all);
        }
        let zone = store.policy(org.number).await?.policy.time_zone;
        let row = |a: Attestation| {
            let holds = if a.holds { "holds" } else { "does not hold" };
            let review = common::until(a.next_review, &zone);
            let at = common::local(a.at, &zone);
            vec![
                a.id,
                a.criterion,
                holds.to_owned(),
                a.by,
                at,
                review,
                a.statement,
                a.document.unwrap_or_default(),
            ]
        };
        output::table(
            &["id", "criterion", "", "by", "at", "next review", "statement", "document"],
            all.into_iter().map(row).collect(),
        )
    }
}
