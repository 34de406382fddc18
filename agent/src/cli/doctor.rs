//! `doctor`: what keeps this machine from reporting, and what to do about it.

use std::process::ExitCode;

use serde_json::json;
use tenken_shared::text::Text;

use super::common::{Common, runtime};
use super::{Context, Format, output};
use crate::doctor::{Level, examine};
use crate::sys::Sys;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// How to print
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

const HEADER: [Text; 4] = [
    Text::new("状態", "State"),
    Text::new("項目", "Check"),
    Text::new("結果", "Found"),
    Text::new("対処", "What to do"),
];

/// Runs the command. Exit code 1 where there is a problem.
pub fn run(args: &Args, common: &Common, context: Context) -> anyhow::Result<ExitCode> {
    let settings = common.settings()?;
    let paths = common.paths()?;
    let runtime = runtime()?;
    let findings = runtime.block_on(examine(&settings, &paths, &Sys::live(), context.lang));
    runtime.shutdown_background();
    let healthy = findings.iter().all(|f| f.level != Level::Problem);
    if args.format == Format::Json {
        output::json(&json!({"healthy": healthy, "findings": findings}))?;
    } else {
        let rows = findings.iter().map(|f| {
            let level = match f.level {
                Level::Ok => Text::new("正常", "ok"),
                Level::Warning => Text::new("注意", "warning"),
                Level::Problem => Text::new("問題", "problem"),
            };
            [level.get(context.lang).to_owned(), f.check.to_owned(), f.detail.clone(), f.advice.clone()]
        });
        output::write(&output::table(&HEADER.map(|t| t.get(context.lang)), rows))?;
    }
    Ok(ExitCode::from(u8::from(!healthy)))
}
