//! Every fuzz target under libFuzzer with coverage, two at a time.
//!
//! Works on stable Rust: the coverage pass is an ordinary LLVM pass. What is found new is kept in
//! `target/fuzz/corpus/<target>` and makes the next run deeper; a failing input lies in
//! `target/fuzz/failed/` and is run with `TENKEN_FUZZ_TARGET=<target> target/debug/fuzz-<group> <file>`.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

use anyhow::{Context as _, Result};
use e2e::workspace;
use fuzz::Target;
use fuzz::target::Group;
use tenken_shared::ids::Digest;

use crate::step::{Context, Outcome};

/// How many targets run at once.
const AT_ONCE: usize = 2;
/// Longest one input may take, seconds.
const TIMEOUT_S: u32 = 20;
/// Most memory one run may use, MiB.
const MEMORY_MIB: u32 = 2048;
/// Rustc with the coverage pass, for the crates of this workspace.
const COVERAGE: &str = ".ci/rustc-coverage";

/// Builds the fuzzing program and runs every target.
pub fn run(context: &mut Context) -> Result<Outcome> {
    let folder = workspace::target_dir().join("fuzz");
    // In the features and profile of the step `build`, so that only the crates of this workspace are built again.
    let mut build =
        context.cargo(&["build", "--workspace", "--bin", "fuzz-*", "--features", "fuzz/libfuzzer"]);
    build.env("RUSTC_WORKSPACE_WRAPPER", workspace::root().join(COVERAGE));
    // More optimisation costs more in building than it saves in a million runs.
    build.env("CARGO_PROFILE_DEV_OPT_LEVEL", "1").env("CARGO_PROFILE_DEV_DEBUG", "0");
    build.env("CARGO_INCREMENTAL", "0");
    let built = context.run(&mut build)?;
    if !matches!(built, Outcome::Passed) {
        return Ok(built);
    }
    let of_group = |&(group, targets): &Group| {
        let program = workspace::target_dir().join(format!("debug/fuzz-{group}"));
        targets.iter().map(move |target| (program.clone(), target))
    };
    let waiting = Mutex::new(fuzz::GROUPS.iter().flat_map(of_group).collect::<VecDeque<_>>());
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some((program, target)) = next(&waiting) {
                    if let Err(error) = run_one(target, &program, &folder, context.fuzz_runs) {
                        keep(&failed, format!("{}: {error:#}", target.name));
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    Ok(if failed.is_empty() { Outcome::Passed } else { Outcome::Failed(failed.join("; ")) })
}

fn next<T>(waiting: &Mutex<VecDeque<T>>) -> Option<T> {
    waiting.lock().unwrap_or_else(std::sync::PoisonError::into_inner).pop_front()
}

fn keep(failed: &Mutex<Vec<String>>, what: String) {
    failed.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(what);
}

fn run_one(target: &Target, program: &Path, folder: &Path, runs: u64) -> Result<()> {
    let corpus = seeded_corpus(target, folder)?;
    let failed = folder.join("failed");
    std::fs::create_dir_all(&failed)?;
    let log = failed.with_file_name(format!("{}.log", target.name));
    let file = std::fs::File::create(&log)?;
    let status = Command::new(program)
        .env(fuzz::TARGET_VARIABLE, target.name)
        .arg(format!("-runs={runs}"))
        .arg(format!("-max_len={}", target.max_len))
        .arg(format!("-timeout={TIMEOUT_S}"))
        .arg(format!("-rss_limit_mb={MEMORY_MIB}"))
        .arg(format!("-artifact_prefix={}/{}-", failed.display(), target.name))
        .args(["-print_final_stats=1", "-use_value_profile=0"])
        .arg(corpus)
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .status()
        .with_context(|| format!("starting {}", program.display()))?;
    let text = String::from_utf8_lossy(&std::fs::read(&log)?).into_owned();
    let done = text.lines().find_map(|l| l.strip_prefix("stat::number_of_executed_units:")).map(str::trim);
    let done: u64 = done.and_then(|n| n.parse().ok()).unwrap_or(0);
    anyhow::ensure!(
        status.success() && done >= runs,
        "{done} of {runs} runs, {status}; see {}",
        log.display()
    );
    Ok(())
}

/// The target's corpus folder with our seeds in it, named by their digests.
fn seeded_corpus(target: &Target, folder: &Path) -> Result<PathBuf> {
    let corpus = folder.join("corpus").join(target.name);
    std::fs::create_dir_all(&corpus)?;
    for seed in target.seed_inputs(&workspace::root())? {
        std::fs::write(corpus.join(Digest::of(&seed).to_hex()), seed)?;
    }
    Ok(corpus)
}
