//! `tenken-collector`: command line only; the work is in the library.

use std::process::ExitCode;

use tenken_collector::cli::{Cli, told};
use tenken_shared::text::{Lang, Text};
use tracing_subscriber::EnvFilter;

/// Reports and judgements are many small pieces made by one thread and freed by another, which costs the
/// system's allocator noticeably more time, and memory that it does not give back.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const NO_RUNTIME: Text = Text::new("スレッドを開始できません", "no threads can be started");

fn main() -> ExitCode {
    let cli = match Cli::parse() {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    let lang = cli.lang();
    if let Some(command) = cli.service() {
        return ended(command.run(lang), lang);
    }
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A log on a full disk must not end the program: complaining about it to stderr would panic.
    log.log_internal_errors(false).init();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!("{}: {error}", NO_RUNTIME.get(lang));
            return ExitCode::from(2);
        }
    };
    match runtime.block_on(cli.run()) {
        Ok(code) => code,
        Err(error) => {
            tracing::error!("{}", told(&error, lang));
            ExitCode::from(2)
        }
    }
}

fn ended(done: anyhow::Result<ExitCode>, lang: Lang) -> ExitCode {
    done.unwrap_or_else(|error| {
        eprintln!("tenken-collector: {}", told(&error, lang));
        ExitCode::from(2)
    })
}
