//! The steps, in order: cheap and telling ones first.

use std::process::Command;

use anyhow::Result;
use e2e::{postgres, workspace};

use crate::fuzzing;
use crate::licence;
use crate::step::{Context, Outcome, Step};
use crate::tool::{MACOS, MUSL, WINDOWS};

/// Runs of each fuzz target in `cargo ci`.
pub const FUZZ_RUNS: u64 = 1_000_000;

/// The plan.
pub const STEPS: &[Step] = &[
    Step { name: "fmt", what: "formatting", run: fmt },
    Step { name: "licences", what: "licences, sources and banned crates (.deny.toml)", run: licences },
    Step { name: "clippy", what: "lints, all targets, warnings fatal", run: clippy },
    Step { name: "tests", what: "unit, property and integration tests, SQLite and PostgreSQL", run: tests },
    Step { name: "stories", what: "end-to-end stories with the real programs", run: stories },
    Step { name: "docs", what: "documentation, warnings fatal", run: docs },
    Step { name: "windows", what: "type-check for x86_64-pc-windows-gnu", run: windows },
    Step { name: "macos", what: "type-check for aarch64-apple-darwin", run: macos },
    Step { name: "musl", what: "static release build of the agent", run: musl },
    Step { name: "fuzz", what: "every fuzz target", run: fuzz },
];

/// Packages that ship; the harness itself is Linux only.
const SHIPPED: [&str; 6] = ["-p", "tenken-shared", "-p", "tenken-agent", "-p", "tenken-collector"];

fn fmt(context: &mut Context) -> Result<Outcome> {
    context.run(&mut context.cargo(&["fmt", "--all", "--check"]))
}

fn licences(context: &mut Context) -> Result<Outcome> {
    if context.tools.deny {
        let args = ["deny", "--workspace", "check", "--config", ".deny.toml", "bans", "licenses", "sources"];
        return context.run(&mut context.cargo(&args));
    }
    licence::check(context)
}

fn clippy(context: &mut Context) -> Result<Outcome> {
    context.run(&mut context.cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))
}

fn tests(context: &mut Context) -> Result<Outcome> {
    if let Some(why) = context.tools.lacks("tests") {
        context.gap(why);
    }
    let build = context.cargo(&["build", "--workspace", "--bins"]);
    let run = test_command(context, &["--workspace", "--exclude", "e2e"])?;
    context.run_all(vec![build, run])
}

fn stories(context: &mut Context) -> Result<Outcome> {
    if let Some(why) = context.tools.lacks("stories") {
        context.gap(why);
    }
    let build = context.cargo(&["build", "--workspace", "--bins"]);
    let run = test_command(context, &["-p", "e2e"])?;
    context.run_all(vec![build, run])
}

/// Tests of `packages` under nextest where it is installed, with a PostgreSQL beside.
fn test_command(context: &mut Context, packages: &[&str]) -> Result<Command> {
    let url = context.postgres_url()?;
    if url.is_none() {
        context.gap("PostgreSQL is not installed: tests ran on SQLite only");
    }
    if workspace::corpus().is_none() {
        context.gap("the outside corpus is not here (TENKEN_CORPUS): its tests skipped themselves");
    }
    let mut command = if context.tools.nextest {
        context.cargo(&["nextest", "run", "--no-fail-fast"])
    } else {
        context.cargo(&["test", "--no-fail-fast"])
    };
    command.args(packages).env("INSTA_UPDATE", "no");
    if let Some(url) = url {
        command.env(postgres::URL_VARIABLE, url);
    }
    Ok(command)
}

fn docs(context: &mut Context) -> Result<Outcome> {
    let mut command = context.cargo(&["doc", "--workspace", "--no-deps", "--document-private-items"]);
    context.run(command.env("RUSTDOCFLAGS", "-D warnings"))
}

fn windows(context: &mut Context) -> Result<Outcome> {
    if let Some(why) = context.tools.lacks_target(WINDOWS).or_else(|| context.tools.lacks("windows")) {
        return Ok(Outcome::Skipped(why));
    }
    context.run(context.cargo(&["check", "--target", WINDOWS]).args(SHIPPED))
}

fn macos(context: &mut Context) -> Result<Outcome> {
    if let Some(why) = context.tools.lacks_target(MACOS) {
        return Ok(Outcome::Skipped(why));
    }
    // Checking never links, so C parts need no compiler for macOS.
    let mut command = context.cargo(&["check", "--target", MACOS]);
    command.args(SHIPPED).env("CC_aarch64_apple_darwin", "true").env("AR_aarch64_apple_darwin", "true");
    context.run(&mut command)
}

fn musl(context: &mut Context) -> Result<Outcome> {
    if let Some(why) = context.tools.lacks_target(MUSL).or_else(|| context.tools.lacks("musl")) {
        return Ok(Outcome::Skipped(why));
    }
    let build = context.cargo(&["build", "--release", "--target", MUSL, "-p", "tenken-agent"]);
    let mut try_it = Command::new(workspace::target_dir().join(MUSL).join("release/tenken-agent"));
    try_it.arg("--version");
    context.run_all(vec![build, try_it])
}

fn fuzz(context: &mut Context) -> Result<Outcome> {
    if let Some(why) = context.tools.lacks("fuzz") {
        return Ok(Outcome::Skipped(why));
    }
    fuzzing::run(context)
}
