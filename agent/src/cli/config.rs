//! `config`: the settings in force, or a commented example.

use std::process::ExitCode;

use super::common::Common;
use super::output;
use crate::config::Settings;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print a commented settings file with the defaults
    #[arg(long)]
    example: bool,
}

/// Runs the command. A proxy address, which may hold a password, is shown as `[secret]`.
pub fn run(args: &Args, common: &Common) -> anyhow::Result<ExitCode> {
    if args.example {
        output::write(&Settings::example())?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut settings = common.settings()?;
    settings.data = settings.data_dir();
    if !settings.proxy.expose().is_empty() {
        settings.proxy = tenken_shared::redact::Secret::new("[secret]".to_owned());
    }
    output::write(&toml::to_string(&settings)?)?;
    Ok(ExitCode::SUCCESS)
}
