//! `setup`: what an installer runs. Makes the service, and leaves the enrolment to it.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;

use super::common::Common;
use super::{Context, enrol, service};
use crate::key::Identity;
use crate::paths::Paths;
use crate::pending;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The enrolment token; an empty one counts as none
    #[arg(long, default_value = "")]
    token: String,
    /// A file beside the installer that may hold the token
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// Runs the command. A machine that is enrolled keeps its identity, whatever token is given.
pub fn run(args: &Args, common: &Common, context: Context) -> anyhow::Result<ExitCode> {
    let paths = Paths::create(common.settings()?.data_dir())?;
    if Identity::load(&paths)?.is_none()
        && let Some(token) = given(args)?
    {
        pending::keep(&paths, &token)?;
    }
    service::install(common, context)?;
    Ok(ExitCode::SUCCESS)
}

fn given(args: &Args) -> anyhow::Result<Option<tenken_shared::api::EnrolToken>> {
    if !args.token.trim().is_empty() {
        return enrol::parse_token(&args.token).map(Some);
    }
    let Some(file) = args.token_file.as_ref().filter(|file| file.is_file()) else { return Ok(None) };
    enrol::token_of_file(file).with_context(|| file.display().to_string()).map(Some)
}
