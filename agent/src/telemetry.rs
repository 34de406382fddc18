//! Tracing set-up: logs go to stderr, so that stdout stays one JSON document.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// Starts logging to stderr. The level is `default`, unless `TENKEN_LOG` says otherwise in the form of
/// `tracing` filters (`debug`, `tenken_agent=trace`). A second call changes nothing.
pub fn init(default: LevelFilter) {
    let started = tracing_subscriber::fmt()
        .with_env_filter(filter(default))
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        // A log on a full disk must not end the program: complaining about it to stderr would panic.
        .log_internal_errors(false)
        .try_init();
    if started.is_err() {
        tracing::debug!("Logging was already set up.");
    }
}

/// Starts logging to a file, for a service whose output nobody sees.
#[cfg(windows)]
pub fn init_file(default: LevelFilter, file: tenken_service::log::LogFile) {
    let writer = move || file.clone();
    let started = tracing_subscriber::fmt()
        .with_env_filter(filter(default))
        .with_writer(writer)
        .with_ansi(false)
        .with_target(false)
        .try_init();
    if started.is_err() {
        tracing::debug!("Logging was already set up.");
    }
}

fn filter(default: LevelFilter) -> EnvFilter {
    EnvFilter::builder().with_default_directive(default.into()).with_env_var("TENKEN_LOG").from_env_lossy()
}
