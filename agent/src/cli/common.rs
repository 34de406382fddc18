//! What the commands of service life share: settings from file, environment and flags.

use std::path::PathBuf;

use crate::config::Settings;
use crate::paths::Paths;

/// Flags of every command that touches the agent's own data.
#[derive(Debug, Clone, clap::Args)]
pub struct Common {
    /// Settings file (see `tenken-agent config --example`)
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Data folder
    #[arg(long, global = true, value_name = "DIR")]
    data: Option<PathBuf>,
}

impl Common {
    /// Settings with these flags laid over them.
    pub fn settings(&self) -> anyhow::Result<Settings> {
        let mut settings = Settings::load(self.config.as_deref())?;
        if let Some(data) = &self.data {
            settings.data = std::path::absolute(data)?;
        }
        Ok(settings)
    }

    /// Names of the files, without touching the disk.
    pub fn paths(&self) -> anyhow::Result<Paths> {
        Ok(Paths::at(self.settings()?.data_dir()))
    }

    /// The settings file that was named.
    #[must_use]
    pub fn config_file(&self) -> Option<&std::path::Path> {
        self.config.as_deref()
    }
}

/// A runtime with one thread: the agent waits nearly all of the time.
pub fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(2).build()?)
}
