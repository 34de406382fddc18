//! `cargo ci`: everything the project is checked with, in one command.
//!
//! As root on Debian it installs what it needs (the list is `.ci/packages`); else it names what is
//! missing and says what it skipped for it. Steps go on after a failure, so that one run shows all;
//! the exit code is 0 when nothing failed. The output of each step lies in `target/ci/<step>.log`.

mod fuzzing;
mod licence;
mod plan;
mod step;
mod tool;

use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use clap::Parser;

use step::{Context, Outcome};

/// Checks the whole project.
#[derive(Debug, Parser)]
#[command(name = "cargo ci")]
struct Arguments {
    /// Only these steps (see `--list`).
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// All but these steps.
    #[arg(long, value_delimiter = ',')]
    skip: Vec<String>,
    /// Lists the steps and exits.
    #[arg(long)]
    list: bool,
    /// Runs of each fuzz target.
    #[arg(long, default_value_t = plan::FUZZ_RUNS)]
    fuzz_runs: u64,
    /// Installs nothing, also as root.
    #[arg(long)]
    no_install: bool,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    if arguments.list {
        for step in plan::STEPS {
            println!("{:10} {}", step.name, step.what);
        }
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(unknown) =
        arguments.only.iter().chain(&arguments.skip).find(|n| plan::STEPS.iter().all(|s| s.name != **n))
    {
        anyhow::bail!("there is no step {unknown:?}; `cargo ci -- --list` shows them");
    }
    let tools = tool::prepare(!arguments.no_install)?;
    let mut context = Context::new(tools, arguments.fuzz_runs)?;
    let start = Instant::now();
    let chosen: Vec<_> = plan::STEPS
        .iter()
        .filter(|s| arguments.only.is_empty() || arguments.only.iter().any(|n| n == s.name))
        .filter(|s| !arguments.skip.iter().any(|n| n == s.name))
        .collect();
    let mut results = Vec::new();
    for (index, step) in chosen.iter().enumerate() {
        let began = Instant::now();
        context.begin(step, index + 1, chosen.len());
        let outcome = (step.run)(&mut context).unwrap_or_else(|error| Outcome::Failed(format!("{error:#}")));
        context.end(&outcome, began.elapsed());
        results.push((step.name, outcome));
    }
    Ok(step::summarise(&results, &context, start.elapsed()))
}
