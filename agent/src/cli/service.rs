//! `service`: installs and steers the agent as a service of this machine.

use std::process::ExitCode;

use anyhow::anyhow;
use tenken_service::{Place, ServiceError};
use tenken_shared::text::Text;

use super::common::Common;
use super::told::Refused;
use super::{Context, Format, output};
use crate::key::Identity;
use crate::service::{NAME, SERVICE};

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
    /// Live under the service manager of Windows, which alone starts this
    #[command(hide = true)]
    Run,
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
const NOT_TAKEN: Text =
    Text::new("サービス管理が受け付けなかった設定", "the service manager does not take this setting");
const NOT_INSTALLED: Text = Text::new("サービスは登録されていません", "not installed");
const NO_ANSWER: Text = Text::new("サービス管理が応答しません", "no answer from the service manager");

/// Runs the command.
pub fn run(args: &Args, common: &Common, context: Context) -> anyhow::Result<ExitCode> {
    let told = |done: Result<(), ServiceError>| done.map_err(|error| anyhow!("{}", error.text(context.lang)));
    match args.action {
        Action::Install => install(common, context)?,
        Action::Uninstall => told(SERVICE.uninstall())?,
        Action::Start => told(SERVICE.start())?,
        Action::Stop => told(SERVICE.stop())?,
        Action::Run => return live(common, context),
        Action::Status { format } => return status(format, context),
    }
    output::write(&format!("{}\n", DONE.get(context.lang)))?;
    Ok(ExitCode::SUCCESS)
}

const NO_PROGRAM: Text =
    Text::new("このプログラムの場所が分かりません", "cannot tell where this program lies");

/// Makes the service.
pub fn install(common: &Common, context: Context) -> anyhow::Result<()> {
    let program = std::env::current_exe().map_err(|error| Refused::new(NO_PROGRAM).because(error))?;
    let config = common.config_file().map(std::path::absolute).transpose()?;
    let paths = common.paths()?;
    let data = std::path::absolute(paths.data())?;
    let place = Place { program: &program, data: &data, config: config.as_deref() };
    let not_taken = SERVICE.install(place).map_err(|error| anyhow!("{}", error.text(context.lang)))?;
    for what in not_taken {
        eprintln!("{}: {what}", NOT_TAKEN.get(context.lang));
    }
    if Identity::load(&paths)?.is_none() && !paths.pending_token().exists() {
        eprintln!("{}", NOT_ENROLLED.get(context.lang));
    }
    Ok(())
}

impl Args {
    /// Whether this process is the service itself, whose output nobody sees.
    pub fn is_run(&self) -> bool {
        matches!(self.action, Action::Run)
    }
}

/// The agent under the service control manager, with a log file in its data folder.
#[cfg(windows)]
fn live(common: &Common, context: Context) -> anyhow::Result<ExitCode> {
    let settings = common.settings()?;
    let paths = common.paths()?;
    crate::disk::private_folder(paths.data())?;
    let log = tenken_service::log::LogFile::open(paths.data(), NAME)?;
    crate::telemetry::init_file(tracing_subscriber::filter::LevelFilter::INFO, log);
    let work = Box::new(move |mut stop: tokio::sync::watch::Receiver<bool>| {
        let ended = super::common::runtime().and_then(|runtime| {
            let shutdown = async move {
                // A manager that is gone means the same.
                let _ = stop.wait_for(|stop| *stop).await;
            };
            let done = runtime.block_on(crate::run(settings, crate::sys::Sys::live(), shutdown));
            // A probe that hangs must not keep the process alive.
            runtime.shutdown_background();
            Ok(done?)
        });
        if let Err(error) = &ended {
            tracing::error!("The service ends: {error:#}");
        }
        ended.is_ok()
    });
    tenken_service::dispatch(NAME, work).map_err(|error| anyhow!("{}", error.text(context.lang)))?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(not(windows))]
fn live(_: &Common, context: Context) -> anyhow::Result<ExitCode> {
    Err(anyhow!("{}", ServiceError::Unsupported.text(context.lang)))
}

fn status(format: Format, context: Context) -> anyhow::Result<ExitCode> {
    let state = SERVICE.state().map_err(|error| anyhow!("{}", error.text(context.lang)))?;
    if format == Format::Json {
        output::json(&state)?;
    } else {
        let words = match (&state.installed, &state.active) {
            (false, _) => NOT_INSTALLED.get(context.lang).to_owned(),
            (true, None) => NO_ANSWER.get(context.lang).to_owned(),
            (true, Some(active)) => format!("{active} {}", state.enabled.as_deref().unwrap_or_default()),
        };
        output::write(&format!("{}: {words}\n", NAME))?;
    }
    // As `systemctl status`: 3 where it does not run.
    Ok(ExitCode::from(if state.active.as_deref() == Some("active") { 0 } else { 3 }))
}
