//! `service`: installs and steers the collector as a service of this machine.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use tenken_service::{Place, ServiceState};
use tenken_shared::text::{Lang, Text};

use super::{Format, output};
use crate::config::Config;
use crate::service::{NAME, SERVICE};

/// Commands about the service.
#[derive(Debug, Subcommand)]
pub enum ServiceCommand {
    /// Make it a service, start it now and at every boot.
    Install(Where),
    /// Stop the service and remove it; its data stays.
    Uninstall,
    /// Start.
    Start,
    /// Stop.
    Stop,
    /// What the service manager says; exit code 3 where it does not run.
    Status(Status),
    /// Live under the service manager of Windows, which alone starts this.
    #[command(hide = true)]
    Run(Where),
}

/// What the service works on; all else belongs into its settings file.
#[derive(Debug, Args)]
pub struct Where {
    /// Folder of everything the embedded store keeps.
    #[arg(long, env = "TENKEN_COLLECTOR_DATA")]
    data: Option<PathBuf>,
    /// Settings file (TOML).
    #[arg(long, env = "TENKEN_COLLECTOR_CONFIG")]
    config: Option<PathBuf>,
}

/// Arguments of `service status`.
#[derive(Debug, Args)]
pub struct Status {
    /// How to print.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

const DONE: Text = Text::new("完了しました。", "Done.");
const NEXT: Text = Text::new(
    "コンソールの最初のパスワード: tenken-collector user link admin が表示するリンクを開いてください。",
    "First password of the console: open the link that `tenken-collector user link admin` prints.",
);
const NOT_TAKEN: Text =
    Text::new("サービス管理が受け付けなかった設定", "the service manager does not take this setting");
const NO_PLACE: Text = Text::new("このプログラムの場所が分かりません", "cannot tell where this program lies");
const NOT_INSTALLED: Text = Text::new("サービスは登録されていません", "not installed");
const NO_ANSWER: Text = Text::new("サービス管理が応答しません", "no answer from the service manager");

impl ServiceCommand {
    /// Whether this process is the service itself, whose output nobody sees.
    #[must_use]
    pub fn is_run(&self) -> bool {
        matches!(self, Self::Run(_))
    }

    /// Runs the command. Not within a runtime: the service makes its own.
    pub fn run(&self, lang: Lang) -> anyhow::Result<ExitCode> {
        match self {
            Self::Install(place) => install(place, lang)?,
            Self::Uninstall => SERVICE.uninstall()?,
            Self::Start => SERVICE.start()?,
            Self::Stop => SERVICE.stop()?,
            Self::Run(place) => return live(place, lang),
            Self::Status(how) => return show(&SERVICE.state()?, how.format, lang),
        }
        eprintln!("{}", DONE.get(lang));
        Ok(ExitCode::SUCCESS)
    }
}

impl Where {
    fn config(&self) -> anyhow::Result<Config> {
        let mut config = match &self.config {
            Some(path) => Config::from_file(path)?,
            None => Config::default(),
        };
        if let Some(data) = &self.data {
            config.data.clone_from(data);
        }
        Ok(config)
    }
}

fn install(place: &Where, lang: Lang) -> anyhow::Result<()> {
    let program = std::env::current_exe().context(NO_PLACE.get(lang))?;
    let data = std::path::absolute(place.config()?.data)?;
    let config = place.config.as_ref().map(std::path::absolute).transpose()?;
    let at = Place { program: &program, data: &data, config: config.as_deref() };
    let not_taken = SERVICE.install(at)?;
    for what in not_taken {
        eprintln!("{}: {what}", NOT_TAKEN.get(lang));
    }
    eprintln!("{}", NEXT.get(lang));
    Ok(())
}

fn show(state: &ServiceState, format: Format, lang: Lang) -> anyhow::Result<ExitCode> {
    if format == Format::Json {
        output::json(state)?;
    } else {
        let words = match (state.installed, &state.active) {
            (false, _) => NOT_INSTALLED.get(lang).to_owned(),
            (true, None) => NO_ANSWER.get(lang).to_owned(),
            (true, Some(active)) => format!("{active} {}", state.enabled.as_deref().unwrap_or_default()),
        };
        let head = [Text::new("サービス", "service"), Text::new("状態", "state")];
        output::titled(lang, &head, vec![vec![NAME.to_owned(), words]])?;
    }
    Ok(ExitCode::from(if state.active.as_deref() == Some("active") { 0 } else { 3 }))
}

/// The collector under the service control manager, with a log file in its data folder.
#[cfg(windows)]
fn live(place: &Where, lang: Lang) -> anyhow::Result<ExitCode> {
    let config = place.config()?;
    tenken_service::folder::private(&config.data, Some(NAME))?;
    let log = tenken_service::log::LogFile::open(&config.data, NAME)?;
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let writer = move || log.clone();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer).with_ansi(false).init();
    let work = Box::new(move |stop: tokio::sync::watch::Receiver<bool>| {
        let ended = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(anyhow::Error::from)
            .and_then(|runtime| runtime.block_on(super::serve::until(config, stop, lang)));
        if let Err(error) = &ended {
            tracing::error!("{}", super::told(error, lang));
        }
        ended.is_ok()
    });
    tenken_service::dispatch(NAME, work)?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(not(windows))]
fn live(_: &Where, _: Lang) -> anyhow::Result<ExitCode> {
    Err(tenken_service::ServiceError::Unsupported.into())
}
