//! `run`: the service itself, in the foreground.

use std::path::PathBuf;
use std::process::ExitCode;

use super::common::{Common, runtime};
use crate::sys::Sys;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Collect and deliver once, then exit
    #[arg(long)]
    once: bool,
    /// Report the machine whose files lie under this folder instead of the running one
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
}

/// Runs the command until a signal ends it.
pub fn run(args: &Args, common: &Common) -> anyhow::Result<ExitCode> {
    let settings = common.settings()?;
    let sys = match &args.root {
        Some(root) => Sys::at_root(root, None)?,
        None => Sys::live(),
    };
    let runtime = runtime()?;
    let done = if args.once {
        runtime.block_on(crate::run::run_once(settings, sys))
    } else {
        runtime.block_on(crate::run(settings, sys, shutdown()))
    };
    // A probe that hangs must not keep the process alive.
    runtime.shutdown_background();
    done?;
    Ok(ExitCode::SUCCESS)
}

/// Completes on SIGTERM or SIGINT (Ctrl-C).
async fn shutdown() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let (Ok(mut term), Ok(mut int)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
        else {
            return std::future::pending().await;
        };
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
    }
    #[cfg(not(unix))]
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
