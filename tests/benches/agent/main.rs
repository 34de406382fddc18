//! `cargo bench --bench agent`: what the agent costs, as it ships.
//!
//! The figures are CPU time (user and system, started commands included) and resident memory of the real
//! static program as the kernel counts them, so they hold on a machine that does other work as well. The
//! machine that is read is made here: 800 packages, 114 of them with an update, 50 MB of package lists.
//! `TENKEN_BENCH_AGENT` names a program that is built already; else it is built for musl now.
//! Prints one JSON document (progress goes to stderr); CPU is the mean of [`TIMES`] runs, memory the most of them.

mod cost;
mod fixture;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Result, ensure};
use e2e::process::{Running, cpu_ms, memory_kib, wait_for};
use e2e::program::{Collector, Store, json};
use e2e::workspace;
use fixture::Lists;
use serde_json::{Value, json};

/// Runs of each figure.
const TIMES: u64 = 10;
/// Rounds of the service over which its repeat is measured.
const ROUNDS: u64 = 10;
const MUSL: &str = "x86_64-unknown-linux-musl";

fn main() -> Result<()> {
    let agent = program()?;
    let folder = tempfile::tempdir()?;
    let mut figures = serde_json::Map::new();
    for (name, lists) in [("plain", Lists::Plain), ("lz4", Lists::Lz4)] {
        let root = folder.path().join(name);
        eprintln!("inventory of a folder, {name}");
        fixture::write(&root, lists)?;
        figures.insert(format!("root_{name}"), over(&agent, Some(&root), &folder.path().join("state"))?);
    }
    eprintln!("inventory of this machine");
    figures.insert("live".into(), over(&agent, None, &folder.path().join("state"))?);
    eprintln!("service");
    figures.insert("service_root".into(), service(&agent, Some(&folder.path().join("plain")))?);
    figures.insert("service_live".into(), service(&agent, None)?);
    let document = json!({
        "program": agent, "program_bytes": std::fs::metadata(&agent)?.len(),
        "machine": cost::machine(), "runs": TIMES, "figures": figures,
    });
    println!("{}", serde_json::to_string_pretty(&document)?);
    Ok(())
}

fn program() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("TENKEN_BENCH_AGENT") {
        return Ok(path.into());
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let args = ["build", "--quiet", "--release", "-p", "tenken-agent", "--target", MUSL];
    let built = Command::new(cargo).args(args).current_dir(workspace::root()).status()?;
    ensure!(built.success(), "the agent does not build for {MUSL}");
    Ok(workspace::target_dir().join(MUSL).join("release/tenken-agent"))
}

/// A first inventory without kept state, and one over unchanged kept state, each as a process of its own.
fn over(agent: &Path, root: Option<&Path>, state: &Path) -> Result<Value> {
    let command = |keep: bool| {
        let mut command = Command::new(agent);
        command.args(["inventory", "--format", "json"]);
        root.map(|root| command.arg("--root").arg(root));
        if keep {
            command.arg("--state").arg(state);
        }
        command
    };
    let facts = json(&mut command(false))?;
    let first = cost::of(TIMES, || command(false))?;
    // Fills the state.
    cost::of(1, || command(true))?;
    let repeat = cost::of(TIMES, || command(true))?;
    std::fs::remove_dir_all(state)?;
    let count = |kind: &str, list: &str| {
        let facts = facts["facts"].as_array().into_iter().flatten();
        facts.filter(|f| f["kind"] == kind).find_map(|f| f["body"][list].as_array().map(Vec::len))
    };
    Ok(json!({
        "packages": count("software", "items"), "pending": count("updates", "pending"),
        "first": first, "repeat_with_start_of_program": repeat,
    }))
}

/// The service, enrolled at a real collector: memory after its first report and at its peak, CPU per
/// round while nothing changes (collecting, the report and its delivery), bytes of such a report.
fn service(agent: &Path, root: Option<&Path>) -> Result<Value> {
    let folder = tempfile::tempdir()?;
    let collector = Collector::start(&folder.path().join("collector"), Store::Sqlite)?;
    let data = folder.path().join("agent");
    let command = |args: &[&str]| {
        let mut command = Command::new(agent);
        command.args(args).arg("--data").arg(&data);
        root.map(|root| command.arg("--root").arg(root));
        command.env("TENKEN_START_SPREAD_S", "0").env("TENKEN_WATCH", "false");
        command.stdin(Stdio::null());
        command
    };
    json(&mut command(&["enrol", &collector.token(1)?, "--format", "json"]))?;
    let log = folder.path().join("agent.log");
    let seq = || -> Result<u64> {
        let status = json(Command::new(agent).args(["status", "--format", "json", "--data"]).arg(&data));
        Ok(status.ok().and_then(|s| s["last_accepted_seq"].as_u64()).unwrap_or(0))
    };
    let idle = {
        let running = Running::start(&mut command(&["run"]), &log)?;
        wait_for("the first report", || Ok((seq()? > 0).then_some(())))?;
        let still = cost::when_idle(running.id())?;
        json!({"after_first_round": still, "peak_kib": memory_kib(running.id(), "VmHWM")?})
    };
    let repeat = {
        let running = Running::start(command(&["run"]).env("TENKEN_INTERVAL_S", "1"), &log)?;
        let from = seq()?;
        wait_for("a warm service", || Ok((seq()? > from + 1).then_some(())))?;
        let (begin, before) = (seq()?, cpu_ms(running.id())?);
        wait_for("unchanged rounds", || Ok((seq()? >= begin + ROUNDS).then_some(())))?;
        let rounds = seq()? - begin;
        (cpu_ms(running.id())? - before) as f64 / rounds as f64
    };
    Ok(json!({"idle": idle, "cpu_ms_per_unchanged_round": repeat, "rounds": ROUNDS}))
}
