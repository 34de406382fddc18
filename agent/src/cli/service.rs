//! `service`: installs and steers the agent as a service of this machine.

use std::process::ExitCode;

use anyhow::Context as _;
use tenken_shared::text::Text;

use super::common::Common;
use super::{Context, Format, output};
use crate::key::Identity;
use crate::service;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Clone, clap::Subcommand)]
enum Action {
    /// Write the unit, start the service now and at every boot
    Install,
    /// Stop the service and remove its unit; data and identity stay
    Uninstall,
    /// Start
    Start,
    /// Stop
    Stop,
    /// What the service manager says
    Status {
        /// How to print
        #[arg(long, value_enum, default_value = "table")]
        format: Format,
    },
}

const NOT_ENROLLED: Text = Text::new(
    "まだ登録されていません。サービスは登録後に動き始めます: tenken-agent enrol トークン",
    "Not enrolled yet; the service works once it is: tenken-agent enrol TOKEN",
);
const DONE: Text = Text::new("完了しました。", "Done.");
const NOT_INSTALLED: Text = Text::new("サービスは登録されていません", "not installed");
const NO_ANSWER: Text = Text::new("サービス管理が応答しません", "no answer from the service manager");

/// Runs the command.
pub fn run(args: &Args, common: &Common, context: Context) -> anyhow::Result<ExitCode> {
    match args.action {
        Action::Install => install(common, context)?,
        Action::Uninstall => service::uninstall()?,
        Action::Start => service::start()?,
        Action::Stop => service::stop()?,
        Action::Status { format } => return status(format, context),
    }
    output::write(&format!("{}\n", DONE.get(context.lang)))?;
    Ok(ExitCode::SUCCESS)
}

fn install(common: &Common, context: Context) -> anyhow::Result<()> {
    let program = std::env::current_exe().context("cannot tell where this program lies")?;
    let config = common.config_file().map(std::path::absolute).transpose()?;
    let paths = common.paths()?;
    service::install(&program, paths.data(), config.as_deref())?;
    if Identity::load(&paths)?.is_none() {
        eprintln!("{}", NOT_ENROLLED.get(context.lang));
    }
    Ok(())
}

fn status(format: Format, context: Context) -> anyhow::Result<ExitCode> {
    let state = service::state()?;
    if format == Format::Json {
        output::json(&state)?;
    } else {
        let words = match (&state.installed, &state.active) {
            (false, _) => NOT_INSTALLED.get(context.lang).to_owned(),
            (true, None) => NO_ANSWER.get(context.lang).to_owned(),
            (true, Some(active)) => format!("{active} {}", state.enabled.as_deref().unwrap_or_default()),
        };
        output::write(&format!("{}: {words}\n", service::NAME))?;
    }
    // As `systemctl status`: 3 where it does not run.
    Ok(ExitCode::from(if state.active.as_deref() == Some("active") { 0 } else { 3 }))
}
