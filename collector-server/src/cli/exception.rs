//! `exception`: a failing control that somebody answers for until a deadline.

use clap::{Args, Subcommand};
use jiff::Timestamp;
use tenken_shared::criterion::Exception;

use super::common::{self, OrgArgs};
use super::{Format, output};
use crate::answer::{self, NewException};

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
    org: OrgArgs,
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
    org: OrgArgs,
    /// How to print.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

/// Arguments of `exception remove`.
#[derive(Debug, Args)]
pub struct Remove {
    #[command(flatten)]
    org: OrgArgs,
    /// Id.
    id: String,
    /// Why.
    #[arg(long, default_value = "")]
    reason: String,
}

impl ExceptionCommand {
    /// Runs the command.
    pub async fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Add(command) => command.run().await,
            Self::List(command) => command.run().await,
            Self::Remove(command) => {
                let (store, _) = command.org.open().await?;
                let (actor, now) = (command.org.actor(), Timestamp::now());
                Ok(store.remove_exception(&actor, &command.id, &command.reason, now).await?)
            }
        }
    }
}

impl Add {
    async fn run(self) -> anyhow::Result<()> {
        let (store, _) = self.org.open().await?;
        let new = NewException {
            target: self.target,
            control: self.control,
            reason: self.reason,
            mitigation: self.mitigation,
            owner: self.owner,
            deadline: self.deadline,
        };
        let exception = answer::add_exception(&store, &self.org.actor(), new, Timestamp::now()).await?;
        match self.format {
            Format::Json => output::json(&exception),
            Format::Table => output::text(&format!("{}\n", exception.id)),
        }
    }
}

impl List {
    async fn run(self) -> anyhow::Result<()> {
        let (store, org) = self.org.open().await?;
        let all = store.exceptions(org.number).await?;
        if self.format == Format::Json {
            return output::json(&all);
        }
        let zone = store.policy(org.number).await?.policy.time_zone;
        let now = Timestamp::now();
        let row = |e: Exception| {
            let deadline = common::until(e.deadline, &zone);
            let deadline = if e.deadline > now { deadline } else { format!("{deadline} (over)") };
            vec![e.id, e.target, e.control, e.mitigation.as_str().to_owned(), e.owner, deadline, e.reason]
        };
        output::table(
            &["id", "target", "control", "mitigation", "owner", "deadline", "reason"],
            all.into_iter().map(row).collect(),
        )
    }
}
