//! Command line: one module per command, no logic of the collector.

mod api_token;
mod attest;
mod catalog;
mod common;
mod criteria;
mod door;
mod error;
mod exception;
mod help;
mod host;
mod import;
mod key;
mod migrate;
mod org;
mod output;
mod policy;
mod query;
mod serve;
pub mod service;
mod snapshot;
mod token;
mod user;
mod verify;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use tenken_shared::ids::OrgId;
use tenken_shared::text::{Lang, Text};

use crate::config::Config;
use crate::store::Store;

pub use error::told;

/// Organisation used where none is named.
pub const DEFAULT_ORG: &str = "default";

/// 点検 collector: takes reports, judges hosts, answers questions, freezes evidence.
#[derive(Debug, Parser)]
#[command(name = "tenken-collector", version, about)]
pub struct Cli {
    #[command(flatten)]
    lang: common::LangArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the server.
    Serve(serve::Serve),
    /// The server as a service of this machine.
    #[command(subcommand)]
    Service(service::ServiceCommand),
    /// Brings the store's schema up to date and ends.
    Migrate(migrate::Migrate),
    /// Organisations.
    #[command(subcommand)]
    Org(org::Org),
    /// Enrolment tokens.
    #[command(subcommand)]
    Token(token::Token),
    /// Hosts.
    #[command(subcommand)]
    Host(host::Host),
    /// Result per criterion.
    Criteria(criteria::Criteria),
    /// What is collected and judged by.
    #[command(subcommand)]
    Policy(policy::PolicyCommand),
    /// Dated outside data.
    #[command(subcommand)]
    Catalog(catalog::Catalog),
    /// Failing controls that somebody answers for.
    #[command(subcommand)]
    Exception(exception::ExceptionCommand),
    /// What people state about criteria that no machine can answer.
    #[command(subcommand)]
    Attest(attest::Attest),
    /// Frozen moments.
    #[command(subcommand)]
    Snapshot(snapshot::Snapshot),
    /// Checks an exported snapshot without a server.
    Verify(verify::Verify),
    /// Takes files in.
    #[command(subcommand)]
    Import(import::Import),
    /// Keys that sign replies.
    #[command(subcommand)]
    Key(key::Key),
    /// The collector's certificate authority.
    #[command(subcommand)]
    Ca(key::Ca),
    /// People who log in to the console.
    #[command(subcommand)]
    User(user::User),
    /// Credentials of programs that ask the JSON API.
    #[command(subcommand)]
    ApiToken(api_token::ApiToken),
    /// Read-only SQL over the published views.
    Query(query::Query),
    /// Prints the OpenAPI document of the JSON API.
    Openapi,
    /// Prints a commented settings file.
    Config(ConfigCommand),
}

#[derive(Debug, Args)]
struct ConfigCommand {
    /// Print every setting with its default.
    #[arg(long, required = true)]
    example: bool,
}

/// Where the store is; every command takes it.
#[derive(Debug, Clone, Args)]
pub struct StoreArgs {
    /// Folder of everything the embedded store keeps.
    #[arg(long, env = "TENKEN_COLLECTOR_DATA")]
    pub data: Option<PathBuf>,
    /// PostgreSQL instead of the embedded store.
    #[arg(long, env = "TENKEN_DATABASE_URL", hide_env_values = true)]
    pub database_url: Option<String>,
    /// Settings file (TOML).
    #[arg(long, env = "TENKEN_COLLECTOR_CONFIG")]
    pub config: Option<PathBuf>,
}

impl StoreArgs {
    /// Settings: defaults, file, then flags and environment.
    pub fn config(&self) -> anyhow::Result<Config> {
        let mut config = match &self.config {
            Some(path) => Config::from_file(path)?,
            None => Config::default(),
        };
        if let Some(data) = &self.data {
            config.data.clone_from(data);
        }
        if self.database_url.is_some() {
            config.database_url.clone_from(&self.database_url);
        }
        Ok(config)
    }

    /// Opens the store.
    pub async fn open(&self) -> anyhow::Result<Store> {
        Ok(Store::open(&self.config()?.location()).await?)
    }

    /// Opens the store of an existing collector that has an organisation.
    async fn open_org(&self, org: &OrgId, lang: Lang) -> anyhow::Result<Store> {
        let store = self.open().await?;
        let found = store.ensure_org(&DEFAULT_ORG.parse()?, "", jiff::Timestamp::now()).await?;
        if *org != found.id && store.org(org).await?.is_none() {
            let text = Text::new("組織「{}」はありません。", "There is no organisation {}.");
            return Err(door::error(lang, text, org));
        }
        Ok(store)
    }
}

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    Table,
    /// One JSON document.
    Json,
}

impl Cli {
    /// Reads the command line; the exit code where it asks for help or does not read.
    pub fn parse() -> Result<Self, ExitCode> {
        help::with(tenken_service::help::parse)
    }

    /// The commands that make a runtime and a log of their own.
    #[must_use]
    pub fn service(&self) -> Option<&service::ServiceCommand> {
        match &self.command {
            Command::Service(command) => Some(command),
            _ => None,
        }
    }

    /// The reader's language.
    #[must_use]
    pub fn lang(&self) -> Lang {
        self.lang.get()
    }

    /// Runs the command.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let lang = self.lang();
        match self.command {
            Command::Serve(command) => command.run(lang).await?,
            Command::Service(command) => return command.run(lang),
            Command::Migrate(command) => command.run(lang).await?,
            Command::Org(command) => command.run(lang).await?,
            Command::Token(command) => command.run(lang).await?,
            Command::Host(command) => command.run(lang).await?,
            Command::Criteria(command) => command.run(lang).await?,
            Command::Policy(command) => command.run(lang).await?,
            Command::Catalog(command) => command.run(lang).await?,
            Command::Exception(command) => command.run(lang).await?,
            Command::Attest(command) => command.run(lang).await?,
            Command::Snapshot(command) => command.run(lang).await?,
            Command::Verify(command) => return command.run(lang),
            Command::Import(command) => command.run(lang).await?,
            Command::User(command) => command.run(lang).await?,
            Command::ApiToken(command) => command.run(lang).await?,
            Command::Query(command) => command.run(lang).await?,
            Command::Openapi => output::json(&crate::http::admin::openapi())?,
            Command::Key(command) => command.run(lang).await?,
            Command::Ca(command) => command.run(lang).await?,
            Command::Config(_) => output::text(crate::config::EXAMPLE)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_line_contradicts_itself_nowhere() {
        <super::Cli as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn all_help_is_there_in_japanese() {
        let command = <super::Cli as clap::CommandFactory>::command();
        let gaps = super::help::with(|sentences| tenken_service::help::gaps(&command, sentences));
        assert_eq!(gaps, Vec::<String>::new());
    }
}
