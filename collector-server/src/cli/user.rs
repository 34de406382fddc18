//! `user`: people who log in to the console.

use std::io::{BufRead as _, Read as _};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use tenken_shared::ids::OrgId;
use tenken_shared::redact::Secret;

use super::{DEFAULT_ORG, Format, StoreArgs, output};
use crate::http::admin;
use crate::store::Store;
use crate::user::{Actor, Role, is_user_name};

/// Commands about users.
#[derive(Debug, Subcommand)]
pub enum User {
    /// Adds a user and prints the path of a one-time link to set a password.
    Add(Add),
    /// Lists users.
    List(List),
    /// Sets a password, read from standard input.
    Passwd(Named),
    /// Gives a user another role in the organisation.
    Role(SetRole),
    /// Takes a user out of the organisation.
    Remove(Named),
    /// Refuses a user's log-in and ends open sessions.
    Disable(Named),
    /// Allows it again.
    Enable(Named),
    /// Prints the path of a new one-time link to set a password.
    Link(Named),
}

/// Arguments of `user add`.
#[derive(Debug, Args)]
pub struct Add {
    #[command(flatten)]
    named: Named,
    /// What the user may do.
    #[arg(long, value_enum, default_value = "auditor")]
    role: Role,
}

/// Arguments of `user role`.
#[derive(Debug, Args)]
pub struct SetRole {
    #[command(flatten)]
    named: Named,
    /// What the user may do.
    #[arg(value_enum)]
    role: Role,
}

/// Arguments of `user list`.
#[derive(Debug, Args)]
pub struct List {
    #[command(flatten)]
    store: StoreArgs,
    /// Organisation.
    #[arg(long, default_value = DEFAULT_ORG)]
    org: OrgId,
    /// How to print.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

/// One user.
#[derive(Debug, Args)]
pub struct Named {
    #[command(flatten)]
    store: StoreArgs,
    /// Organisation.
    #[arg(long, default_value = DEFAULT_ORG)]
    org: OrgId,
    /// Log-in name.
    name: String,
}

impl Named {
    async fn open(&self) -> anyhow::Result<(Store, Actor)> {
        let (store, org) = self.store.open_org(&self.org).await?;
        Ok((store, Actor::command_line(org.id)))
    }
}

impl User {
    /// Runs the command.
    pub async fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Add(command) => command.run().await,
            Self::List(command) => command.run().await,
            Self::Passwd(named) => passwd(&named).await,
            Self::Role(command) => {
                let (store, actor) = command.named.open().await?;
                Ok(store.set_role(&actor, &command.named.name, command.role).await?)
            }
            Self::Remove(named) => {
                let (store, actor) = named.open().await?;
                Ok(store.remove_user(&actor, &named.name).await?)
            }
            Self::Disable(named) => disable(&named, true).await,
            Self::Enable(named) => disable(&named, false).await,
            Self::Link(named) => link(&named).await,
        }
    }
}

impl Add {
    async fn run(self) -> anyhow::Result<()> {
        anyhow::ensure!(is_user_name(&self.named.name), "a user name has 1 to 64 of A-Z a-z 0-9 . _ - @");
        let (store, actor) = self.named.open().await?;
        store.add_user(&actor, &self.named.name, self.role).await?;
        link(&self.named).await
    }
}

impl List {
    async fn run(self) -> anyhow::Result<()> {
        let (store, org) = self.store.open_org(&self.org).await?;
        let users = store.users(&org.id).await?;
        if self.format == Format::Json {
            return output::json(&users);
        }
        let rows = users.iter().map(|u| {
            let state = match (u.disabled, u.has_password) {
                (true, _) => "disabled",
                (false, true) => "active",
                (false, false) => "no password yet",
            };
            let last = u.last_login_at.map_or_else(String::new, |at| at.to_string());
            vec![u.name.clone(), u.role.as_str().to_owned(), state.to_owned(), last]
        });
        output::table(&["name", "role", "state", "last log-in"], rows.collect())
    }
}

async fn link(named: &Named) -> anyhow::Result<()> {
    let (store, actor) = named.open().await?;
    let path = admin::link(&store, &actor, &named.name).await?;
    output::text(&format!("{path}\n"))
}

async fn disable(named: &Named, off: bool) -> anyhow::Result<()> {
    let (store, actor) = named.open().await?;
    Ok(store.disable_user(&actor, &named.name, off).await?)
}

async fn passwd(named: &Named) -> anyhow::Result<()> {
    let (store, actor) = named.open().await?;
    eprintln!("new password for {} (one line on standard input):", named.name);
    let mut line = String::new();
    std::io::stdin().lock().take(4096).read_line(&mut line).context("no password could be read")?;
    let password = Secret::new(line.trim_end_matches(['\r', '\n']).to_owned());
    Ok(admin::set_password(&store, &actor, &named.name, password).await?)
}
