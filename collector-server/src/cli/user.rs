//! `user`: people who log in to the console.

use std::io::{BufRead as _, Read as _};

use anyhow::Context as _;
use axum::http::Method;
use clap::{Args, Subcommand};
use tenken_shared::redact::Secret;
use tenken_shared::text::{Lang, Text, printable};

use super::door::{Door, DoorArgs, part};
use super::{Format, common, output};
use crate::http::people_api::{Link, LogIn, NewPassword, NewRole, NewUser};
use crate::user::{Role, UserRow};

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
    door: DoorArgs,
    /// How to print.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

/// One user.
#[derive(Debug, Args)]
pub struct Named {
    #[command(flatten)]
    door: DoorArgs,
    /// Log-in name.
    name: String,
}

impl Named {
    /// Address of the user, or of something of it.
    fn path(&self, rest: &str) -> String {
        format!("/users/{}{rest}", part(&self.name))
    }
}

impl User {
    /// Runs the command.
    pub async fn run(self, lang: Lang) -> anyhow::Result<()> {
        match self {
            Self::Add(Add { named, role }) => {
                let door = named.door.open(lang).await?;
                let new = NewUser { name: named.name.clone(), role };
                door.change(Method::POST, "/users", &new).await?;
                link(&door, &named).await
            }
            Self::List(command) => command.run(lang).await,
            Self::Passwd(named) => passwd(&named, lang).await,
            Self::Role(SetRole { named, role }) => {
                let door = named.door.open(lang).await?;
                door.change(Method::PUT, &named.path("/role"), &NewRole { role }).await
            }
            Self::Remove(named) => {
                named.door.open(lang).await?.change(Method::DELETE, &named.path(""), &()).await
            }
            Self::Disable(named) => log_in(&named, true, lang).await,
            Self::Enable(named) => log_in(&named, false, lang).await,
            Self::Link(named) => link(&named.door.open(lang).await?, &named).await,
        }
    }
}

impl List {
    async fn run(self, lang: Lang) -> anyhow::Result<()> {
        let users: Vec<UserRow> = self.door.open(lang).await?.get("/users").await?;
        if self.format == Format::Json {
            return output::json(&users);
        }
        let rows = users.iter().map(|u| {
            let state = match (u.disabled, u.has_password) {
                (true, _) => Text::new("停止中", "disabled"),
                (false, true) => Text::new("有効", "active"),
                (false, false) => Text::new("パスワード未設定", "no password yet"),
            };
            let last = u.last_login_at.map_or_else(String::new, |at| at.to_string());
            let role = common::word(lang, u.role.as_str(), u.role.title());
            vec![u.name.clone(), role, state.get(lang).to_owned(), last]
        });
        let head = [
            Text::new("ユーザー名", "name"),
            Text::new("権限", "role"),
            Text::new("状態", "state"),
            Text::new("最終ログイン", "last log-in"),
        ];
        output::titled(lang, &head, rows.collect())
    }
}

async fn link(door: &Door, named: &Named) -> anyhow::Result<()> {
    let made: Link = door.send(Method::POST, &named.path("/link"), &()).await?;
    output::text(&format!("{}\n", made.path.expose()))
}

async fn log_in(named: &Named, disabled: bool, lang: Lang) -> anyhow::Result<()> {
    let door = named.door.open(lang).await?;
    door.change(Method::PUT, &named.path("/log-in"), &LogIn { disabled }).await
}

async fn passwd(named: &Named, lang: Lang) -> anyhow::Result<()> {
    let door = named.door.open(lang).await?;
    let ask = Text::new(
        "{} の新しいパスワード(標準入力の1行):",
        "new password for {} (one line on standard input):",
    );
    eprintln!("{}", ask.get(lang).replace("{}", &printable(&named.name)));
    let mut line = String::new();
    let failed = Text::new("パスワードを読めませんでした", "no password could be read");
    std::io::stdin().lock().take(4096).read_line(&mut line).context(failed.get(lang))?;
    let password = Secret::new(line.trim_end_matches(['\r', '\n']).to_owned());
    door.change(Method::PUT, &named.path("/password"), &NewPassword { password }).await
}
