//! The steps, in order: cheap and telling ones first.

use std::process::Command;

use anyhow::Result;
use e2e::{postgres, program, wine, workspace};

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
    Step { name: "build", what: "programs and tests", run: build },
    Step { name: "tests", what: "unit, property and integration tests, SQLite and PostgreSQL", run: tests },
    Step { name: "stories", what: "end-to-end stories with the real programs", run: stories },
    Step { name: "docs", what: "documentation, warnings fatal", run: docs },
    Step {
        name: "windows",
        what: "programs and tests for x86_64-pc-windows-gnu, run under Wine",
        run: windows,
    },
    Step { name: "macos", what: "type-check for aarch64-apple-darwin", run: macos },
    Step { name: "musl", what: "static build of the agent", run: musl },
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

/// Builds everything once, in the one form that tests and stories share: asking for fewer packages would
/// choose other features of the dependencies and build them all again.
fn build(context: &mut Context) -> Result<Outcome> {
    context.run(&mut context.cargo(&["build", "--workspace", "--all-targets"]))
}

fn tests(context: &mut Context) -> Result<Outcome> {
    if let Some(why) = context.tools.lacks("tests") {
        context.gap(why);
    }
    let mut command = if context.tools.nextest {
        context.cargo(&["nextest", "run", "--workspace", "-E", "not package(e2e)"])
    } else {
        context.cargo(&["test", "--workspace", "--no-fail-fast", "--exclude", "e2e"])
    };
    surround(context, &mut command)?;
    context.run(&mut command)
}

fn stories(context: &mut Context) -> Result<Outcome> {
    if let Some(why) = context.tools.lacks("stories") {
        context.gap(why);
    }
    let mut command = if context.tools.nextest {
        context.cargo(&["nextest", "run", "--workspace", "-E", "package(e2e) and not binary(windows)"])
    } else {
        // The files of `tests/tests` by name keep the features of the whole workspace.
        let mut command = context.cargo(&["test", "--workspace", "--no-fail-fast"]);
        for story in stories_by_name()? {
            command.arg("--test").arg(story);
        }
        command
    };
    surround(context, &mut command)?;
    context.run(&mut command)
}

fn stories_by_name() -> Result<Vec<String>> {
    let mut out = Vec::new();
    for entry in std::fs::read_dir(workspace::root().join("tests/tests"))? {
        let path = entry?.path();
        if let (Some(stem), true) = (path.file_stem(), path.extension().is_some_and(|e| e == "rs"))
            // Has a step of its own.
            && stem != "windows"
        {
            out.push(stem.to_string_lossy().into_owned());
        }
    }
    out.sort();
    Ok(out)
}

/// What tests find around them: a PostgreSQL, the programs that `build` made.
fn surround(context: &mut Context, command: &mut Command) -> Result<()> {
    command.env("INSTA_UPDATE", "no").env(program::BUILT_VARIABLE, workspace::target_dir().join("debug"));
    command.env(skip::FILE_VARIABLE, context.skipped());
    if let Some(url) = context.postgres_url()? {
        command.env(postgres::URL_VARIABLE, url);
    }
    Ok(())
}

fn docs(context: &mut Context) -> Result<Outcome> {
    let mut command = context.cargo(&["doc", "--workspace", "--no-deps", "--document-private-items"]);
    // Private items are documented too, so links to them lead somewhere.
    context.run(command.env("RUSTDOCFLAGS", "-D warnings -A rustdoc::private-intra-doc-links"))
}

fn windows(context: &mut Context) -> Result<Outcome> {
    if let Some(why) = context.tools.lacks_target(WINDOWS).or_else(|| context.tools.lacks("windows")) {
        return Ok(Outcome::Skipped(why));
    }
    // Programs and tests always asked for together: apart they would choose other features of the dependencies,
    // and build them all again.
    let all = |mut command: Command| {
        command
            .args(["--target", WINDOWS, "--lib", "--bins", "--tests", "-p", "tenken-service"])
            .args(SHIPPED)
            // Linking it costs more than the lines of a trace are worth.
            .env("CARGO_PROFILE_DEV_DEBUG", "0");
        command
    };
    let build = all(context.cargo(&["build"]));
    let mut lints = all(context.cargo(&["clippy"]));
    lints.args(["--", "-D", "warnings"]);
    let prefix = tempfile::tempdir()?;
    let wine = wine::Wine::empty(prefix.path())?;
    let mut units = all(context.cargo(&["test", "--no-fail-fast"]));
    units.envs(wine.environment()).env("CARGO_TARGET_X86_64_PC_WINDOWS_GNU_RUNNER", wine::PROGRAM);
    // Snapshots are looked for from there: a Windows program cannot ask cargo.
    units.env("INSTA_UPDATE", "no").env("INSTA_WORKSPACE_ROOT", wine::Wine::path(&workspace::root()));
    // Properties were tried at length on Linux; under Wine every file costs more.
    units.env("PROPTEST_CASES", "32").env(skip::FILE_VARIABLE, context.skipped());
    let mut story = context.cargo(&["test", "--workspace", "--test", "windows"]);
    story.env(wine::REQUIRED_VARIABLE, "1").env(skip::FILE_VARIABLE, context.skipped());
    context.run_all(vec![build, lints, units, story])
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
    // Without optimisation: that it links and runs is the question here.
    let build = context.cargo(&["build", "--target", MUSL, "-p", "tenken-agent"]);
    let mut try_it = Command::new(workspace::target_dir().join(MUSL).join("debug/tenken-agent"));
    try_it.arg("--version");
    context.run_all(vec![build, try_it])
}

fn fuzz(context: &mut Context) -> Result<Outcome> {
    if let Some(why) = context.tools.lacks("fuzz") {
        return Ok(Outcome::Skipped(why));
    }
    fuzzing::run(context)
}
