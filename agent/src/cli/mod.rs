//! The commands of `tenken-agent`: one enum line and one module each; no logic here.
//!
//! Exit codes: 0 done, 2 error (with one final line on stderr that says what to do next); commands that
//! judge have their own. `--format json` prints one JSON document on stdout and nothing else.

mod backup_report;
mod check;
mod common;
mod config;
mod doctor;
mod enrol;
mod explain;
mod help;
mod host;
mod inventory;
mod output;
mod rotate_key;
mod run;
mod service;
mod setup;
mod status;
mod told;

use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use tenken_shared::text::{Lang, printable};
use tracing_subscriber::filter::LevelFilter;

pub use host::host_json;

/// Exit code of every error.
pub const EXIT_ERROR: u8 = 2;

#[derive(Debug, Parser)]
#[command(name = "tenken-agent", version, about, propagate_version = true)]
struct Cli {
    /// Language of what is printed for people (ja or en; else that of the environment)
    #[arg(long, global = true, value_name = "ja|en", value_parser = parse_lang)]
    lang: Option<Lang>,
    #[command(flatten)]
    common: common::Common,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Collect the facts of this machine, or of the one under a folder, and print them
    Inventory(inventory::Args),
    /// Say what is collected and why
    Explain(explain::Args),
    /// Report the result of a backup made by a script of your own
    BackupReport(backup_report::Args),
    /// Judge this machine, or the one under a folder; exit code 0 pass, 1 fail, 2 error, 3 unknown
    Check(check::Args),
    /// Enrol this machine with a collector
    Enrol(enrol::Args),
    /// Collect and report until told to stop
    Run(run::Args),
    /// Install, remove, start, stop or look at the service
    Service(service::Args),
    /// Make the service and leave the enrolment to it; for installers
    #[command(hide = true)]
    Setup(setup::Args),
    /// Last report, spool, clock offset, next run
    Status(status::Args),
    /// Find what keeps this machine from reporting, and what to do about it
    Doctor(doctor::Args),
    /// Give this machine a new key
    RotateKey(rotate_key::Args),
    /// Show the settings in force, or an example file
    Config(config::Args),
    /// Answer one question of the agent's own on standard output
    #[command(hide = true, name = crate::sys::child::COMMAND)]
    Ask {
        /// Which
        job: String,
    },
}

/// What every command is told.
#[derive(Debug, Clone, Copy)]
pub struct Context {
    /// Language of what is printed for people.
    pub lang: Lang,
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Table,
    /// One JSON document.
    Json,
}

/// Parses the command line, runs the command and gives the exit code of the process.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match tenken_service::help::parse::<Cli>(help::JAPANESE) {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    let as_service = matches!(&cli.command, Command::Service(args) if args.is_run());
    if !as_service {
        crate::telemetry::init(default_level(&cli.command));
    }
    let context = Context { lang: cli.lang.unwrap_or_else(tenken_service::language::of_environment) };
    match dispatch(&cli, context) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("tenken-agent: {}", printable(&told::told(&error, context.lang)));
            ExitCode::from(EXIT_ERROR)
        }
    }
}

fn dispatch(cli: &Cli, context: Context) -> anyhow::Result<ExitCode> {
    let common = &cli.common;
    match &cli.command {
        Command::Inventory(args) => inventory::run(args, context),
        Command::Explain(args) => explain::run(args, context),
        Command::BackupReport(args) => backup_report::run(args, context),
        Command::Check(args) => check::run(args, common, context),
        Command::Enrol(args) => enrol::run(args, common, context),
        Command::Run(args) => run::run(args, common),
        Command::Service(args) => service::run(args, common, context),
        Command::Setup(args) => setup::run(args, common, context),
        Command::Status(args) => status::run(args, common, context),
        Command::Doctor(args) => doctor::run(args, common, context),
        Command::RotateKey(args) => rotate_key::run(args, common, context),
        Command::Config(args) => config::run(args, common),
        Command::Ask { job } => Ok(crate::sys::child::serve(job)),
    }
}

/// Services log their life cycle; commands only what is wrong.
fn default_level(command: &Command) -> LevelFilter {
    match command {
        Command::Run(_) => LevelFilter::INFO,
        _ => LevelFilter::WARN,
    }
}

fn parse_lang(text: &str) -> Result<Lang, String> {
    match text {
        "ja" => Ok(Lang::Ja),
        "en" => Ok(Lang::En),
        _ => Err("expected ja or en".into()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn all_help_is_there_in_japanese() {
        assert_eq!(tenken_service::help::gaps(&Cli::command(), help::JAPANESE), Vec::<String>::new());
    }
}
